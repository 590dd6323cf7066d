//! Demonstration: the token endpoint (RFC 6749, with rotation as in RFC 9700 §4.14.2) and introspection (RFC 7662).
//!
//! What was issued goes on to count after a sign-out: access tokens until they expire, and with `offline_access` the refresh token too, as at most
//! providers. It is the apps that must forget them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use openidconnect::url::form_urlencoded;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Client;
use super::state::{Access, All, Family, Granted, Shared, now, random};

type Params = HashMap<String, String>;

/// The longest that an answer can be asked to take.
const MOST_DELAY: Duration = Duration::from_secs(60);

pub(super) async fn token(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(params): Form<Params>,
) -> Response {
    let Some(client) = authenticated(&shared, &headers, &params) else {
        return refused(StatusCode::UNAUTHORIZED, "invalid_client");
    };
    let outcome = match params.get("grant_type").map(String::as_str) {
        Some("authorization_code") => redeem(&shared, client, &params),
        Some("refresh_token") => refresh(&shared, client, &params),
        _ => Err("unsupported_grant_type"),
    };
    // For trying what happens meanwhile: the tokens are made, and the answer is late.
    let delay =
        params.get("delay_ms").and_then(|delay| delay.parse().ok()).map(Duration::from_millis);
    if let Some(delay) = delay {
        tokio::time::sleep(delay.min(MOST_DELAY)).await;
    }
    match outcome {
        Ok(tokens) => answer(StatusCode::OK, tokens),
        Err(error) => refused(StatusCode::BAD_REQUEST, error),
    }
}

pub(super) async fn introspect(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(params): Form<Params>,
) -> Response {
    if authenticated(&shared, &headers, &params).is_none() {
        return refused(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    let all = shared.lock();
    let access = params
        .get("token")
        .and_then(|token| all.access.get(token))
        .filter(|access| access.until > now());
    let told = access.map_or(json!({"active": false}), |Access { granted, until }| {
        json!({
            "active": true, "iss": shared.issuer, "sub": granted.who.user.id, "username": granted.who.user.name, "tenant": granted.who.tenant,
            "client_id": granted.asked.client, "scope": granted.asked.scope, "exp": until, "token_type": "Bearer",
        })
    });
    drop(all);
    answer(StatusCode::OK, told)
}

fn redeem(shared: &Shared, client: &Client, params: &Params) -> Result<Value, &'static str> {
    let mut all = shared.lock();
    // It counts once, also if what follows fails.
    let granted =
        params.get("code").and_then(|code| all.codes.remove(code)).ok_or("invalid_grant")?;
    let verifier = params.get("code_verifier").map_or("", String::as_str);
    let challenge = Base64UrlUnpadded::encode_string(&Sha256::digest(verifier.as_bytes()));
    let asked = &granted.asked;
    let is_right = asked.client == client.id
        && asked.challenge == challenge
        && params.get("redirect_uri") == Some(&asked.redirect_uri);
    if !is_right || asked.until <= now() || !all.has_session(&granted.sid) {
        return Err("invalid_grant");
    }
    let family = random();
    let nonce = granted.asked.nonce.clone();
    all.families.insert(family.clone(), Family { granted, newest: String::new(), used: now() });
    tokens(shared, &mut all, &family, nonce.as_deref())
}

fn refresh(shared: &Shared, client: &Client, params: &Params) -> Result<Value, &'static str> {
    let token = params.get("refresh_token").map_or("", String::as_str);
    let family = token.split('.').next().unwrap_or_default();
    let mut all = shared.lock();
    all.counts.refreshes += 1;
    let found = all
        .families
        .get(family)
        .filter(|found| found.granted.asked.client == client.id)
        .ok_or("invalid_grant")?;
    if found.newest != token {
        // Two have it: which of them is the app, nobody knows.
        all.counts.reuses += 1;
        all.families.remove(family);
        return Err("invalid_grant");
    }
    tokens(shared, &mut all, family, None)
}

fn tokens(
    shared: &Shared,
    all: &mut All,
    family: &str,
    nonce: Option<&str>,
) -> Result<Value, &'static str> {
    all.prune();
    let (now, life) = (now(), shared.access_life.as_secs());
    let (access, refresh) = (random(), format!("{family}.{}", random()));
    let found = all.families.get_mut(family).ok_or("invalid_grant")?;
    (found.newest, found.used) = (refresh.clone(), now);
    let granted = found.granted.clone();
    let told = json!({
        "access_token": access, "token_type": "Bearer", "expires_in": life, "refresh_token": refresh, "scope": granted.asked.scope,
        "id_token": id_token(shared, &granted, nonce, &access),
    });
    all.access.insert(access, Access { granted, until: now + life });
    Ok(told)
}

fn id_token(shared: &Shared, granted: &Granted, nonce: Option<&str>, access: &str) -> String {
    let (now, who) = (now(), &granted.who);
    let digest = Sha256::digest(access.as_bytes());
    let half = digest.split_at(digest.len() / 2).0;
    let mut claims = json!({
        "iss": shared.issuer, "sub": who.user.id, "aud": granted.asked.client, "iat": now, "exp": now + 300, "auth_time": granted.since,
        "sid": granted.sid, "name": who.user.name, "tenant": who.tenant, "at_hash": Base64UrlUnpadded::encode_string(half),
    });
    if let Some(nonce) = nonce {
        claims["nonce"] = nonce.into();
    }
    shared.keys.sign("JWT", &claims)
}

/// The client that this request is of: by HTTP Basic, form-encoded as RFC 6749 §2.3.1 has it, or by the form.
fn authenticated<'a>(
    shared: &'a Shared,
    headers: &HeaderMap,
    params: &Params,
) -> Option<&'a Client> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (id, secret) = match given {
        Some(given) => {
            let text =
                String::from_utf8(Base64::decode_vec(given.strip_prefix("Basic ")?).ok()?).ok()?;
            let (id, secret) = text.split_once(':')?;
            (decoded(id)?, decoded(secret)?)
        }
        None => (params.get("client_id")?.clone(), params.get("client_secret")?.clone()),
    };
    shared.client(&id).filter(|client| client.secret == secret)
}

fn decoded(text: &str) -> Option<String> {
    let name = form_urlencoded::parse(text.as_bytes()).next()?.0;
    Some(name.into_owned())
}

fn refused(status: StatusCode, error: &str) -> Response {
    answer(status, json!({ "error": error }))
}

fn answer(status: StatusCode, told: Value) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(told)).into_response()
}
