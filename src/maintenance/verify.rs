//! Verification: every row is opened, every record read, and nothing changed.

use crate::backend::remote::patiently;
use crate::backend::{Ask, Backend};
use crate::engine::Row;
use crate::model::error::{Error, Result};
use crate::model::position::Position;
use crate::model::report::VerifyReport;
use crate::model::tag::AccountTag;
use crate::rows::header::Header;
use crate::rows::row_key::{self, AccountRow, Index};
use crate::store::access::Open;
use crate::store::census::{Look, look, next_account};
use crate::store::core::Core;
use crate::store::plan::Guards;
use crate::store::{index, web};

/// Looks at all rows, account by account, each under its lock.
pub(crate) fn verify(core: &Core) -> Result<VerifyReport> {
    drop(core.enter()?);
    // Not while it is entered: that would keep out a thread that waits to be alone. Should the
    // store have been closed meanwhile, and be open elsewhere, what was found says nothing.
    let sign_outs = match &core.backend {
        Backend::Embedded(embedded) => embedded.ledger.check(),
        Backend::Remote(remote) => patiently(|| {
            remote.with(|place| match place.check_ledger()? {
                Some(sign_outs) => Ok(sign_outs),
                None => place.size().map(|size| size.fences as u64),
            })
        }),
    };
    drop(core.enter()?);
    let mut verified = VerifyReport { sign_outs: sign_outs?, ..VerifyReport::default() };
    let mut after = row_key::all_accounts();
    loop {
        let Some(account) = next_account(&core.enter()?, after)? else { break };
        let of_account = core.read_held(
            &account,
            || Ask::default().all(row_key::account(&account)),
            |open| {
                let mut verified = VerifyReport::default();
                verify_account(open, &account, &mut verified)?;
                Ok(verified)
            },
        )?;
        verified.add(of_account);
        after = row_key::behind_account(&account);
    }
    for index in Index::ALL {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let slice = core.enter()?.scan(&index.prefix(), after.as_deref(), 256)?;
            let Some((last, _)) = slice.last() else { break };
            after = Some(last.clone());
            for (entry, account) in slice.iter().filter_map(|(key, _)| row_key::indexed(key)) {
                let ask = || index::ask_due(&account, entry);
                let is_due = core.read_held(&account, ask, |open| {
                    index::is_due(open, &account, entry, &mut Guards::on(open))
                })?;
                verified.dead_rows += u64::from(!is_due);
            }
        }
    }
    verify_unbound(core, &mut verified)?;
    Ok(verified)
}

/// Looks at the unbound web sessions, and at the index rows of web sessions that lead nowhere. (The
/// bound web sessions were counted with their accounts.)
fn verify_unbound(core: &Core, verified: &mut VerifyReport) -> Result<()> {
    for prefix in [row_key::web_indexes(), row_key::all_unbound()] {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let slice = core.enter()?.scan(&prefix, after.as_deref(), 256)?;
            let Some((last, _)) = slice.last() else { break };
            after = Some(last.clone());
            for (key, _) in &slice {
                if let Some((session, account, sign_in)) = row_key::web_indexed(key) {
                    let first = row_key::web(&account, &sign_in, &session, 0);
                    let ask = || Ask::default().key(first.clone());
                    let is_there =
                        core.read_held(&account, ask, |open| Ok(open.get(&first)?.is_some()))?;
                    verified.dead_rows += u64::from(!is_there);
                } else if let Some((session, 0)) = row_key::unbound_of(key) {
                    let ask = || Ask::default().all(row_key::unbound_parts(&session));
                    let found = core.read_held(&session.as_account(), ask, |open| {
                        let now = open.time_for_deletion()?;
                        Ok(web::read_unbound(open, &session, now)?.map(|it| it.is_some()))
                    });
                    count(found, verified)?;
                }
            }
        }
    }
    Ok(())
}

/// Counts a web session that was read under its lock.
fn count(found: Result<Option<bool>>, verified: &mut VerifyReport) -> Result<()> {
    match found {
        Ok(Some(true)) => verified.web_sessions += 1,
        Ok(Some(false)) => verified.dead_rows += 1,
        Ok(None) | Err(Error::Tampered(_)) => verified.tampered += 1,
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Looks at all rows of an account, under its lock.
fn verify_account(
    open: &Open<'_>,
    account: &AccountTag,
    verified: &mut VerifyReport,
) -> Result<()> {
    let (header, end) = (verify_header(open, account, verified)?, open.end()?);
    let look = header
        .as_ref()
        .map(|header| look(open, account, header, end))
        .transpose()?
        .unwrap_or_default();
    verified.tampered += look.tampered;
    verified.accounts += u64::from(!look.live.is_empty());
    verified.sign_ins += look.live.len() as u64;
    for entry in look.live.iter().flat_map(|(_, entries)| entries) {
        verified.missing_index_rows += u64::from(open.get(&entry.row(account))?.is_none());
    }
    open.for_each_row(&row_key::account(account), |row| {
        verify_row(open, account, header.as_ref(), (&look, end), row, verified)?;
        Ok(true)
    })
}

/// The header, if there is one and it opens, with the account's id in it.
fn verify_header(
    open: &Open<'_>,
    account: &AccountTag,
    verified: &mut VerifyReport,
) -> Result<Option<Header>> {
    let key = row_key::header(account);
    let opened = open.header(account).and_then(|opened| match opened {
        Some((value, header)) => {
            open.rows()?.open_account(&key, &value, &header).map(|_| Some(header))
        }
        None => Ok(None),
    });
    match opened {
        Err(Error::Tampered(_)) => {
            verified.tampered += 1;
            Ok(None)
        }
        opened => opened,
    }
}

/// Looks at one row of an account. Of a token, and of a web session, the first part stands for all.
fn verify_row(
    open: &Open<'_>,
    account: &AccountTag,
    header: Option<&Header>,
    (look, end): (&Look, Position),
    (key, value): Row,
    verified: &mut VerifyReport,
) -> Result<()> {
    match (row_key::parse(&key), header) {
        (Some(AccountRow::Header), _) => verified.dead_rows += u64::from(look.live.is_empty()),
        (Some(AccountRow::SignIn(id)), _) => {
            verified.dead_rows += u64::from(!look.lives.contains_key(&id))
        }
        (Some(AccountRow::Token { sign_in, tenant, part, .. }), Some(header)) => {
            match look.lives.get(&sign_in) {
                Some(life) if !open.is_tenant_dead_by(life, tenant, end)? => {
                    if part == 0 {
                        match open.token(header, key, value) {
                            Ok(Some(_)) => verified.tokens += 1,
                            Ok(None) | Err(Error::Tampered(_)) => verified.tampered += 1,
                            Err(error) => return Err(error),
                        }
                    }
                }
                _ => verified.dead_rows += 1,
            }
        }
        (Some(AccountRow::Web { sign_in, session, part }), Some(_)) => {
            let is_found = web::is_found(open, &session, account, &sign_in)?;
            if !is_found || !look.lives.contains_key(&sign_in) {
                verified.dead_rows += 1;
            } else if part == 0 {
                let binding = web::Binding { account: *account, sign_in };
                count(
                    web::read_bound(open, &session, &binding, open.time_for_deletion()?)
                        .map(|found| found.map(|it| it.is_some())),
                    verified,
                )?;
            }
        }
        (Some(AccountRow::Token { .. } | AccountRow::Web { .. }), None) | (None, _) => {
            verified.dead_rows += 1
        }
    }
    Ok(())
}
