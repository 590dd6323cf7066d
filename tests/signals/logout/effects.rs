//! Whom a logout token ends: in a real store, with sign-ins as the provider's ID tokens make them.

use std::time::Duration;

use oubliette::logout::{Algorithm, LogoutToken};
use oubliette::openid::Provider;
use oubliette::*;
use oubliette_testkit::accounts::now;
use oubliette_testkit::provider::{ISSUER, NOW, SigningProvider, seconds};

fn stub() -> SigningProvider {
    SigningProvider::new(Algorithm::EdDsa)
}

fn store() -> (TokenStore, ManualClock) {
    let clock = ManualClock::new(now());
    (Machine::new().builder().clock(clock.clone()).open().unwrap(), clock)
}

fn sid_and_sub() -> LogoutToken {
    stub().accepts(&stub().claims())
}

fn sid_only() -> LogoutToken {
    stub().accepts(&stub().claims().without("sub"))
}

fn sub_only() -> LogoutToken {
    stub().accepts(&stub().claims().without("sid"))
}

/// Who of these still lives: jane's sign-in of the session, another one of jane, one without a
/// session or subject of its own, and john's.
fn left_by(token: &LogoutToken, policy: SessionPolicy) -> [bool; 4] {
    let (store, _) = store();
    let account = AccountId::of_subject(Subject::new(ISSUER, "jane").unwrap());
    let by_hand = SignIn::new(account, TenantId::new("t").unwrap()).signed_in_at(now());
    let lives = [
        stub().sign_in("jane", Some("session-1"), NOW - 10),
        stub().sign_in("jane", Some("session-2"), NOW - 10),
        by_hand,
        stub().sign_in("john", Some("session-3"), NOW - 10),
    ]
    .map(|sign_in| store.sign_in(sign_in).unwrap());
    store.sign_out(token.sign_out(policy)).unwrap();
    lives.map(|live| live.is_live().unwrap())
}

#[test]
fn the_whole_account_goes_however_the_user_is_named() {
    for token in [sid_and_sub(), sid_only(), sub_only()] {
        assert_eq!(left_by(&token, SessionPolicy::WholeAccount), [false, false, false, true]);
    }
}

#[test]
fn a_sign_in_without_session_and_subject_goes_with_its_account() {
    // As an app makes it that gives neither: no index leads to it, but the subject tells the
    // account.
    for (token, goes) in [(sid_and_sub(), true), (sub_only(), true), (sid_only(), false)] {
        let (store, _) = store();
        let account = AccountId::of_subject(Subject::new(ISSUER, "jane").unwrap());
        let live = store
            .sign_in(SignIn::new(account, TenantId::new("t").unwrap()).signed_in_at(now()))
            .unwrap();
        store.sign_out(token.sign_out(SessionPolicy::WholeAccount)).unwrap();
        assert_eq!(live.is_live().unwrap(), !goes);
    }
}

#[test]
fn only_the_session_goes_where_that_is_the_policy() {
    for token in [sid_and_sub(), sid_only()] {
        assert_eq!(left_by(&token, SessionPolicy::OnlySession), [false, true, true, true]);
    }
    // Without a session it is all of the subject's (Back-Channel Logout 1.0 §2.7).
    assert_eq!(left_by(&sub_only(), SessionPolicy::OnlySession), [false, false, true, true]);
}

#[test]
fn a_session_that_nobody_has_takes_the_subject_all_the_same() {
    let token = stub().accepts(&stub().claims().with("sid", "never seen"));
    assert_eq!(left_by(&token, SessionPolicy::WholeAccount), [false, false, false, true]);
}

#[test]
fn account_unknown() {
    let (store, _) = store();
    for token in [sid_and_sub(), sid_only(), sub_only()] {
        store.sign_out(token.sign_out(SessionPolicy::WholeAccount)).unwrap();
    }
}

#[test]
fn same_sid_at_two_issuers() {
    let (store, _) = store();
    let other = "https://other.example.com";
    let other = SigningProvider::at(Algorithm::EdDsa, Provider::generic(other).unwrap(), other);
    let ours = store.sign_in(stub().sign_in("jane", Some("session-1"), NOW)).unwrap();
    let theirs = store.sign_in(other.sign_in("jane", Some("session-1"), NOW)).unwrap();
    store.sign_out(sid_and_sub().sign_out(SessionPolicy::WholeAccount)).unwrap();
    assert!(!ours.is_live().unwrap() && theirs.is_live().unwrap());
}

#[test]
fn two_local_sessions_under_one_sid() {
    let (store, _) = store();
    let lives =
        [(); 2].map(|()| store.sign_in(stub().sign_in("jane", Some("session-1"), NOW)).unwrap());
    store.sign_out(sid_only().sign_out(SessionPolicy::OnlySession)).unwrap();
    assert!(lives.iter().all(|live| !live.is_live().unwrap()));
}

#[test]
fn replayed_jti() {
    // Whether it is a retry or somebody's copy: a sign-in that is newer stays.
    for token in [sid_and_sub(), sid_only(), sub_only()] {
        let (store, clock) = store();
        store.sign_out(token.sign_out(SessionPolicy::WholeAccount)).unwrap();
        clock.advance(seconds(90));
        let live = store.sign_in(stub().sign_in("jane", Some("session-1"), NOW + 61)).unwrap();
        store.sign_out(token.sign_out(SessionPolicy::WholeAccount)).unwrap();
        assert!(live.is_live().unwrap());
    }
}

#[test]
fn a_sign_in_from_before_the_token_goes_to_the_end_of_its_second_and_the_skew() {
    for (skew, iat, goes) in
        [(60, NOW + 60, true), (60, NOW + 61, false), (0, NOW, true), (0, NOW + 1, false)]
    {
        let (store, clock) = store();
        clock.advance(seconds(100));
        let live = store.sign_in(stub().sign_in("jane", Some("session-1"), iat)).unwrap();
        let token = stub()
            .verify_by(&stub().issuer().skew(seconds(skew)), &stub().token(&stub().claims()))
            .unwrap();
        store.sign_out(token.sign_out(SessionPolicy::WholeAccount)).unwrap();
        assert_eq!(live.is_live().unwrap(), !goes, "skew {skew}, signed in at {iat}");
    }
}

#[test]
fn a_token_ends_the_whole_second_that_it_is_from() {
    // Whichever of the two times has fractions, and whichever of them is later in that second.
    for (iat, millis) in [(1_800_000_000.0, 999), (1_800_000_000.25, 900), (1_800_000_000.999, 0)] {
        let (store, clock) = store();
        clock.advance(seconds(1));
        let sign_in = stub()
            .sign_in("jane", Some("session-1"), NOW)
            .signed_in_at(now() + Duration::from_millis(millis));
        let live = store.sign_in(sign_in).unwrap();
        let claims = stub().claims().with("iat", iat);
        let token =
            stub().verify_by(&stub().issuer().skew(seconds(0)), &stub().token(&claims)).unwrap();
        store.sign_out(token.sign_out(SessionPolicy::WholeAccount)).unwrap();
        assert!(!live.is_live().unwrap(), "{iat} {millis}");
    }
}

#[test]
fn an_okta_user_is_one_at_every_server_of_the_org() {
    let (store, _) = store();
    let org = "https://contoso.okta.com";
    let custom = "https://contoso.okta.com/oauth2/default";
    let at = |issuer: &str| {
        SigningProvider::at(Algorithm::EdDsa, Provider::okta(issuer).unwrap(), issuer)
    };
    let live = store.sign_in(at(custom).sign_in("00u1", None, NOW)).unwrap();
    let token = at(org).accepts(&at(org).claims().with("sub", "00u1").without("sid"));
    store.sign_out(token.sign_out(SessionPolicy::WholeAccount)).unwrap();
    assert!(!live.is_live().unwrap());
}

#[test]
fn a_refresh_in_flight_stores_nothing() {
    let (store, _) = store();
    let live = store.sign_in(stub().sign_in("jane", Some("session-1"), NOW)).unwrap();
    store.sign_out(sub_only().sign_out(SessionPolicy::WholeAccount)).unwrap();
    assert!(matches!(
        live.put([oubliette_testkit::accounts::refresh("late").into()]),
        Err(Error::SignedOut)
    ));
}
