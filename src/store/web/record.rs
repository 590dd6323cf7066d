//! What is stored of a web session, and how it is sealed: in parts, as a token is. A bound one is
//! sealed by its account's key; an unbound one by a key of its own, derived with the write id as
//! the salt.

use std::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::crypto::{TAG_BYTES, fresh};
use crate::engine::Row;
use crate::model::error::{Error, Result};
use crate::model::position::{Opening, Position};
use crate::model::random_id::{Generation, WriteId};
use crate::model::tag::WebTag;
use crate::model::time::{Millis, millis};
use crate::platform::wipe::Wiped;
use crate::rows::cipher::Rows;
use crate::rows::header::Header;
use crate::rows::parts::{PARTS_TEXT, Parted, write_id_of};
use crate::rows::{codec, row_key};
use crate::rule::Life;

/// The most bytes of one web session's data.
pub(crate) const MAX_WEB_BYTES: usize = 64 * 1024;

const WEB: Parted = Parted { name: "web session", byte: b'W', format: 1 };

/// What an app keeps in a web session.
#[derive(Clone)]
pub(crate) struct WebRecord {
    /// The expiry, since the epoch.
    expires: Duration,
    pub(crate) data: Wiped,
}

impl WebRecord {
    /// # Errors
    /// `InvalidInput` if it is too long.
    pub(crate) fn new(expires_at: SystemTime, data: Wiped) -> Result<Self> {
        if data.len() > MAX_WEB_BYTES {
            return Err(Error::invalid("web session", "its data is longer than 64 KiB"));
        }
        Ok(Self { expires: expires_at.duration_since(UNIX_EPOCH).unwrap_or_default(), data })
    }

    /// The same record, expiring at `latest` at the latest.
    pub(crate) fn until(self, latest: Millis) -> Self {
        Self { expires: self.expires.min(Duration::from_millis(latest.get())), ..self }
    }

    pub(crate) fn expires_at(&self) -> SystemTime {
        UNIX_EPOCH.checked_add(self.expires).unwrap_or(UNIX_EPOCH)
    }

    pub(crate) fn is_expired(&self, now: Millis) -> bool {
        Millis::EPOCH.saturating_add(millis(self.expires)) <= now
    }
}

/// The part of a [`Life`] that is stored of an unbound web session. The rest follows from its tag.
type LifeWire = (Opening, Position, Millis);

#[derive(Serialize, Deserialize)]
struct WebWire<'a> {
    life: Option<LifeWire>,
    seconds: u64,
    nanos: u32,
    data: &'a [u8],
}

/// The life of an unbound web session. The tag that stands for its account and tenant is that of no
/// real account or tenant, so only a sign-out of everybody covers it.
pub(crate) fn life_of_nobody(
    session: WebTag,
    opening: Opening,
    as_of: Position,
    time: Millis,
) -> Life {
    Life {
        opening,
        as_of,
        time,
        sign_in: session.as_sign_in(),
        account: session.as_account(),
        other: None,
        tenant: session.as_tenant(),
        session: None,
        subject: None,
        // Until the reader knows how long a sign-in may last.
        ends: Millis::MAX,
    }
}

impl Rows {
    /// The rows of a web session that ends with this sign-in.
    pub(crate) fn seal_web(
        &self,
        key: impl Fn(u8) -> Vec<u8>,
        header: &Header,
        record: &WebRecord,
    ) -> Result<Vec<Row>> {
        self.seal_record(key, header, &WriteId::from_bytes(fresh()?), None, record)
    }

    /// The rows of an unbound web session.
    pub(crate) fn seal_unbound(
        &self,
        session: &WebTag,
        life: &Life,
        record: &WebRecord,
    ) -> Result<Vec<Row>> {
        let write_id = WriteId::from_bytes(fresh()?);
        let life = Some((life.opening, life.as_of, life.time));
        self.seal_record(
            |part| row_key::unbound(session, part),
            &self.nobody(&write_id),
            &write_id,
            life,
            record,
        )
    }

    /// Opens the parts of a bound web session; `None` as with [`Rows::open_token`].
    ///
    /// # Errors
    /// `Tampered` if a part does not open.
    pub(crate) fn open_web(&self, parts: Vec<Row>, header: &Header) -> Result<Option<WebRecord>> {
        self.open_parts(&WEB, parts, header, |_, body| match decode(body)? {
            (None, record) => Some(record),
            (Some(_), _) => None,
        })
    }

    /// Opens the parts of an unbound web session; `None` as with [`Rows::open_token`].
    ///
    /// # Errors
    /// `Tampered` if a part does not open.
    pub(crate) fn open_unbound(
        &self,
        parts: Vec<Row>,
        session: WebTag,
    ) -> Result<Option<(Life, WebRecord)>> {
        let write_id = parts
            .first()
            .and_then(|(_, value)| write_id_of(value))
            .ok_or(Error::Tampered(WEB.name))?;
        self.open_parts(&WEB, parts, &self.nobody(&write_id), |_, body| match decode(body)? {
            (Some((opening, as_of, time)), record) => {
                Some((life_of_nobody(session, opening, as_of, time), record))
            }
            (None, _) => None,
        })
    }

    fn seal_record(
        &self,
        key: impl Fn(u8) -> Vec<u8>,
        header: &Header,
        write_id: &WriteId,
        life: Option<LifeWire>,
        record: &WebRecord,
    ) -> Result<Vec<Row>> {
        let (seconds, nanos) = (record.expires.as_secs(), record.expires.subsec_nanos());
        let body = codec::encode(
            &WebWire { life, seconds, nanos, data: &record.data },
            PARTS_TEXT,
            TAG_BYTES,
        );
        let rows = body
            .map(|body| self.seal_parts(&WEB, key, header, write_id, body))
            .transpose()?
            .flatten();
        rows.ok_or_else(|| Error::invalid("web session", "its data is too long"))
    }

    /// Stands in for an account's header, with the key of one unbound web session.
    fn nobody(&self, write_id: &WriteId) -> Header {
        let account_key = self.key_of_nobody(b"oubliette/v1/web-session", write_id);
        Header { generation: Generation::NONE, account_key, sign_ins: Vec::new(), other: None }
    }
}

fn decode(body: &[u8]) -> Option<(Option<LifeWire>, WebRecord)> {
    let wire = codec::decode::<WebWire<'_>>(body)?;
    // `Duration::new` panics if a carry from the nanoseconds overflows the seconds.
    let expires = (wire.nanos < 1_000_000_000).then(|| Duration::new(wire.seconds, wire.nanos))?;
    Some((wire.life, WebRecord { expires, data: Wiped(wire.data.to_vec()) }))
}
