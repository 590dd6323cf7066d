//! Where keys come from, and every input that is refused.

use super::*;

const HEX: &str = "hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const BASE64: &str = "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Parts of the key, in both spellings, which no text may show.
const NEEDLES: [&str; 4] = ["08090a0b", "ICQoLDA0", "[0, 1, 2", "8, 9, 10"];

/// The 32 bytes, or the error's text, which shows no key.
fn load(source: &KeySource, env: &[(&str, &str)]) -> std::result::Result<[u8; 32], String> {
    let lookup =
        |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(*value));
    match source.load_from(&lookup) {
        Ok(Offered::Local(key)) => Ok(*key.bytes()),
        Ok(Offered::Provider(_)) => Err("a provider".into()),
        Err(error @ Error::KeyUnavailable { .. }) => {
            let all = format!("{error} {error:?} {source:?}");
            assert!(NEEDLES.iter().all(|needle| !all.contains(needle)), "{all}");
            Err(error.to_string())
        }
        Err(other) => panic!("{other}"),
    }
}

fn refused(source: &KeySource, env: &[(&str, &str)], why: &str) {
    let text = load(source, env).unwrap_err();
    assert!(text.contains(why), "{text:?} does not say {why:?}");
}

fn the_key() -> [u8; 32] {
    std::array::from_fn(|i| u8::try_from(i).unwrap())
}

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        #[cfg(not(unix))]
        let _ = mode;
        path
    }
}

#[test]
fn a_variable_holds_hex_or_base64_of_32_bytes() {
    let source = KeySource::env("K");
    assert_eq!(load(&source, &[("K", HEX)]), Ok(the_key()));
    assert_eq!(load(&source, &[("K", &HEX.replace('a', "A"))]), Ok(the_key()));
    assert_eq!(load(&source, &[("K", BASE64)]), Ok(the_key()));
}

#[test]
fn anything_else_in_a_variable_is_refused() {
    let half = &HEX[..HEX.len() - 2];
    let bad = [
        "",
        "hex:",
        "base64:",
        "correct horse battery staple",
        "0123456789abcdef0123456789abcdef",
        &HEX[4..],
        &BASE64[7..],
        half,
        &format!("{HEX}00"),
        &format!("{half}0"),
        &format!("{half}0g"),
        &format!("{half} f"),
        &format!("{HEX}\n"),
        &format!(" {HEX}"),
        &HEX.replace("hex:", "HEX:"),
        &HEX.replace("hex:", "hex: "),
        &HEX.replace("hex:", "base64:"),
        &BASE64.replace("base64:", "hex:"),
        BASE64.trim_end_matches('='),
        // 31 and 33 bytes; bits left over; the other alphabet.
        "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==",
        "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g",
        "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=",
        "base64:__ECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "hex:\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
    ];
    for text in bad {
        refused(&KeySource::env("K"), &[("K", text)], "32 random bytes");
    }
    for byte in ["00", "07", "ff"] {
        refused(&KeySource::env("K"), &[("K", &format!("hex:{}", byte.repeat(32)))], "placeholder");
    }
}

#[test]
fn a_variable_or_the_file_of_the_variable_but_not_both() {
    let dir = Dir::new();
    let path = dir.file("key", HEX, 0o400);
    let path = path.to_str().unwrap();
    let source = KeySource::env("K");
    assert_eq!(load(&source, &[("K_FILE", path)]), Ok(the_key()));
    refused(&source, &[("K_FILE", path), ("K", HEX)], "both are set");
    refused(&source, &[("K_FILE", path), ("K", "")], "both are set");
    refused(&source, &[], "neither is set");
    refused(&source, &[("K_FILE", "/does/not/exist")], "cannot be read");
    refused(&source, &[("K_FILE", "")], "cannot be read");
}

#[test]
fn an_error_names_the_variable_and_the_file_that_it_is_about() {
    let dir = Dir::new();
    let path = dir.file("key", "no key", 0o400);
    let path = path.to_str().unwrap();
    let source = KeySource::env("K");
    refused(&source, &[], "the environment variable K or K_FILE: neither");
    refused(&source, &[("K", "no key")], "the environment variable K: it must be");
    let file = format!("the file {path:?}, which the variable K_FILE names: it must be");
    refused(&source, &[("K_FILE", path)], &file);
    refused(&source, &[("K_FILE", "/no/file")], "\"/no/file\", which the variable K_FILE names");
    let env = [("CREDENTIALS_DIRECTORY", dir.0.path().to_str().unwrap())];
    let file = format!("the systemd credential key, the file {path:?}: it must be");
    refused(&KeySource::systemd("key"), &env, &file);
}

#[test]
fn a_key_in_the_wrong_place_is_not_shown() {
    // Also without its prefix, which makes it no key of ours, and still a secret.
    for key in [HEX, BASE64, &HEX[4..], &BASE64[7..], BASE64[7..].trim_end_matches('=')] {
        for source in [KeySource::env("K"), KeySource::file(key)] {
            let text = load(&source, &[("K_FILE", key)]).unwrap_err();
            let is_hidden = text.contains("looks like a key") && !text.contains(&key[..12]);
            assert!(is_hidden, "{text}");
        }
    }
    refused(&KeySource::env("K"), &[("K_FILE", HEX)], "cannot be read");
    refused(&KeySource::env("K"), &[("K_FILE", BASE64)], "cannot be read");
    for key in [HEX, BASE64, &BASE64[7..]] {
        refused(&KeySource::env(key), &[], "not the name of a variable");
        refused(&KeySource::systemd(key), &[], "not the name of a credential");
    }
    refused(&KeySource::file(HEX), &[], "looks like a key");
    refused(&KeySource::file(BASE64), &[], "looks like a key");
}

#[test]
fn a_file_may_end_in_one_newline() {
    let dir = Dir::new();
    for (name, end) in [("none", ""), ("unix", "\n"), ("windows", "\r\n")] {
        assert_eq!(
            load(&KeySource::file(dir.file(name, format!("{HEX}{end}"), 0o400)), &[]),
            Ok(the_key())
        );
    }
    for (name, end) in
        [("two", "\n\n"), ("space", " \n"), ("return", "\r"), ("zero", "\0"), ("more", "\nx")]
    {
        refused(
            &KeySource::file(dir.file(name, format!("{HEX}{end}"), 0o400)),
            &[],
            "32 random bytes",
        );
    }
    refused(
        &KeySource::file(dir.file("before", format!("\n{HEX}"), 0o400)),
        &[],
        "32 random bytes",
    );
    refused(&KeySource::file(dir.file("empty", "", 0o400)), &[], "32 random bytes");
    refused(&KeySource::file(dir.file("raw", the_key(), 0o400)), &[], "32 random bytes");
}

#[test]
fn a_file_is_small_and_regular() {
    let dir = Dir::new();
    refused(&KeySource::file(dir.file("4096", vec![b'h'; 4096], 0o400)), &[], "32 random bytes");
    refused(&KeySource::file(dir.file("4097", vec![b'h'; 4097], 0o400)), &[], "larger than 4 KiB");
    refused(&KeySource::file(dir.0.path()), &[], "regular file");
    refused(&KeySource::file(dir.0.path().join("absent")), &[], "cannot be read");
    refused(&KeySource::file(""), &[], "cannot be read");
    #[cfg(unix)]
    {
        refused(&KeySource::file("/dev/zero"), &[], "regular file");
        // Opening a pipe that has no writer would wait for ever.
        let pipe = dir.0.path().join("pipe");
        if std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .is_ok_and(|status| status.success())
        {
            refused(&KeySource::file(pipe), &[], "regular file");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_file_is_its_owners_alone() {
    let dir = Dir::new();
    let path = dir.file("key", HEX, 0o400);
    let path_text = path.to_str().unwrap();
    let with = |mode| dir.file("key", HEX, mode);
    for mode in [0o400, 0o600, 0o700] {
        assert_eq!(load(&KeySource::file(with(mode)), &[]), Ok(the_key()), "{mode:o}");
    }
    for mode in [0o404, 0o440, 0o444, 0o604, 0o640, 0o644] {
        refused(&KeySource::file(with(mode)), &[], "defaultMode: 0400");
        refused(&KeySource::env("K"), &[("K_FILE", path_text)], "allow_readable_by_others");
        assert_eq!(
            load(&KeySource::file(&path).allow_readable_by_others(), &[]),
            Ok(the_key()),
            "{mode:o}"
        );
        assert_eq!(
            load(&KeySource::env("K").allow_readable_by_others(), &[("K_FILE", path_text)]),
            Ok(the_key()),
            "{mode:o}"
        );
    }
    for mode in [0o402, 0o420, 0o606, 0o660, 0o666, 0o777] {
        refused(&KeySource::file(with(mode)), &[], "written to by others");
        refused(&KeySource::file(&path).allow_readable_by_others(), &[], "written to by others");
        refused(
            &KeySource::env("K").allow_readable_by_others(),
            &[("K_FILE", path_text)],
            "written to by others",
        );
    }
}

/// `key -> ..data/key`, `..data -> ..2026_11_21/`, and 0644: a secret volume as Kubernetes mounts
/// it.
#[cfg(unix)]
#[test]
fn a_kubernetes_secret_needs_its_mode_or_leave() {
    use std::os::unix::fs::symlink;
    let dir = Dir::new();
    fs::create_dir(dir.0.path().join("..2026_11_21")).unwrap();
    symlink("..2026_11_21", dir.0.path().join("..data")).unwrap();
    symlink("..data/key", dir.0.path().join("key")).unwrap();
    let path = dir.0.path().join("key");
    dir.file("..2026_11_21/key", HEX, 0o644);
    refused(&KeySource::file(&path), &[], "defaultMode: 0400");
    assert_eq!(load(&KeySource::file(&path).allow_readable_by_others(), &[]), Ok(the_key()));
    dir.file("..2026_11_21/key", HEX, 0o400);
    assert_eq!(load(&KeySource::file(&path), &[]), Ok(the_key()));
}

#[test]
fn a_systemd_credential_is_a_file_in_its_directory() {
    let dir = Dir::new();
    dir.file("oubliette.key", format!("{HEX}\n"), 0o400);
    let env = [("CREDENTIALS_DIRECTORY", dir.0.path().to_str().unwrap())];
    let source = KeySource::systemd("oubliette.key");
    assert_eq!(load(&source, &env), Ok(the_key()));
    refused(&source, &[], "LoadCredential=");
    refused(&source, &[("CREDENTIALS_DIRECTORY", "")], "LoadCredential=");
    refused(&source, &[("CREDENTIALS_DIRECTORY", "relative")], "LoadCredential=");
    refused(&KeySource::systemd("absent"), &env, "cannot be read");
    for name in ["", ".", "..", "../key", "/etc/key", "a/b", "a b"] {
        refused(&KeySource::systemd(name), &env, "not the name");
    }
    #[cfg(unix)]
    {
        // With an access control list the mode shows the group's bits.
        dir.file("oubliette.key", HEX, 0o440);
        assert_eq!(load(&source, &env), Ok(the_key()));
        for (mode, why) in [(0o444, "can be read by others"), (0o402, "written to by others")] {
            dir.file("oubliette.key", HEX, mode);
            refused(&source, &env, why);
            assert!(
                load(&KeySource::systemd("oubliette.key").allow_readable_by_others(), &env)
                    .is_err()
            );
        }
    }
}

#[test]
fn bytes_are_taken_as_they_are_unless_nobody_filled_them() {
    assert_eq!(load(&KeySource::bytes(the_key()), &[]), Ok(the_key()));
    refused(&KeySource::bytes([0; 32]), &[], "all zeros");
}

#[test]
fn a_bad_name_is_refused() {
    for name in ["", "A=B", "A B", "A\0B", "A:B", "\u{e9}"] {
        refused(&KeySource::env(name), &[(name, HEX)], "not the name");
    }
}

#[test]
fn previous_keys_come_in_the_order_they_were_added() {
    let source = KeySource::env("A")
        .previous(KeySource::env("B").previous(KeySource::env("C").previous(KeySource::env("D"))))
        .previous(KeySource::env("E"));
    let names: String = source
        .all()
        .map(|(_, s)| if let Origin::Env(name) = &s.from { name.as_str() } else { "?" })
        .collect();
    assert_eq!(names, "ABCDE");
}

#[test]
fn debug_shows_kind_and_name_only() {
    let source = KeySource::file("/etc/key")
        .previous(KeySource::bytes(the_key()))
        .previous(KeySource::env("K"))
        .previous(KeySource::systemd("cred"))
        .previous(KeySource::env(HEX));
    let text = format!("{source:?} {source:#?}");
    assert!(
        ["\"/etc/key\"", "the program", "K_FILE", "cred", "invalid name"]
            .iter()
            .all(|part| text.contains(part)),
        "{text}"
    );
    assert!(NEEDLES.iter().all(|needle| !text.contains(needle)), "{text}");
}
