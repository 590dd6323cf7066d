//! The tokens and web sessions of an account's live sign-ins.

use super::SLICE;
use super::mover::Mover;
use crate::clock::lasting::Stored;
use crate::engine::Row;
use crate::model::error::{Error, Result};
use crate::model::random_id::SignInId;
use crate::model::tag::{AccountTag, Slot, TenantTag, WebTag};
use crate::rows::cipher::Rows;
use crate::rows::header::Header;
use crate::rows::row_key::{self, AccountRow, IndexEntry};
use crate::store::access::Open;
use crate::store::census::Look;
use crate::store::web;

impl Mover<'_> {
    /// Carries the tokens and web sessions of live sign-ins.
    pub(super) fn carry_tokens(
        &mut self,
        open: &Open<'_>,
        account: &AccountTag,
        (header, carried): (&Header, &Header),
        look: &Look,
    ) -> Result<()> {
        let mut after = row_key::header(account);
        loop {
            let slice = open.scan(&row_key::account(account), Some(&after), SLICE)?;
            let Some((last, _)) = slice.last() else { break };
            after = last.clone();
            for row in slice {
                let is_carried = self.carry_row(open, account, (header, carried), look, row)?;
                if is_carried && self.batch.changes.len() >= SLICE {
                    self.commit()?;
                }
            }
        }
        Ok(())
    }

    /// Carries a row, if it is of a token or web session that lives; and says whether it is.
    fn carry_row(
        &mut self,
        open: &Open<'_>,
        account: &AccountTag,
        headers: (&Header, &Header),
        look: &Look,
        (key, value): Row,
    ) -> Result<bool> {
        match row_key::parse(&key) {
            Some(AccountRow::Token { sign_in, tenant, slot, part }) => {
                let Some(life) = look.lives.get(&sign_in) else { return Ok(false) };
                if open.is_tenant_dead(life, tenant)? {
                    return Ok(false);
                }
                if tenant != life.tenant {
                    self.batch.put(IndexEntry::Tenant(tenant).row(account), Vec::new());
                }
                match self.resealed {
                    None => self.put(key, value),
                    Some(rows) if part == 0 => {
                        let place = (account, &sign_in, &tenant, &slot);
                        self.reseal(open, rows, headers, place, (key, value))?;
                    }
                    // It was resealed with its first part.
                    Some(_) => {}
                }
                Ok(true)
            }
            Some(AccountRow::Web { sign_in, session, part }) if !self.without_web => {
                let place = (account, &sign_in, &session);
                self.carry_web(open, headers, look, place, part, (key, value))
            }
            // Carried with the header, left out of a backup, or not written by this crate.
            Some(AccountRow::Header | AccountRow::SignIn(_) | AccountRow::Web { .. }) | None => {
                Ok(false)
            }
        }
    }

    /// Carries a row of a web session, if that is found and its sign-in lives; and says whether it
    /// is.
    fn carry_web(
        &mut self,
        open: &Open<'_>,
        headers: (&Header, &Header),
        look: &Look,
        (account, sign_in, session): (&AccountTag, &SignInId, &WebTag),
        part: u8,
        (key, value): Row,
    ) -> Result<bool> {
        // One that has lost its index row is never found again: the sweep deletes it.
        if !look.lives.contains_key(sign_in) || !web::is_found(open, session, account, sign_in)? {
            return Ok(false);
        }
        match self.resealed {
            None => self.put(key, value),
            Some(rows) if part == 0 => {
                let place = (account, sign_in, session);
                self.reseal_web(open, rows, headers, place, (key, value))?;
            }
            // It was resealed with its first part.
            Some(_) => {}
        }
        self.batch.put(row_key::web_index(session, account, sign_in), Vec::new());
        Ok(true)
    }

    /// Seals a token anew, all its parts, for the target.
    fn reseal(
        &mut self,
        open: &Open<'_>,
        rows: &Rows,
        (header, carried): (&Header, &Header),
        (account, sign_in, tenant, slot): (&AccountTag, &SignInId, &TenantTag, &Slot),
        (key, value): (Vec<u8>, Vec<u8>),
    ) -> Result<()> {
        match open.stored(header, key, value) {
            Ok(Some(Stored { token, put })) => {
                let key = |part| row_key::token(account, sign_in, tenant, slot, part);
                rows.seal_token(key, carried, &token, put.as_ref())?
                    .into_iter()
                    .for_each(|(key, value)| self.put(key, value));
            }
            // The caller holds the lock: no other thread is writing it.
            Ok(None) | Err(Error::Tampered(_)) => self.moved.tampered += 1,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Seals a web session anew, all its parts, for the target.
    fn reseal_web(
        &mut self,
        open: &Open<'_>,
        rows: &Rows,
        (header, carried): (&Header, &Header),
        (account, sign_in, session): (&AccountTag, &SignInId, &WebTag),
        (key, value): (Vec<u8>, Vec<u8>),
    ) -> Result<()> {
        let opened = open.parts(key, value).and_then(|parts| match parts {
            Some(parts) => open.rows()?.open_web(parts, header),
            None => Ok(None),
        });
        match opened {
            Ok(Some(record)) => {
                let key = |part| row_key::web(account, sign_in, session, part);
                rows.seal_web(key, carried, &record)?
                    .into_iter()
                    .for_each(|(key, value)| self.put(key, value));
            }
            // The caller holds the lock: no other thread is writing it.
            Ok(None) | Err(Error::Tampered(_)) => self.moved.tampered += 1,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
