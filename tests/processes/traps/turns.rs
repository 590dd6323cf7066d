//! Processes that stand still in the middle of their turn.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oubliette_testkit::disk::Home;
use rustix::process::{Pid, Signal, WaitOptions, waitpid};

use super::{file, holder, ledger, refused, two};
use crate::child::Process;

/// Lets the process work until it can be stopped in its turn of this file.
pub(super) fn stop_in_its_turn(process: &Process, turn: &Path) {
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
    first.must("in 4 rt-1");
    stopped.must("work put");
    stop_in_its_turn(&stopped, &file(&home.path(), "rows-", ".db.turn"));

    // This one waits for its turn, in vain; and so does one that ends a session.
    second.say("put 4 rt-2");
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
/// needs no turn of the ledger goes on, also beside those who wait for one in the middle of theirs
/// of the rows. Its death frees the ledger.
#[test]
fn who_stands_still_with_the_ledger_is_named() {
    let home = Home::new();
    let (mut first, mut second) = two(&home.path());
    let mut of_sessions = [2, 3].map(|user| (user, Process::with_store(&home.path())));
    for (user, _) in &of_sessions {
        first.must(&format!("in {user} rt-1"));
    }
    let mut stopped = Process::with_store(&home.path());
    stopped.must("work out");
    stop_in_its_turn(&stopped, &file_of_turn(&home));

    second.say("out 1");
    for (user, process) in &mut of_sessions {
        process.say(&format!("out-session {user}"));
    }
    assert_eq!(first.must("get 1"), "rt-1");
    first.must("put 1 rt-2");
    assert_eq!(first.must("get 1"), "rt-2");
    let held_up = second.hear().unwrap();
    assert_eq!(held_up, format!("no Busy {{ pid: Some({}) }}", stopped.id()));
    assert_eq!(first.must("get 1"), "rt-2", "nothing was done");
    for (_, process) in &mut of_sessions {
        assert_eq!(process.hear().unwrap(), held_up);
    }

    stopped.kill();
    second.must("out 1");
    assert_eq!(first.must("get 1"), "");
    let mut third = Process::with_store(&home.path());
    assert_eq!(third.must("get 1"), "");
    third.must("verify");
}

/// The first byte of the lock file says that its holder is at work.
fn leave_at_work(turn: &Path) {
    let file = fs::File::options().write(true).open(turn).unwrap();
    file.write_all_at(&[1], 0).unwrap();
}

/// What `kill -9` leaves in the middle of a write: a call of which the second record is missing. It
/// counts for nobody, at no time, and is in nobody's way.
#[test]
fn half_a_call_of_one_who_died_in_its_turn_counts_for_nobody() {
    const SLOT: usize = 64;
    const HEADER: usize = 512;
    for comes_first in ["out 3", "open"] {
        let home = Home::new();
        let (mut first, mut second) = two(&home.path());
        for user in [2, 3, 4] {
            first.must(&format!("in {user} rt-1"));
        }
        first.must("out 4");
        assert_eq!(second.must("get 4"), "");
        let ledger = ledger(&home.path());
        let before = fs::read(&ledger).unwrap();
        // (Held up, lest it deletes the rows.)
        let mut stranger = Process::servant();
        let rows = file(&home.path(), "rows-", ".db.turn");
        stranger.must(&format!("hold {}", rows.display()));
        first.must("out-both 1 2");
        first.kill();
        stranger.kill();
        // The second of the two records is what was there before it.
        let after = fs::read(&ledger).unwrap();
        let slot = |place: usize| HEADER + place * SLOT..HEADER + (place + 1) * SLOT;
        let changed: Vec<usize> = (0..(before.len() - HEADER) / SLOT)
            .filter(|place| before[slot(*place)] != after[slot(*place)])
            .collect();
        assert_eq!((changed.len(), before.len()), (2, after.len()));
        let file = fs::File::options().write(true).open(&ledger).unwrap();
        file.write_all_at(&before[slot(changed[1])], slot(changed[1]).start as u64).unwrap();
        leave_at_work(&file_of_turn(&home));

        assert_eq!((&*second.must("get 1"), &*second.must("get 2")), ("rt-1", "rt-1"));
        let mut third = Process::servant();
        match comes_first {
            "open" => drop(third.must(&format!("open {}", home.path().display()))),
            verb => drop(second.must(verb)),
        }
        if comes_first != "open" {
            third.must(&format!("open {}", home.path().display()));
        }
        for process in [&mut second, &mut third] {
            assert_eq!((&*process.must("get 1"), &*process.must("get 2")), ("rt-1", "rt-1"));
        }
        third.must("out 2");
        second.must("out 3");
        third.must("verify");
        for process in [&mut second, &mut third, &mut Process::with_store(&home.path())] {
            let found = [1, 2, 3, 4].map(|user| process.must(&format!("get {user}")));
            assert_eq!(found, ["rt-1", "", "", ""], "{comes_first}");
        }
    }
}

fn file_of_turn(home: &Home) -> PathBuf {
    file(&home.path(), "ledger-", ".turn")
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
