//! **Demonstration.** The page as HTML.

use oubliette::AsyncSignIn;

use super::super::ordinary::copies::COPIES;
use super::events::Event;
use super::html::{add, clock, escaped, moment, short};
use super::view::View;
use super::{Board, compared, held, steps};

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
<p>A web app that keeps its users' tokens in <strong>Oubliette</strong>, and beside it in an
ordinary cache. Three steps show what becomes of a sign-out in each.</p>
</header>
<main id="board" tabindex="-1">{inner}</main>
<footer>
<p>A demonstration on this machine. Its provider asks for no password: it is for development, never
for production.</p>
</footer>
</body>
</html>
"##
    )
}

/// What the process says before it is killed. The browser goes on by itself, without JavaScript.
pub(super) fn killed() -> String {
    let process = std::process::id();
    format!(
        r#"<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Killed</title><meta http-equiv="refresh" content="1; url=/">
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/style.css"><main><h1>Process {process} is being killed</h1>
<p>Its supervisor starts another. <a id="continue" href="/">Back to the page</a></p></main></html>"#
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
    steps::steps(&mut html, board, me, answer);
    compared::compared(&mut html, board, view);
    held::store(&mut html, view);
    happened(&mut html, board);
    copies(&mut html);
    html
}

fn happened(html: &mut String, board: &Board) {
    html.push_str(
        r#"<section class="happened" aria-labelledby="happened">
<h2 id="happened">Sign-outs that came</h2>"#,
    );
    let events = board.events.all();
    let empty = if events.is_empty() { "" } else { " hidden" };
    add(
        html,
        format_args!(
            r#"<p class="empty"{empty}>None since this process began. Each will stand here: by whom
it was told, of what, and how long it took until it was on the disk.</p>
<ol id="events" reversed aria-live="polite">"#
        ),
    );
    events.iter().for_each(|event| sign_out(html, event));
    html.push_str(
        r#"</ol><noscript><p><a href="/">Show what it is now</a></p></noscript></section>"#,
    );
}

/// One that came.
fn sign_out(html: &mut String, event: &Event) {
    let Event { number, signal, scope, took, .. } = event;
    let micros = format!(r#"data-micros="{}""#, took.as_micros());
    add(
        html,
        format_args!(
            r#"<li data-event="{number}" data-signal="{signal}" data-scope="{scope}" {micros}>"#
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
            r#"<span class="by">{by}</span> <span class="of">{of}</span> <span class="took">
<time datetime="{}">{}</time>, scope: {scope}; on the disk after {}, {position}</span></li>"#,
            moment(event.at),
            clock(event.at),
            short(*took),
        ),
    );
}

/// Where the ordinary cache is from.
fn copies(html: &mut String) {
    html.push_str(
        r#"<section class="copies" aria-labelledby="copies">
<h2 id="copies">What the ordinary cache copies</h2>
<p>Nothing in it is made up, and each library is good at what it is for. An app can do better by
hand, at each of these places.</p><dl>"#,
    );
    for copy in &COPIES {
        let (name, url) = (copy.source.name, copy.source.url);
        add(
            html,
            format_args!(
                r#"<div><dt>{}</dt><dd>{} <a href="{url}">{name}</a>. {}</dd></div>"#,
                copy.what, copy.of, copy.better
            ),
        );
    }
    html.push_str("</dl></section>");
}
