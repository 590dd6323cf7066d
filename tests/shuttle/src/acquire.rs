//! Acquiring: one refresh at a time however many want it, whatever becomes of its leader, and nothing for anybody behind a sign-out.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use shuttle::thread::{JoinHandle, yield_now};

use crate::*;

/// A provider that rotates refresh tokens, and takes the second use of one for a theft.
#[derive(Default)]
struct Provider {
    redeeming: AtomicBool,
    redeemed: AtomicUsize,
    /// The only one that is good.
    current: Mutex<Option<String>>,
}

impl Provider {
    fn new() -> Arc<Self> {
        let this = Self::default();
        *this.current.lock().unwrap() = Some("rt-0".into());
        Arc::new(this)
    }

    fn redeem(&self, grant: &Grant) -> Tokens {
        assert!(!self.redeeming.swap(true, SeqCst), "two refreshes at once");
        yield_now();
        let number = self.redeemed.fetch_add(1, SeqCst) + 1;
        let redeemed = grant.refresh_token().expect("a refresh token").secret.expose().to_owned();
        let before = self.current.lock().unwrap().replace(format!("rt-{number}"));
        assert_eq!(before, Some(redeemed), "a refresh token was used twice");
        self.redeeming.store(false, SeqCst);
        Tokens::from([
            grant.access_token(None, format!("at-{number}"), Duration::from_secs(3600)).into(),
            grant.next_refresh_token(format!("rt-{number}")).into(),
        ])
    }
}

fn live_with_refresh_token(store: &TokenStore) -> LiveSignIn {
    let live = store.sign_in(request(1)).unwrap();
    live.put(RefreshToken::new(client(), "rt-0")).unwrap();
    live
}

fn all<T: 'static>(threads: Vec<JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// What `acquire` said: the token, or how it failed.
fn outcome(result: Result<AccessToken, AcquireError>) -> Result<String, &'static str> {
    match result {
        Ok(token) => Ok(token.secret.expose().to_owned()),
        Err(AcquireError::SignedOut) => Err("signed out"),
        Err(AcquireError::Refresh(_)) => Err("refresh failed"),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn three_callers_cost_one_refresh() {
    check(1500, || {
        let store = open(&Machine::new());
        let (live, provider) = (live_with_refresh_token(&store), Provider::new());
        let callers = (0..3).map(|_| {
            let (live, provider) = (live.clone(), provider.clone());
            spawn(move || outcome(Acquirer::new().acquire(&live, &query(), |grant| Ok(provider.redeem(grant)))))
        });
        let outcomes = all(callers.collect());
        assert!(outcomes.iter().all(|outcome| outcome.as_deref() == Ok("at-1")), "{outcomes:?}");
        assert_eq!(provider.redeemed.load(SeqCst), 1);
    });
}

/// The first to lead panics: its caller has the panic, all others have a token of one more refresh.
#[test]
fn a_leader_that_panics() {
    check(1500, || {
        let store = open(&Machine::new());
        let (live, provider) = (live_with_refresh_token(&store), Provider::new());
        let has_panicked = Arc::new(AtomicBool::new(false));
        let callers = (0..3).map(|_| {
            let (live, provider, has_panicked) = (live.clone(), provider.clone(), has_panicked.clone());
            let refresh = move |grant: &Grant| {
                if !has_panicked.swap(true, SeqCst) {
                    // As a panic, but without its message for each of thousands of schedules.
                    resume_unwind(Box::new("the closure's own"));
                }
                Ok(provider.redeem(grant))
            };
            spawn(move || catch_unwind(AssertUnwindSafe(|| Acquirer::new().acquire(&live, &query(), refresh))).map(outcome))
        });
        let outcomes = all(callers.collect());
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1);
        let others: Vec<_> = outcomes.into_iter().flatten().collect();
        assert!(others.iter().all(|outcome| outcome.as_deref() == Ok("at-1")), "{others:?}");
        assert_eq!(provider.redeemed.load(SeqCst), 1);
    });
}

/// A failed refresh fails those who waited for it, and nobody after: who asks again does not meet it any more.
#[test]
fn a_failure_is_over_when_it_is_told() {
    check(1500, || {
        let store = open(&Machine::new());
        let (live, provider) = (live_with_refresh_token(&store), Provider::new());
        let has_failed = Arc::new(AtomicBool::new(false));
        let callers = (0..2).map(|_| {
            let (live, provider, has_failed) = (live.clone(), provider.clone(), has_failed.clone());
            spawn(move || {
                let acquire = || {
                    outcome(Acquirer::new().acquire(&live, &query(), |grant| {
                        if !has_failed.swap(true, SeqCst) {
                            return Err(RefreshError::failed("the provider is away"));
                        }
                        Ok(provider.redeem(grant))
                    }))
                };
                match acquire() {
                    Ok(token) => assert_eq!(token, "at-1"),
                    Err(why) => {
                        assert_eq!(why, "refresh failed");
                        assert_eq!(acquire().as_deref(), Ok("at-1"), "a failure that was over was met again");
                    }
                }
            })
        });
        all(callers.collect());
        assert_eq!(provider.redeemed.load(SeqCst), 1);
    });
}

/// A sign-out beside a refresh that is waited for. Whatever was signed out before it was stored is given to nobody, and goes to the hook.
#[test]
fn a_sign_out_beside_a_refresh_with_waiters() {
    check(2000, || {
        let machine = Machine::new();
        let store = open(&machine);
        let (live, provider) = (live_with_refresh_token(&store), Provider::new());
        let gone = Arc::new(AtomicBool::new(false));
        let was_gone_in_flight = Arc::new(AtomicBool::new(false));
        let orphaned = Arc::new(AtomicUsize::new(0));
        let count = orphaned.clone();
        let acquirer = Acquirer::new().on_orphaned(move |orphans| {
            count.fetch_add(orphans.tokens.len(), SeqCst);
        });
        let callers = (0..2).map(|_| {
            let (live, provider, gone) = (live.clone(), provider.clone(), gone.clone());
            let (acquirer, was_gone_in_flight) = (acquirer.clone(), was_gone_in_flight.clone());
            spawn(move || {
                let was_gone = gone.load(SeqCst);
                let result = outcome(acquirer.acquire(&live, &query(), |grant| {
                    let tokens = provider.redeem(grant);
                    was_gone_in_flight.store(gone.load(SeqCst), SeqCst);
                    Ok(tokens)
                }));
                assert!(!was_gone || result.is_err(), "given behind the sign-out");
                result
            })
        });
        let callers = callers.collect();
        store.sign_out(SignOut::account(&account(1))).unwrap();
        gone.store(true, SeqCst);
        assert_eq!(read(&live), None);
        let outcomes = all(callers);
        assert!(outcomes.iter().all(|outcome| matches!(outcome.as_deref(), Ok("at-1") | Err(&"signed out"))), "{outcomes:?}");
        if was_gone_in_flight.load(SeqCst) {
            assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
            assert_eq!(orphaned.load(SeqCst), 2);
        }
        assert!(provider.redeemed.load(SeqCst) <= 1);
        assert_eq!(read(&live), None);
        assert!(readable(&store, 1).is_empty());
        drop(live);
        assert!(readable(&reopen_after_power_cut(&machine, store), 1).is_empty());
    });
}

/// As above, beside a new sign-in of the account: what the old one's refresh got is never the new one's.
#[test]
fn a_new_sign_in_beside_a_refresh_of_the_old_one() {
    check(1000, || {
        let store = open(&Machine::new());
        let (old, provider) = (live_with_refresh_token(&store), Provider::new());
        let caller = spawn({
            let (old, provider) = (old.clone(), provider.clone());
            move || outcome(Acquirer::new().acquire(&old, &query(), |grant| Ok(provider.redeem(grant))))
        });
        store.sign_out(SignOut::account(&account(1))).unwrap();
        let new = store.sign_in(request(1)).unwrap();
        assert_eq!(read(&new), None);
        drop(caller.join().unwrap());
        assert_eq!(read(&new), None);
        assert!(new.refresh_token(&client()).unwrap().is_none());
        assert_eq!(read(&old), None);
    });
}
