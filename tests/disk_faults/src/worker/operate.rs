//! What an operator does, with an open store and without.

use std::time::Duration;

use oubliette::*;

use super::look::begun;
use super::store::{KEY, NEXT_KEY, builder, kind};
use super::{Orders, web};
use crate::log::{Line, Op, read};

const VERBS: [&str; 18] = [
    "sweep",
    "compact",
    "migrate",
    "migrate_back",
    "erase",
    "erase_other",
    "backup",
    "rotate",
    "rotate_both",
    "verify",
    "stats",
    "wait_reclaimed",
    "trust_clock",
    "last_sign_out",
    "upkeep",
    "web_sweep",
    "accounts",
    "as_of",
];

pub fn is_verb(verb: &str) -> bool {
    VERBS.contains(&verb)
}

/// `false` if there is no such verb.
pub fn run(orders: &Orders, store: &TokenStore, verb: &str) -> bool {
    if !is_verb(verb) {
        return false;
    }
    orders.verb(verb, "", |op| {
        match verb {
            "sweep" => store.sweep(100_000).map(drop),
            "compact" => store.compact().map(drop),
            "erase" => store.complete_erasure(&KeySource::bytes(KEY)).map(drop),
            "erase_other" => store.complete_erasure(&KeySource::bytes(NEXT_KEY)).map(drop),
            "migrate" | "migrate_back" => {
                let is_sqlite = (orders.engine == "sqlite") == (verb == "migrate_back");
                store.migrate(if is_sqlite { Storage::Sqlite } else { Storage::Embedded }).map(drop)
            }
            "backup" => store.backup(orders.home.join(format!("backup-{op}"))).map(drop),
            "rotate" => store.rotate_key(&KeySource::bytes(NEXT_KEY)),
            "rotate_both" => store.rotate_key(&KeySource::bytes(NEXT_KEY).also(KeySource::bytes(KEY))),
            "verify" => match store.verify() {
                Ok(verified) => {
                    let found = format!("{verified:?}");
                    // Nothing here was changed by anybody else.
                    if !found.contains("tampered: 0") && found.contains("tampered:") {
                        orders.wrong("damaged", &format!("verify: {found}"));
                    }
                    Ok(())
                }
                Err(error) => Err(error),
            },
            "stats" => store.stats().map(drop),
            "wait_reclaimed" => store.wait_reclaimed().map(drop),
            "trust_clock" => store.trust_clock(),
            "last_sign_out" => store.last_sign_out(&SignOutScope::Everybody).map(drop),
            "accounts" => store.accounts(Page::first(3)).map(drop),
            "as_of" => store.as_of().map(drop),
            "upkeep" => store.upkeep().interval(Duration::from_secs(3600)).start().map(|upkeep| {
                upkeep.pass_now();
                upkeep.stop();
            }),
            _ => return web::delete_expired(store),
        }
        .map(|()| String::new())
        .map_err(kind)
    });
    true
}

/// Gives the store, if the verb opens it.
pub fn offline(orders: &Orders, verb: &str) -> Option<TokenStore> {
    let lines = read(&orders.log_path);
    let is_whole = |op: &Op| lines.iter().any(|line| matches!(line, Line::Ok { op: of, .. } if of == op));
    let wanted = verb == "restore";
    let of = begun(&lines, "backup").map(|(op, _)| op).filter(|op| is_whole(op) == wanted).last();
    let mut store = None;
    match verb {
        "offline_verify" => drop(orders.verb(verb, "", |_| builder(orders).verify().map(|_| String::new()).map_err(kind))),
        "history" => drop(orders.verb(verb, "", |_| builder(orders).history().map(|_| String::new()).map_err(kind))),
        _ => {
            // If there is no such backup, a plain open.
            let (name, args) = of.map_or(("open", String::new()), |op| (verb, format!("backup={op}")));
            orders.verb(name, &args, |_| {
                let opened = match of {
                    Some(op) => builder(orders).restore(orders.home.join(format!("backup-{op}"))),
                    None => builder(orders).open(),
                };
                store = Some(opened.map_err(kind)?);
                Ok(String::new())
            });
        }
    }
    store
}
