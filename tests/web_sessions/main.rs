//! Web sessions: the contract of `tower-sessions`, and that none outlives its sign-in, its deletion
//! or its time.

mod contract;
mod crashes;
mod keeping;
mod privacy;
mod revival;
mod routes;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use ::tower_sessions::session::{Id, Record};
use ::tower_sessions::{Session, SessionStore};
use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::fixture::Fixture;
use oubliette_tower_sessions::{BINDING, OublietteSessions, bind};
use serde_json::Value;
use time::OffsetDateTime;

/// A store on a machine, at a time that stands still.
struct WebFixture {
    fixture: Fixture,
    web: OublietteSessions,
}

impl std::ops::Deref for WebFixture {
    type Target = Fixture;

    fn deref(&self) -> &Fixture {
        &self.fixture
    }
}

impl WebFixture {
    fn new() -> Self {
        Self::on(Machine::new())
    }

    fn on(machine: Machine) -> Self {
        Self::of(Fixture::on(machine))
    }

    fn of(fixture: Fixture) -> Self {
        let web = OublietteSessions::new(fixture.store.clone());
        Self { fixture, web }
    }

    /// The process ends in some way, and another one opens the store.
    fn again(self, end: impl FnOnce(&Machine)) -> Self {
        let Self { fixture, web } = self;
        drop(web);
        Self::of(fixture.again(end))
    }

    /// A new web session with this data.
    async fn create(&self, binding: Option<&Value>, what: &str) -> Record {
        let mut record = record(binding, what);
        self.web.create(&mut record).await.unwrap();
        record
    }

    async fn load(&self, id: Id) -> Option<Record> {
        self.web.load(&id).await.unwrap()
    }

    /// How many rows web sessions have.
    fn rows(&self) -> usize {
        self.machine.rows().keys().filter(|key| is_web(key)).count()
    }
}

/// Whether it is a row of a web session: bound, its index row, or nobody's.
fn is_web(key: &[u8]) -> bool {
    matches!((key.first(), key.get(17)), (Some(b'A'), Some(0x18)) | (Some(b'W' | b'V'), _))
}

/// A time this many seconds behind [`now`].
fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from(now()) + time::Duration::seconds(seconds)
}

fn record(binding: Option<&Value>, what: &str) -> Record {
    let mut data = std::collections::HashMap::from([("what".to_owned(), Value::from(what))]);
    data.extend(binding.map(|binding| (BINDING.to_owned(), binding.clone())));
    Record { id: Id::default(), data, expiry_date: at(600) }
}

fn what(record: &Record) -> &str {
    record.data["what"].as_str().unwrap()
}

/// What `bind` writes for this sign-in.
async fn binding(web: &OublietteSessions, live: &LiveSignIn) -> Value {
    let session = Session::new(None, Arc::new(web.clone()), None);
    bind(&session, live).await.unwrap();
    session.get_value(BINDING).await.unwrap().unwrap()
}

fn only(id: Id, data: &Record) -> Record {
    Record { id, ..data.clone() }
}

const HOUR: Duration = Duration::from_secs(3600);
