//! Every verb, with secrets in every place where they can be; and what goes wrong.

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use super::canary::{self, Kind, held};
use super::{clean_after, key, operator_key, secret};
use ::tower_sessions::session::{Id, Record};
use ::tower_sessions::{Session, SessionStore};
use oubliette::msal::MsalCache;
use oubliette::oauth::{ProviderFields, Received, TokenAnswer, TokenRequestError};
use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_tower_sessions::{BINDING, OublietteSessions, bind};
use serde_json::Value;

const HOUR: Duration = Duration::from_secs(3600);

/// On a pretended machine, where rows, files and calls can be made to fail.
pub(crate) fn on_a_machine() {
    let machine = Machine::new();
    let clock = ManualClock::new(now());
    let builder = || machine.builder().clock(clock.clone()).max_sign_ins(2);
    every_verb(&builder, &clock);
    moves(&builder, &clock);
    tampered(&machine);
    failing(&machine);
    damaged(&machine);
}

/// An open store has no key of an operator or an account, nor any token; and after an erasure none
/// that opens anything from before.
pub(crate) fn what_an_open_store_holds() {
    let machine = Machine::new();
    let operator = canary::note(Kind::Key, std::array::from_fn(|at| !operator_key(1)[at]));
    let store = machine.builder().key(key(1)).open().unwrap();
    let at_first = held();
    assert!(at_first.len() > 4 && !at_first.contains(&operator), "{at_first:?}");
    let live = store.sign_in(sign_in(1)).unwrap();
    live.put([access_token("a", 1000).into(), RefreshToken::new(client(), secret(1)).into()])
        .unwrap();
    drop((
        live.access_token(&query("a")),
        live.refresh_token(&client()),
        store.accounts(Page::first(10)).unwrap(),
    ));
    assert_eq!(held(), at_first, "after reading");
    store.sign_in(sign_in(2)).unwrap();
    store.sign_out(SignOut::account(&account(2))).unwrap();
    store.wait_reclaimed().unwrap();
    store.rotate_key(&key(2)).unwrap();
    store.compact().unwrap();
    store.verify().unwrap();
    assert_eq!(held(), at_first, "after other verbs");

    store.complete_erasure(&key(3)).unwrap();
    let after = held();
    // The index key stays, and with it what HMAC keeps (two states) for each of the nine kinds of
    // tags.
    assert_eq!(
        (at_first.intersection(&after).count(), after.len()),
        (1 + 2 * 9, at_first.len()),
        "after an erasure"
    );
    store.close().unwrap();
    drop(live);
    assert!(held().is_empty(), "after closing");
    clean_after("what an open store holds");
}

/// On the file system, over sled.
pub(crate) fn on_a_disk() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(now());
    let builder =
        || TokenStore::builder(folder.path().join("tokens")).clock(clock.clone()).max_sign_ins(2);
    every_verb(&builder, &clock);
    moves(&builder, &clock);
    let (backup, restored) = (folder.path().join("backup"), folder.path().join("restored"));
    backups(&builder, &backup, &|| {
        TokenStore::builder(&restored).ledger_dir(folder.path().join("tokens")).clock(clock.clone())
    });
}

fn every_verb(builder: &dyn Fn() -> Builder, clock: &ManualClock) {
    let store = builder().key(key(1)).open().unwrap();
    clean_after("making a store");
    refused(builder().key(key(1)).open());
    clean_after("opening what is open");

    let live =
        store.sign_in(sign_in(1).session(session(1)).subject(subject(1)).alias(alias())).unwrap();
    clean_after("sign_in");
    let joined = store.sign_in(sign_in(1).session(session(2))).unwrap();
    clean_after("joining");
    puts(&live);
    gets(&live);
    assert!(store.resume_ticket(live.ticket().unwrap().expose()).unwrap().is_some());
    clean_after("a ticket");
    assert!(!live.tokens().unwrap().is_empty());
    clean_after("listing what is held");
    acquires(&store);
    web_sessions(&store, &live);
    let guest = AccessToken { tenant: Some(tenant(7)), ..access_token("guest", 1) };
    joined.put([guest.into(), RefreshToken::new(client(), secret(1)).into()]).unwrap();
    clean_after("put by a second sign-in");
    listings(&store, &live);
    store.sign_in(sign_in(1)).unwrap();
    assert!(!live.is_live().unwrap());
    refused(live.put(RefreshToken::new(client(), secret(500))));
    clean_after("pushing out the oldest");

    sign_outs(&store);
    put_of_what_was_signed_out(&store, &joined);
    clock.advance(2 * HOUR);
    store.wait_reclaimed().unwrap();
    assert!(store.sweep(1000).unwrap().finished);
    clean_after("sweeping expired tokens");
    store.stats().unwrap();
    clean_after("stats");
    at_once(&store);

    store.clone().close().unwrap();
    clean_after("close");
    refused(joined.put(RefreshToken::new(client(), secret(1))));
    refused(store.account(&account(1)));
    drop((store, live, joined));
    clean_after("verbs of a closed store");

    let store = builder().key(key(2).previous(key(1))).open().unwrap();
    clean_after("opening with a previous key");
    let live = store.account(&account(50)).unwrap().remove(0);
    assert!(live.refresh_token(&client()).unwrap().is_some());
    clean_after("reading after a restart");
    // Without closing.
    drop(store);
    drop(live);
    clean_after("dropping the last handle");
    refused(builder().key(key(3)).open());
    clean_after("opening with a wrong key");
}

/// Verbs that write the keyring anew, or move rows.
fn moves(builder: &dyn Fn() -> Builder, clock: &ManualClock) {
    let store = builder().key(key(1)).open().unwrap();
    let live = store.sign_in(sign_in(40).session(session(40))).unwrap();
    let expires = clock.now() + 9 * HOUR;
    let access = AccessToken::new(client(), scopes("a"), secret(1000), expires);
    live.put([access.into(), RefreshToken::new(client(), secret(1)).into()]).unwrap();
    clean_after("signing in before rows move");
    store.rotate_key(&key(7).also(key(1))).unwrap();
    clean_after("rotating the key");
    let history = builder().key(key(7)).history().unwrap();
    assert!(
        history.of(&SignOutScope::Account(account(1))).count() > 0
            && !format!("{history:?}").is_empty()
    );
    drop(history);
    refused(builder().key(key(6)).history());
    clean_after("the history beside the store");
    refused(store.rotate_key(&key(7).also(key(7))));
    clean_after("rotating to one key twice");
    store.compact().unwrap();
    clean_after("compacting");
    assert_eq!(store.verify().unwrap().tampered, 0);
    clean_after("verifying");
    store.complete_erasure(&key(1)).unwrap();
    clean_after("erasing completely");
    assert!(live.access_token(&query("a")).unwrap().is_some());
    live.put(RefreshToken::new(client(), secret(600))).unwrap();
    assert_eq!(
        store
            .sign_out(SignOut::account(&account(40)).taking_refresh_tokens())
            .unwrap()
            .refresh_tokens
            .len(),
        1
    );
    store.close().unwrap();
    clean_after("verbs behind an erasure");
    drop(live);
    refused(builder().key(key(7)).open());
    clean_after("opening with a key from before");
}

fn backups(builder: &dyn Fn() -> Builder, backup: &Path, restored: &dyn Fn() -> Builder) {
    let store = builder().key(key(1)).open().unwrap();
    let live = store.sign_in(sign_in(41)).unwrap();
    live.put(RefreshToken::new(client(), secret(600))).unwrap();
    store.backup(backup).unwrap();
    clean_after("backup");
    store.close().unwrap();
    drop(live);
    assert_eq!(builder().key(key(1)).verify().unwrap().tampered, 0);
    clean_after("verifying what is closed");
    refused(restored().key(key(2)).restore(backup));
    clean_after("restoring with a wrong key");
    let store = restored().key(key(3).previous(key(1))).restore(backup).unwrap();
    let live = store.account(&account(41)).unwrap().remove(0);
    assert!(live.refresh_token(&client()).unwrap().is_some());
    clean_after("restoring");
    store.close().unwrap();
    drop(live);
    clean_after("closing what was restored");
}

fn puts(live: &LiveSignIn) {
    live.put(access_token("a", 1)).unwrap();
    let partition = Partition::on_behalf_of(Secret::new(secret(1)).expose());
    let with_all = AccessToken {
        resource: Some("resource".into()),
        refresh_at: Some(now()),
        extended_expires_at: Some(now() + 9 * HOUR),
        partition: partition.clone(),
        extra: vec![1; 300],
        ..access_token("a b", 2)
    };
    live.put([
        with_all.into(),
        RefreshToken { partition, ..RefreshToken::new(client(), secret(1)) }.into(),
    ])
    .unwrap();
    clean_after("put of access tokens");
    live.put(RefreshToken {
        family_id: Some("1".into()),
        ..RefreshToken::new(client(), secret(3))
    })
    .unwrap();
    live.put([
        RefreshToken::new(client(), secret(2)).into(),
        IdToken::new(client(), secret(100)).into(),
    ])
    .unwrap();
    clean_after("put of refresh and ID tokens");
    // In several parts; then in fewer, and in one.
    for times in [2000, 4096, 500, 384, 1, 600] {
        let many = [
            access_token("large", times).into(),
            IdToken::new(ClientId::new("large").unwrap(), secret(times)).into(),
        ];
        live.put(many).unwrap();
        live.put(RefreshToken::new(ClientId::new("large").unwrap(), secret(times))).unwrap();
        clean_after("put of large tokens");
    }
    refused(live.put(RefreshToken::new(client(), secret(5000))));
    refused(live.put(AccessToken { token_type: String::new(), ..access_token("x", 600) }));
    clean_after("put of what cannot be stored");
    live.put([access_token("a", 1).into(), access_token("a", 2).into()]).unwrap();
    clean_after("put of two for one place");
}

/// Every end that a refresh can come to, and the cache.
fn acquires(store: &TokenStore) {
    let live = store.sign_in(sign_in(60)).unwrap();
    let acquirer = Acquirer::new().on_orphaned(|orphaned| assert!(!orphaned.tokens.is_empty()));
    let answer = |grant: &Grant| {
        let access = grant.access_token(None, secret(100), 9 * HOUR);
        Ok([access.into(), grant.next_refresh_token(secret(7000 / 16)).into()].into())
    };
    live.put(RefreshToken::new(client(), secret(10))).unwrap();
    acquirer.acquire(&live, query("r"), answer).unwrap();
    clean_after("a refresh");
    let token = acquirer.acquire(&live, query("r"), answer).unwrap();
    let rejected = AccessRequest::new(query("r")).instead_of(&token);
    drop(token);
    acquirer.acquire(&live, rejected.clone(), answer).unwrap();
    drop(rejected);
    clean_after("a refresh of a rejected token");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                acquirer
                    .acquire(&live, AccessRequest::new(query("r")).force_refresh(), answer)
                    .unwrap()
            });
        }
    });
    clean_after("refreshes at a time");
    let other = || AccessRequest::new(query("r")).on_behalf_of("assertion");
    acquirer.acquire(&live, other(), answer).unwrap();
    clean_after("a refresh token that is not kept");
    refused(acquirer.acquire(&live, other().force_refresh(), |_| Ok(access_token("r", 5).into())));
    clean_after("tokens of another partition");
    refused(acquirer.acquire(&live, query("s"), |_| Err(RefreshError::invalid_grant("revoked"))));
    clean_after("invalid_grant");
    live.put(RefreshToken::new(client(), secret(10))).unwrap();
    refused(acquirer.acquire(&live, query("s"), |grant| {
        store.sign_out(SignOut::account(&account(60))).unwrap();
        answer(grant)
    }));
    drop(live);
    clean_after("a refresh that was signed out");
}

/// Web sessions. The data in a record is its owner's: here that wipes it, so that whatever is found
/// is a copy of ours.
fn web_sessions(store: &TokenStore, live: &LiveSignIn) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let sessions = OublietteSessions::new(store.clone());
    let wiped = |mut record: Record| match record.data.remove("needle") {
        Some(Value::String(text)) => drop(Secret::new(text)),
        other => panic!("{other:?}"),
    };
    let made = |id| Record {
        id: Id(id),
        data: [("needle".to_owned(), Value::String(secret(7000 / 16)))].into(),
        expiry_date: (now() + HOUR).into(),
    };
    let mut record = made(1);
    runtime.block_on(async {
        sessions.create(&mut record).await.unwrap();
        clean_after("making a web session");
        sessions.save(&record).await.unwrap();
        clean_after("saving a web session");
        wiped(sessions.load(&record.id).await.unwrap().unwrap());
        clean_after("loading a web session");
        sessions.delete(&record.id).await.unwrap();
        clean_after("deleting a web session");
        wiped(record);

        let session = Session::new(Some(Id(2)), std::sync::Arc::new(sessions.clone()), None);
        bind(&session, live).await.unwrap();
        let mut record = made(3);
        record.data.insert(BINDING.into(), session.get_value(BINDING).await.unwrap().unwrap());
        sessions.create(&mut record).await.unwrap();
        sessions.save(&record).await.unwrap();
        wiped(sessions.load(&record.id).await.unwrap().unwrap());
        clean_after("a bound web session");
        record.data.insert("long".into(), Value::String("x".repeat(70_000)));
        sessions.save(&record).await.unwrap_err();
        wiped(record);
        clean_after("a web session that is too long");
    });
}

fn gets(live: &LiveSignIn) {
    let access = |query: AccessQuery| live.access_token(&query).unwrap();
    assert!(
        access(query("a")).is_some()
            && access(query("large")).is_some()
            && access(query("none")).is_none()
    );
    clean_after("access_token");
    assert!(access(query("")).is_some());
    let behalf = || Partition::on_behalf_of(Secret::new(secret(1)).expose());
    assert!(
        access(query("b").resource("resource").partition(behalf()).even_if_expired()).is_some()
    );
    clean_after("access_token of a subset");
    assert!(live.refresh_token(&client()).unwrap().is_some());
    assert!(live.refresh_token(&ClientId::new("large").unwrap()).unwrap().is_some());
    assert!(live.refresh_token(RefreshQuery::family("1")).unwrap().is_some());
    assert!(
        live.refresh_token(RefreshQuery::client(client()).partition(behalf())).unwrap().is_some()
    );
    clean_after("refresh_token");
    assert!(live.id_token(&client()).unwrap().is_some());
    let token = live.id_token(&ClientId::new("large").unwrap()).unwrap().unwrap();
    let copies = (token.clone(), Token::from(token.clone()), Tokens::from(vec![token.into()]));
    assert!(!format!("{copies:?}").is_empty() && copies.1 == Token::from(copies.0.clone()));
    drop(copies);
    clean_after("id_token");
}

fn listings(store: &TokenStore, live: &LiveSignIn) {
    assert_eq!(store.account(&account(1)).unwrap().len(), 2);
    assert!(store.resume(&account(1), live.id()).unwrap().is_some());
    clean_after("account and resume");
    assert_eq!(store.accounts(Page::first(10)).unwrap().accounts.len(), 1);
    assert_eq!(store.accounts_in(&tenant(7), Page::first(10)).unwrap().accounts.len(), 1);
    clean_after("accounts");
    assert_eq!(store.accounts_of_session(&session(1)).unwrap().len(), 1);
    assert_eq!(store.accounts_of_subject(&subject(1)).unwrap().len(), 1);
    assert_eq!(store.accounts_of_alias(&alias()).unwrap().len(), 1);
    clean_after("accounts by other names");
    assert!(!format!("{store:?}{live:?}{:?}", store.accounts(Page::first(10))).is_empty());
    clean_after("Debug");
}

/// In every scope, with the refresh tokens where they can be had.
fn sign_outs(store: &TokenStore) {
    let scopes = [
        SignOut::account(&account(1)).taking_refresh_tokens(),
        SignOut::session(&session(1)).taking_refresh_tokens(),
        SignOut::session(&session(1)).policy(SessionPolicy::OnlySession).taking_refresh_tokens(),
        SignOut::subject(&subject(1)).taking_refresh_tokens().signed_in_before(now() + HOUR),
        SignOut::tenant(&tenant(1)),
        SignOut::everybody(),
    ];
    for sign_out in scopes {
        let wants = if format!("{sign_out:?}").contains("take: true") { 2 } else { 0 };
        let live = store.sign_in(sign_in(1).session(session(1)).subject(subject(1))).unwrap();
        live.put([RefreshToken::new(client(), secret(1)).into(), access_token("a", 500).into()])
            .unwrap();
        live.put(RefreshToken::new(ClientId::new("large").unwrap(), secret(1000))).unwrap();
        clean_after("signing in again");
        let receipt = store.sign_out(sign_out.clone()).unwrap();
        let taken = receipt.refresh_tokens.iter().filter(|token| {
            token.client_id.as_str() == "large" || token.secret.expose().len() == 16
        });
        assert!(taken.count() >= wants && !format!("{receipt:?}").is_empty());
        drop(receipt);
        clean_after("sign_out");
        assert!(live.access_token(&query("a")).unwrap().is_none());
        refused(live.put(RefreshToken::new(client(), secret(500))));
        clean_after("verbs of a signed-out handle");
        refused(store.sign_in(
            sign_in(1).session(session(1)).subject(subject(1)).imported_from(now() - HOUR),
        ));
        clean_after("a continued sign-in that is refused");
        store.wait_reclaimed().unwrap();
        clean_after("reclaim");
    }
    store.last_sign_out(&SignOutScope::Account(account(1))).unwrap();
    clean_after("last_sign_out");
}

/// Some tokens of a put are stored, the others left out.
fn put_of_what_was_signed_out(store: &TokenStore, joined: &LiveSignIn) {
    refused(joined.put(access_token("a", 600)));
    let live = store.sign_in(sign_in(2)).unwrap();
    store.sign_out(SignOut::tenant(&tenant(8))).unwrap();
    let guest = AccessToken { tenant: Some(tenant(8)), ..access_token("guest", 600) };
    assert_eq!(live.put([guest.into(), access_token("own", 600).into()]).unwrap().refused, [0]);
    clean_after("a put of which a part is refused");
}

/// Many threads, which put, get and sign out what the others are at.
fn at_once(store: &TokenStore) {
    store.sign_in(sign_in(50)).unwrap().put(RefreshToken::new(client(), secret(600))).unwrap();
    std::thread::scope(|threads| {
        for thread in 0..4 {
            threads.spawn(move || {
                for round in 0..20 {
                    let live = store.sign_in(sign_in(round % 2 + 10)).unwrap();
                    // Others sign out, push out, and put the same at the same time.
                    drop(live.put([
                        access_token("a", 1 + 300 * thread).into(),
                        RefreshToken::new(client(), secret(1)).into(),
                    ]));
                    drop(live.access_token(&query("a")));
                    if round % 5 == 0 {
                        store
                            .sign_out(
                                SignOut::account(&account(round % 2 + 10)).taking_refresh_tokens(),
                            )
                            .unwrap();
                    }
                }
            });
        }
    });
    clean_after("several threads at once");
}

/// A row that was changed is refused when it is read; what was opened of the others till then is
/// wiped.
fn tampered(machine: &Machine) {
    let store = machine.builder().key(key(1)).open().unwrap();
    let live = store.sign_in(sign_in(20)).unwrap();
    live.put([access_token("a", 1000).into(), RefreshToken::new(client(), secret(1)).into()])
        .unwrap();
    live.put(IdToken::new(client(), secret(1000))).unwrap();
    let rows = machine.rows();
    let mut tampered = 0;
    for (changed, value) in &rows {
        for at in [0, 2, value.len() / 2, value.len().saturating_sub(1)] {
            let mut rows = rows.clone();
            let Some(byte) = rows.get_mut(changed).unwrap().get_mut(at) else { continue };
            *byte ^= 1;
            machine.set_rows(rows);
            tampered +=
                usize::from(matches!(live.access_token(&query("a")), Err(Error::Tampered(_))));
            tampered +=
                usize::from(matches!(live.refresh_token(&client()), Err(Error::Tampered(_))));
            tampered += usize::from(matches!(live.id_token(&client()), Err(Error::Tampered(_))));
            drop((
                live.access_token(&query("")),
                store.account(&account(20)),
                store.accounts(Page::first(10)),
            ));
            clean_after("a changed row");
        }
    }
    assert!(tampered > 20, "{tampered} reads were refused");
    // A part of a token is missing, or of another write.
    machine.set_rows(rows.clone());
    live.put(access_token("a", 1000)).unwrap();
    let newer = machine.rows();
    for (part, old) in
        rows.iter().filter(|(part, old)| newer.get(*part).is_some_and(|new| new != *old))
    {
        for value in [None, Some(old.clone())] {
            let mut rows = newer.clone();
            drop(rows.remove(part));
            rows.extend(value.map(|value| (part.clone(), value)));
            machine.set_rows(rows);
            drop(live.access_token(&query("a")));
            clean_after("a part of another write");
        }
    }
    machine.set_rows(newer);
    for key in machine.rows().keys() {
        let mut rows = machine.rows();
        rows.get_mut(key).unwrap().push(0);
        machine.set_rows(rows);
    }
    store.sign_out(SignOut::account(&account(20)).taking_refresh_tokens()).unwrap();
    assert!(store.sweep(1000).unwrap().tampered > 0);
    clean_after("sweeping what does not open");
    store.close().unwrap();
}

/// The engine or the ledger fails under a put or a sign-out.
fn failing(machine: &Machine) {
    let store = machine.builder().key(key(1)).open().unwrap();
    let live = store.sign_in(sign_in(30)).unwrap();
    live.put(RefreshToken::new(client(), secret(500))).unwrap();
    machine.set_failing_engine(true);
    refused(
        live.put([access_token("a", 500).into(), RefreshToken::new(client(), secret(1)).into()]),
    );
    refused(live.refresh_token(&client()));
    assert!(
        store
            .sign_out(SignOut::account(&account(30)).taking_refresh_tokens())
            .unwrap()
            .refresh_tokens_missed
    );
    clean_after("an engine that failed");
    machine.set_failing_engine(false);
    drop((store, live));
    let store = machine.builder().key(key(1)).open().unwrap();
    let live = store.sign_in(sign_in(31)).unwrap();
    live.put(RefreshToken::new(client(), secret(500))).unwrap();
    machine.set_failing_syncs(true);
    refused(store.sign_out(SignOut::account(&account(31)).taking_refresh_tokens()));
    refused(live.put(RefreshToken::new(client(), secret(500))));
    clean_after("a ledger that failed");
    machine.set_failing_syncs(false);
    drop((store, live));
}

/// A keyring or a ledger that cannot be opened; and beginning anew.
fn damaged(machine: &Machine) {
    let (whole, mut refused) = (machine.files(), 0);
    for (name, bytes) in &whole {
        for at in (0..bytes.len().min(1000)).step_by(9).chain([bytes.len() - 1]) {
            let mut files = whole.clone();
            files.get_mut(name).unwrap()[at] ^= 1;
            machine.set_files(files);
            // (In the ledger's last, unused chunk a changed byte may be mended.)
            refused += usize::from(machine.builder().key(key(1)).open().is_err());
            clean_after("opening what is damaged");
        }
    }
    assert!(refused > 50, "{refused} times");
    machine.set_files(
        whole
            .iter()
            .filter(|(name, _)| *name == "keyring")
            .map(|(name, bytes)| (name.clone(), bytes.clone()))
            .collect(),
    );
    let store = machine.builder().key(key(1)).on_damage(OnDamage::ForgetEveryone).open().unwrap();
    store.close().unwrap();
    clean_after("forgetting everyone");
}

/// Reading other libraries' caches, whole and broken, and storing what was in them.
pub(crate) fn import_of_msal_caches() {
    let entry = |secret: &str| {
        format!(
            r#""home_account_id": "a.b", "environment": "e", "client_id": "c", "secret": "{secret}""#
        )
    };
    let file = |secret: &str, end: &str| {
        let entry = entry(secret);
        format!(
            r#"{{"RefreshToken": {{"k": {{{entry}}}, "l": {{{entry}, "secret": "{secret}", "family_id": "1", "x": {{}}}}}},
                "IdToken": {{"k": {{{entry}, "realm": "b"}}}}, "AppMetadata": {{"k": {{"client_id": "c"}}}},
                "Account": {{"k": {{"home_account_id": "a.b", "environment": "e", "realm": "b"}}}},
                "AccessToken": {{"k": {{{entry}, "realm": "b", "target": "s", "expires_on": "1900000000"}},
                "m": {{{entry}, "realm": "b", "target": 5, "expires_on": "1900000000"}}}}{end}}}"#
        )
    };
    let [file, with_comma, with_escapes] = canary::pause(|| {
        let jwt = format!("{0}.eyJzdWIiOiJzIiwiaXNzIjoiaSIsInNpZCI6ImQifQ.{0}", secret(3));
        let escaped = format!(r"{0}\/{0}\u002b{0}\\", secret(3));
        [file(&jwt, ""), file(&jwt, ","), file(&escaped, "")]
    });
    let store = TokenStore::in_memory().unwrap();
    for file in [&file, &with_comma, &with_escapes] {
        let cache = MsalCache::read(file.as_bytes()).unwrap();
        assert!(!format!("{cache:?}").is_empty());
        for found in cache.sign_ins {
            assert_eq!(found.tokens.len(), 4);
            store.sign_in(found.sign_in).unwrap().put(found.tokens).unwrap();
        }
        clean_after("importing");
        for end in (0..file.len()).step_by(13) {
            assert!(end == 0 || MsalCache::read(&file.as_bytes()[..end]).is_err());
            clean_after("importing what is cut off");
        }
    }
    store.close().unwrap();
    clean_after("closing");
    canary::pause(|| drop([file, with_comma, with_escapes]));
}

/// Taking the tokens out of other crates' responses, which do not wipe what they hold themselves.
pub(crate) fn responses_of_the_oauth2_crate() {
    type Response = oauth2::StandardTokenResponse<ProviderFields, oauth2::basic::BasicTokenType>;
    let [response, bad] = canary::pause(|| {
        let response = |scope: &str| {
            let tokens = format!(
                r#""access_token": "{0}", "refresh_token": "{0}", "token_type": "bearer""#,
                secret(40)
            );
            let rest = format!(
                r#""expires_in": 3600, "refresh_in": 1800, "foci": "1", "scope": "{scope}""#
            );
            serde_json::from_str::<Response>(&format!("{{{tokens}, {rest}}}")).unwrap()
        };
        let too_long: Vec<_> =
            (0..5).map(|number| number.to_string() + &"s".repeat(1000)).collect();
        [response("mail.read"), response(&too_long.join(" "))]
    });
    let store = TokenStore::in_memory().unwrap();
    let live = store.sign_in(sign_in(1)).unwrap();
    let received = Received::new(client(), now());
    live.put(received.tokens(&response).unwrap()).unwrap();
    clean_after("taking tokens");
    drop(received.tokens(&bad).unwrap());
    clean_after("taking tokens with more scopes than can be stored");
    // The crate's error holds the whole answer.
    let error = canary::pause(|| {
        let client = oauth2::basic::BasicClient::new(oauth2::ClientId::new("web".into()));
        let client = client.set_token_uri(
            oauth2::TokenUrl::new("https://login.example.com/token".into()).unwrap(),
        );
        let answer = |_: oauth2::HttpRequest| -> Result<_, std::io::Error> {
            let body =
                format!(r#"{{"access_token": "{}", "expires_in": "x"}}"#, secret(40)).into_bytes();
            Ok(oauth2::http::Response::new(body))
        };
        client.exchange_client_credentials().request(&answer).unwrap_err()
    });
    drop(TokenRequestError::from(error));
    clean_after("an answer that cannot be read whole");
    // Ours wipes what it holds; the body is the caller's. A name that is there twice, and tokens
    // within.
    let bodies = canary::pause(|| {
        let tokens = format!(
            r#""access_token": "{0}", "refresh_token": "{0}", "id_token": "{0}""#,
            secret(40)
        );
        let twice = format!("{{{tokens}, {tokens}, \"authed_user\": {{{tokens}}}}}");
        [
            twice.clone(),
            format!("{{\"authed_user\": {{{tokens}}}}}"),
            twice[..twice.len() - 20].to_owned(),
        ]
    });
    for body in &bodies {
        let answer = TokenAnswer::read(body.as_bytes()).unwrap();
        live.put(received.tokens(&answer.clone()).unwrap()).unwrap();
        drop(answer);
        clean_after("an answer that is read");
    }
    drop(live);
    store.close().unwrap();
    canary::pause(|| drop((response, bad, bodies)));
    clean_after("dropping the store");
}

fn refused<T: Debug, E>(result: Result<T, E>) {
    drop(result.unwrap_err());
}

fn alias() -> Alias {
    Alias::new(AliasKind::Email, "somebody@example.com").unwrap()
}

fn access_token(scope: &str, times: usize) -> AccessToken {
    AccessToken::new(client(), scopes(scope), secret(times), now() + HOUR)
}
