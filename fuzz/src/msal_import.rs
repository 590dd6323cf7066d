//! Token caches of the MSAL libraries: any bytes, or JSON put together from the fields that they use. What can be read goes into a store,
//! whole, each token in a place of its own and in a real tenant; who has no account entry does not, and who was signed out there does not come back.

use std::time::{Duration, SystemTime};

use arbitrary::Unstructured;
use oubliette::msal::{MsalCache, MsalSignIn};
use oubliette::*;

use crate::bounds::within;

/// What a run's bytes begin with if the rest is not the file but chooses what is in it.
pub const PUT_TOGETHER: u8 = 1;

const NODES: [&str; 5] = ["Account", "IdToken", "AccessToken", "RefreshToken", "AppMetadata"];
const HOME: &str = "11111111-0000-4000-8000-000000000001.aaaaaaaa-0000-4000-8000-00000000000a";
const FIELDS: [&str; 24] = [
    "home_account_id",
    "environment",
    "client_id",
    "secret",
    "realm",
    "target",
    "expires_on",
    "credential_type",
    "username",
    "local_account_id",
    "user_assertion_hash",
    "family_id",
    "cached_at",
    "refresh_on",
    "extended_expires_on",
    "ext_expires_on",
    "last_modification_time",
    "token_type",
    "resource",
    "ext_cache_key",
    "additionalCacheKeyComponents",
    "homeAccountId",
    "userAssertionHash",
    "unknown",
];
/// Values as they stand in a file.
const VALUES: [&str; 41] = [
    "\"11111111-0000-4000-8000-000000000001.aaaaaaaa-0000-4000-8000-00000000000a\"",
    "\"11111111-0000-4000-8000-000000000001-B2C_1_edit.AAAAAAAA-0000-4000-8000-00000000000a\"",
    "\"uid.utid\"",
    "\"adfs-user\"",
    "\"login.microsoftonline.com\"",
    "\"login.windows.net\"",
    "\"c1000000-0000-4000-8000-000000000001\"",
    "\"aaaaaaaa-0000-4000-8000-00000000000a\"",
    "\"BBBBBBBB-0000-4000-8000-00000000000b\"",
    "\"b2c_1_sign_in\"",
    "\"organizations\"",
    "\"common\"",
    "\"consumers\"",
    "\"adfs\"",
    "\"contoso.onmicrosoft.com\"",
    "\"Pairwise-Subject_1\"",
    "\"fs.example.com\"",
    "\"contoso.b2clogin.com\"",
    "\"mail.read user.read\"",
    "\"https://graph.example.com/.default\"",
    "[\"a\", \"b\"]",
    "[]",
    "{}",
    "{\"a\": {\"b\": [1, null]}}",
    "null",
    "true",
    "\"\"",
    "0",
    "-1",
    "\"1800003600\"",
    "1800003600",
    "1799990000.5",
    "\"1799990000\"",
    "1e308",
    "99999999999999999999",
    "\"AccessToken\"",
    "\"RefreshToken\"",
    "\"user@example.com\"",
    "\"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU\"",
    // {"iss":"https://i","sub":"s","sid":"d","iat":1799990000}
    "\"e30.eyJpc3MiOiJodHRwczovL2kiLCJzdWIiOiJzIiwic2lkIjoiZCIsImlhdCI6MTc5OTk5MDAwMH0.e30\"",
    // {"tid":"bbbbbbbb-0000-4000-8000-00000000000b","sub":"s"}
    "\"e30.eyJ0aWQiOiJiYmJiYmJiYi0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMGIiLCJzdWIiOiJzIn0.e30\"",
];
/// What is written for a tenant and is none (unless a server is called so).
const NO_TENANTS: [&str; 7] = [
    "organizations",
    "common",
    "consumers",
    "adfs",
    "login.microsoftonline.com",
    "login.windows.net",
    "contoso.b2clogin.com",
];

pub fn run(data: &[u8]) {
    match data.split_first() {
        Some((&PUT_TOGETHER, choices)) => check(put_together(choices).as_bytes()),
        _ => check(data),
    }
}

/// A file of entries that would be whole, with some fields changed; and, mostly, an account entry of every user.
fn put_together(choices: &[u8]) -> String {
    let mut choices = Unstructured::new(choices);
    let mut file = String::from("{");
    if !choices.arbitrary::<u8>().unwrap_or(0).is_multiple_of(8) {
        let account = |user| {
            format!(
                "\"{user}\": {{\"home_account_id\": \"{user}{}\", \"environment\": \"login.windows.net\"}}",
                &HOME[1..]
            )
        };
        let others = ["Pairwise-Subject_1", "adfs-user"].map(|user| {
            ["login.microsoftonline.com", "fs.example.com"]
                .map(|host| format!("\"{user} {host}\": {{\"home_account_id\": \"{user}\", \"environment\": \"{host}\"}}"))
                .join(", ")
        });
        let users: Vec<String> = (0..4).map(account).chain(others).collect();
        file += &format!(
            "\"Account\": {{{}}}{}",
            users.join(", "),
            if choices.is_empty() { "" } else { ", " }
        );
    }
    while !choices.is_empty() && file.len() < 32 << 10 {
        let mut byte = || choices.arbitrary::<u8>().unwrap_or(0);
        let (node, entries) = (NODES[usize::from(byte()) % NODES.len()], byte() % 4);
        file += &format!("\"{node}\": {{");
        for number in 0..entries {
            let user = byte() % 4;
            let mut entry = vec![
                ("home_account_id", format!("\"{user}{}\"", &HOME[1..])),
                ("environment", "\"login.microsoftonline.com\"".into()),
                ("client_id", "\"c1\"".into()),
                ("secret", format!("\"secret-{node}-{number}\"")),
                ("realm", "\"aaaaaaaa-0000-4000-8000-00000000000a\"".into()),
                ("target", format!("\"scope-{number}\"")),
                ("expires_on", "\"1800003600\"".into()),
            ];
            for _ in 0..byte() % 6 {
                let (field, value) = (
                    usize::from(byte()) % FIELDS.len(),
                    VALUES[usize::from(byte()) % VALUES.len()],
                );
                match entry.iter_mut().find(|(name, _)| *name == FIELDS[field]) {
                    Some(set) => set.1 = value.into(),
                    None => entry.push((FIELDS[field], value.into())),
                }
            }
            let fields: Vec<String> =
                entry.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            // A trailing comma is forgiven.
            let comma = if number + 1 < entries || byte() % 8 == 0 { "," } else { "" };
            file += &format!("\"key-{number}\": {{{}}}{comma}", fields.join(", "));
        }
        file += if choices.is_empty() { "}" } else { "}," };
    }
    file + "}"
}

fn check(file: &[u8]) {
    let read = within((1 << 16) + 600 * file.len(), || MsalCache::read(file));
    let cache = match read {
        Ok(cache) => cache,
        Err(error) => return drop(error.to_string()),
    };
    let shown = format!(
        "MsalCache {{ sign_ins: {}, problems: {:?}, .. }}",
        cache.sign_ins.len(),
        cache.problems
    );
    assert_eq!(
        format!("{cache:?}"),
        shown,
        "more is shown than how much there is and what is wrong"
    );
    let is_json = serde_json::from_slice::<serde_json::Value>(file).is_ok();
    if is_json {
        let mut marked = b"\xef\xbb\xbf".to_vec();
        marked.extend_from_slice(file);
        let again = MsalCache::read(&marked).expect("a byte-order mark changes nothing");
        assert_eq!(
            (again.sign_ins.len(), &again.problems),
            (cache.sign_ins.len(), &cache.problems)
        );
    }
    if !cache.sign_ins.is_empty() && cache.sign_ins.len() < 64 {
        into_a_store(cache.sign_ins);
    }
}

fn into_a_store(sign_ins: Vec<MsalSignIn>) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let machine = Machine::new();
    let store = machine
        .builder()
        .clock(ManualClock::new(now))
        .max_sign_ins(64)
        .open()
        .expect("a new store");
    let mut count = 0;
    for MsalSignIn { sign_in, others, tokens, accounts, .. } in &sign_ins {
        assert!(!tokens.is_empty(), "a sign-in without tokens");
        let (account, own) = (sign_in.account().clone(), sign_in.tenant().clone());
        assert_eq!(
            accounts.is_empty(),
            account.as_app().is_some(),
            "a user without an account entry, or an app with one"
        );
        for tenant in tokens.iter().filter_map(Token::tenant).chain([&own]).map(TenantId::as_str) {
            let is_server = account.as_app().is_some() || account.authority() == Some(tenant);
            assert!(is_server || !NO_TENANTS.contains(&tenant), "a tenant that is none");
        }
        for other in others {
            assert_eq!(*other.account(), account);
            made(store.sign_in(other.clone()));
        }
        let Some(live) = made(store.sign_in(sign_in.clone())) else { continue };
        let stored = live.put(tokens.clone()).expect("what was read can be stored");
        assert_eq!(
            (stored.stored, stored.refused),
            (tokens.len(), Vec::new()),
            "nobody has been signed out"
        );
        count += tokens.len() as u64;
        for token in tokens {
            readable(&live, token, tokens, &own, now);
        }
    }
    assert_eq!(
        store.verify().expect("nothing has failed").tokens,
        count,
        "a token took another's place"
    );
    // Signed out, they do not come back with the same file.
    for (number, MsalSignIn { sign_in, .. }) in sign_ins.iter().enumerate() {
        let scope = if number % 2 == 0 {
            SignOut::account(sign_in.account())
        } else {
            SignOut::tenant(sign_in.tenant())
        };
        store.sign_out(scope).expect("a sign-out");
    }
    for MsalSignIn { sign_in, others, .. } in sign_ins {
        for sign_in in others.into_iter().chain([sign_in]) {
            assert!(made(store.sign_in(sign_in)).is_none(), "an import brought somebody back");
        }
    }
    store.close().expect("nothing has failed");
}

/// A sign-in, unless it has been signed out or is too old.
fn made(result: Result<LiveSignIn>) -> Option<LiveSignIn> {
    match result {
        Ok(live) => Some(live),
        Err(Error::SignedOut | Error::InvalidInput { field: "signed_in_at", .. }) => None,
        Err(error) => panic!("{error:?}"),
    }
}

/// Each token is found by what it is, or a later one that is the same.
fn readable(live: &LiveSignIn, token: &Token, all: &[Token], own: &TenantId, now: SystemTime) {
    match token {
        Token::Access(t) => {
            let query = AccessQuery::new(t.client_id.clone())
                .scopes(t.scopes.clone())
                .token_type(&t.token_type);
            let query = query
                .tenant(t.tenant.clone().unwrap_or(own.clone()))
                .partition(t.partition.clone());
            let query = t.resource.iter().fold(query, AccessQuery::resource);
            let is_same = |other: &&AccessToken| {
                (
                    &other.client_id,
                    other.tenant.as_ref().unwrap_or(own),
                    &other.resource,
                    &other.scopes,
                    &other.partition,
                ) == (
                    &t.client_id,
                    t.tenant.as_ref().unwrap_or(own),
                    &t.resource,
                    &t.scopes,
                    &t.partition,
                ) && other.token_type.eq_ignore_ascii_case(&t.token_type)
            };
            let mut access = all.iter().filter_map(|token| {
                if let Token::Access(token) = token { Some(token) } else { None }
            });
            let last = access.rfind(is_same).expect("itself at least");
            let found = live.access_token(&query).expect("a read");
            let end = |token: &AccessToken| token.expires_at;
            if end(last).is_none_or(|end| end > now + Duration::from_secs(5 * 60)) {
                assert!(found.as_ref() == Some(last), "an access token is not found");
            }
            assert!(found.is_none_or(|found| found.scopes.is_superset(&t.scopes)
                && end(&found).is_none_or(|end| end > now)));
        }
        Token::Refresh(t) => {
            let query = match &t.family_id {
                Some(family) => RefreshQuery::family(family),
                None => RefreshQuery::client(t.client_id.clone()),
            };
            let found = live.refresh_token(query.partition(t.partition.clone())).expect("a read");
            let is_usable = |t: &RefreshToken| {
                t.expires_at.is_none_or(|end| end > now + Duration::from_secs(5 * 60))
            };
            let same = all.iter().rev().find_map(|token| match token {
                Token::Refresh(other)
                    if other.family_id == t.family_id && other.partition == t.partition =>
                {
                    (t.family_id.is_some() || other.client_id == t.client_id).then_some(other)
                }
                _ => None,
            });
            assert!(
                found.as_ref() == same.filter(|same| is_usable(same)),
                "a refresh token is not found"
            );
        }
        Token::Id(t) => {
            let query = IdQuery::client(t.client_id.clone())
                .tenant(t.tenant.clone().unwrap_or(own.clone()));
            let found = live.id_token(query.partition(t.partition.clone())).expect("a read");
            assert!(
                found.is_some_and(|found| found.client_id == t.client_id),
                "an ID token is not found"
            );
        }
        _ => {}
    }
}
