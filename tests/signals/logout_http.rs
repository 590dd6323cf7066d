//! The default HTTP client, against servers on this machine.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Redirect;
use axum::routing::get;
use oubliette::logout::{HttpClient, HttpError, ReqwestClient};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Serves these routes; gives their address.
async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    format!("http://{address}")
}

async fn fetched(url: &str, max_bytes: usize) -> Result<Vec<u8>, HttpError> {
    ReqwestClient::new().unwrap().get(url, max_bytes).await
}

#[tokio::test]
async fn a_document_is_got_whole() {
    let server = serve(Router::new().route("/jwks", get(async || vec![b'x'; 100_000]))).await;
    let url = format!("{server}/jwks");
    assert_eq!(fetched(&url, 100_000).await.unwrap(), vec![b'x'; 100_000]);
    // Through an Arc, as one that several issuers share.
    let shared: Arc<dyn HttpClient> = Arc::new(ReqwestClient::new().unwrap());
    assert_eq!(shared.get(&url, 100_000).await.unwrap().len(), 100_000);
    // One of the app's own.
    let own = ReqwestClient::from(openidconnect::reqwest::Client::new());
    assert_eq!(own.get(&url, 100_000).await.unwrap().len(), 100_000);
}

#[tokio::test]
async fn one_that_is_too_long_is_not() {
    let announced = get(async || vec![b'x'; 1001]);
    // Without a Content-Length, in small pieces.
    let unannounced = get(async || {
        let pieces = futures::stream::iter((0..1001).map(|_| Ok::<_, std::io::Error>("x")));
        Body::from_stream(pieces)
    });
    let endless = get(async || {
        Body::from_stream(futures::stream::repeat_with(|| {
            Ok::<_, std::io::Error>("x".repeat(1000))
        }))
    });
    let server =
        serve(Router::new().route("/a", announced).route("/u", unannounced).route("/e", endless))
            .await;
    for path in ["a", "u", "e"] {
        assert!(
            matches!(fetched(&format!("{server}/{path}"), 1000).await, Err(HttpError::TooLarge)),
            "{path}"
        );
    }
    for path in ["a", "u"] {
        assert_eq!(fetched(&format!("{server}/{path}"), 1001).await.unwrap().len(), 1001, "{path}");
    }
}

/// Whoever could redirect us would choose our keys.
#[tokio::test]
async fn a_redirect_is_not_followed_and_no_status_but_200_will_do() {
    let mut routes = Router::new()
        .route("/temporary", get(async || Redirect::temporary("/jwks")))
        .route("/permanent", get(async || Redirect::permanent("/jwks")))
        .route("/other", get(async || Redirect::to("/jwks")))
        .route("/jwks", get(async || "{}"));
    for status in [201, 204, 206, 304, 400, 401, 404, 500, 503] {
        routes = routes.route(
            &format!("/{status}"),
            get(async move || (StatusCode::from_u16(status).unwrap(), "{}")),
        );
    }
    let server = serve(routes).await;
    for (path, expected) in [
        ("temporary", 307),
        ("permanent", 308),
        ("other", 303),
        ("206", 206),
        ("404", 404),
        ("503", 503),
    ] {
        let got = fetched(&format!("{server}/{path}"), 1000).await;
        assert!(matches!(got, Err(HttpError::Status(status)) if status == expected), "{path}");
    }
    for status in [201, 204, 206, 304, 400, 401, 404, 500, 503] {
        let got = fetched(&format!("{server}/{status}"), 1000).await;
        assert!(matches!(got, Err(HttpError::Status(got)) if got == status), "{status}");
    }
    assert_eq!(fetched(&format!("{server}/jwks"), 1000).await.unwrap(), b"{}");
}

#[tokio::test]
async fn it_asks_for_json_uncompressed_says_who_it_is_and_keeps_no_cookies() {
    let echo = get(async |headers: HeaderMap| {
        let seen: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        ([(header::SET_COOKIE, "tracked=1")], seen.join("\n"))
    });
    let server = serve(Router::new().route("/", echo)).await;
    let client = ReqwestClient::new().unwrap();
    for _ in 0..2 {
        let seen = String::from_utf8(client.get(&server, 10_000).await.unwrap()).unwrap();
        assert!(seen.contains("accept: application/json"), "{seen}");
        assert!(
            seen.contains(concat!("user-agent: oubliette/", env!("CARGO_PKG_VERSION"))),
            "{seen}"
        );
        for unwanted in ["cookie", "accept-encoding", "referer", "authorization"] {
            assert!(!seen.contains(unwanted), "{seen}");
        }
    }
}

/// A server that takes the request, sends this much of an answer, and is silent then. The clock is
/// stopped once it is silent: so it goes on to the next time-out by itself.
async fn given_up(sent: &'static [u8]) -> Result<Vec<u8>, HttpError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (silent, is_silent) = oneshot::channel();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 4];
        connection.read_exact(&mut request).await.unwrap();
        connection.write_all(sent).await.unwrap();
        silent.send(connection).unwrap();
    });
    let client = ReqwestClient::new().unwrap();
    let fetching = tokio::spawn(async move { client.get(&url, 1000).await });
    let _open = is_silent.await.unwrap();
    tokio::time::pause();
    tokio::time::timeout(Duration::from_secs(3600), fetching)
        .await
        .expect("it is given up")
        .unwrap()
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    assert!(matches!(given_up(b"").await, Err(HttpError::Other(_))));
}

#[tokio::test]
async fn a_server_that_stops_in_the_middle_is_given_up() {
    assert!(matches!(
        given_up(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfive.").await,
        Err(HttpError::Other(_))
    ));
}

/// Half a document may be a whole one of fewer keys.
#[tokio::test]
async fn a_body_that_is_cut_short_is_an_error() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            connection.read_exact(&mut [0; 4]).await.unwrap();
            connection.write_all(answer.as_bytes()).await.unwrap();
            connection.shutdown().await.unwrap();
            // All that is still to come is read, so that the end is an orderly one.
            tokio::io::copy(&mut connection, &mut tokio::io::sink()).await.ok();
        });
        assert!(matches!(fetched(&url, 1000).await, Err(HttpError::Other(_))), "{answer:?}");
    }
}

/// It goes to logs: an address may have something in it that is nobody's business.
#[tokio::test]
async fn errors_do_not_say_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = fetched(&format!("http://{address}/tenant-of-somebody"), 1000).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("tenant-of-somebody"), "{error:?}");
}
