//! Carries a request out, on an open store: the same for the app beside its socket and for the
//! program that has opened the store itself.

use std::ops::ControlFlow;
use std::path::Path;

use oubliette::{Error, Page, SignOutScope, TenantId, TokenStore};

use crate::answer::{Answer, Estimate, Fault, ListedAccount, Part, kind};
use crate::request::{Request, Whom};

/// How many accounts are read, and told, at a time: as identifiers have at most 1 KiB, a part is
/// far below the longest line.
const PAGE: usize = 256;

/// How many accounts one call of the sweep looks at.
const SLICE: usize = 1000;

impl Request {
    /// Carries it out. Parts of the answer are told as they come; if `told` breaks off, a list or a
    /// sweep ends there, and the answer says how far it came.
    ///
    /// The `Ok` of a sign-out means what [`TokenStore::sign_out`] means by it: it is durable.
    ///
    /// ```
    /// # use std::ops::ControlFlow;
    /// # use oubliette::TokenStore;
    /// use oubliette_control::{Answer, Request, Whom};
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let key = oubliette::KeySource::bytes([7; 32]);
    /// # let store = TokenStore::builder(folder.path().join("tokens")).key(key).open()?;
    /// let request = Request::sign_out(Whom::Everybody {});
    /// let answer = request.perform(&store, &mut |_| ControlFlow::Continue(()))?;
    /// assert!(matches!(answer, Answer::SignOut { ended: Some((0, 0)), .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A fault: of the store, or [`kind::EXISTS`] of a backup.
    pub fn perform(
        &self,
        store: &TokenStore,
        told: &mut dyn FnMut(Part) -> ControlFlow<()>,
    ) -> Result<Answer, Fault> {
        match self {
            Self::Accounts { tenant, limit } => accounts(store, tenant.as_deref(), *limit, told),
            Self::SignOut { whom, signed_in_before, only_session } => {
                let mut sign_out = whom.signed_out(*only_session)?;
                if let Some(time) = signed_in_before {
                    sign_out = sign_out.signed_in_before(*time);
                }
                Ok(Answer::from(&store.sign_out(sign_out.counted())?))
            }
            Self::History { of } => {
                let of = scopes(of)?;
                let history =
                    if of.is_empty() { store.history()? } else { store.history_of(&of)? };
                Ok(Answer::of_history(&history, &of))
            }
            Self::Stats {} => stats(store),
            Self::Sweep { clock_is_right } => sweep(store, *clock_is_right, told),
            Self::Verify {} => Ok(store.verify()?.into()),
            Self::Backup { path } => backup(store, Path::new(path)),
            Self::Compact {} => {
                let it = store.compaction_estimate()?;
                let _ = told(Part::Estimate(Estimate {
                    engine_bytes: it.engine_bytes,
                    peak_bytes: it.peak_bytes,
                    memory_bytes: it.memory_bytes,
                }));
                Ok(store.compact()?.into())
            }
        }
    }
}

/// The scopes of these names.
///
/// # Errors
/// `invalid_input`, for an alias too: it has no record of its own.
pub(crate) fn scopes(of: &[Whom]) -> Result<Vec<SignOutScope>, Fault> {
    of.iter()
        .map(|whom| {
            let alias =
                || Error::InvalidInput { field: "alias", problem: "it has no record of its own" };
            Ok(whom.scope()?.ok_or_else(alias)?)
        })
        .collect()
}

fn accounts(
    store: &TokenStore,
    tenant: Option<&str>,
    limit: Option<u64>,
    told: &mut dyn FnMut(Part) -> ControlFlow<()>,
) -> Result<Answer, Fault> {
    let tenant = tenant.map(TenantId::new).transpose()?;
    let (mut left, mut listed, mut tampered, mut more) = (limit.unwrap_or(u64::MAX), 0, 0, false);
    let mut page = Some(Page::first(PAGE));
    while let Some(next) = page.take_if(|_| left > 0) {
        let found = match &tenant {
            None => store.accounts(next)?,
            Some(tenant) => store.accounts_in(tenant, next)?,
        };
        let wanted = usize::try_from(left).unwrap_or(usize::MAX);
        let part: Vec<ListedAccount> = found
            .accounts
            .iter()
            .take(wanted)
            .map(|account| ListedAccount::new(&account.id, account.sign_ins.len()))
            .collect();
        let is_cut = part.len() < found.accounts.len();
        left -= part.len() as u64;
        listed += part.len() as u64;
        tampered += found.tampered as u64;
        page = found.next;
        more = is_cut || page.is_some();
        if !part.is_empty() && told(Part::Accounts(part)).is_break() {
            break;
        }
    }
    Ok(Answer::Accounts { listed, more, tampered })
}

fn stats(store: &TokenStore) -> Result<Answer, Fault> {
    let (stats, opened) = (store.stats()?, store.opened());
    Ok(Answer::Stats {
        synced: stats.synced,
        fences: stats.fences as u64,
        ledger_bytes: stats.ledger_bytes,
        ledger_reserve: stats.ledger_reserve,
        backlog: stats.backlog as u64,
        engine_bytes: stats.engine_bytes,
        opened_by_previous_key: stats.opened_by_previous_key,
        engine_was_missing: opened.engine_was_missing,
        snapshot_was_damaged: opened.snapshot_was_damaged,
        known_since: stats.known_since,
        clock_ahead_by: stats.clock_ahead_by,
    })
}

fn sweep(
    store: &TokenStore,
    clock_is_right: bool,
    told: &mut dyn FnMut(Part) -> ControlFlow<()>,
) -> Result<Answer, Fault> {
    if clock_is_right {
        store.trust_clock()?;
    }
    let (mut accounts, mut dead_rows, mut expired_tokens, mut tampered) = (0, 0, 0, 0);
    let last = loop {
        let swept = store.sweep(SLICE)?;
        accounts += swept.accounts;
        dead_rows += swept.dead_rows;
        expired_tokens += swept.expired_tokens;
        tampered += swept.tampered;
        if swept.finished || told(Part::Swept(swept.accounts)).is_break() {
            break swept;
        }
    };
    Ok(Answer::Sweep {
        accounts,
        dead_rows,
        expired_tokens,
        tampered,
        live_bytes: last.live_bytes,
        compacted: last.compacted,
        clock_ahead_by: store.stats()?.clock_ahead_by,
    })
}

/// Copies what is live to a folder that is empty or not there.
pub(crate) fn backup(store: &TokenStore, path: &Path) -> Result<Answer, Fault> {
    let is_taken =
        path.exists() && path.read_dir().map_or(true, |mut entries| entries.next().is_some());
    if is_taken {
        let message = format!("{path:?} is there already, and is not an empty folder");
        return Err(Fault::new(kind::EXISTS, message));
    }
    Ok(store.backup(path)?.into())
}
