//! Who is signed out by which token, and what is answered.

use oubliette::logout::{Algorithm, Issuers, Receiver, Signal};
use oubliette::openid::Provider;
use oubliette::*;
use oubliette_testkit::provider::{CLIENT, EVENT, ISSUER, NOW, SigningProvider};
use serde_json::json;

use super::world::{CallbackFixture, OTHER, done, live, refused};

#[tokio::test]
async fn sub_only_ends_every_session_of_the_user() {
    let world = CallbackFixture::new();
    let jane = [Some("session-1"), Some("session-2"), None].map(|sid| world.sign_in("jane", sid));
    let joe = world.sign_in("joe", Some("session-3"));
    done(&world.post(&world.stub.claims().without("sid")).await);
    assert_eq!(live([&jane[0], &jane[1], &jane[2], &joe]), [false, false, false, true]);
    let told = world.told();
    assert_eq!(
        (told.len(), told[0].signal, told[0].session.is_none()),
        (1, Signal::BackChannel, true)
    );
    assert_eq!(told[0].subject.as_ref().unwrap().sub(), "jane");
}

#[tokio::test]
async fn sid_only_ends_the_account_of_the_session() {
    let world = CallbackFixture::new();
    let jane = [Some("session-1"), Some("session-2")].map(|sid| world.sign_in("jane", sid));
    let joe = world.sign_in("joe", Some("session-3"));
    done(&world.post(&world.stub.claims().without("sub")).await);
    assert_eq!(live([&jane[0], &jane[1], &joe]), [false, false, true]);
}

#[tokio::test]
async fn sid_and_sub_end_the_account_also_where_the_session_is_not_known() {
    let world = CallbackFixture::new();
    let jane = [Some("session-2"), None].map(|sid| world.sign_in("jane", sid));
    let joe = world.sign_in("joe", Some("session-3"));
    done(&world.post(&world.stub.claims()).await);
    assert_eq!(live([&jane[0], &jane[1], &joe]), [false, false, true]);
}

#[tokio::test]
async fn by_policy_only_the_session_ends_and_without_one_the_subject() {
    for in_store in [false, true] {
        let only = SessionPolicy::OnlySession;
        let mut world =
            CallbackFixture::with(
                |issuer| if in_store { issuer } else { issuer.session_policy(only) },
            );
        if in_store {
            let issuers = Issuers::new([world.stub.issuer()]).unwrap();
            world.fixture.store = world
                .machine
                .copy()
                .builder()
                .clock(world.clock.clone())
                .session_policy(only)
                .open()
                .unwrap();
            world.receiver = Receiver::new(world.store.clone(), issuers);
        }
        let jane = ["session-1", "session-2"].map(|sid| world.sign_in("jane", Some(sid)));
        done(&world.post(&world.stub.claims()).await);
        assert_eq!(live([&jane[0], &jane[1]]), [false, true]);
        done(&world.post(&world.stub.claims().without("sid")).await);
        assert_eq!(live([&jane[1]]), [false]);
    }
}

/// An account has sign-ins under several names: the widest signal takes them all.
#[tokio::test]
async fn sub_only_takes_the_account_whatever_its_sign_ins_are_named() {
    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", None);
    let account = jane.account().clone();
    let nameless =
        world.store.sign_in(SignIn::new(account, TenantId::new("imported").unwrap())).unwrap();
    let named = AccountId::new("our.directory", "42").unwrap();
    let of_directory = |sub: &str| {
        let subject = Subject::new(ISSUER, sub).unwrap();
        world
            .store
            .sign_in(SignIn::new(named.clone(), TenantId::new("t").unwrap()).subject(subject))
            .unwrap()
    };
    let mapped = [of_directory("jane"), of_directory("pairwise-of-jane")];
    world.advance(1);
    done(&world.post(&world.stub.claims().with("iat", NOW + 1).without("sid")).await);
    assert_eq!(live([&jane, &nameless, &mapped[0], &mapped[1]]), [false; 4]);
}

#[tokio::test]
async fn the_same_sid_and_sub_at_two_issuers_are_two() {
    let world = CallbackFixture::new();
    let here = world.sign_in("jane", Some("session-1"));
    let there =
        world.store.sign_in(world.other.sign_in("jane", Some("session-1"), NOW - 100)).unwrap();
    done(&world.post(&world.stub.claims()).await);
    assert_eq!(live([&here, &there]), [false, true]);
    // Nor does one sign for the other.
    let forged = world.stub.token(&world.stub.claims().with("iss", OTHER));
    refused(&world.post_token(&forged).await, "invalid_request");
    assert_eq!(live([&there]), [true]);
}

#[tokio::test]
async fn several_users_may_share_a_session() {
    let world = CallbackFixture::new();
    let both = ["jane", "joe"].map(|sub| world.sign_in(sub, Some("session-1")));
    done(&world.post(&world.stub.claims().without("sub")).await);
    assert_eq!(live([&both[0], &both[1]]), [false, false]);
}

#[tokio::test]
async fn nobody_there_is_a_success_too_and_is_recorded() {
    let world = CallbackFixture::new();
    let recorded = world.recorded();
    done(&world.post(&world.stub.claims()).await);
    assert!(world.recorded() > recorded);
    assert_eq!(world.told().len(), 1);
}

#[tokio::test]
async fn unknown_parameters_and_claims_are_ignored() {
    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", Some("session-1"));
    let token = world.stub.token(&world.stub.claims().with("unknown", json!({"a": [1]})));
    done(&world.post_body(&format!("a=b&logout_token={token}&logout_token_2=x&%ff=%00")).await);
    assert_eq!(live([&jane]), [false]);
}

#[tokio::test]
async fn what_is_no_form_with_one_token_is_refused() {
    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", Some("session-1"));
    let recorded = world.recorded();
    let token = world.stub.token(&world.stub.claims());
    let twice = format!("logout_token={token}&logout_token={token}");
    let long = format!("logout_token={token}&x={}", "y".repeat(16 * 1024));
    for body in [
        "",
        "logout_token",
        "logout_token=",
        "Logout_Token=x",
        "logout_token=a.b.c",
        &twice,
        &long,
        &token,
    ] {
        refused(&world.post_body(body).await, "invalid_request");
    }
    let body = format!("logout_token={token}");
    for content_type in ["application/json", "multipart/form-data; boundary=x", "text/plain", ""] {
        refused(
            &world.receiver.back_channel(None, Some(content_type), body.as_bytes()).await,
            "invalid_request",
        );
    }
    assert_eq!((live([&jane]), world.recorded(), world.told().len()), ([true], recorded, 0));
    // Some say nothing of it.
    done(&world.receiver.back_channel(None, None, body.as_bytes()).await);
    assert_eq!(live([&jane]), [false]);
}

/// Whoever cannot sign can have nothing recorded, and the app is not told.
#[tokio::test]
async fn what_is_forged_leaves_no_trace() {
    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", Some("session-1"));
    let recorded = world.recorded();
    let claims = world.stub.claims();
    let good = world.stub.token(&claims);
    let (input, _) = good.rsplit_once('.').unwrap();
    let mallory = SigningProvider::new(Algorithm::Es384);
    let forged = [
        mallory.token(&claims),
        format!("{input}."),
        format!("{input}.{}", "A".repeat(86)),
        mallory.sign(&world.stub.header(), &claims),
        world.other.sign(&world.stub.header(), &claims),
        world.stub.token(&claims.clone().with("iss", "https://evil.example.com")),
        world.stub.token(&claims.clone().with("aud", "another-app")),
        world.stub.token(
            &claims.clone().with("events", json!({"http://schemas.openid.net/event/foobar": {}})),
        ),
        world.stub.token(&claims.clone().with("nonce", "n")),
        world.stub.token(&claims.clone().with("exp", NOW - 3600)),
    ];
    for token in &forged {
        refused(&world.post_token(token).await, "invalid_request");
    }
    assert_eq!((live([&jane]), world.recorded(), world.told().len()), ([true], recorded, 0));
    done(&world.post_token(&good).await);
}

#[tokio::test]
async fn a_replay_does_nothing() {
    let world = CallbackFixture::new();
    let first = world.sign_in("jane", Some("session-1"));
    let token = world.stub.token(&world.stub.claims());
    done(&world.post_token(&token).await);
    assert_eq!((live([&first]), world.told().len()), ([false], 1));
    let recorded = world.recorded();
    // The user is back at once: within the skew, and by a clock that is behind.
    let second = world.sign_in_at("jane", Some("session-2"), NOW);
    for _ in 0..100 {
        done(&world.post_token(&token).await);
    }
    assert_eq!((live([&second]), world.told().len()), ([true], 0));
    assert_eq!(world.recorded(), recorded);
}

/// After a restart nobody remembers the token; the time in it protects.
#[tokio::test]
async fn a_replay_after_a_restart_ends_no_sign_in_beyond_the_skew() {
    let mut world = CallbackFixture::new();
    world.sign_in("jane", Some("session-1"));
    let token = world.stub.token(&world.stub.claims().with("exp", NOW + 3600));
    done(&world.post_token(&token).await);
    world.advance(300);
    let again = world.sign_in_at("jane", Some("session-2"), NOW + 61);
    drop(world.receiver);
    world.fixture = world.fixture.again(|machine| machine.cut_power(1));
    world.receiver =
        Receiver::new(world.fixture.store.clone(), Issuers::new([world.stub.issuer()]).unwrap());
    done(&world.post_token(&token).await);
    let again = world
        .store
        .resume(again.account(), again.id())
        .unwrap()
        .expect("the user signed in after the token was made");
    // Whereas one from before goes, however late the token comes.
    let older = world.sign_in_at("jane", Some("session-3"), NOW - 1);
    done(&world.post(&world.stub.claims().with("exp", NOW + 3600).with("jti", "another")).await);
    assert_eq!(live([&older, &again]), [false, true]);
}

#[tokio::test]
async fn the_end_of_the_second_counts_and_the_skew() {
    for (skew, iat, lives) in
        [(0, NOW, false), (0, NOW + 1, true), (5, NOW + 5, false), (5, NOW + 6, true)]
    {
        let world =
            CallbackFixture::with(|issuer| issuer.skew(std::time::Duration::from_secs(skew)));
        world.advance(100);
        let jane = world.sign_in_at("jane", Some("session-1"), iat);
        done(&world.post(&world.stub.claims()).await);
        assert_eq!(live([&jane]), [lives], "skew {skew}, iat {}", iat - NOW);
    }
}

#[tokio::test]
async fn offline_tokens_go_whatever_the_provider_says_of_them() {
    for events in [
        json!({EVENT: {}}),
        json!({EVENT: {}, "revoke_offline_access": true}),
        json!({EVENT: {}, "revoke_offline_access": false}),
    ] {
        let world = CallbackFixture::new();
        let jane = world.sign_in("jane", Some("session-1"));
        done(&world.post(&world.stub.claims().with("events", events)).await);
        assert_eq!(jane.refresh_token(&oubliette_testkit::accounts::client()).unwrap(), None);
    }
}

#[tokio::test]
async fn the_hook_gets_the_refresh_tokens_if_it_wants_them() {
    let world = CallbackFixture::new();
    let (told, receiver) = (world.told.clone(), world.receiver.clone().taking_refresh_tokens());
    world.sign_in("jane", Some("session-1"));
    let body = format!("logout_token={}", world.stub.token(&world.stub.claims()));
    done(&receiver.back_channel(None, None, body.as_bytes()).await);
    let receipt = told.lock().unwrap().pop().unwrap().receipt.unwrap();
    assert_eq!((receipt.refresh_tokens.len(), receipt.refresh_tokens_missed), (1, false));
    assert_eq!(receipt.refresh_tokens[0].secret.expose(), "rt");
}

#[tokio::test]
async fn an_issuer_with_a_route_of_its_own_is_taken_there_alone() {
    let stub = SigningProvider::new(Algorithm::EdDsa);
    let other = SigningProvider::at(Algorithm::Es256, Provider::generic(OTHER).unwrap(), OTHER);
    let issuers = Issuers::new([stub.issuer().named("contoso"), other.issuer()]).unwrap();
    let world = CallbackFixture::of(stub, other, issuers);
    let jane = world.sign_in("jane", Some("session-1"));
    let body = format!("logout_token={}", world.stub.token(&world.stub.claims()));
    for route in [None, Some("fabrikam"), Some("")] {
        refused(
            &world.receiver.back_channel(route, None, body.as_bytes()).await,
            "invalid_request",
        );
    }
    let others = format!("logout_token={}", world.other.token(&world.other.claims()));
    refused(
        &world.receiver.back_channel(Some("contoso"), None, others.as_bytes()).await,
        "invalid_request",
    );
    assert_eq!(live([&jane]), [true]);
    done(&world.receiver.back_channel(Some("contoso"), None, body.as_bytes()).await);
    assert_eq!(live([&jane]), [false]);
}

/// A token for another client of the same provider is not ours to obey; for one of several of ours
/// it is.
#[tokio::test]
async fn every_client_of_ours_is_an_audience() {
    let world = CallbackFixture::with(|issuer| issuer.client(ClientId::new("mobile").unwrap()));
    for (aud, is_ours) in [
        (json!("mobile"), true),
        (json!(["x", CLIENT]), true),
        (json!("x"), false),
        (json!([]), false),
    ] {
        let jane = world.sign_in("jane", None);
        let answer = world
            .post(&world.stub.claims().with("aud", aud.clone()).with("jti", aud.to_string()))
            .await;
        assert_eq!((answer.status() == 200, live([&jane])), (is_ours, [!is_ours]), "{aud}");
    }
}

/// A provider that signs names without end has not the whole ledger to itself.
#[tokio::test]
async fn beyond_a_budget_only_what_ends_somebody_is_recorded() {
    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", Some("session-of-jane"));
    let claims = |sub: &str| world.stub.claims().without("sid").with("sub", sub);
    for number in 0..510 {
        done(&world.post(&claims(&format!("user-{number}"))).await);
    }
    let recorded = world.recorded();
    for number in 0..50 {
        done(&world.post(&claims(&format!("nobody-{number}"))).await);
    }
    assert_eq!(world.recorded(), recorded);
    done(&world.post(&claims("jane")).await);
    assert!(world.recorded() > recorded && live([&jane]) == [false]);
}
