//! A place in which the program runs, and the checks after each run.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64ct::Encoding;
use oubliette::*;
use oubliette_testkit::accounts::*;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_oubliette");

/// A folder in which a store's folder can be made, with keys by name.
pub struct ProgramFixture {
    pub folder: tempfile::TempDir,
    keys: Vec<(String, [u8; 32])>,
}

/// The result of a run of the program.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl ProgramFixture {
    pub fn new() -> Self {
        let mut site = Self { folder: tempfile::tempdir().unwrap(), keys: Vec::new() };
        site.make_key("key");
        site
    }

    /// A fixture with a store.
    pub fn with_store() -> Self {
        let site = Self::new();
        site.open().close().unwrap();
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a key in a file of this name.
    pub fn make_key(&mut self, name: &str) {
        let mut key = [0; 32];
        getrandom::fill(&mut key).unwrap();
        fs::write(self.path(name), format!("hex:{}\n", base16ct::lower::encode_string(&key)))
            .unwrap();
        #[cfg(unix)]
        fs::set_permissions(self.path(name), std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        self.keys.push((name.into(), key));
    }

    pub fn builder(&self) -> Builder {
        self.builder_with("key")
    }

    pub fn builder_with(&self, key: &str) -> Builder {
        TokenStore::builder(self.path("tokens"))
            .key(KeySource::file(self.path(key)))
            .cache_bytes(8 << 20)
    }

    pub fn open(&self) -> TokenStore {
        self.builder().open().unwrap()
    }

    /// A command that runs the program, with the store and the key in its environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bare(args);
        command
            .env("OUBLIETTE_STORE", self.path("tokens"))
            .env("OUBLIETTE_KEY_FILE", self.path("key"));
        command
    }

    /// A command that runs the program without a store and a key in its environment.
    pub fn bare(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OUBLIETTE"))
        {
            command.env_remove(name);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.check(&self.command(args).output().unwrap())
    }

    /// Runs the program, which must succeed.
    pub fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{args:?}");
        ran.stdout
    }

    /// Runs the program with `--json`. It must succeed, and print one object.
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[&["--json"], args].concat());
        let value: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"));
        assert!(
            value.is_object() && text.ends_with('\n') && text.lines().count() == 1,
            "{args:?}: {text}"
        );
        value
    }

    /// Runs the program, which must fail with this code, and say the same as text and as JSON.
    pub fn fails(&self, code: i32, args: &[&str]) -> Value {
        let ran = self.run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{args:?}: {}", ran.stderr);
        assert!(
            ran.stderr.starts_with("oubliette: ") && ran.stderr.ends_with('\n'),
            "{}",
            ran.stderr
        );
        let with_json = self.run(&[&["--json"], args].concat());
        assert_eq!(
            (with_json.code, with_json.stdout.as_str()),
            (code, ""),
            "{args:?}: {}",
            with_json.stderr
        );
        let error: Value = serde_json::from_str(&with_json.stderr).unwrap();
        let error = error["error"].clone();
        assert_eq!(error["code"], code);
        let message = error["message"].as_str().unwrap();
        // (A usage message shows the arguments, which differ.)
        assert!(
            code == 2 || ran.stderr.trim_end() == format!("oubliette: {message}"),
            "{}: {message}",
            ran.stderr
        );
        error
    }

    /// Checks that nothing that it printed is a key or a token, in any spelling.
    pub fn check(&self, output: &Output) -> Ran {
        let printed = [output.stdout.as_slice(), &output.stderr].concat();
        let holds = |needle: &[u8]| {
            printed.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
        };
        for (name, key) in &self.keys {
            let [hex, base64] =
                [base16ct::lower::encode_string(key), base64ct::Base64Unpadded::encode_string(key)];
            assert!(
                !holds(&key[..8])
                    && !holds(&hex.as_bytes()[..16])
                    && !holds(&base64.as_bytes()[..16]),
                "{name} is shown"
            );
        }
        assert!(!holds(b"XTOKENX"), "a token is shown: {}", String::from_utf8_lossy(&printed));
        Ran {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout.clone()).unwrap(),
            stderr: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }
}

/// Signs accounts 1 to `count` in, each with a session, a subject and two tokens; the second half
/// of them in tenant 2.
pub fn fill(store: &TokenStore, count: u32) {
    for number in 1..=count {
        let tenant = tenant(if number * 2 > count { 2 } else { 1 });
        let sign_in =
            SignIn::new(account(number), tenant).session(session(number)).subject(subject(number));
        let mut access = access("a", "XTOKENX-at");
        access.expires_at = Some(SystemTime::now() + Duration::from_secs(3600));
        store.sign_in(sign_in).unwrap().put([access.into(), refresh("XTOKENX-rt").into()]).unwrap();
    }
}

/// The numbers of the accounts that are signed in.
pub fn live(store: &TokenStore, count: u32) -> Vec<u32> {
    (1..=count).filter(|number| !store.account(&account(*number)).unwrap().is_empty()).collect()
}

pub fn keys_of(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// A cache as MSAL writes it. It has one user with an access, a refresh and two ID tokens of two
/// sessions, and an entry that cannot be read.
pub fn msal_cache(signed_in_at: SystemTime, secret: &str) -> String {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let at = seconds(signed_in_at);
    let id_token = |sid: &str| {
        let claims = json!({ "iss": "https://login.example.com", "sub": "s-1", "sid": sid, "auth_time": at });
        format!(
            "e30.{}.{secret}",
            base64ct::Base64UrlUnpadded::encode_string(claims.to_string().as_bytes())
        )
    };
    let user = json!({ "home_account_id": "uid.utid", "environment": "login.example.com", "client_id": "web", "realm": "utid" });
    let entry = |more: Value| {
        let mut entry = user.clone();
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry
    };
    json!({
        "AccessToken": {
            "a": entry(json!({ "target": "mail.read", "secret": secret, "expires_on": (at + 36_000).to_string() })),
            "b": { "home_account_id": "uid.utid", "secret": secret },
        },
        "RefreshToken": { "r": entry(json!({ "secret": secret })) },
        "Account": { "u": entry(json!({ "client_id": null, "username": "user@example.com" })) },
        "IdToken": {
            "i": entry(json!({ "secret": id_token("sid-2"), "client_id": "other" })),
            "j": entry(json!({ "secret": id_token("sid-1") })),
        },
    })
    .to_string()
}
