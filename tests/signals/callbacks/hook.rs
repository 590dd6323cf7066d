//! What the app's hook learns of a sign-out, so that it ends what it should of its own, and nothing
//! else.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use oubliette::logout::{EndSession, Issuers, Receiver, SignOutError, SignOutRoutes, SignedOut};
use oubliette::*;
use oubliette_testkit::provider::{EVENT, NOW, at};
use serde_json::json;
use tower::ServiceExt as _;

use super::world::{CallbackFixture, done, header, live, refused};

const GET: &str = "iss=https://login.example.com&sid=session-1";

/// A receiver whose hook writes down what it is told, and fails so often.
fn telling(world: &CallbackFixture, failures: usize) -> (Receiver, Arc<Mutex<Vec<SignedOut>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let issuers = Issuers::new([world.stub.issuer()]).unwrap();
    let receiver = Receiver::new(world.store.clone(), issuers).after_sign_out(move |signed_out| {
        let mut told = tell.lock().unwrap();
        told.push(signed_out);
        let is_failing = told.len() <= failures;
        async move { if is_failing { Err("the app's own database is down".into()) } else { Ok(()) } }
    });
    (receiver, told)
}

/// The retry of a sign-out comes when the user is back already: the store spares their new sign-in
/// by the cutoff, so the hook has to know it.
#[tokio::test]
async fn it_knows_until_when_one_must_have_signed_in_also_at_a_retry() {
    let world = CallbackFixture::new();
    world.sign_in("jane", Some("session-1"));
    let (receiver, told) = telling(&world, 1);
    let body = format!("logout_token={}", world.stub.token(&world.stub.claims()));
    world.advance(2);
    refused(&receiver.back_channel(None, None, body.as_bytes()).await, "server_error");
    world.advance(88);
    let again = world.sign_in_at("jane", Some("session-2"), NOW + 90);
    done(&receiver.back_channel(None, None, body.as_bytes()).await);
    assert_eq!(live([&again]), [true]);
    // The end of the token's second, and what the clocks may differ by.
    let cutoff = at(NOW + 60) + Duration::from_millis(999);
    let told = told.lock().unwrap();
    assert_eq!(
        told.iter().map(|one| one.signed_in_before).collect::<Vec<_>>(),
        [Some(cutoff), Some(cutoff)]
    );
    assert!(again.signed_in_at() > cutoff);
}

/// Whatever the store does or does not have to do.
#[tokio::test]
async fn it_knows_the_cutoff_whatever_became_of_the_tokens() {
    let claims =
        |world: &CallbackFixture| world.stub.claims().with("iat", NOW - 7200).with("exp", NOW + 60);
    let cutoff = Some(at(NOW - 7200 + 60) + Duration::from_millis(999));
    // Nobody to end, and too old to be recorded.
    let world = CallbackFixture::new();
    done(&world.post(&claims(&world)).await);
    assert_eq!(world.told().pop().unwrap().signed_in_before, cutoff);
    // The store fails, then is poisoned.
    let world = CallbackFixture::new();
    world.sign_in_at("jane", Some("session-1"), NOW - 7300);
    world.machine.set_failing_syncs(true);
    refused(&world.post(&claims(&world)).await, "server_error");
    world.machine.set_failing_syncs(false);
    refused(&world.post(&claims(&world)).await, "server_error");
    assert!(world.told().iter().all(|one| one.signed_in_before == cutoff && one.receipt.is_none()));
    // The engine has failed: a part is done, and then a retry.
    let world = CallbackFixture::new();
    let jane = world.sign_in_at("jane", Some("session-1"), NOW - 7300);
    world.machine.set_failing_engine(true);
    assert!(jane.put(RefreshToken::new(oubliette_testkit::accounts::client(), "x")).is_err());
    for _ in 0..2 {
        refused(&world.post(&claims(&world)).await, "server_error");
    }
    let told = world.told();
    assert_eq!(told.iter().map(|one| one.signed_in_before).collect::<Vec<_>>(), [cutoff, cutoff]);
    assert!(told.iter().all(|one| one.accounts.is_empty()));
    // Those without a time in them end everybody.
    let world = CallbackFixture::new();
    world.sign_in("jane", Some("session-1"));
    let _ = world.get(GET).await;
    let joe = AsyncSignIn::from(world.sign_in("joe", None));
    let _ = world.receiver.sign_out(&joe, EndSession::new()).await.unwrap();
    assert_eq!(
        world.told().iter().map(|one| one.signed_in_before).collect::<Vec<_>>(),
        [None, None]
    );
}

/// A `sid` alone tells an app nothing whose sessions go by account.
#[tokio::test]
async fn it_knows_the_accounts_that_end() {
    let world = CallbackFixture::new();
    let both = ["jane", "joe"].map(|sub| world.sign_in(sub, Some("session-1")));
    let other = world.sign_in("jim", Some("session-2"));
    let mut expected: Vec<_> = both.iter().map(|one| one.account().clone()).collect();
    expected.sort_by_key(|account| account.subject().map(|subject| subject.sub().to_owned()));
    let accounts = |told: Vec<SignedOut>| {
        assert_eq!(told.len(), 1);
        let mut accounts = told[0].accounts.clone();
        accounts.sort_by_key(|account| account.subject().map(|subject| subject.sub().to_owned()));
        accounts
    };
    done(&world.post(&world.stub.claims().without("sub")).await);
    assert_eq!((accounts(world.told()), live([&other])), (expected.clone(), [true]));
    for sub in ["jane", "joe"] {
        world.sign_in_at(sub, Some("session-3"), NOW);
    }
    let _ = world.get("iss=https://login.example.com&sid=session-3").await;
    assert_eq!(accounts(world.told()), expected);
    // By subject, and from here.
    done(&world.post(&world.stub.claims().without("sid").with("sub", "jim")).await);
    assert_eq!(accounts(world.told()), [other.account().clone()]);
    let jack = world.sign_in("jack", Some("session-4"));
    let _ =
        world.receiver.sign_out(&AsyncSignIn::from(jack.clone()), EndSession::new()).await.unwrap();
    assert_eq!(accounts(world.told()), [jack.account().clone()]);
}

/// The account does not end, so an app that goes by it must not end the other browsers.
#[tokio::test]
async fn it_is_told_of_no_account_where_only_a_session_ends() {
    let world = CallbackFixture::with(|issuer| issuer.session_policy(SessionPolicy::OnlySession));
    let jane = ["session-1", "session-2", "session-3"].map(|sid| world.sign_in("jane", Some(sid)));
    done(&world.post(&world.stub.claims()).await);
    let _ = world.get("iss=https://login.example.com&sid=session-2").await;
    let third = AsyncSignIn::from(jane[2].clone());
    let _ = world.receiver.sign_out(&third, EndSession::new().only_this_session()).await.unwrap();
    let told = world.told();
    assert_eq!((told.len(), live([&jane[0], &jane[1], &jane[2]])), (3, [false; 3]));
    assert!(told.iter().all(|one| one.accounts.is_empty() && one.session.is_some()), "{told:?}");
}

#[tokio::test]
async fn it_knows_whether_the_provider_revokes_offline_access() {
    let world = CallbackFixture::new();
    let mut seen = Vec::new();
    for (number, event) in
        [json!({"revoke_offline_access": true}), json!({"revoke_offline_access": false})]
            .into_iter()
            .enumerate()
    {
        // Keycloak has it beside the event's name.
        let mut events = event;
        events[EVENT] = json!({});
        let claims = world.stub.claims().with("events", events).with("jti", number);
        done(&world.post(&claims).await);
        seen.extend(world.told().iter().map(|one| one.revokes_offline_access));
    }
    done(&world.post(&world.stub.claims()).await);
    seen.extend(world.told().iter().map(|one| one.revokes_offline_access));
    assert_eq!(seen, [true, false, false]);
}

/// A request without a proof takes no refresh tokens out of the store, to be revoked at the
/// provider.
#[tokio::test]
async fn the_front_channel_takes_no_refresh_tokens() {
    let world = CallbackFixture::new();
    let (receiver, told) = telling(&world, 0);
    let receiver = receiver.taking_refresh_tokens();
    let jane = world.sign_in("jane", Some("session-1"));
    assert_eq!(receiver.front_channel(None, GET).await.status(), 200);
    let receipt = told.lock().unwrap().pop().unwrap().receipt.unwrap();
    assert_eq!((live([&jane]), receipt.refresh_tokens.len()), ([false], 0));
}

#[tokio::test]
async fn who_signs_out_here_gets_her_refresh_tokens_if_it_is_said() {
    let world = CallbackFixture::new();
    for takes in [false, true] {
        let jane = AsyncSignIn::from(world.sign_in("jane", Some("session-1")));
        let request =
            if takes { EndSession::new().taking_refresh_tokens() } else { EndSession::new() };
        let ended = world.receiver.sign_out(&jane, request).await.unwrap();
        let tokens: Vec<_> =
            ended.receipt().refresh_tokens.iter().map(|token| token.secret.expose()).collect();
        assert_eq!(tokens, ["rt"][..usize::from(takes)]);
        // The hook has the same receipt.
        assert_eq!(world.told().pop().unwrap().receipt.as_ref(), Some(ended.receipt()));
        assert_eq!(live([jane.blocking()]), [false]);
    }
}

/// It is durable then, but nobody can say so: the user is told to sign out again, and not sent on.
#[tokio::test]
async fn a_hook_that_panics_interrupts_a_sign_out_from_here() {
    let world = CallbackFixture::with(|issuer| {
        issuer.end_session_endpoint("https://login.example.com/end")
    });
    let jane = world.sign_in("jane", Some("session-1"));
    let receiver = world.receiver.clone().after_sign_out(|signed_out| async move {
        assert!(signed_out.receipt.is_none(), "a mistake of the app's");
        Ok(())
    });
    let result = receiver.sign_out(&AsyncSignIn::from(jane.clone()), EndSession::new()).await;
    assert!(matches!(result, Err(SignOutError::Interrupted)), "{result:?}");
    receiver.drain().await;
    drop((receiver, world.receiver));
    let fixture = world.fixture.again(|machine| machine.cut_power(1));
    assert!(fixture.store.account(jane.account()).unwrap().is_empty());
}

/// One receiver for the routes and for sign-outs from here: one hook, and one to wait for.
#[tokio::test]
async fn the_routes_of_a_receiver_have_its_hook_and_it_waits_for_them() {
    use futures::FutureExt as _;
    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", Some("session-1"));
    let router: axum::Router = SignOutRoutes::from(world.receiver.clone()).into();
    let post = |token: &str| {
        let request = axum::http::Request::post("/logout/back-channel")
            .body(axum::body::Body::from(format!("logout_token={token}")));
        router.clone().oneshot(request.unwrap())
    };
    let token = world.stub.token(&world.stub.claims());
    world.machine.set_holding_syncs(true);
    let posted = tokio::spawn(post(&token));
    let machine = world.machine.clone();
    tokio::task::spawn_blocking(move || machine.wait_held()).await.unwrap();
    posted.abort();
    assert!(posted.await.is_err());
    let mut drained = std::pin::pin!(world.receiver.drain());
    let is_idle = drained.as_mut().now_or_never().is_some();
    world.machine.set_holding_syncs(false);
    assert!(!is_idle, "a sign-out of the routes is under way");
    drained.await;
    assert_eq!((live([&jane]), world.told().len()), ([false], 1));
    assert_eq!(post(&token).await.unwrap().status().as_u16(), 200);
    assert_eq!(world.told().len(), 0, "they know of the same repeats");
}

/// The app is registered as two clients, with an address to come back to each.
#[tokio::test]
async fn the_client_that_is_said_is_the_one_she_signs_out_from() {
    let [web, mobile] = ["web", "mobile"].map(|client| ClientId::new(client).unwrap());
    let more = mobile.clone();
    let world = CallbackFixture::with(|issuer| {
        issuer.client(more).end_session_endpoint("https://login.example.com/end")
    });
    for (has_token, asked, expected) in [
        (false, None, "client_id=web"),
        (false, Some(mobile.clone()), "client_id=mobile"),
        (true, None, "id_token_hint=token.of.web&client_id=web"),
        (true, Some(web.clone()), "id_token_hint=token.of.web&client_id=web"),
        (true, Some(mobile.clone()), "client_id=mobile"),
    ] {
        let jane = world.sign_in("jane", None);
        if has_token {
            jane.put(IdToken::new(web.clone(), "token.of.web")).unwrap();
        }
        let request = asked.into_iter().fold(EndSession::new(), EndSession::client);
        let ended = world.receiver.sign_out(&AsyncSignIn::from(jane), request).await.unwrap();
        assert_eq!(ended.url(), Some(format!("https://login.example.com/end?{expected}").as_str()));
    }
    // Only the other has a token: without a word that one is it.
    let jane = world.sign_in("jane", None);
    jane.put(IdToken::new(mobile, "token.of.mobile")).unwrap();
    let ended = world.receiver.sign_out(&AsyncSignIn::from(jane), EndSession::new()).await.unwrap();
    assert_eq!(
        ended.url(),
        Some("https://login.example.com/end?id_token_hint=token.of.mobile&client_id=mobile")
    );
    assert_eq!(header(&ended.answer("/"), "location"), ended.url());
}
