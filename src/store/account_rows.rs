//! The rows of one account, read and opened.

use crate::clock::lasting::Stored;
use crate::engine::Row;
use crate::model::error::Result;
use crate::model::random_id::SignInId;
use crate::model::tag::AccountTag;
use crate::model::token::Token;
use crate::rows::header::Header;
use crate::rows::row_key;
use crate::rows::sign_in::SignInBody;
use crate::store::access::Open;

impl Open<'_> {
    /// The account's header as it is stored, and opened.
    pub(crate) fn header(&self, account: &AccountTag) -> Result<Option<(Vec<u8>, Header)>> {
        let Some((value, mut header)) = self.header_alone(account)? else { return Ok(None) };
        if self.core.knows_two_tags() {
            let id = self.rows()?.open_account(&row_key::header(account), &value, &header)?;
            header.other = self.core.other_tag(&id, account);
        }
        Ok(Some((value, header)))
    }

    /// As [`Open::header`], without the account's other tag: for callers that have the
    /// [`Life`](crate::rule::Life) of its sign-ins already.
    pub(crate) fn header_alone(&self, account: &AccountTag) -> Result<Option<(Vec<u8>, Header)>> {
        let key = row_key::header(account);
        let Some(value) = self.get(&key)? else { return Ok(None) };
        let header = self.rows()?.open_header(&key, &value)?;
        Ok(Some((value, header)))
    }

    /// A sign-in that the header lists; `None` if its row is lost.
    pub(crate) fn sign_in(
        &self,
        account: &AccountTag,
        header: &Header,
        id: &SignInId,
    ) -> Result<Option<SignInBody>> {
        let key = row_key::sign_in(account, id);
        let value = self.get(&key)?;
        let rows = self.rows()?;
        value.map(|value| rows.open_sign_in(&key, &value, header)).transpose()
    }

    /// The token whose first part is in this row; `None` if it is being written at the same time.
    pub(crate) fn token(
        &self,
        header: &Header,
        key: Vec<u8>,
        value: Vec<u8>,
    ) -> Result<Option<Token>> {
        Ok(self.stored(header, key, value)?.map(|stored| stored.token))
    }

    /// As [`Open::token`], with when it was stored.
    pub(crate) fn stored(
        &self,
        header: &Header,
        key: Vec<u8>,
        value: Vec<u8>,
    ) -> Result<Option<Stored>> {
        let parts = self.parts(key, value)?;
        parts.map_or(Ok(None), |parts| self.rows()?.open_token(parts, header))
    }

    /// This first part and those that follow it; `None` if one is missing, which happens while the
    /// token is being written.
    pub(crate) fn parts(&self, key: Vec<u8>, value: Vec<u8>) -> Result<Option<Vec<Row>>> {
        let count = crate::rows::parts::parts_of(&value);
        let mut parts = vec![(key, value)];
        for part in 1..count {
            let mut key = parts.first().map(|(key, _)| key.clone()).unwrap_or_default();
            if let Some(last) = key.last_mut() {
                *last = part;
            }
            match self.get(&key)? {
                Some(value) => parts.push((key, value)),
                // All that are not here yet are asked for at once.
                None if self.lacks_something() => {}
                None => return Ok(None),
            }
        }
        Ok((parts.len() == usize::from(count.max(1))).then_some(parts))
    }
}
