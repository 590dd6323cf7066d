//! What an app does for its users.

use std::time::Duration;

use oubliette::*;

use super::cast::*;
use super::store::kind;
use super::{Orders, Went, look, web};
use crate::log;

/// A small token, and one in several parts.
const SMALL: usize = 80;
const LARGE: usize = 15_000;

/// Runs a user's verb on the accounts of this thread. `false` if there is no such verb.
pub fn run(orders: &Orders, store: &TokenStore, thread: u64, verb: &str) -> bool {
    let mine: Vec<u64> = (0..ACCOUNTS).filter(|number| number % 8 == thread).collect();
    let lives = || mine.iter().flat_map(|number| store.account(&account(*number)).unwrap_or_default());
    let on = |what: &str, args: &dyn Fn(&LiveSignIn) -> String, work: &dyn Fn(&LiveSignIn, log::Op) -> Went| {
        if let Some(live) = lives().next() {
            orders.verb(what, &args(&live), |op| work(&live, op));
        }
    };
    let put = |what: &str, slot: &str, durable: u8, tokens: &dyn Fn(log::Op) -> Tokens| {
        let args = |live: &LiveSignIn| format!("of={} slot={slot} durable={durable}", id_of(live));
        on(what, &args, &|live, op| {
            live.put(tokens(op)).map_err(kind)?;
            // Another thread may sign it out meanwhile, but nobody puts there.
            let found = look::tokens(live).unwrap_or_default();
            let is_there = found.split(' ').find_map(|word| word.strip_prefix(&format!("{slot}=")));
            if is_there.is_some_and(|found| found != op.to_string()) {
                orders.wrong("wrong", &format!("put {op} succeeded, and then {found} was read"));
            }
            Ok(String::new())
        });
    };
    match verb {
        "populate" => (0..8).for_each(|number| sign_in(orders, store, number, true)),
        "sign_in" => sign_in(orders, store, mine[0] + 8, false),
        "sign_in_late" => {
            // It began at a moment that it is told of later.
            if let Ok(moment) = store.as_of() {
                let number = mine[0] + 8;
                orders.verb("in", &format!("account={number} tokens=0"), |op| {
                    let request = super::cast::sign_in(op, number).as_of(moment);
                    store.sign_in(request).map(|_| String::new()).map_err(kind)
                });
            }
        }
        "sign_in_again" => sign_in(orders, store, mine[0], false),
        "sign_in_with" => sign_in(orders, store, mine[0] + 16, true),
        "put" => put("put", "set", 1, &|op| set(op, SMALL).into()),
        "put_large" => put("put_large", "set", 1, &|op| set(op, LARGE).into()),
        "put_access" => put("put_access", "alone", 0, &|op| alone(op).into()),
        "put_refresh" => put("put_refresh", "acquired", 1, &|op| acquired(op).into()),
        "get" => lives().for_each(|live| {
            orders.verb("get", "", |_| look::tokens(&live));
        }),
        "acquire" => on("acquire", &|live| format!("of={} slot=acquired durable=1", id_of(live)), &|live, op| acquire(live, op)),
        "out_account" => out(orders, store, "account", mine[0], false),
        // Somebody whom no other verb is about.
        "out_other" => out(orders, store, "account", 5, false),
        "out_third" => out(orders, store, "account", 4, false),
        "out_alias" => out(orders, store, "alias", mine[0], false),
        "out_counted" => out(orders, store, "counted", mine[0] % TENANTS, false),
        "acquire_app" => _ = orders.verb("acquire_app", "", |op| acquire_app(store, op)),
        "out_taking" => out(orders, store, "account", mine[0], true),
        "out_session" => out(orders, store, "session", mine[0], false),
        "out_subject" => out(orders, store, "subject", mine[0], false),
        "out_tenant" => out(orders, store, "tenant", mine[0] % TENANTS, false),
        "out_everybody" => out(orders, store, "everybody", 0, false),
        "out_cutoff" => out(orders, store, "cutoff", mine[0], false),
        "web_create" => {
            on("web_create", &|live| format!("of={} slot=w durable=0", id_of(live)), &|live, op| web::create(store, live, op))
        }
        "web_save" | "web_delete" => {
            let Some((record, id)) = web::known(&log::read(&orders.log_path)).pop() else { return true };
            let Some(live) = lives().find(|live| id_of(live) == id) else { return true };
            let is_gone = u8::from(verb == "web_delete");
            orders.verb(verb, &format!("of={id} slot=w{record} durable={is_gone} gone={is_gone}"), |op| {
                if is_gone == 1 { web::delete(store, record) } else { web::save(store, &live, record, op) }
            });
        }
        _ => return false,
    }
    true
}

fn sign_in(orders: &Orders, store: &TokenStore, number: u64, with_tokens: bool) {
    let args = format!("account={number} tokens={}", u8::from(with_tokens));
    orders.verb("in", &args, |op| {
        let request = super::cast::sign_in(op, number);
        if with_tokens { store.sign_in_with(request, set(op, SMALL)).map(drop) } else { store.sign_in(request).map(drop) }
            .map(|()| String::new())
            .map_err(kind)
    });
}

/// Signs out, and makes sure that whoever was live until then is silent at once.
fn out(orders: &Orders, store: &TokenStore, scope: &str, number: u64, taking: bool) {
    let in_scope = |n: &u64| match scope {
        "tenant" | "counted" => n % TENANTS == number,
        "everybody" => true,
        _ => *n == number,
    };
    let ended: Vec<_> = (0..ACCOUNTS).filter(in_scope).flat_map(|n| store.account(&account(n)).unwrap_or_default()).collect();
    let sign_out = match scope {
        "account" => SignOut::account(&account(number)),
        "session" => SignOut::session(&session(number)),
        "subject" => SignOut::subject(&subject(number)),
        "tenant" => SignOut::tenant(&tenant(number)),
        "counted" => SignOut::tenant(&tenant(number)).counted(),
        // One that is there takes its account.
        "alias" => match ended.first() {
            Some(live) => SignOut::alias(&live.aliases()[0]),
            None => return,
        },
        // Whoever signed in on an earlier day.
        "cutoff" => SignOut::account(&account(number)).signed_in_before(now(orders.day) - Duration::from_secs(3600)),
        _ => SignOut::everybody(),
    };
    let sign_out = if taking { sign_out.taking_refresh_tokens() } else { sign_out };
    let logged = match scope {
        "counted" => "tenant",
        "alias" => "account",
        other => other,
    };
    orders.verb("out", &format!("scope={logged} number={number}"), |_| {
        let receipt = store.sign_out(sign_out).map_err(kind)?;
        for live in ended.iter().filter(|live| scope != "cutoff" || live.signed_in_at() < now(orders.day)) {
            if !look::is_silent(live) {
                orders.wrong("revived", &format!("sign-in {} lives on after its sign-out", id_of(live)));
            }
        }
        Ok(format!("position={}", receipt.position))
    });
}

/// Refreshes what was put by `put_refresh`: the new refresh token is of this verb.
fn acquire(live: &LiveSignIn, op: log::Op) -> Went {
    let request = AccessRequest::new(query("acquirer", "q")).force_refresh();
    let answer = |grant: &Grant| -> Result<Tokens, RefreshError> {
        let access = grant.access_token(None, text("access", op, 80), Duration::from_secs(3600));
        Ok([access.into(), grant.next_refresh_token(text("refresh", op, 80)).into()].into())
    };
    match Acquirer::new().acquire(live, request, answer) {
        Ok(_) => Ok(String::new()),
        Err(AcquireError::Store(error)) => Err(super::store::kind_of(&error)),
        Err(error) => Err(("Acquire".into(), format!("{error:?}"))),
    }
}

/// The app's own token, which needs no user.
fn acquire_app(store: &TokenStore, op: log::Op) -> Went {
    let answer = |grant: &Grant| -> Result<Tokens, RefreshError> {
        Ok(grant.access_token(None, text("access", op, 80), Duration::from_secs(3600)).into())
    };
    let request = AccessRequest::new(query("app", "q")).force_refresh();
    match Acquirer::new().acquire_for_app(store, &tenant(9), request, answer) {
        Ok(_) => Ok(String::new()),
        Err(AcquireError::Store(error)) => Err(super::store::kind_of(&error)),
        Err(error) => Err(("Acquire".into(), format!("{error:?}"))),
    }
}
