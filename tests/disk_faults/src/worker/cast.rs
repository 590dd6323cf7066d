//! Who signs in, and with which tokens: all of it can be told from a number, so that what is found says where it is from.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oubliette::*;

use crate::log::Op;

/// There are so many; thread `t` of eight works with those that are `t` modulo 8.
pub const ACCOUNTS: u64 = 24;
pub const TENANTS: u64 = 3;

pub fn now(day: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000 + day * 24 * 3600)
}

pub fn account(number: u64) -> AccountId {
    AccountId::new("login.example.com", format!("user-{number}")).expect("an account")
}

pub fn tenant(number: u64) -> TenantId {
    TenantId::new(format!("tenant-{number}")).expect("a tenant")
}

pub fn session(number: u64) -> SessionId {
    SessionId::new("https://login.example.com", format!("session-{number}")).expect("a session")
}

pub fn subject(number: u64) -> Subject {
    Subject::new("https://login.example.com", format!("subject-{number}")).expect("a subject")
}

pub fn client(name: &str) -> ClientId {
    ClientId::new(name).expect("a client")
}

/// The sign-in of this number: every account has a session of its own and a subject.
pub fn sign_in(op: Op, number: u64) -> SignIn {
    let alias = Alias::new(AliasKind::Opaque, op.to_string()).expect("an alias");
    let request = SignIn::new(account(number), tenant(number % TENANTS)).subject(subject(number)).alias(alias);
    request.session(session(number))
}

pub fn id_of(live: &LiveSignIn) -> Op {
    live.aliases().first().and_then(|alias| alias.value().parse().ok()).unwrap_or(0)
}

/// The text of a token; long ones come in several parts.
pub fn text(kind: &str, op: Op, len: usize) -> String {
    format!("{kind}.{op}.{len}.").chars().cycle().take(len).collect()
}

/// Which put a token's text is of; `None` if it is no text of ours, to the last letter.
pub fn put_of(kind: &str, found: &str) -> Option<Op> {
    let mut words = found.split('.').skip(1);
    let (op, len) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (text(kind, op, len) == found).then_some(op)
}

fn access(client: ClientId, scope: &str, text: String) -> AccessToken {
    AccessToken::new(client, Scopes::parse(scope).expect("scopes"), text, UNIX_EPOCH + Duration::from_secs(4_000_000_000))
}

pub fn query(client_name: &str, scope: &str) -> AccessQuery {
    AccessQuery::new(client(client_name)).scopes(Scopes::parse(scope).expect("scopes"))
}

/// What a put of the whole set stores: it survives a power cut, as there is a refresh token among it.
pub fn set(op: Op, len: usize) -> [Token; 3] {
    let web = || client("web");
    let refresh = RefreshToken::new(web(), text("refresh", op, len));
    [access(web(), "a", text("access", op, len)).into(), refresh.into(), IdToken::new(web(), text("id", op, len)).into()]
}

/// A token that stands alone: it survives the death of the process.
pub fn alone(op: Op) -> AccessToken {
    access(client("web"), "b", text("alone", op, 90))
}

/// What the `Acquirer` will refresh.
pub fn acquired(op: Op) -> RefreshToken {
    RefreshToken::new(client("acquirer"), text("refresh", op, 80))
}
