//! **Demonstration.** The three steps, with the buttons for them, as HTML.

use oubliette::AsyncSignIn;

use super::html::{add, button, escaped, lasting};
use super::view::name_of;
use super::{Board, story};

pub(super) fn steps(
    html: &mut String,
    board: &Board,
    me: Option<&AsyncSignIn>,
    answer: Option<&str>,
) {
    html.push_str(r#"<section class="here" aria-labelledby="here">"#);
    html.push_str(r#"<h2 id="here">Three steps, in this browser</h2>"#);
    who(html, me);
    let so_far = board.story.so_far();
    html.push_str(r#"<ol class="steps">"#);
    sign_in(html, &so_far, me, answer);
    refresh_late(html, board, &so_far, me);
    kill(html, board);
    html.push_str("</ol>");
    elsewhere(html, board);
    html.push_str("</section>");
}

fn who(html: &mut String, me: Option<&AsyncSignIn>) {
    let names = |me: &AsyncSignIn| (name_of(me.account()), me.tenant().as_str().to_owned());
    let (user, tenant) = me.map_or_else(Default::default, names);
    let (user, tenant) = (escaped(&user), escaped(&tenant));
    add(html, format_args!(r#"<p id="me" data-user="{user}" data-tenant="{tenant}">"#));
    if me.is_some() {
        let (user, tenant) =
            (format!("<strong>{user}</strong>"), format!("<strong>{tenant}</strong>"));
        add(html, format_args!("Signed in as {user} in {tenant}.</p>"));
    } else {
        html.push_str("Nobody is signed in.</p>");
    }
}

/// The heading of a step, with whether it was done.
fn step(html: &mut String, number: u8, title: &str, is_done: bool) {
    let (done, word) =
        if is_done { (" data-done", r#" <span class="done">done</span>"#) } else { ("", "") };
    add(html, format_args!(r#"<li data-step="{number}"{done}><h3>{number}. {title}{word}</h3>"#));
}

fn sign_in(
    html: &mut String,
    so_far: &story::Chapters,
    me: Option<&AsyncSignIn>,
    answer: Option<&str>,
) {
    step(html, 1, "Sign in", !so_far.users.is_empty());
    if me.is_some() {
        html.push_str(r#"<div class="actions">"#);
        button(html, "call-api", "/call-api", "Call the API", "quiet");
        html.push_str("</div>");
    } else {
        html.push_str(
            r#"<p>Be Ada, for example: the provider asks for no password.</p><p class="actions">
<a id="sign-in" class="button" href="/login">Sign in</a>
<a id="sign-in-another" class="button quiet" href="/login?as=another">Sign in as somebody else</a>
</p>"#,
        );
    }
    let answer = answer.filter(|_| me.is_some()).map(escaped).unwrap_or_default();
    let empty = if answer.is_empty() { " hidden" } else { "" };
    add(
        html,
        format_args!(
            r#"<p class="answer"{empty}>The API says: <output id="api-answer">{answer}</output></p>
</li>"#
        ),
    );
}

fn refresh_late(
    html: &mut String,
    board: &Board,
    so_far: &story::Chapters,
    me: Option<&AsyncSignIn>,
) {
    step(html, 2, "Sign out while a refresh is under way", so_far.refreshed_late);
    let late = lasting(board.slow_refresh);
    if me.is_some() {
        add(
            html,
            format_args!(
                "<p>The new tokens come {late} after the start. Sign out before that.</p>"
            ),
        );
        html.push_str(r#"<div class="actions">"#);
        button(html, "slow-refresh", "/slow-refresh", "Start a slow refresh", "");
        button(html, "sign-out", "/sign-out", "Sign out", "ends");
        html.push_str("</div>");
    } else {
        html.push_str(r#"<p class="empty">For this, sign in first.</p>"#);
    }
    refreshes(html, board);
    html.push_str("</li>");
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
                "the provider has issued new tokens; they are on their way here. Sign out now."
            }
            "stored" => "the new tokens came, and are stored.",
            "signed-out" => {
                "the new tokens came after the sign-out. Oubliette has refused them; the ordinary \
                 cache has stored them."
            }
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

fn kill(html: &mut String, board: &Board) {
    let process = std::process::id();
    let deaths = board.kill.as_ref().map_or(0, |kill| kill.deaths());
    step(html, 3, "Kill the process", deaths > 0);
    add(html, format_args!(r#"<p id="process" data-process="{process}" data-deaths="{deaths}">"#));
    match deaths {
        0 => {}
        1 => add(html, format_args!("The process before this one was killed. ")),
        deaths => add(html, format_args!("{deaths} processes before this one were killed. ")),
    }
    if let Some(kill) = &board.kill {
        let token = kill.token();
        add(
            html,
            format_args!(
                r#"This is process {process}. Kill it after a sign-out: a supervisor starts the next
one.</p><div class="actions">
<form method="post" action="/kill"><input type="hidden" name="token" value="{token}">
<button id="kill" class="ends"><code>kill -9</code></button></form>"#
            ),
        );
    } else if board.has_workers {
        add(
            html,
            format_args!(
                r#"This is process {process}, one of several that serve this page. None is started
again, so none can be killed from here.</p><div class="actions">"#
            ),
        );
    } else {
        add(
            html,
            format_args!(
                r#"This is process {process}, without a supervisor that could start the next one: it
cannot be killed from here.</p><div class="actions">"#
            ),
        );
    }
    button(html, "restart", "/restart", "Restart in order", "quiet");
    html.push_str("</div></li>");
}

fn elsewhere(html: &mut String, board: &Board) {
    html.push_str(
        r#"<nav aria-label="Elsewhere"><h3>Or sign out elsewhere</h3><ul class="links">"#,
    );
    for (id, url, text) in [
        ("other-app", &board.urls.other, "In the other app: signed in there too, and out of both"),
        ("provider", &board.urls.everywhere, "At the provider: everywhere"),
    ] {
        if !url.is_empty() {
            let url = escaped(url);
            add(html, format_args!(r#"<li><a id="{id}" href="{url}">{text}</a></li>"#));
        }
    }
    html.push_str("</ul></nav>");
}
