//! No span, event or metric tells who a user is or what a token is. One test: the subscriber and the recorder are for the whole process.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use ::tower_sessions::session::{Id, Record};
use ::tower_sessions::{ExpiredDeletion, Expiry, Session, SessionStore};
use metrics_util::debugging::DebuggingRecorder;
use oubliette::oauth::ProviderFields;
use oubliette::openid::{Provider, ProviderIdTokenClaims};
use oubliette::*;
use oubliette_testkit::accounts::{now, scopes};
use oubliette_tower_sessions::{OublietteSessions, bind, bound};
use serde_json::json;

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
        let within = ENTERED
            .with_borrow(|entered| entered.last().map_or("", |(_, metadata)| metadata.name()));
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
        current.map_or_else(tracing_core::span::Current::none, |(id, metadata)| {
            tracing_core::span::Current::new(id, metadata)
        })
    }
}

static METADATA: LazyLock<Mutex<HashMap<u64, &'static tracing::Metadata<'static>>>> =
    LazyLock::new(Mutex::default);

type Refresh = fn(&Grant) -> Result<Tokens, RefreshError>;

/// What a provider answers to a refresh.
fn refreshed(grant: &Grant) -> Result<Tokens, RefreshError> {
    type Response = oauth2::StandardTokenResponse<ProviderFields, oauth2::basic::BasicTokenType>;
    let response: Response = serde_json::from_value(json!({
        "access_token": "needle-access", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "needle-rotated",
        "scope": grant.scopes().joined(),
    }))
    .map_err(RefreshError::failed)?;
    Ok(grant.tokens(&response)?)
}

/// An app logs what it is told.
fn logged(error: &AcquireError) {
    tracing::warn!(target: "app", %error, debug = ?error);
}

/// Every end of an acquisition, of an account of its own.
fn acquire_everything(store: &TokenStore, tenant: &TenantId, client: &ClientId) -> LiveSignIn {
    let account = AccountId::new("needle-authority", "needle-acquirer").unwrap();
    let refresh_token = || RefreshToken::new(client.clone(), "needle-first");
    let sign_in = || {
        store.sign_in_with(SignIn::new(account.clone(), tenant.clone()), refresh_token()).unwrap().0
    };
    let wanted = |scope: &str| {
        AccessQuery::new(client.clone()).scopes(scopes(scope)).resource("needle-resource")
    };
    let acquirer = Acquirer::new().on_orphaned(|orphaned| {
        assert!(!orphaned.tokens.is_empty());
        tracing::warn!(target: "app", ?orphaned, "orphaned");
    });
    let live = sign_in();
    // Refreshed, and a hit.
    for _ in 0..2 {
        let token = acquirer.acquire(&live, wanted("needle-read"), refreshed).unwrap();
        assert_eq!(token.secret.expose(), "needle-access");
    }
    // Due: refreshed, and refused.
    let ahead = acquirer.clone().refresh_ahead(Duration::from_secs(7200)).refresh_due_here();
    let refreshes: [Refresh; 2] = [refreshed, |_| Err(RefreshError::failed("needle-error"))];
    for refresh in refreshes {
        let expires_at = now() + Duration::from_secs(3600);
        let mut due =
            AccessToken::new(client.clone(), scopes("needle-due"), "needle-due", expires_at);
        due.resource = Some("needle-resource".into());
        live.put(due).unwrap();
        ahead.acquire(&live, wanted("needle-due"), refresh).unwrap();
    }
    // With an error's text and claims; the last error takes the refresh token along.
    let claims = || Some("needle-claims".to_owned());
    let errors = [
        RefreshError::failed("needle-error"),
        RefreshError::interaction_required(claims(), "needle-error"),
        RefreshError::invalid_grant("needle-error"),
    ];
    for error in errors {
        tracing::warn!(target: "app", ?error);
        let request = AccessRequest::new(wanted("needle-read")).claims("needle-challenge");
        logged(&acquirer.acquire(&live, request, |_| Err(error)).unwrap_err());
    }
    logged(&acquirer.acquire(&live, wanted("needle-none"), |_| unreachable!()).unwrap_err());
    // Less than was asked for.
    live.put(refresh_token()).unwrap();
    let less = acquirer.acquire(&live, wanted("needle-more"), |grant| {
        Ok(grant
            .access_token(Some(scopes("needle-less")), "needle-access", Duration::from_secs(3600))
            .into())
    });
    logged(&less.unwrap_err());
    // Orphaned: by a sign-out, and because the store does not take them.
    let overtaken = acquirer.acquire(&live, wanted("needle-late"), |grant| {
        store.sign_out(SignOut::account(&account)).unwrap();
        refreshed(grant)
    });
    logged(&overtaken.unwrap_err());
    logged(&acquirer.acquire(&live, wanted("needle-read"), |_| unreachable!()).unwrap_err());
    let live = sign_in();
    let too_long = format!("needle-{}", "x".repeat(MAX_TOKEN_BYTES));
    let refused = acquirer.acquire(&live, wanted("needle-long"), |grant| {
        Ok(grant.next_refresh_token(too_long).into())
    });
    logged(&refused.unwrap_err());
    // (That took the spent one along.)
    live.put(refresh_token()).unwrap();
    // The app itself.
    for _ in 0..2 {
        acquirer.acquire_for_app(store, tenant, wanted("needle-app"), refreshed).unwrap();
    }
    let failing = |_: &Grant| Err(RefreshError::failed("needle-error"));
    logged(&acquirer.acquire_for_app(store, tenant, wanted("needle-other"), failing).unwrap_err());
    live
}

/// The same without blocking.
async fn acquire_async(store: &TokenStore, live: &LiveSignIn, client: &ClientId) {
    let acquirer = Acquirer::new();
    let wanted = |scope: &str| {
        AccessQuery::new(client.clone()).scopes(scopes(scope)).resource("needle-resource")
    };
    let failing = |_: Grant| async {
        Err(RefreshError::interaction_required(Some("needle-claims".into()), "needle-error"))
    };
    for _ in 0..2 {
        acquirer
            .acquire_async(live, wanted("needle-async"), |grant| async move { refreshed(&grant) })
            .await
            .unwrap();
        let app = acquirer.acquire_for_app_async(
            store,
            live.tenant(),
            wanted("needle-there"),
            |grant| async move { refreshed(&grant) },
        );
        app.await.unwrap();
    }
    logged(&acquirer.acquire_async(live, wanted("needle-other"), failing).await.unwrap_err());
    logged(
        &acquirer
            .acquire_for_app_async(store, live.tenant(), wanted("needle-other"), failing)
            .await
            .unwrap_err(),
    );
}

/// A sign-in by an ID token.
fn sign_in_by_id_token(store: &TokenStore) -> LiveSignIn {
    let claims: ProviderIdTokenClaims = serde_json::from_value(json!({
        "iss": "https://needle.example", "aud": "needle-client", "exp": 1_800_003_000, "iat": 1_799_999_000, "nonce": "needle-nonce",
        "sub": "needle-openid", "sid": "needle-openid-sid", "email": "needle-openid@example.com", "email_verified": true,
    }))
    .unwrap();
    let provider = Provider::generic("https://needle.example").unwrap();
    let fields: ProviderFields =
        serde_json::from_value(json!({"client_info": "needle-info"})).unwrap();
    store.sign_in(provider.sign_in(&claims).unwrap()).unwrap();
    let client = || ClientId::new("needle-client").unwrap();
    let tokens: [Token; 2] = [
        RefreshToken::new(client(), "needle-refresh").into(),
        IdToken::new(client(), "needle-id-token").into(),
    ];
    let (live, _) =
        store.sign_in_with(provider.sign_in_with(&claims, &fields).unwrap(), tokens).unwrap();
    let error =
        Provider::generic("https://needle.example.com").unwrap().sign_in(&claims).unwrap_err();
    tracing::warn!(target: "app", %error, debug = ?error);
    live
}

/// Web sessions, bound and not. Gives their ids, and the keys of their rows.
async fn web_sessions(
    machine: &Machine,
    store: &TokenStore,
    live: &LiveSignIn,
) -> (Vec<Id>, Vec<Vec<u8>>) {
    let web = OublietteSessions::new(store.clone());
    let expires_at = (now() + Duration::from_secs(600)).into();
    let session = Session::new(None, Arc::new(web.clone()), Some(Expiry::AtDateTime(expires_at)));
    session.insert("needle-key", "needle-data").await.unwrap();
    // Created unbound, then bound, which makes it anew, and saved.
    session.save().await.unwrap();
    let before = session.id().unwrap();
    let mut keys: Vec<Vec<u8>> = machine.rows().into_keys().collect();
    bind(&session, live).await.unwrap();
    session.save().await.unwrap();
    session.insert("needle-key", "needle-more").await.unwrap();
    session.save().await.unwrap();
    let after = session.id().unwrap();
    let session = Session::new(Some(after), Arc::new(web.clone()), None);
    assert_eq!(bound(&session, store).await.unwrap().unwrap().id(), live.id());
    let id = Id(i128::from_le_bytes(*b"needle-web-id-16"));
    let data = [("needle-key".to_owned(), json!("needle-data"))].into();
    let mut unbound = Record { id, data, expiry_date: expires_at };
    web.create(&mut unbound).await.unwrap();
    web.save(&unbound).await.unwrap();
    assert_eq!(web.load(&id).await.unwrap().as_ref(), Some(&unbound));
    keys.extend(machine.rows().into_keys());
    unbound.data.insert("needle-long".into(), json!("needle".repeat(20_000)));
    let error = web.save(&unbound).await.unwrap_err();
    tracing::warn!(target: "app", %error, debug = ?error);
    web.delete_expired().await.unwrap();
    web.delete(&id).await.unwrap();
    session.delete().await.unwrap();
    (vec![before, after, id], keys)
}

/// Runs every verb with names and tokens that are easily recognised; and some that fail. Gives the keys of the rows that there were, and
/// the ids of web sessions and sign-ins.
fn run_everything(machine: &Machine) -> (Vec<Vec<u8>>, Vec<Id>) {
    let store = machine
        .builder()
        .clock(ManualClock::new(now()))
        .key(KeySource::bytes(*b"needle-key-needle-key-needle-key"))
        .open();
    let store = store.unwrap();
    let id = AccountId::new("needle-authority", "needle-account").unwrap();
    let (session, subject) = (
        SessionId::new("needle-iss", "needle-sid").unwrap(),
        Subject::new("needle-iss", "needle-sub").unwrap(),
    );
    let (tenant, alias) = (
        TenantId::new("needle-tenant").unwrap(),
        Alias::new(AliasKind::Email, "needle@example.com").unwrap(),
    );
    let request = || {
        let named = SignIn::new(id.clone(), tenant.clone())
            .session(session.clone())
            .subject(subject.clone());
        named.alias(alias.clone())
    };
    let live = store.sign_in(request()).unwrap();
    let client = ClientId::new("needle-client").unwrap();
    let wanted =
        AccessQuery::new(client.clone()).scopes(scopes("needle-scope")).resource("needle-resource");
    let mut token = AccessToken::new(
        client.clone(),
        scopes("needle-scope"),
        "needle-token",
        now() + std::time::Duration::from_secs(3600),
    );
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
    let acquired = acquire_everything(&store, &tenant, &client);
    let known = sign_in_by_id_token(&store);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(acquire_async(&store, &acquired, &client));
    let (mut ids, mut keys) = runtime.block_on(web_sessions(machine, &store, &live));
    ids.extend([&live, &acquired, &known].map(|live| Id(i128::from_le_bytes(live.id()))));
    runtime.block_on(async {
        let live = AsyncSignIn::from(live.clone());
        live.access_token(&wanted).await.unwrap().unwrap();
        // On another thread, but in the span of the request.
        let request = tracing::debug_span!(target: "app", "request");
        let mut put =
            std::pin::pin!(live.put(RefreshToken::new(client.clone(), "needle-refresh-2")));
        std::future::poll_fn(|context| request.in_scope(|| put.as_mut().poll(context)))
            .await
            .unwrap();
    });
    let good = machine.rows();
    let mut bad = good.clone();
    bad.values_mut()
        .filter(|value| value.len() > 100)
        .for_each(|value| *value.last_mut().unwrap() ^= 1);
    machine.set_rows(bad);
    live.access_token(&wanted).unwrap_err();
    keys.extend(good.keys().cloned());
    machine.set_rows(good);
    for scope in [
        SignOutScope::Subject(subject.clone()),
        SignOutScope::Tenant(tenant.clone()),
        SignOutScope::Everybody,
    ] {
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
    let wanted = wanted.clone().scopes(scopes("needle-poisoned"));
    logged(&Acquirer::new().acquire_for_app(&store, &tenant, wanted, refreshed).unwrap_err());
    store.close().unwrap_err();
    (keys, ids)
}

#[test]
fn no_span_event_or_metric_shows_anything() {
    let (machine, everything) = (Machine::new(), Everything::default());
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().unwrap();
    // For all threads: the store's own, and those of the runtime.
    tracing::subscriber::set_global_default(everything.clone()).unwrap();
    let (keys, ids) = run_everything(&machine);
    let verbs = everything.0.lock().unwrap().clone();
    let metrics = snapshotter.snapshot().into_vec().into_iter().map(|(key, ..)| format!("{key:?}"));
    let lines: Vec<String> = metrics.chain(verbs.iter().cloned()).collect();
    assert!(lines.len() > verbs.len() + 20);
    // Bytes are shown as text, as hexadecimal or as a list of decimals.
    let decimal = format!("{:?}", b"needle");
    let mut shown = vec![
        "needle".to_owned(),
        base16ct::lower::encode_string(b"needle"),
        decimal[1..decimal.len() - 1].to_owned(),
    ];
    // Nor a keyed hash, of which rows' keys are made (`src/rows/row_key.rs` says where they stand), nor an id that is drawn.
    let hashes: BTreeSet<&[u8]> = keys
        .iter()
        .flat_map(|key| [1, 17, 18, 34, 50].map(|at| key.get(at..at + 16)))
        .flatten()
        .collect();
    let drawn: Vec<[u8; 16]> =
        ids.iter().flat_map(|id| [id.0.to_le_bytes(), id.0.to_be_bytes()]).collect();
    assert!(
        drawn.iter().filter(|id| hashes.contains(&id[..])).count() > 1,
        "sign-ins' ids stand in keys"
    );
    shown.extend(ids.iter().flat_map(|id| [id.to_string(), id.0.to_string()]));
    for hash in hashes.into_iter().chain(drawn.iter().map(|id| &id[..])) {
        shown.push(base16ct::lower::encode_string(hash));
        shown.push(format!("{hash:?}"));
        shown.push(format!("{hash:x?}"));
    }
    assert!(shown.len() > 30);
    let leaks: Vec<&String> = lines
        .iter()
        .filter(|line| shown.iter().any(|needle| line.contains(needle.as_str())))
        .collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
    // And it does say something.
    for outcome in ["hit", "due", "refreshed", "interaction_required", "signed_out", "failed"] {
        let is_it = |line: &String| {
            line.contains("oubliette_acquires_total") && line.contains(&format!("{outcome:?}"))
        };
        assert!(lines.iter().any(is_it), "no acquisition ended so: {outcome}");
    }
    let has =
        |text: &str| assert!(verbs.iter().any(|line| line.contains(text)), "{text} in {verbs:#?}");
    has("DEBUG sign_in outcome=\"ok\"");
    has("DEBUG sign_out scope=\"tenant\" outcome=\"ok\"");
    has("DEBUG read kind=\"access\" outcome=\"hit\"");
    has("DEBUG put outcome=\"signed_out\"");
    has("WARN error=the user has to be asked: ");
    has("WARN message=orphaned orphaned=Orphaned(..)");
    has("request> DEBUG put outcome=\"ok\"");
    has("DEBUG verb verb=\"compact\" outcome=\"ok\"");
    has("WARN message=a row does not open verb=\"read\"");
    has("part=\"engine\"");
    has("part=\"ledger\"");
    has("WARN message=a session has ended, but not its accounts");
    has("WARN message=the disk failed during a sign-out");
}
