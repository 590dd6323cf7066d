//! What the tests share: a cast of accounts, tenants and tokens.

use std::time::{Duration, SystemTime};

use oubliette::*;

/// The time of these tests: that of a [`ManualClock`] until it is moved.
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// User `number`, by name, at the provider of these tests.
pub fn account(number: u32) -> AccountId {
    AccountId::new("login.example.com", format!("user-{number}")).unwrap()
}

/// Tenant `number`.
pub fn tenant(number: u32) -> TenantId {
    TenantId::new(format!("tenant-{number}")).unwrap()
}

/// Session `number` at that provider.
pub fn session(number: u32) -> SessionId {
    SessionId::new("https://login.example.com", format!("session-{number}")).unwrap()
}

/// What that provider calls user `number` in its tokens.
pub fn subject(number: u32) -> Subject {
    Subject::new("https://login.example.com", format!("subject-{number}")).unwrap()
}

/// The app, as that provider knows it.
pub fn client() -> ClientId {
    ClientId::new("client").unwrap()
}

/// Scopes, separated by spaces.
pub fn scopes(list: &str) -> Scopes {
    Scopes::parse(list).unwrap()
}

/// Account `number` in the tenant of the same number.
pub fn sign_in(number: u32) -> SignIn {
    SignIn::new(account(number), tenant(number))
}

/// A token that expires in an hour of [`now`].
pub fn access(scope: &str, secret: &str) -> AccessToken {
    AccessToken::new(client(), scopes(scope), secret, now() + Duration::from_secs(3600))
}

/// A refresh token of the app.
pub fn refresh(secret: &str) -> RefreshToken {
    RefreshToken::new(client(), secret)
}

/// What finds [`access`] of these scopes.
pub fn query(scope: &str) -> AccessQuery {
    AccessQuery::new(client()).scopes(scopes(scope))
}

/// `PutOutcome` is non-exhaustive: made by hand for comparing.
pub fn stored(count: usize) -> PutOutcome {
    let store = TokenStore::in_memory().unwrap();
    let live = store.sign_in(sign_in(1)).unwrap();
    let mut stored = live.put(Vec::<Token>::new()).unwrap();
    stored.stored = count;
    stored
}
