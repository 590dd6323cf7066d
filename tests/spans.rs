//! No span, event or metric tells who a user is or what a token is. One test: the subscriber and the recorder are for the whole process.

mod common;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use common::{now, scopes};
use metrics_util::debugging::DebuggingRecorder;
use oubliette::*;

/// Keeps all that a subscriber can see.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<Vec<String>>>);

thread_local! {
    /// The spans that this thread is in.
    static ENTERED: RefCell<Vec<(tracing::span::Id, &'static tracing::Metadata<'static>)>> = const { RefCell::new(Vec::new()) };
}

struct Fields<'a>(&'a mut String);

impl tracing::field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

impl tracing::Subscriber for Everything {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("oubliette") || metadata.target() == "app"
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        let within = ENTERED.with_borrow(|entered| entered.last().map_or("", |(_, metadata)| metadata.name()));
        let mut line = format!("{within}> {} {}", span.metadata().level(), span.metadata().name());
        span.record(&mut Fields(&mut line));
        let mut lines = self.0.lock().unwrap();
        lines.push(line);
        let id = tracing::span::Id::from_u64(lines.len() as u64);
        METADATA.lock().unwrap().insert(id.into_u64(), span.metadata());
        id
    }

    fn record(&self, span: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        let mut lines = self.0.lock().unwrap();
        values.record(&mut Fields(&mut lines[span.into_u64() as usize - 1]));
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = format!("{}", event.metadata().level());
        event.record(&mut Fields(&mut line));
        self.0.lock().unwrap().push(line);
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn enter(&self, span: &tracing::span::Id) {
        let metadata = METADATA.lock().unwrap()[&span.into_u64()];
        ENTERED.with_borrow_mut(|entered| entered.push((span.clone(), metadata)));
    }

    fn exit(&self, _: &tracing::span::Id) {
        ENTERED.with_borrow_mut(Vec::pop);
    }

    fn current_span(&self) -> tracing_core::span::Current {
        let current = ENTERED.with_borrow(|entered| entered.last().cloned());
        current.map_or_else(tracing_core::span::Current::none, |(id, metadata)| tracing_core::span::Current::new(id, metadata))
    }
}

static METADATA: LazyLock<Mutex<HashMap<u64, &'static tracing::Metadata<'static>>>> = LazyLock::new(Mutex::default);

/// Runs every verb with names and tokens that are easily recognised; and some that fail. Gives the keys of the rows that there were.
fn run_everything(machine: &Machine) -> Vec<Vec<u8>> {
    let store =
        machine.builder().clock(ManualClock::new(now())).key(KeySource::bytes(*b"needle-key-needle-key-needle-key")).open();
    let store = store.unwrap();
    let id = AccountId::new("needle-authority", "needle-account").unwrap();
    let (session, subject) =
        (SessionId::new("needle-iss", "needle-sid").unwrap(), Subject::new("needle-iss", "needle-sub").unwrap());
    let (tenant, alias) = (TenantId::new("needle-tenant").unwrap(), Alias::new(AliasKind::Email, "needle@example.com").unwrap());
    let request = || {
        let named = SignIn::new(id.clone(), tenant.clone()).session(session.clone()).subject(subject.clone());
        named.alias(alias.clone())
    };
    let live = store.sign_in(request()).unwrap();
    let client = ClientId::new("needle-client").unwrap();
    let wanted = AccessQuery::new(client.clone()).scopes(scopes("needle-scope")).resource("needle-resource");
    let mut token =
        AccessToken::new(client.clone(), scopes("needle-scope"), "needle-token", now() + std::time::Duration::from_secs(3600));
    token.resource = Some("needle-resource".into());
    live.put([token.into(), RefreshToken::new(client.clone(), "needle-refresh").into()]).unwrap();
    live.access_token(&wanted).unwrap().unwrap();
    live.refresh_token(&client).unwrap().unwrap();
    live.id_token(&client).unwrap();
    live.is_live().unwrap();
    store.resume(&id, live.id()).unwrap().unwrap();
    store.accounts(Page::first(9)).unwrap();
    store.accounts_in(&tenant, Page::first(9)).unwrap();
    store.accounts_of_session(&session).unwrap();
    store.accounts_of_subject(&subject).unwrap();
    store.accounts_of_alias(&alias).unwrap();
    store.verify().unwrap();
    store.compact().unwrap();
    store.rotate_key(&KeySource::bytes([9; 32])).unwrap();
    store.complete_erasure(&KeySource::bytes([9; 32])).unwrap();
    drop(store.upkeep().start().map(|upkeep| upkeep.pass_now()).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let live = AsyncSignIn::from(live.clone());
        live.access_token(&wanted).await.unwrap().unwrap();
        // On another thread, but in the span of the request.
        let request = tracing::debug_span!(target: "app", "request");
        let mut put = std::pin::pin!(live.put(RefreshToken::new(client.clone(), "needle-refresh-2")));
        std::future::poll_fn(|context| request.in_scope(|| put.as_mut().poll(context))).await.unwrap();
    });
    let good = machine.rows();
    let mut bad = good.clone();
    bad.values_mut().filter(|value| value.len() > 100).for_each(|value| *value.last_mut().unwrap() ^= 1);
    machine.set_rows(bad);
    live.access_token(&wanted).unwrap_err();
    let keys = good.keys().cloned().collect();
    machine.set_rows(good);
    for scope in [Scope::Subject(subject.clone()), Scope::Tenant(tenant.clone()), Scope::Everybody] {
        store.last_sign_out(&scope).unwrap();
        store.sign_out(SignOut::of(scope)).unwrap();
        store.sign_in(request()).unwrap();
    }
    store.sign_out(SignOut::account(&id).taking_refresh_tokens()).unwrap();
    store.wait_reclaimed().unwrap();
    store.sweep(100).unwrap();
    live.put(RefreshToken::new(client, "needle-late")).unwrap_err();
    machine.set_failing_engine(true);
    store.sign_in(request()).unwrap_err();
    store.sign_out(SignOut::session(&session)).unwrap_err();
    machine.set_failing_syncs(true);
    store.sign_out(SignOut::account(&id)).unwrap_err();
    store.close().unwrap_err();
    keys
}

#[test]
fn no_span_event_or_metric_shows_anything() {
    let (machine, everything) = (Machine::new(), Everything::default());
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().unwrap();
    // For all threads: the store's own, and those of the runtime.
    tracing::subscriber::set_global_default(everything.clone()).unwrap();
    let keys = run_everything(&machine);
    let verbs = everything.0.lock().unwrap().clone();
    let metrics = snapshotter.snapshot().into_vec().into_iter().map(|(key, ..)| format!("{key:?}"));
    let lines: Vec<String> = metrics.chain(verbs.iter().cloned()).collect();
    assert!(lines.len() > verbs.len() + 20);
    // Bytes are shown as text, as hexadecimal or as a list of decimals.
    let decimal = format!("{:?}", b"needle");
    let mut shown =
        vec!["needle".to_owned(), base16ct::lower::encode_string(b"needle"), decimal[1..decimal.len() - 1].to_owned()];
    // Nor a keyed hash, of which rows' keys are made.
    let hashes = keys.iter().flat_map(|key| [key.get(1..17), key.get(17..33)]).flatten();
    for hash in hashes {
        shown.push(base16ct::lower::encode_string(hash));
        shown.push(format!("{hash:?}"));
        shown.push(format!("{hash:x?}"));
    }
    assert!(shown.len() > 30);
    for line in &lines {
        assert!(shown.iter().all(|needle| !line.contains(needle.as_str())), "{line}");
    }
    // And it does say something.
    let has = |text: &str| assert!(verbs.iter().any(|line| line.contains(text)), "{text} in {verbs:#?}");
    has("DEBUG sign_in outcome=\"ok\"");
    has("DEBUG sign_out scope=\"tenant\" outcome=\"ok\"");
    has("DEBUG read kind=\"access\" outcome=\"hit\"");
    has("DEBUG put outcome=\"signed_out\"");
    has("request> DEBUG put outcome=\"ok\"");
    has("DEBUG verb verb=\"compact\" outcome=\"ok\"");
    has("WARN message=a row does not open verb=\"read\"");
    has("part=\"engine\"");
    has("part=\"ledger\"");
    has("WARN message=a session has ended, but not its accounts");
    has("WARN message=the disk failed during a sign-out");
}
