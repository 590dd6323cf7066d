//! Where the store is, who has it, and what the program says if it cannot have it.

use std::fs;
use std::process::Stdio;

use crate::site::*;

/// The words of a failure.
fn message(site: &ProgramFixture, code: i32, args: &[&str]) -> String {
    site.fails(code, args)["message"].as_str().unwrap().to_owned()
}

#[test]
fn an_error_names_the_file_the_variable_and_the_flag() {
    let mut site = ProgramFixture::with_store();
    site.make_key("other");
    let says = |code, args: &[&str], all: &[&str]| {
        let said = message(&site, code, args);
        assert!(all.iter().all(|word| said.contains(word)), "{args:?}: {said}");
    };
    says(6, &["--key-file", "other", "stats"], &["\"other\" (--key-file)"]);
    let both = ["--key-file", "other", "--previous-key-file", "other", "stats"];
    says(6, &both, &["\"other\" (--key-file)", "\"other\" (--previous-key-file)"]);
    says(7, &["--key-file", "none", "stats"], &["\"none\""]);
    says(7, &["--key-credential", "name", "stats"], &["systemd credential name"]);
    says(2, &["sign-out", "--account", "", "b"], &["--account: "]);
    says(2, &["history", "--app-account", "a", ""], &["--app-account: "]);
    says(2, &["accounts", "--tenant", ""], &["--tenant: "]);
    says(2, &["sign-out", "--alias", ""], &["--alias: "]);
    says(12, &["keygen", "--out", "no/such/folder/key"], &["no/such/folder/key"]);

    let bare = |variables: &[(&str, &str)]| {
        let mut command = site.bare(&["--store", "tokens", "stats"]);
        command.envs(variables.iter().copied());
        let ran = site.check(&command.output().unwrap());
        (ran.code, ran.stderr)
    };
    let (code, said) = bare(&[]);
    let ways = ["--key-file", "--key-credential", "OUBLIETTE_KEY_FILE"];
    assert!(code == 7 && ways.iter().all(|way| said.contains(way)), "{said}");
    let (code, said) = bare(&[("OUBLIETTE_KEY_FILE", "none")]);
    assert!(
        code == 7 && said.contains("\"none\", which the variable OUBLIETTE_KEY_FILE"),
        "{said}"
    );
    let (code, said) = bare(&[("OUBLIETTE_KEY_FILE", "other")]);
    assert!(code == 6 && said.contains("\"other\" (OUBLIETTE_KEY_FILE)"), "{said}");

    let ledger = oubliette_testkit::disk::entry(&site.path("tokens"), "ledger-");
    fs::remove_file(&ledger).unwrap();
    fs::create_dir(&ledger).unwrap();
    says(12, &["stats"], &[ledger.file_name().unwrap().to_str().unwrap()]);
}

#[cfg(unix)]
#[test]
fn the_flag_for_a_key_that_others_can_read_is_named() {
    let site = ProgramFixture::with_store();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(site.path("key"), mode).unwrap();
    let said = message(&site, 7, &["stats"]);
    assert!(said.contains("--allow-readable-key") && !said.contains("allow_readable"), "{said}");
}

#[test]
fn who_has_the_store_is_said_and_can_be_waited_for() {
    let site = ProgramFixture::with_store();
    let store = site.open();
    let error = site.fails(5, &["stats"]);
    assert_eq!(
        (&error["kind"], &error["pid"]),
        (&"already_open".into(), &std::process::id().into())
    );
    let said = error["message"].as_str().unwrap();
    assert!(said.contains("--wait SECONDS") && said.contains("lock\""), "{said}");
    let mut waiting = ["stats", "verify"]
        .map(|verb| site.command(&["--wait", "60", verb]).stdout(Stdio::null()).spawn().unwrap());
    store.close().unwrap();
    for child in &mut waiting {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

/// A copy of a store that a user may read and nothing else, as from a snapshot of a volume.
#[cfg(unix)]
#[test]
fn a_copy_that_cannot_be_written_to_is_verified() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;

    let site = ProgramFixture::with_store();
    fill(&site.open(), 3);
    fs::remove_file(site.path("tokens/lock")).unwrap();
    let mut all = vec![site.folder.path().to_owned()];
    let mut next = 0;
    while let Some(folder) = all.get(next).cloned() {
        all.extend(fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()));
        next += 1;
    }
    let set = |file: u32, folder: u32| {
        for path in &all {
            let mode = if path.is_dir() { folder } else { file };
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    set(0o444, 0o555);
    let mut command = site.command(&["--json", "--allow-readable-key", "verify"]);
    if fs::metadata(site.folder.path()).unwrap().uid() == 0 {
        // Nothing is read-only for root.
        command.uid(65_534).gid(65_534);
    }
    let out = command.output();
    set(0o600, 0o700);
    let ran = site.check(&out.unwrap());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("\"sound\":true") && ran.stdout.contains("\"accounts\":3"));
    assert!(!site.path("tokens/lock").exists());
}
