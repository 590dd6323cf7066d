//! One user, one name: whichever spelling the account is given in, and by whatever name a sign-out
//! comes, it ends, is counted, and is on record.

use oubliette::openid::{Provider, ProviderIdTokenClaims};
use oubliette::*;
use oubliette_testkit::accounts::*;

const ISSUER: &str = "https://sso.example.com/realms/contoso";

fn by_name() -> AccountId {
    AccountId::new(ISSUER, "f:1").unwrap()
}

fn by_subject() -> AccountId {
    AccountId::of_subject(user())
}

fn user() -> Subject {
    Subject::new(ISSUER, "f:1").unwrap()
}

/// As a provider signs the user in.
fn by_provider() -> SignIn {
    let json = serde_json::json!({"iss": ISSUER, "sub": "f:1", "sid": "s-1", "aud": "web", "exp": 2e9, "iat": 1_799_999_999});
    let claims: ProviderIdTokenClaims = serde_json::from_value(json).unwrap();
    Provider::keycloak(ISSUER).unwrap().sign_in(&claims).unwrap()
}

fn store() -> (Machine, TokenStore) {
    let machine = Machine::new();
    let store = machine.builder().clock(ManualClock::new(now())).open().unwrap();
    (machine, store)
}

fn counted(receipt: &Receipt) -> (u64, u64) {
    let counted = receipt.counted.unwrap();
    (counted.accounts, counted.sign_ins)
}

#[test]
fn an_account_by_issuer_and_subject_is_one_however_it_is_made() {
    assert_eq!(by_name(), by_subject());
    assert_eq!(
        (by_name().authority(), by_name().home_account_id(), by_name().subject()),
        (Some(ISSUER), Some("f:1"), Some(user()))
    );
    assert_eq!(by_provider().account(), &by_name());
    let claims = |iss: &str| -> ProviderIdTokenClaims {
        let json =
            serde_json::json!({"iss": iss, "sub": "u", "aud": "web", "exp": 2e9, "iat": 1e9});
        serde_json::from_value(json).unwrap()
    };
    for (provider, iss) in [
        (Provider::generic("https://login.example.com"), "https://login.example.com"),
        (Provider::auth0("https://contoso.eu.auth0.com/"), "https://contoso.eu.auth0.com/"),
        (Provider::google(), "https://accounts.google.com"),
    ] {
        let sign_in = provider.unwrap().sign_in(&claims(iss)).unwrap();
        assert_eq!(sign_in.account(), &AccountId::new(iss, "u").unwrap(), "{iss}");
    }
    // Those whose provider has ids of its own are no subjects.
    assert_eq!(AccountId::msal("login.windows.net", "u.t").unwrap().subject(), None);
    assert_eq!(AccountId::app(tenant(1), client()).subject(), None);
}

#[test]
fn a_sign_out_by_one_spelling_ends_what_was_signed_in_by_the_other() {
    for account in [by_name(), by_subject()] {
        let (_machine, store) = store();
        let live = store.sign_in(by_provider()).unwrap();
        live.put(refresh("rt")).unwrap();
        let receipt = store.sign_out(SignOut::account(&account).counted()).unwrap();
        assert_eq!(counted(&receipt), (1, 1));
        assert!(
            store.account(&by_name()).unwrap().is_empty()
                && live.refresh_token(&client()).unwrap().is_none()
        );
        for scope in [
            SignOutScope::Account(by_name()),
            SignOutScope::Account(by_subject()),
            SignOutScope::Subject(user()),
        ] {
            assert_eq!(
                store.last_sign_out(&scope).unwrap().record.unwrap().position,
                receipt.position
            );
        }
    }
}

/// However a provider tells of it: by subject, session, or both.
#[test]
fn a_providers_sign_out_is_on_record_under_the_account() {
    let session = SessionId::new(ISSUER, "s-1").unwrap();
    let by_sid = SignOut::session(&session);
    for (sign_out, kind) in [
        (SignOut::subject(&user()), SignOutScopeKind::Subject),
        (SignOut::subject(&user()).policy(SessionPolicy::WholeAccount), SignOutScopeKind::Account),
        (by_sid.clone(), SignOutScopeKind::Account),
        (SignOut::tenant(&TenantId::new("contoso").unwrap()), SignOutScopeKind::Tenant),
        (by_sid.policy(SessionPolicy::OnlySession), SignOutScopeKind::Session),
        (SignOut::everybody(), SignOutScopeKind::Everybody),
    ] {
        let (machine, store) = store();
        store.sign_in(by_provider()).unwrap();
        let receipt = store.sign_out(sign_out.counted()).unwrap();
        assert_eq!(counted(&receipt), (1, 1), "{kind:?}");
        let found = store.last_sign_out(&SignOutScope::Account(by_name())).unwrap();
        // The ledger knows by itself what the name tells; the rest is in the rows, which may be
        // gone by now.
        let is_in_rows = matches!(kind, SignOutScopeKind::Session | SignOutScopeKind::Tenant);
        if is_in_rows && !found.not_looked_at.is_empty() {
            assert!(
                found.not_looked_at.contains(&kind),
                "{kind:?}: what could not be looked at is said"
            );
        } else {
            let record = found.record.unwrap();
            assert_eq!((record.kind, record.position), (kind, receipt.position));
        }
        let history = machine.builder().history().unwrap();
        assert_eq!(
            history.covering(&[SignOutScope::Account(by_name())]).next().is_some(),
            !is_in_rows,
            "{kind:?}"
        );
        let with_tenant = [
            SignOutScope::Account(by_name()),
            SignOutScope::Tenant(TenantId::new("contoso").unwrap()),
        ];
        assert_eq!(
            history.covering(&with_tenant).next().is_some(),
            kind != SignOutScopeKind::Session,
            "{kind:?}"
        );
    }
}

/// As long as the rows of a sign-in are there, its session and tenant are looked at too.
#[test]
fn names_that_only_the_rows_know_are_looked_at_while_they_are_there() {
    let (_machine, store) = store();
    let first = store
        .sign_in(SignIn::new(by_name(), tenant(1)).session(session(1)).subject(subject(7)))
        .unwrap();
    let second = store.sign_in(SignIn::new(by_name(), tenant(2)).session(session(2))).unwrap();
    let last = |scope: SignOutScope| store.last_sign_out(&scope).unwrap();
    for (sign_out, kind) in [
        (SignOut::session(&session(9)), None),
        (
            SignOut::session(&session(1))
                .policy(SessionPolicy::OnlySession)
                .signed_in_before(now() - std::time::Duration::from_secs(9)),
            Some(SignOutScopeKind::Session),
        ),
        (
            SignOut::subject(&subject(7))
                .signed_in_before(now() - std::time::Duration::from_secs(9)),
            Some(SignOutScopeKind::Subject),
        ),
        (
            SignOut::tenant(&tenant(2)).signed_in_before(now() - std::time::Duration::from_secs(9)),
            Some(SignOutScopeKind::Tenant),
        ),
    ] {
        let receipt = store.sign_out(sign_out).unwrap();
        let found = last(SignOutScope::Account(by_name()));
        assert!(found.not_looked_at.is_empty() && found.exact.is_none());
        let expected = kind.map(|kind| (kind, receipt.position));
        assert_eq!(found.record.map(|record| (record.kind, record.position)), expected);
    }
    assert!(
        first.is_live().unwrap() && second.is_live().unwrap(),
        "these were about earlier sign-ins"
    );
    // By the session, the other names of its sign-in.
    let by_session = last(SignOutScope::Session(session(1)));
    assert_eq!(
        (by_session.record.unwrap().kind, by_session.exact.unwrap().kind),
        (SignOutScopeKind::Subject, SignOutScopeKind::Session)
    );
    // Of somebody of whom nothing is left, it is said.
    let nobody = last(SignOutScope::Account(account(99)));
    assert_eq!(
        (nobody.record, nobody.not_looked_at),
        (
            None,
            vec![
                SignOutScopeKind::Tenant,
                SignOutScopeKind::Session,
                SignOutScopeKind::Subject,
                SignOutScopeKind::SignIn
            ]
        )
    );
    assert!(last(SignOutScope::Tenant(tenant(77))).not_looked_at.is_empty());
}

#[test]
fn a_sign_out_counts_whom_it_ended_in_every_scope() {
    let (_machine, store) = store();
    let alias =
        |number: u32| Alias::new(AliasKind::Email, format!("u{number}@example.com")).unwrap();
    let someone = |number: u32| {
        let request = SignIn::new(account(number), tenant(number % 3))
            .session(session(number))
            .subject(subject(number));
        store.sign_in(request.alias(alias(number))).unwrap().put(refresh("rt")).unwrap();
    };
    (0..12).for_each(someone);
    someone(0);
    store.sign_in(SignIn::new(account(0), tenant(0)).session(session(50))).unwrap();
    let ended = |sign_out: SignOut| counted(&store.sign_out(sign_out.counted()).unwrap());
    assert_eq!(ended(SignOut::account(&account(99))), (0, 0), "a name that nobody has");
    assert_eq!(ended(SignOut::tenant(&tenant(99))), (0, 0));
    assert_eq!(ended(SignOut::session(&session(50)).policy(SessionPolicy::OnlySession)), (1, 1));
    assert_eq!(ended(SignOut::account(&account(0))), (1, 2));
    assert_eq!(ended(SignOut::account(&account(0))), (0, 0), "once more, it ends nobody");
    assert_eq!(ended(SignOut::session(&session(1))), (1, 1));
    assert_eq!(ended(SignOut::subject(&subject(2))), (1, 1));
    assert_eq!(ended(SignOut::alias(&alias(3))), (1, 1));
    assert_eq!(ended(SignOut::alias(&alias(3))), (0, 0));
    // By several names, each once.
    let both = SignOut::subject(&subject(4))
        .and(SignOutScope::Account(account(4)))
        .and(SignOutScope::Session(session(4)));
    assert_eq!(ended(both), (1, 1));
    let early = now() - std::time::Duration::from_secs(1);
    assert_eq!(
        ended(SignOut::tenant(&tenant(2)).signed_in_before(early)),
        (0, 0),
        "all signed in later"
    );
    assert_eq!(ended(SignOut::tenant(&tenant(2))), (3, 3), "5, 8 and 11");
    assert_eq!(ended(SignOut::everybody()), (4, 4), "6, 7, 9 and 10");
    assert_eq!(ended(SignOut::everybody()), (0, 0));
    assert_eq!(store.sign_out(SignOut::everybody()).unwrap().counted, None, "only on request");
}

/// The reclaimer is at work for a session of the account when the whole account is signed out.
#[test]
fn whom_the_reclaimer_is_at_already_is_counted_too() {
    let (_machine, store) = store();
    for round in 0..3000 {
        let sign_in = |session| {
            store.sign_in(SignIn::new(account(round), tenant(0)).session(session)).unwrap()
        };
        let (_first, _second) = (sign_in(session(1)), sign_in(session(2)));
        // Others' rows keep the reclaimer busy for a while, more in each round.
        (0..round % 10).for_each(|number| {
            drop(store.sign_out(SignOut::account(&account(1_000_000 + number))))
        });
        store.sign_out(SignOut::session(&session(1)).policy(SessionPolicy::OnlySession)).unwrap();
        let receipt = store.sign_out(SignOut::account(&account(round)).counted()).unwrap();
        assert_eq!(counted(&receipt), (1, 1), "round {round}");
    }
}

/// A sign-out that nothing can count stands all the same.
#[test]
fn what_cannot_be_counted_is_none_and_the_sign_out_stands() {
    let (machine, store) = store();
    store.sign_in(sign_in(1)).unwrap();
    machine.set_failing_engine(true);
    assert!(store.sign_in(sign_in(2)).is_err());
    for sign_out in
        [SignOut::account(&account(1)), SignOut::tenant(&tenant(1)), SignOut::everybody()]
    {
        let receipt = store.sign_out(sign_out.counted()).unwrap();
        assert_eq!(receipt.counted, None);
    }
    let alias = Alias::new(AliasKind::Opaque, "x").unwrap();
    assert!(
        matches!(store.sign_out(SignOut::alias(&alias)), Err(Error::Poisoned(Component::Engine))),
        "nobody can be looked up"
    );
    let found = store.last_sign_out(&SignOutScope::Account(account(1))).unwrap();
    assert!(found.record.is_some() && found.not_looked_at.contains(&SignOutScopeKind::Session));
}

#[test]
fn an_alias_ends_the_accounts_that_have_it_and_no_other() {
    let (_machine, store) = store();
    let alias = Alias::new(AliasKind::Email, "A@Example.com").unwrap();
    for number in [1, 2] {
        store.sign_in(sign_in(number).alias(alias.clone())).unwrap().put(refresh("rt")).unwrap();
    }
    store.sign_in(sign_in(1)).unwrap();
    store.sign_in(sign_in(3)).unwrap();
    let receipt = store.sign_out(SignOut::alias(&alias).counted().taking_refresh_tokens()).unwrap();
    assert_eq!((counted(&receipt), receipt.refresh_tokens.len()), ((2, 3), 2));
    let live: Vec<usize> =
        (1..=3).map(|number| store.account(&account(number)).unwrap().len()).collect();
    assert_eq!(live, [0, 0, 1]);
    // It is recorded by the accounts' own names.
    assert!(store.last_sign_out(&SignOutScope::Account(account(2))).unwrap().exact.is_some());
    store.wait_reclaimed().unwrap();
    let before = store.stats().unwrap().fences;
    let nobody = store.sign_out(SignOut::alias(&alias).counted()).unwrap();
    assert_eq!(
        (counted(&nobody), nobody.accounts, store.stats().unwrap().fences),
        ((0, 0), Some(0), before)
    );
}
