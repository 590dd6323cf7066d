//! Two instances of a shared store at one web session: what one deletes or ends, no late write of
//! the other brings back, whichever exchange it comes in at, and whatever becomes of that.

use std::sync::atomic::{AtomicUsize, Ordering};

use oubliette::{Exchanged, Fate, SharedMachine};

use super::*;

/// The calls run on a thread of their own: the hook must know whose exchanges to count.
fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Account 1, signed in; and its web session, or one that is nobody's.
struct Two {
    machine: SharedMachine,
    here: OublietteSessions,
    there: OublietteSessions,
    store: TokenStore,
    record: Record,
}

impl Two {
    fn new(is_bound: bool) -> Self {
        let (machine, clock) = (SharedMachine::new(), ManualClock::new(now()));
        let open = || machine.builder().clock(clock.clone()).open().unwrap();
        let (one, store) = (open(), open());
        let live = one.sign_in(sign_in(1)).unwrap();
        let (here, there) = (OublietteSessions::new(one), OublietteSessions::new(store.clone()));
        let record = block(async {
            let bound = if is_bound { Some(binding(&here, &live).await) } else { None };
            let mut record = record(bound.as_ref(), "first");
            here.create(&mut record).await.unwrap();
            record
        });
        Self { machine, here, there, store, record }
    }

    /// At the `at`th exchange of the first instance, something happens, and the fate is its own.
    fn at(&self, at: usize, fate: Fate, happens: impl Fn() + Send + Sync + 'static) -> Met {
        let met = Met::default();
        let count = met.clone();
        self.machine.on_exchange(move |exchanged: Exchanged| {
            let is_reclaimer = std::thread::current().name() == Some("oubliette-reclaim");
            if exchanged.instance == 0
                && !is_reclaimer
                && count.fetch_add(1, Ordering::Relaxed) == at
            {
                happens();
                return fate;
            }
            Fate::Answered
        });
        met
    }
}

type Met = Arc<AtomicUsize>;

/// Runs `check` for each exchange at which something can come in, until there are no more.
fn at_every_exchange(mut check: impl FnMut(usize) -> Met) {
    for at in 0.. {
        if check(at).load(Ordering::Relaxed) <= at {
            assert!(at > 1, "nothing came in between");
            return;
        }
    }
}

const FATES: [Fate; 4] = [Fate::Answered, Fate::Lost, Fate::NotSent, Fate::Repeated];

/// A long text, so that a save has other parts than what it replaces.
fn long() -> String {
    "x".repeat(20_000)
}

#[test]
fn a_late_save_does_not_bring_back_what_another_instance_has_deleted() {
    for (is_bound, fate) in [true, false].into_iter().flat_map(|it| FATES.map(|fate| (it, fate))) {
        at_every_exchange(|at| {
            let two = Two::new(is_bound);
            let (there, id) = (two.there.clone(), two.record.id);
            let met = two.at(at, fate, move || {
                let there = there.clone();
                std::thread::spawn(move || block(async { there.delete(&id).await.unwrap() }))
                    .join()
                    .unwrap();
            });
            let late = Record { data: record(None, &long()).data, ..two.record.clone() };
            let _ = block(two.here.save(&late));
            two.machine.run_undisturbed();
            if met.load(Ordering::Relaxed) > at {
                assert_eq!(block(two.there.load(&id)).unwrap(), None, "{is_bound} {fate:?} {at}");
            }
            met
        });
    }
}

#[test]
fn what_was_deleted_stays_so_when_the_place_fails_over_meanwhile() {
    for is_bound in [true, false] {
        at_every_exchange(|at| {
            let two = Two::new(is_bound);
            let machine = two.machine.clone();
            let met = two.at(at, Fate::Answered, move || machine.fail_over());
            let deleted = block(two.here.delete(&two.record.id));
            two.machine.run_undisturbed();
            two.machine.fail_over();
            let found = block(two.there.load(&two.record.id)).unwrap();
            assert!(deleted.is_err() || found.is_none(), "{is_bound} {at}");
            met
        });
    }
}

/// The answer to a step is lost, and then the place dies; or another instance has deleted it first,
/// and that was not flushed.
#[test]
fn a_deletion_is_not_said_to_be_done_on_the_word_of_a_place_that_died() {
    for is_bound in [true, false] {
        for theirs_first in [false, true] {
            at_every_exchange(|at| {
                let two = Two::new(is_bound);
                let (machine, rows) = (two.machine.clone(), two.machine.rows());
                let met = Met::default();
                let count = met.clone();
                two.machine.on_exchange(move |exchanged: Exchanged| {
                    if exchanged.instance != 0 {
                        return Fate::Answered;
                    }
                    match count.fetch_add(1, Ordering::Relaxed) {
                        here if here == at && theirs_first => {
                            // What the other had deleted, and not flushed, is back.
                            machine.fail_over();
                            Fate::Answered
                        }
                        here if here == at => Fate::Lost,
                        here if here == at + 2 && !theirs_first => {
                            machine.fail_over();
                            Fate::Answered
                        }
                        _ => Fate::Answered,
                    }
                });
                if theirs_first {
                    let left = |key: &Vec<u8>| !super::is_web(key);
                    let without = rows.into_iter().filter(|(key, _)| left(key)).collect();
                    two.machine.set_unflushed_rows(without);
                }
                let deleted = block(two.here.delete(&two.record.id));
                two.machine.run_undisturbed();
                two.machine.fail_over();
                let found = block(two.there.load(&two.record.id)).unwrap();
                assert!(deleted.is_err() || found.is_none(), "{is_bound} {theirs_first} {at}");
                met
            });
        }
    }
}

#[test]
fn a_sign_out_ends_a_web_session_that_is_being_made_or_saved() {
    for is_made in [true, false] {
        for fate in FATES {
            at_every_exchange(|at| {
                let two = Two::new(true);
                let store = two.store.clone();
                let met = two.at(at, fate, move || {
                    store.sign_out(SignOut::account(&account(1))).unwrap();
                });
                let mut late = two.record.clone();
                let _ = if is_made {
                    block(two.here.create(&mut late))
                } else {
                    block(two.here.save(&late))
                };
                two.machine.run_undisturbed();
                if met.load(Ordering::Relaxed) > at {
                    for id in [two.record.id, late.id] {
                        assert_eq!(block(two.there.load(&id)).unwrap(), None, "{fate:?} {at}");
                    }
                }
                met
            });
        }
    }
}

#[test]
fn two_instances_never_make_the_same_web_session() {
    for fate in FATES {
        at_every_exchange(|at| {
            let two = Two::new(false);
            let there = two.there.clone();
            let (mut mine, theirs) = (record(None, "mine"), record(None, "theirs"));
            let theirs = Record { id: mine.id, ..theirs };
            let met = two.at(at, fate, move || {
                let (there, mut theirs) = (there.clone(), theirs.clone());
                std::thread::spawn(move || {
                    block(async { there.create(&mut theirs).await.unwrap() })
                })
                .join()
                .unwrap();
            });
            let wanted = mine.id;
            block(two.here.create(&mut mine)).unwrap();
            two.machine.run_undisturbed();
            let found = block(two.there.load(&mine.id)).unwrap().unwrap();
            assert_eq!(what(&found), "mine", "{fate:?} {at}");
            if met.load(Ordering::Relaxed) > at && mine.id != wanted {
                let other = block(two.there.load(&wanted)).unwrap().unwrap();
                assert_eq!(what(&other), "theirs", "{fate:?} {at}");
            }
            met
        });
    }
}

#[test]
fn an_answer_that_is_lost_makes_no_second_web_session() {
    at_every_exchange(|at| {
        let two = Two::new(false);
        let before = two.machine.rows().len();
        let met = two.at(at, Fate::Lost, || {});
        block(two.here.create(&mut record(None, "once"))).unwrap();
        two.machine.run_undisturbed();
        assert_eq!(two.machine.rows().len(), before + 1, "{at}");
        met
    });
}

/// `Session::cycle_id` of tower-sessions has given the session a new id when it fails, and the save
/// behind the handler makes it anew.
#[test]
fn a_login_that_failed_binds_no_web_session() {
    let two = Two::new(false);
    let live = two.store.sign_in(sign_in(1)).unwrap();
    let expiry = ::tower_sessions::Expiry::AtDateTime(at(600));
    let session = Session::new(Some(two.record.id), Arc::new(two.here.clone()), Some(expiry));
    two.machine.on_exchange(|exchanged| {
        if exchanged.step == oubliette::Step::Change { Fate::NotSent } else { Fate::Answered }
    });
    assert!(block(bind(&session, &live)).is_err());
    two.machine.run_undisturbed();
    block(session.save()).unwrap();
    let found = block(two.there.load(&session.id().unwrap())).unwrap().unwrap();
    assert_eq!(found.data.get(BINDING), None);
    assert_eq!(block(oubliette_tower_sessions::bound(&session, &two.store)).unwrap(), None);
}
