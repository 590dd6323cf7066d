//! A look at everything that can be read, in every way: the driver's oracle judges it.

use oubliette::*;

use super::cast::*;
use super::{Orders, Went, store, web};
use crate::log::{Line, Op, read};

/// Writes down every live sign-in with its tokens. What the ways to it disagree about is wrong.
pub fn look(orders: &Orders, store: &TokenStore, op: Op) -> Went {
    orders.log.line(&format!("look {op}"));
    let records = web::known(&read(&orders.log_path));
    let mut listed = store.accounts(Page::first(1000)).map_err(store::kind)?.accounts;
    for number in 0..ACCOUNTS {
        let lives = store.account(&account(number)).map_err(store::kind)?;
        let place = listed.iter().position(|one| one.id == account(number));
        let by_list = place.map(|place| listed.remove(place).sign_ins).unwrap_or_default();
        if by_list != lives {
            orders.wrong("lost", &format!("account {number} is listed otherwise than it is read"));
        }
        for live in &lives {
            let others = [
                store.accounts_of_subject(&subject(number)),
                live.session().map_or(Ok(Vec::new()), |id| store.accounts_of_session(id)),
                store.accounts_of_alias(&live.aliases()[0]),
                store.accounts_in(live.tenant(), Page::first(1000)).map(|page| page.accounts),
            ];
            for (way, accounts) in others.into_iter().enumerate() {
                if !accounts.map_err(store::kind)?.iter().any(|one| one.sign_ins.contains(live)) {
                    orders.wrong("lost", &format!("sign-in {} is not found by its index {way}", id_of(live)));
                }
            }
            if store.resume(&account(number), live.id()).map_err(store::kind)?.is_none() {
                orders.wrong("lost", &format!("sign-in {} is not found by its id", id_of(live)));
            }
            let is_ours = live.tenant() == &tenant(number % TENANTS) && live.subject() == Some(&subject(number));
            if !is_ours {
                orders.wrong("wrong", &format!("sign-in {} of account {number} is in another's place", id_of(live)));
            }
            orders.log.line(&format!("see id={} account={number}{}", id_of(live), tokens(live)?));
        }
    }
    listed.retain(|one| one.id.as_app().is_none());
    if !listed.is_empty() {
        orders.wrong("wrong", "accounts that nobody signed in to");
    }
    for (record, id) in records {
        if let Some(put) = web::load(store, record)? {
            orders.log.line(&format!("see id={id} w{record}={put}"));
        }
    }
    orders.log.line(&format!("looked {op}"));
    Ok(String::new())
}

/// The tokens of a sign-in, by the puts that they are of; `0` is a text that nobody put.
pub fn tokens(live: &LiveSignIn) -> Result<String, (String, String)> {
    let access = |kind, client, scope| -> Result<Option<Op>, (String, String)> {
        let found = live.access_token(&query(client, scope)).map_err(store::kind)?;
        Ok(found.map(|token| put_of(kind, token.secret.expose()).unwrap_or(0)))
    };
    let refresh = |name| -> Result<Option<Op>, (String, String)> {
        let found = live.refresh_token(&client(name)).map_err(store::kind)?;
        Ok(found.map(|token| put_of("refresh", token.secret.expose()).unwrap_or(0)))
    };
    let id = live.id_token(&client("web")).map_err(store::kind)?;
    let id = id.map(|token| put_of("id", token.secret.expose()).unwrap_or(0));
    let set = [access("access", "web", "a")?, refresh("web")?, id];
    let mut text = String::new();
    // Of one put all is there, or nothing.
    match set {
        [None, None, None] => {}
        [Some(a), Some(b), Some(c)] if a == b && b == c => text += &format!(" set={a}"),
        _ => text += &format!(" set=0 mixed={set:?}").replace(", ", "+"),
    }
    if let Some(put) = access("alone", "web", "b")? {
        text += &format!(" alone={put}");
    }
    if let Some(put) = refresh("acquirer")? {
        text += &format!(" acquired={put}");
    }
    Ok(text)
}

/// Whether nothing can be read through a handle that was signed out. Errors give nothing either.
pub fn is_silent(live: &LiveSignIn) -> bool {
    !live.is_live().unwrap_or(false) && tokens(live).unwrap_or_default().is_empty()
}

/// For the oracle's own lines.
pub fn begun<'a>(lines: &'a [Line], wanted: &'a str) -> impl Iterator<Item = (Op, &'a crate::log::Args)> {
    lines.iter().filter_map(move |line| match line {
        Line::Begin { op, verb, args } if verb == wanted => Some((*op, args)),
        _ => None,
    })
}
