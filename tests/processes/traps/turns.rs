//! Processes that stand still in the middle of their turn.

use std::path::Path;
use std::time::Duration;

use oubliette_testkit::disk::Home;
use rustix::process::{Pid, Signal, WaitOptions, waitpid};

use super::{file, holder, refused, two};
use crate::child::Process;

/// Lets the process work until it can be stopped in its turn of this file.
fn stop_in_its_turn(process: &Process, turn: &Path) {
    let pid = Pid::from_raw(process.id().try_into().unwrap());
    for _ in 0..20_000 {
        process.signal(Signal::STOP);
        let (_, status) = waitpid(pid, WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped(), "it has ended: {status:?}");
        if holder(turn) == Some(process.id()) {
            return;
        }
        process.signal(Signal::CONT);
        // It is let run for a moment, whichever.
        std::thread::sleep(Duration::from_micros(300));
    }
    panic!("it was never stopped in its turn");
}

/// Stopped while it writes rows: who writes is told by whom they are held up; reads go on, and so do
/// sign-outs.
#[test]
fn who_stands_still_with_the_rows_is_named_and_holds_up_no_sign_out() {
    let home = Home::new();
    let (mut first, mut second) = two(&home.path());
    let mut stopped = Process::with_store(&home.path());
    let mut of_session = Process::with_store(&home.path());
    first.must("in 2 rt-1");
    first.must("in 3 rt-1");
    stopped.must("work put");
    stop_in_its_turn(&stopped, &file(&home.path(), "rows-", ".db.turn"));

    // This one waits for its turn, in vain; and so does one that ends a session.
    second.say("put 1 rt-2");
    of_session.say("out-session 3");
    assert_eq!(first.must("get 1"), "rt-1");
    first.must("out 2");
    assert_eq!(first.must("get 2"), "");
    let mut third = Process::with_store(&home.path());
    assert_eq!((&*third.must("get 1"), &*third.must("get 2")), ("rt-1", ""));
    third.must("out 1");
    let held_up = second.hear().unwrap();
    assert_eq!(held_up, format!("no Busy {{ pid: Some({}) }}", stopped.id()));
    // The session ends; that its account may live on is said.
    let of_session = of_session.hear().unwrap();
    assert!(of_session.starts_with("no OnlySessionEnded"), "{of_session}");
    for process in [&mut first, &mut second, &mut third] {
        assert_eq!(process.must("get 1"), "");
        assert_eq!(process.must("get 3"), "");
    }

    stopped.kill();
    second.must("in 1 rt-3");
    assert_eq!(first.must("get 1"), "rt-3");
    first.must("verify");
}

/// Stopped while it writes to the ledger: nobody else can sign out meanwhile, and is told so; what
/// needs no turn goes on. Its death frees the ledger.
#[test]
fn who_stands_still_with_the_ledger_is_named() {
    let home = Home::new();
    let (mut first, mut second) = two(&home.path());
    let mut stopped = Process::with_store(&home.path());
    stopped.must("work out");
    stop_in_its_turn(&stopped, &file(&home.path(), "ledger-", ".turn"));

    second.say("out 1");
    assert_eq!(first.must("get 1"), "rt-1");
    first.must("put 1 rt-2");
    assert_eq!(first.must("get 1"), "rt-2");
    let held_up = second.hear().unwrap();
    assert_eq!(held_up, format!("no Busy {{ pid: Some({}) }}", stopped.id()));
    assert_eq!(first.must("get 1"), "rt-2", "nothing was done");

    stopped.kill();
    second.must("out 1");
    assert_eq!(first.must("get 1"), "");
    let mut third = Process::with_store(&home.path());
    assert_eq!(third.must("get 1"), "");
    third.must("verify");
}

/// What has waited for a turn in vain waits no longer: a later store of the process is not disturbed
/// by it.
#[test]
fn a_turn_that_was_given_up_disturbs_no_later_one() {
    let home = Home::new();
    let (mut first, mut second) = two(&home.path());
    let turn = file(&home.path(), "rows-", ".db.turn");
    let mut stranger = Process::servant();
    stranger.must(&format!("hold {}", turn.display()));
    let error = refused(&mut second, "put 1 rt-2");
    assert_eq!(error, format!("Busy {{ pid: Some({}) }}", stranger.id()));
    // The next store of the process is opened while its thread still waits for the turn of the
    // first.
    second.must("close");
    second.must(&format!("open {}", home.path().display()));
    stranger.kill();
    second.must("work put");
    // It has its turn alone, every time: what others write is whole.
    for count in 0..200 {
        first.must(&format!("put 1 rt-{count}"));
    }
    stop_in_its_turn(&second, &turn);
    first.say("put 1 rt-last");
    let held_up = first.hear().unwrap();
    assert_eq!(held_up, format!("no Busy {{ pid: Some({}) }}", second.id()));
    second.kill();
    first.must("put 1 rt-last");
    first.must("verify");
}

/// Stopped while it opens the store: those that have it open go on, and who comes is told.
#[test]
fn who_stands_still_while_it_opens_is_named() {
    let home = Home::new();
    let (mut first, mut second) = two(&home.path());
    let mut stranger = Process::servant();
    stranger.must(&format!("hold {}", home.path().join("opening").display()));
    stranger.signal(Signal::STOP);
    let mut third = Process::servant();
    third.say(&format!("open {}", home.path().display()));
    first.must("put 1 rt-2");
    assert_eq!(second.must("get 1"), "rt-2");
    second.must("out 1");
    assert_eq!(first.must("get 1"), "");
    let held_up = third.hear().unwrap();
    assert_eq!(held_up, format!("no Busy {{ pid: Some({}) }}", stranger.id()));
    stranger.kill();
    third.must(&format!("open {}", home.path().display()));
    assert_eq!(third.must("get 1"), "");
}
