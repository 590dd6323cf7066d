//! A sign-in: what is stored of it, and its row.

use crate::crypto::{NONCE_BYTES, TAG_BYTES};
use crate::model::error::{Error, Result};
use crate::model::id::{Alias, SessionId, Subject, TenantId};
use crate::model::position::{Opening, Position};
use crate::model::sign_in::Label;
use crate::model::time::{Interval, Millis};
use crate::rows::cipher::{FORMAT, Rows};
use crate::rows::codec;
use crate::rows::header::Header;
use crate::rows::parts::PART_BYTES;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What is stored of a sign-in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SignInBody {
    pub(crate) tenant: TenantId,
    pub(crate) session: Option<SessionId>,
    pub(crate) subject: Option<Subject>,
    pub(crate) aliases: Vec<Alias>,
    pub(crate) time: Millis,
    pub(crate) opening: Opening,
    pub(crate) as_of: Position,
    /// What the app calls it.
    pub(crate) label: Option<Label>,
    /// How long it lasts, if not as long as others.
    pub(crate) age: Option<Interval>,
}

/// The format of the rows that are written. (1 has no label and no age.)
const SIGN_IN_FORMAT: u8 = 2;

impl Rows {
    pub(crate) fn seal_sign_in(
        &self,
        key: &[u8],
        header: &Header,
        sign_in: &SignInBody,
    ) -> Result<Vec<u8>> {
        let first = FirstWire {
            tenant: sign_in.tenant.as_str(),
            session: sign_in.session.as_ref().map(|s| (s.issuer(), s.sid())),
            subject: sign_in.subject.as_ref().map(|s| (s.issuer(), s.sub())),
            aliases: sign_in.aliases.iter().map(Alias::parts).collect(),
            time: sign_in.time,
            opening: sign_in.opening,
            as_of: sign_in.as_of,
        };
        let wire = SignInWire {
            first,
            label: sign_in.label.as_ref().map(|it| it.0.as_str()),
            age: sign_in.age,
        };
        let body = codec::encode(&wire, 2 + NONCE_BYTES, TAG_BYTES);
        let mut row = body
            .filter(|b| b.len() <= PART_BYTES)
            .ok_or_else(|| Error::invalid("sign-in", "its ids are too long together"))?;
        self.seal_behind(b"sign-in", key, header, &[SIGN_IN_FORMAT, b'S'], &mut row)?;
        Ok(std::mem::take(&mut *row))
    }

    pub(crate) fn open_sign_in(
        &self,
        key: &[u8],
        value: &[u8],
        header: &Header,
    ) -> Result<SignInBody> {
        let tampered = || Error::Tampered("sign-in");
        // It is authentic only with the format that it was sealed with.
        let format = value.first().copied().unwrap_or_default();
        let mut row = Zeroizing::new(value.to_vec());
        let body = self
            .open_behind(b"sign-in", [format, b'S'], key, header, 2, &mut row)?
            .ok_or_else(tampered)?;
        let wire = match format {
            FORMAT => codec::decode(body).map(|first| SignInWire { first, label: None, age: None }),
            SIGN_IN_FORMAT => codec::decode(body),
            _ => None,
        };
        wire.and_then(|wire: SignInWire<'_>| wire.read().ok()).ok_or_else(tampered)
    }
}

#[derive(Serialize, Deserialize)]
struct SignInWire<'a> {
    #[serde(borrow)]
    first: FirstWire<'a>,
    label: Option<&'a str>,
    age: Option<Interval>,
}

#[derive(Serialize, Deserialize)]
struct FirstWire<'a> {
    tenant: &'a str,
    #[serde(borrow)]
    session: Option<(&'a str, &'a str)>,
    #[serde(borrow)]
    subject: Option<(&'a str, &'a str)>,
    #[serde(borrow)]
    aliases: Vec<(u8, &'a str)>,
    time: Millis,
    opening: Opening,
    as_of: Position,
}

impl SignInWire<'_> {
    fn read(self) -> Result<SignInBody> {
        let Self { first, label, age } = self;
        Ok(SignInBody {
            tenant: TenantId::new(first.tenant)?,
            session: first.session.map(|(issuer, sid)| SessionId::new(issuer, sid)).transpose()?,
            subject: first.subject.map(|(issuer, sub)| Subject::new(issuer, sub)).transpose()?,
            aliases: first
                .aliases
                .into_iter()
                .map(|(kind, value)| Alias::from_parts(kind, value))
                .collect::<Result<_>>()?,
            time: first.time,
            opening: first.opening,
            as_of: first.as_of,
            label: label.map(|label| Label(label.to_owned())),
            age,
        })
    }
}
