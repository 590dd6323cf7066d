//! Stores as each version of the format left them are opened, and all that was true of them then is
//! true.
//!
//! How they are made is said in `golden/README.md`.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::disk::{Home, KEY, builder_at, copy};

const HOUR: Duration = Duration::from_secs(3600);
/// The second key of the store.
const OTHER_KEY: [u8; 32] = [8; 32];

const VERSIONS: [&str; 2] = ["v1", "v2"];

fn store_of(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version).join("store")
}

/// A text that no other token has, of some length.
fn text(name: &str, length: usize) -> String {
    name.chars().chain("0123456789abcdef".chars().cycle()).take(length).collect()
}

fn guest_token() -> AccessToken {
    AccessToken {
        tenant: Some(tenant(2)),
        resource: Some("https://api.example.com".into()),
        token_type: "DPoP".into(),
        refresh_at: Some(now() + HOUR / 2),
        extended_expires_at: Some(now() + 3 * HOUR),
        partition: Partition::on_behalf_of("assertion"),
        extra: b"extra".to_vec(),
        ..access("b c", &text("guest", 700))
    }
}

fn family_token() -> RefreshToken {
    RefreshToken {
        family_id: Some("1".into()),
        expires_at: Some(now() + 48 * HOUR),
        ..refresh(&text("family", 7000))
    }
}

fn app() -> AccountId {
    AccountId::app(tenant(1), client())
}

fn alias() -> Alias {
    Alias::new(AliasKind::Email, "somebody@example.com").unwrap()
}

/// Not a test: makes the store. It must not be there.
#[test]
#[ignore = "makes tests/golden/v2/store"]
fn make() {
    let folder = store_of("v2");
    assert!(!folder.exists(), "remove {} first", folder.display());
    let home = Home::new();
    let clock = ManualClock::new(now());
    let builder = || home.builder().clock(clock.clone());
    let store = builder().open().unwrap();
    store.sign_in(sign_in(9)).unwrap().put(refresh("before everybody")).unwrap();
    store.sign_out(SignOut::everybody()).unwrap();
    clock.advance(HOUR / 60);

    let first =
        store.sign_in(sign_in(1).session(session(1)).subject(subject(1)).alias(alias())).unwrap();
    first
        .put([
            access("a", "access").into(),
            refresh("refresh").into(),
            IdToken::new(client(), "id").into(),
        ])
        .unwrap();
    first.put([guest_token().into(), family_token().into()]).unwrap();
    let second = store.sign_in(sign_in(1).session(session(2))).unwrap();
    second.put(refresh("second")).unwrap();
    store
        .sign_in(SignIn::new(app(), tenant(1)))
        .unwrap()
        .put(access("app/.default", "app"))
        .unwrap();

    // Gone: by account, session, subject and tenant; and one sign-in each that none of these is
    // about.
    for number in 3..=7 {
        let live = store
            .sign_in(sign_in(number).session(session(number)).subject(subject(number)))
            .unwrap();
        live.put([access("a", "gone").into(), refresh("gone too").into()]).unwrap();
    }
    let other = store.sign_in(sign_in(4).session(session(40))).unwrap();
    other.put(refresh("another session's")).unwrap();
    clock.advance(HOUR / 60);
    store.sign_out(SignOut::account(&account(3))).unwrap();
    store.sign_out(SignOut::session(&session(4)).policy(SessionPolicy::OnlySession)).unwrap();
    store.sign_out(SignOut::session(&session(5))).unwrap();
    store.sign_out(SignOut::subject(&subject(6))).unwrap();
    store.sign_out(SignOut::tenant(&tenant(7))).unwrap();
    store.sign_out(SignOut::account(&account(1)).signed_in_before(now())).unwrap();
    store.wait_reclaimed().unwrap();
    store.rotate_key(&KeySource::bytes(OTHER_KEY).also(KeySource::bytes(KEY))).unwrap();
    // A tenant's token that a guest holds.
    let guest = AccessToken { tenant: Some(tenant(7)), ..access("guest", "new since") };
    second.put(guest).unwrap();
    store.close().unwrap();
    drop((first, second, other));

    let store = builder().open().unwrap();
    clock.advance(HOUR / 60);
    store.sign_in(sign_in(8)).unwrap().put(refresh("to be left behind")).unwrap();
    store.sign_out(SignOut::account(&account(8))).unwrap();
    // Without closing.
    drop(store);
    copy(&home.path(), &folder);
    for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with("lock") {
            fs::remove_file(path).unwrap();
        } else if name.starts_with("ledger-") {
            // Its first 1024 slots, as if the disk had been too full for a reserve: the rest would
            // be four times as much filler.
            fs::File::options().write(true).open(path).unwrap().set_len(512 + 1024 * 64).unwrap();
        }
    }
}

/// A copy of the store, opened.
fn opened(version: &str, home: &Home, key: KeySource) -> TokenStore {
    copy(&store_of(version), &home.path());
    builder_at(&home.path()).key(key).clock(ManualClock::new(now() + HOUR / 10)).open().unwrap()
}

#[test]
fn a_store_opens_with_each_of_its_keys_also_after_it_was_opened_by_one() {
    for version in VERSIONS {
        for (key, other) in [(KEY, OTHER_KEY), (OTHER_KEY, KEY)] {
            let home = Home::new();
            let store = opened(version, &home, KeySource::bytes(key));
            assert!(!store.stats().unwrap().opened_by_previous_key);
            assert!(store.verify().unwrap().is_sound());
            store.close().unwrap();
            // What was written of today's version did not cost the key that was not there.
            builder_at(&home.path()).key(KeySource::bytes(other)).open().unwrap().close().unwrap();
        }
        let home = Home::new();
        copy(&store_of(version), &home.path());
        let before = fs::read(home.path().join("keyring")).unwrap();
        assert!(matches!(
            builder_at(&home.path()).key(KeySource::bytes([9; 32])).open(),
            Err(Error::KeyRejected)
        ));
        assert_eq!(fs::read(home.path().join("keyring")).unwrap(), before);
    }
}

/// The other program, which knows version 1 alone, is kept off: it would not see who has signed out
/// by the other name.
#[test]
fn a_store_of_version_1_is_one_of_version_2_once_it_was_opened() {
    let home = Home::new();
    let version = |path: &Path| fs::read(path.join("keyring")).unwrap()[4];
    copy(&store_of("v1"), &home.path());
    assert_eq!(version(&home.path()), 1);
    let builder = || {
        builder_at(&home.path())
            .key(KeySource::bytes(KEY))
            .clock(ManualClock::new(now() + HOUR / 10))
    };
    assert_eq!(builder().history().unwrap().records.len(), 9, "a look changes nothing");
    assert_eq!(version(&home.path()), 1);
    builder().open().unwrap().close().unwrap();
    assert_eq!(version(&home.path()), 2);
}

fn by_name(sub: &str) -> AccountId {
    AccountId::new("https://sso.example.com", sub).unwrap()
}

/// The users of `v1/two-names`: who lives, with their refresh tokens.
fn living(store: &TokenStore) -> Vec<(&'static str, Vec<String>)> {
    let tokens_of = |sub: &str| {
        let live = store.account(&by_name(sub)).unwrap();
        let mut tokens: Vec<String> = live
            .iter()
            .map(|live| {
                live.refresh_token(&client())
                    .unwrap()
                    .map_or("none".into(), |token| token.secret.expose().to_owned())
            })
            .collect();
        tokens.sort();
        tokens
    };
    let users = [
        "signed out before",
        "signed out by name",
        "signed out by subject",
        "live by subject",
        "live by name",
        "live by both",
    ];
    users
        .into_iter()
        .map(|sub| (sub, tokens_of(sub)))
        .filter(|(_, tokens)| !tokens.is_empty())
        .collect()
}

/// Version 1 had two accounts for one issuer and subject, and sign-outs of the one spared the
/// other.
#[test]
fn whoever_was_signed_out_by_one_of_two_names_is_out_by_both() {
    let home = Home::new();
    copy(&store_of("v1").with_file_name("two-names"), &home.path());
    let builder = || {
        builder_at(&home.path())
            .key(KeySource::bytes(KEY))
            .clock(ManualClock::new(now() + HOUR / 10))
    };
    let mut live: Vec<(&str, Vec<String>)> = vec![
        ("signed out before", vec!["signed out before".into()]),
        ("live by subject", vec!["live by subject".into()]),
        ("live by name", vec!["live by name".into()]),
        ("live by both", vec!["by name".into(), "by subject".into()]),
    ];
    let store = builder().open().unwrap();
    assert_eq!(living(&store), live);
    assert!(store.verify().unwrap().tampered == 0);
    // A handle, by the id that the app has kept.
    let kept = store.account(&by_name("live by subject")).unwrap().remove(0);
    assert!(store.resume(&by_name("live by subject"), kept.id()).unwrap() == Some(kept));

    // Sign-outs of today, of rows under either tag, counted; and what lives there stays out,
    // whatever is read again.
    for sub in ["live by subject", "live by name"] {
        let receipt = store.sign_out(SignOut::account(&by_name(sub)).counted()).unwrap();
        let counted = receipt.counted.unwrap();
        assert_eq!((counted.accounts, counted.sign_ins), (1, 1), "{sub}");
        live.retain(|(one, _)| *one != sub);
        assert_eq!(living(&store), live);
    }
    // Refresh tokens are taken from under the older name too.
    let taken = store
        .sign_out(SignOut::account(&by_name("signed out before")).taking_refresh_tokens())
        .unwrap();
    assert_eq!((taken.refresh_tokens.len(), taken.refresh_tokens_missed), (1, false));
    live.retain(|(one, _)| *one != "signed out before");
    // A sign-in by the one name ends what lives by the other.
    let new = store.sign_in(SignIn::new(by_name("live by both"), tenant(1))).unwrap();
    assert_eq!(living(&store), [("live by both", vec!["by name".into(), "none".into()])]);
    store.wait_reclaimed().unwrap();
    store.close().unwrap();
    drop(new);
    let store = builder().open().unwrap();
    assert_eq!(
        living(&store),
        [("live by both", vec!["by name".into(), "none".into()])],
        "after a restart"
    );
    assert!(store.verify().unwrap().is_sound());

    // An older copy of the engine brings nobody back either.
    store.close().unwrap();
    for entry in fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_name().to_string_lossy().starts_with("engine-") {
            fs::remove_dir_all(entry.path()).unwrap();
            copy(
                &store_of("v1").with_file_name("two-names").join(entry.file_name()),
                &entry.path(),
            );
        }
    }
    let store = builder().open().unwrap();
    let back: Vec<&str> = living(&store).into_iter().map(|(sub, _)| sub).collect();
    assert_eq!(back, ["live by both"], "those who were only pushed out");
    store.close().unwrap();
}

/// One sign-in ends alone, under whichever of two tags it lies.
#[test]
fn one_sign_in_of_an_account_of_two_names_ends_alone() {
    let home = Home::new();
    copy(&store_of("v1").with_file_name("two-names"), &home.path());
    let builder = || {
        builder_at(&home.path())
            .key(KeySource::bytes(KEY))
            .clock(ManualClock::new(now() + HOUR / 10))
    };
    let store = builder().open().unwrap();
    for sub in ["live by subject", "live by name"] {
        let live = store.account(&by_name(sub)).unwrap().remove(0);
        let ticket = live.ticket().unwrap();
        assert_eq!(store.resume_ticket(ticket.expose()).unwrap().as_ref(), Some(&live));
        let sign_out = SignOut::sign_in(live.account(), live.id()).taking_refresh_tokens();
        let receipt = store.sign_out(sign_out.counted()).unwrap();
        assert_eq!((receipt.counted.unwrap().sign_ins, receipt.refresh_tokens.len()), (1, 1));
        let scope = SignOutScope::SignIn(by_name(sub), live.id());
        assert!(store.last_sign_out(&scope).unwrap().record.is_some());
        assert!(store.resume_ticket(ticket.expose()).unwrap().is_none());
    }
    let [first, second] = store.account(&by_name("live by both")).unwrap().try_into().unwrap();
    store.sign_out(SignOut::sign_in(first.account(), first.id())).unwrap();
    store.wait_reclaimed().unwrap();
    store.close().unwrap();
    let store = builder().open().unwrap();
    let users: Vec<&str> = living(&store).into_iter().map(|(sub, _)| sub).collect();
    assert_eq!(users, ["signed out before", "live by both"]);
    let left = store.account(&by_name("live by both")).unwrap();
    assert_eq!(left.iter().map(LiveSignIn::id).collect::<Vec<_>>(), [second.id()]);
}

/// History knows sign-outs by either name, and an erasure takes all of it along.
#[test]
fn sign_outs_by_either_of_two_names_are_on_record() {
    let home = Home::new();
    copy(&store_of("v1").with_file_name("two-names"), &home.path());
    let builder = || {
        builder_at(&home.path())
            .key(KeySource::bytes(KEY))
            .clock(ManualClock::new(now() + HOUR / 10))
    };
    let scope = |sub: &str| SignOutScope::Account(by_name(sub));
    let history = builder().history().unwrap();
    for sub in ["signed out by name", "signed out by subject", "signed out before"] {
        assert_eq!(
            (history.of(&scope(sub)).count(), history.covering(&[scope(sub)]).count()),
            (1, 1),
            "{sub}"
        );
    }
    let store = builder().open().unwrap();
    for sub in ["signed out by name", "signed out by subject", "signed out before"] {
        assert!(store.last_sign_out(&scope(sub)).unwrap().record.is_some(), "{sub}");
    }
    let live = living(&store);
    store.complete_erasure(&KeySource::bytes(KEY)).unwrap();
    assert_eq!(living(&store), live);
    store.sign_out(SignOut::account(&by_name("live by subject"))).unwrap();
    store.close().unwrap();
    let store = builder().open().unwrap();
    let users: Vec<&str> = living(&store).into_iter().map(|(sub, _)| sub).collect();
    assert_eq!(users, ["signed out before", "live by name", "live by both"]);
    store.close().unwrap();
}

#[test]
fn whoever_was_signed_in_is() {
    VERSIONS.into_iter().for_each(whoever_was_signed_in_to);
}

fn whoever_was_signed_in_to(version: &str) {
    let home = Home::new();
    let store = opened(version, &home, KeySource::bytes(KEY));
    let live = store.account(&account(1)).unwrap();
    let [second, first] = live.as_slice() else { panic!("two sign-ins, the newest first") };
    assert_eq!(
        (first.session(), first.subject(), first.aliases()),
        (Some(&session(1)), Some(&subject(1)), [alias()].as_slice())
    );
    assert_eq!(
        (first.tenant(), second.session(), second.subject()),
        (&tenant(1), Some(&session(2)), None)
    );
    assert_eq!(first.signed_in_at(), now() + HOUR / 60);
    assert!(store.resume(&account(1), first.id()).unwrap().as_ref() == Some(first));

    assert!(first.access_token(&query("a")).unwrap() == Some(access("a", "access")));
    let guests =
        query("c").tenant(tenant(2)).resource("https://api.example.com").token_type("dpop");
    assert!(
        first.access_token(&guests.partition(Partition::on_behalf_of("assertion"))).unwrap()
            == Some(guest_token())
    );
    assert!(first.refresh_token(&client()).unwrap() == Some(refresh("refresh")));
    assert!(first.refresh_token(RefreshQuery::family("1")).unwrap() == Some(family_token()));
    assert!(first.id_token(&client()).unwrap() == Some(IdToken::new(client(), "id")));
    assert!(second.refresh_token(&client()).unwrap() == Some(refresh("second")));
    assert!(
        second.access_token(&query("guest").tenant(tenant(7))).unwrap().is_none(),
        "its tenant was signed out before"
    );

    let of_app = store.account(&app()).unwrap().remove(0);
    assert!(
        of_app.access_token(&query("app/.default")).unwrap() == Some(access("app/.default", "app"))
    );
    let other = store.account(&account(4)).unwrap();
    assert_eq!(other.len(), 1, "only one session has ended");
    assert!(other[0].refresh_token(&client()).unwrap() == Some(refresh("another session's")));

    let found =
        |accounts: Vec<Account>| accounts.into_iter().map(|account| account.id).collect::<Vec<_>>();
    assert_eq!(found(store.accounts_of_session(&session(1)).unwrap()), [account(1)]);
    assert_eq!(found(store.accounts_of_subject(&subject(1)).unwrap()), [account(1)]);
    assert_eq!(found(store.accounts_of_alias(&alias()).unwrap()), [account(1)]);
    let all: HashSet<_> =
        found(store.accounts(Page::first(99)).unwrap().accounts).into_iter().collect();
    assert_eq!(all, [account(1), account(4), app()].into());
    assert_eq!(
        found(store.accounts_in(&tenant(2), Page::first(99)).unwrap().accounts),
        [account(1)]
    );
    store.close().unwrap();
}

#[test]
fn whoever_was_signed_out_is() {
    VERSIONS.into_iter().for_each(whoever_was_signed_out_of);
}

fn whoever_was_signed_out_of(version: &str) {
    let home = Home::new();
    let store = opened(version, &home, KeySource::bytes(OTHER_KEY));
    for number in [3, 5, 6, 7, 8, 9] {
        assert!(store.account(&account(number)).unwrap().is_empty(), "account {number}");
    }
    let last = |scope| store.last_sign_out(&scope).unwrap();
    let recorded = |scope| {
        let record = last(scope).exact.unwrap();
        (record.position, record.at, record.signed_in_before)
    };
    // The first record is the first opening, and the session's sign-out that took its account is
    // two.
    let at = |minutes: u32| -> SystemTime { now() + HOUR / 60 * minutes };
    assert_eq!(recorded(SignOutScope::Everybody), (2, at(0), None));
    assert_eq!(recorded(SignOutScope::Account(account(3))), (3, at(2), None));
    assert_eq!(recorded(SignOutScope::Session(session(4))), (4, at(2), None));
    assert_eq!(recorded(SignOutScope::Session(session(5))), (5, at(2), None));
    assert_eq!(recorded(SignOutScope::Account(account(5))), (6, at(2), None));
    assert_eq!(recorded(SignOutScope::Subject(subject(6))), (7, at(2), None));
    assert_eq!(recorded(SignOutScope::Tenant(tenant(7))), (8, at(2), None));
    assert_eq!(recorded(SignOutScope::Account(account(1))), (9, at(2), Some(now())));
    assert_eq!(recorded(SignOutScope::Account(account(8))), (11, at(3), None));
    let nobody = last(SignOutScope::Account(account(2)));
    assert_eq!(
        (nobody.record.map(|record| record.kind), nobody.known_since),
        (Some(SignOutScopeKind::Everybody), now())
    );
    assert_eq!((store.stats().unwrap().synced, store.verify().unwrap().sign_outs), (11, 9));
    // And the store goes on from there.
    let live = store.sign_in(sign_in(3)).unwrap();
    live.put(refresh("anew")).unwrap();
    let receipt = store.sign_out(SignOut::account(&account(1)).taking_refresh_tokens()).unwrap();
    assert_eq!((receipt.position, receipt.refresh_tokens.len()), (13, 3));
    store.close().unwrap();
}

/// SQLite's store knows one tag of an account: it would let those live who are out by the other.
#[cfg(all(unix, feature = "sqlite"))]
#[test]
fn what_has_sign_ins_of_version_1_is_not_moved_to_sqlite_and_the_rest_is() {
    let home = Home::new();
    let store = opened("v1", &home, KeySource::bytes(KEY));
    let refused = store.migrate(Storage::Sqlite);
    assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{refused:?}");
    let before = living(&store);
    store.close().unwrap();
    let builder = |home: &Home| {
        let clock = ManualClock::new(now() + HOUR / 10);
        builder_at(&home.path()).key(KeySource::bytes(KEY)).clock(clock)
    };
    assert_eq!(living(&builder(&home).open().unwrap()), before);

    let home = Home::new();
    let store = opened("v2", &home, KeySource::bytes(KEY));
    let accounts = |store: &TokenStore| {
        let found = store.accounts(Page::first(100)).unwrap().accounts;
        found.into_iter().map(|account| account.id).collect::<Vec<_>>()
    };
    let before = accounts(&store);
    assert!(!before.is_empty());
    store.migrate(Storage::Sqlite).unwrap();
    store.close().unwrap();
    let store = builder(&home).sqlite().open().unwrap();
    assert_eq!(accounts(&store), before);
    assert!(store.verify().unwrap().is_sound());
    store.close().unwrap();
    let store = builder(&home).alone().open().unwrap();
    store.migrate(Storage::Embedded).unwrap();
    store.close().unwrap();
    assert_eq!(accounts(&builder(&home).open().unwrap()), before);
}
