//! **Demonstration.** The page as HTML.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use oubliette::AsyncSignIn;

use super::Board;
use super::events::Event;
use super::view::{Ledger, SignIn, View, name_of};

/// The whole page around `inner`.
pub(super) fn whole(inner: &str) -> String {
    format!(
        r##"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Oubliette: signed out is signed out</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/style.css">
<script src="/live.js" defer></script>
</head>
<body>
<a class="skip" href="#board">To the content</a>
<header>
<h1>Signed out is signed out</h1>
<p>A web app that keeps its users' tokens in <strong>Oubliette</strong>. Sign in, in several browsers; then sign out, here or anywhere, and watch the tokens go.</p>
</header>
<main id="board" tabindex="-1">{inner}</main>
<footer>
<p>A demonstration on this machine. Its provider asks for no password: it is for development, never for production.</p>
</footer>
</body>
</html>
"##
    )
}

/// What changes.
pub(super) fn inner(
    board: &Board,
    view: &View,
    me: Option<&AsyncSignIn>,
    answer: Option<&str>,
) -> String {
    let mut html = String::new();
    this_browser(&mut html, board, me, answer);
    store(&mut html, view);
    happened(&mut html, board);
    html
}

fn this_browser(html: &mut String, board: &Board, me: Option<&AsyncSignIn>, answer: Option<&str>) {
    let (user, tenant) = me.map_or_else(Default::default, |me| {
        (name_of(me.account()), me.tenant().as_str().to_owned())
    });
    let (user, tenant) = (escaped(&user), escaped(&tenant));
    add(
        html,
        format_args!(
            r#"<section class="here" aria-labelledby="here"><h2 id="here">This browser</h2>"#
        ),
    );
    add(html, format_args!(r#"<p id="me" data-user="{user}" data-tenant="{tenant}">"#));
    if me.is_some() {
        add(
            html,
            format_args!(
                r#"Signed in as <strong>{user}</strong> in <strong>{tenant}</strong>.</p>"#
            ),
        );
        html.push_str(r#"<div class="actions">"#);
        button(html, "call-api", "/call-api", "Call the API", "");
        button(html, "slow-refresh", "/slow-refresh", "Start a slow refresh", "quiet");
        button(html, "sign-out", "/sign-out", "Sign out", "ends");
        html.push_str("</div>");
    } else {
        html.push_str("Nobody is signed in.</p>");
        html.push_str(
            r#"<p class="actions"><a id="sign-in" class="button" href="/login">Sign in</a> "#,
        );
        html.push_str(
            r#"<a id="sign-in-another" class="button quiet" href="/login?as=another">Sign in as somebody else</a></p>"#,
        );
    }
    let answer = answer.filter(|_| me.is_some()).map(escaped).unwrap_or_default();
    let empty = if answer.is_empty() { " hidden" } else { "" };
    add(
        html,
        format_args!(
            r#"<p class="answer"{empty}>The API says: <output id="api-answer">{answer}</output></p>"#
        ),
    );
    refreshes(html, board);
    elsewhere(html, board);
    html.push_str("</section>");
}

fn refreshes(html: &mut String, board: &Board) {
    let all = board.refreshes.all();
    let empty = if all.is_empty() { " hidden" } else { "" };
    add(
        html,
        format_args!(
            r#"<ul id="refreshes" aria-label="Slow refreshes" aria-live="polite"{empty}>"#
        ),
    );
    for refresh in all {
        let text = match refresh.outcome {
            "under-way" => {
                "the provider has issued new tokens; they are on their way here. Sign out meanwhile."
            }
            "stored" => "the new tokens came, and are stored.",
            "signed-out" => "the new tokens came late: signed out meanwhile. Nothing is stored.",
            _ => "the provider gave no new tokens.",
        };
        let (whom, outcome) = (escaped(&refresh.whom), refresh.outcome);
        add(
            html,
            format_args!(
                r#"<li data-outcome="{outcome}">A refresh for <strong>{whom}</strong>: {text}</li>"#
            ),
        );
    }
    html.push_str("</ul>");
}

fn elsewhere(html: &mut String, board: &Board) {
    html.push_str(r#"<nav aria-label="Elsewhere"><ul class="links">"#);
    for (id, url, text) in [
        (
            "other-app",
            &board.urls.other,
            "The other app: signed in there too, and a sign-out there counts here",
        ),
        ("provider", &board.urls.everywhere, "The provider: sign out everywhere"),
    ] {
        if !url.is_empty() {
            add(html, format_args!(r#"<li><a id="{id}" href="{}">{text}</a></li>"#, escaped(url)));
        }
    }
    html.push_str("</ul></nav>");
}

fn store(html: &mut String, view: &View) {
    html.push_str(
        r#"<section class="store" aria-labelledby="store"><h2 id="store">What the store holds</h2><div class="tenants">"#,
    );
    for (tenant, accounts) in &view.tenants {
        let name = escaped(tenant);
        add(
            html,
            format_args!(
                r#"<section class="tenant" data-tenant="{name}" aria-label="Tenant {name}"><h3>{name}</h3>"#
            ),
        );
        if accounts.is_empty() {
            html.push_str(r#"<p class="empty">Nobody is signed in.</p>"#);
        } else {
            html.push_str(r#"<ul class="accounts">"#);
            for (account, sign_ins) in accounts {
                let account = escaped(account);
                add(
                    html,
                    format_args!(
                        r#"<li data-account="{account}"><h4>{account}</h4><ul class="sign-ins">"#
                    ),
                );
                sign_ins.iter().for_each(|one| sign_in(html, one, view.now));
                html.push_str("</ul></li>");
            }
            html.push_str("</ul>");
        }
        add(
            html,
            format_args!(
                r#"<form method="post" action="/sign-out-tenant" data-action="sign-out-tenant" data-tenant="{name}"><input type="hidden" name="tenant" value="{name}"><button class="ends">Sign out all of {name}</button></form></section>"#
            ),
        );
    }
    html.push_str("</div>");
    if view.has_more {
        html.push_str("<p>And more accounts, which are not listed.</p>");
    }
    let Ledger { position, bytes, reserve, opened_at } = &view.ledger;
    add(
        html,
        format_args!(
            r#"<dl id="ledger" data-position="{position}" data-bytes="{bytes}"><div><dt>Records in the ledger of sign-outs</dt><dd>{position}</dd></div><div><dt>Its size, with room kept for {reserve} more</dt><dd>{}</dd></div><div><dt>The store is open since</dt><dd><time id="opened" datetime="{}">{}</time></dd></div></dl>"#,
            kib(*bytes),
            moment(*opened_at),
            clock(*opened_at),
        ),
    );
    html.push_str(r#"<div class="actions">"#);
    button(html, "sign-out-everybody", "/sign-out-everybody", "Sign out everybody", "ends");
    button(html, "restart", "/restart", "Restart the store", "quiet");
    html.push_str("</div></section>");
}

fn sign_in(html: &mut String, sign_in: &SignIn, now: SystemTime) {
    let SignIn { id, since, is_mine, access, has_refresh, has_id } = sign_in;
    let mine = if *is_mine { r#" <span class="mine">this browser</span>"# } else { "" };
    let short: String = id.chars().take(6).collect();
    add(
        html,
        format_args!(
            r#"<li data-sign-in="{id}"{}><p>Sign-in <code>{short}</code>, since {}{mine}</p><ul class="tokens">"#,
            if *is_mine { " data-mine" } else { "" },
            clock(*since),
        ),
    );
    if let Some(None) = access {
        html.push_str(r#"<li data-token="access">access token</li>"#);
    }
    if let Some(Some(expires_at)) = access {
        let (state, expired) = match expires_at.duration_since(now) {
            Ok(left) => (format!("for {}", lasting(left)), ""),
            Err(_) => ("expired".into(), " data-expired"),
        };
        add(
            html,
            format_args!(
                r#"<li data-token="access"{expired}>access token <time datetime="{}">{state}</time></li>"#,
                moment(*expires_at)
            ),
        );
    }
    if *has_refresh {
        html.push_str(r#"<li data-token="refresh">refresh token</li>"#);
    }
    if *has_id {
        html.push_str(r#"<li data-token="id">ID token</li>"#);
    }
    html.push_str("</ul></li>");
}

fn happened(html: &mut String, board: &Board) {
    html.push_str(r#"<section class="happened" aria-labelledby="happened"><h2 id="happened">Sign-outs that came</h2>"#);
    let events = board.events.all();
    let empty = if events.is_empty() { "" } else { " hidden" };
    add(
        html,
        format_args!(
            r#"<p class="empty"{empty}>None so far.</p><ol id="events" reversed aria-live="polite">"#
        ),
    );
    for event in &events {
        let Event { number, signal, scope, took, .. } = event;
        let micros = took.as_micros();
        add(
            html,
            format_args!(
                r#"<li data-event="{number}" data-signal="{signal}" data-scope="{scope}" data-micros="{micros}">"#
            ),
        );
        let whom = event.whom.as_deref().map(escaped);
        let of = match (*scope, &whom) {
            ("account", Some(whom)) => format!("of <strong>{whom}</strong>, in all browsers"),
            ("session", Some(whom)) => format!(
                "of <strong>{whom}</strong>: a session at the provider, and with it the account"
            ),
            ("session", None) => "of a session at the provider".into(),
            ("subject", Some(whom)) => format!("of <strong>{whom}</strong>, in all sessions"),
            ("tenant", Some(whom)) => format!("of everybody in <strong>{whom}</strong>"),
            _ => "of everybody".into(),
        };
        let by = match *signal {
            "here" => "Signed out here",
            "back-channel" => "Told by the provider (back channel)",
            "front-channel" => "Told by the provider's page (front channel)",
            "tenant" => "Tenant signed out",
            _ => "Everybody signed out",
        };
        let position = event
            .position
            .map(|position| format!("record {position}"))
            .unwrap_or("not recorded".into());
        add(
            html,
            format_args!(
                r#"<span class="by">{by}</span> <span class="of">{of}</span> <span class="took"><time datetime="{}">{}</time>, scope: {scope}; on the disk after {}, {position}</span></li>"#,
                moment(event.at),
                clock(event.at),
                short(*took),
            ),
        );
    }
    html.push_str(
        r#"</ol><noscript><p><a href="/">Show what it is now</a></p></noscript></section>"#,
    );
}

/// A form that is one button.
fn button(html: &mut String, id: &str, action: &str, text: &str, class: &str) {
    add(
        html,
        format_args!(
            r#"<form method="post" action="{action}"><button id="{id}" class="{class}">{text}</button></form>"#
        ),
    );
}

fn add(html: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = html.write_fmt(what);
}

/// Safe in text and in quoted attributes.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

/// For machines (RFC 3339).
fn moment(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map(|time| format!("{time:.0}")).unwrap_or_default()
}

fn clock(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map(|time| time.strftime("%H:%M:%S UTC").to_string())
        .unwrap_or_default()
}

fn lasting(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

fn short(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..1000 => format!("{micros} µs"),
        micros => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
    }
}

fn kib(bytes: u64) -> String {
    format!("{} KiB", bytes.div_ceil(1024))
}
