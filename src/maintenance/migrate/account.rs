//! What is carried of one account, and taken out of the target again.

use super::SLICE;
use super::mover::{Mover, target_failed};
use crate::crypto::AccountKey;
use crate::model::error::{Error, Result};
use crate::model::id::AccountId;
use crate::model::position::Position;
use crate::model::tag::AccountTag;
use crate::rows::header::Header;
use crate::rows::row_key::{self, AccountRow, IndexEntry};
use crate::store::access::Open;
use crate::store::census::{Look, look};
use crate::store::index;

impl Mover<'_> {
    /// Gives the target what the store holds of this account that is live. What the target had of
    /// it is [cleared](Mover::clear) before. The caller holds the account's lock.
    pub(super) fn carry(&mut self, open: &Open<'_>, account: &AccountTag) -> Result<()> {
        let Some((id, header)) = self.open_header(open, account)? else { return Ok(()) };
        // What a fence ends that is not synced yet stays behind too: should it never be synced, the
        // ledger fails, and nothing comes of this move.
        let look = look(open, account, &header, Position::MAX)?;
        self.moved.tampered += look.tampered;
        if look.live.is_empty() {
            return Ok(());
        }
        let carried = Header {
            generation: header.generation,
            account_key: if self.resealed.is_some() {
                AccountKey::random()?
            } else {
                header.account_key.clone()
            },
            sign_ins: look.live.iter().map(|(id, _)| *id).collect(),
            other: header.other,
        };
        let key = row_key::header(account);
        let value = self.rows(open)?.seal_header(&key, &carried, &id)?;
        self.put(key, value);
        self.carry_sign_ins(open, account, (&header, &carried), &look)?;
        self.moved.accounts += 1;
        self.carry_tokens(open, account, (&header, &carried), &look)?;
        // Here too, for accounts without tokens.
        if self.batch.changes.len() >= SLICE { self.commit() } else { Ok(()) }
    }

    /// The account's id and header; `None` if there is none, or none that opens.
    fn open_header(
        &mut self,
        open: &Open<'_>,
        account: &AccountTag,
    ) -> Result<Option<(AccountId, Header)>> {
        let key = row_key::header(account);
        let opened = open.header(account).and_then(|opened| {
            let opened = opened.map(|(value, header)| {
                Ok((open.rows()?.open_account(&key, &value, &header)?, header))
            });
            opened.transpose()
        });
        match opened {
            Err(Error::Tampered(_)) => {
                self.moved.tampered += 1;
                Ok(None)
            }
            opened => opened,
        }
    }

    /// Carries the rows of the live sign-ins, and the index rows that find them.
    fn carry_sign_ins(
        &mut self,
        open: &Open<'_>,
        account: &AccountTag,
        (header, carried): (&Header, &Header),
        look: &Look,
    ) -> Result<()> {
        for (id, entries) in &look.live {
            let key = row_key::sign_in(account, id);
            let Some(value) = open.get(&key)? else { continue };
            let value = match self.resealed {
                Some(rows) => rows.seal_sign_in(
                    &key,
                    carried,
                    &open.rows()?.open_sign_in(&key, &value, header)?,
                )?,
                None => value,
            };
            self.put(key, value);
            entries.iter().for_each(|entry| self.batch.put(entry.row(account), Vec::new()));
        }
        Ok(())
    }

    /// Takes out of the target what was carried before of the account, or of the unbound web
    /// session that has this tag, index rows too. (An account comes once in a round, and each round
    /// begins with everything committed, so nothing of this account is in the batch.)
    pub(super) fn clear(&mut self, open: &Open<'_>, account: &AccountTag) -> Result<()> {
        let key = row_key::header(account);
        let header = self.target.get(&key).map_err(target_failed)?;
        let header = header.map(|value| self.rows(open)?.open_header(&key, &value)).transpose()?;
        let mut after: Option<Vec<u8>> = None;
        loop {
            let old = self
                .target
                .scan(&row_key::account(account), after.as_deref(), SLICE)
                .map_err(target_failed)?;
            let Some((last, _)) = old.last() else { break };
            after = Some(last.clone());
            for (key, value) in old {
                match row_key::parse(&key) {
                    Some(AccountRow::SignIn(id)) => {
                        if let Some(header) = &header {
                            let body = self.rows(open)?.open_sign_in(&key, &value, header)?;
                            let entries = index::entries(
                                open.core,
                                &open.core.life(*account, None, &id, &body),
                                &body,
                            );
                            entries.iter().for_each(|entry| self.batch.delete(entry.row(account)));
                        }
                    }
                    Some(AccountRow::Token { tenant, .. }) => {
                        self.batch.delete(IndexEntry::Tenant(tenant).row(account))
                    }
                    Some(AccountRow::Web { sign_in, session, .. }) => {
                        self.batch.delete(row_key::web_index(&session, account, &sign_in));
                    }
                    Some(AccountRow::Header) => self.moved.accounts -= 1,
                    None => {}
                }
                self.take(key, &value);
            }
        }
        let unbound = self
            .target
            .scan(&row_key::unbound_parts(&account.as_web()), None, SLICE)
            .map_err(target_failed)?;
        unbound.into_iter().for_each(|(key, value)| self.take(key, &value));
        Ok(())
    }
}
