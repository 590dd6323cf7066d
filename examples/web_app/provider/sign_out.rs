//! Demonstration: signing out: asked for by an app (RP-Initiated Logout 1.0) or on this provider's page; and how apps are told of it
//! (Back-Channel Logout 1.0, Front-Channel Logout 1.0).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures::future::join_all;
use openidconnect::url::{Url, form_urlencoded};
use serde_json::json;

use super::state::{Session, Shared, Tell, now, random};
use super::{Client, is_ours, page};

type Params = HashMap<String, String>;

/// How long an app may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// What became of telling an app.
pub(super) struct Told {
    pub(super) client: String,
    /// What it answered; nothing, if it did not.
    pub(super) status: Option<u16>,
}

/// What is left for the user's browser to do.
pub(super) struct Ended {
    pub(super) told: Vec<Told>,
    /// Addresses for its frames, with whose they are.
    pub(super) frames: Vec<(String, String)>,
}

pub(super) async fn end_session(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Query(params): Query<Params>,
) -> Response {
    let hint = params.get("id_token_hint").and_then(|hint| shared.keys.claims(hint));
    let claim = |name: &str| hint.as_ref().and_then(|claims| claims[name].as_str());
    let session = shared.lock().session(&headers);
    let back = back(&shared, claim("aud"), &params);
    match session {
        None => page::gone(&shared, back.as_ref(), &Ended { told: Vec::new(), frames: Vec::new() }),
        // The app shows that it knows this session: it has asked its user already.
        Some((cookie, session)) if claim("sid") == Some(&session.sid) => {
            end_here(&shared, &cookie, back).await
        }
        Some((_, session)) => page::confirm(&shared, &session, &params, claim("aud")),
    }
}

/// As the specification also has it. No cookie comes with another site's form, so that this asks at most.
pub(super) async fn end_session_by_post(
    state: State<Arc<Shared>>,
    headers: HeaderMap,
    Form(params): Form<Params>,
) -> Response {
    end_session(state, headers, Query(params)).await
}

/// The user's answer to the question whether to sign out.
pub(super) async fn answer(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(params): Form<Params>,
) -> Response {
    if !is_ours(&shared, &headers) {
        return not_ours(&shared);
    }
    let back = back(&shared, None, &params);
    let session = shared.lock().session(&headers);
    match session.filter(|_| params.get("answer").is_some_and(|answer| answer == "yes")) {
        Some((cookie, _)) => end_here(&shared, &cookie, back).await,
        None => page::redirect(back.as_ref().map_or("/", |back| back.as_str())),
    }
}

/// Every session of this browser's user ends, in all browsers.
pub(super) async fn everywhere(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if !is_ours(&shared, &headers) {
        return not_ours(&shared);
    }
    let Some((_, session)) = shared.lock().session(&headers) else { return page::redirect("/") };
    let told = end_of_user(&shared, session.who.user.id).await;
    // Other browsers' frames are not to be had: who is told by the front channel alone learns of this browser's session.
    let ended = Ended { told, frames: frames(&shared, &session) };
    page::with_cookie(page::gone(&shared, None, &ended), &Shared::no_cookie())
}

/// By which channels apps are told, from now on.
pub(super) async fn tell(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(params): Form<Params>,
) -> Response {
    if !is_ours(&shared, &headers) {
        return not_ours(&shared);
    }
    let by = match params.get("tell").map(String::as_str) {
        Some("back") => Tell::BackChannel,
        Some("front") => Tell::FrontChannel,
        _ => Tell::Both,
    };
    shared.lock().tell = by;
    page::redirect("/")
}

/// Ends the user's sessions in all browsers.
pub(super) async fn end_of_user(shared: &Arc<Shared>, user: &str) -> Vec<Told> {
    let cookies: Vec<_> = {
        let all = shared.lock();
        let of_user = all.sessions.iter().filter(|(_, session)| session.who.user.id == user);
        of_user.map(|(cookie, _)| cookie.clone()).collect()
    };
    let ended: Vec<_> = cookies.iter().filter_map(|cookie| end(shared, cookie)).collect();
    tell_all(shared, ended).await
}

async fn end_here(shared: &Arc<Shared>, cookie: &str, back: Option<Url>) -> Response {
    let Some(session) = end(shared, cookie) else { return page::redirect("/") };
    let frames = frames(shared, &session);
    let ended = Ended { told: tell_all(shared, vec![session]).await, frames };
    page::with_cookie(page::gone(shared, back.as_ref(), &ended), &Shared::no_cookie())
}

/// The session is over, with the refresh tokens that were to live no longer than it.
fn end(shared: &Shared, cookie: &str) -> Option<Session> {
    let mut all = shared.lock();
    let session = all.sessions.remove(cookie)?;
    all.families.retain(|_, family| {
        let is_offline =
            family.granted.asked.scope.split(' ').any(|scope| scope == "offline_access");
        is_offline || family.granted.sid != session.sid
    });
    Some(session)
}

/// By the back channel, all at once; once each, as the specification asks for no more. It goes on though the browser hangs up.
async fn tell_all(shared: &Arc<Shared>, sessions: Vec<Session>) -> Vec<Told> {
    if !shared.lock().tell.is_back() {
        return Vec::new();
    }
    let shared = shared.clone();
    let telling = tokio::spawn(async move {
        let apps = sessions
            .iter()
            .flat_map(|session| session.clients.iter().map(move |client| (session, client)));
        let apps = apps.filter_map(|(session, client)| Some((session, shared.client(client)?)));
        join_all(apps.filter_map(|(session, client)| {
            Some(tell_one(&shared, session, client, client.back_channel.as_deref()?))
        }))
        .await
    });
    telling.await.unwrap_or_default()
}

async fn tell_one(shared: &Shared, session: &Session, client: &Client, uri: &str) -> Told {
    let now = now();
    let token = shared.keys.sign(
        "logout+jwt",
        &json!({
            "iss": shared.issuer, "aud": client.id, "iat": now, "exp": now + 120, "jti": random(),
            "sub": session.who.user.id, "sid": session.sid, "events": {EVENT: {}},
        }),
    );
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("logout_token", &token)
        .finish();
    let request = shared
        .http
        .post(uri)
        .timeout(PATIENCE)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    let status = request.send().await.ok().map(|answer| answer.status());
    let mut all = shared.lock();
    match status {
        Some(status) if status.is_success() => all.counts.told += 1,
        _ => all.counts.not_told += 1,
    }
    Told { client: client.id.clone(), status: status.map(|status| status.as_u16()) }
}

/// By the front channel: what this browser is to fetch.
fn frames(shared: &Shared, session: &Session) -> Vec<(String, String)> {
    if !shared.lock().tell.is_front() {
        return Vec::new();
    }
    let apps = session.clients.iter().filter_map(|client| shared.client(client));
    let frame = |client: &Client| {
        let mut url = Url::parse(client.front_channel.as_deref()?).ok()?;
        url.query_pairs_mut()
            .extend_pairs([("iss", shared.issuer.as_str()), ("sid", &session.sid)]);
        Some((client.id.clone(), url.into()))
    };
    apps.filter_map(frame).collect()
}

/// Where the app wants its user back: only to where it is registered.
fn back(shared: &Shared, hinted: Option<&str>, params: &Params) -> Option<Url> {
    let client = shared.client(hinted.or(params.get("client_id").map(String::as_str))?)?;
    let uri = params
        .get("post_logout_redirect_uri")
        .filter(|uri| client.post_logout_redirect_uris.contains(uri))?;
    let mut url = Url::parse(uri).ok()?;
    if let Some(state) = params.get("state") {
        url.query_pairs_mut().append_pair("state", state);
    }
    Some(url)
}

fn not_ours(shared: &Shared) -> Response {
    page::problem(
        shared,
        StatusCode::FORBIDDEN,
        "This form was not sent from a page of this provider.",
    )
}
