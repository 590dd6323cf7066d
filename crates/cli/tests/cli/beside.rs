//! The program beside an app that has the store open and listens at a control socket: the same
//! output and exit codes as for a store that nobody has open.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use oubliette::*;
use oubliette_control::{ControlSocket, Served};
use oubliette_testkit::accounts::*;
use serde_json::Value;

use crate::site::*;

/// An app at work in this process.
struct App {
    store: TokenStore,
    control: ControlSocket,
    served: Arc<Mutex<Vec<Served>>>,
}

impl App {
    fn start(site: &ProgramFixture) -> Self {
        let (store, served) = (site.open(), Arc::<Mutex<Vec<Served>>>::default());
        let heard = served.clone();
        let control = ControlSocket::builder(&store)
            .backups_below(site.path("backups"))
            .on_request(move |request| heard.lock().unwrap().push(request.clone()))
            .start()
            .unwrap();
        Self { store, control, served }
    }

    /// Ends it, and gives what its log has heard.
    fn end(self) -> Vec<(Option<&'static str>, String)> {
        self.control.stop();
        self.store.close().unwrap();
        let served = self.served.lock().unwrap();
        served.iter().map(|request| (request.verb, request.outcome.clone())).collect()
    }
}

/// The keys of a report, and the labels of the same report as text.
fn shape(site: &ProgramFixture, args: &[&str]) -> (Vec<String>, Vec<String>) {
    let keys = keys_of(&site.json(args)).into_iter().map(Into::into).collect();
    // (The figures differ, and are the store's own.)
    let label = |line: &str| line.chars().take(16).collect();
    (keys, site.ok(args).lines().map(label).collect())
}

#[test]
fn every_verb_says_beside_the_app_what_it_says_alone() {
    let site = ProgramFixture::with_store();
    let store = site.open();
    fill(&store, 600);
    store.sign_in(SignIn::new(AccountId::app(tenant(3), client()), tenant(3))).unwrap();
    store.sign_out(SignOut::account(&account(9))).unwrap();
    store.close().unwrap();

    // What changes nothing is the same to the byte.
    let account = ["--account", "login.example.com", "user-9", "--tenant", "tenant-1"];
    let same: Vec<Vec<&str>> = [
        &["accounts"] as &[&str],
        &["accounts", "--tenant", "tenant-2", "--limit", "7"],
        &["accounts", "--tenant", "nobody"],
        &["verify"],
        &["history"],
        &["history", "--everybody"],
        &[&["history"], &account[..]].concat(),
    ]
    .iter()
    .flat_map(|args| [args.to_vec(), [&["--json"], *args].concat()])
    .collect();
    let run_all = |site: &ProgramFixture| {
        let run = |args: &Vec<&str>| {
            let ran = site.run(args);
            // Each opening has a record, so the last position differs.
            let lines = ran.stdout.lines().filter(|line| !line.starts_with("position"));
            let mut lines: Vec<String> = lines.map(Into::into).collect();
            if let Some(Ok(mut value)) =
                lines.first().map(|line| serde_json::from_str::<Value>(line))
            {
                value.as_object_mut().unwrap().remove("position");
                lines = vec![value.to_string()];
            }
            (args.join(" "), ran.code, lines, ran.stderr)
        };
        same.iter().map(run).collect::<Vec<_>>()
    };
    // What changes something, or tells of the files, has the same keys and labels.
    let alike: [&[&str]; 5] = [
        &["stats"],
        &["sweep"],
        &["compact"],
        &["sign-out", "--account", "login.example.com", "nobody"],
        &["sign-out", "--everybody", "--yes", "--before", "2001-01-01T00:00:00Z"],
    ];
    let shapes = |site: &ProgramFixture| alike.map(|args| shape(site, args));

    let alone = run_all(&site);
    let app = App::start(&site);
    for (alone, beside) in alone.into_iter().zip(run_all(&site)) {
        assert!(alone == beside, "{}: {:.400?} {:.400?}", alone.0, alone, beside);
    }
    let mut heard = app.end();
    let alone = shapes(&site);
    let app = App::start(&site);
    for (alone, beside) in alone.into_iter().zip(shapes(&site)) {
        assert_eq!(alone, beside);
    }
    heard.extend(app.end());
    assert_eq!(heard.len(), same.len() + 2 * alike.len());
    assert!(heard.iter().all(|(verb, outcome)| verb.is_some() && outcome == "done"), "{heard:?}");
}

#[test]
fn a_sign_out_beside_the_app_is_durable_and_has_its_exit_codes() {
    let site = ProgramFixture::with_store();
    fill(&site.open(), 4);
    let app = App::start(&site);
    let shown = site.json(&["sign-out", "--account", "login.example.com", "user-1"]);
    assert_eq!((&shown["sign_ins_ended"], &shown["nobody"]), (&1.into(), &false.into()));
    assert_eq!(live(&app.store, 4), [2, 3, 4]);
    let session = ["sign-out", "--session", "https://login.example.com", "session-2"];
    assert_eq!(site.json(&session)["accounts"], 1);
    let nobody = ["sign-out", "--tenant", "x", "--expect-someone"];
    assert_eq!(site.run(&nobody).code, 14);
    assert_eq!(site.fails(2, &["sign-out", "--everybody"])["kind"], "usage");
    assert_eq!(live(&app.store, 4), [3, 4]);
    let record = site.json(&["history", "--account", "login.example.com", "user-1"]);
    assert_eq!(record["signed_out"], true);
    // Neither a key nor the app's own settings are needed for it.
    let ran = site.bare(&["--store", "tokens", "stats"]).output().unwrap();
    assert_eq!(site.check(&ran).code, 0);
    let heard = app.end();
    let mut verbs: Vec<_> = heard.iter().map(|(verb, _)| verb.unwrap()).collect();
    verbs.sort_unstable();
    assert_eq!(verbs, ["history", "sign_out", "sign_out", "sign_out", "stats"]);
    assert_eq!(live(&site.open(), 4), [3, 4]);
}

#[test]
fn a_backup_beside_the_app_goes_where_the_app_allows() {
    let site = ProgramFixture::with_store();
    fill(&site.open(), 3);
    let app = App::start(&site);
    let shown = site.json(&["backup", "backups/monday"]);
    assert_eq!(keys_of(&shown), ["accounts", "live_bytes", "position", "rows", "tampered"]);
    assert_eq!(site.fails(4, &["backup", "backups/monday"])["kind"], "exists");
    for elsewhere in ["copy", "backups", "backups/../copy", "tokens/copy"] {
        let error = site.fails(15, &["backup", elsewhere]);
        let said = error["message"].as_str().unwrap();
        assert!(error["kind"] == "not_allowed" && said.contains("backups\""), "{said}");
    }
    assert!(!site.path("copy").exists());
    app.end();
    site.ok(&["restore", "--yes", "backups/monday"]);
    assert_eq!(live(&site.open(), 3), [1, 2, 3]);
}

#[test]
fn what_the_app_does_not_do_says_what_to_do() {
    let mut site = ProgramFixture::with_store();
    ["new", "cache"].into_iter().for_each(|name| site.make_key(name));
    site.ok(&["backup", "copy"]);
    fs::write(site.path("cache"), msal_cache(std::time::SystemTime::now(), "XTOKENX")).unwrap();
    let verbs: [(&[&str], &str); 4] = [
        (&["rotate-key", "--new-key-file", "new"], "TokenStore::rotate_key"),
        (&["erase", "--yes", "--new-key-file", "new"], "TokenStore::complete_erasure"),
        (&["import-msal", "cache"], "MsalCache::read"),
        (&["restore", "--yes", "copy"], "replaces what it has open"),
    ];
    let all = |site: &ProgramFixture| {
        for (args, advice) in verbs {
            let error = site.fails(5, args);
            let said = error["message"].as_str().unwrap();
            assert!(said.contains(advice) && said.contains("--wait"), "{said}");
        }
    };
    let app = App::start(&site);
    all(&site);
    drop(app.control);
    // Without the socket the other verbs say how there would be one.
    all(&site);
    for args in [&["stats"] as &[&str], &["sign-out", "--tenant", "a"], &["backup", "b"]] {
        let said = site.fails(5, args)["message"].as_str().unwrap().to_owned();
        assert!(said.contains("ControlSocket") && said.contains("--wait"), "{said}");
    }
    site.ok(&["history"]);
    app.store.close().unwrap();
    // A socket of a store that the app has closed leaves it to the program.
    let app = App::start(&site);
    app.store.close().unwrap();
    site.ok(&["stats"]);
    drop(app.control);
}

/// The app ends between the question and the answer.
#[test]
fn a_connection_that_breaks_leaves_the_outcome_unknown() {
    use std::io::{BufRead, BufReader, Write};
    let site = ProgramFixture::with_store();
    let socket: PathBuf = site.path("tokens/control");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let app = std::thread::spawn(move || {
        for _ in 0..4 {
            let (stream, _) = listener.accept().unwrap();
            (&stream).write_all(b"{\"oubliette_control\":1,\"oldest\":1}\n").unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            (&stream).write_all(b"{\"working\":1}\n{\"answer\":").unwrap();
        }
        // And one of another version, which is sent no name.
        for _ in 0..2 {
            let (stream, _) = listener.accept().unwrap();
            (&stream).write_all(b"{\"oubliette_control\":9,\"oldest\":8}\n").unwrap();
            let mut line = String::new();
            assert_eq!(BufReader::new(&stream).read_line(&mut line).unwrap(), 0);
        }
    });
    let sign_out = ["sign-out", "--tenant", "needle"];
    for args in [&sign_out as &[&str], &["stats"]] {
        let error = site.fails(10, args);
        let said = error["message"].as_str().unwrap();
        assert!(error["kind"] == "indeterminate" && !said.contains("needle"), "{said}");
    }
    let error = site.fails(15, &sign_out);
    assert_eq!(error["kind"], "unsupported_version");
    assert!(error["message"].as_str().unwrap().contains("upgrade the program"), "{error}");
    app.join().unwrap();
    // Nobody listens any more: the store is the program's.
    site.ok(&["stats"]);
    let _: Value = site.json(&["stats"]);
}
