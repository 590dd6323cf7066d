//! What goes wrong below a store of many processes: forks, files that are moved or removed, and
//! processes that stand still in the middle of their turn.

mod files;
mod forks;
mod log;
mod turns;

use std::fs::File;
use std::path::{Path, PathBuf};

use oubliette::*;
use oubliette_testkit::accounts::*;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::process::{Flock, FlockType, fcntl_getlk};

pub(crate) use forks::fork;

use crate::child::{Process, tell};

/// The file in the folder whose name begins and ends so.
fn file(folder: &Path, prefix: &str, suffix: &str) -> PathBuf {
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let middle = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix));
        middle.is_some_and(|middle| !middle.contains('.'))
    };
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = names.filter(is_it).collect();
    assert_eq!(found.len(), 1, "{prefix}*{suffix} in {folder:?}: {found:?}");
    found.remove(0)
}

/// The ledger's file.
pub(crate) fn ledger(folder: &Path) -> PathBuf {
    file(folder, "ledger-", "")
}

/// The process that has a record lock on this file. (This process must have none: looking drops
/// them.)
pub(crate) fn holder(path: &Path) -> Option<u32> {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let held = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).unwrap()?;
    held.pid.map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
}

/// Takes the record lock of a file, as a process does that stops in its turn.
pub(crate) fn hold(path: &str) -> String {
    let file = File::options().read(true).write(true).open(path).unwrap();
    fcntl_lock(&file, FlockOperation::LockExclusive).unwrap();
    std::mem::forget(file);
    "ok".into()
}

/// What only the tests here ask a child for.
pub(crate) fn with_store(store: &TokenStore, words: &[&str]) -> String {
    match *words {
        ["fork-and-work"] => {
            let child = forks::waiting_child();
            tell(&format!("ok {child}"));
            work(store, "put")
        }
        ["work", what] => work(store, what),
        _ => panic!("{words:?}"),
    }
}

/// Writes without an end, by several threads. Says so when each has begun.
fn work(store: &TokenStore, what: &str) -> ! {
    let (begun, all) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for number in 100..103 {
            let begun = begun.clone();
            scope.spawn(move || {
                let live = store.sign_in(sign_in(number)).unwrap();
                for count in 0_u64.. {
                    match what {
                        "put" => drop(live.put(refresh(&format!("rt-{count}"))).unwrap()),
                        _ => drop(store.sign_out(SignOut::account(&account(number))).unwrap()),
                    }
                    if count == 0 {
                        begun.send(()).unwrap();
                    }
                }
            });
        }
        (0..3).for_each(|_| all.recv().unwrap());
        tell("ok");
    });
    unreachable!("the threads have no end")
}

/// Two processes that have a store open, in which account 1 is signed in with the token `rt-1`.
fn two(path: &Path) -> (Process, Process) {
    let mut first = Process::with_store(path);
    first.must("in 1 rt-1");
    let mut second = Process::with_store(path);
    assert_eq!(second.must("get 1"), "rt-1");
    (first, second)
}

/// What a process says to a verb that is not done.
fn refused(process: &mut Process, verb: &str) -> String {
    let answer = process.ask(verb);
    match answer.strip_prefix("no ") {
        Some(error) => error.to_owned(),
        None => panic!("{verb}: {answer}"),
    }
}
