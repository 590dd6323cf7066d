//! A provider that is known by more than one address: everything is filed under the first, and
//! whoever signs out by one signs out by all.

use oubliette::logout::{Algorithm, EndSession, Issuer, Issuers, Keys};
use oubliette::openid::Provider;
use oubliette::*;
use oubliette_testkit::provider::{CLIENT, ISSUER, NOW, SigningProvider};

use super::world::{CallbackFixture, OTHER, done, live, refused};

const SECOND: &str = "https://login.internal:8443/op";

fn known() -> Provider {
    Provider::generic(ISSUER).unwrap().also_known_as(SECOND).unwrap()
}

/// A world whose issuer is known by both names, in which ID tokens say this one.
fn world(iss: &str) -> CallbackFixture {
    let stub = SigningProvider::at(Algorithm::EdDsa, known(), iss);
    let other = SigningProvider::at(Algorithm::Es256, Provider::generic(OTHER).unwrap(), OTHER);
    let issuers = Issuers::new([
        stub.issuer().end_session_endpoint("https://login.example.com/end"),
        other.issuer(),
    ])
    .unwrap();
    CallbackFixture::of(stub, other, issuers)
}

/// One who signed in before the provider was known by both names, to an app that knew it by the
/// second alone.
fn from_before(world: &CallbackFixture) -> LiveSignIn {
    let before = SigningProvider::at(Algorithm::EdDsa, Provider::generic(SECOND).unwrap(), SECOND);
    let live = world.store.sign_in(before.sign_in("jane", Some("session-1"), NOW - 100)).unwrap();
    assert_eq!(live.session().unwrap().issuer(), SECOND);
    live
}

#[tokio::test]
async fn a_sign_in_under_a_second_address_is_filed_under_the_first() {
    let [first, second] = [ISSUER, SECOND].map(|iss| world(iss).sign_in("jane", Some("session-1")));
    assert_eq!((first.account(), first.tenant()), (second.account(), second.tenant()));
    assert_eq!((first.subject(), first.session()), (second.subject(), second.session()));
    assert_eq!(second.session(), Some(&SessionId::new(ISSUER, "session-1").unwrap()));
}

#[tokio::test]
async fn a_logout_token_under_either_address_ends_sign_ins_under_both() {
    for at_login in [ISSUER, SECOND] {
        for at_logout in [ISSUER, SECOND] {
            for without in ["sub", "sid", "unknown"] {
                let world = world(at_login);
                let (jane, joe, before) = (
                    world.sign_in("jane", Some("session-1")),
                    world.sign_in("joe", None),
                    from_before(&world),
                );
                done(
                    &world.post(&world.stub.claims().with("iss", at_logout).without(without)).await,
                );
                assert_eq!(
                    live([&jane, &before, &joe]),
                    [false, false, true],
                    "{at_login} {at_logout} {without}"
                );
                // The hook is told of the names that sign-ins have.
                let told = world.told();
                let (session, subject) = (told[0].session.as_ref(), told[0].subject.as_ref());
                assert!(
                    session.is_none_or(|session| session.issuer() == ISSUER)
                        && subject.is_none_or(|sub| sub.issuer() == ISSUER)
                );
            }
        }
    }
}

#[tokio::test]
async fn by_policy_a_session_ends_alone_under_both_addresses() {
    let stub = SigningProvider::at(Algorithm::EdDsa, known(), SECOND);
    let other = SigningProvider::at(Algorithm::Es256, Provider::generic(OTHER).unwrap(), OTHER);
    let issuers = Issuers::new([stub.issuer().session_policy(SessionPolicy::OnlySession)]).unwrap();
    let world = CallbackFixture::of(stub, other, issuers);
    let jane = ["session-1", "session-2"].map(|sid| world.sign_in("jane", Some(sid)));
    let before = from_before(&world);
    done(&world.post(&world.stub.claims().with("iss", ISSUER)).await);
    assert_eq!(live([&jane[0], &jane[1], &before]), [false, true, false]);
}

#[tokio::test]
async fn the_front_channel_under_either_address_ends_sign_ins_under_both() {
    for (at_login, at_logout) in [(ISSUER, SECOND), (SECOND, ISSUER), (SECOND, SECOND)] {
        let world = world(at_login);
        let (jane, before) = (world.sign_in("jane", Some("session-1")), from_before(&world));
        assert_eq!(world.get(&format!("iss={at_logout}&sid=session-1")).await.status(), 200);
        assert_eq!(live([&jane, &before]), [false, false], "{at_login} {at_logout}");
    }
}

#[tokio::test]
async fn who_signs_out_here_signs_out_under_both_addresses() {
    for only in [false, true] {
        for is_from_before in [false, true] {
            let world = world(SECOND);
            let (jane, before) = (world.sign_in("jane", Some("session-1")), from_before(&world));
            let request =
                if only { EndSession::new().only_this_session() } else { EndSession::new() };
            let this = if is_from_before { before.clone() } else { jane.clone() };
            let ended = world.receiver.sign_out(&this.into(), request).await.unwrap();
            // It is the provider's own, whichever name the sign-in has.
            assert_eq!(
                ended.url(),
                Some(format!("https://login.example.com/end?client_id={CLIENT}").as_str())
            );
            assert_eq!(live([&jane, &before]), [false, false], "{only} {is_from_before}");
            assert_eq!(world.told()[0].accounts.len(), if only { 0 } else { 2 });
        }
    }
}

#[tokio::test]
async fn a_second_address_means_nothing_to_an_issuer_that_was_not_told() {
    let world = CallbackFixture::new();
    let (jane, before) = (world.sign_in("jane", Some("session-1")), from_before(&world));
    refused(&world.post(&world.stub.claims().with("iss", SECOND)).await, "invalid_request");
    assert_eq!(world.get(&format!("iss={SECOND}&sid=session-1")).await.status(), 400);
    done(&world.post(&world.stub.claims()).await);
    assert_eq!(live([&jane, &before]), [false, true]);
}

#[tokio::test]
async fn an_issuer_can_be_told_alone() {
    // Nothing is fetched from there: it may be an address without TLS.
    for address in [SECOND, "http://keycloak:8080/realms/contoso"] {
        let world = CallbackFixture::with(|issuer| issuer.also_known_as(address));
        let jane = world.sign_in("jane", Some("session-1"));
        done(&world.post(&world.stub.claims().with("iss", address)).await);
        assert_eq!(live([&jane]), [false], "{address}");
    }
}

#[test]
fn one_address_is_of_one_issuer() {
    let issuer = |provider: Provider| {
        let jwks = SigningProvider::new(Algorithm::EdDsa).jwks();
        Issuer::new(provider, ClientId::new(CLIENT).unwrap(), Keys::fixed(&jwks).unwrap())
    };
    let generic = |iss: &str| Provider::generic(iss).unwrap();
    let entra = |host: &str, tenant: &str| {
        Provider::entra(&format!("https://{host}/{tenant}/v2.0")).unwrap()
    };
    let (guid, custom) = ("0a0b0c0d-0001-0002-0003-0a0b0c0d0e0f", "https://login.contoso.example/");
    let also = |provider: Provider, address: &str| provider.also_known_as(address).unwrap();
    for (one, other) in [
        (known(), generic(OTHER).also_known_as(SECOND).unwrap()),
        (known(), also(generic(OTHER), ISSUER)),
        (also(generic(OTHER), ISSUER), known()),
        (
            known(),
            Provider::keycloak("https://sso.example.com/realms/a")
                .unwrap()
                .also_known_as(SECOND)
                .unwrap(),
        ),
        // At Entra by its host; and an external tenant is one, by its name and by its id.
        (
            also(entra("contoso.b2clogin.com", guid), custom),
            also(entra("fabrikam.b2clogin.com", guid), custom),
        ),
        (also(entra("contoso.b2clogin.com", guid), custom), entra("login.contoso.example", guid)),
        (entra("contoso.ciamlogin.com", guid), entra(&format!("{guid}.ciamlogin.com"), guid)),
        (
            also(generic(OTHER), &format!("https://{guid}.ciamlogin.com/{guid}/v2.0")),
            entra("contoso.ciamlogin.com", guid),
        ),
    ] {
        for [one, other] in [[one.clone(), other.clone()], [other, one]] {
            let error = Issuers::new([issuer(one.clone()), issuer(other.clone())]).unwrap_err();
            assert!(
                matches!(error, Error::InvalidInput { field: "issuers", .. }),
                "{one:?} {other:?}"
            );
        }
    }
    // Those that file the same under it may share it, as two apps of one Entra tenant do.
    let shared = [
        entra("login.microsoftonline.com", "organizations"),
        entra("login.microsoftonline.com", guid),
    ];
    assert!(Issuers::new(shared.map(|provider| issuer(also(provider, custom)))).is_ok());
    assert!(Issuers::new([issuer(known()), issuer(generic(OTHER))]).is_ok());
    // What is no address is told like other settings.
    for address in [
        "",
        "login.example.com",
        "ftp://login.example.com",
        "https://login.example.com?x",
        "https://a@login.example.com",
    ] {
        let error = Issuers::new([issuer(generic(OTHER)).also_known_as(address)]).unwrap_err();
        assert!(matches!(error, Error::InvalidInput { field: "address", .. }), "{address}");
    }
}
