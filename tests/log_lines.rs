//! Nothing that tells who a user is or what a token is appears in a log line, however talkative the engine is told to be.

use std::sync::Mutex;

use oubliette::*;
use oubliette_testkit::accounts::{now, tenant};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Collect;

impl log::Log for Collect {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

#[test]
fn no_log_line_shows_anything() {
    log::set_logger(&Collect).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let folder = tempfile::tempdir().unwrap();
    let builder =
        || TokenStore::builder(folder.path().join("tokens")).clock(ManualClock::new(now()));
    let store =
        builder().key(KeySource::bytes(*b"needle-key-needle-key-needle-key")).open().unwrap();
    let account = AccountId::new("needle-authority", "needle-account").unwrap();
    let request = SignIn::new(account.clone(), TenantId::new("needle-tenant").unwrap())
        .session(SessionId::new("needle-issuer", "needle-sid").unwrap())
        .subject(Subject::new("needle-issuer", "needle-sub").unwrap())
        .alias(Alias::new(AliasKind::Email, "needle@example.com").unwrap());
    let live = store.sign_in(request).unwrap();
    let client = ClientId::new("needle-client").unwrap();
    let scopes = Scopes::parse("needle-scope").unwrap();
    let access = AccessToken::new(
        client.clone(),
        scopes.clone(),
        "needle-token",
        now() + std::time::Duration::from_secs(3600),
    );
    live.put([access.into(), RefreshToken::new(client.clone(), "needle-refresh").into()]).unwrap();
    live.access_token(&AccessQuery::new(client).scopes(scopes)).unwrap().unwrap();
    store.accounts_in(&tenant(1), Page::first(9)).unwrap();
    store.sign_out(SignOut::account(&account).taking_refresh_tokens()).unwrap();
    store.wait_reclaimed().unwrap();
    store.sweep(100).unwrap();
    store.close().unwrap();
    drop(live);
    let _ = builder().key(KeySource::bytes([1; 32])).open().unwrap_err();

    let lines = LINES.lock().unwrap();
    // Bytes are shown as text, as hexadecimal or as a list of decimals.
    let decimal = format!("{:?}", b"needle");
    let shown = [
        "needle".to_owned(),
        base16ct::lower::encode_string(b"needle"),
        decimal[1..decimal.len() - 1].to_owned(),
    ];
    assert!(lines.len() > 100, "the engine logged {} lines", lines.len());
    for line in lines.iter() {
        assert!(shown.iter().all(|needle| !line.contains(needle)), "{line}");
    }
}
