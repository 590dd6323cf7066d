//! One refresh at a time anywhere: of the instances of a place that several share, as of the
//! threads of one.

use std::sync::mpsc;
use std::time::Duration;

use oubliette::*;
use oubliette_testkit::accounts::*;

const HOUR: Duration = Duration::from_secs(3600);

/// Two instances, and what both have of one sign-in.
struct Two {
    machine: SharedMachine,
    clock: ManualClock,
    /// The second.
    store: TokenStore,
    here: LiveSignIn,
    there: LiveSignIn,
}

impl Two {
    fn all() -> Vec<Self> {
        let mut machines = vec![SharedMachine::new()];
        #[cfg(all(unix, feature = "sqlite"))]
        machines.push(SharedMachine::on_sqlite());
        machines.into_iter().map(Self::on).collect()
    }

    fn on(machine: SharedMachine) -> Self {
        let clock = ManualClock::new(now());
        let open = || machine.builder().clock(clock.clone()).open().unwrap();
        let (one, other) = (open(), open());
        let here = one.sign_in(sign_in(1)).unwrap();
        here.put(refresh("rt-0")).unwrap();
        let there = other.account(&account(1)).unwrap().remove(0);
        Self { machine, clock, store: other, here, there }
    }
}

fn redeem(grant: &Grant, sent: &str, got: &str) -> Result<Tokens, RefreshError> {
    assert_eq!(grant.refresh_token().unwrap().secret.expose(), sent);
    let access = grant.access_token(None, format!("at-{got}"), HOUR);
    Ok([access.into(), grant.next_refresh_token(format!("rt-{got}")).into()].into())
}

fn text(token: Result<AccessToken, AcquireError>) -> String {
    token.unwrap().secret.expose().to_owned()
}

/// While one instance refreshes, `meanwhile` runs in the other.
fn while_it_refreshes<T>(two: &Two, meanwhile: impl FnOnce(&mpsc::Sender<()>) -> T) -> T {
    let (begun, has_begun) = mpsc::channel();
    let (end, may_end) = mpsc::channel();
    std::thread::scope(|scope| {
        let refreshing = scope.spawn(move || {
            text(Acquirer::new().acquire(&two.here, query("mail"), |grant| {
                begun.send(()).unwrap();
                // (Also when the other end is dropped.)
                let _ = may_end.recv();
                redeem(grant, "rt-0", "1")
            }))
        });
        has_begun.recv().unwrap();
        let done = meanwhile(&end);
        drop(end);
        assert_eq!(refreshing.join().unwrap(), "at-1");
        done
    })
}

#[test]
fn the_other_instance_waits_and_gets_the_token() {
    for two in Two::all() {
        let waited = while_it_refreshes(&two, |end| {
            let not_asked = |_: &Grant| panic!("the other instance is at it");
            // It does not wait here.
            let impatient = Acquirer::new().give_up_after(Duration::from_millis(20));
            let given_up = impatient.acquire(&two.there, query("mail"), not_asked);
            let Err(AcquireError::Refresh(failed)) = given_up else { panic!("{given_up:?}") };
            let kind = failed.downcast_ref::<std::io::Error>().unwrap().kind();
            assert_eq!(kind, std::io::ErrorKind::TimedOut);
            end.send(()).unwrap();
            text(Acquirer::new().acquire(&two.there, query("mail"), not_asked))
        });
        assert_eq!(waited, "at-1");
        // The lease is over.
        two.clock.advance(2 * HOUR);
        let next =
            Acquirer::new().acquire(&two.there, query("mail"), |grant| redeem(grant, "rt-1", "2"));
        assert_eq!(text(next), "at-2");
    }
}

#[test]
fn tasks_of_the_other_instance_wait_too() {
    for two in Two::all() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        while_it_refreshes(&two, |end| {
            let tasks: Vec<_> = (0..50)
                .map(|_| {
                    let wanted = query("mail");
                    runtime.spawn(Acquirer::new().acquire_async(
                        two.there.clone(),
                        wanted,
                        |_| async { panic!("the other instance is at it") },
                    ))
                })
                .collect();
            let impatient = Acquirer::new().give_up_after(Duration::from_millis(20));
            let given_up = runtime.block_on(impatient.acquire_async(
                two.there.clone(),
                query("mail"),
                |_| async { panic!("the other instance is at it") },
            ));
            assert!(matches!(given_up, Err(AcquireError::Refresh(_))), "{given_up:?}");
            end.send(()).unwrap();
            for task in tasks {
                assert_eq!(text(runtime.block_on(task).unwrap()), "at-1");
            }
        });
    }
}

/// A token that is only due is given out, and refreshed by one.
#[test]
fn what_is_due_is_not_waited_for() {
    for two in Two::all() {
        let due = AccessToken { refresh_at: Some(now()), ..access("mail", "old") };
        two.here.put(due).unwrap();
        let (begun, has_begun) = mpsc::channel();
        let (end, may_end) = mpsc::channel::<()>();
        let acquirer = Acquirer::new().refresh_due_here();
        std::thread::scope(|scope| {
            let (acquirer, two) = (&acquirer, &two);
            let refreshing = scope.spawn(move || {
                text(acquirer.acquire(&two.here, query("mail"), |grant| {
                    begun.send(()).unwrap();
                    let _ = may_end.recv();
                    redeem(grant, "rt-0", "1")
                }))
            });
            has_begun.recv().unwrap();
            let old =
                acquirer.acquire(&two.there, query("mail"), |_| panic!("it is refreshed there"));
            drop(end);
            assert_eq!((text(old), refreshing.join().unwrap()), ("old".into(), "at-1".into()));
        });
    }
}

/// Nor does a refresh that fails keep it, or one that panics.
#[test]
fn who_fails_has_it_no_longer() {
    for two in Two::all() {
        let failed = Acquirer::new()
            .acquire(&two.here, query("mail"), |_| Err(RefreshError::failed("it is down")));
        assert!(matches!(failed, Err(AcquireError::Refresh(_))), "{failed:?}");
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = Acquirer::new().acquire(&two.there, query("mail"), |_| panic!("on purpose"));
        }));
        assert!(panicked.is_err());
        let got =
            Acquirer::new().acquire(&two.here, query("mail"), |grant| redeem(grant, "rt-0", "1"));
        assert_eq!(text(got), "at-1");
    }
}

/// Refreshes of others go on meanwhile.
#[test]
fn each_refresh_token_has_its_own() {
    for two in Two::all() {
        let other = two.store.sign_in(sign_in(2)).unwrap();
        other.put(refresh("rt-a")).unwrap();
        while_it_refreshes(&two, |_| {
            let got =
                Acquirer::new().acquire(&other, query("mail"), |grant| redeem(grant, "rt-a", "b"));
            assert_eq!(text(got), "at-b");
        });
    }
}

#[test]
fn a_sign_out_meanwhile_is_what_both_are_told() {
    for two in Two::all() {
        let (begun, has_begun) = mpsc::channel();
        let (end, may_end) = mpsc::channel::<()>();
        let elsewhere = two.machine.builder().clock(two.clock.clone()).open().unwrap();
        std::thread::scope(|scope| {
            let two = &two;
            let refreshing = scope.spawn(move || {
                Acquirer::new().acquire(&two.here, query("mail"), |grant| {
                    begun.send(()).unwrap();
                    let _ = may_end.recv();
                    redeem(grant, "rt-0", "1")
                })
            });
            has_begun.recv().unwrap();
            elsewhere.sign_out(SignOut::account(&account(1))).unwrap();
            let told = Acquirer::new().acquire(&two.there, query("mail"), |_| panic!("signed out"));
            assert!(matches!(told, Err(AcquireError::SignedOut)), "{told:?}");
            drop(end);
            let told = refreshing.join().unwrap();
            assert!(matches!(told, Err(AcquireError::SignedOut)), "{told:?}");
        });
    }
}
