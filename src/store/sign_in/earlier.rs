//! What is stored of an account before another sign-in joins it.

use crate::crypto::{AccountKey, fresh};
use crate::model::error::{Error, Result};
use crate::model::id::AccountId;
use crate::model::random_id::{Generation, SignInId};
use crate::model::tag::AccountTag;
use crate::rows::header::Header;
use crate::rows::row_key::{self, IndexEntry};
use crate::store::access::Open;
use crate::store::index;

/// An account as it was found.
#[derive(Default)]
pub(super) struct Earlier {
    /// The stored header row.
    pub(super) value: Option<Vec<u8>>,
    /// The header, if the account is live.
    pub(super) header: Option<Header>,
    /// Its live sign-ins, oldest first, and those that have ended; with the index entries that find
    /// them.
    pub(super) live: Vec<Listed>,
    pub(super) dead: Vec<Listed>,
}

/// A sign-in that a header lists, and the index entries that find it.
pub(super) type Listed = (SignInId, Vec<IndexEntry>);

impl Earlier {
    /// Adds a sign-in to the live ones. Returns the ended ones, and the oldest live ones beyond the
    /// limit of `most`.
    pub(super) fn join(&mut self, id: SignInId, entries: Vec<IndexEntry>, most: u8) -> Vec<Listed> {
        self.live.push((id, entries));
        let surplus = self.live.len().saturating_sub(most.into());
        self.live.drain(..surplus).chain(std::mem::take(&mut self.dead)).collect()
    }

    /// The header that lists the live sign-ins: with the generation and key of the same life, or of
    /// a new one.
    pub(super) fn next_header(&mut self, other: Option<AccountTag>) -> Result<Header> {
        let mut header = match self.header.take() {
            Some(header) => header,
            None => Header {
                generation: Generation::from_bytes(fresh()?),
                account_key: AccountKey::random()?,
                sign_ins: Vec::new(),
                other,
            },
        };
        header.sign_ins = self.live.iter().map(|(id, _)| *id).collect();
        Ok(header)
    }
}

/// Reads what is stored of the account. A header or sign-in that does not open counts as ended.
pub(super) fn earlier(open: &Open<'_>, account: &AccountTag, id: &AccountId) -> Result<Earlier> {
    let core = open.core;
    // A sign-in that is taken out for its age is lost, so a clock that may be wrong must not
    // decide.
    let now = open.time_for_deletion()?;
    let key = row_key::header(account);
    let Some(value) = open.get(&key)? else { return Ok(Earlier::default()) };
    let opened = open.rows()?.open_header(&key, &value);
    let opened =
        opened.and_then(|header| Ok((open.rows()?.open_account(&key, &value, &header)?, header)));
    let mut earlier = Earlier { value: Some(value), ..Earlier::default() };
    let (stored, mut header) = match opened {
        Ok(opened) => opened,
        Err(Error::Tampered(_)) => return Ok(earlier),
        Err(error) => return Err(error),
    };
    if stored != *id {
        return Err(Error::Tampered("header"));
    }
    header.other = core.other_tag(id, account);
    for sign_in in &header.sign_ins {
        match open.sign_in(account, &header, sign_in) {
            Ok(Some(body)) => {
                let life = core.life(*account, header.other, sign_in, &body);
                // A sign-in that is taken out of the header stays out, so only durable sign-outs
                // count here. (Reads obey the others too.)
                let has_ended = life.is_too_old(now) || open.is_dead_by(&life, open.end()?)?;
                let list = if has_ended { &mut earlier.dead } else { &mut earlier.live };
                list.push((*sign_in, index::entries(core, &life, &body)));
            }
            Ok(None) | Err(Error::Tampered(_)) => earlier.dead.push((*sign_in, Vec::new())),
            Err(error) => return Err(error),
        }
    }
    earlier.header = (!earlier.live.is_empty()).then_some(header);
    Ok(earlier)
}
