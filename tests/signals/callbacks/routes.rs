//! The routes of axum: methods, bodies, paths.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Method, Request, Response, StatusCode};
use futures::{FutureExt as _, StreamExt as _};
use oubliette::AsyncSignIn;
use oubliette::logout::{Algorithm, EndSession, Issuers};
use oubliette::logout::{SignOutRoutes, sign_out_routes};
use oubliette::openid::Provider;
use oubliette_testkit::provider::SigningProvider;
use tower::ServiceExt as _;

use super::world::{CallbackFixture, OTHER, live};

const BACK: &str = "/logout/back-channel";
const FRONT: &str = "/logout/front-channel";
const FORM: &str = "application/x-www-form-urlencoded";

fn routes(world: &CallbackFixture) -> SignOutRoutes {
    sign_out_routes(world.store.clone(), Issuers::new([world.stub.issuer()]).unwrap())
}

async fn send(router: &Router, method: Method, uri: &str, body: impl Into<Body>) -> Response<Body> {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", FORM)
        .body(body.into())
        .unwrap();
    router.clone().oneshot(request).await.unwrap()
}

async fn post(router: &Router, uri: &str, token: &str) -> StatusCode {
    send(router, Method::POST, uri, format!("logout_token={token}")).await.status()
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn one_merge_mounts_both_channels() {
    let world = CallbackFixture::new();
    let router = Router::new().merge(routes(&world));
    let (jane, joe) =
        (world.sign_in("jane", Some("session-1")), world.sign_in("joe", Some("session-2")));
    let response = send(
        &router,
        Method::POST,
        BACK,
        format!("logout_token={}", world.stub.token(&world.stub.claims())),
    )
    .await;
    assert_eq!(
        (response.status(), header(&response, "cache-control")),
        (StatusCode::OK, "no-store")
    );
    assert_eq!(live([&jane, &joe]), [false, true]);
    let response = send(
        &router,
        Method::GET,
        &format!("{FRONT}?iss=https%3A%2F%2Flogin.example.com&sid=session-2"),
        "",
    )
    .await;
    assert_eq!(
        (response.status(), header(&response, "cache-control")),
        (StatusCode::OK, "no-store")
    );
    assert!(
        header(&response, "content-security-policy")
            .ends_with("frame-ancestors https://login.example.com")
    );
    assert_eq!(live([&jane, &joe]), [false, false]);
}

/// Link checkers and the like ask with HEAD; and nothing but the one method signs anybody out.
#[tokio::test]
async fn other_methods_do_nothing() {
    let world = CallbackFixture::new();
    let router = Router::new().merge(routes(&world));
    let jane = world.sign_in("jane", Some("session-1"));
    let token = world.stub.token(&world.stub.claims());
    let others = [Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH];
    for method in others.iter().chain([&Method::GET]) {
        let response = send(
            &router,
            method.clone(),
            &format!("{BACK}?logout_token={token}"),
            format!("logout_token={token}"),
        )
        .await;
        assert_eq!(
            (response.status(), header(&response, "allow")),
            (StatusCode::METHOD_NOT_ALLOWED, "POST"),
            "{method}"
        );
        assert_eq!(header(&response, "cache-control"), "no-store");
    }
    for method in others.iter().chain([&Method::POST]) {
        let uri = format!("{FRONT}?iss=https://login.example.com&sid=session-1");
        let response =
            send(&router, method.clone(), &uri, "iss=https://login.example.com&sid=session-1")
                .await;
        assert_eq!(
            (response.status(), header(&response, "allow")),
            (StatusCode::METHOD_NOT_ALLOWED, "GET"),
            "{method}"
        );
    }
    assert_eq!(live([&jane]), [true]);
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit_whatever_it_says_of_its_length() {
    let world = CallbackFixture::new();
    let router = Router::new().merge(routes(&world));
    let jane = world.sign_in("jane", Some("session-1"));
    let token = world.stub.token(&world.stub.claims());
    let chunks = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = chunks.clone();
    let endless = futures::stream::repeat_with(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1024]))
    });
    let first = futures::stream::iter([Ok(Bytes::from(format!("logout_token={token}&x=")))]);
    let response = send(&router, Method::POST, BACK, Body::from_stream(first.chain(endless))).await;
    assert_eq!(
        (response.status(), header(&response, "cache-control")),
        (StatusCode::BAD_REQUEST, "no-store")
    );
    assert!(chunks.load(std::sync::atomic::Ordering::Relaxed) <= 20);
    let broken = futures::stream::iter([
        Ok(Bytes::from(format!("logout_token={token}"))),
        Err(std::io::Error::other("hung up")),
    ]);
    assert_eq!(
        send(&router, Method::POST, BACK, Body::from_stream(broken)).await.status(),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(live([&jane]), [true]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let world = CallbackFixture::new();
    let router = Router::new().merge(routes(&world));
    let stalled = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    let response = send(&router, Method::POST, BACK, stalled).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn names_and_nests_go_together() {
    let stub = SigningProvider::new(Algorithm::EdDsa);
    let other = SigningProvider::at(Algorithm::Es256, Provider::generic(OTHER).unwrap(), OTHER);
    let issuers = Issuers::new([stub.issuer().named("con.to-so_1"), other.issuer()]).unwrap();
    let world = CallbackFixture::of(stub, other, issuers.clone());
    let routes = sign_out_routes(world.store.clone(), issuers)
        .back_channel_at("/out/")
        .front_channel_at("/frame");
    let router = Router::new().nest("/t/{tenant}/{name}", Router::new().merge(routes));
    let token = world.stub.token(&world.stub.claims());
    for (uri, status) in [
        ("/t/x/y/out/", 400),
        ("/t/x/y/out/fabrikam", 400),
        ("/t/x/y/out/con.to-so_1/", 404),
        ("/t/x/y/out/con.to-so_1/z", 404),
        ("/t/con.to-so_1/con.to-so_1/out/", 400),
        ("/t/x/y/out/con.to-so_1", 200),
        ("/t/x/y/out/con.to%2Dso_1", 200),
    ] {
        let jane = world.sign_in("jane", Some(uri));
        let token = world.stub.token(&world.stub.claims().with("jti", uri));
        assert_eq!(post(&router, uri, &token).await, status, "{uri}");
        assert_eq!(live([&jane]), [status != 200], "{uri}");
    }
    let jane = world.sign_in("jane", Some("s"));
    assert_eq!(
        send(&router, Method::GET, "/t/x/y/frame/con.to-so_1?sid=s", "").await.status(),
        StatusCode::OK
    );
    assert_eq!(live([&jane]), [false]);
    drop(token);
}

#[tokio::test]
async fn the_app_has_its_hook_and_its_state() {
    #[derive(Clone)]
    struct State;
    let world = CallbackFixture::new();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let routes = routes(&world).after_sign_out(move |signed_out| {
        tell.send(signed_out.signal).unwrap();
        async { Ok(()) }
    });
    let receiver = routes.receiver();
    let router: Router<State> = Router::new().merge(routes);
    assert_eq!(
        post(&router.with_state(State), BACK, &world.stub.token(&world.stub.claims())).await,
        StatusCode::OK
    );
    assert!(told.recv().now_or_never().is_some());
    receiver.drain().await;
}

#[tokio::test]
async fn who_comes_back_from_the_provider_goes_home_whatever_she_brings() {
    let world = CallbackFixture::with(|issuer| {
        issuer.end_session_endpoint("https://login.example.com/end")
    });
    let routes = sign_out_routes(world.store.clone(), Issuers::new([world.stub.issuer()]).unwrap())
        .returned_at("/logout/done", "/");
    let router: Router = Router::new().merge(routes);
    for query in
        ["", "?state=foreign", "?state=a&state=b", "?to=https://evil.example.com", "?error=x"]
    {
        let response = send(&router, Method::GET, &format!("/logout/done{query}"), "").await;
        assert_eq!(
            (response.status(), header(&response, "location")),
            (StatusCode::SEE_OTHER, "/")
        );
        assert!(header(&response, "set-cookie").contains("Max-Age=0"));
    }
    // What an app answers its own route with.
    use axum::response::IntoResponse as _;
    let jane = AsyncSignIn::from(world.sign_in("jane", None));
    let ended = world.receiver.sign_out(&jane, EndSession::new()).await.unwrap();
    let response = ended.answer("/").into_response();
    assert_eq!(
        (response.status(), header(&response, "location")),
        (StatusCode::SEE_OTHER, "https://login.example.com/end?client_id=web")
    );
}
