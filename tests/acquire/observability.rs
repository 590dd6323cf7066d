//! What the store counts for operators. That it tells nothing of anybody: `spans.rs`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::time::Duration;

use metrics_util::CompositeKey;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::fixture::open;

/// All metrics so far, as `name{label=value,...}`. (A snapshot takes what histograms have.)
fn snapshot(snapshotter: &Snapshotter) -> BTreeMap<String, DebugValue> {
    let name = |key: CompositeKey| {
        let key = key.key();
        let labels: Vec<_> =
            key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        if labels.is_empty() {
            key.name().to_owned()
        } else {
            format!("{}{{{}}}", key.name(), labels.join(","))
        }
    };
    snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| (name(key), value))
        .collect()
}

/// Runs `work` with a recorder of its own, and gives what this thread recorded.
fn recorded(work: impl FnOnce()) -> BTreeMap<String, DebugValue> {
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, work);
    snapshot(&recorder.snapshotter())
}

#[track_caller]
fn assert_counts(found: &BTreeMap<String, DebugValue>, expected: &[(&str, u64)]) {
    for (name, count) in expected {
        assert_eq!(found.get(*name), Some(&DebugValue::Counter(*count)), "{name} in {found:#?}");
    }
}

#[track_caller]
fn samples(found: &BTreeMap<String, DebugValue>, name: &str) -> Vec<f64> {
    match found.get(name) {
        Some(DebugValue::Histogram(samples)) => {
            samples.iter().map(|sample| sample.into_inner()).collect()
        }
        other => panic!("{name}: {other:?} in {found:#?}"),
    }
}

#[track_caller]
fn gauge(found: &BTreeMap<String, DebugValue>, name: &str) -> f64 {
    match found.get(name) {
        Some(DebugValue::Gauge(value)) => value.into_inner(),
        other => panic!("{name}: {other:?} in {found:#?}"),
    }
}

#[test]
fn every_verb_is_counted_by_what_became_of_it() {
    let machine = Machine::new();
    let found = recorded(|| {
        let store = open(&machine);
        let live = store.sign_in(sign_in(1).session(session(1))).unwrap();
        store.sign_in(SignIn::new(AccountId::app(tenant(1), client()), tenant(2))).unwrap_err();
        live.put([access("a", "at").into(), refresh("rt").into()]).unwrap();
        live.access_token(&query("a")).unwrap().unwrap();
        live.access_token(&query("a")).unwrap().unwrap();
        assert!(live.access_token(&query("b")).unwrap().is_none());
        live.refresh_token(&client()).unwrap().unwrap();
        assert!(live.id_token(&client()).unwrap().is_none());
        store.sign_out(SignOut::session(&session(1))).unwrap();
        store.sign_out(SignOut::tenant(&tenant(7))).unwrap();
        store.sign_out(SignOut::tenant(&tenant(7)).taking_refresh_tokens()).unwrap_err();
        live.put(refresh("rt-2")).unwrap_err();
        store.wait_reclaimed().unwrap();
        assert!(store.sweep(1000).unwrap().finished);
        store.compact().unwrap();
        let copy = store.clone();
        store.close().unwrap();
        copy.stats().unwrap_err();
        copy.account(&account(1)).unwrap_err();
        live.access_token(&query("a")).unwrap_err();
    });
    assert_counts(
        &found,
        &[
            ("oubliette_sign_ins_total{outcome=ok}", 1),
            ("oubliette_sign_ins_total{outcome=invalid_input}", 1),
            ("oubliette_puts_total{outcome=ok}", 1),
            ("oubliette_puts_total{outcome=signed_out}", 1),
            ("oubliette_tokens_stored_total", 2),
            ("oubliette_reads_total{kind=access,outcome=hit}", 2),
            ("oubliette_reads_total{kind=access,outcome=miss}", 1),
            ("oubliette_reads_total{kind=access,outcome=error}", 1),
            ("oubliette_reads_total{kind=refresh,outcome=hit}", 1),
            ("oubliette_reads_total{kind=id,outcome=miss}", 1),
            ("oubliette_sign_outs_total{scope=session,outcome=ok}", 1),
            ("oubliette_sign_outs_total{scope=tenant,outcome=ok}", 1),
            ("oubliette_sign_outs_total{scope=tenant,outcome=invalid_input}", 1),
            // The opening, and the two sign-outs.
            ("oubliette_ledger_syncs_total", 3),
            ("oubliette_compactions_total{outcome=ok}", 1),
            ("oubliette_swept_accounts_total", 0),
            ("oubliette_errors_total{verb=stats,error=closed}", 1),
            ("oubliette_errors_total{verb=account,error=closed}", 1),
        ],
    );
    assert_eq!(samples(&found, "oubliette_ledger_sync_sign_outs"), [0.0, 1.0, 1.0]);
    assert_eq!(samples(&found, "oubliette_sign_out_duration_seconds{scope=tenant}").len(), 2);
    assert_eq!(samples(&found, "oubliette_put_duration_seconds").len(), 2);
    assert_eq!(samples(&found, "oubliette_sign_in_duration_seconds").len(), 2);
    assert!(
        gauge(&found, "oubliette_ledger_reserve") > 0.0
            && gauge(&found, "oubliette_ledger_bytes") > 0.0
    );
    for part in ["engine", "ledger"] {
        assert_eq!(gauge(&found, &format!("oubliette_poisoned{{part={part}}}")), 0.0);
    }
}

#[test]
fn a_sync_says_how_many_shared_it() {
    let machine = Machine::new();
    let store = open(&machine);
    store.sign_out(SignOut::account(&account(0))).unwrap();
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || {
        machine.set_holding_syncs(true);
        let led = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            // One is stuck in its sync; five more come; then this thread leads the group of all
            // that wait.
            scope.spawn(|| store.sign_out(SignOut::account(&account(1))).unwrap());
            machine.wait_held();
            let fences = store.stats().unwrap().fences;
            for number in 2..7 {
                let (store, led) = (&store, &led);
                scope.spawn(move || {
                    let recorder = DebuggingRecorder::new();
                    let snapshotter = recorder.snapshotter();
                    metrics::with_local_recorder(&recorder, || {
                        store.sign_out(SignOut::account(&account(number))).unwrap()
                    });
                    let found = snapshot(&snapshotter);
                    if found.contains_key("oubliette_ledger_sync_sign_outs") {
                        assert_eq!(samples(&found, "oubliette_ledger_sync_sign_outs"), [5.0]);
                        led.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            while store.stats().unwrap().fences < fences + 5 {
                std::thread::yield_now();
            }
            machine.set_holding_syncs(false);
        });
        assert_eq!(led.into_inner(), 1);
    });
    assert_eq!(store.stats().unwrap().ledger_syncs, 3);
}

#[test]
fn poison_and_tampering_are_told() {
    let machine = Machine::new();
    let found = recorded(|| {
        let store = open(&machine);
        let live = store.sign_in(sign_in(1)).unwrap();
        live.put(access("a", "at")).unwrap();
        let rows = machine.rows();
        let mut bad = rows.clone();
        bad.values_mut()
            .filter(|value| value.len() > 100)
            .for_each(|value| *value.last_mut().unwrap() ^= 1);
        machine.set_rows(bad);
        live.access_token(&query("a")).unwrap_err();
        machine.set_rows(rows);
        machine.set_failing_engine(true);
        live.put(refresh("rt")).unwrap_err();
        live.put(refresh("rt")).unwrap_err();
        machine.set_failing_syncs(true);
        store.sign_out(SignOut::everybody()).unwrap_err();
        store.sign_out(SignOut::everybody()).unwrap_err();
    });
    assert_counts(
        &found,
        &[
            ("oubliette_tampered_total{verb=read}", 1),
            ("oubliette_poisonings_total{part=engine}", 1),
            ("oubliette_poisonings_total{part=ledger}", 1),
            ("oubliette_puts_total{outcome=io}", 1),
            ("oubliette_puts_total{outcome=poisoned}", 1),
            ("oubliette_sign_outs_total{scope=everybody,outcome=indeterminate}", 1),
            ("oubliette_sign_outs_total{scope=everybody,outcome=poisoned}", 1),
        ],
    );
    for part in ["engine", "ledger"] {
        assert_eq!(gauge(&found, &format!("oubliette_poisoned{{part={part}}}")), 1.0);
    }
}

/// A refresh that brings what was asked for, and a new refresh token. A clock by which nothing is
/// deleted for its age is told of when it is met, and when it is believed again.
#[test]
fn a_clock_that_has_jumped_is_told() {
    let clock = ManualClock::new(now());
    let store = Machine::new().builder().clock(clock.clone()).open().unwrap();
    let ahead = |work: &dyn Fn()| gauge(&recorded(work), "oubliette_clock_ahead_seconds");
    let swept = || assert!(store.sweep(1000).unwrap().finished);
    store.sign_in(sign_in(1)).unwrap();
    clock.set(now() + Duration::from_secs(100 * 86_400));
    assert_eq!(ahead(&swept), 8_640_000.0);
    assert!(!recorded(swept).contains_key("oubliette_clock_ahead_seconds"), "once for each jump");
    store.trust_clock().unwrap();
    assert_eq!(ahead(&swept), 0.0);
}

fn refreshed(grant: &Grant) -> Result<Tokens, RefreshError> {
    let access = grant.access_token(None, "at", Duration::from_secs(3600));
    Ok([access.into(), grant.next_refresh_token("rt-next").into()].into())
}

#[test]
fn the_first_tokens_of_a_sign_in_are_counted_too() {
    let found = recorded(|| {
        let store = open(&Machine::new());
        let (live, _) = store
            .sign_in_with(sign_in(1), [access("a", "at").into(), refresh("rt").into()])
            .unwrap();
        live.put(refresh("rt-2")).unwrap();
        store.sign_in(sign_in(2)).unwrap();
    });
    assert_counts(
        &found,
        &[("oubliette_tokens_stored_total", 2 + 1), ("oubliette_sign_ins_total{outcome=ok}", 2)],
    );
}

/// Adds what was recorded since, and says how many wait for a refresh. (A snapshot takes what there
/// is, so each gives what came since the last.)
fn waiting(found: &mut BTreeMap<String, DebugValue>, snapshotter: &Snapshotter) -> f64 {
    for (name, value) in snapshot(snapshotter) {
        match (found.get_mut(&name), value) {
            (Some(DebugValue::Counter(sum)), DebugValue::Counter(more)) => *sum += more,
            (Some(DebugValue::Gauge(sum)), DebugValue::Gauge(more)) => *sum += more,
            (Some(DebugValue::Histogram(all)), DebugValue::Histogram(more)) => all.extend(more),
            (_, value) => drop(found.insert(name, value)),
        }
    }
    if found.contains_key("oubliette_refresh_waiting") {
        gauge(found, "oubliette_refresh_waiting")
    } else {
        0.0
    }
}

/// Each outcome another number of times, of acquisitions and of refreshes, so that no two can be
/// mistaken for each other.
#[test]
fn every_acquisition_is_counted_by_what_became_of_it() {
    let found = recorded(|| {
        let store = open(&Machine::new());
        let (live, _) = store.sign_in_with(sign_in(1), refresh("rt")).unwrap();
        let acquirer = Acquirer::new();
        let fails = |live: &LiveSignIn, scope: &str, error: RefreshError| {
            acquirer.acquire(live, query(scope), |_| Err(error)).unwrap_err();
        };
        // Two refreshed, three hits.
        for scope in ["a", "b"] {
            acquirer.acquire(&live, query(scope), refreshed).unwrap();
        }
        for scope in ["a", "b", "a"] {
            acquirer.acquire(&live, query(scope), |_| unreachable!()).unwrap();
        }
        // Four due: left so, or a refresh that failed.
        let ahead = Acquirer::new().refresh_ahead(Duration::from_secs(7200));
        live.put(access("due", "at-due")).unwrap();
        for _ in 0..3 {
            ahead.acquire(&live, query("due"), |_| unreachable!()).unwrap();
        }
        ahead
            .refresh_due_here()
            .acquire(&live, query("due"), |_| Err(RefreshError::failed("down")))
            .unwrap();
        // Five failed, the last by the store.
        for _ in 0..4 {
            fails(&live, "c", RefreshError::failed("down"));
        }
        let too_long = "x".repeat(MAX_TOKEN_BYTES + 1);
        acquirer
            .acquire(&live, query("c"), |grant| Ok(grant.next_refresh_token(too_long).into()))
            .unwrap_err();
        // (That took the spent one along.)
        live.put(refresh("rt")).unwrap();
        // Seven who have to be asked: by the provider, for less than they asked, for a spent
        // refresh token, and for none.
        for _ in 0..3 {
            fails(&live, "c", RefreshError::interaction_required(None, "mfa"));
        }
        acquirer.acquire(&live, query("c"), |_| Ok(access("less", "at").into())).unwrap_err();
        fails(&live, "c", RefreshError::invalid_grant("revoked"));
        for _ in 0..2 {
            acquirer.acquire(&live, query("c"), |_| unreachable!()).unwrap_err();
        }
        // Refreshes that panic are no acquisitions.
        live.put(refresh("rt")).unwrap();
        for _ in 0..5 {
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                acquirer
                    .acquire(&live, query("c"), |_| std::panic::resume_unwind(Box::new("its own")))
            }));
            panicked.unwrap_err();
        }
        // Eight signed out, two of them meanwhile.
        let (other, _) = store.sign_in_with(sign_in(2), refresh("rt")).unwrap();
        for live in [&live, &other] {
            let overtaken = acquirer.acquire(live, query("c"), |grant| {
                store.sign_out(SignOut::account(live.account())).unwrap();
                refreshed(grant)
            });
            overtaken.unwrap_err();
        }
        for _ in 0..6 {
            acquirer.acquire(&live, query("a"), |_| unreachable!()).unwrap_err();
        }
        // The app's own: eight more hits, and one more refreshed.
        for _ in 0..9 {
            acquirer.acquire_for_app(&store, &tenant(1), query("app"), refreshed).unwrap();
        }
    });
    assert_counts(
        &found,
        &[
            ("oubliette_acquires_total{outcome=refreshed}", 2 + 1),
            ("oubliette_acquires_total{outcome=hit}", 3 + 8),
            ("oubliette_acquires_total{outcome=due}", 4),
            ("oubliette_acquires_total{outcome=failed}", 5),
            ("oubliette_acquires_total{outcome=interaction_required}", 7),
            ("oubliette_acquires_total{outcome=signed_out}", 8),
            ("oubliette_refreshes_total{outcome=stored}", 2 + 1),
            // That of the due token too.
            ("oubliette_refreshes_total{outcome=failed}", 1 + 5),
            ("oubliette_refreshes_total{outcome=interaction_required}", 3 + 1),
            ("oubliette_refreshes_total{outcome=invalid_grant}", 1),
            ("oubliette_refreshes_total{outcome=signed_out}", 2),
            ("oubliette_refreshes_total{outcome=abandoned}", 5),
        ],
    );
    assert_eq!(samples(&found, "oubliette_refresh_duration_seconds").len(), 3 + 6 + 4 + 1 + 2 + 5);
    assert!(
        !found.contains_key("oubliette_acquires_total{outcome=waited}")
            && !found.contains_key("oubliette_refresh_waiting")
    );
}

#[test]
fn who_waits_for_a_refresh_is_told_and_nobody_does_at_the_end() {
    let store = open(&Machine::new());
    let (live, _) = store.sign_in_with(sign_in(1), refresh("rt")).unwrap();
    let recorder = DebuggingRecorder::new();
    let (snapshotter, mut found) = (recorder.snapshotter(), BTreeMap::new());
    let (began, go_on) = (mpsc::channel(), mpsc::channel());
    std::thread::scope(|scope| {
        // Gone with a panic here: nobody waits for it then.
        let (live, recorder, release) = (&live, &recorder, go_on.0);
        let leader = scope.spawn(move || {
            metrics::with_local_recorder(recorder, || {
                Acquirer::new().acquire(live, query("a"), |grant| {
                    began.0.send(()).unwrap();
                    go_on.1.recv().unwrap();
                    refreshed(grant)
                })
            })
        });
        began.1.recv().unwrap();
        let mut so_far = || waiting(&mut found, &snapshotter);
        // Three threads wait.
        let wait = move || {
            metrics::with_local_recorder(recorder, || {
                Acquirer::new().acquire(live, query("a"), |_| unreachable!())
            })
        };
        let waiters: Vec<_> = (0..3).map(|_| scope.spawn(wait)).collect();
        while so_far() < 3.0 {
            std::thread::yield_now();
        }
        metrics::with_local_recorder(recorder, || {
            // One has no patience.
            let impatient = Acquirer::new().give_up_after(Duration::ZERO);
            impatient.acquire(live, query("a"), |_| unreachable!()).unwrap_err();
            assert_eq!(so_far(), 3.0);
            // And a future that waits is dropped.
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _entered = runtime.enter();
            let mut dropped =
                Box::pin(
                    Acquirer::new().acquire_async(live, query("a"), |_| async { unreachable!() }),
                );
            while so_far() < 4.0 {
                assert!(
                    dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
                );
            }
            drop(dropped);
            assert_eq!(so_far(), 3.0);
        });
        release.send(()).unwrap();
        leader.join().unwrap().unwrap();
        waiters.into_iter().for_each(|waiter| drop(waiter.join().unwrap().unwrap()));
    });
    assert_eq!(waiting(&mut found, &snapshotter), 0.0);
    assert_counts(
        &found,
        &[
            ("oubliette_acquires_total{outcome=refreshed}", 1),
            ("oubliette_acquires_total{outcome=waited}", 3),
            ("oubliette_acquires_total{outcome=failed}", 1),
            ("oubliette_refreshes_total{outcome=stored}", 1),
        ],
    );
    assert_eq!(samples(&found, "oubliette_refresh_duration_seconds").len(), 1);
}

/// The one test with a recorder for the whole process: what the store's own threads tell, and reads
/// that are put off.
#[test]
fn background_threads_tell_too() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    // (Threads of the other tests of this file count here too; each of these has a recorder of its
    // own for itself.)
    recorder.install().unwrap();
    describe_metrics();
    let machine = Machine::new();
    let store = open(&machine);
    let live = store.sign_in(sign_in(1)).unwrap();
    live.put(refresh("rt")).unwrap();
    store.sign_out(SignOut::account(&account(1))).unwrap();
    store.wait_reclaimed().unwrap();
    let upkeep = store.upkeep().start().unwrap();
    upkeep.wait_until(|state, _| state.passes == 1);
    drop(upkeep.stop());
    let found = snapshot(&snapshotter);
    let at_least = |name: &str, least: u64| {
        let count = found.get(name);
        assert!(
            matches!(count, Some(DebugValue::Counter(count)) if *count >= least),
            "{name}: {count:?}"
        );
    };
    at_least("oubliette_reclaimed_rows_total", 3);
    at_least("oubliette_upkeep_passes_total{outcome=ok}", 1);
    assert!(gauge(&found, "oubliette_engine_bytes") >= 0.0);
    assert!(gauge(&found, "oubliette_fences") >= 0.0);
    assert!(gauge(&found, "oubliette_backlog") >= 0.0);
    // Every metric that is told has a unit and a meaning.
    let described = snapshotter.snapshot().into_vec();
    for (key, unit, meaning, _) in described {
        assert!(unit.is_some() && meaning.is_some(), "{key:?}");
    }
    // A read that is put off counts once.
    let hits =
        || match snapshot(&snapshotter).get("oubliette_reads_total{kind=refresh,outcome=hit}") {
            Some(DebugValue::Counter(count)) => *count,
            _ => 0,
        };
    let live = AsyncSignIn::from(store.sign_in(sign_in(2)).unwrap());
    live.blocking().put(refresh("rt")).unwrap();
    let recorder = DebuggingRecorder::new();
    let before = hits();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        machine.set_busy_engine(true);
        live.refresh_token(&client()).await.unwrap().unwrap();
    });
    assert!(hits() > before);
    metrics::with_local_recorder(&recorder, || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(live.refresh_token(&client()))
            .unwrap();
    });
    assert!(
        snapshot(&recorder.snapshotter()).is_empty(),
        "nothing is counted where it was put off"
    );
}
