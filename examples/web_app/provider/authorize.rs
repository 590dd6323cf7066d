//! Demonstration: the authorization endpoint. Who has a session here is sent back at once; anybody else chooses who to be.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use openidconnect::url::Url;

use super::state::{Asked, Granted, Session, Shared, Who, now, random};
use super::{is_ours, page};

type Params = HashMap<String, String>;

/// How long users may think, and apps until they redeem the code; in seconds.
const CHOICE: u64 = 600;
const CODE: u64 = 60;

pub(super) async fn authorize(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Query(mut params): Query<Params>,
) -> Response {
    let client = params.get("client_id").and_then(|id| shared.client(id));
    let redirect_uri = params.remove("redirect_uri");
    let known = client.zip(redirect_uri).filter(|(client, uri)| client.redirect_uris.contains(uri));
    // Never redirected to where nobody is registered (RFC 6749 §3.1.2.4).
    let Some((client, redirect_uri)) = known else {
        return page::problem(
            &shared,
            StatusCode::BAD_REQUEST,
            "No app with this address is registered here.",
        );
    };
    let state = params.remove("state");
    let refused = |error: &str| back(&shared, &redirect_uri, state.as_deref(), ("error", error));
    let scope = params.remove("scope").unwrap_or_default();
    if params.get("response_type").is_none_or(|kind| kind != "code") {
        return refused("unsupported_response_type");
    }
    if !scope.split(' ').any(|scope| scope == "openid") {
        return refused("invalid_scope");
    }
    let is_s256 = params.get("code_challenge_method").is_some_and(|method| method == "S256");
    let Some(challenge) = params.remove("code_challenge").filter(|_| is_s256) else {
        return refused("invalid_request");
    };
    let (client, nonce) = (client.id.clone(), params.remove("nonce"));
    let asked = Asked { client, redirect_uri, state, nonce, scope, challenge, until: 0 };
    grant_or_choose(&shared, &headers, &params, asked)
}

/// Grants what was asked for if the browser has a session that fits. Otherwise the user chooses who
/// to be, unless the app does not want a page.
fn grant_or_choose(
    shared: &Shared,
    headers: &HeaderMap,
    params: &Params,
    asked: Asked,
) -> Response {
    let prompt = params.get("prompt").map_or("", String::as_str);
    // `login_hint` names a user; `tenant`, a parameter of ours, where.
    let is_hinted = |who: &Who| {
        let is = |name: &str, value: &str| {
            params.get(name).is_none_or(|hint| hint.is_empty() || hint == value)
        };
        is("login_hint", who.user.id) && is("tenant", &who.tenant)
    };
    let session = shared.lock().session(headers).map(|(_, session)| session);
    match session
        .filter(|session| !["login", "select_account"].contains(&prompt) && is_hinted(&session.who))
    {
        Some(session) => grant(shared, asked, &session.sid),
        None if prompt == "none" => {
            let told = ("error", "login_required");
            back(shared, &asked.redirect_uri, asked.state.as_deref(), told)
        }
        None => {
            let id = random();
            let app = asked.client.clone();
            let mut all = shared.lock();
            all.prune();
            all.requests.insert(id.clone(), Asked { until: now() + CHOICE, ..asked });
            drop(all);
            page::choose(shared, &app, &id, is_hinted)
        }
    }
}

/// Somebody has chosen who to be.
pub(super) async fn sign_in(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(params): Form<Params>,
) -> Response {
    // Else another site could sign the browser in, as whom it likes.
    if !is_ours(&shared, &headers) {
        return page::problem(
            &shared,
            StatusCode::FORBIDDEN,
            "This form was not sent from a page of this provider.",
        );
    }
    let who = params.get("as").and_then(|who| Who::parse(shared.users, who));
    let asked = params
        .get("request")
        .and_then(|id| shared.lock().requests.remove(id))
        .filter(|asked| asked.until > now());
    let (Some(who), Some(asked)) = (who, asked) else {
        return page::problem(
            &shared,
            StatusCode::BAD_REQUEST,
            "This page was open for too long, or used before. Begin anew in the app.",
        );
    };
    let (cookie, sid) = (random(), random());
    let mut all = shared.lock();
    // The session of the same user from before stays as it is, in no browser: its apps still have
    // to be told when the user signs out everywhere.
    all.sessions.insert(
        cookie.clone(),
        Session { sid: sid.clone(), who, since: now(), clients: BTreeSet::new() },
    );
    drop(all);
    page::with_cookie(grant(&shared, asked, &sid), &Shared::cookie(&cookie))
}

/// Back to the app, with a code.
fn grant(shared: &Shared, asked: Asked, sid: &str) -> Response {
    let code = random();
    let (uri, state) = (asked.redirect_uri.clone(), asked.state.clone());
    let mut all = shared.lock();
    let Some(session) = all.sessions.values_mut().find(|session| session.sid == sid) else {
        drop(all);
        return back(shared, &uri, state.as_deref(), ("error", "login_required"));
    };
    session.clients.insert(asked.client.clone());
    let (who, sid, since) = (session.who.clone(), session.sid.clone(), session.since);
    all.codes.insert(
        code.clone(),
        Granted { asked: Asked { until: now() + CODE, ..asked }, who, sid, since },
    );
    drop(all);
    back(shared, &uri, state.as_deref(), ("code", &code))
}

fn back(shared: &Shared, uri: &str, state: Option<&str>, told: (&str, &str)) -> Response {
    let Ok(mut url) = Url::parse(uri) else {
        return page::problem(
            shared,
            StatusCode::BAD_REQUEST,
            "The app is registered with an address that is none.",
        );
    };
    let pairs =
        [Some(told), state.map(|state| ("state", state)), Some(("iss", shared.issuer.as_str()))];
    url.query_pairs_mut().extend_pairs(pairs.into_iter().flatten());
    page::redirect(url.as_str())
}
