//! Child processes: their roles, and how the parent talks with them, a line at a time.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::time::Duration;

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::disk::{again, builder_at};
use rustix::process::{Pid, Signal, kill_process};

use crate::{kill, linearizability, refresh, traps};

/// The name of what a child is to do.
const ROLE: &str = "OUBLIETTE_PROCESS_ROLE";

/// Before each line that is meant for the parent, as the test harness prints too.
const MARK: &str = "@ ";

/// No child lives longer than this beyond the time that a run by hand takes: one that hangs shall
/// fail its test, and not stop the tests.
const LONGEST: Duration = Duration::from_secs(180);

/// What the child was started for.
pub(crate) fn play() {
    let Ok(role) = std::env::var(ROLE) else { return };
    std::thread::spawn(|| {
        std::thread::sleep(LONGEST);
        eprintln!("a child has not ended");
        std::process::abort();
    });
    match &*role {
        "servant" => serve(),
        "kill" => kill::worker::run(),
        "linearizability" => linearizability::worker::run(),
        "refresh" => refresh::run(),
        _ => panic!("{role}"),
    }
}

/// A store that many processes have open, by the machine's clock.
pub(crate) fn builder(path: &Path) -> Builder {
    builder_at(path).sqlite().clock(SystemClock).max_sign_ins(64)
}

/// A number in the child's environment.
pub(crate) fn number(name: &str) -> u64 {
    std::env::var(name).unwrap().parse().unwrap()
}

/// How long, or how often: by a variable for runs by hand.
pub(crate) fn by_hand(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("it is a number"))
}

/// Nanoseconds by a clock that all processes of the machine share, and that nobody sets.
pub(crate) fn nanoseconds() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

/// Says a line to the parent. (After a line break: the harness has begun a line.)
pub(crate) fn tell(line: &str) {
    let line = format!("\n{MARK}{}\n", line.replace('\n', " "));
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).unwrap();
}

/// What the parent says next; `None` if it has gone.
pub(crate) fn listen() -> Option<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    (!line.is_empty()).then(|| line.trim_end().to_owned())
}

/// A child process, which ends with this value.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    lines: Option<BufReader<ChildStdout>>,
}

impl Process {
    pub(crate) fn start(role: &str, variables: &[(&str, &str)]) -> Self {
        let mut child = again("child")
            .env(ROLE, role)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, lines: Some(BufReader::new(output)) }
    }

    /// A child that does what it is asked to.
    pub(crate) fn servant() -> Self {
        Self::start("servant", &[])
    }

    /// A servant that has the store of this folder open.
    pub(crate) fn with_store(path: &Path) -> Self {
        let mut servant = Self::servant();
        servant.must(&format!("open {}", path.display()));
        servant
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// Its next line; `None` if it has ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        next(self.lines.as_mut().unwrap())
    }

    /// What it says to this.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.hear().unwrap_or_else(|| panic!("it ended at {line:?}: {:?}", self.child.wait()))
    }

    /// What it says, which is no error.
    pub(crate) fn must(&mut self, line: &str) -> String {
        let answer = self.ask(line);
        match answer.strip_prefix("ok") {
            Some(answer) => answer.trim_start().to_owned(),
            None => panic!("{line}: {answer}"),
        }
    }

    /// Its lines, for a thread that reads them.
    pub(crate) fn take_lines(&mut self) -> BufReader<ChildStdout> {
        self.lines.take().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it, by `kill -9`.
    pub(crate) fn kill(&mut self) -> ExitStatus {
        self.child.kill().unwrap();
        self.child.wait().unwrap()
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next line of a child's that is for the parent.
pub(crate) fn next(lines: &mut impl BufRead) -> Option<String> {
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        if let Some(told) = line.strip_suffix('\n').and_then(|line| line.strip_prefix(MARK)) {
            return Some(told.to_owned());
        }
    }
}

/// What a result is in a line: `ok`, or `no` with the error.
pub(crate) fn said<T>(result: Result<T>, show: impl FnOnce(T) -> String) -> String {
    match result {
        Ok(value) => format!("ok {}", show(value)),
        Err(error) => format!("no {error:?}"),
    }
}

/// Does what the parent asks for, until it has gone.
fn serve() {
    let mut store = None;
    while let Some(line) = listen() {
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match *words {
            ["open", path] => open(&mut store, builder(Path::new(path))),
            ["open", path, "with-ledger", ledger] => {
                open(&mut store, builder(Path::new(path)).ledger_dir(ledger))
            }
            // As a caller that knows nothing of SQLite.
            ["open-any", path] => open(&mut store, builder_at(Path::new(path)).clock(SystemClock)),
            ["open-keyed", path, key] => {
                open(&mut store, builder(Path::new(path)).key(self::key(key)))
            }
            ["open-forgetting", path] => {
                open(&mut store, builder(Path::new(path)).on_damage(OnDamage::ForgetEveryone))
            }
            ["open-again", path] => said(builder(Path::new(path)).open(), |_| String::new()),
            ["history", path] => {
                let history = builder(Path::new(path)).history();
                said(history, |history| history.records.len().to_string())
            }
            ["close"] => said(store.take().unwrap().close(), |()| String::new()),
            ["umask", mask] => {
                let mask = u32::from_str_radix(mask, 8).unwrap();
                rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
                "ok".into()
            }
            ["hold", path] => traps::hold(path),
            ["fork", end] => traps::fork(&mut store, end),
            _ => with_store(store.as_ref().expect("it is open"), &words),
        };
        tell(&answer);
    }
}

fn open(store: &mut Option<TokenStore>, builder: Builder) -> String {
    let opened = builder.open();
    said(opened, |opened| {
        let missing = opened.opened().engine_was_missing;
        *store = Some(opened);
        if missing { "missing".into() } else { String::new() }
    })
}

fn with_store(store: &TokenStore, words: &[&str]) -> String {
    let user = |text: &str| text.parse::<u32>().unwrap();
    match *words {
        // Signs in, with a refresh token.
        ["in", n, token] => {
            let request = sign_in(user(n)).session(session(user(n))).subject(subject(user(n)));
            let live = store.sign_in(request);
            said(live.and_then(|live| live.put(refresh(token))), |_| String::new())
        }
        ["put", n, token] => said(
            store.account(&account(user(n))).and_then(|lives| lives[0].put(refresh(token))),
            |_| String::new(),
        ),
        // The refresh tokens of an account.
        ["get", n] => said(tokens(store, user(n)), |found| found.join(" ")),
        ["out", n] => said(store.sign_out(SignOut::account(&account(user(n)))), |receipt| {
            receipt.position.to_string()
        }),
        // Both count, or none.
        ["out-both", n, m] => {
            let both = SignOut::account(&account(user(n)));
            let both = both.and(SignOutScope::Account(account(user(m))));
            said(store.sign_out(both), |_| String::new())
        }
        ["out-session", n] => {
            said(store.sign_out(SignOut::session(&session(user(n)))), |_| String::new())
        }
        ["verify"] => said(store.verify(), |report| format!("{report:?}")),
        // Signs in and out, so often.
        ["restless", times] => said(restless(store, user(times)), |()| String::new()),
        ["rotate", key] => said(store.rotate_key(&self::key(key)), |()| String::new()),
        ["backup", path] => said(store.backup(path), |report| format!("{report:?}")),
        ["compact"] => said(store.compact(), |report| format!("{report:?}")),
        ["stats"] => said(store.stats(), |stats| format!("{stats:?}")),
        ["sweep"] => said(store.sweep(1000), |report| format!("{report:?}")),
        _ => traps::with_store(store, words),
    }
}

fn restless(store: &TokenStore, times: u32) -> Result<()> {
    for number in 0..times {
        let live = store.sign_in(sign_in(2000 + number % 7))?;
        live.put(refresh("restless"))?;
        if number % 3 == 0 {
            store.sign_out(SignOut::account(&account(2000 + number % 7)))?;
        }
    }
    Ok(())
}

fn key(number: &str) -> KeySource {
    KeySource::bytes([number.parse().unwrap(); 32])
}

/// The refresh tokens of an account.
pub(crate) fn tokens(store: &TokenStore, number: u32) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for live in store.account(&account(number))? {
        found.extend(live.refresh_token(&client())?.map(|token| token.secret.expose().to_owned()));
    }
    Ok(found)
}
