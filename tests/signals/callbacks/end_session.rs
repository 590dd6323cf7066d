//! The user signs out here, goes to the provider, and comes back.

use std::collections::HashMap;

use openidconnect::url::Url;
use oubliette::logout::{EndSession, Ended, Signal};
use oubliette::*;
use oubliette_testkit::provider::{CLIENT, NOW};

use super::world::{CallbackFixture, done, header, live};

const END: &str = "https://login.example.com/end?tenant=contoso";
const BACK: &str = "https://app.example.com/logout/done";

fn world() -> CallbackFixture {
    CallbackFixture::with(|issuer| issuer.end_session_endpoint(END))
}

fn signed_in(world: &CallbackFixture, sub: &str, sid: Option<&str>) -> AsyncSignIn {
    let live = world.sign_in(sub, sid);
    live.put(IdToken::new(ClientId::new(CLIENT).unwrap(), "the.id.token")).unwrap();
    live.into()
}

fn parameters(ended: &Ended) -> HashMap<String, String> {
    Url::parse(ended.url().unwrap()).unwrap().query_pairs().into_owned().collect()
}

#[tokio::test]
async fn she_is_signed_out_here_before_she_is_sent_on() {
    let world = world();
    let (one, other) = (
        signed_in(&world, "jane", Some("session-1")),
        signed_in(&world, "jane", Some("session-2")),
    );
    let joe = world.sign_in("joe", None);
    let recorded = world.recorded();
    let request =
        EndSession::new().back_to(BACK).logout_hint("jane@contoso.example").ui_locales("de en");
    let ended = world.receiver.sign_out(&one, request).await.unwrap();
    assert_eq!(live([one.blocking(), other.blocking(), &joe]), [false, false, true]);
    assert_eq!((ended.receipt().position, world.recorded()), (recorded + 1, recorded + 1));
    assert!(ended.url().unwrap().starts_with(END), "the endpoint's own query stays");
    let asked = parameters(&ended);
    let expected = [
        ("tenant", "contoso"),
        ("id_token_hint", "the.id.token"),
        ("client_id", CLIENT),
        ("logout_hint", "jane@contoso.example"),
        ("post_logout_redirect_uri", BACK),
        ("state", ended.state()),
        ("ui_locales", "de en"),
    ];
    assert_eq!(asked, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let told = world.told();
    assert_eq!(
        (told.len(), told[0].signal, told[0].accounts.as_slice()),
        (1, Signal::RpInitiated, std::slice::from_ref(one.account()))
    );
    assert!(!format!("{ended:?}").contains("id.token"));
}

#[tokio::test]
async fn one_browser_alone_can_be_meant() {
    let world = world();
    let (one, other) = (
        signed_in(&world, "jane", Some("session-1")),
        signed_in(&world, "jane", Some("session-2")),
    );
    let _ = world.receiver.sign_out(&one, EndSession::new().only_this_session()).await.unwrap();
    assert_eq!(live([one.blocking(), other.blocking()]), [false, true]);
    // Of a sign-in without a session the account goes.
    let nameless = signed_in(&world, "jane", None);
    let _ =
        world.receiver.sign_out(&nameless, EndSession::new().only_this_session()).await.unwrap();
    assert_eq!(live([nameless.blocking(), other.blocking()]), [false, false]);
}

#[tokio::test]
async fn a_hint_that_is_too_long_is_left_out() {
    let world = world();
    let jane = signed_in(&world, "jane", None);
    let ended = world.receiver.sign_out(&jane, EndSession::new().longest_hint(11)).await.unwrap();
    assert_eq!(ended.url(), Some(format!("{END}&client_id={CLIENT}").as_str()));
}

/// IIS refuses a query of more than 2048 bytes.
#[tokio::test]
async fn a_query_stays_below_what_servers_take_and_loses_the_hint_first() {
    let world = world();
    let sent = async |token: usize, request: EndSession| {
        let jane = world.sign_in("jane", None);
        jane.put(IdToken::new(ClientId::new(CLIENT).unwrap(), "x".repeat(token))).unwrap();
        let ended = world.receiver.sign_out(&jane.into(), request.back_to(BACK)).await.unwrap();
        (ended.url().unwrap().split_once('?').unwrap().1.len(), parameters(&ended))
    };
    let (shortest, _) = sent(1, EndSession::new()).await;
    let longest = 2048 - shortest + 1;
    let (length, asked) = sent(longest, EndSession::new()).await;
    assert_eq!((length, asked.get("id_token_hint").map(String::len)), (2048, Some(longest)));
    let (length, asked) = sent(longest + 1, EndSession::new()).await;
    assert!(length < 2048 && !asked.contains_key("id_token_hint"), "{asked:?}");
    assert_eq!(
        (asked["client_id"].as_str(), asked["post_logout_redirect_uri"].as_str()),
        (CLIENT, BACK)
    );
    // Where the provider takes more, the hint's own limit counts.
    for (token, has_hint) in [(4096, true), (4097, false)] {
        let (_, asked) = sent(token, EndSession::new().longest_query(8192)).await;
        assert_eq!(asked.contains_key("id_token_hint"), has_hint);
    }
}

#[tokio::test]
async fn what_the_endpoint_has_already_stands_once() {
    let world = CallbackFixture::with(|issuer| {
        issuer.end_session_endpoint(format!("{END}&client_id=old&state=fixed&ui_locales=fr"))
    });
    let jane = signed_in(&world, "jane", None);
    let ended = world.receiver.sign_out(&jane, EndSession::new().back_to(BACK)).await.unwrap();
    let url = Url::parse(ended.url().unwrap()).unwrap();
    let asked: Vec<_> = url.query_pairs().into_owned().collect();
    let expected = [
        ("tenant", "contoso"),
        ("ui_locales", "fr"),
        ("id_token_hint", "the.id.token"),
        ("client_id", CLIENT),
        ("post_logout_redirect_uri", BACK),
        ("state", ended.state()),
    ];
    assert_eq!(asked, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    // Without an ID token, whose client it must be, the address knows better than a guess, but not
    // than the app.
    let client = async |request: EndSession| {
        let nameless = world.sign_in("joe", None);
        parameters(&world.receiver.sign_out(&nameless.into(), request).await.unwrap())["client_id"]
            .clone()
    };
    assert_eq!(client(EndSession::new()).await, "old");
    assert_eq!(client(EndSession::new().client(ClientId::new("other").unwrap())).await, "other");
}

#[tokio::test]
async fn without_a_known_provider_she_is_signed_out_here_only() {
    let world = CallbackFixture::new();
    for sub in ["jane", "joe"] {
        let live_there = if sub == "jane" {
            // Its issuer is known, but not where users sign out there.
            signed_in(&world, sub, None)
        } else {
            let subject = Subject::new("https://unknown.example.com", sub).unwrap();
            let sign_in = SignIn::new(
                oubliette_testkit::accounts::account(1),
                oubliette_testkit::accounts::tenant(1),
            )
            .subject(subject);
            world.store.sign_in(sign_in).unwrap().into()
        };
        let ended =
            world.receiver.sign_out(&live_there, EndSession::new().back_to(BACK)).await.unwrap();
        assert_eq!((ended.url(), live([live_there.blocking()])), (None, [false]));
        let answer = ended.answer("/signed-out");
        assert_eq!((answer.status(), header(&answer, "location")), (303, Some("/signed-out")));
        assert_eq!(header(&answer, "set-cookie"), None);
    }
}

#[tokio::test]
async fn what_the_provider_tells_meanwhile_is_harmless() {
    let world = world();
    let jane = signed_in(&world, "jane", Some("session-1"));
    let ended = world.receiver.sign_out(&jane, EndSession::new()).await.unwrap();
    drop(ended);
    // The signal comes by both channels, and the user has already signed in again when the second
    // comes.
    done(&world.post(&world.stub.claims()).await);
    let again = world.sign_in_at("jane", Some("session-2"), NOW);
    assert_eq!(world.get("iss=https://login.example.com&sid=session-1").await.status(), 200);
    done(&world.post(&world.stub.claims()).await);
    assert_eq!(live([&again]), [true]);
}

#[tokio::test]
async fn the_state_comes_back_with_her_or_not() {
    let world = world();
    let jane = signed_in(&world, "jane", None);
    let ended = world.receiver.sign_out(&jane, EndSession::new().back_to(BACK)).await.unwrap();
    let answer = ended.answer("/");
    assert_eq!((answer.status(), header(&answer, "location")), (303, ended.url()));
    let cookie = header(&answer, "set-cookie").unwrap();
    for flag in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=600"] {
        assert!(cookie.contains(flag), "{cookie}");
    }
    let (kept, state) = (cookie.split(';').next().unwrap(), ended.state());
    assert!(state.len() >= 22);
    assert!(Ended::is_expected_return(&format!("state={state}"), &format!("a=b; {kept}; c=d")));
    for (query, cookies) in [
        (String::new(), kept.to_owned()),
        ("state=".into(), kept.to_owned()),
        ("state=foreign".into(), kept.to_owned()),
        (format!("state={state}&state={state}"), kept.to_owned()),
        (format!("state={state}"), String::new()),
        (format!("state={state}"), kept.replace("__Host-", "")),
        ("state=".into(), "__Host-signing-out=".into()),
    ] {
        assert!(!Ended::is_expected_return(&query, &cookies), "{query} {cookies}");
    }
    // Another time it is another one.
    let jane = signed_in(&world, "jane", None);
    let other = world.receiver.sign_out(&jane, EndSession::new()).await.unwrap();
    assert_ne!(other.state(), state);
}

/// The tokens are gone; that the app failed at its own part does not keep the user signed in at the
/// provider.
#[tokio::test]
async fn a_hook_that_fails_does_not_hold_her_back() {
    let world = world();
    let jane = signed_in(&world, "jane", None);
    let receiver = world.receiver.clone().after_sign_out(|_| async { Err("down".into()) });
    let ended = receiver.sign_out(&jane, EndSession::new()).await.unwrap();
    assert_eq!(
        (ended.hook_error().unwrap().to_string().as_str(), ended.url().is_some()),
        ("down", true)
    );
    assert_eq!(live([jane.blocking()]), [false]);
}
