//! What the tests share: a cast of accounts, tenants and tokens.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::time::{Duration, SystemTime};

use oubliette::*;

pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

pub fn account(number: u32) -> AccountId {
    AccountId::new("login.example.com", format!("user-{number}")).unwrap()
}

pub fn tenant(number: u32) -> TenantId {
    TenantId::new(format!("tenant-{number}")).unwrap()
}

pub fn session(number: u32) -> SessionId {
    SessionId::new("https://login.example.com", format!("session-{number}")).unwrap()
}

pub fn subject(number: u32) -> Subject {
    Subject::new("https://login.example.com", format!("subject-{number}")).unwrap()
}

pub fn client() -> ClientId {
    ClientId::new("client").unwrap()
}

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

pub fn refresh(secret: &str) -> RefreshToken {
    RefreshToken::new(client(), secret)
}

pub fn query(scope: &str) -> AccessQuery {
    AccessQuery::new(client()).scopes(scopes(scope))
}

/// `Stored` is non-exhaustive: made by hand for comparing.
pub fn stored(count: usize) -> Stored {
    let store = TokenStore::in_memory().unwrap();
    let live = store.sign_in(sign_in(1)).unwrap();
    let mut stored = live.put(Vec::<Token>::new()).unwrap();
    stored.stored = count;
    stored
}
