//! The socket of a store that is open in this process: what is asked for is done, and a hostile
//! peer gets nothing, holds nothing up, and costs a bounded amount.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests may")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use oubliette::*;
use oubliette_control::{Answer, Client, ControlSocket, Fault, Part, Request, Served, Whom, kind};
use oubliette_testkit::accounts::*;
use oubliette_testkit::disk::{Home, again};

const GREETING: &str = "{\"oubliette_control\":1,\"oldest\":1}\n";
const STATS: &str = "{\"version\":1,\"request\":{\"verb\":\"stats\"}}\n";
const SOON: Duration = Duration::from_millis(200);
const MINUTE: Duration = Duration::from_secs(60);

/// An app with a socket.
struct App {
    home: Home,
    store: TokenStore,
    control: Option<ControlSocket>,
    served: Receiver<Served>,
}

impl App {
    fn new() -> Self {
        Self::patient(MINUTE)
    }

    fn patient(timeout: Duration) -> Self {
        let home = Home::new();
        let store = home.open();
        let (told, served) = channel();
        let control = ControlSocket::builder(&store)
            .backups_below(home.beside("backups"))
            .request_timeout(timeout)
            .on_request(move |request| drop(told.send(request.clone())))
            .start()
            .unwrap();
        Self { home, store, control: Some(control), served }
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("control")
    }

    /// Greeted, and nothing said yet.
    fn peer(&self) -> UnixStream {
        let peer = UnixStream::connect(self.socket()).unwrap();
        peer.set_read_timeout(Some(MINUTE)).unwrap();
        let mut greeting = [0; GREETING.len()];
        (&peer).read_exact(&mut greeting).unwrap();
        assert_eq!(greeting, GREETING.as_bytes());
        peer
    }

    fn ask(&self, request: &Request) -> Result<Answer, Fault> {
        let client = Client::connect(self.home.path()).unwrap().unwrap();
        client.ask(request, &mut |_| ControlFlow::Continue(()))
    }

    /// What the app's log has heard of the next request that is over.
    fn heard(&self) -> (Option<&'static str>, String) {
        let served = self.served.recv_timeout(MINUTE).unwrap();
        (served.verb, served.outcome)
    }

    fn is_well(&self) {
        assert!(matches!(self.ask(&Request::stats()), Ok(Answer::Stats { .. })));
        assert_eq!(self.heard(), (Some("stats"), "done".into()));
    }
}

fn rest(mut peer: &UnixStream) -> String {
    let mut text = String::new();
    peer.read_to_string(&mut text).unwrap();
    text
}

/// The kind of the fault that is all that the peer is told.
fn fault_of(peer: &UnixStream) -> String {
    fault_in(&rest(peer))
}

fn fault_in(text: &str) -> String {
    let start = "{\"fault\":{\"kind\":\"";
    let told = text.strip_prefix(start).unwrap_or_else(|| panic!("{text}"));
    assert_eq!(text.lines().count(), 1);
    told.split('"').next().unwrap().to_owned()
}

fn user(number: u32) -> Whom {
    Whom::Account { authority: "login.example.com".into(), id: format!("user-{number}") }
}

#[test]
fn there_is_no_socket_unless_the_app_asks_for_one() {
    let home = Home::new();
    let store = home.open();
    assert!(!home.path().join("control").exists());
    assert!(Client::connect(home.path()).unwrap().is_none());
    let control = ControlSocket::builder(&store).start().unwrap();
    assert!(Client::connect(home.path()).unwrap().is_some());
    drop(control);
    assert!(!home.path().join("control").exists());
    // Of a store that this process does not hold there is none.
    let other = store.clone();
    store.close().unwrap();
    assert!(ControlSocket::builder(&other).start().is_err());
    assert!(ControlSocket::builder(&TokenStore::in_memory().unwrap()).start().is_err());
}

#[test]
fn what_is_asked_for_is_done_and_is_in_the_log_without_names() {
    let app = App::new();
    for number in 1..=300 {
        app.store.sign_in(sign_in(number)).unwrap().put(refresh("rt")).unwrap();
    }
    let mut listed = 0;
    let client = Client::connect(app.home.path()).unwrap().unwrap();
    let answer = client.ask(&Request::accounts(None, None), &mut |part| {
        if let Part::Accounts(accounts) = part {
            listed += accounts.len();
        }
        ControlFlow::Continue(())
    });
    assert!(
        matches!(answer, Ok(Answer::Accounts { listed: 300, more: false, .. })) && listed == 300
    );

    let signed_out = app.ask(&Request::sign_out(user(7))).unwrap();
    assert!(matches!(signed_out, Answer::SignOut { ended: Some((1, 1)), .. }), "{signed_out:?}");
    assert!(app.store.account(&account(7)).unwrap().is_empty());
    // It is in the file, and not only in this process.
    assert_eq!(app.home.builder().history().unwrap().records.len(), 1);
    let history = app.ask(&Request::history([user(7)])).unwrap();
    let Answer::History { covering, .. } = &history else { panic!("{history:?}") };
    assert_eq!(covering.len(), 1);

    let backup = app.home.beside("backups/one");
    let path = backup.to_str().unwrap().to_owned();
    for request in [
        Request::stats(),
        Request::sweep(true),
        Request::verify(),
        Request::backup(path.clone()),
        Request::compact(),
    ] {
        let answer = app.ask(&request).unwrap();
        assert!(!format!("{answer:?}").contains("user-"));
    }
    assert!(backup.join("keyring").exists());
    assert_eq!(app.ask(&Request::backup(path)).unwrap_err().kind, kind::EXISTS);
    let nobody = Whom::Tenant { tenant: String::new() };
    assert_eq!(app.ask(&Request::sign_out(nobody)).unwrap_err().kind, "invalid_input");

    let own = fs::metadata(app.home.path()).unwrap().uid();
    // (Each is told behind its answer, and so perhaps behind the next one's.)
    let mut all: Vec<Served> = (0..10).map(|_| app.served.recv_timeout(MINUTE).unwrap()).collect();
    all.sort_by_key(|served| (served.outcome != "done", served.verb));
    let verbs: Vec<_> = all.iter().map(|served| served.verb.unwrap()).collect();
    let expected =
        ["accounts", "backup", "compact", "history", "sign_out", "stats", "sweep", "verify"];
    assert_eq!(verbs[..8], expected);
    assert_eq!((verbs[8], verbs[9]), ("backup", "sign_out"));
    assert_eq!((all[8].outcome.as_str(), all[9].outcome.as_str()), ("exists", "invalid_input"));
    for served in &all {
        assert!(!format!("{served:?}").contains("user-") && served.is_answered);
        if cfg!(target_os = "linux") {
            assert_eq!((served.uid, served.pid), (Some(own), Some(std::process::id() as i32)));
        }
    }
}

const STRANGER: &str = "OUBLIETTE_TEST_STRANGER";

/// Not a test but a child of another user: it asks for everybody's sign-out.
#[test]
fn asking_child() {
    let Ok(path) = std::env::var(STRANGER) else { return };
    // (The folder keeps them out.)
    let Ok(peer) = UnixStream::connect(path) else { return };
    let ask = "{\"version\":1,\"request\":{\"verb\":\"sign_out\",\"whom\":{\"kind\":\"everybody\"},\
               \"signed_in_before\":null,\"only_session\":false}}\n";
    // It may have been turned away already.
    let _ = (&peer).write_all(ask.as_bytes());
    let mut first = String::new();
    BufReader::new(&peer).read_line(&mut first).unwrap();
    assert_eq!(fault_in(&first), kind::NOT_ALLOWED);
    std::process::exit(77);
}

/// Not even if the modes of the folder and the socket let them in.
#[cfg(target_os = "linux")]
#[test]
fn another_user_is_turned_away() {
    let app = App::new();
    if fs::metadata(app.home.path()).unwrap().uid() != 0 {
        // Only root can start a process of another user.
        return;
    }
    app.store.sign_in(sign_in(1)).unwrap();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(app.home.path().parent().unwrap(), 0o755);
    let stranger = || {
        let mut child = again("asking_child");
        child.env(STRANGER, app.socket()).uid(54_321).gid(54_321);
        child.status().unwrap().code()
    };
    assert_ne!(stranger(), Some(77), "the folder's mode keeps them out");
    mode(&app.home.path(), 0o755);
    mode(&app.socket(), 0o666);
    for _ in 0..20 {
        assert_eq!(stranger(), Some(77));
    }
    assert_eq!(app.store.account(&account(1)).unwrap().len(), 1);
    assert!(app.served.try_recv().is_err(), "there was no request");
    app.is_well();
}

#[test]
fn a_flood_is_told_to_come_again_and_holds_nobody_up() {
    let app = App::new();
    let silent: Vec<UnixStream> = (0..8).map(|_| app.peer()).collect();
    for _ in 0..300 {
        let peer = UnixStream::connect(app.socket()).unwrap();
        assert_eq!(fault_of(&peer), kind::BUSY);
    }
    assert_eq!(Client::connect(app.home.path()).unwrap_err().kind, kind::BUSY);
    // The app itself goes on.
    app.store.sign_out(SignOut::everybody()).unwrap();
    // One that goes makes room: it has been noticed once the next peer is greeted.
    for peer in silent {
        peer.shutdown(Shutdown::Both).unwrap();
    }
    let found = (0..10_000).any(|_| match Client::connect(app.home.path()) {
        Ok(client) => client.is_some(),
        Err(fault) => {
            assert_eq!(fault.kind, kind::BUSY);
            std::thread::yield_now();
            false
        }
    });
    assert!(found && app.served.try_recv().is_err());
}

#[test]
fn half_a_request_and_what_is_none_are_refused() {
    let app = App::new();
    let long = "x".repeat(64 << 10);
    let deep = "[".repeat(60 << 10);
    for (sent, expected) in [
        ("\n", kind::MALFORMED),
        ("{}\n", kind::MALFORMED),
        ("\u{0}\u{1}\u{2}\n", kind::MALFORMED),
        ("{\"version\":1,\"request\":{\"verb\":\"erase\"}}\n", kind::MALFORMED),
        ("{\"version\":1,\"request\":{\"verb\":\"stats\",\"but\":1}}\n", kind::MALFORMED),
        ("{\"version\":2,\"anything\":[]}\n", kind::UNSUPPORTED_VERSION),
        (&format!("{deep}\n"), kind::MALFORMED),
        (&format!("{{\"version\":1,\"request\":\"{long}\"}}\n"), kind::MALFORMED),
        (&long, ""),
    ] {
        let peer = app.peer();
        (&peer).write_all(sent.as_bytes()).unwrap();
        if expected.is_empty() {
            // One more byte, without an end of the line.
            (&peer).write_all(b"x").unwrap();
        }
        let mut answer = String::new();
        BufReader::new(&peer).read_line(&mut answer).unwrap();
        let found = fault_in(&answer);
        assert!(found == expected || expected.is_empty() && found == kind::MALFORMED, "{answer}");
        assert!(!answer.contains("anything"), "nothing of it is repeated");
        assert_eq!(app.heard(), (None, found));
    }
    // A half one, hung up.
    for half in [&STATS[..1], &STATS[..20], &STATS[..STATS.len() - 1]] {
        let peer = app.peer();
        (&peer).write_all(half.as_bytes()).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(fault_of(&peer), kind::MALFORMED, "{half}");
        assert_eq!(app.heard(), (None, kind::MALFORMED.into()));
    }
    // Byte by byte is a whole one; and behind it nothing is read.
    let peer = app.peer();
    STATS.bytes().for_each(|byte| (&peer).write_all(&[byte]).unwrap());
    (&peer).write_all(STATS.as_bytes()).unwrap();
    assert_eq!(app.heard(), (Some("stats"), "done".into()));
    app.is_well();
    assert!(app.served.try_recv().is_err());
}

#[test]
fn a_request_has_its_time_however_it_trickles() {
    let app = App::patient(SOON);
    let peer = app.peer();
    // As long as this goes on, each read of the app's gets something; and it is so slow that the
    // request is not too long before a minute is over.
    let trickle = peer.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        while (&trickle).write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let served = app.served.recv_timeout(MINUTE / 2).unwrap();
    assert_eq!((served.verb, served.outcome.as_str()), (None, kind::MALFORMED));
    drop(peer);
    sender.join().unwrap();
    // In silence likewise.
    let peer = app.peer();
    assert_eq!(fault_of(&peer), kind::MALFORMED);
    assert_eq!(app.heard(), (None, kind::MALFORMED.into()));
}

#[test]
fn who_does_not_read_the_answer_is_given_up() {
    let app = App::patient(SOON);
    for number in 0..2000 {
        let id = AccountId::new("login.example.com", format!("{number:0900}")).unwrap();
        app.store.sign_in(SignIn::new(id, tenant(1))).unwrap();
    }
    let peer = app.peer();
    (&peer)
        .write_all(
            b"{\"version\":1,\"request\":{\"verb\":\"accounts\",\"tenant\":null,\"limit\":null}}\n",
        )
        .unwrap();
    let served = app.served.recv_timeout(MINUTE).unwrap();
    assert_eq!((served.verb, served.is_answered), (Some("accounts"), false));
    // Who hangs up in the middle: the sign-out is done all the same.
    let peer = app.peer();
    let ask = "{\"version\":1,\"request\":{\"verb\":\"sign_out\",\"whom\":{\"kind\":\"everybody\"},\
               \"signed_in_before\":null,\"only_session\":false}}\n";
    (&peer).write_all(ask.as_bytes()).unwrap();
    drop(peer);
    assert_eq!(app.heard(), (Some("sign_out"), "done".into()));
    assert_eq!(app.store.history().unwrap().records.len(), 1);
}

#[test]
fn a_backup_goes_nowhere_else() {
    let app = App::new();
    let elsewhere = app.home.beside("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let backups = app.home.beside("backups");
    std::os::unix::fs::symlink(&elsewhere, backups.join("link")).unwrap();
    for path in [
        elsewhere.clone(),
        backups.join("link/a"),
        backups.join("../elsewhere/a"),
        app.home.path().join("a"),
        "a".into(),
    ] {
        let fault = app.ask(&Request::backup(path.to_str().unwrap().into())).unwrap_err();
        assert_eq!(fault.kind, kind::NOT_ALLOWED, "{path:?}");
        assert_eq!(app.heard(), (Some("backup"), kind::NOT_ALLOWED.into()));
    }
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    // Unless the app allows a folder there is no backup at all.
    let control = ControlSocket::builder(&app.store).start().unwrap();
    let path = backups.join("b").to_str().unwrap().to_owned();
    assert_eq!(app.ask(&Request::backup(path)).unwrap_err().kind, kind::NOT_ALLOWED);
    drop(control);
}

/// The store is the app's: it decides when the socket ends, and what was asked for does not.
#[test]
fn the_end_of_the_app() {
    let mut app = App::new();
    let waiting = app.peer();
    let client = Client::connect(app.home.path()).unwrap().unwrap();
    drop(app.control.take());
    assert!(!app.socket().exists());
    assert!(Client::connect(app.home.path()).unwrap().is_none());
    // Who was let in before asks of a store that is not theirs any more.
    (&waiting).write_all(STATS.as_bytes()).unwrap();
    assert_eq!(fault_of(&waiting), "closed");
    let fault = client.ask(&Request::stats(), &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(fault.kind, "closed");
    // No thread of the socket keeps the store open.
    let App { home, store, .. } = app;
    drop(store);
    let store = home.open();
    // And a store that is closed under its socket.
    let control = ControlSocket::builder(&store).start().unwrap();
    let client = Client::connect(home.path()).unwrap().unwrap();
    store.close().unwrap();
    let fault = client.ask(&Request::stats(), &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(fault.kind, "closed");
    // The next process's socket is not taken away.
    let store = home.open();
    let next = ControlSocket::builder(&store).start().unwrap();
    drop(control);
    assert!(Client::connect(home.path()).unwrap().is_some());
    next.stop();
    assert!(Client::connect(home.path()).unwrap().is_none());
}

/// A key service that answers when it is told to. Changing to its key holds up what goes over the
/// whole store.
struct Slow {
    begun: std::sync::mpsc::Sender<()>,
    end: std::sync::Mutex<Receiver<()>>,
}

impl KeyProvider for Slow {
    fn wrap(
        &self,
        _: &[u8; 32],
        _: &WrapContext<'_>,
    ) -> Result<WrappedKey, Box<dyn std::error::Error + Send + Sync>> {
        self.begun.send(()).unwrap();
        let _ = self.end.lock().unwrap().recv();
        Err("it was only to take its time".into())
    }

    fn unwrap(
        &self,
        _: &WrappedKey,
        _: &WrapContext<'_>,
    ) -> Result<Option<Zeroizing<[u8; 32]>>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(None)
    }
}

#[test]
fn one_long_request_at_a_time_and_sign_outs_beside_it() {
    let app = App::new();
    app.store.sign_in(sign_in(1)).unwrap();
    let ((begun, has_begun), (end, may_end)) = (channel(), channel());
    let slow = Slow { begun, end: std::sync::Mutex::new(may_end) };
    let (home, store) = (app.home.path(), app.store.clone());
    std::thread::scope(|scope| {
        scope.spawn(move || store.rotate_key(&KeySource::provider(slow)).unwrap_err());
        has_begun.recv_timeout(MINUTE).unwrap();
        let path = app.home.beside("backups/one").to_str().unwrap().to_owned();
        let request = Request::backup(path);
        let copying = scope.spawn(move || {
            loop {
                let client = Client::connect(&home).unwrap().unwrap();
                match client.ask(&request, &mut |_| ControlFlow::Continue(())) {
                    // The verification below was first.
                    Err(fault) if fault.kind == kind::BUSY => {}
                    done => break done,
                }
            }
        });
        // Until the backup has begun to wait, another long request is carried out.
        let fault = loop {
            match app.ask(&Request::verify()) {
                Ok(answer) => assert!(matches!(answer, Answer::Verify { sound: true, .. })),
                Err(fault) => break fault,
            }
        };
        assert_eq!(fault.kind, kind::BUSY);
        for long in [Request::sweep(false), Request::compact()] {
            assert_eq!(app.ask(&long).unwrap_err().kind, kind::BUSY);
        }
        let signed_out = app.ask(&Request::sign_out(user(1))).unwrap();
        assert!(matches!(signed_out, Answer::SignOut { ended: Some((1, 1)), .. }));
        assert!(matches!(app.ask(&Request::history([])), Ok(Answer::History { .. })));
        end.send(()).unwrap();
        assert!(matches!(copying.join().unwrap(), Ok(Answer::Backup { .. })));
    });
    // And then the next one may.
    assert!(matches!(app.ask(&Request::verify()), Ok(Answer::Verify { .. })));
}

/// `stop` waits for what was asked for, and dropping does not.
#[test]
fn the_app_may_wait_for_what_was_asked_for() {
    let home = Home::new();
    let store = home.open();
    let ((told, served), (leave, may_leave)) = (channel(), channel());
    let may_leave = std::sync::Mutex::new(may_leave);
    let control = ControlSocket::builder(&store)
        .on_request(move |request| {
            may_leave.lock().unwrap().recv().unwrap();
            told.send(request.verb).unwrap();
        })
        .start()
        .unwrap();
    let client = Client::connect(home.path()).unwrap().unwrap();
    client.ask(&Request::stats(), &mut |_| ControlFlow::Continue(())).unwrap();
    std::thread::scope(|scope| {
        let stopping = scope.spawn(move || {
            control.stop();
            served.try_recv()
        });
        // It is closed first, and then it waits.
        while home.path().join("control").exists() {
            std::thread::yield_now();
        }
        (0..1000).for_each(|_| std::thread::yield_now());
        leave.send(()).unwrap();
        assert_eq!(stopping.join().unwrap(), Ok(Some("stats")));
    });
}

/// What listens may be somebody else, and may say anything.
#[test]
fn a_hostile_app_is_believed_nothing() {
    let home = Home::new();
    home.open().close().unwrap();
    let listener = UnixListener::bind(home.path().join("control")).unwrap();
    let cases: [(&str, &str, &str); 8] = [
        ("", "", "none"),
        ("hello\n", "", "io"),
        ("{\"oubliette_control\":9,\"oldest\":8}\n", "", kind::UNSUPPORTED_VERSION),
        (GREETING, "", kind::INDETERMINATE),
        (GREETING, "{\"answer\":", kind::INDETERMINATE),
        (GREETING, "{\"answer\":{\"of\":\"nothing\"}}\n", kind::INDETERMINATE),
        (GREETING, "{\"working\":1}\nnoise\n", kind::INDETERMINATE),
        (GREETING, "{\"fault\":{\"kind\":\"full\",\"message\":\"m\"}}\n", "full"),
    ];
    for (greeting, answer, expected) in cases {
        let found = std::thread::scope(|scope| {
            let asking = scope.spawn(|| match Client::connect(home.path()) {
                Ok(None) => "none".to_owned(),
                Err(fault) => fault.kind,
                Ok(Some(client)) => {
                    let told = &mut |_| ControlFlow::Continue(());
                    client.ask(&Request::sign_out(user(1)), told).unwrap_err().kind
                }
            });
            let (stream, _) = listener.accept().unwrap();
            (&stream).write_all(greeting.as_bytes()).unwrap();
            if greeting == GREETING {
                BufReader::new(&stream).read_line(&mut String::new()).unwrap();
            }
            let _ = (&stream).write_all(answer.as_bytes());
            drop(stream);
            asking.join().unwrap()
        });
        assert_eq!(found, expected, "{greeting:?} {answer:?}");
    }
}
