//! **Demonstration.** What the store holds, and its ledger, as HTML.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::html::{add, button, clock, escaped, kib, lasting, moment};
use super::view::{Ledger, SignIn, View};

pub(super) fn store(html: &mut String, view: &View) {
    html.push_str(
        r#"<section class="store" aria-labelledby="store"><h2 id="store">What Oubliette holds</h2>
<div class="tenants">"#,
    );
    for (name, accounts) in &view.tenants {
        tenant(html, &escaped(name), accounts, view.now);
    }
    html.push_str("</div>");
    if view.tenants.is_empty() {
        html.push_str(
            r#"<p class="empty">Nobody is signed in. Tenants, users and their tokens will stand
here.</p>"#,
        );
    }
    if view.has_more {
        html.push_str("<p>And more accounts, which are not listed.</p>");
    }
    ledger(html, &view.ledger);
    html.push_str(r#"<div class="actions">"#);
    button(html, "sign-out-everybody", "/sign-out-everybody", "Sign out everybody", "ends");
    html.push_str("</div></section>");
}

fn tenant(
    html: &mut String,
    name: &str,
    accounts: &BTreeMap<String, Vec<SignIn>>,
    now: SystemTime,
) {
    add(
        html,
        format_args!(
            r#"<section class="tenant" data-tenant="{name}" aria-label="Tenant {name}">
<h3>{name}</h3>"#
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
            sign_ins.iter().for_each(|one| sign_in(html, one, now));
            html.push_str("</ul></li>");
        }
        html.push_str("</ul>");
    }
    let named = format!(r#"data-action="sign-out-tenant" data-tenant="{name}""#);
    add(
        html,
        format_args!(
            r#"<form method="post" action="/sign-out-tenant" {named}>
<input type="hidden" name="tenant" value="{name}">
<button class="ends">Sign out all of {name}</button></form></section>"#
        ),
    );
}

fn ledger(html: &mut String, ledger: &Ledger) {
    let Ledger { position, bytes, reserve, opened_at } = ledger;
    add(
        html,
        format_args!(
            r#"<dl id="ledger" data-position="{position}" data-bytes="{bytes}"><div>
<dt>Records in the ledger</dt><dd>{position}</dd></div><div>
<dt>Its size, with room kept for {reserve} more</dt><dd>{}</dd></div><div>
<dt>The store is open since</dt><dd><time id="opened" datetime="{}">{}</time></dd></div></dl>"#,
            kib(*bytes),
            moment(*opened_at),
            clock(*opened_at),
        ),
    );
    html.push_str(
        r#"<p id="first-record">A process's first record is its opening: it comes with the first
sign-in, and signs nobody out. Then each sign-out adds a record for each name that it ends: account,
session, subject.</p>"#,
    );
}

fn sign_in(html: &mut String, sign_in: &SignIn, now: SystemTime) {
    let SignIn { id, since, is_mine, access, has_refresh, has_id } = sign_in;
    let mine = if *is_mine { r#" <span class="mine">this browser</span>"# } else { "" };
    let short: String = id.chars().take(6).collect();
    add(
        html,
        format_args!(
            r#"<li data-sign-in="{id}"{}><p>Sign-in <code>{short}</code>, since {}{mine}</p>
<ul class="tokens">"#,
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
                r#"<li data-token="access"{expired}>access token <time datetime="{}">{state}</time>
</li>"#,
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
