//! What the store counts for operators. That it tells nothing of anybody: `spans.rs`.

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::*;
use metrics_util::CompositeKey;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use oubliette::*;

/// All metrics so far, as `name{label=value,...}`. (A snapshot takes what histograms have.)
fn snapshot(snapshotter: &Snapshotter) -> BTreeMap<String, DebugValue> {
    let name = |key: CompositeKey| {
        let key = key.key();
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        if labels.is_empty() { key.name().to_owned() } else { format!("{}{{{}}}", key.name(), labels.join(",")) }
    };
    snapshotter.snapshot().into_vec().into_iter().map(|(key, _, _, value)| (name(key), value)).collect()
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
        Some(DebugValue::Histogram(samples)) => samples.iter().map(|sample| sample.into_inner()).collect(),
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

fn open(machine: &Machine) -> TokenStore {
    machine.builder().clock(ManualClock::new(now())).open().unwrap()
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
    assert!(gauge(&found, "oubliette_ledger_reserve") > 0.0 && gauge(&found, "oubliette_ledger_bytes") > 0.0);
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
            // One is stuck in its sync; five more come; then this thread leads the group of all that wait.
            scope.spawn(|| store.sign_out(SignOut::account(&account(1))).unwrap());
            machine.wait_held();
            let fences = store.stats().unwrap().fences;
            for number in 2..7 {
                let (store, led) = (&store, &led);
                scope.spawn(move || {
                    let recorder = DebuggingRecorder::new();
                    let snapshotter = recorder.snapshotter();
                    metrics::with_local_recorder(&recorder, || store.sign_out(SignOut::account(&account(number))).unwrap());
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
        bad.values_mut().filter(|value| value.len() > 100).for_each(|value| *value.last_mut().unwrap() ^= 1);
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

/// The one test with a recorder for the whole process: what the store's own threads tell, and reads that are put off.
#[test]
fn background_threads_tell_too() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    // (Threads of the other tests of this file count here too; each of these has a recorder of its own for itself.)
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
        assert!(matches!(count, Some(DebugValue::Counter(count)) if *count >= least), "{name}: {count:?}");
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
    let hits = || match snapshot(&snapshotter).get("oubliette_reads_total{kind=refresh,outcome=hit}") {
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
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(live.refresh_token(&client())).unwrap();
    });
    assert!(snapshot(&recorder.snapshotter()).is_empty(), "nothing is counted where it was put off");
}
