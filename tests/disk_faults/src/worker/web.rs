//! Web sessions: made, saved and deleted through the adapter for `tower-sessions`, bound to a sign-in.

use std::sync::Arc;

use oubliette::{LiveSignIn, TokenStore};
use oubliette_tower_sessions::{BINDING, OublietteSessions, bind};
use tower_sessions::session::{Id, Record};
use tower_sessions::{ExpiredDeletion, Session, SessionStore};

use super::Went;
use super::cast::{now, put_of, text};
use super::look::begun;
use crate::log::{Line, Op, number};

fn failed(error: impl std::fmt::Display) -> (String, String) {
    let text = error.to_string();
    let kind = text.split(':').next().unwrap_or_default().split_whitespace().last().unwrap_or("?").to_owned();
    (format!("Web-{kind}"), text)
}

fn waited<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(work)
}

fn record(id: Op, put: Op) -> Record {
    let data = [("what".to_owned(), serde_json::Value::from(text("web", put, 700)))].into();
    Record { id: Id(i128::from(id)), data, expiry_date: time::OffsetDateTime::from(now(1000)) }
}

async fn bound_record(web: &OublietteSessions, live: &LiveSignIn, id: Op, put: Op) -> Result<Record, (String, String)> {
    let session = Session::new(None, Arc::new(web.clone()), None);
    bind(&session, live).await.map_err(failed)?;
    let binding = session.get_value(BINDING).await.map_err(failed)?;
    let mut record = record(id, put);
    record.data.insert(BINDING.into(), binding.unwrap_or_default());
    Ok(record)
}

/// Makes one, whose id is the verb's number.
pub fn create(store: &TokenStore, live: &LiveSignIn, op: Op) -> Went {
    waited(async {
        let web = OublietteSessions::new(store.clone());
        let mut record = bound_record(&web, live, op, op).await?;
        web.create(&mut record).await.map_err(failed)?;
        Ok(String::new())
    })
}

pub fn save(store: &TokenStore, live: &LiveSignIn, id: Op, op: Op) -> Went {
    waited(async {
        let web = OublietteSessions::new(store.clone());
        let record = bound_record(&web, live, id, op).await?;
        web.save(&record).await.map_err(failed)?;
        Ok(String::new())
    })
}

pub fn delete(store: &TokenStore, id: Op) -> Went {
    waited(async {
        OublietteSessions::new(store.clone()).delete(&Id(i128::from(id))).await.map_err(failed)?;
        Ok(String::new())
    })
}

pub fn delete_expired(store: &TokenStore) -> Went {
    waited(async {
        OublietteSessions::new(store.clone()).delete_expired().await.map_err(failed)?;
        Ok(String::new())
    })
}

/// The put that is found there.
pub fn load(store: &TokenStore, id: Op) -> Result<Option<Op>, (String, String)> {
    let found = waited(async { OublietteSessions::new(store.clone()).load(&Id(i128::from(id))).await.map_err(failed) })?;
    Ok(found.map(|record| record.data.get("what").and_then(|text| put_of("web", text.as_str()?)).unwrap_or(0)))
}

/// Those that were ever made, with their sign-ins.
pub fn known(lines: &[Line]) -> Vec<(Op, Op)> {
    begun(lines, "web_create").filter_map(|(op, args)| Some((op, number(args, "of")?))).collect()
}
