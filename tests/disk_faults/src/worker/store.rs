//! The store under attack: how it is opened, with which engine, and which verb is whose.

use std::path::PathBuf;
use std::time::Duration;

use oubliette::*;

use super::cast::now;
use super::{Orders, look, operate, users};
use crate::log::read;

/// Keys that the store may be wrapped by: which of them it is after a rotation that died, nobody knows, so both are offered.
pub const KEY: [u8; 32] = [7; 32];
pub const NEXT_KEY: [u8; 32] = [8; 32];

/// The verbs that do without an open store.
const OFFLINE: [&str; 4] = ["restore", "restore_unfinished", "offline_verify", "history"];

/// The one place that says which engine is under the store: all that it has go through the same bench.
pub fn builder(orders: &Orders) -> Builder {
    let builder = TokenStore::builder(folder(orders));
    // Once with the ledger in a folder of its own, always.
    let is_apart = look::begun(&read(&orders.log_path), "create_apart").next().is_some();
    let builder = if is_apart { builder.ledger_dir(orders.home.join("ledger")) } else { builder };
    let builder = match orders.engine.as_str() {
        "sled" => builder,
        // (It says what a new store is, and refuses one that was moved.)
        "sqlite" if look::begun(&read(&orders.log_path), "migrate").next().is_some() => builder,
        "sqlite" => builder.sqlite(),
        other => panic!("there is no engine {other}"),
    };
    let clock = ManualClock::new(now(orders.day));
    let keys = KeySource::bytes(NEXT_KEY).previous(KeySource::bytes(KEY));
    // Small, so that a case takes milliseconds. No account has more sign-ins than it may have: none is pushed out.
    builder.key(keys).clock(clock).cache_bytes(1 << 20).max_sign_ins(64).disk_timeout(Duration::from_secs(2))
}

pub fn folder(orders: &Orders) -> PathBuf {
    orders.home.join("tokens")
}

pub fn run(orders: &Orders, verbs: &[String]) {
    let mut store = None;
    let mut rest = verbs;
    while let [verb, behind @ ..] = rest {
        rest = behind;
        match (verb.as_str(), store.take()) {
            ("open" | "open_alone" | "open_forget" | "create" | "create_apart", None) => {
                let forget = verb == "open_forget";
                orders.verb(verb, "", |_| {
                    let mut builder = builder(orders);
                    if verb.starts_with("create") {
                        builder = builder.key(KeySource::bytes(KEY));
                    }
                    if verb == "open_alone" {
                        builder = builder.alone();
                    }
                    if forget {
                        builder = builder.on_damage(OnDamage::ForgetEveryone);
                    }
                    store = Some(builder.open().map_err(kind)?);
                    Ok(String::new())
                });
                if store.is_none() {
                    return;
                }
            }
            (verb, None) if OFFLINE.contains(&verb) => store = operate::offline(orders, verb),
            // Its store did not open.
            (_, None) => return,
            ("close", Some(open)) => {
                orders.verb("close", "", |_| open.close().map(|()| String::new()).map_err(kind));
            }
            ("drop", Some(open)) => {
                orders.verb("drop", "", |_| {
                    drop(open);
                    Ok(String::new())
                });
            }
            // Ends without a word, as a process that is killed does.
            ("vanish", Some(open)) => {
                std::mem::forget(open);
                std::process::exit(0);
            }
            ("look", Some(open)) => {
                orders.verb("look", "", |op| look::look(orders, &open, op));
                store = Some(open);
            }
            (_, Some(open)) => {
                let ends = ["close", "drop", "vanish", "look"];
                let count = behind.iter().position(|verb| ends.contains(&verb.as_str())).unwrap_or(behind.len());
                work(orders, &open, &verbs[verbs.len() - behind.len() - 1..][..=count]);
                rest = &behind[count..];
                store = Some(open);
            }
        }
    }
}

/// Runs the verbs, and beside them, on other threads, what users do meanwhile.
fn work(orders: &Orders, store: &TokenStore, verbs: &[String]) {
    std::thread::scope(|scope| {
        for thread in 1..orders.threads {
            scope.spawn(move || {
                for verb in verbs {
                    let done = !operate::is_verb(verb) && users::run(orders, store, thread, verb);
                    if !done {
                        for verb in ["sign_in", "put", "out_account"] {
                            users::run(orders, store, thread, verb);
                        }
                    }
                }
            });
        }
        for verb in verbs {
            let done = operate::run(orders, store, verb) || users::run(orders, store, 0, verb);
            assert!(done, "there is no verb {verb}");
        }
    });
}

/// The kind of an error, and all of it.
pub fn kind(error: Error) -> (String, String) {
    kind_of(&error)
}

pub fn kind_of(error: &Error) -> (String, String) {
    let text = format!("{error:?}");
    let name: String = text.chars().take_while(|c| c.is_alphanumeric()).collect();
    let part = match error {
        Error::Damaged { part, .. } | Error::Full(part) | Error::Poisoned(part) => format!("-{part}"),
        Error::Tampered(what) => format!("-{}", what.replace(' ', "-")),
        _ => String::new(),
    };
    (name + &part, text)
}
