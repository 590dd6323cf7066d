//! Verification: every row is opened, every record read, and nothing changed.

use std::path::{Path, PathBuf};

use crate::builder::Builder;
use crate::crypto::{Tag, fresh};
use crate::error::{Error, Result};
use crate::gate::{Core, Open};
use crate::index;
use crate::layout::{self, AccountRow, Index};
use crate::reclaim::{look, next_account};
use crate::web;

/// What is there, and whether all of it opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Accounts with a live sign-in.
    pub accounts: u64,
    /// Their live sign-ins.
    pub sign_ins: u64,
    /// The tokens of these, expired ones too.
    pub tokens: u64,
    /// The web sessions, of these sign-ins and of nobody's, that have not expired.
    pub web_sessions: u64,
    /// Rows of sign-ins and web sessions that have ended, and index rows that find nobody: for reclaim and the sweep to delete.
    pub dead_rows: u64,
    /// Accounts, sign-ins, tokens and web sessions whose rows do not open. Nobody can read them; the sweep deletes them.
    pub tampered: u64,
    /// Index rows that are missing. The sweep puts them back.
    pub missing_index_rows: u64,
    /// Sign-outs in the ledger that decide something. (A ledger that is not as it was left does not open at all.)
    pub sign_outs: u64,
}

impl Verified {
    /// Whether every row opens and none is missing.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.tampered == 0 && self.missing_index_rows == 0
    }
}

/// Looks at all rows, account by account, each under its lock.
pub(crate) fn verify(core: &Core) -> Result<Verified> {
    drop(core.enter()?);
    // Not while it is entered: that would keep out who waits to be alone. Should the store have been closed meanwhile, and be open elsewhere, what
    // was found says nothing.
    let sign_outs = core.ledger.check();
    drop(core.enter()?);
    let mut verified = Verified { sign_outs: sign_outs?, ..Verified::default() };
    let mut after = layout::all_accounts();
    loop {
        let open = core.enter()?;
        let Some(account) = next_account(&open, after)? else { break };
        verify_account(&open, &account, &mut verified)?;
        after = layout::behind_account(&account);
    }
    for index in Index::ALL {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let open = core.enter()?;
            let slice = open.scan(&index.prefix(), after.as_deref(), 256)?;
            let Some((last, _)) = slice.last() else { break };
            after = Some(last.clone());
            for (tag, account) in slice.iter().filter_map(|(key, _)| layout::indexed(key)) {
                let _lock = core.lock_account(&account);
                verified.dead_rows += u64::from(!index::is_due(&open, &account, (index, tag))?);
            }
        }
    }
    verify_unbound(core, &mut verified)?;
    Ok(verified)
}

/// Web sessions of nobody's, and index rows of web sessions that find none. (The others were counted with their accounts.)
fn verify_unbound(core: &Core, verified: &mut Verified) -> Result<()> {
    for prefix in [layout::web_indexes(), layout::all_unbound()] {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let open = core.enter()?;
            let slice = open.scan(&prefix, after.as_deref(), 256)?;
            let Some((last, _)) = slice.last() else { break };
            after = Some(last.clone());
            for (key, _) in &slice {
                if let Some((session, account, sign_in)) = layout::web_indexed(key) {
                    let _lock = core.lock_account(&account);
                    let is_there = open.get(&layout::web(&account, &sign_in, &session, 0))?.is_some();
                    verified.dead_rows += u64::from(!is_there);
                } else if let Some((session, 0)) = layout::unbound_of(key) {
                    let _lock = core.lock_account(&session);
                    count(
                        web::read_unbound(&open, &session, core.clock.for_deletion()).map(|found| found.map(|it| it.is_some())),
                        verified,
                    )?;
                }
            }
        }
    }
    Ok(())
}

/// A web session that was read under the lock.
fn count(found: Result<Option<bool>>, verified: &mut Verified) -> Result<()> {
    match found {
        Ok(Some(true)) => verified.web_sessions += 1,
        Ok(Some(false)) => verified.dead_rows += 1,
        Ok(None) | Err(Error::Tampered(_)) => verified.tampered += 1,
        Err(error) => return Err(error),
    }
    Ok(())
}

fn verify_account(open: &Open<'_>, account: &Tag, verified: &mut Verified) -> Result<()> {
    let _lock = open.core.lock_account(account);
    let key = layout::header(account);
    let opened = open.header(account).and_then(|opened| match opened {
        Some((value, header)) => open.rows()?.open_account(&key, &value, &header).map(|_| Some(header)),
        None => Ok(None),
    });
    let header = match opened {
        Ok(header) => header,
        Err(Error::Tampered(_)) => {
            verified.tampered += 1;
            None
        }
        Err(error) => return Err(error),
    };
    let look =
        header.as_ref().map(|header| look(open, account, header, open.core.ledger.synced())).transpose()?.unwrap_or_default();
    verified.tampered += look.tampered;
    verified.accounts += u64::from(!look.live.is_empty());
    verified.sign_ins += look.live.len() as u64;
    for (index, tag) in look.live.iter().flat_map(|(_, entries)| entries) {
        verified.missing_index_rows += u64::from(open.get(&index.row(tag, account))?.is_none());
    }
    let end = open.core.ledger.synced();
    open.for_each_row(&layout::account(account), |(key, value)| {
        match (layout::parse(&key), &header) {
            (Some(AccountRow::Header), _) => verified.dead_rows += u64::from(look.live.is_empty()),
            (Some(AccountRow::SignIn(id)), _) => verified.dead_rows += u64::from(!look.lives.contains_key(&id)),
            (Some(AccountRow::Token { sign_in, tenant, part, .. }), Some(header)) => match look.lives.get(&sign_in) {
                Some(life) if !open.core.ledger.fences().is_tenant_dead_by(life, tenant, end) => {
                    if part == 0 {
                        match open.token(header, key, value) {
                            Ok(Some(_)) => verified.tokens += 1,
                            Ok(None) | Err(Error::Tampered(_)) => verified.tampered += 1,
                            Err(error) => return Err(error),
                        }
                    }
                }
                _ => verified.dead_rows += 1,
            },
            (Some(AccountRow::Web { sign_in, session, part }), Some(_)) => {
                let is_found = web::is_found(open, &session, account, &sign_in)?;
                if !is_found || !look.lives.contains_key(&sign_in) {
                    verified.dead_rows += 1;
                } else if part == 0 {
                    let binding = web::Binding { account: *account, sign_in };
                    count(
                        web::read_bound(open, &session, &binding, open.core.clock.for_deletion())
                            .map(|found| found.map(|it| it.is_some())),
                        verified,
                    )?;
                }
            }
            (Some(AccountRow::Token { .. } | AccountRow::Web { .. }), None) | (None, _) => verified.dead_rows += 1,
        }
        Ok(true)
    })
}

/// Verifies a store that is not open, on a copy in the system's folder for temporary files: opening writes.
pub(crate) fn verify_copy(copied: impl FnOnce(&Path) -> Result<Builder>) -> Result<Verified> {
    let copy = Copy::new()?;
    let store = copied(&copy.0)?.open()?;
    let verified = store.verify();
    // Nothing is to be saved of it.
    drop(store);
    verified
}

/// A folder that is removed again.
struct Copy(PathBuf);

impl Copy {
    fn new() -> Result<Self> {
        let name = format!("oubliette-verify-{}", base16ct::lower::encode_string(&fresh::<16>()?));
        let path = std::env::temp_dir().join(name);
        crate::disk::create_private(&path).map_err(Error::io("make a folder for temporary files"))?;
        Ok(Self(path))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Sealed rows in the folder for temporary files are what is left at worst.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
