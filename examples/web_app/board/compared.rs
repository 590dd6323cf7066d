//! **Demonstration.** The same users in the store and in an ordinary cache, side by side, as HTML.

use std::collections::BTreeSet;

use super::super::ordinary::{Came, Kept, Shown, Who};
use super::Board;
use super::html::{add, clock, escaped, lasting, moment};
use super::view::View;

/// What becomes of a user on one side.
struct Side {
    /// For scripts and tests.
    state: &'static str,
    word: &'static str,
    why: &'static str,
}

pub(super) fn compared(html: &mut String, board: &Board, view: &View) {
    html.push_str(r#"<section class="compared" aria-labelledby="compared">"#);
    html.push_str(r#"<h2 id="compared">The same users in two caches</h2>"#);
    match &board.ordinary {
        Some(ordinary) => users(html, board, view, &ordinary.shown()),
        None if board.has_workers => html.push_str(
            r#"<p class="empty">Several processes serve this page. An ordinary cache is in the memory of
one of them, so there is none beside the store.</p>"#,
        ),
        None => html.push_str(
            r#"<p class="empty">With another provider than the one for development there is nothing
beside the store: an ordinary cache would write that provider's tokens into a plain file.</p>"#,
        ),
    }
    html.push_str("</section>");
}

fn users(html: &mut String, board: &Board, view: &View, ordinary: &Shown) {
    html.push_str("<p>The buttons drive both. After a sign-out they differ.</p>");
    let mut users: BTreeSet<Who> = board.story.so_far().users;
    users.extend(ordinary.users.keys().cloned());
    if users.is_empty() {
        html.push_str(
            r#"<p class="empty">Nobody has signed in yet. Whoever does will stand here twice: as
Oubliette has them, and as an ordinary cache has them.</p>"#,
        );
    }
    html.push_str(r#"<ul id="users" aria-live="polite">"#);
    for who in &users {
        let (user, tenant) = (escaped(&who.user), escaped(&who.tenant));
        add(
            html,
            format_args!(
                r#"<li data-compared="{user} {tenant}"><h3>{user} <span>in {tenant}</span></h3>
<div class="sides">"#
            ),
        );
        let (is_live, kept) = (view.has(who), ordinary.users.get(who));
        side(html, "store", "Oubliette", &in_store(is_live, kept));
        html.push_str("</div>");
        side(html, "ordinary", "An ordinary cache", &in_ordinary(is_live, kept, who, ordinary));
        if let Some(kept) = kept.filter(|_| !is_live) {
            proof(html, &user, &tenant, kept);
        }
        html.push_str("</div></div></li>");
    }
    html.push_str("</ul>");
    file(html, ordinary);
}

fn side(html: &mut String, name: &str, title: &str, Side { state, word, why }: &Side) {
    add(
        html,
        format_args!(
            r#"<div data-side="{name}" data-state="{state}"><h4>{title}</h4>
<p class="state">{word}</p><p class="why">{why}</p>"#
        ),
    );
}

fn in_store(is_live: bool, kept: Option<&Kept>) -> Side {
    if is_live {
        return Side { state: "signed-in", word: "Signed in", why: "Their tokens are there." };
    }
    let why = match kept.map(|kept| kept.came) {
        Some(Some(Came::LateRefresh)) => "The new tokens came late, and were refused.",
        Some(Some(Came::File)) => {
            "The sign-out was on the disk before it was answered; a new process reads it first."
        }
        Some(None) => "The sign-out that came took their tokens.",
        None => "No token of theirs is left.",
    };
    Side { state: "signed-out", word: "Signed out", why }
}

fn in_ordinary(is_live: bool, kept: Option<&Kept>, who: &Who, ordinary: &Shown) -> Side {
    match kept.map(|kept| kept.came) {
        Some(_) if is_live => {
            Side { state: "signed-in", word: "Signed in", why: "Their tokens are there." }
        }
        Some(Some(Came::LateRefresh)) => Side {
            state: "back",
            word: "The user is back",
            why: "The refresh that was under way has stored its tokens after the sign-out.",
        },
        Some(Some(Came::File)) => Side {
            state: "back",
            word: "The user is back",
            why: "The file still had their tokens: the sign-out was not written yet.",
        },
        Some(None) => Side {
            state: "still-in",
            word: "The user is still in",
            why: "The sign-out came from elsewhere, and nobody has told this cache.",
        },
        None if is_live => Side {
            state: "lost",
            word: "Forgotten",
            why: "Their sign-in was not written yet when the process died.",
        },
        None if ordinary.in_file.contains(who) => Side {
            state: "signed-out",
            word: "Signed out, in memory",
            why: "A scan of all entries has found their tokens. The file still has them.",
        },
        None => Side {
            state: "signed-out",
            word: "Signed out",
            why: "A scan of all entries has found their tokens, and none is left.",
        },
    }
}

/// That these tokens are good: the API takes them.
fn proof(html: &mut String, user: &str, tenant: &str, kept: &Kept) {
    add(
        html,
        format_args!(
            r#"<form method="post" action="/call-api-for">
<input type="hidden" name="user" value="{user}"><input type="hidden" name="tenant" value="{tenant}">
<button class="quiet">Call the API with these tokens</button></form>"#
        ),
    );
    if let Some(said) = &kept.said {
        let said = escaped(said);
        add(html, format_args!(r#"<p class="answer">The API says: <output>{said}</output></p>"#));
    }
}

/// Where the file is.
fn file(html: &mut String, ordinary: &Shown) {
    html.push_str(r#"<p id="file">The ordinary cache's file: "#);
    match ordinary.written_at {
        Some(at) => {
            let (at, clock) = (moment(at), clock(at));
            add(html, format_args!(r#"written at <time datetime="{at}">{clock}</time>"#));
        }
        None => html.push_str("not written yet"),
    }
    match ordinary.due_in {
        Some(left) => add(html, format_args!("; the next write is due in {}.", lasting(left))),
        None => html.push_str("; nothing has changed since."),
    }
    html.push_str("</p>");
}
