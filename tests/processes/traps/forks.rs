//! Processes that fork while they have a store open.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::disk::Home;
use rustix::process::{Pid, WaitOptions, waitpid};

use super::turns::stop_in_its_turn;
use super::{file, holder, refused, two};
use crate::child::{Process, said};

unsafe extern "C" {
    #[link_name = "fork"]
    safe fn c_fork() -> i32;
    #[link_name = "_exit"]
    safe fn c_exit(code: i32) -> !;
}

/// Forks; the child does something and ends, and this gives what it says.
fn forked(run: impl FnOnce() -> String) -> String {
    let (reading, writing): (OwnedFd, OwnedFd) = rustix::pipe::pipe().unwrap();
    match c_fork() {
        0 => {
            let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            let said = said.unwrap_or_else(|_| "it panicked".into());
            let _ = File::from(writing).write_all(said.as_bytes());
            c_exit(0)
        }
        child => {
            drop(writing);
            let mut said = String::new();
            File::from(reading).read_to_string(&mut said).unwrap();
            waitpid(Pid::from_raw(child), WaitOptions::empty()).unwrap();
            said
        }
    }
}

/// A child that does nothing until nobody has the other end of this process's input any more.
pub(super) fn waiting_child() -> i32 {
    match c_fork() {
        0 => {
            let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
            c_exit(0)
        }
        child => child,
    }
}

/// What a forked child is told by every verb; at last it drops or closes the store.
pub(crate) fn fork(store: &mut Option<TokenStore>, end: &str) -> String {
    let live = store.as_ref().unwrap().account(&account(1)).unwrap().remove(0);
    let told = forked(|| {
        let store = store.take().unwrap();
        let mut told = vec![
            said(live.is_live(), |_| String::new()),
            said(live.put(refresh("of the child")), |_| String::new()),
            said(live.refresh_token(&client()), |_| String::new()),
            said(store.account(&account(1)), |_| String::new()),
            said(store.sign_in(sign_in(2)), |_| String::new()),
            said(store.sign_out(SignOut::account(&account(1))), |_| String::new()),
            said(store.sign_out(SignOut::session(&session(1))), |_| String::new()),
            said(store.stats(), |_| String::new()),
            said(store.verify(), |_| String::new()),
            said(store.sweep(10), |_| String::new()),
            said(store.as_of(), |_| String::new()),
        ];
        drop(live);
        match end {
            "close" => told.push(said(store.close(), |()| String::new())),
            _ => drop(store),
        }
        told.join(";")
    });
    format!("ok {told}")
}

#[test]
fn a_forked_child_is_told_so_and_takes_nothing_from_its_parent() {
    for end in ["close", "drop"] {
        let home = Home::new();
        let (mut first, mut second) = two(&home.path());
        let live = file(&home.path(), "ledger-", ".live");
        second.must("close");
        let told = first.must(&format!("fork {end}"));
        assert!(told.split(';').all(|one| one == "no Forked"), "{end}: {told}");
        assert_eq!(told.split(';').count(), 11 + usize::from(end == "close"));

        // The parent goes on, and has all its locks.
        assert_eq!(holder(&live), Some(first.id()));
        assert_eq!(first.must("get 1"), "rt-1");
        first.must("put 1 rt-2");
        second.must(&format!("open {}", home.path().display()));
        second.must("put 1 rt-3");
        assert_eq!(first.must("get 1"), "rt-3");
        first.must("out 1");
        assert_eq!(second.must("get 1"), "");
        // Nobody may have the folder alone.
        let alone = File::open(home.path().join("lock")).unwrap();
        assert!(matches!(alone.try_lock(), Err(std::fs::TryLockError::WouldBlock)));
    }
}

/// The child of a process that has died in its turn has no part in its locks.
#[test]
fn a_child_that_outlives_its_parent_holds_nobody_up() {
    let home = Home::new();
    let (mut first, mut second) = two(&home.path());
    let child: i32 = first.must("fork-and-work").parse().unwrap();
    assert_eq!(first.hear().as_deref(), Some("ok"));
    stop_in_its_turn(&first, &file(&home.path(), "rows-", ".db.turn"));
    first.kill();
    let is_there = || rustix::process::test_kill_process(Pid::from_raw(child).unwrap()).is_ok();
    assert!(is_there());
    second.must("put 1 rt-2");
    second.must("out 1");
    second.must("in 1 rt-3");
    let mut third = Process::with_store(&home.path());
    assert_eq!(third.must("get 1"), "rt-3");
    third.must("put 1 rt-4");
    assert_eq!(second.must("get 1"), "rt-4");

    // Without a living opener, too: the next one recovers.
    second.must("close");
    third.must("close");
    assert!(is_there());
    second.must(&format!("open {}", home.path().display()));
    assert_eq!(second.must("get 1"), "rt-4");
    second.must("verify");
    let again = refused(&mut second, &format!("open-again {}", home.path().display()));
    assert!(again.contains("in_this_process: true"), "{again}");
}
