//! The page in the provider's frame.

use oubliette::logout::{Algorithm, Issuers, Signal};
use oubliette::openid::Provider;
use oubliette::*;
use oubliette_testkit::provider::{ISSUER, NOW, SigningProvider};

use super::world::{CallbackFixture, OTHER, header, live};

const GUID: &str = "0a0b0c0d-0001-0002-0003-0a0b0c0d0e0f";

fn page(answer: &oubliette::logout::Answer, status: u16, ancestors: &str) {
    assert_eq!(
        (answer.status(), header(answer, "cache-control")),
        (status, Some("no-store")),
        "{answer:?}"
    );
    assert_eq!(header(answer, "content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(
        header(answer, "referrer-policy"),
        Some("no-referrer"),
        "the address names a session"
    );
    let policy = format!("default-src 'none'; frame-ancestors {ancestors}");
    assert_eq!(header(answer, "content-security-policy"), Some(policy.as_str()));
    assert_eq!(
        header(answer, "x-frame-options"),
        None,
        "it would forbid what the provider must do"
    );
}

#[tokio::test]
async fn iss_and_sid_end_the_account_of_the_session() {
    let world = CallbackFixture::new();
    let jane = ["session-1", "session-2"].map(|sid| world.sign_in("jane", Some(sid)));
    let joe = world.sign_in("joe", Some("session-3"));
    page(&world.get("iss=https%3A%2F%2Flogin.example.com&sid=session-1").await, 200, ISSUER);
    assert_eq!(live([&jane[0], &jane[1], &joe]), [false, false, true]);
    let told = world.told();
    assert_eq!((told.len(), told[0].signal), (1, Signal::FrontChannel));
    assert_eq!(told[0].session.as_ref().unwrap().sid(), "session-1");
}

#[tokio::test]
async fn by_policy_only_the_session_ends() {
    let world = CallbackFixture::with(|issuer| issuer.session_policy(SessionPolicy::OnlySession));
    let jane = ["session-1", "session-2"].map(|sid| world.sign_in("jane", Some(sid)));
    let _ = world.get("iss=https://login.example.com&sid=session-1").await;
    assert_eq!(live([&jane[0], &jane[1]]), [false, true]);
}

#[tokio::test]
async fn an_unknown_sid_does_nothing_at_all() {
    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", Some("session-1"));
    let recorded = world.recorded();
    let known = world.get("iss=https://other.example.com&sid=session-1").await;
    page(&known, 200, OTHER);
    let unknown = world.get("iss=https://login.example.com&sid=session-2").await;
    page(&unknown, 200, ISSUER);
    assert_eq!((live([&jane]), world.recorded(), world.told().len()), ([true], recorded, 0));
    // It looks as if there had been somebody.
    let real = world.get("iss=https://login.example.com&sid=session-1").await;
    assert_eq!(real, unknown);
    let recorded = world.recorded();
    for _ in 0..20 {
        assert_eq!(world.get("iss=https://login.example.com&sid=session-1").await, real);
    }
    assert_eq!((live([&jane]), world.recorded(), world.told().len()), ([false], recorded, 1));
}

#[tokio::test]
async fn what_names_no_session_is_refused_and_nobody_may_frame_it() {
    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", Some("session-1"));
    let recorded = world.recorded();
    let long = format!("iss=https://login.example.com&sid=session-1&x={}", "y".repeat(4096));
    for query in [
        "",
        "sid=session-1",
        "iss=https://login.example.com",
        "iss=https://login.example.com&sid=",
        "iss=https://login.example.com&sid=session-1&sid=session-1",
        "iss=https://login.example.com&iss=https://other.example.com&sid=session-1",
        "iss=https://login.example.com/&sid=session-1",
        "iss=https://evil.example.com&sid=session-1",
        "iss=&sid=session-1",
        "iss=https://login.example.com&sid=session-1%00",
        &long,
    ] {
        page(&world.get(query).await, 400, "'none'");
    }
    assert_eq!((live([&jane]), world.recorded()), ([true], recorded));
}

#[tokio::test]
async fn other_origins_may_frame_it_if_the_app_says_so() {
    let world =
        CallbackFixture::with(|issuer| issuer.frame_origin("https://login.contoso.example"));
    let ancestors = "https://login.example.com https://login.contoso.example";
    page(&world.get("iss=https://login.example.com&sid=x").await, 200, ancestors);
}

/// As Entra sends it: `sid` alone, whatever tenant the user signed in to, and whichever version of
/// the endpoint.
#[tokio::test]
async fn sid_without_iss_is_of_the_only_issuer() {
    for authority in ["organizations", "common", GUID] {
        let provider =
            Provider::entra(&format!("https://login.microsoftonline.com/{authority}/v2.0"))
                .unwrap();
        let stub = SigningProvider::at(Algorithm::EdDsa, provider, "");
        let issuers = Issuers::new([stub.issuer()]).unwrap();
        let other = SigningProvider::at(Algorithm::Es256, Provider::generic(OTHER).unwrap(), OTHER);
        let world = CallbackFixture::of(stub, other, issuers);
        for iss in [
            format!("https://login.microsoftonline.com/{GUID}/v2.0"),
            format!("https://sts.windows.net/{GUID}/"),
        ] {
            let claims = serde_json::json!({"iss": iss, "sub": "pairwise", "aud": "web", "exp": NOW + 300, "iat": NOW - 100,
                "oid": "0a0b0c0d-0004-0005-0006-0a0b0c0d0e0f", "tid": GUID, "sid": "session-1"});
            let claims: openid::ProviderIdTokenClaims = serde_json::from_value(claims).unwrap();
            let live_there =
                world.store.sign_in(world.stub.provider.sign_in(&claims).unwrap()).unwrap();
            page(&world.get("sid=session-1").await, 200, "https://login.microsoftonline.com");
            assert_eq!(live([&live_there]), [false], "{authority} {iss}");
        }
        // By hand, under the issuer's own name.
        if authority == GUID {
            let session = SessionId::new(
                format!("https://login.microsoftonline.com/{GUID}/v2.0"),
                "session-2",
            )
            .unwrap();
            let by_hand = SignIn::new(
                oubliette_testkit::accounts::account(1),
                oubliette_testkit::accounts::tenant(1),
            )
            .session(session);
            let by_hand = world.store.sign_in(by_hand).unwrap();
            assert_eq!(world.get("sid=session-2").await.status(), 200);
            assert_eq!(live([&by_hand]), [false]);
        }
    }
}

/// As LemonLDAP::NG 2.16.1 sends it: the user's name in place of a `sid`, and no `sid` in ID
/// tokens.
#[tokio::test]
async fn a_name_in_place_of_the_sid_ends_the_users_sign_ins_if_the_app_says_so() {
    let query = "iss=https://login.example.com&sid=jane";
    for policy in [SessionPolicy::WholeAccount, SessionPolicy::OnlySession] {
        let world = CallbackFixture::with(|issuer| {
            issuer.front_channel_sid_is_sub().session_policy(policy)
        });
        let (jane, joe) = ([0, 1].map(|_| world.sign_in("jane", None)), world.sign_in("joe", None));
        let recorded = world.recorded();
        let nobody = world.get("iss=https://login.example.com&sid=jim").await;
        assert_eq!((world.recorded(), world.told().len()), (recorded, 0));
        let done = world.get(query).await;
        assert_eq!(
            (live([&jane[0], &jane[1], &joe]), &done),
            ([false, false, true], &nobody),
            "{policy:?}"
        );
        let told = world.told();
        assert_eq!((told.len(), told[0].subject.as_ref().map(Subject::sub)), (1, Some("jane")));
        // A provider of that kind that has real ones, too.
        let jill = world.sign_in("jill", Some("session-1"));
        assert_eq!(world.get("iss=https://login.example.com&sid=session-1").await, done);
        assert_eq!(live([&jill, &joe]), [false, true]);
    }
    // Otherwise a name is no secret that ends anything.
    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", None);
    assert_eq!((world.get(query).await.status(), live([&jane])), (200, [true]));
}

#[tokio::test]
async fn an_issuer_with_a_route_of_its_own_needs_no_iss_there() {
    let stub = SigningProvider::new(Algorithm::EdDsa);
    let other = SigningProvider::at(Algorithm::Es256, Provider::generic(OTHER).unwrap(), OTHER);
    let issuers = Issuers::new([stub.issuer().named("contoso"), other.issuer()]).unwrap();
    let world = CallbackFixture::of(stub, other, issuers);
    let jane = world.sign_in("jane", Some("session-1"));
    for (route, query) in [
        (None, "sid=session-1"),
        (None, "sid=session-1&iss=https://login.example.com"),
        (Some("contoso"), "sid=session-1&iss=https://other.example.com"),
        (Some("fabrikam"), "sid=session-1"),
    ] {
        let _ = world.receiver.front_channel(route, query).await;
        assert_eq!(live([&jane]), [true], "{route:?} {query}");
    }
    assert_eq!(world.receiver.front_channel(Some("contoso"), "sid=session-1").await.status(), 200);
    assert_eq!(live([&jane]), [false]);
}

/// The web sessions that are bound to the sign-in end with it: no cookie is needed, none could come
/// from within a frame.
#[tokio::test]
async fn the_web_session_ends_with_it() {
    use ::tower_sessions::Session;
    use oubliette_tower_sessions::{OublietteSessions, bind, bound};
    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", Some("session-1"));
    let sessions = std::sync::Arc::new(OublietteSessions::new(world.store.clone()));
    let session = Session::new(None, sessions.clone(), None);
    bind(&session, &jane).await.unwrap();
    session.save().await.unwrap();
    assert!(bound(&session, &world.store).await.unwrap().is_some());
    let id = session.id();
    let _ = world.get("iss=https://login.example.com&sid=session-1").await;
    let again = Session::new(id, sessions, None);
    assert!(bound(&again, &world.store).await.unwrap().is_none());
}

/// A row that does not open may be of the session: it counts, once.
#[tokio::test]
async fn what_cannot_be_read_is_ended_once() {
    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", Some("session-1"));
    let mut rows = world.machine.rows();
    let key = rows
        .keys()
        .find(|key| key.windows(16).any(|part| part == jane.id()))
        .expect("the row of the sign-in")
        .clone();
    rows.get_mut(&key).unwrap()[20] ^= 1;
    world.machine.set_rows(rows);
    let recorded = world.recorded();
    for _ in 0..20 {
        assert_eq!(world.get("iss=https://login.example.com&sid=session-1").await.status(), 200);
    }
    assert!(
        (recorded + 1..=recorded + 2).contains(&world.recorded()),
        "{recorded} {}",
        world.recorded()
    );
}
