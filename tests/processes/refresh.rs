//! One refresh token, and several processes that want an access token at the same time.
//!
//! The token endpoint is the parent, which counts what is sent to it.
//!
//! `OUBLIETTE_EXPIRIES` sets how often the tokens expire.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::disk::{Home, say};

use crate::child::{Process, builder, by_hand, listen, said, tell};
use crate::traps::holder;

const FOLDER: &str = "OUBLIETTE_REFRESH_FOLDER";
const ENDPOINT: &str = "OUBLIETTE_REFRESH_ENDPOINT";

const PROCESSES: usize = 4;

/// A process that gets an access token when it is told to.
pub(crate) fn run() {
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    let endpoint = std::env::var(ENDPOINT).unwrap();
    let clock = ManualClock::new(now());
    let store = builder(&folder).clock(clock.clone()).open().unwrap();
    let live = store.account(&account(1)).unwrap().remove(0);
    let orphans = Arc::new(Mutex::new(Vec::new()));
    let of = orphans.clone();
    let acquirer = Acquirer::new().on_orphaned(move |orphaned| {
        let refresh = |token: &Token| match token {
            Token::Refresh(token) => Some(token.secret.expose().to_owned()),
            _ => None,
        };
        of.lock().unwrap().extend(orphaned.tokens.iter().filter_map(refresh));
    });
    tell("ready");
    while let Some(line) = listen() {
        match &*line {
            "acquire" | "acquire-now" => {
                let acquirer = match &*line {
                    "acquire" => acquirer.clone(),
                    _ => acquirer.clone().give_up_after(Duration::ZERO),
                };
                let got = acquirer.acquire(&live, query("mail"), |grant| redeem(&endpoint, grant));
                let orphans = std::mem::take(&mut *orphans.lock().unwrap()).join(",");
                tell(&match got {
                    Ok(token) => format!("ok {} {orphans}", token.secret.expose()),
                    Err(error) => format!("no {error:?}"),
                });
            }
            "stored" => {
                let stored = live.refresh_token(&client());
                tell(&said(stored, |token| token.unwrap().secret.expose().to_owned()));
            }
            "end" => return,
            // All tokens that were got so far have expired.
            _ => {
                clock.advance(Duration::from_secs(2 * 3600));
                tell("ok");
            }
        }
    }
}

fn redeem(endpoint: &str, grant: &Grant) -> Result<Tokens, RefreshError> {
    let mut stream = TcpStream::connect(endpoint).map_err(RefreshError::failed)?;
    writeln!(stream, "{}", grant.refresh_token().unwrap().secret.expose())
        .map_err(RefreshError::failed)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(RefreshError::failed)?;
    let (access, refresh) = answer
        .trim_end()
        .split_once(' ')
        .ok_or_else(|| RefreshError::invalid_grant("the endpoint does not know it"))?;
    let access = grant.access_token(None, access, Duration::from_secs(3600));
    Ok([access.into(), grant.next_refresh_token(refresh).into()].into())
}

/// What the endpoint has seen since it was last asked.
#[derive(Default)]
struct Seen {
    /// The refresh tokens that were sent.
    sent: Vec<String>,
    /// The refresh tokens that were issued for them.
    issued: Vec<String>,
    serial: u32,
    /// Which it takes.
    valid: BTreeSet<String>,
    /// The next request gets no answer, and this is told that it has come.
    unanswered: Option<Sender<()>>,
}

/// Takes a token as often as it is sent, until the next expiry: many providers do for a moment.
fn endpoint() -> (String, Arc<Mutex<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Arc::new(Mutex::new(Seen::default()));
    seen.lock().unwrap().valid.insert("rt-0".into());
    let of = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let seen = of.clone();
            std::thread::spawn(move || {
                let mut sent = String::new();
                let mut input = BufReader::new(stream.try_clone().unwrap());
                input.read_line(&mut sent).unwrap();
                let sent = sent.trim_end().to_owned();
                let mut seen = seen.lock().unwrap();
                let answer = if seen.valid.contains(&sent) {
                    seen.serial += 1;
                    let (at, rt) = (format!("at-{}", seen.serial), format!("rt-{}", seen.serial));
                    seen.issued.push(rt.clone());
                    seen.valid.insert(rt.clone());
                    format!("{at} {rt}\n")
                } else {
                    "\n".into()
                };
                seen.sent.push(sent);
                let unanswered = seen.unanswered.take();
                drop(seen);
                if let Some(arrived) = unanswered {
                    arrived.send(()).unwrap();
                    // Until the process is dead.
                    let _ = input.read_line(&mut String::new());
                    return;
                }
                stream.write_all(answer.as_bytes()).unwrap();
            });
        }
    });
    (address, seen)
}

/// A store in which account 1 has the refresh token `rt-0`, and the endpoint.
struct Site {
    home: Home,
    address: String,
    seen: Arc<Mutex<Seen>>,
}

impl Site {
    fn new() -> Self {
        let home = Home::new();
        let store = builder(&home.path()).clock(ManualClock::new(now())).open().unwrap();
        store.sign_in(sign_in(1)).unwrap().put(refresh("rt-0")).unwrap();
        store.close().unwrap();
        let (address, seen) = endpoint();
        Self { home, address, seen }
    }

    /// A process that has the store open.
    fn process(&self) -> Process {
        let path = self.home.path();
        let variables = [(FOLDER, path.to_str().unwrap()), (ENDPOINT, &*self.address)];
        let mut process = Process::start("refresh", &variables);
        assert_eq!(process.hear().as_deref(), Some("ready"));
        process
    }

    /// Has the process refresh, and returns when the endpoint has its request, which gets no answer.
    fn begin_refresh(&self, process: &mut Process) {
        let (arrived, has_arrived) = channel();
        self.seen.lock().unwrap().unanswered = Some(arrived);
        process.say("acquire");
        has_arrived.recv().unwrap();
    }

    /// The files of leases.
    fn leases(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.home.path().join("leases")).unwrap();
        let files = files.map(|entry| entry.unwrap().path());
        files.filter(|path| path.file_name().unwrap() != "turn").collect()
    }
}

/// Lets all processes acquire at the same time, after each expiry, and gives how many refreshes were
/// sent each time. The family is never lost.
fn sends(expiries: u64) -> Vec<usize> {
    let site = Site::new();
    let seen = &site.seen;
    let mut processes: Vec<Process> = (0..PROCESSES).map(|_| site.process()).collect();
    let mut counts = Vec::new();
    for _ in 0..expiries {
        processes.iter_mut().for_each(|process| process.say("acquire"));
        let answers: Vec<String> =
            processes.iter_mut().map(|process| process.hear().unwrap()).collect();
        let Seen { sent, issued, .. } = std::mem::take(&mut *seen.lock().unwrap());
        let serial = issued.iter().filter_map(|rt| rt[3..].parse().ok()).max().unwrap();
        let mut lost: BTreeSet<String> = issued.iter().cloned().collect();
        for answer in &answers {
            let Some(("ok", got)) = answer.split_once(' ') else { panic!("{answer}") };
            let (access, orphans) = got.split_once(' ').unwrap();
            assert!(issued.contains(&access.replace("at", "rt")), "{access} of {issued:?}");
            for orphan in orphans.split(',').filter(|orphan| !orphan.is_empty()) {
                assert!(lost.remove(orphan), "{orphan} was handed over, and is not of {issued:?}");
            }
        }
        // Of all that were issued one is in the store, the same for all; the others were redeemed in
        // their turn, or handed over, to be revoked.
        lost.retain(|issued| !sent.contains(issued));
        for process in &mut processes {
            let stored = process.must("stored");
            assert_eq!(lost.iter().collect::<Vec<_>>(), [&stored], "{sent:?}, {issued:?}");
        }
        *seen.lock().unwrap() = Seen { serial, valid: lost, ..Seen::default() };
        counts.push(sent.len());
        for process in &mut processes {
            process.must("expire");
        }
    }
    counts
}

#[test]
fn however_many_are_sent_the_family_is_not_lost() {
    let counts = sends(by_hand("OUBLIETTE_EXPIRIES", 20));
    say(&format!("refreshes sent by {PROCESSES} processes after each expiry: {counts:?}"));
    assert!(counts.iter().all(|count| (1..=PROCESSES).contains(count)), "{counts:?}");
}

#[test]
fn one_refresh_is_sent_after_each_expiry() {
    let counts = sends(by_hand("OUBLIETTE_EXPIRIES", 20));
    assert!(counts.iter().all(|count| *count == 1), "{counts:?}");
}

/// Killed while the provider has its request: one that waits for that refresh, and one that comes
/// later, get the lease, and redeem the same refresh token.
#[test]
fn a_refresh_whose_process_dies_is_done_by_another() {
    for is_waiting in [true, false] {
        let site = Site::new();
        let (mut first, mut second) = (site.process(), site.process());
        site.begin_refresh(&mut first);
        // While it lives, nobody else redeems the token.
        assert!(second.ask("acquire-now").starts_with("no Refresh"));
        assert_eq!(site.seen.lock().unwrap().sent, ["rt-0"]);
        if is_waiting {
            second.say("acquire");
        }
        first.kill();
        if !is_waiting {
            second.say("acquire");
        }
        // (What was issued to the first never came.)
        assert_eq!(second.hear().as_deref(), Some("ok at-2 "));
        assert_eq!(second.must("stored"), "rt-2");
        assert_eq!(site.seen.lock().unwrap().sent, ["rt-0", "rt-0"]);
        let mut third = site.process();
        assert_eq!(third.ask("acquire"), "ok at-2 ");
        assert_eq!(site.seen.lock().unwrap().sent.len(), 2, "the third had a token");
    }
}

/// A process that ends leaves no file of a lease. One that is killed does, and the next that opens
/// the store removes it; but not those of leases that a process has.
#[test]
fn the_files_of_leases_go() {
    let site = Site::new();
    let (mut ending, mut killed) = (site.process(), site.process());
    assert_eq!(ending.ask("acquire"), "ok at-1 ");
    ending.say("end");
    assert!(ending.wait().success());
    assert_eq!(site.leases(), [""; 0].map(PathBuf::from));

    killed.must("expire");
    site.begin_refresh(&mut killed);
    let leases = site.leases();
    assert_eq!(leases.len(), 1, "{leases:?}");
    let _beside = site.process();
    assert_eq!(site.leases(), leases);
    assert_eq!(holder(&leases[0]), Some(killed.id()));
    killed.kill();
    assert_eq!(site.leases(), leases);
    let _next = site.process();
    assert_eq!(site.leases(), [""; 0].map(PathBuf::from));
}
