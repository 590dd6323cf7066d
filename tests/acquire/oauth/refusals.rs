//! What a token endpoint answers instead of tokens.

use std::error::Error as _;

use oauth2::basic::BasicErrorResponse;
use oauth2::{HttpRequest, HttpResponse, RequestTokenError, TokenUrl};
use oubliette::oauth::{Refusal, TokenAnswer, TokenRequestError};
use serde_json::{Value, json};

#[derive(Debug, thiserror::Error)]
#[error("refused by the network")]
struct Down;

/// The error that a refresh makes of an answer, with the crate's own response type.
fn refreshed<E: oauth2::ErrorResponse + 'static>(status: u16, body: &str) -> TokenRequestError {
    refreshed_by::<E, oauth2::basic::BasicTokenResponse>(status, body).unwrap_err()
}

/// What a refresh makes of an answer, with the crate's own types or with ours.
fn refreshed_by<E, R>(status: u16, body: &str) -> Result<R, TokenRequestError>
where
    E: oauth2::ErrorResponse + 'static,
    R: oauth2::TokenResponse,
{
    type Client<E, R> = oauth2::Client<
        E,
        R,
        oauth2::basic::BasicTokenIntrospectionResponse,
        oauth2::StandardRevocableToken,
        oauth2::basic::BasicRevocationErrorResponse,
    >;
    let client: Client<E, R> = Client::new(oauth2::ClientId::new("web".into()));
    let client =
        client.set_token_uri(TokenUrl::new("https://login.example.com/token".into()).unwrap());
    let answer = |_: HttpRequest| -> Result<HttpResponse, Down> {
        let response = oauth2::http::Response::builder()
            .status(status)
            .header("content-type", "application/json");
        Ok(response.body(body.as_bytes().to_vec()).unwrap())
    };
    client
        .exchange_refresh_token(&oauth2::RefreshToken::new("rt".into()))
        .request(&answer)
        .map_err(TokenRequestError::from)
}

fn refusal<E: oauth2::ErrorResponse + 'static>(status: u16, body: &Value) -> Refusal {
    match refreshed::<E>(status, &body.to_string()) {
        TokenRequestError::Refused(refusal) => refusal,
        other => panic!("{other}"),
    }
}

/// Final, and wants the user, as ours and as the crate's own type tells them.
fn both(body: Value) -> [(bool, bool); 2] {
    let [ours, theirs] =
        [refusal::<Refusal>(400, &body), refusal::<BasicErrorResponse>(400, &body)];
    [ours, theirs].map(|refusal| (refusal.is_final(), refusal.is_interaction_required()))
}

const FINAL: (bool, bool) = (true, false);
const ASK: (bool, bool) = (false, true);
const FAILED: (bool, bool) = (false, false);

#[test]
fn a_bare_invalid_grant_is_final() {
    assert_eq!(both(json!({"error": "invalid_grant"})), [FINAL; 2]);
    assert_eq!(
        both(json!({"error": "invalid_grant", "error_description": "Token is not active"})),
        [FINAL; 2]
    );
    let expired = json!({"error": "invalid_grant", "error_description": "AADSTS700082: The refresh token has expired ...",
        "error_codes": [700_082], "suberror": "token_expired"});
    assert_eq!(both(expired), [FINAL; 2]);
    // A replayed one, whose refusal comes with a challenge all the same.
    assert!(
        refusal::<Refusal>(
            400,
            &json!({"error": "invalid_grant", "suberror": "bad_token", "claims": "{}"})
        )
        .is_final()
    );
    // GitHub refuses with 200.
    let github = json!({"error": "bad_refresh_token", "error_description": "The refresh token passed is incorrect or expired."});
    assert!(
        refusal::<Refusal>(200, &github).is_final()
            && refusal::<BasicErrorResponse>(200, &github).is_final()
    );
}

#[test]
fn entras_invalid_grant_is_not_final_if_the_user_can_mend_it() {
    let consent = json!({"error": "invalid_grant", "suberror": "consent_required", "error_codes": [65001],
        "error_description": "AADSTS65001: The user or administrator has not consented to use the application ..."});
    assert_eq!(both(consent), [ASK; 2]);
    let second_factor = json!({"error": "invalid_grant", "error_codes": [50076], "suberror": "basic_action",
        "claims": r#"{"access_token":{"capolids":{"essential":true,"values":["c1"]}}}"#,
        "error_description": "AADSTS50076: Due to a configuration change made by your administrator ..."});
    assert_eq!(both(second_factor.clone()), [ASK; 2]);
    assert!(refusal::<Refusal>(400, &second_factor).claims().unwrap().contains("capolids"));
    for mark in [
        json!({"suberror": "additional_action"}),
        json!({"suberror": "message_only"}),
        json!({"claims": "{}"}),
        json!({"error_codes": [50079]}),
    ] {
        let mut body = json!({"error": "invalid_grant"});
        body.as_object_mut().unwrap().extend(mark.as_object().unwrap().clone());
        assert_eq!(both(body.clone())[0], ASK, "{body}");
    }
    // What cannot be read beside the code does not hide it.
    let odd = json!({"error": "invalid_grant", "error_codes": ["50076", -1, 5.5], "suberror": 1, "claims": {}, "error_description": []});
    assert_eq!(both(odd)[0], FINAL);
    // In doubt it is.
    assert_eq!(both(json!({"error": "invalid_grant", "suberror": "something_new"})), [FINAL; 2]);
}

#[test]
fn who_must_be_asked_and_what_only_failed() {
    for error in
        ["interaction_required", "login_required", "consent_required", "account_selection_required"]
    {
        assert_eq!(both(json!({"error": error})), [ASK; 2]);
    }
    for error in
        ["invalid_client", "temporarily_unavailable", "invalid_scope", "server_error", "slow_down"]
    {
        assert_eq!(both(json!({"error": error, "claims": "{}"})), [FAILED; 2]);
    }
}

#[test]
fn nothing_of_the_answer_is_shown_but_codes_and_field_names() {
    let described = json!({"error": "invalid_grant", "suberror": "needle needle", "error_description": "needle", "claims": "needle"});
    let not_a_code = json!({"error": "needle needle"});
    let odd = r#"{"access_token": "needle", "expires_in": "needle"}"#;
    let without = r#"{"token_type": "needle", "expires_in": "needle"}"#;
    let errors = [
        refreshed::<Refusal>(400, &described.to_string()),
        refreshed::<BasicErrorResponse>(400, &not_a_code.to_string()),
        refreshed::<Refusal>(200, odd),
        refreshed::<Refusal>(200, without),
        refreshed::<Refusal>(200, r#""needle""#),
        refreshed::<Refusal>(502, "<html>needle</html>"),
    ];
    for error in &errors {
        let mut shown = format!("{error} {error:?}");
        let mut source = error.source();
        while let Some(error) = source {
            shown += &format!("{error} {error:?}");
            source = error.source();
        }
        assert!(!shown.contains("needle"), "{shown}");
    }
    assert_eq!(
        errors[0].to_string(),
        "the provider refused: invalid_grant (an error code that is none)"
    );
    let at = |at: &str| at == "expires_in" || at == ".";
    assert!(
        matches!(&errors[2], TokenRequestError::Partly { at: field, .. } if at(field)),
        "{}",
        errors[2]
    );
    assert!(
        matches!(&errors[3], TokenRequestError::Unreadable { at: field } if at(field)),
        "{}",
        errors[3]
    );
    assert!(errors[4..].iter().all(|error| matches!(error, TokenRequestError::Unreadable { .. })));
}

/// GitHub and Slack refuse with the status 200.
#[test]
fn an_error_in_a_200_is_a_refusal() {
    let slack = json!({"ok": false, "error": "invalid_refresh_token"});
    let github = json!({"error": "bad_refresh_token", "error_description": "The refresh token passed is incorrect or expired.",
        "error_uri": "https://docs.github.com"});
    for body in [slack, github] {
        let read = match TokenAnswer::read(body.to_string().as_bytes()) {
            Err(TokenRequestError::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        };
        let ours = match refreshed_by::<Refusal, TokenAnswer>(200, &body.to_string()) {
            Err(TokenRequestError::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        };
        for refusal in
            [read, ours, refusal::<Refusal>(200, &body), refusal::<BasicErrorResponse>(200, &body)]
        {
            assert_eq!(refusal.error(), body["error"]);
            assert!(refusal.is_final());
        }
    }
    // What only failed is no less an error, and beside a lone refresh token, which may be the one
    // that was sent.
    for body in [
        json!({"ok": false, "error": "ratelimited"}),
        json!({"error": "invalid_request", "refresh_token": "rt-1"}),
    ] {
        let read = TokenAnswer::read(body.to_string().as_bytes());
        assert!(
            matches!(read, Err(TokenRequestError::Refused(refusal)) if !refusal.is_final()),
            "{body}"
        );
    }
    // Beside an access token it is a name that is not known, and ignored (RFC 6749 §5.1).
    for error in [json!("warning"), json!(""), Value::Null, json!(false)] {
        let body = json!({"access_token": "at", "token_type": "Bearer", "error": error});
        assert!(TokenAnswer::read(body.to_string().as_bytes()).unwrap().has_access_token());
    }
}

#[test]
fn the_requests_own_error_is_kept() {
    let error: RequestTokenError<Down, BasicErrorResponse> = RequestTokenError::Request(Down);
    let error = TokenRequestError::from(error);
    assert!(error.source().unwrap().downcast_ref::<Down>().is_some());
}
