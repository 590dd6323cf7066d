//! Keys as text, from files, variables and credentials: what is accepted is exactly what the documentation says, means exactly what it
//! says, and no error shows any of it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use oubliette::fuzzing::{key_of_env, key_of_systemd, key_of_text};
use oubliette::{Error, KeySource};

use crate::bounds::within;
use crate::input::Encode;

crate::plans! {
    /// Where the text is.
    pub enum Plan {
        Text { newline_allowed: bool },
        /// The variable itself, its file, both or neither; the text is split at `name` into the variable's name and its value.
        Env { name: u8, value: bool, file: bool, mode: u8, allow: bool },
        Systemd { name: u8, directory: bool, mode: u8 },
        /// The text is a file's path.
        Path {},
    }
}

const MODES: [u32; 8] = [0o400, 0o600, 0o440, 0o404, 0o420, 0o402, 0o644, 0o777];

/// A folder of this process.
struct Folder(tempfile::TempDir);

static FOLDER: LazyLock<Folder> =
    LazyLock::new(|| Folder(tempfile::tempdir().expect("a folder for files")));

/// The bytes of a run.
pub fn input(plan: &Plan, text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    plan.encode(&mut bytes);
    bytes.extend_from_slice(text);
    bytes
}

pub fn run(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let Ok(plan) = Plan::arbitrary(&mut data) else { return };
    crate::show(&plan);
    let text = data.take_rest();
    match plan {
        Plan::Text { newline_allowed } => {
            let key = within(16 << 10, || key_of_text(text, newline_allowed));
            check(key, expected(text, newline_allowed), text);
        }
        Plan::Env { name, value, file, mode, allow } => {
            let (name, text) = text.split_at(usize::from(name).min(text.len()));
            let Ok(name) = std::str::from_utf8(name) else { return };
            let mut source = KeySource::env(name);
            if allow {
                source = source.allow_readable_by_others();
            }
            let mode = MODES[usize::from(mode) % MODES.len()];
            let path = file.then(|| write("env", text, mode));
            let file_name = format!("{name}_FILE");
            let env = |asked: &str| match asked {
                _ if asked == name => value.then(|| OsString::from_vec(text.to_vec())),
                _ if asked == file_name => path.clone().map(OsString::from),
                _ => None,
            };
            let key = key_of_env(&source, name, &env);
            let refused = if allow { 0o022 } else { 0o066 };
            let wanted = match (value, file) {
                (true, false) => expected(text, false),
                (false, true) if mode & refused == 0 && text.len() <= 4096 => expected(text, true),
                _ => None,
            };
            check(key, wanted.filter(|_| is_name(name)), name.as_bytes());
        }
        Plan::Systemd { name, directory, mode } => {
            let (name, text) = text.split_at(usize::from(name).min(text.len()));
            let Ok(name) = std::str::from_utf8(name) else { return };
            let mode = MODES[usize::from(mode) % MODES.len()];
            // A name that is none must not even be looked for; one that is, is a file's name.
            let path = (is_name(name) && name != "env").then(|| write(name, text, mode));
            let env = |asked: &str| {
                (directory && asked == "CREDENTIALS_DIRECTORY").then(|| FOLDER.0.path().into())
            };
            let key = key_of_systemd(&KeySource::systemd(name), name, &env);
            let wanted = (path.is_some() && directory && mode & 0o006 == 0 && text.len() <= 4096)
                .then(|| expected(text, true));
            if name != "env" {
                check(key, wanted.flatten(), name.as_bytes());
            }
            path.into_iter()
                .for_each(|path| std::fs::remove_file(path).expect("the credential was written"));
        }
        Plan::Path {} => {
            // (Shown, not opened: it could lead anywhere.)
            let Ok(name) = std::str::from_utf8(text) else { return };
            let shown = |name: &str| format!("{:?}", KeySource::file(name));
            let is_key = name.starts_with("hex:") || name.starts_with("base64:");
            assert!(!is_key || shown(name) == shown("hex:00"), "a path that is a key is shown");
        }
    }
}

fn check(key: oubliette::Result<[u8; 32]>, expected: Option<[u8; 32]>, hidden: &[u8]) {
    match (key, expected) {
        (Ok(key), Some(expected)) => assert_eq!(key, expected, "the text means another key"),
        (Err(Error::KeyUnavailable { origin, problem }), None) => {
            // A key in the place of a name: it has a colon or an equals sign.
            let shown = format!("{origin} {problem}");
            let is_key = hidden.len() > 8
                && hidden.iter().any(|b| matches!(b, b':' | b'='))
                && hidden.iter().all(u8::is_ascii_graphic);
            assert!(
                !is_key || !shown.contains(&*String::from_utf8_lossy(hidden)),
                "an error shows the text"
            );
        }
        (Ok(_), None) => panic!("it was accepted"),
        (Err(error), expected) => panic!("{error:?}, not {:?}", expected.map(|_| "a key")),
    }
}

/// The key that a text stands for, read as the documentation says.
fn expected(text: &[u8], newline_allowed: bool) -> Option<[u8; 32]> {
    let text = std::str::from_utf8(text).ok()?;
    let text = match newline_allowed {
        true => text.strip_suffix("\r\n").or(text.strip_suffix('\n')).unwrap_or(text),
        false => text,
    };
    let bytes: Vec<u8> = if let Some(digits) = text.strip_prefix("hex:") {
        let digits: Option<Vec<u32>> = digits.chars().map(|c| c.to_digit(16)).collect();
        digits?
            .chunks(2)
            .map(|pair| (pair.len() == 2).then(|| (pair[0] * 16 + pair[1]) as u8))
            .collect::<Option<_>>()?
    } else {
        let digits =
            text.strip_prefix("base64:").filter(|digits| digits.len() == 44)?.strip_suffix('=')?;
        const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let values: Option<Vec<u32>> =
            digits.chars().map(|c| ALPHABET.find(c).map(|at| at as u32)).collect();
        let values = values?;
        let bits = |quad: &[u32]| quad.iter().fold(0, |bits, value| bits << 6 | value);
        let (whole, last) = values.split_at(values.len() / 4 * 4);
        let mut bytes: Vec<u8> =
            whole.chunks(4).flat_map(|quad| bits(quad).to_be_bytes()[1..].to_vec()).collect();
        // Three digits: two bytes, and two bits that must be zero.
        let last = bits(last);
        if last & 3 != 0 {
            return None;
        }
        bytes.extend_from_slice(&(last >> 2).to_be_bytes()[2..]);
        bytes
    };
    let key: [u8; 32] = bytes.try_into().ok()?;
    key.iter().any(|byte| *byte != key[0]).then_some(key)
}

/// Whether this can be a variable's or credential's name.
fn is_name(name: &str) -> bool {
    let bad = |c: char| !('!'..='~').contains(&c) || "/:=".contains(c);
    !name.is_empty() && name.len() < 256 && !name.contains(bad) && name != "." && name != ".."
}

fn write(name: &str, text: &[u8], mode: u32) -> PathBuf {
    let path: &Path = FOLDER.0.path();
    let path = path.join(name);
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, text).expect("the file can be written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
        .expect("the mode can be set");
    path
}
