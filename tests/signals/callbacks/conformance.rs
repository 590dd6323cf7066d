//! The cases of the OpenID conformance suite's logout plans, each by its name there, and those that
//! the suite leaves out: as they come to the routes.
//!
//! As the suite has it, each token comes with a parameter and a claim that nobody knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, Response};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use oubliette::logout::{
    Algorithm, EndSession, Ended, HttpClient, HttpError, HttpFuture, Issuer, Issuers, Keys,
    SignOutRoutes,
};
use oubliette::*;
use oubliette_testkit::provider::{CLIENT, Claims, EVENT, ISSUER, NOW, SigningProvider};
use oubliette_testkit::signer::Signer;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::world::{CallbackFixture, live};

const FORM: &str = "application/x-www-form-urlencoded";
const BACK: &str = "/logout/back-channel";
const FRAME: &str = "/logout/front-channel?iss=https%3A%2F%2Flogin.example.com&sid=session-1";
const END: &str = "https://login.example.com/end";
const DONE: &str = "/logout/done";

fn router(world: &CallbackFixture) -> Router {
    Router::new().merge(SignOutRoutes::from(world.receiver.clone()).returned_at(DONE, "/"))
}

async fn send(
    world: &CallbackFixture,
    method: Method,
    uri: &str,
    content_type: &str,
    body: impl Into<Body>,
) -> Response<Body> {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", content_type)
        .body(body.into())
        .unwrap();
    router(world).oneshot(request).await.unwrap()
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    assert!(response.headers().get_all(name).iter().count() <= 1);
    response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

fn form(token: &str) -> String {
    format!("unknown=parameter&logout_token={token}")
}

/// Posts it as the suite does: the status and the body.
async fn post(world: &CallbackFixture, token: &str) -> (u16, String) {
    read(send(world, Method::POST, BACK, FORM, form(token)).await).await
}

async fn read(response: Response<Body>) -> (u16, String) {
    assert_eq!(header(&response, "cache-control"), "no-store");
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 4096).await.unwrap();
    (status, String::from_utf8(body.into()).unwrap())
}

/// 400 and a reason; nobody was signed out, nothing recorded, the app not told.
async fn refuses(world: &CallbackFixture, token: &str, error: &str) {
    let (jane, recorded) = (world.sign_in("jane", Some("session-1")), world.recorded());
    let (status, body) = post(world, token).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, body["error"].as_str()), (400, Some(error)), "{body}");
    assert_eq!((live([&jane]), world.recorded(), world.told().len()), ([true], recorded, 0));
}

async fn refuses_claims(claims: impl Fn(Claims) -> Claims) {
    let world = CallbackFixture::new();
    let claims = claims(world.stub.claims());
    assert!(claims.json().get("unknown").is_some());
    refuses(&world, &world.stub.token(&claims), "invalid_request").await;
    backchannel_accepts(&world).await;
}

/// That it was not refused for another reason.
async fn backchannel_accepts(world: &CallbackFixture) {
    let jane = world.sign_in("jane", Some("session-1"));
    let (status, body) = post(world, &world.stub.token(&world.stub.claims())).await;
    assert_eq!((status, body.as_str(), live([&jane])), (200, "", [false]));
}

#[tokio::test]
async fn backchannel_rpinitlogout() {
    let world = CallbackFixture::with(|issuer| issuer.end_session_endpoint(END));
    let (jane, other) =
        (world.sign_in("jane", Some("session-1")), world.sign_in("jane", Some("session-2")));
    let ended =
        world.receiver.sign_out(&AsyncSignIn::from(jane.clone()), EndSession::new()).await.unwrap();
    assert!(ended.url().is_some_and(|url| url.starts_with(END)));
    assert_eq!(post(&world, &world.stub.token(&world.stub.claims())).await, (200, String::new()));
    assert_eq!(live([&jane, &other]), [false, false]);
    // Not begun here, but at another app of the provider's.
    backchannel_accepts(&CallbackFixture::new()).await;
}

#[tokio::test]
async fn backchannel_alg_none() {
    let world = CallbackFixture::new();
    for alg in ["none", "None", "NONE"] {
        let header = json!({"alg": alg, "typ": "logout+jwt"});
        let signed = world.stub.sign(&header, &world.stub.claims());
        let (input, _) = signed.rsplit_once('.').unwrap();
        for token in [format!("{input}."), input.to_owned(), signed.clone()] {
            refuses(&world, &token, "invalid_request").await;
        }
    }
    backchannel_accepts(&world).await;
}

/// The provider's own keys, of both kinds, and one that this client does not use.
#[tokio::test]
async fn backchannel_wrong_alg() {
    for (right, wrong) in
        [(Algorithm::Rs256, Algorithm::Es256), (Algorithm::Es256, Algorithm::Rs256)]
    {
        let (stub, other) = (SigningProvider::new(right), SigningProvider::new(wrong));
        let keys = json!({"keys": [stub.signer.jwk(), other.signer.jwk()]}).to_string();
        let issuer = Issuer::new(
            stub.provider(),
            ClientId::new(CLIENT).unwrap(),
            Keys::fixed(keys.as_bytes()).unwrap(),
        );
        // RS256 is what is meant if nothing is said.
        let issuer = if right == Algorithm::Rs256 { issuer } else { issuer.algorithms([right]) };
        let token = other.token(&other.claims());
        let world = CallbackFixture::of(stub, other, Issuers::new([issuer]).unwrap());
        refuses(&world, &token, "invalid_request").await;
        backchannel_accepts(&world).await;
    }
}

#[tokio::test]
async fn backchannel_wrong_aud() {
    refuses_claims(|claims| claims.with("aud", format!("{CLIENT}INVALID"))).await;
}

#[tokio::test]
async fn backchannel_wrong_iss() {
    refuses_claims(|claims| claims.with("iss", format!("{ISSUER}INVALID"))).await;
}

#[tokio::test]
async fn backchannel_no_event() {
    refuses_claims(|claims| claims.without("events")).await;
    refuses_claims(|claims| claims.with("events", json!({}))).await;
}

#[tokio::test]
async fn backchannel_wrong_event() {
    let event = EVENT.replace("backchannel-logout", "foobar");
    refuses_claims(|claims| claims.with("events", json!({&event: {}}))).await;
}

#[tokio::test]
async fn backchannel_with_nonce() {
    refuses_claims(|claims| claims.with("nonce", "n-0S6_WzA2Mj")).await;
}

/// The frame of the provider's page, while the user signs out there.
async fn frame(world: &CallbackFixture) {
    let response = send(world, Method::GET, FRAME, FORM, "").await;
    assert!(
        header(&response, "content-security-policy")
            .ends_with(&format!("frame-ancestors {ISSUER}"))
    );
    assert_eq!(read(response).await.0, 200);
}

#[tokio::test]
async fn frontchannel_rpinitlogout() {
    let world = CallbackFixture::with(|issuer| issuer.end_session_endpoint(END));
    let jane = world.sign_in("jane", Some("session-1"));
    let request = EndSession::new().back_to("https://app.example.com/logout/done");
    let ended = world.receiver.sign_out(&AsyncSignIn::from(jane.clone()), request).await.unwrap();
    frame(&world).await;
    let back =
        send(&world, Method::GET, &format!("{DONE}?state={}", ended.state()), FORM, "").await;
    assert_eq!((back.status().as_u16(), header(&back, "location")), (303, "/"));
    assert_eq!((live([&jane]), world.told().len()), ([false], 1));
}

#[tokio::test]
async fn frontchannel_opinitlogout() {
    let world = CallbackFixture::new();
    let (jane, joe) =
        (world.sign_in("jane", Some("session-1")), world.sign_in("joe", Some("session-2")));
    frame(&world).await;
    assert_eq!((live([&jane, &joe]), world.told().len()), ([false, true], 1));
}

/// The provider tells of it by both channels at once, before our own sign-out is on the disk.
#[tokio::test]
async fn rp_init_logout() {
    let world = CallbackFixture::with(|issuer| issuer.end_session_endpoint(END));
    let jane = world.sign_in("jane", Some("session-1"));
    let token = world.stub.token(&world.stub.claims());
    world.machine.set_holding_syncs(true);
    let machine = world.machine.clone();
    let let_go = async {
        tokio::task::spawn_blocking(move || {
            machine.wait_held();
            machine.set_holding_syncs(false);
        })
        .await
        .unwrap();
    };
    let request = EndSession::new().back_to("https://app.example.com/logout/done");
    let signing_out = AsyncSignIn::from(jane.clone());
    let ours = world.receiver.sign_out(&signing_out, request);
    let (ended, posted, (), ()) = tokio::join!(ours, post(&world, &token), frame(&world), let_go);
    let ended = ended.unwrap();
    assert_eq!((posted, live([&jane])), ((200, String::new()), [false]));
    // Back in at once; what comes once more is of the sign-out that was.
    let again = world.sign_in_at("jane", Some("session-2"), NOW);
    assert_eq!(post(&world, &token).await.0, 200);
    frame(&world).await;
    let answer = ended.answer("/");
    let cookie = super::world::header(&answer, "set-cookie").unwrap();
    assert!(Ended::is_expected_return(
        &format!("state={}", ended.state()),
        cookie.split(';').next().unwrap()
    ));
    assert_eq!(live([&again]), [true]);
}

/// The user comes back in some other way than was asked for.
async fn comes_back(query: &str) {
    let world = CallbackFixture::with(|issuer| issuer.end_session_endpoint(END));
    let (jane, joe) =
        (world.sign_in("jane", Some("session-1")), world.sign_in("joe", Some("session-2")));
    let request = EndSession::new().back_to("https://app.example.com/logout/done");
    let ended = world.receiver.sign_out(&AsyncSignIn::from(jane.clone()), request).await.unwrap();
    let answer = ended.answer("/");
    let cookie = super::world::header(&answer, "set-cookie").unwrap().split(';').next().unwrap();
    assert!(!Ended::is_expected_return(query, cookie));
    let recorded = world.recorded();
    let back = send(&world, Method::GET, &format!("{DONE}?{query}"), FORM, "").await;
    assert_eq!((back.status().as_u16(), header(&back, "location")), (303, "/"));
    assert!(header(&back, "set-cookie").contains("Max-Age=0"));
    assert_eq!((live([&jane, &joe]), world.recorded()), ([false, true], recorded));
}

#[tokio::test]
async fn rp_init_logout_no_state() {
    comes_back("").await;
}

#[tokio::test]
async fn rp_init_logout_other_state() {
    comes_back("state=Zm9yZWlnbi1zdGF0ZS1mb3JlaWdu").await;
}

/// What is no request with one token changes nothing, whichever way it is wrong; its status.
async fn refuses_request(
    method: Method,
    uri: &str,
    content_type: &str,
    body: impl FnOnce(&str) -> String,
) -> u16 {
    let world = CallbackFixture::new();
    let (jane, recorded) = (world.sign_in("jane", Some("session-1")), world.recorded());
    let token = world.stub.token(&world.stub.claims());
    let response =
        send(&world, method, &uri.replace("TOKEN", &token), content_type, body(&token)).await;
    let (status, _) = read(response).await;
    assert_eq!((live([&jane]), world.recorded(), world.told().len()), ([true], recorded, 0));
    backchannel_accepts(&world).await;
    status
}

#[tokio::test]
async fn duplicate_logout_token() {
    let twice = |token: &str| format!("logout_token={token}&logout_token={token}");
    assert_eq!(refuses_request(Method::POST, BACK, FORM, twice).await, 400);
    let other = |token: &str| format!("logout%5Ftoken=x&logout_token={token}");
    assert_eq!(refuses_request(Method::POST, BACK, FORM, other).await, 400);
}

#[tokio::test]
async fn get_to_the_back_channel_url() {
    let uri = format!("{BACK}?logout_token=TOKEN");
    assert_eq!(refuses_request(Method::GET, &uri, FORM, form).await, 405);
    // Nor is it read from there when it is posted.
    assert_eq!(refuses_request(Method::POST, &uri, FORM, |_| String::new()).await, 400);
}

#[tokio::test]
async fn wrong_content_type() {
    for content_type in [
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/logout+jwt",
    ] {
        assert_eq!(
            refuses_request(Method::POST, BACK, content_type, form).await,
            400,
            "{content_type}"
        );
    }
    assert_eq!(refuses_request(Method::POST, BACK, "application/jwt", str::to_owned).await, 400);
}

#[tokio::test]
async fn oversized_body() {
    let padded = |bytes: usize| {
        move |token: &str| format!("{}&{}", form(token), "x".repeat(bytes - form(token).len() - 1))
    };
    assert_eq!(refuses_request(Method::POST, BACK, FORM, padded(16 * 1024 + 1)).await, 400);
    let world = CallbackFixture::new();
    let body = padded(16 * 1024)(&world.stub.token(&world.stub.claims()));
    assert_eq!(send(&world, Method::POST, BACK, FORM, body).await.status().as_u16(), 200);
}

/// A document that can be changed, and how often it was asked for.
struct Served(std::sync::Mutex<Vec<u8>>, AtomicUsize);

impl HttpClient for Served {
    fn get<'a>(&'a self, _: &'a str, _: usize) -> HttpFuture<'a> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let document = self.0.lock().unwrap().clone();
        Box::pin(async { Ok::<_, HttpError>(document) })
    }
}

/// A provider whose keys are fetched; for now another one than it signs with.
fn fetching(pace: impl FnOnce(Keys) -> Keys) -> (CallbackFixture, Arc<Served>, Signer) {
    let old = Signer::numbered(Algorithm::EdDsa, 1);
    let served = Arc::new(Served(std::sync::Mutex::new(old.jwks()), AtomicUsize::new(0)));
    let keys = pace(Keys::fetched("https://login.example.com/keys", served.clone()).unwrap());
    let stub = SigningProvider::new(Algorithm::EdDsa);
    let issuer = Issuer::new(stub.provider(), ClientId::new(CLIENT).unwrap(), keys)
        .algorithms([stub.algorithm]);
    (
        CallbackFixture::of(
            stub,
            SigningProvider::new(Algorithm::Es256),
            Issuers::new([issuer]).unwrap(),
        ),
        served,
        old,
    )
}

#[tokio::test]
async fn unknown_kid_then_refresh() {
    let (world, served, old) = fetching(|keys| keys.ask_again_after(Duration::ZERO));
    let fetches = || served.1.load(Ordering::Relaxed);
    let jane = world.sign_in("jane", Some("session-1"));
    // The keys are fetched before any token comes, and by the old one it signs for now.
    let first = old.sign(
        &old.header(),
        &world.stub.claims().with("sub", "joe").with("sid", "session-2").json(),
    );
    assert_eq!((post(&world, &first).await.0, fetches()), (200, 1));
    *served.0.lock().unwrap() = world.stub.jwks();
    assert_eq!(post(&world, &world.stub.token(&world.stub.claims())).await, (200, String::new()));
    assert_eq!((live([&jane]), fetches()), ([false], 2));
    assert_eq!(
        post(&world, &world.stub.token(&world.stub.claims().with("jti", "next"))).await.0,
        200
    );
    assert_eq!(fetches(), 2);
}

/// However many keys a stranger invents: one fetch in the interval, and who is genuine is heard
/// meanwhile.
#[tokio::test(start_paused = true)]
async fn unknown_kid_flood() {
    let (world, served, old) = fetching(|keys| keys);
    let fetches = || served.1.load(Ordering::Relaxed);
    let claims = world.stub.claims();
    let genuine = old.sign(&old.header(), &claims.json());
    assert_eq!((post(&world, &genuine).await.0, fetches()), (200, 1));
    let recorded = world.recorded();
    let token = |number: usize| {
        let header = json!({"alg": "EdDSA", "typ": "logout+jwt", "kid": format!("kid-{number}")});
        world.stub.sign(&header, &claims.clone().with("jti", number))
    };
    let flood = futures::future::join_all((0..200).map(|number| {
        let token = token(number);
        let world = &world;
        async move { post(world, &token).await.0 }
    }));
    let among = async {
        post(&world, &old.sign(&old.header(), &claims.clone().with("sub", "joe").json())).await
    };
    let (flood, among) = tokio::join!(flood, among);
    assert_eq!((flood, among.0), (vec![400; 200], 200));
    assert_eq!((fetches(), world.told().len()), (2, 2));
    assert!(world.recorded() > recorded);
}

#[tokio::test]
async fn encrypted() {
    let world = CallbackFixture::new();
    let text = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
    let header = text(br#"{"alg":"RSA-OAEP-256","enc":"A256GCM","typ":"logout+jwt","cty":"JWT"}"#);
    let token = format!(
        "{header}.{}.{}.{}.{}",
        text(&[1; 256]),
        text(&[2; 12]),
        text(&[3; 400]),
        text(&[4; 16])
    );
    refuses(&world, &token, "invalid_request").await;
    let (_, body) = post(&world, &token).await;
    assert!(body.contains("encrypted"), "the provider's administrator reads this: {body}");
}

#[tokio::test]
async fn missing_exp() {
    refuses_claims(|claims| claims.without("exp")).await;
}

/// As Hydra and LemonLDAP::NG send them: then the age counts, with the skew.
#[tokio::test]
async fn missing_exp_without_expiry_for() {
    for (iat, is_taken) in [(NOW, true), (NOW - 170, true), (NOW - 190, false)] {
        let world =
            CallbackFixture::with(|issuer| issuer.without_expiry_for(Duration::from_secs(120)));
        let token = world.stub.token(&world.stub.claims().without("exp").with("iat", iat));
        if is_taken {
            let jane = world.sign_in_at("jane", Some("session-1"), NOW - 300);
            assert_eq!((post(&world, &token).await.0, live([&jane])), (200, [false]));
        } else {
            refuses(&world, &token, "invalid_request").await;
        }
    }
    // Where there is one, it counts.
    let world = CallbackFixture::with(|issuer| issuer.without_expiry_for(Duration::from_secs(120)));
    refuses(
        &world,
        &world.stub.token(&world.stub.claims().with("exp", NOW - 61)),
        "invalid_request",
    )
    .await;
}

/// A provider that uses a `jti` twice loses no sign-out; the same token twice does nothing twice.
#[tokio::test]
async fn replayed_jti() {
    let world = CallbackFixture::new();
    let (jane, joe) =
        (world.sign_in("jane", Some("session-1")), world.sign_in("joe", Some("session-2")));
    let token = world.stub.token(&world.stub.claims());
    assert_eq!((post(&world, &token).await.0, live([&jane, &joe])), (200, [false, true]));
    let recorded = world.recorded();
    let again = world.sign_in_at("jane", Some("session-3"), NOW);
    assert_eq!(
        (post(&world, &token).await.0, live([&again]), world.recorded()),
        (200, [true], recorded)
    );
    let same_jti = world.stub.claims().with("sub", "joe").with("sid", "session-2");
    assert_eq!(post(&world, &world.stub.token(&same_jti)).await, (200, String::new()));
    assert_eq!((live([&again, &joe]), world.told().len()), ([true, false], 2));
}

#[tokio::test]
async fn account_unknown() {
    let world = CallbackFixture::new();
    let joe = world.sign_in("joe", Some("session-2"));
    assert_eq!(post(&world, &world.stub.token(&world.stub.claims())).await, (200, String::new()));
    assert_eq!((live([&joe]), world.told().len()), ([true], 1));
}

#[tokio::test]
async fn store_failing() {
    let world = CallbackFixture::new();
    let _jane = world.sign_in("jane", Some("session-1"));
    world.machine.set_failing_syncs(true);
    for _ in 0..2 {
        let (status, body) = post(&world, &world.stub.token(&world.stub.claims())).await;
        assert_eq!((status, body.contains("server_error")), (400, true), "{body}");
    }
    assert_eq!(read(send(&world, Method::GET, FRAME, FORM, "").await).await.0, 503);
}

/// Good, of this provider, for this client, and of the user: but it says that they signed in.
#[tokio::test]
async fn id_token_posted() {
    let id_token =
        |claims: Claims| claims.without("events").without("jti").with("auth_time", NOW - 100);
    refuses_claims(&id_token).await;
    refuses_claims(|claims| id_token(claims).with("nonce", "n-0S6_WzA2Mj")).await;
    let world = CallbackFixture::new();
    for typ in [json!({"alg": "EdDSA", "typ": "JWT"}), json!({"alg": "EdDSA"})] {
        refuses(&world, &world.stub.sign(&typ, &id_token(world.stub.claims())), "invalid_request")
            .await;
    }
}

/// Back-Channel Logout 1.0 §2.2: a URI may have a query, which is left as it is.
#[tokio::test]
async fn a_query_of_our_own_on_the_back_channel_url() {
    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", Some("session-1"));
    let uri = format!("{BACK}?tenant=contoso&logout_token=x&%zz");
    let response =
        send(&world, Method::POST, &uri, FORM, form(&world.stub.token(&world.stub.claims()))).await;
    assert_eq!((read(response).await, live([&jane])), ((200, String::new()), [false]));
}

/// RP-Initiated Logout 1.0 §2: providers should take it when it has expired, so it is kept and sent
/// for as long as the user is signed in.
#[tokio::test]
async fn an_expired_id_token_is_a_hint() {
    let world = CallbackFixture::with(|issuer| issuer.end_session_endpoint(END));
    let jane = world.sign_in("jane", Some("session-1"));
    jane.put(IdToken::new(ClientId::new(CLIENT).unwrap(), "the.id.token")).unwrap();
    // Its `exp` is five minutes after its `iat`.
    world.advance(30 * 24 * 3600);
    let ended = world.receiver.sign_out(&AsyncSignIn::from(jane), EndSession::new()).await.unwrap();
    assert_eq!(
        ended.url(),
        Some("https://login.example.com/end?id_token_hint=the.id.token&client_id=web")
    );
}
