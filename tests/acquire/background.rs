//! Acquiring without blocking: one refresh, whoever goes away, and whatever the runtime does.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::fixture::Fixture;
use tokio::runtime::{Builder as Runtime, Runtime as Rt};
use tokio::sync::Notify;
use tokio::task::yield_now;

use crate::world::*;

const HOUR: Duration = Duration::from_secs(3600);

fn threads(workers: usize, blocking: usize) -> Rt {
    Runtime::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(blocking)
        .enable_all()
        .build()
        .unwrap()
}

impl AcquireFixture {
    fn acquire_async<Q: Into<AccessRequest>>(
        &self,
        request: Q,
    ) -> impl Future<Output = Result<AccessToken, AcquireError>> + Send + 'static + use<Q> {
        let provider = self.provider.clone();
        let request: AccessRequest = request.into();
        let refresh = move |grant: Grant| async move { provider.redeem_async(&grant).await };
        self.acquirer().acquire_async::<_, AccessRequest, _, _>(self.live.clone(), request, refresh)
    }

    /// Waits until nobody has the refresh token's place: by being the next one.
    fn next_refresh(&self) -> String {
        self.acquire(AccessRequest::new(query("next")).force_refresh()).unwrap()
    }
}

fn text(token: Result<AccessToken, AcquireError>) -> String {
    token.unwrap().secret.expose().to_owned()
}

#[test]
fn a_thousand_tasks_cost_one_refresh() {
    let world = AcquireFixture::new();
    threads(4, 4).block_on(async {
        let come = Arc::new(AtomicU32::new(0));
        let tasks = (0..1000).map(|_| {
            let (come, provider, acquirer, live) =
                (come.clone(), world.provider.clone(), world.acquirer(), world.live.clone());
            tokio::spawn(async move {
                come.fetch_add(1, Ordering::SeqCst);
                let refresh = move |grant: Grant| async move {
                    while come.load(Ordering::SeqCst) < 1000 {
                        yield_now().await;
                    }
                    provider.redeem_async(&grant).await
                };
                text(acquirer.acquire_async(&live, query("mail"), refresh).await)
            })
        });
        for token in join_all(tasks).await {
            assert_eq!(token.unwrap(), "at-1");
        }
    });
    assert_eq!(world.provider.redemptions(), 1);
    assert!(world.provider.is_content());
}

#[test]
fn tasks_and_threads_share_the_places() {
    let world = AcquireFixture::new();
    let runtime = threads(2, 2);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let world = &world;
            scope.spawn(move || {
                for round in 0..10 {
                    world.acquire(query(&format!("s-{number}-{round}"))).unwrap();
                }
            });
        }
        runtime.block_on(async {
            let tasks = (0..80)
                .map(|number| tokio::spawn(world.acquire_async(query(&format!("a-{number}")))));
            join_all(tasks).await.into_iter().for_each(|token| drop(token.unwrap().unwrap()));
        });
    });
    assert_eq!(world.provider.redemptions(), 160);
    assert!(world.provider.is_content());
}

/// Hole: all blocking threads wait for a refresh whose put would need one.
#[test]
fn storing_needs_none_of_the_runtimes_blocking_threads() {
    let world = Arc::new(AcquireFixture::new());
    threads(1, 2).block_on(async {
        let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let leader = {
            let (provider, began, go_on) = (world.provider.clone(), began.clone(), go_on.clone());
            tokio::spawn(world.acquirer().acquire_async(
                &world.live,
                query("mail"),
                |grant| async move {
                    began.notify_one();
                    go_on.notified().await;
                    provider.redeem_async(&grant).await
                },
            ))
        };
        began.notified().await;
        let come = Arc::new(AtomicU32::new(0));
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let (world, come) = (world.clone(), come.clone());
                tokio::task::spawn_blocking(move || {
                    come.fetch_add(1, Ordering::SeqCst);
                    world.acquire(query("mail"))
                })
            })
            .collect();
        while come.load(Ordering::SeqCst) < 2 {
            yield_now().await;
        }
        go_on.notify_one();
        assert_eq!(text(leader.await.unwrap()), "at-1");
        join_all(waiting)
            .await
            .into_iter()
            .for_each(|token| assert_eq!(token.unwrap().unwrap(), "at-1"));
    });
    assert_eq!(world.provider.redemptions(), 1);
}

#[test]
fn a_due_token_is_given_at_once_and_refreshed_in_the_background() {
    let world = AcquireFixture::new();
    threads(2, 2).block_on(async {
        assert_eq!(text(world.acquire_async(query("mail")).await), "at-1");
        world.advance(51 * 60);
        let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        for _ in 0..10 {
            let (provider, began, go_on) = (world.provider.clone(), began.clone(), go_on.clone());
            let token =
                world.acquirer().acquire_async(&world.live, query("mail"), |grant| async move {
                    began.notify_one();
                    go_on.notified().await;
                    provider.redeem_async(&grant).await
                });
            assert_eq!(text(token.await), "at-1");
        }
        began.notified().await;
        go_on.notify_one();
        // Who needs the refresh token next comes behind it.
        assert_eq!(text(world.acquire_async(query("files")).await), "at-3");
        assert_eq!(text(world.acquire_async(query("mail")).await), "at-2");
    });
    assert_eq!(world.provider.redemptions(), 3);
}

/// Polls a future `count` times, letting everything else go on in between, and drops it.
async fn poll_times<F: Future>(future: F, count: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..count {
        if let Poll::Ready(done) =
            poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
        {
            return Some(done);
        }
        yield_now().await;
    }
    None
}

#[test]
fn dropped_at_any_point_it_loses_nothing_and_holds_up_nobody() {
    // With time for threads in between the number of polls until it is done varies: that it is
    // reached counts.
    for leads in [true, false] {
        let mut is_done = false;
        for count in (0..).take_while(|count| *count < 100_000) {
            let world = AcquireFixture::new();
            let runtime = Runtime::new_current_thread().enable_all().build().unwrap();
            let stop = if count < 8 { count } else { count * count };
            is_done = runtime.block_on(async {
                let other = (!leads).then(|| tokio::spawn(world.acquire_async(query("mail"))));
                if !leads {
                    yield_now().await;
                }
                let dropped = poll_times(world.acquire_async(query("mail")), stop).await;
                let is_done = dropped.map(|token| assert_eq!(text(token), "at-1")).is_some();
                // Who waits, or comes now, gets a token.
                assert_eq!(text(world.acquire_async(query("mail")).await), "at-1");
                if let Some(other) = other {
                    assert_eq!(text(other.await.unwrap()), "at-1");
                }
                is_done
            });
            // What was redeemed is stored, and the place is free.
            assert_eq!(
                (world.provider.redemptions(), world.stored_refresh_token().unwrap()),
                (1, "rt-1".into())
            );
            assert_eq!(world.next_refresh(), "at-2");
            assert!(world.provider.is_content() && world.orphans.take().is_empty());
            if is_done {
                break;
            }
        }
        assert!(is_done);
    }
}

#[test]
fn a_sign_out_in_the_middle_is_told_to_all_who_wait() {
    let world = AcquireFixture::new();
    threads(4, 4).block_on(async {
        let come = Arc::new(AtomicU32::new(0));
        let tasks: Vec<_> = (0..100)
            .map(|number| {
                let (provider, store, come) =
                    (world.provider.clone(), world.store.clone(), come.clone());
                let wanted = query(if number % 2 == 0 { "mail" } else { "files" });
                let here = come.clone();
                let acquired =
                    world.acquirer().acquire_async(&world.live, wanted, |grant| async move {
                        while come.load(Ordering::SeqCst) < 100 {
                            yield_now().await;
                        }
                        let tokens = provider.redeem_async(&grant).await;
                        store.sign_out(SignOut::account(&account(1))).unwrap();
                        tokens
                    });
                tokio::spawn(async move {
                    here.fetch_add(1, Ordering::SeqCst);
                    acquired.await
                })
            })
            .collect();
        for acquired in join_all(tasks).await {
            assert!(matches!(acquired.unwrap(), Err(AcquireError::SignedOut)));
        }
    });
    // The hook runs behind that, on a thread of its own.
    let mut orphans = world.orphans.take();
    while orphans.is_empty() {
        std::thread::yield_now();
        orphans = world.orphans.take();
    }
    assert_eq!((orphans.len(), world.provider.redemptions()), (2, 1));
    world.assert_gone();
}

/// The refresh was stored, and then came the sign-out, and only then the one who waited.
#[test]
fn who_waits_is_given_nothing_that_was_signed_out_since() {
    let world = AcquireFixture::new();
    let runtime = threads(1, 1);
    let mut waiting = Box::pin(world.acquire_async(query("mail")));
    let token = world.acquirer().acquire(&world.live, query("mail"), |grant| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _inside = runtime.enter();
                let (waking, woken) = mpsc::channel();
                let waker = Waker::from(Arc::new(Telling(waking)));
                let mut context = Context::from_waker(&waker);
                assert!(waiting.as_mut().poll(&mut context).is_pending());
                // By now it knows that somebody is at it.
                woken.recv().unwrap();
                assert!(waiting.as_mut().poll(&mut context).is_pending());
            });
        });
        world.provider.redeem(grant)
    });
    assert_eq!(text(token), "at-1");
    world.store.sign_out(SignOut::account(&account(1))).unwrap();
    assert!(matches!(runtime.block_on(waiting), Err(AcquireError::SignedOut)));
}

struct Telling(mpsc::Sender<()>);

impl Wake for Telling {
    fn wake(self: Arc<Self>) {
        // (Nobody listens any more, later.)
        let _ = self.0.send(());
    }
}

struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Hole: in `select!`, or among other futures, one is polled once and then not for long. It must
/// not keep the place.
#[test]
fn a_future_that_is_not_polled_holds_up_nobody() {
    for is_due in [false, true] {
        // What it waits for can be there before the first poll is over, which is nothing to be held
        // up by: then once more.
        assert!((0..100).any(|_| is_held_up_by_nobody(is_due)), "it never waits");
    }
}

/// Whether there was anything to wait for.
fn is_held_up_by_nobody(is_due: bool) -> bool {
    let world = AcquireFixture::new();
    if is_due {
        world.acquire(query("mail")).unwrap();
        world.advance(51 * 60);
    }
    let first = if is_due { ["at-1", "at-3"] } else { ["at-1", "at-2"] };
    let has_waited = threads(1, 1).block_on(async {
        let woken = Arc::new(Woken(Notify::new()));
        let waker = Waker::from(woken.clone());
        let mut idle = Box::pin(world.acquire_async(query("mail")));
        if let Poll::Ready(token) = idle.as_mut().poll(&mut Context::from_waker(&waker)) {
            token.unwrap();
            return false;
        }
        // By now it is known that it refreshes.
        woken.0.notified().await;
        assert_eq!(text(world.acquire_async(query("files")).await), first[1]);
        assert_eq!(text(idle.await), first[0]);
        true
    });
    assert!(world.provider.is_content());
    has_waited
}

#[test]
fn a_panic_goes_on_in_its_caller_and_the_next_one_refreshes() {
    let world = AcquireFixture::new();
    threads(2, 2).block_on(async {
        let acquirer = world.acquirer();
        let late = acquirer
            .acquire_async(&world.live, query("mail"), |_| async { panic!("in the future") });
        let early = acquirer.acquire_async::<_, _, _, std::future::Ready<_>>(
            &world.live,
            query("mail"),
            |_| panic!("before it"),
        );
        for (task, expected) in
            [(tokio::spawn(late), "in the future"), (tokio::spawn(early), "before it")]
        {
            let panic = task.await.unwrap_err().into_panic();
            assert_eq!(panic.downcast_ref::<&str>(), Some(&expected));
        }
        assert_eq!(text(world.acquire_async(query("mail")).await), "at-1");
    });
}

/// A due token is given; its refresh panics in the background, or never begins as the runtime is
/// gone.
#[test]
fn a_due_refresh_backs_off_if_it_panics_and_not_if_it_never_began() {
    for begins in [true, false] {
        let world = AcquireFixture::new();
        world.acquire(query("mail")).unwrap();
        world.advance(51 * 60);
        let runtime = Runtime::new_current_thread().enable_all().build().unwrap();
        let began = Arc::new(Notify::new());
        let theirs = began.clone();
        let acquired = world.acquirer().acquire_async(&world.live, query("mail"), |_| async move {
            theirs.notify_one();
            panic!("in the future")
        });
        if begins {
            runtime.block_on(async {
                assert_eq!(text(acquired.await), "at-1");
                began.notified().await;
            });
        } else {
            let (_inside, mut acquired) = (runtime.enter(), Box::pin(acquired));
            let token = loop {
                // Nobody runs the runtime's tasks.
                match acquired.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(token) => break token,
                    Poll::Pending => std::thread::yield_now(),
                }
            };
            assert_eq!(text(token), "at-1");
        }
        drop(runtime);
        assert_eq!(world.next_refresh(), "at-2");
        let expected = if begins { "at-1" } else { "at-3" };
        assert_eq!(
            world.acquire_by(&world.acquirer().refresh_due_here(), query("mail")).unwrap(),
            expected
        );
    }
}

/// Hole: a future that never ends.
#[test]
fn a_future_that_never_ends_is_given_up() {
    let world = AcquireFixture::new();
    let runtime = Runtime::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (there, theirs) = {
            let there = Arc::new(());
            (there.clone(), [there.clone(), there])
        };
        let [first, second] = theirs.map(|there| {
            move |_| async move {
                let () = std::future::pending().await;
                drop(there);
                unreachable!("it never ends")
            }
        });
        let never = world.acquirer().acquire_async(&world.live, query("mail"), first);
        let task = tokio::spawn(never);
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Who waits for it is told the same, also if the caller itself has gone.
        task.abort();
        let waiting = world.acquirer().acquire_async(&world.live, query("mail"), second);
        let Err(AcquireError::Refresh(failed)) = waiting.await else { panic!("it has not ended") };
        assert_eq!(
            failed.downcast_ref::<std::io::Error>().unwrap().kind(),
            std::io::ErrorKind::TimedOut
        );
        // Of the two limits the caller's may be over first, where the clock jumps: the refresh has
        // its own, as long as somebody runs it. (It may not even have come from its thread yet.)
        while Arc::strong_count(&there) > 1 {
            tokio::time::sleep(HOUR).await;
        }
    });
    assert_eq!(world.next_refresh(), "at-1");
}

#[test]
fn a_runtime_that_shuts_down_in_the_middle_leaves_the_place_free() {
    let world = AcquireFixture::new();
    let runtime = threads(2, 2);
    let began = Arc::new(AtomicU32::new(0));
    let theirs = began.clone();
    runtime.spawn(world.acquirer().acquire_async(&world.live, query("mail"), move |_| {
        theirs.fetch_add(1, Ordering::SeqCst);
        std::future::pending()
    }));
    crate::together::meet(&began, 1);
    std::thread::scope(|scope| {
        // A thread that waits for it goes on by itself.
        let waiting = scope.spawn(|| world.acquire(query("mail")));
        runtime.shutdown_background();
        assert_eq!(waiting.join().unwrap().unwrap(), "at-1");
    });
    assert_eq!(world.next_refresh(), "at-2");
}

/// Hole: an async refresh that waits for itself.
#[test]
fn a_refresh_that_wants_what_it_refreshes_is_told_so() {
    let world = AcquireFixture::new();
    let other = AccessQuery::new(ClientId::new("other").unwrap());
    world.live.put(RefreshToken::new(ClientId::new("other").unwrap(), "other")).unwrap();
    let is_told = |inner: Result<AccessToken, AcquireError>| matches!(inner, Err(AcquireError::Store(error)) if matches!(*error, Error::InvalidInput { field: "refresh", .. }));
    threads(2, 2).block_on(async {
        let (acquirer, live, provider) =
            (world.acquirer(), world.live.clone(), world.provider.clone());
        let never = |_: Grant| std::future::pending();
        let token =
            world.acquirer().acquire_async(&world.live, query("mail"), move |grant| async move {
                yield_now().await;
                assert!(is_told(acquirer.acquire_async(&live, query("mail"), never).await));
                assert!(is_told(acquirer.acquire(&live, query("files"), |_| unreachable!())));
                let (inner, mine) = (acquirer.clone(), live.clone());
                let detour = acquirer.acquire_async(&live, other, move |grant| async move {
                    yield_now().await;
                    assert!(is_told(inner.acquire_async(&mine, query("mail"), never).await));
                    Ok(grant.access_token(None, "detour", HOUR).into())
                });
                assert_eq!(text(detour.await), "detour");
                provider.redeem_async(&grant).await
            });
        assert_eq!(text(token.await), "at-1");
    });
}

#[test]
fn the_app_acquires_without_blocking_too() {
    let store = TokenStore::in_memory().unwrap();
    let refreshes = Arc::new(AtomicU32::new(0));
    threads(2, 2).block_on(async {
        let tasks = (0..50).map(|_| {
            let refreshes = refreshes.clone();
            tokio::spawn(Acquirer::new().acquire_for_app_async(
                &store,
                &tenant(1),
                query("api"),
                |grant| async move {
                    refreshes.fetch_add(1, Ordering::SeqCst);
                    yield_now().await;
                    Ok(grant.access_token(None, "app", HOUR).into())
                },
            ))
        });
        join_all(tasks).await.into_iter().for_each(|token| assert_eq!(text(token.unwrap()), "app"));
    });
    assert_eq!(refreshes.load(Ordering::SeqCst), 1);
    assert_eq!(store.account(&AccountId::app(tenant(1), client())).unwrap().len(), 1);
}

#[test]
fn an_app_that_is_dropped_at_any_point_signs_in_all_the_same() {
    for stop in 0..12 {
        let store = TokenStore::in_memory().unwrap();
        let acquire = || {
            Acquirer::new().acquire_for_app_async(
                &store,
                &tenant(1),
                query("api"),
                |grant| async move {
                    yield_now().await;
                    Ok(grant.access_token(None, "app", HOUR).into())
                },
            )
        };
        Runtime::new_current_thread().enable_all().build().unwrap().block_on(async {
            drop(poll_times(acquire(), stop).await);
            assert_eq!(text(acquire().await), "app");
        });
        assert_eq!(store.account(&AccountId::app(tenant(1), client())).unwrap().len(), 1);
    }
}

#[test]
fn outside_of_a_runtime_it_says_so() {
    let world = AcquireFixture::new();
    let mut future = pin!(world.acquire_async(query("mail")));
    let Poll::Ready(acquired) = future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    else {
        panic!("it waits")
    };
    assert!(
        matches!(acquired, Err(AcquireError::Store(error)) if matches!(*error, Error::InvalidInput { field: "runtime", .. }))
    );
    assert_eq!(world.next_refresh(), "at-1");
}

/// Hole: the last handle of the store may go with a refresh, and closing must not block a task, nor
/// be forgotten.
#[test]
fn the_store_closes_with_the_last_refresh() {
    let world = AcquireFixture::new();
    let runtime = Runtime::new_current_thread().enable_all().build().unwrap();
    let AcquireFixture { fixture: Fixture { machine, clock, store }, live, provider, .. } = world;
    runtime.block_on(async {
        let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (theirs, go) = (began.clone(), go_on.clone());
        let task =
            tokio::spawn(Acquirer::new().acquire_async(live, query("mail"), |grant| async move {
                theirs.notify_one();
                go.notified().await;
                provider.redeem_async(&grant).await
            }));
        began.notified().await;
        drop(store);
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(matches!(
            machine.builder().clock(clock.clone()).open(),
            Err(Error::AlreadyOpen { .. })
        ));
        go_on.notify_one();
        let store = loop {
            match machine.builder().clock(clock.clone()).open() {
                Ok(store) => break store,
                Err(Error::AlreadyOpen { .. }) => yield_now().await,
                Err(other) => panic!("{other:?}"),
            }
        };
        let live = store.account(&account(1)).unwrap().pop().unwrap();
        assert_eq!(live.refresh_token(&client()).unwrap().unwrap().secret.expose(), "rt-1");
    });
}

/// A clock that can be stopped, so that the reclaimer waits when it looks at it. Whether it is, and
/// how many wait.
#[derive(Clone, Default)]
struct Stopped(Arc<(Mutex<(bool, usize)>, Condvar)>);

impl Stopped {
    fn stop(&self, stop: bool) {
        self.0.0.lock().unwrap().0 = stop;
        self.0.1.notify_all();
    }

    fn wait_looked_at(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |(_, waiting)| *waiting == 0).unwrap());
    }
}

impl Clock for Stopped {
    fn now(&self) -> SystemTime {
        if std::thread::current().name() == Some("oubliette-reclaim") {
            let (state, changed) = &*self.0;
            let mut state = state.lock().unwrap();
            state.1 += 1;
            changed.notify_all();
            changed.wait_while(state, |(is_stopped, _)| *is_stopped).unwrap().1 -= 1;
        }
        now()
    }
}

/// Hole: a store whose plain handles were given to async verbs closes on the runtime's thread, and
/// waits for the disk there.
#[test]
fn the_last_plain_handle_dropped_on_a_runtimes_thread_does_not_hold_it_up() {
    for is_app in [false, true] {
        let (machine, clock) = (Machine::new(), Stopped::default());
        let store = machine.builder().clock(clock.clone()).open().unwrap();
        let live = store.sign_in(sign_in(1)).unwrap();
        live.put(access("mail", "at")).unwrap();
        let app =
            store.sign_in(SignIn::new(AccountId::app(tenant(2), client()), tenant(2))).unwrap();
        app.put(access("mail", "at")).unwrap();
        drop(app);
        store.sign_in(sign_in(2)).unwrap();
        clock.stop(true);
        // The reclaimer is in the middle of an account: closing waits for it.
        store.sign_out(SignOut::account(&account(2))).unwrap();
        clock.wait_looked_at();
        let runtime = threads(1, 1);
        runtime.block_on(async {
            let never = |_: Grant| std::future::pending();
            if is_app {
                drop(live);
                let token =
                    Acquirer::new().acquire_for_app_async(store, &tenant(2), query("mail"), never);
                assert_eq!(text(token.await), "at");
            } else {
                drop(store);
                assert_eq!(
                    text(Acquirer::new().acquire_async(live, query("mail"), never).await),
                    "at"
                );
            }
            assert!(
                matches!(machine.builder().open(), Err(Error::AlreadyOpen { .. })),
                "it is not closed yet"
            );
            clock.stop(false);
        });
        // The runtime waits for the thread that closes it.
        drop(runtime);
        machine.builder().open().unwrap().close().unwrap();
    }
}
