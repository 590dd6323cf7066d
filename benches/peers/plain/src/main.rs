//! `peers-plain PEER`: speaks the line protocol for one peer.

mod keyed;
mod limit;
mod oubliette;
mod redis;
mod sqlite;

use keyed::{Fjall, Keyed, Redb, Sled};
use peers_kit::serve;
use sqlite::Sqlite;

/// Plain SQLite has none.
const SQLCIPHER_KEY: Option<&str> = None;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("limit") => serve::<limit::Limit>(),
        Some("oubliette") => serve::<oubliette::Oubliette<false>>(),
        Some("oubliette-sqlite") => serve::<oubliette::Oubliette<true>>(),
        Some("sled") => serve::<Keyed<Sled, false>>(),
        Some("redb") => serve::<Keyed<Redb, false>>(),
        Some("redb-aes") => serve::<Keyed<Redb, true>>(),
        Some("fjall") => serve::<Keyed<Fjall, false>>(),
        Some("fjall-aes") => serve::<Keyed<Fjall, true>>(),
        Some("sqlite") => serve::<Sqlite<false>>(),
        Some("sqlite-aes") => serve::<Sqlite<true>>(),
        Some("redis") => serve::<redis::Redis>(),
        peer => panic!("no peer {peer:?}"),
    }
}
