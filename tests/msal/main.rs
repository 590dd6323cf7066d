//! The importer of MSAL's token caches.
//!
//! The samples of MSAL for Python and Node were written by these libraries
//! (`tests/samples/msal/regenerate`). Those of MSAL for .NET and Java were written by hand after
//! the published format, as neither can be run here.

use std::time::{Duration, SystemTime};

use base64ct::{Base64UrlUnpadded, Encoding};
use oubliette::msal::{MsalCache, MsalError, MsalProblem, MsalProblemKind, MsalSignIn};
use oubliette::{
    AccessToken, AccountId, AliasKind, ClientId, Error, LiveSignIn, Machine, ManualClock,
    Partition, RefreshQuery, RefreshToken, SessionId, SignIn, SignOut, TenantId, Token, TokenStore,
};
use serde_json::{Value, json};

mod damage;
mod forms;
mod newest;
mod samples;
mod signed_out;
mod tenants;
mod traps;

const PYTHON: &str = include_str!("../samples/msal/msal-python.json");
const NODE: &str = include_str!("../samples/msal/msal-node.json");

/// When the samples were made: 2026-11-20T00:00:00Z.
const NOW: u64 = 1_795_132_800;
const TENANT_A: &str = "aaaaaaaa-0000-4000-8000-00000000000a";
const TENANT_B: &str = "bbbbbbbb-0000-4000-8000-00000000000b";
const USER: &str = "11111111-0000-4000-8000-000000000001";

/// A store at the time of the samples.
fn store() -> TokenStore {
    Machine::new().builder().clock(ManualClock::new(at(NOW))).open().unwrap()
}

/// The sign-in as a store takes it.
fn live(sign_in: &SignIn) -> LiveSignIn {
    store().sign_in(sign_in.clone()).unwrap()
}

fn read(json: &str) -> MsalCache {
    MsalCache::read(json.as_bytes()).unwrap()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn problems(cache: &MsalCache) -> Vec<String> {
    cache.problems.iter().map(ToString::to_string).collect()
}

/// Whose, in which tenant, and which tokens: the secret without `FAKE-`, and the tenant of a token
/// that names one.
fn summary(cache: &MsalCache) -> Vec<String> {
    let line = |MsalSignIn { sign_in, tokens, .. }: &MsalSignIn| {
        let account = sign_in.account();
        let who = account.home_account_id().and_then(|id| id.split('.').next()).unwrap_or("app");
        let mut line = format!("{} in {}:", who.get(..8).unwrap_or(who), sign_in.tenant().as_str());
        for token in tokens {
            let (secret, partition) = match token {
                Token::Access(t) => (t.secret.expose(), &t.partition),
                Token::Refresh(t) => (t.secret.expose(), &t.partition),
                Token::Id(t) => ("ID-TOKEN", &t.partition),
                _ => panic!("a new kind of token"),
            };
            let short = secret.trim_start_matches("FAKE-").replace("-TOKEN", "");
            line += &format!(" {}", short.split("-of-").next().unwrap());
            line += token
                .tenant()
                .map_or("", |tenant| if tenant.as_str() == TENANT_B { "@B" } else { "@other" });
            line += if partition.is_user() { "" } else { "(obo)" };
        }
        line
    };
    cache.sign_ins.iter().map(line).collect()
}

fn access_tokens(cache: &MsalCache) -> Vec<&AccessToken> {
    let tokens = cache.sign_ins.iter().flat_map(|sign_in| &sign_in.tokens);
    tokens
        .filter_map(|token| if let Token::Access(token) = token { Some(token) } else { None })
        .collect()
}

fn refresh_tokens(cache: &MsalCache) -> Vec<&RefreshToken> {
    let tokens = cache.sign_ins.iter().flat_map(|sign_in| &sign_in.tokens);
    tokens
        .filter_map(|token| if let Token::Refresh(token) = token { Some(token) } else { None })
        .collect()
}

/// An ID token with these claims.
fn id_token(claims: &Value) -> String {
    format!("e30.{}.FAKE", Base64UrlUnpadded::encode_string(claims.to_string().as_bytes()))
}

/// One whole cache entry of each kind, of one user.
fn whole(node: &str, uid: &str) -> Value {
    let id = format!("{uid}.{TENANT_A}");
    let mut entry = json!({"home_account_id": id, "environment": "login.microsoftonline.com", "realm": TENANT_A});
    let more = match node {
        "Account" => json!({"username": "user-1@example.com", "local_account_id": uid}),
        "IdToken" => {
            json!({"client_id": "web", "secret": id_token(&json!({"iss": "https://op", "sub": "s", "sid": "sid"}))})
        }
        "RefreshToken" => {
            json!({"client_id": "web", "secret": "FAKE-RT", "family_id": "1", "user_assertion_hash": "",
            "last_modification_time": "1795132800", "expires_on": "1795136400"})
        }
        _ => {
            json!({"client_id": "web", "secret": "FAKE-AT", "target": "User.Read", "token_type": "Bearer",
            "cached_at": "1795132800", "expires_on": "1795136400", "extended_expires_on": "1795140000",
            "refresh_on": "1795134600", "resource": "https://api",
            "user_assertion_hash": "LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564"})
        }
    };
    entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    if node != "Account" {
        entry["credential_type"] = node.into();
    }
    entry
}

/// The cache with an account entry beside every user's tokens, as all libraries write. (They write
/// a realm too, which says no more.)
fn with_accounts(mut cache: Value) -> Value {
    let mut accounts = serde_json::Map::new();
    for entry in cache
        .as_object()
        .unwrap()
        .values()
        .filter_map(Value::as_object)
        .flat_map(|node| node.values())
    {
        if let (Some(id), Some(environment)) =
            (entry["home_account_id"].as_str(), entry["environment"].as_str())
        {
            accounts.insert(
                format!("{id} at {environment}"),
                json!({"home_account_id": id, "environment": environment}),
            );
        }
    }
    let own = cache.as_object_mut().unwrap().entry("Account").or_insert_with(|| json!({}));
    own.as_object_mut().unwrap().extend(accounts);
    cache
}

/// What is read of a cache with an account entry beside every user's tokens.
fn read_with_accounts(cache: Value) -> MsalCache {
    read(&with_accounts(cache).to_string())
}

/// An entry with some fields changed; a null takes the field away.
fn changed(mut entry: Value, changes: Value) -> Value {
    for (field, value) in changes.as_object().unwrap() {
        entry[field] = value.clone();
    }
    entry.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    entry
}

/// A cache of one access token with some fields changed.
fn access_token_with(changes: Value) -> MsalCache {
    let account = json!({"key": whole("Account", USER)});
    read(&json!({"AccessToken": {"key": changed(whole("AccessToken", USER), changes)}, "Account": account}).to_string())
}

/// The one problem of [`access_token_with`], beside the account entry that is left without a token.
fn problem_with(changes: Value) -> String {
    let cache = access_token_with(changes);
    let no_token = |problem: &&MsalProblem| {
        problem.kind == MsalProblemKind::NoToken && problem.node == "Account"
    };
    assert_eq!((cache.sign_ins.len(), cache.problems.len()), (0, 2), "{cache:?}");
    assert_eq!(cache.problems.iter().filter(no_token).count(), 1, "{cache:?}");
    cache
        .problems
        .iter()
        .find(|problem| problem.kind != MsalProblemKind::NoToken)
        .unwrap()
        .to_string()
}

/// When a token expires.
fn expiry(token: &AccessToken) -> Option<SystemTime> {
    token.expires_at
}

/// Takes all of a cache into a store, as an app does: how many sign-ins it took.
fn take_over(store: &TokenStore, cache: MsalCache) -> usize {
    let mut taken = 0;
    for MsalSignIn { others, sign_in, tokens, .. } in cache.sign_ins {
        for other in others {
            assert!(matches!(store.sign_in(other), Ok(_) | Err(Error::SignedOut)));
        }
        match store.sign_in(sign_in) {
            Ok(live) => taken += usize::from(live.put(tokens).is_ok()),
            Err(error) => assert!(matches!(error, Error::SignedOut), "{error:?}"),
        }
    }
    taken
}

fn secrets(cache: &MsalCache) -> Vec<&str> {
    let tokens = cache.sign_ins.iter().flat_map(|sign_in| &sign_in.tokens);
    tokens
        .map(|token| match token {
            Token::Access(t) => t.secret.expose(),
            Token::Refresh(t) => t.secret.expose(),
            Token::Id(t) => t.secret.expose(),
            _ => panic!("a new kind of token"),
        })
        .collect()
}
