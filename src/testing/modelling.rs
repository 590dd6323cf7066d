//! Ways in for the models (`tests/shuttle`), to what has no synchronous interface. No part of the
//! interface.
#![allow(missing_docs, clippy::missing_errors_doc, reason = "for this repository's own tests")]

use std::time::{Duration, SystemTime};

use crate::api::token_store::TokenStore;
use crate::model::error::Result;
use crate::platform::wipe::Wiped;
use crate::store::handle::LiveSignIn;
use crate::store::web::{self, Binding, WebRecord};

const HOUR: Duration = Duration::from_secs(3600);

pub fn web_create(
    store: &TokenStore,
    id: [u8; 16],
    live: Option<&LiveSignIn>,
    data: &str,
) -> Result<[u8; 16]> {
    web::create(store.core(), id, live.map(binding).as_ref(), record(data)?, HOUR)
}

pub fn web_save(
    store: &TokenStore,
    id: [u8; 16],
    live: Option<&LiveSignIn>,
    data: &str,
) -> Result<()> {
    web::save(store.core(), &id, live.map(binding).as_ref(), record(data)?, HOUR)
}

/// Whether it is bound, and its data.
pub fn web_load(store: &TokenStore, id: [u8; 16]) -> Result<Option<(bool, String)>> {
    let found = web::load(store.core(), &id)?;
    Ok(found.map(|(binding, record)| {
        (binding.is_some(), String::from_utf8_lossy(&record.data).into_owned())
    }))
}

pub fn web_delete(store: &TokenStore, id: [u8; 16]) -> Result<()> {
    web::delete(store.core(), &id)
}

fn binding(live: &LiveSignIn) -> Binding {
    Binding { account: live.life().account, sign_in: *live.id_bytes() }
}

fn record(data: &str) -> Result<WebRecord> {
    WebRecord::new(SystemTime::now() + HOUR, Wiped(data.as_bytes().to_vec()))
}
