//! The async verbs: a future that is dropped leaves all or nothing, and no thread of a runtime
//! waits for the disk.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use oubliette::*;
use oubliette_testkit::accounts::*;

/// One thread for tasks, and one for blocking work, which comes in order.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap()
}

/// More threads for blocking work, so that one can be held up.
fn runtime_with_threads() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn open(machine: &Machine) -> AsyncTokenStore {
    AsyncTokenStore::new(oubliette_testkit::fixture::open(machine))
}

/// A future that is dropped after so many polls.
struct Polled<F> {
    future: Option<Pin<Box<F>>>,
    left: usize,
}

impl<F: Future> Future for Polled<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            self.future = None;
            return Poll::Ready(None);
        }
        self.left -= 1;
        let polled = self.future.as_mut().unwrap().as_mut().poll(context).map(Some);
        if polled.is_pending() && self.left == 0 {
            self.future = None;
            return Poll::Ready(None);
        }
        polled
    }
}

fn polled<F: Future>(polls: usize, future: F) -> Polled<F> {
    Polled { future: Some(Box::pin(future)), left: polls }
}

/// An executor that is no runtime of tokio's.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Drops the verb's future after 0, 1, ... polls, each time with a fresh store, until it comes to
/// its end. `is_done` says whether the store shows what the verb does.
fn cancel<T, V, D>(
    verb: impl Fn(AsyncTokenStore, AsyncSignIn) -> V,
    is_done: impl Fn(AsyncTokenStore, AsyncSignIn) -> D,
) where
    T: std::fmt::Debug,
    V: Future<Output = Result<T>>,
    D: Future<Output = bool>,
{
    for polls in 0usize.. {
        let (machine, runtime) = (Machine::new(), runtime());
        let (ended, done) = runtime.block_on(async {
            let store = open(&machine);
            let live = store.sign_in(sign_in(1).session(session(1))).await.unwrap();
            live.put([access("mail.read", "at-1").into(), refresh("rt-1").into()]).await.unwrap();
            // The one thread is taken, so that the first poll certainly finds the verb undone.
            let (release, held) = std::sync::mpsc::channel::<()>();
            drop(tokio::task::spawn_blocking(move || _ = held.recv()));
            let mut future = Box::pin(verb(store.clone(), live.clone()));
            let is_begun = polls > 0 && poll_once(future.as_mut()).is_pending();
            assert_eq!(is_begun, polls > 0);
            drop(release);
            let ended = polled(polls.saturating_sub(1), future).await;
            // There is one thread for blocking work: this comes behind what the verb began.
            store.stats().await.unwrap();
            (ended, is_done(store, live).await)
        });
        if let Some(result) = &ended {
            result.as_ref().unwrap();
        }
        assert_eq!(done, polls > 0, "after {polls} polls");
        if ended.is_some() {
            return;
        }
    }
}

#[test]
fn a_sign_out_that_has_begun_comes_to_its_end() {
    for scope in [
        SignOutScope::Account(account(1)),
        SignOutScope::Session(session(1)),
        SignOutScope::Tenant(tenant(1)),
        SignOutScope::Everybody,
    ] {
        let request = SignOut::of(scope);
        cancel(
            |store, _| {
                let request = request.clone();
                async move { store.sign_out(request).await }
            },
            |_, live| async move { !live.is_live().await.unwrap() },
        );
    }
}

#[test]
fn a_sign_in_that_has_begun_is_whole() {
    cancel(
        |store, _| async move { store.sign_in(sign_in(2)).await },
        |store, _| async move { store.account(&account(2)).await.unwrap().len() == 1 },
    );
}

#[test]
fn a_put_that_has_begun_is_whole() {
    cancel(
        |_, live| async move {
            live.put([access("mail.read", "at-2").into(), refresh("rt-2").into()]).await
        },
        |_, live| async move {
            let access = live.access_token(&query("mail.read")).await.unwrap().unwrap();
            let refresh = live.refresh_token(&client()).await.unwrap().unwrap();
            let new = (access.secret.expose() == "at-2", refresh.secret.expose() == "rt-2");
            assert_eq!(new.0, new.1, "the one without the other");
            new.0
        },
    );
}

#[test]
fn compaction_erasure_sweep_and_close_go_on_without_their_futures() {
    for polls in 0..3 {
        let (machine, runtime) = (Machine::new(), runtime());
        runtime.block_on(async {
            let store = open(&machine);
            let live = store.sign_in(sign_in(1)).await.unwrap();
            live.put(refresh("rt-1")).await.unwrap();
            polled(polls, store.compact()).await.map(Result::unwrap);
            polled(polls, store.sweep(100)).await.map(Result::unwrap);
            polled(polls, store.complete_erasure(KeySource::bytes([8; 32])))
                .await
                .map(Result::unwrap);
            assert!(store.verify().await.unwrap().is_sound());
            assert_eq!(live.refresh_token(&client()).await.unwrap(), Some(refresh("rt-1")));
            polled(polls, store.clone().close()).await.map(Result::unwrap);
            let closed = matches!(store.stats().await, Err(Error::Closed));
            assert_eq!(closed, polls > 0);
        });
        let key = if polls > 0 { [8; 32] } else { [7; 32] };
        drop(runtime);
        machine.builder().key(KeySource::bytes(key)).open().unwrap().close().unwrap();
    }
}

#[test]
fn a_runtime_goes_on_while_verbs_wait_for_the_disk() {
    type Verb =
        fn(AsyncTokenStore, AsyncSignIn) -> Pin<Box<dyn Future<Output = Result<()>> + Send>>;
    let verbs: [(&str, Verb); 6] = [
        ("sign_out", |store, _| {
            Box::pin(async move { store.sign_out(SignOut::account(&account(2))).await.map(drop) })
        }),
        ("sign_out, taking", |store, _| {
            Box::pin(async move {
                store
                    .sign_out(SignOut::account(&account(2)).taking_refresh_tokens())
                    .await
                    .map(drop)
            })
        }),
        ("put", |_, live| Box::pin(async move { live.put(refresh("rt-2")).await.map(drop) })),
        ("sign_in", |store, _| Box::pin(async move { store.sign_in(sign_in(3)).await.map(drop) })),
        ("wait_reclaimed", |store, _| {
            Box::pin(async move {
                store.sign_out(SignOut::account(&account(9))).await?;
                store.wait_reclaimed().await.map(drop)
            })
        }),
        ("close", |store, _| Box::pin(store.close())),
    ];
    for (name, verb) in verbs {
        let machine = Machine::new();
        runtime_with_threads().block_on(async {
            let store = open(&machine);
            let live = store.sign_in(sign_in(1)).await.unwrap();
            live.put([access("mail.read", "at-1").into(), refresh("rt-1").into()]).await.unwrap();
            store.sign_in(sign_in(2)).await.unwrap();
            machine.set_holding_syncs(true);
            machine.set_holding_engine_syncs(true);
            let stuck = tokio::spawn(verb(store.clone(), live.clone()));
            let waiting = machine.clone();
            tokio::task::spawn_blocking(move || waiting.wait_held()).await.unwrap();
            // It is stuck in a sync. The only thread of the runtime is free, and reads are
            // answered.
            let turns = Arc::new(AtomicUsize::new(0));
            let counted = turns.clone();
            let other = tokio::spawn(async move {
                for _ in 0..10 {
                    counted.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            });
            assert!(live.access_token(&query("mail.read")).await.unwrap().is_some(), "{name}");
            assert!(live.refresh_token(&client()).await.unwrap().is_some(), "{name}");
            assert!(live.id_token(&client()).await.unwrap().is_none(), "{name}");
            assert!(live.is_live().await.unwrap(), "{name}");
            assert!(store.resume(&account(1), live.id()).await.unwrap().is_some(), "{name}");
            other.await.unwrap();
            assert_eq!(turns.load(Ordering::Relaxed), 10, "{name}");
            assert!(!stuck.is_finished(), "{name}");
            machine.set_holding_syncs(false);
            machine.set_holding_engine_syncs(false);
            stuck.await.unwrap().unwrap_or_else(|error| panic!("{name}: {error:?}"));
        });
    }
}

#[test]
fn reads_are_done_where_they_are_polled() {
    let machine = Machine::new();
    let store = open_outside(&machine);
    let live = AsyncSignIn::from(store.blocking().sign_in(sign_in(1)).unwrap());
    live.blocking().put(access("mail.read", "at-1")).unwrap();
    // Without a runtime nothing else could answer.
    assert!(live.access_token(&query("mail.read")).now_or_never().unwrap().unwrap().is_some());
    assert!(live.refresh_token(&client()).now_or_never().unwrap().unwrap().is_none());
    assert!(live.id_token(&client()).now_or_never().unwrap().unwrap().is_none());
    assert!(live.is_live().now_or_never().unwrap().unwrap());
    assert_eq!(
        store.account(&account(1)).now_or_never().unwrap().unwrap(),
        std::slice::from_ref(&live)
    );
    assert_eq!(store.resume(&account(1), live.id()).now_or_never().unwrap().unwrap(), Some(live));
}

fn open_outside(machine: &Machine) -> AsyncTokenStore {
    assert!(tokio::runtime::Handle::try_current().is_err());
    open(machine)
}

#[test]
fn a_read_does_not_wait_for_who_wants_to_be_alone() {
    let machine = Machine::new();
    let runtime = runtime_with_threads();
    runtime.block_on(async {
        let store = open(&machine);
        let live = store.sign_in(sign_in(1)).await.unwrap();
        // A sign-out that is stuck has passed the gate; an erasure waits for it there, and whoever
        // came behind would wait too.
        machine.set_holding_syncs(true);
        let stuck = tokio::spawn({
            let store = store.clone();
            async move { store.sign_out(SignOut::account(&account(2))).await }
        });
        let waiting = machine.clone();
        tokio::task::spawn_blocking(move || waiting.wait_held()).await.unwrap();
        let alone = tokio::spawn({
            let store = store.clone();
            async move { store.complete_erasure(KeySource::bytes([8; 32])).await }
        });
        // As soon as it waits, reads are put off.
        let mut put_off = loop {
            let mut read = Box::pin({
                let live = live.clone();
                async move { live.is_live().await }
            });
            match poll_once(read.as_mut()) {
                Poll::Ready(result) => assert!(result.unwrap()),
                Poll::Pending => break read,
            }
            tokio::task::yield_now().await;
        };
        let mut account = Box::pin(store.account(live.account()));
        assert!(poll_once(account.as_mut()).is_pending());
        assert!(poll_once(put_off.as_mut()).is_pending());
        assert!(!stuck.is_finished() && !alone.is_finished());
        machine.set_holding_syncs(false);
        assert!(put_off.await.unwrap());
        assert_eq!(account.await.unwrap().len(), 1);
        stuck.await.unwrap().unwrap();
        alone.await.unwrap().unwrap();
    });
}

#[test]
fn a_read_does_not_wait_for_a_long_batch() {
    let machine = Machine::new();
    runtime().block_on(async {
        let store = open(&machine);
        let live = store.sign_in(sign_in(1)).await.unwrap();
        live.put(access("mail.read", "at-1")).await.unwrap();
        machine.set_busy_engine(true);
        // The one thread is taken: what is put off cannot be done at once.
        let (release, held) = std::sync::mpsc::channel::<()>();
        drop(tokio::task::spawn_blocking(move || _ = held.recv()));
        let wanted = query("mail.read");
        let mut read = Box::pin(live.access_token(&wanted));
        assert!(poll_once(read.as_mut()).is_pending());
        drop(release);
        assert!(read.await.unwrap().is_some(), "it is read on another thread");
    });
}

/// The places of the accounts' rows: `A`, then the account's keyed hash.
fn hash_of(machine: &Machine, before: &[Vec<u8>]) -> Vec<u8> {
    let new = machine
        .rows()
        .into_keys()
        .find(|key| key[0] == b'A' && !before.iter().any(|old| key[1..17] == old[..]));
    new.unwrap()[1..17].to_vec()
}

#[test]
fn a_read_does_not_wait_for_an_accounts_lock() {
    let machine = Machine::new();
    runtime_with_threads().block_on(async {
        let store = open(&machine);
        // Two accounts with the same lock: of 256, by the first byte of their hash.
        let (mut hashes, mut lives): (Vec<Vec<u8>>, Vec<AsyncSignIn>) = Default::default();
        let (first, second) = loop {
            lives.push(store.sign_in(sign_in(lives.len() as u32)).await.unwrap());
            let hash = hash_of(&machine, &hashes);
            let same = hashes.iter().position(|other| other[0] == hash[0]);
            hashes.push(hash);
            if let Some(same) = same {
                break (same, lives.len() - 1);
            }
        };
        // A token in two parts, of which one is of another write: as a reader finds it beside a
        // writer.
        let long = |letter: &str| refresh(&letter.repeat(9000));
        lives[first].put(long("a")).await.unwrap();
        let before = machine.rows();
        lives[first].put(long("b")).await.unwrap();
        let mut torn = machine.rows();
        let last = torn
            .keys()
            .rfind(|key| key[0] == b'A' && key[1..17] == hashes[first][..])
            .unwrap()
            .clone();
        torn.insert(last.clone(), before[&last].clone());
        machine.set_rows(torn);
        machine.set_holding_syncs(true);
        let stuck = tokio::spawn({
            let (store, account) = (store.clone(), lives[second].account().clone());
            async move { store.sign_out(SignOut::account(&account).taking_refresh_tokens()).await }
        });
        let waiting = machine.clone();
        tokio::task::spawn_blocking(move || waiting.wait_held()).await.unwrap();
        // It would wait for that sync if it took the lock here.
        let wanted = client();
        let mut read = Box::pin(lives[first].refresh_token(&wanted));
        assert!(poll_once(read.as_mut()).is_pending());
        machine.set_holding_syncs(false);
        assert!(
            matches!(read.await, Err(Error::Tampered(_))),
            "with the lock it is no writer's doing"
        );
        stuck.await.unwrap().unwrap();
    });
}

/// A clock that can be stopped, so that the reclaimer waits when it looks at it; and that can
/// panic.
#[derive(Clone, Default)]
struct Stopped(Arc<Stop>);

/// Whether it is stopped and how many wait; whether it panics.
type Stop = (Mutex<(bool, usize)>, Condvar, AtomicBool);

impl Stopped {
    fn stop(&self, stop: bool) {
        self.0.0.lock().unwrap().0 = stop;
        self.0.1.notify_all();
    }

    fn wait_looked_at(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |(_, waiting)| *waiting == 0).unwrap());
    }

    fn panic(&self, panics: bool) {
        self.0.2.store(panics, Ordering::Relaxed);
    }
}

impl Clock for Stopped {
    fn now(&self) -> SystemTime {
        let (state, changed, panics) = &*self.0;
        assert!(!panics.load(Ordering::Relaxed), "the clock is broken");
        if std::thread::current().name() != Some("oubliette-reclaim") {
            return now();
        }
        let mut state = state.lock().unwrap();
        state.1 += 1;
        changed.notify_all();
        let mut state = changed.wait_while(state, |(is_stopped, _)| *is_stopped).unwrap();
        state.1 -= 1;
        now()
    }
}

#[test]
fn the_last_handle_dropped_on_a_runtimes_thread_does_not_hold_it_up() {
    let (machine, clock) = (Machine::new(), Stopped::default());
    let runtime = runtime();
    runtime.block_on(async {
        let store = AsyncTokenStore::new(machine.builder().clock(clock.clone()).open().unwrap());
        let live = store.sign_in(sign_in(1)).await.unwrap();
        clock.stop(true);
        // The reclaimer is in the middle of an account: closing waits for it.
        store.sign_out(SignOut::account(&account(1))).await.unwrap();
        clock.wait_looked_at();
        drop(store);
        drop(live);
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

/// There is one thread for blocking work, and it is free while another process is waited for.
#[test]
fn an_opening_that_waits_for_a_lock_blocks_no_thread() {
    let home = oubliette_testkit::disk::Home::new();
    home.open().close().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let builder = || home.builder().wait_for_lock(Duration::from_secs(60));
    let hold = || {
        let lock = std::fs::File::open(home.path().join("lock")).unwrap();
        lock.lock().unwrap();
        lock
    };
    // The thread takes its work in order, so the first try has failed by then.
    let unlock = async |held: std::fs::File| {
        for _ in 0..3 {
            tokio::task::spawn_blocking(|| ()).await.unwrap();
        }
        held.unlock().unwrap();
    };
    runtime.block_on(async {
        let (store, ()) = tokio::join!(builder().open_async(), unlock(hold()));
        store.unwrap().close().await.unwrap();
        let (verified, ()) = tokio::join!(builder().verify_async(), unlock(hold()));
        assert!(verified.unwrap().is_sound());
    });
}

#[test]
fn a_panic_comes_back_to_the_caller() {
    let (machine, clock) = (Machine::new(), Stopped::default());
    runtime().block_on(async {
        let store = AsyncTokenStore::new(machine.builder().clock(clock.clone()).open().unwrap());
        clock.panic(true);
        let panic = AssertUnwindSafe(store.sign_in(sign_in(1))).catch_unwind().await.unwrap_err();
        assert_eq!(*panic.downcast_ref::<&str>().unwrap(), "the clock is broken");
        clock.panic(false);
        store.sign_in(sign_in(1)).await.unwrap();
    });
}

#[test]
fn it_works_on_the_runtime_it_was_made_in_and_says_if_there_is_none() {
    let machine = Machine::new();
    let runtime = runtime();
    let store = {
        let _inside = runtime.enter();
        open(&machine)
    };
    // Polled by another executor.
    let live = block_on(store.sign_in(sign_in(1))).unwrap();
    block_on(live.put(refresh("rt-1"))).unwrap();
    assert!(live.blocking().is_live().unwrap());
    block_on(store.close()).unwrap();
    let store = open_outside(&machine);
    let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| block_on(store.stats())));
    assert!(panicked.is_err());
}

#[test]
fn when_the_runtime_ends_a_verb_is_done_or_says_that_it_is_not() {
    let machine = Machine::new();
    let runtime = runtime();
    let (store, live, other) = runtime.block_on(async {
        let store = open(&machine);
        let (live, other) =
            (store.sign_in(sign_in(1)).await.unwrap(), store.sign_in(sign_in(2)).await.unwrap());
        (store, live, other)
    });
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let (began, begun) = std::sync::mpsc::channel();
    runtime.spawn_blocking(move || {
        began.send(()).unwrap();
        held.recv()
    });
    begun.recv().unwrap();
    let mut queued = Box::pin(store.sign_out(SignOut::account(&account(1))));
    assert!(poll_once(queued.as_mut()).is_pending());
    runtime.shutdown_background();
    drop(hold);
    // It waited for a thread: tokio may or may not have given it one.
    match block_on(queued) {
        Ok(_) => assert!(!live.blocking().is_live().unwrap()),
        Err(error) => assert!(
            matches!(error, Error::Io { .. }) && live.blocking().is_live().unwrap(),
            "{error:?}"
        ),
    }
    let error = block_on(store.sign_out(SignOut::account(&account(2)))).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    assert!(other.blocking().is_live().unwrap(), "nothing was done");
    // On another runtime it goes on.
    self::runtime()
        .block_on(async { store.sign_out(SignOut::account(&account(2))).await })
        .unwrap();
    assert!(!other.blocking().is_live().unwrap());
}

#[test]
fn every_verb_says_what_its_blocking_one_says() {
    fn sendable<F: Future + Send>(future: F) -> F {
        future
    }
    let folder = tempfile::tempdir().unwrap();
    let (path, key) = (folder.path().join("tokens"), || KeySource::bytes([7; 32]));
    let ledger = folder.path().join("ledgers");
    let builder =
        || TokenStore::builder(&path).ledger_dir(&ledger).key(key()).clock(ManualClock::new(now()));
    runtime().block_on(sendable(async {
        let store = builder().open_async().await.unwrap();
        let alias = Alias::new(AliasKind::Email, "user@example.com").unwrap();
        let request = sign_in(1).session(session(1)).subject(subject(1)).alias(alias.clone());
        let live = store.sign_in(request).await.unwrap();
        assert_eq!((live.account(), live.tenant()), (&account(1), &tenant(1)));
        assert_eq!(
            (live.session(), live.subject(), live.aliases()),
            (Some(&session(1)), Some(&subject(1)), &[alias.clone()][..])
        );
        assert_eq!(
            (live.id(), live.signed_in_at()),
            (live.blocking().id(), live.blocking().signed_in_at())
        );
        assert_eq!(
            live.put([access("a", "at").into(), refresh("rt").into()]).await.unwrap(),
            stored(2)
        );
        assert_eq!(
            live.access_token(&query("a")).await.unwrap(),
            live.blocking().access_token(&query("a")).unwrap()
        );
        assert_eq!(store.accounts(Page::first(9)).await.unwrap().accounts.len(), 1);
        assert_eq!(store.accounts_in(&tenant(1), Page::first(9)).await.unwrap().accounts.len(), 1);
        assert_eq!(store.accounts_of_session(&session(1)).await.unwrap().len(), 1);
        assert_eq!(store.accounts_of_subject(&subject(1)).await.unwrap().len(), 1);
        assert_eq!(store.accounts_of_alias(&alias).await.unwrap().len(), 1);
        assert!(store.verify().await.unwrap().is_sound());
        assert_eq!(store.backup(folder.path().join("backup")).await.unwrap().accounts, 1);
        assert_eq!(store.compact().await.unwrap().accounts, 1);
        store.rotate_key(key()).await.unwrap();
        let scope = SignOutScope::Account(account(1));
        let receipt = store.sign_out(SignOut::of(scope.clone())).await.unwrap();
        assert_eq!(
            store.last_sign_out(&scope).await.unwrap().record.unwrap().position,
            receipt.position
        );
        assert!(store.wait_reclaimed().await.unwrap().accounts > 0);
        assert!(store.sweep(100).await.unwrap().finished);
        assert_eq!(store.stats().await.unwrap().backlog, 0);
        let everybody = [SignOutScope::Everybody];
        assert_eq!(store.history_of(&everybody).await.unwrap().covering(&everybody).count(), 0);
        assert_eq!(store.history().await.unwrap().records.len(), 1);
        store.close().await.unwrap();
        assert_eq!(builder().history_async().await.unwrap().records.len(), 1);
        assert_eq!(builder().verify_async().await.unwrap().accounts, 0);
        std::fs::remove_dir_all(&path).unwrap();
        let store = builder().restore_async(folder.path().join("backup")).await.unwrap();
        assert!(store.account(&account(1)).await.unwrap().is_empty(), "signed out since");
        store.complete_erasure(key()).await.unwrap();
        store.close().await.unwrap();
    }));
}
