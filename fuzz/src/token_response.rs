//! Answers of token endpoints: any bytes, or JSON put together from what providers write. Whatever it is, a refresh by
//! any client loses no refresh token that can be read in it, believes no more life than it gives, and shows nothing of
//! it.

use std::error::Error;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use oauth2::basic::{
    BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenResponse,
};
use oauth2::{HttpRequest, HttpResponse, StandardRevocableToken, TokenResponse, TokenUrl};
use oubliette::oauth::{Refusal, TokenAnswer, TokenRequestError};
use oubliette::openid::ProviderTokenResponse;
use oubliette::*;
use serde_json::{Value, json};

use crate::bounds::within;
use crate::input::Encode;
use crate::members::{Change, Members};

crate::plans! {
    /// The answer, and which client reads it.
    pub enum Plan {
        /// The rest of the bytes.
        Raw { client: u8 },
        /// A good one, changed; and within it one of the user's, changed.
        Built { client: u8, changes: Vec<Change>, user: Vec<Change>, is_slack: bool },
    }
}

const NAMES: [&str; 18] = [
    "access_token",
    "refresh_token",
    "expires_in",
    "token_type",
    "scope",
    "id_token",
    "error",
    "ok",
    "authed_user",
    "refresh_in",
    "ext_expires_in",
    "refresh_expires_in",
    "refresh_token_expires_in",
    "foci",
    "client_info",
    "expires_on",
    "expires_at",
    "unknown",
];
/// As they stand in an answer. What must not be shown has a space in it, as no code has.
const VALUES: [&str; 40] = [
    "null",
    "\"\"",
    "\" \"",
    "\"\\u00a0\\t\"",
    "\"needle one\"",
    "\"needle two\"",
    "\"\\u006eeedle three\"",
    "\"needle \\u0007\"",
    "\"needle \\ud800\"",
    "7",
    "true",
    "false",
    "[]",
    "{}",
    "[\"a\", \"b c\", 1]",
    "[[[[\"needle four\"]]]]",
    "{\"access_token\": \"needle five\", \"refresh_token\": \"needle six\", \"token_type\": \"user\"}",
    "\"a b\"",
    "\"a,b\"",
    "\"a, b\"",
    "\"bearer\"",
    "\"DPoP\"",
    "\"bot\"",
    "\"user\"",
    "\"invalid_grant\"",
    "\"bad_refresh_token\"",
    "\"temporarily_unavailable\"",
    "0",
    "-1",
    "60",
    "60.9",
    "\"60\"",
    "\"60.9\"",
    "\"-60\"",
    "\"soon\"",
    "3600.99999999999999999999",
    "400000000",
    "18446744073709551616",
    "1e999",
    "\"inf\"",
];

/// The bytes of a run.
pub fn input(plan: &Plan, rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    plan.encode(&mut bytes);
    bytes.extend_from_slice(rest);
    bytes
}

/// One with which all is right.
pub fn answer() -> Value {
    json!({"access_token": "needle at", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "needle rt", "scope": "a b"})
}

pub fn run(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let Ok(plan) = Plan::arbitrary(&mut data) else { return };
    crate::show(&plan);
    match plan {
        Plan::Raw { client } => check(data.take_rest(), client, false),
        Plan::Built { client, changes, user, is_slack } => {
            let of = |changes: &[Change], answer: Value| {
                let mut members = Members::of(&answer);
                changes.iter().for_each(|change| members.apply(*change, &NAMES, &VALUES));
                members.text()
            };
            let mut text = of(&changes, answer());
            if is_slack {
                let user = of(
                    &user,
                    json!({"id": "U1", "access_token": "needle user", "refresh_token": "needle user's"}),
                );
                text = format!("{{\"authed_user\":{user},{}", &text[1..]);
            }
            check(text.as_bytes(), client, true);
        }
    }
}

/// A plain reading of an object.
struct Plain {
    access: Option<String>,
    refresh: Option<String>,
    id: Option<String>,
    has_error: bool,
    /// What it says of its token's life.
    lives: Vec<String>,
    ends_otherwise: bool,
    family: Option<String>,
}

impl Plain {
    fn of(members: &Members) -> Self {
        let last = |name: &str| members.texts(name).filter_map(text_of).last();
        let said = |name: &'static str| members.texts(name).filter(|text| *text != "null");
        Self {
            access: last("access_token"),
            refresh: last("refresh_token"),
            id: last("id_token"),
            has_error: last("error").is_some(),
            lives: said("expires_in").map(str::to_owned).collect(),
            ends_otherwise: ["expires_on", "expires_at", "expires"]
                .into_iter()
                .any(|name| said(name).next().is_some()),
            family: last("foci"),
        }
    }

    fn has_token(&self) -> bool {
        self.access.is_some() || self.refresh.is_some() || self.id.is_some()
    }

    /// The most that may be believed; `None` is for ever.
    fn most(&self) -> Option<f64> {
        let most = |text: &String| {
            let text = serde_json::from_str::<String>(text).unwrap_or(text.clone());
            let number = text
                .trim()
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite() && *number <= 315_360_000.0);
            number.map_or(3600.0, |number| number.max(0.0))
        };
        let otherwise = (self.lives.is_empty() && self.ends_otherwise).then_some(3600.0);
        self.lives.iter().map(most).chain(otherwise).reduce(f64::min)
    }
}

/// A text that says something.
fn text_of(json: &str) -> Option<String> {
    serde_json::from_str::<String>(json).ok().filter(|text| !text.trim().is_empty())
}

fn check(body: &[u8], client: u8, is_hidden: bool) {
    let read = within((64 << 10) + 64 * body.len(), || TokenAnswer::read(body));
    if let Err(error) = &read {
        let at = [".", "error", "access_token"];
        let is_named = !matches!(error, TokenRequestError::Unreadable { at: field } if !at.contains(&field.as_str()));
        assert!(is_named, "{error}");
        hides(error, is_hidden);
    }
    if let Ok(answer) = &read {
        assert_eq!(format!("{answer:?}"), "TokenAnswer(..)");
        written_and_read(answer);
    }
    // (Another encoding matters only where it is.)
    let Ok(text) = std::str::from_utf8(body) else {
        return drop(refreshed(body, client, is_hidden));
    };
    let Some(object) = Members::parse(text.strip_prefix('\u{feff}').unwrap_or(text)) else {
        // What breaks off may have said how long.
        if let Ok(answer) = &read {
            assert!(answer.expires_in().is_some(), "for ever, of what cannot be read whole");
        }
        return drop(refreshed(body, client, is_hidden));
    };
    let outside = Plain::of(&object);
    let user =
        object.texts("authed_user").filter_map(Members::parse).map(|user| Plain::of(&user)).last();
    let (plain, is_within) = match user {
        Some(user) if !outside.has_token() && user.has_token() => {
            (Plain { has_error: user.has_error || outside.has_error, ..user }, true)
        }
        _ => (outside, false),
    };
    let is_error = plain.has_error && plain.access.is_none();
    assert_eq!(read.is_ok(), plain.has_token() && !is_error, "{object:?}");
    if let Ok(answer) = &read {
        agrees(answer, &plain);
    }
    let (acquired, stored) = refreshed(body, client, is_hidden);
    let is_ours = client % 4 < 2;
    if is_error || (is_within && !is_ours) {
        // The crate's own types read no error where there is a name for an access token, and nothing within.
        return;
    }
    match plain
        .refresh
        .filter(|text| !text.chars().any(char::is_control) && text.len() <= MAX_TOKEN_BYTES)
    {
        Some(new) => assert!(stored.iter().any(|stored| *stored == new), "a refresh token is lost"),
        // (One that cannot be stored has spent the old one.)
        None => assert!(
            stored == ["rt-0"] || object.texts("refresh_token").count() > 0 || is_within,
            "the old one is lost"
        ),
    }
    if let Ok(token) = acquired {
        assert_eq!(Some(token.secret.expose()), plain.access.as_deref());
        let life = token
            .expires_at
            .map(|end| end.duration_since(now()).map_or(0.0, |life| life.as_secs_f64()));
        assert_eq!(life, token.lifetime.map(|life| life.as_secs_f64()));
        if is_ours || !plain.ends_otherwise {
            no_more(
                life,
                Plain { family: None, refresh: None, id: None, access: None, ..plain }.most(),
            );
        }
    }
}

fn no_more(life: Option<f64>, most: Option<f64>) {
    assert!(most.is_none_or(|most| life.is_some_and(|life| life <= most)), "{life:?} of {most:?}");
}

/// What is read is what a plain reading reads.
fn agrees(answer: &TokenAnswer, plain: &Plain) {
    let access =
        Some(answer.access_token().secret().as_str()).filter(|_| answer.has_access_token());
    assert_eq!(access, plain.access.as_deref());
    assert_eq!(
        answer.refresh_token().map(|token| token.secret().as_str()),
        plain.refresh.as_deref()
    );
    assert_eq!(answer.id_token(), plain.id.as_deref());
    assert_eq!(answer.fields().family_id(), plain.family.as_deref());
    let life = answer.expires_in().map(|life| life.as_secs_f64());
    assert_eq!(life.is_some(), plain.most().is_some());
    no_more(life, plain.most());
}

fn written_and_read(answer: &TokenAnswer) {
    let written = serde_json::to_string(answer).expect("it can be written");
    let again: TokenAnswer = serde_json::from_str(&written).expect("it can be read again");
    assert_eq!(serde_json::to_string(&again).expect("it can be written"), written);
    assert_eq!((again.expires_in(), again.scopes()), (answer.expires_in(), answer.scopes()));
}

fn now() -> std::time::SystemTime {
    std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// A refresh of `rt-0` that is answered so: what came of it, and all refresh tokens that are stored then.
fn refreshed(
    body: &[u8],
    client: u8,
    is_hidden: bool,
) -> (std::result::Result<AccessToken, AcquireError>, Vec<String>) {
    let store =
        Machine::new().builder().clock(ManualClock::new(now())).open().expect("a new store");
    let account = AccountId::new("https://login.example.com", "user").expect("an account");
    let tenant = TenantId::new("tenant").expect("a tenant");
    let live = store.sign_in(SignIn::new(account.clone(), tenant)).expect("a sign-in");
    let web = ClientId::new("web").expect("a client");
    live.put(RefreshToken::new(web.clone(), "rt-0")).expect("a put");
    let acquired =
        Acquirer::new().acquire(&live, AccessQuery::new(web), |grant| match client % 4 {
            0 => by::<TokenAnswer>(grant, body),
            1 => Ok(grant.tokens(&TokenAnswer::read(body).map_err(RefreshError::from_oauth2)?)?),
            2 => by::<BasicTokenResponse>(grant, body),
            _ => by::<ProviderTokenResponse>(grant, body),
        });
    if let Err(error) = &acquired {
        hides(error, is_hidden);
    }
    let taken = store
        .sign_out(SignOut::account(&account).taking_refresh_tokens())
        .expect("a sign-out")
        .refresh_tokens;
    let stored = taken.iter().map(|token| token.secret.expose().to_owned()).collect();
    (acquired, stored)
}

type Client<R> = oauth2::Client<
    Refusal,
    R,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
>;

fn by<R: TokenResponse>(grant: &Grant, body: &[u8]) -> std::result::Result<Tokens, RefreshError> {
    let client: Client<R> = Client::new(oauth2::ClientId::new("web".into()));
    let client = client.set_token_uri(
        TokenUrl::new("https://login.example.com/token".into()).expect("an address"),
    );
    let http = |_: HttpRequest| -> std::io::Result<HttpResponse> {
        Ok(oauth2::http::Response::new(body.to_vec()))
    };
    let token = oauth2::RefreshToken::new("rt-0".into());
    let response =
        client.exchange_refresh_token(&token).request(&http).map_err(RefreshError::from_oauth2)?;
    Ok(grant.tokens(&response)?)
}

/// Nothing of an answer is shown by an error, nor by what caused it.
fn hides(error: &(dyn Error + 'static), is_hidden: bool) {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let shown = format!("{error} {error:?}");
        assert!(!is_hidden || !shown.contains("needle"), "{shown}");
        cause = error.source();
    }
}
