//! A refresh in one call, with a client of the `oauth2` or `openidconnect` crate.

use std::sync::{Arc, Mutex};

use oauth2::basic::BasicClient;
use oauth2::{EndpointMaybeSet, HttpRequest, HttpResponse, TokenUrl};
use openidconnect::core::{CoreClient, CoreJsonWebKeySet};
use oubliette::oauth::TokenClient;
use oubliette::*;
use oubliette_testkit::accounts::*;
use serde_json::{Value, json};

/// A provider that answers one thing, and keeps what it was asked.
#[derive(Clone)]
struct Http(Arc<(u16, Value, Mutex<Vec<String>>)>);

impl Http {
    fn new(status: u16, answer: Value) -> Self {
        Self(Arc::new((status, answer, Mutex::default())))
    }

    fn answer(&self, request: HttpRequest) -> std::io::Result<HttpResponse> {
        let Self(shared) = self;
        let body = String::from_utf8(request.into_body()).unwrap();
        shared.2.lock().unwrap().push(body);
        let response = oauth2::http::Response::builder().status(shared.0);
        Ok(response.body(shared.1.to_string().into_bytes()).unwrap())
    }

    /// The form of the only request.
    fn asked(&self) -> Vec<(String, String)> {
        let all = self.0.2.lock().unwrap();
        let [body] = all.as_slice() else { panic!("{} requests", all.len()) };
        let mut form: Vec<_> =
            openidconnect::url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        form.sort();
        form
    }
}

fn form(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn oauth() -> impl TokenClient<Refusal: Send, Response: Send> + Send + Sync + 'static {
    BasicClient::new(oauth2::ClientId::new("client".into())).set_token_uri(uri())
}

fn uri() -> TokenUrl {
    TokenUrl::new("https://login.example.com/token".into()).unwrap()
}

fn tokens() -> Value {
    json!({"access_token": "at-2", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "rt-2"})
}

fn signed_in() -> (TokenStore, LiveSignIn) {
    let store = Machine::new().builder().clock(ManualClock::new(now())).open().unwrap();
    let live = store.sign_in_with(sign_in(1), refresh("rt-1")).unwrap().0;
    (store, live)
}

fn stored(live: &LiveSignIn) -> Option<String> {
    live.refresh_token(&client()).unwrap().map(|token| token.secret.expose().to_owned())
}

#[test]
fn it_asks_for_what_the_caller_wants() {
    let ((_store, live), http) = (signed_in(), Http::new(200, tokens()));
    let wanted = query("mail.read user.read").resource("https://api.example.com");
    let wanted = AccessRequest::new(wanted).claims(r#"{"acr":1}"#);
    let send = |request: HttpRequest| http.answer(request);
    let token = Acquirer::new().acquire(&live, wanted, |grant| grant.redeem(&oauth(), &send));
    assert_eq!(token.unwrap().secret.expose(), "at-2");
    assert_eq!(stored(&live).as_deref(), Some("rt-2"));
    let asked = [
        ("claims", r#"{"acr":1}"#),
        ("client_id", "client"),
        ("grant_type", "refresh_token"),
        ("refresh_token", "rt-1"),
        ("resource", "https://api.example.com"),
        ("scope", "mail.read user.read"),
    ];
    assert_eq!(http.asked(), form(&asked));
}

/// The short way is the right one: no refusal passes for a failure of the network.
#[tokio::test]
async fn a_refusal_is_what_it_means() {
    let outcome = async |status, answer: Value| {
        let ((_store, live), http) = (signed_in(), Http::new(status, answer));
        let send = move |request: HttpRequest| std::future::ready(http.answer(request));
        let acquirer = Acquirer::new().with_client(oauth(), send);
        let failed = acquirer.acquire(&live, query("mail.read")).await.unwrap_err();
        (failed, stored(&live))
    };
    let (failed, stored) = outcome(400, json!({"error": "invalid_grant"})).await;
    let AcquireError::InteractionRequired { reason, .. } = failed else { panic!("{failed:?}") };
    assert_eq!((reason, stored), (InteractionReason::InvalidGrant, None));
    let (failed, stored) = outcome(400, json!({"error": "interaction_required"})).await;
    let AcquireError::InteractionRequired { reason, .. } = failed else { panic!("{failed:?}") };
    assert_eq!((reason, stored.as_deref()), (InteractionReason::Provider, Some("rt-1")));
    // More than was granted: the user is asked, and not the provider for ever.
    let (failed, stored) = outcome(400, json!({"error": "invalid_scope"})).await;
    let AcquireError::InteractionRequired { reason, .. } = failed else { panic!("{failed:?}") };
    assert_eq!((reason, stored.as_deref()), (InteractionReason::Provider, Some("rt-1")));
    let (failed, stored) = outcome(503, json!({"error": "temporarily_unavailable"})).await;
    assert!(matches!(failed, AcquireError::Refresh(_)), "{failed:?}");
    assert_eq!(stored.as_deref(), Some("rt-1"));
}

#[tokio::test]
async fn an_app_gets_its_own_tokens_by_its_credentials() {
    let ((store, _live), http) = (signed_in(), Http::new(200, tokens()));
    let seen = http.clone();
    let send = move |request: HttpRequest| std::future::ready(http.answer(request));
    let acquirer = Acquirer::new().with_client(oauth(), send);
    let store = AsyncTokenStore::new(store);
    let wanted = query("api/.default");
    let token = acquirer.acquire_for_app(&store, &tenant(1), &wanted).await.unwrap();
    assert_eq!(token.secret.expose(), "at-2");
    let asked =
        [("client_id", "client"), ("grant_type", "client_credentials"), ("scope", "api/.default")];
    assert_eq!(seen.asked(), form(&asked));
}

/// Of a discovery document, the endpoint may be missing: then the refresh fails, and costs nothing.
#[test]
fn every_client_that_may_have_a_token_endpoint_will_do() {
    let send = |_: HttpRequest| -> std::io::Result<HttpResponse> {
        Ok(oauth2::http::Response::new(tokens().to_string().into_bytes()))
    };
    let acquired = |client: &dyn Fn(&Grant) -> Result<Tokens, RefreshError>| {
        let (_store, live) = signed_in();
        let acquired = Acquirer::new().acquire(&live, query("mail.read"), client);
        assert_eq!(stored(&live).is_some_and(|token| token == "rt-2"), acquired.is_ok());
        acquired.is_ok()
    };
    let basic = BasicClient::new(oauth2::ClientId::new("client".into()));
    let issuer = openidconnect::IssuerUrl::new("https://login.example.com".into()).unwrap();
    let id = openidconnect::ClientId::new("client".into());
    let core = CoreClient::new(id, issuer, CoreJsonWebKeySet::new(vec![]));
    assert!(acquired(
        &|grant| grant.redeem(&basic.clone().set_token_uri_option(Some(uri())), &send)
    ));
    let shared = Arc::new(core.set_token_uri(uri()));
    assert!(acquired(&|grant| grant.redeem(&shared, &send)));
    let without: oauth2::basic::BasicClient<_, _, _, _, EndpointMaybeSet> =
        basic.clone().set_token_uri_option(None);
    assert!(!acquired(&|grant| grant.redeem(&without, &send)));
}

/// The secret of one provider is not shown to another, and no answer of another is believed.
#[tokio::test]
async fn a_token_of_another_client_or_tenant_is_not_sent() {
    let http = Http::new(400, json!({"error": "invalid_grant"}));
    let send = {
        let http = http.clone();
        move |request: HttpRequest| std::future::ready(http.answer(request))
    };
    let (_store, live) = signed_in();
    let other = BasicClient::new(oauth2::ClientId::new("other".into())).set_token_uri(uri());
    let failed = Acquirer::new().with_client(other, send.clone()).acquire(&live, query("a")).await;
    assert!(matches!(failed, Err(AcquireError::Refresh(_))), "{failed:?}");
    let elsewhere = query("a").tenant(tenant(2));
    let failed = Acquirer::new().with_client(oauth(), send).acquire(&live, elsewhere).await;
    assert!(matches!(failed, Err(AcquireError::Refresh(_))), "{failed:?}");
    assert_eq!((http.0.2.lock().unwrap().len(), stored(&live).as_deref()), (0, Some("rt-1")));
}

#[test]
fn a_provider_that_takes_no_scopes_is_asked_for_none() {
    let ((_store, live), http) = (signed_in(), Http::new(200, tokens()));
    let send = |request: HttpRequest| http.answer(request);
    let client = Arc::new(oubliette::oauth::WithoutScopes(oauth()));
    let token = Acquirer::new().acquire(&live, query("a"), |grant| grant.redeem(&client, &send));
    assert_eq!(token.unwrap().secret.expose(), "at-2");
    let asked =
        [("client_id", "client"), ("grant_type", "refresh_token"), ("refresh_token", "rt-1")];
    assert_eq!(http.asked(), form(&asked));
}

/// `failed` is for what is not known yet.
#[test]
fn an_error_that_is_known_stays_what_it_is() {
    let error = RefreshError::failed(RefreshError::invalid_grant("revoked"));
    assert!(matches!(error, RefreshError::InvalidGrant(_)), "{error:?}");
    let error = RefreshError::failed(Refused);
    assert!(matches!(error, RefreshError::Failed(_)), "{error:?}");
}

#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct Refused;

#[test]
fn an_assertion_is_not_taken_for_a_refresh_token() {
    let (_store, live) = signed_in();
    let send = |_: HttpRequest| -> std::io::Result<HttpResponse> { panic!("nothing to send") };
    let request = AccessRequest::new(query("mail.read")).on_behalf_of("assertion");
    let failed = Acquirer::new().acquire(&live, request, |grant| grant.redeem(&oauth(), &send));
    let Err(AcquireError::Refresh(failed)) = failed else { panic!("{failed:?}") };
    assert!(failed.get_ref().to_string().contains("assertion"));
}
