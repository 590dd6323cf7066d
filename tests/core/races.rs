//! Threads sign in, join, put, read and sign out the same accounts in every scope. No token of a
//! sign-in that was signed out is ever read after the sign-out returned.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::chance::Chance;

const ACCOUNTS: u32 = 3;

/// What all threads know: a common order of events, and which sign-outs have returned.
struct Race {
    store: TokenStore,
    ticks: AtomicU64,
    /// By account: the tick at which the newest sign-out that covers it *began*, of those that have
    /// returned.
    signed_out: Mutex<BTreeMap<u32, u64>>,
    handles: Mutex<Vec<(LiveSignIn, u32, u64)>>,
    stop: AtomicBool,
    counts: [AtomicUsize; 5],
}

const STORED: usize = 0;
const SIGNED_OUT: usize = 1;
const READ: usize = 2;
const SIGN_OUTS: usize = 3;
const RETAKEN: usize = 4;

impl Race {
    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    fn count(&self, what: usize) {
        self.counts[what].fetch_add(1, Ordering::Relaxed);
    }

    /// The newest tick up to which everything of the account is certainly over.
    fn over(&self, account: u32) -> u64 {
        self.signed_out.lock().unwrap().get(&account).copied().unwrap_or(0)
    }

    /// Some handle, with its account and a tick from before which it was... its sign-in began.
    fn handle(&self, chance: &mut Chance) -> Option<(LiveSignIn, u32, u64)> {
        let handles = self.handles.lock().unwrap();
        (!handles.is_empty()).then(|| handles[chance.below(handles.len() as u64) as usize].clone())
    }

    fn keep(&self, handle: LiveSignIn, account: u32, returned: u64) {
        let mut handles = self.handles.lock().unwrap();
        handles.push((handle, account, returned));
        if handles.len() > 40 {
            handles.remove(0);
        }
    }

    fn sign_in_and_put(&self, chance: &mut Chance) {
        let number = chance.below(ACCOUNTS.into()) as u32;
        let request = sign_in(number).session(session(number)).subject(subject(number));
        let handle = match self.store.sign_in(request) {
            Ok(handle) => handle,
            // Sign-outs come faster than they can be synced.
            Err(Error::Overtaken { .. }) => return,
            Err(other) => panic!("{other:?}"),
        };
        let returned = self.tick();
        self.put(&handle, number, returned);
        self.keep(handle, number, returned);
    }

    /// Tokens carry the tick at which their sign-in had returned: whoever reads one knows how old
    /// its sign-in is at most.
    fn put(&self, handle: &LiveSignIn, number: u32, returned: u64) {
        let over = self.over(number);
        let secret = format!("{number}:{returned}");
        let large = format!("{secret}:{}", "x".repeat(7000));
        match handle.put([
            access("a", &secret).into(),
            access("large", &large).into(),
            refresh(&secret).into(),
        ]) {
            Ok(_) => {
                assert!(returned > over, "a put succeeded after its sign-in was signed out");
                self.count(STORED);
            }
            Err(Error::SignedOut) => self.count(SIGNED_OUT),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn read(&self, handle: &LiveSignIn, number: u32) {
        let over = self.over(number);
        let secrets = [
            handle.access_token(&query("a")).unwrap().map(|token| token.secret),
            handle.access_token(&query("large")).unwrap().map(|token| token.secret),
            handle.refresh_token(&client()).unwrap().map(|token| token.secret),
        ];
        for secret in secrets.into_iter().flatten() {
            let mut parts = secret.expose().split(':').map(|part| part.parse::<u64>().unwrap_or(0));
            assert_eq!(parts.next(), Some(number.into()), "somebody else's token");
            assert!(parts.next().unwrap() > over, "a token was read after its sign-out returned");
            self.count(READ);
        }
    }

    fn sign_out(&self, chance: &mut Chance) {
        let number = chance.below(ACCOUNTS.into()) as u32;
        let (request, covered) = match chance.below(9) {
            0 | 1 => (SignOut::account(&account(number)), vec![number]),
            2 | 3 => (SignOut::session(&session(number)), vec![number]),
            4 | 5 => (SignOut::subject(&subject(number)), vec![number]),
            6 => (SignOut::tenant(&tenant(number)), vec![number]),
            7 => (SignOut::account(&account(number)).taking_refresh_tokens(), vec![number]),
            _ => (SignOut::everybody(), (0..ACCOUNTS).collect()),
        };
        let began = self.tick();
        self.store.sign_out(request).unwrap();
        let mut signed_out = self.signed_out.lock().unwrap();
        for number in covered {
            let newest = signed_out.entry(number).or_default();
            *newest = began.max(*newest);
        }
        self.count(SIGN_OUTS);
    }

    /// What the store lists may be put to and read from like any handle.
    fn retake(&self, chance: &mut Chance) {
        let number = chance.below(ACCOUNTS.into()) as u32;
        for handle in self.store.account(&account(number)).unwrap() {
            self.read(&handle, number);
            self.count(RETAKEN);
        }
    }

    fn work(&self, seed: u64) {
        let mut chance = Chance(seed);
        while !self.stop.load(Ordering::Relaxed) {
            match chance.below(20) {
                0..5 => self.sign_in_and_put(&mut chance),
                5..9 => {
                    if let Some((handle, number, returned)) = self.handle(&mut chance) {
                        self.put(&handle, number, returned);
                    }
                }
                9..15 => {
                    if let Some((handle, number, _)) = self.handle(&mut chance) {
                        self.read(&handle, number);
                    }
                }
                15..17 => self.retake(&mut chance),
                17 if chance.below(8) == 0 => drop(self.store.sweep(5).unwrap()),
                _ => self.sign_out(&mut chance),
            }
        }
    }
}

/// Runs six threads until all has happened often, then checks that a reopened store has nobody who
/// was signed out.
fn race(store: TokenStore, reopen: impl FnOnce() -> TokenStore) {
    let world = Arc::new(Race {
        store,
        ticks: AtomicU64::new(1),
        signed_out: Mutex::default(),
        handles: Mutex::default(),
        stop: AtomicBool::new(false),
        counts: Default::default(),
    });
    let threads: Vec<_> = (1..=6u64)
        .map(|seed| {
            let world = world.clone();
            std::thread::spawn(move || world.work(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        })
        .collect();
    // Until each kind of outcome was met often, or a thread died of a failed assertion.
    let often = [300, 300, 1000, 300, 300];
    while threads.iter().all(|thread| !thread.is_finished())
        && !world
            .counts
            .iter()
            .zip(often)
            .all(|(count, often)| count.load(Ordering::Relaxed) >= often)
    {
        std::thread::sleep(Duration::from_millis(1));
    }
    world.stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
    println!("{:?}", world.counts);
    world.store.wait_reclaimed().unwrap();
    world.store.clone().close().unwrap();
    let store = reopen();
    for number in 0..ACCOUNTS {
        for handle in store.account(&account(number)).unwrap() {
            world.read(&handle, number);
        }
    }
    let Race { signed_out, .. } = &*world;
    assert_eq!(signed_out.lock().unwrap().len(), ACCOUNTS as usize);
}

#[test]
fn no_token_is_read_after_its_sign_out_in_memory() {
    let (machine, clock) = (Machine::new(), ManualClock::new(now()));
    let open = || machine.builder().clock(clock.clone()).open().unwrap();
    race(open(), open);
}

#[test]
fn no_token_is_read_after_its_sign_out_on_sled() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(now());
    let open = || {
        let builder =
            TokenStore::builder(folder.path().join("tokens")).key(KeySource::bytes([7; 32]));
        builder.clock(clock.clone()).open().unwrap()
    };
    race(open(), open);
}

/// Each sign-in changes what the others have just read.
#[test]
fn many_threads_sign_in_one_account() {
    let (machine, clock) = (Machine::new(), ManualClock::new(now()));
    let store = machine.builder().clock(clock).open().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..48 {
            scope.spawn(|| {
                for _ in 0..20 {
                    store.sign_in(sign_in(1)).unwrap();
                }
            });
        }
    });
}

/// What an earlier sign-out of the account has left is being deleted all the while, and what this
/// one ends goes with it: but not before it was taken.
#[test]
fn each_sign_out_that_takes_refresh_tokens_gets_them() {
    let (machine, clock) = (Machine::new(), ManualClock::new(now()));
    let store = machine.builder().clock(clock).open().unwrap();
    for number in 0..200 {
        let live = store.sign_in(sign_in(1)).unwrap();
        live.put(refresh(&format!("rt-{number}"))).unwrap();
        let taking = number % 2 == 0;
        let request = SignOut::account(&account(1));
        let request = if taking { request.taking_refresh_tokens() } else { request };
        let receipt = store.sign_out(request).unwrap();
        let taken: Vec<_> =
            receipt.refresh_tokens.iter().map(|token| token.secret.expose()).collect();
        let expected = format!("rt-{number}");
        assert_eq!(taken, [&*expected][..usize::from(taking)]);
        assert!(!receipt.refresh_tokens_missed);
    }
}

/// The sign-out's record is written but not synced; somebody signs in meanwhile; then the process
/// or the machine dies.
#[test]
fn a_sign_in_during_a_sign_out_is_newer_than_it_whatever_crashes() {
    for (seed, power) in (0..20).map(|seed| (seed, seed % 2 == 0)) {
        let (machine, clock) = (Machine::new(), ManualClock::new(now()));
        let open = || machine.builder().clock(clock.clone()).open().unwrap();
        let store = open();
        let old = store.sign_in(sign_in(1)).unwrap();
        old.put([access("a", "old").into(), refresh("old").into()]).unwrap();
        machine.set_holding_syncs(true);
        let signing_out = std::thread::spawn({
            let store = store.clone();
            move || store.sign_out(SignOut::account(&account(1)))
        });
        machine.wait_held();
        // The fence stands before it is durable.
        assert_eq!(old.access_token(&query("a")).unwrap(), None);
        assert!(matches!(old.put(access("a", "late")), Err(Error::SignedOut)));
        // Another account is not held up by it.
        let other = store.sign_in(sign_in(2)).unwrap();
        other.put(refresh("other")).unwrap();
        // The same account's sign-in waits for the fence: its as-of must not be older than it.
        let signing_in = std::thread::spawn({
            let store = store.clone();
            move || {
                store.sign_in(sign_in(1)).and_then(|live| live.put(refresh("new")).map(|_| live))
            }
        });
        if seed % 4 < 2 {
            // Dies before the sync came through.
            if power {
                machine.cut_power(seed)
            } else {
                machine.kill_process(seed)
            }
            assert!(matches!(signing_out.join().unwrap(), Err(Error::Indeterminate(_))));
            assert!(
                signing_in.join().unwrap().is_err(),
                "no caller was told that the user is signed in"
            );
            drop((store, old));
            let store = open();
            // Both outcomes are right for the account; nothing is half.
            for live in store.account(&account(1)).unwrap() {
                assert_eq!(live.access_token(&query("a")).unwrap().unwrap().secret.expose(), "old");
                assert_eq!(live.refresh_token(&client()).unwrap().unwrap().secret.expose(), "old");
            }
            let other = store.account(&account(2)).unwrap().remove(0);
            assert_eq!(other.refresh_token(&client()).unwrap().unwrap().secret.expose(), "other");
        } else {
            machine.set_holding_syncs(false);
            signing_out.join().unwrap().unwrap();
            let live = signing_in.join().unwrap().unwrap();
            assert!(!old.is_live().unwrap() && live.is_live().unwrap());
            if power {
                machine.cut_power(seed)
            } else {
                machine.kill_process(seed)
            }
            drop(store);
            let store = open();
            assert_eq!(
                store.account(&account(1)).unwrap(),
                [live],
                "the new sign-in is newer than the fence, after the crash too"
            );
        }
    }
}

#[test]
fn closing_waits_for_verbs_and_hangs_nobody() {
    for _ in 0..20 {
        let store = Machine::new().builder().open().unwrap();
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let store = store.clone();
                std::thread::spawn(move || {
                    for round in 0.. {
                        let result = store
                            .sign_in(SignIn::new(account(number), tenant(1)))
                            .and_then(|live| live.put(refresh("rt")))
                            .and_then(|_| store.sign_out(SignOut::account(&account(number))))
                            .and_then(|_| store.wait_reclaimed());
                        match result {
                            Ok(_) => {}
                            Err(Error::Closed) => return round,
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                    unreachable!()
                })
            })
            .collect();
        std::thread::yield_now();
        store.close().unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
    }
}
