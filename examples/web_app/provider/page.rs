//! Demonstration: the provider's pages. They need no script; the only one saves a click after the frames of a sign-out.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use openidconnect::url::Url;

use super::sign_out::Ended;
use super::state::{Session, Shared, Tell, Who};

pub(super) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("style.css")).into_response()
}

pub(super) async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("signed_out.js"))
        .into_response()
}

/// Who is signed in here, and the buttons for signing out.
pub(super) async fn home(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let (session, elsewhere, tell) = {
        let all = shared.lock();
        let session = all.session(&headers).map(|(_, session)| session);
        let user = session.as_ref().map(|session| session.who.user.id);
        let all_of_user =
            all.sessions.values().filter(|session| Some(session.who.user.id) == user).count();
        (session, all_of_user.saturating_sub(1), all.tell)
    };
    let who = match &session {
        None => r#"<p id="who" data-user="">Nobody is signed in with this browser.</p>"#.to_owned(),
        Some(session) => {
            let Who { user, tenant } = &session.who;
            let apps: String =
                session.clients.iter().map(|app| format!("<li>{}</li>", escaped(app))).collect();
            format!(
                r#"<p id="who" data-user="{}" data-tenant="{tenant}">You are <strong>{}</strong>, of <strong>{tenant}</strong>. Apps that you signed in to:</p>
<ul>{apps}</ul>
<div class="buttons">
<form method="post" action="/end-session/answer"><button id="end-session" name="answer" value="yes">Sign out of these apps</button></form>
<form method="post" action="/end-everywhere"><button id="end-everywhere">Sign out everywhere</button></form>
</div>
<p>Everywhere: in other browsers too. You have {elsewhere} more of them.</p>"#,
                user.id, user.name
            )
        }
    };
    let body = format!(
        r#"{who}
{}
<nav aria-label="Apps"><ul>{}</ul></nav>"#,
        tell_form(tell),
        links(&shared)
    );
    page(&shared, StatusCode::OK, "Your sign-ins", &body)
}

/// The form that sets by which channels apps are told of a sign-out.
fn tell_form(tell: Tell) -> String {
    let radio = |value: &str, label: &str, is_on: bool| {
        let checked = if is_on { " checked" } else { "" };
        format!(
            r#"<label><input type="radio" name="tell" value="{value}"{checked}> {label}</label>"#
        )
    };
    format!(
        r#"<form id="tell" method="post" action="/tell"><fieldset><legend>How apps are told of a sign-out</legend>
{}{}{}<button>Set</button></fieldset></form>"#,
        radio(
            "back",
            "by the back channel: this server posts a signed token to them",
            tell == Tell::BackChannel
        ),
        radio(
            "front",
            "by the front channel: this browser fetches a page of theirs, in a frame",
            tell == Tell::FrontChannel
        ),
        radio("both", "by both", tell == Tell::Both)
    )
}

/// Who to be.
pub(super) fn choose(
    shared: &Shared,
    app: &str,
    request: &str,
    is_hinted: impl Fn(&Who) -> bool,
) -> Response {
    let mut buttons = String::new();
    // A hint that fits nobody is none.
    let is_any = Who::all(shared.users).any(|who| is_hinted(&who));
    for who in Who::all(shared.users).filter(|who| !is_any || is_hinted(who)) {
        let Who { user, tenant } = &who;
        let guest = if user.tenants.len() > 1 { ", a guest" } else { "" };
        _ = write!(
            buttons,
            r#"<li><button name="as" value="{} {tenant}"><strong>{}</strong>{guest} <span>of {tenant}</span></button></li>"#,
            user.id, user.name
        );
    }
    let body = format!(
        r#"<p><strong>{}</strong> asks who you are. Nobody has a password here.</p>
<form method="post" action="/sign-in"><input type="hidden" name="request" value="{}"><ul class="choice">{buttons}</ul></form>"#,
        escaped(app),
        escaped(request)
    );
    page(shared, StatusCode::OK, "Sign in as", &body)
}

/// Whether to sign out: an app that does not show that it knows the session may not decide.
pub(super) fn confirm(
    shared: &Shared,
    session: &Session,
    params: &HashMap<String, String>,
    client: Option<&str>,
) -> Response {
    let client = client.or(params.get("client_id").map(String::as_str));
    let parameter = |name: &'static str| params.get(name).map(|value| (name, value.as_str()));
    let kept = [
        client.map(|client| ("client_id", client)),
        parameter("post_logout_redirect_uri"),
        parameter("state"),
    ];
    let mut hidden = String::new();
    for (name, value) in kept.into_iter().flatten() {
        _ = write!(hidden, r#"<input type="hidden" name="{name}" value="{}">"#, escaped(value));
    }
    let Who { user, tenant } = &session.who;
    let body = format!(
        r#"<p>You are <strong>{}</strong>, of <strong>{tenant}</strong>. Do you want to sign out of all apps in this browser?</p>
<form method="post" action="/end-session/answer" class="buttons">{hidden}
<button id="confirm" name="answer" value="yes">Sign out</button> <button id="stay" name="answer" value="no">Stay signed in</button></form>"#,
        user.name
    );
    page(shared, StatusCode::OK, "Sign out?", &body)
}

/// The session is over: on to the app at once, but if this browser has frames to fetch first.
pub(super) fn gone(shared: &Shared, back: Option<&Url>, ended: &Ended) -> Response {
    if let Some(back) = back.filter(|_| ended.frames.is_empty()) {
        return redirect(back.as_str());
    }
    let mut told = String::new();
    for one in &ended.told {
        let status = one.status.map_or("no answer".into(), |status| status.to_string());
        let client = escaped(&one.client);
        _ = write!(
            told,
            r#"<li data-client="{client}" data-channel="back" data-status="{status}">{client}, by the back channel: {status}</li>"#
        );
    }
    for (client, url) in &ended.frames {
        let (client, url) = (escaped(client), escaped(url));
        _ = write!(
            told,
            r#"<li data-client="{client}" data-channel="front">{client}, by the front channel:
<iframe src="{url}" title="Sign-out of {client}" tabindex="-1"></iframe></li>"#
        );
    }
    let told = if told.is_empty() {
        String::new()
    } else {
        format!(r#"<p>Told of it:</p><ul id="told">{told}</ul>"#)
    };
    let on = match back {
        Some(back) => {
            let app = origin(back.as_str()).unwrap_or_default();
            format!(
                r#"<p><a id="continue" href="{}">Continue to {}</a></p><script src="/signed_out.js"></script>"#,
                escaped(back.as_str()),
                escaped(&app)
            )
        }
        None => format!(r#"<nav aria-label="Apps"><ul>{}</ul></nav>"#, links(shared)),
    };
    page(shared, StatusCode::OK, "You are signed out", &format!("{told}{on}"))
}

pub(super) fn problem(shared: &Shared, status: StatusCode, text: &str) -> Response {
    page(shared, status, "This did not work", &format!("<p>{}</p>", escaped(text)))
}

pub(super) fn redirect(to: &str) -> Response {
    Redirect::to(to).into_response()
}

pub(super) fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn page(shared: &Shared, status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - development provider</title><link rel="stylesheet" href="/style.css"><link rel="icon" href="data:,"></head>
<body><header><p>Development provider. <strong>Never for production</strong>: anybody can be anybody here.</p></header>
<main><h1>{title}</h1>
{body}
</main></body></html>
"#
    );
    let frames =
        origins(shared.clients.iter().filter_map(|client| client.front_channel.as_deref()));
    // Browsers hold a form's redirects to this too: those that sign in or out lead back to an app.
    let apps =
        origins(shared.clients.iter().flat_map(|client| {
            client.redirect_uris.iter().chain(&client.post_logout_redirect_uris)
        }));
    let policy = format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; frame-src 'self' {frames}; form-action 'self' {apps}; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not `no-referrer`: browsers then say of our own forms too that they come from nowhere.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let mut response = (status, Html(html)).into_response();
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// To where apps have their users back.
fn links(shared: &Shared) -> String {
    let apps = shared
        .clients
        .iter()
        .filter_map(|client| Some((&client.id, client.post_logout_redirect_uris.first()?)));
    apps.map(|(id, uri)| format!(r#"<li><a href="{}">To {}</a></li>"#, escaped(uri), escaped(id)))
        .collect()
}

fn origins<'a, S: AsRef<str> + ?Sized + 'a>(urls: impl Iterator<Item = &'a S>) -> String {
    let origins: BTreeSet<_> = urls.filter_map(|url| origin(url.as_ref())).collect();
    origins.into_iter().collect::<Vec<_>>().join(" ")
}

fn origin(url: &str) -> Option<String> {
    Some(Url::parse(url).ok()?.origin().ascii_serialization())
}

/// As text between tags, or between double quotes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
