//! A sign-in: what is stored of it, and its row.

use crate::crypto::{NONCE_BYTES, TAG_BYTES};
use crate::model::error::{Error, Result};
use crate::model::id::{Alias, SessionId, Subject, TenantId};
use crate::model::position::{Opening, Position};
use crate::model::time::Millis;
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
}

impl Rows {
    pub(crate) fn seal_sign_in(
        &self,
        key: &[u8],
        header: &Header,
        sign_in: &SignInBody,
    ) -> Result<Vec<u8>> {
        let wire = SignInWire {
            tenant: sign_in.tenant.as_str(),
            session: sign_in.session.as_ref().map(|s| (s.issuer(), s.sid())),
            subject: sign_in.subject.as_ref().map(|s| (s.issuer(), s.sub())),
            aliases: sign_in.aliases.iter().map(Alias::parts).collect(),
            time: sign_in.time,
            opening: sign_in.opening,
            as_of: sign_in.as_of,
        };
        let body = codec::encode(&wire, 2 + NONCE_BYTES, TAG_BYTES);
        let mut row = body
            .filter(|b| b.len() <= PART_BYTES)
            .ok_or_else(|| Error::invalid("sign-in", "its ids are too long together"))?;
        self.seal_behind(b"sign-in", key, header, &[FORMAT, b'S'], &mut row)?;
        Ok(std::mem::take(&mut *row))
    }

    pub(crate) fn open_sign_in(
        &self,
        key: &[u8],
        value: &[u8],
        header: &Header,
    ) -> Result<SignInBody> {
        let tampered = || Error::Tampered("sign-in");
        let mut row = Zeroizing::new(value.to_vec());
        let body = self
            .open_behind(b"sign-in", [FORMAT, b'S'], key, header, 2, &mut row)?
            .ok_or_else(tampered)?;
        let wire = codec::decode::<SignInWire<'_>>(body).ok_or_else(tampered)?;
        wire.read().map_err(|_: Error| tampered())
    }
}

#[derive(Serialize, Deserialize)]
struct SignInWire<'a> {
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
        Ok(SignInBody {
            tenant: TenantId::new(self.tenant)?,
            session: self.session.map(|(issuer, sid)| SessionId::new(issuer, sid)).transpose()?,
            subject: self.subject.map(|(issuer, sub)| Subject::new(issuer, sub)).transpose()?,
            aliases: self
                .aliases
                .into_iter()
                .map(|(kind, value)| Alias::from_parts(kind, value))
                .collect::<Result<_>>()?,
            time: self.time,
            opening: self.opening,
            as_of: self.as_of,
        })
    }
}
