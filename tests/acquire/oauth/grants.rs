//! Refreshes by the `oauth2` crate, inside of an acquisition.

use std::cell::Cell;
use std::time::Duration;

use oauth2::basic::{BasicErrorResponse, BasicTokenType};
use oauth2::{HttpRequest, HttpResponse, StandardTokenResponse, TokenUrl};
use oubliette::oauth::{ProviderFields, Refusal, TokenRequestError};
use oubliette::*;
use oubliette_testkit::accounts::*;
use serde_json::{Value, json};

type Client<E> = oauth2::Client<
    E,
    StandardTokenResponse<ProviderFields, BasicTokenType>,
    oauth2::basic::BasicTokenIntrospectionResponse,
    oauth2::StandardRevocableToken,
    oauth2::basic::BasicRevocationErrorResponse,
>;

/// A sign-in with a refresh token, its clock, and a provider that answers one thing.
struct Scene {
    live: LiveSignIn,
    clock: ManualClock,
    answer: (u16, Value),
    /// How long it takes to answer.
    takes: Duration,
    asked: Cell<usize>,
}

impl Scene {
    fn new(status: u16, answer: Value) -> Self {
        let clock = ManualClock::new(now());
        let live = Machine::new()
            .builder()
            .clock(clock.clone())
            .open()
            .unwrap()
            .sign_in(sign_in(1))
            .unwrap();
        live.put(refresh("rt-1")).unwrap();
        Self { live, clock, answer: (status, answer), takes: Duration::ZERO, asked: Cell::new(0) }
    }

    fn acquire<E: oauth2::ErrorResponse + 'static>(
        &self,
        request: impl Into<AccessRequest>,
    ) -> Result<AccessToken, AcquireError> {
        let client: Client<E> = Client::new(oauth2::ClientId::new("client".into()));
        let client =
            client.set_token_uri(TokenUrl::new("https://login.example.com/token".into()).unwrap());
        let http = |_: HttpRequest| -> std::io::Result<HttpResponse> {
            self.asked.set(self.asked.get() + 1);
            self.clock.advance(self.takes);
            let response = oauth2::http::Response::builder().status(self.answer.0);
            Ok(response.body(self.answer.1.to_string().into_bytes()).unwrap())
        };
        Acquirer::new().acquire(&self.live, request, |grant| {
            let token =
                grant.refresh_token().ok_or_else(|| RefreshError::failed("no refresh token"))?;
            let token = oauth2::RefreshToken::new(token.secret.expose().to_owned());
            let response = client
                .exchange_refresh_token(&token)
                .request(&http)
                .map_err(RefreshError::from_oauth2)?;
            Ok(grant.tokens(&response)?)
        })
    }

    fn refresh_token(&self) -> Option<String> {
        self.live.refresh_token(&client()).unwrap().map(|token| token.secret.expose().to_owned())
    }
}

fn tokens() -> Value {
    json!({"access_token": "at-2", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "rt-2", "refresh_in": 1800})
}

#[test]
fn a_response_is_stored_as_what_was_asked_for() {
    let mut scene = Scene::new(200, tokens());
    scene.takes = Duration::from_secs(20);
    let wanted = query("mail.read").resource("https://api.example.com").tenant(tenant(2));
    let token = scene.acquire::<Refusal>(wanted.clone()).unwrap();
    assert_eq!(
        (token.secret.expose(), token.resource.as_deref()),
        ("at-2", Some("https://api.example.com"))
    );
    // From before the request, so never too long.
    assert_eq!(
        (token.expires_at, token.refresh_at.unwrap()),
        (Some(now() + Duration::from_secs(3600)), now() + Duration::from_secs(1800))
    );
    assert_eq!(scene.refresh_token().as_deref(), Some("rt-2"));
    // And found again.
    assert_eq!(scene.acquire::<Refusal>(wanted).unwrap().secret.expose(), "at-2");
    assert_eq!(scene.asked.get(), 1);
}

#[test]
fn a_familys_refresh_token_stays_one() {
    let scene = Scene::new(200, tokens());
    scene
        .live
        .put(RefreshToken { family_id: Some("1".into()), ..refresh("rt-of-family") })
        .unwrap();
    scene.acquire::<Refusal>(AccessRequest::new(query("mail.read")).family("1")).unwrap();
    let of_family = scene.live.refresh_token(RefreshQuery::family("1")).unwrap().unwrap();
    assert_eq!(
        (of_family.secret.expose(), scene.refresh_token().as_deref()),
        ("rt-2", Some("rt-1"))
    );
}

#[test]
fn a_final_refusal_removes_the_refresh_token() {
    for scene in [
        Scene::new(400, json!({"error": "invalid_grant"})),
        Scene::new(200, json!({"error": "bad_refresh_token"})),
    ] {
        let error = scene.acquire::<BasicErrorResponse>(query("mail.read")).unwrap_err();
        assert!(
            matches!(
                error,
                AcquireError::InteractionRequired { reason: InteractionReason::InvalidGrant, .. }
            ),
            "{error:?}"
        );
        assert_eq!(scene.refresh_token(), None);
    }
}

#[test]
fn a_refusal_that_the_user_can_mend_keeps_it_and_names_the_claims() {
    let challenge = r#"{"access_token":{"capolids":{"essential":true,"values":["c1"]}}}"#;
    let answer = json!({"error": "invalid_grant", "suberror": "basic_action", "claims": challenge,
        "error_description": "AADSTS50076: Due to a configuration change ..."});
    let scene = Scene::new(400, answer);
    match scene.acquire::<Refusal>(query("mail.read")).unwrap_err() {
        AcquireError::InteractionRequired {
            reason: InteractionReason::Provider,
            claims,
            source,
            ..
        } => {
            assert_eq!(claims.as_deref(), Some(challenge));
            let source = source.unwrap();
            let refusal = source.downcast_ref::<TokenRequestError>();
            assert!(
                matches!(refusal, Some(TokenRequestError::Refused(refusal)) if refusal.suberror() == Some("basic_action"))
            );
        }
        other => panic!("{other:?}"),
    }
    // The crate's own type drops all but the description.
    let error = scene.acquire::<BasicErrorResponse>(query("mail.read")).unwrap_err();
    assert!(
        matches!(
            error,
            AcquireError::InteractionRequired {
                reason: InteractionReason::Provider,
                claims: None,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(scene.refresh_token().as_deref(), Some("rt-1"));
}

#[test]
fn a_failure_changes_nothing() {
    for (status, answer) in [
        (503, json!({"error": "temporarily_unavailable"})),
        (500, json!("oops")),
        (200, json!({"token_type": "Bearer"})),
    ] {
        let scene = Scene::new(status, answer);
        let error = scene.acquire::<Refusal>(query("mail.read")).unwrap_err();
        assert!(matches!(error, AcquireError::Refresh(_)), "{error:?}");
        assert_eq!(scene.refresh_token().as_deref(), Some("rt-1"));
    }
}
