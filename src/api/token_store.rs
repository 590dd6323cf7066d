//! The store: opened once, shared by clones, closed once.

use crate::api::builder::Builder;
use crate::crypto::KeySource;
use crate::maintenance::reclaim::{self};
use crate::maintenance::upkeep::UpkeepBuilder;
use crate::maintenance::{backup, compact, erase, figures, rotate, sweep, verify};
use crate::model::error::{Error, Result};
use crate::model::id::{AccountId, Alias, SessionId, Subject, TenantId};
use crate::model::random_id::SignInId;
use crate::model::report::{
    BackedUp, Compacted, CompactionEstimate, Erased, Opened, Reclaimed, Stats, Swept, Verified,
};
use crate::model::sign_in::{AsOf, SignIn, Stored};
use crate::model::sign_out::{LastSignOut, Receipt, Scope, SignOut};
use crate::model::tag::{AccountTag, TenantTag};
use crate::model::token::Tokens;
use crate::observe;
use crate::platform::sync::atomic::{AtomicBool, Ordering};
use crate::platform::sync::{Arc, Mutex, lock};
use crate::rows::row_key::{self, IndexEntry};
use crate::store::access::Open;
use crate::store::census::next_account;
use crate::store::commit::checkpoint;
use crate::store::core::Core;
use crate::store::files::Premises;
use crate::store::lifetime::{Owner, Works, shut};
use crate::store::location::Held;
use crate::store::sign_in::{self, LiveSignIn};
use crate::store::sign_out::{self};
use std::path::Path;
#[cfg(feature = "logout")]
use std::time::SystemTime;

/// An encrypted, restart-safe store of tokens. Clones share it.
///
/// Dropping the last clone and the last handle closes it without waiting for reclaim;
/// [`close`](Self::close) tells whether all went well.
///
/// # Examples
/// ```
/// # use std::time::{Duration, SystemTime};
/// use oubliette::*;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path().join("tokens");
/// let store = TokenStore::builder(folder).key(KeySource::bytes([7; 32])).open()?;
/// let account = AccountId::new("login.example.com", "uid.utid")?;
/// let live = store.sign_in(SignIn::new(account.clone(), TenantId::new("contoso")?))?;
///
/// let client = ClientId::new("web")?;
/// let expires = SystemTime::now() + Duration::from_secs(3600);
/// live.put(AccessToken::new(client.clone(), Scopes::parse("mail.read user.read")?, "eyJ0...", expires))?;
///
/// let wanted = AccessQuery::new(client).scopes(Scopes::parse("mail.read")?);
/// assert_eq!(live.access_token(&wanted)?.unwrap().secret.expose(), "eyJ0...");
///
/// store.sign_out(SignOut::account(&account))?; // durable when it returns
/// assert!(live.access_token(&wanted)?.is_none());
/// store.close()?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TokenStore {
    owner: Arc<Owner>,
}

/// A part of a long list.
#[derive(Clone)]
#[must_use]
pub struct Page {
    after: Option<Vec<u8>>,
    limit: usize,
}

impl Page {
    /// The first accounts, up to `limit` (at least one).
    pub fn first(limit: usize) -> Self {
        Self { after: None, limit: limit.max(1) }
    }
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Page({})", self.limit)
    }
}

/// Some live accounts, in no telling order.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Accounts {
    /// The accounts of this page.
    pub accounts: Vec<Account>,
    /// The page behind it, if there are more.
    pub next: Option<Page>,
    /// How many accounts were passed over because their rows do not open. The sweep removes them.
    pub tampered: usize,
}

/// A live account.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Account {
    /// Who it is.
    pub id: AccountId,
    /// Its live sign-ins, newest first. Never empty.
    pub sign_ins: Vec<LiveSignIn>,
}

impl TokenStore {
    /// How to open the store in this folder, which is made if there is none.
    pub fn builder(folder: impl Into<std::path::PathBuf>) -> Builder {
        Builder::at_folder(folder.into())
    }

    /// Signs a user in. On a live account this is one more sign-in beside the others (of which the
    /// oldest is pushed out when there are too many); on a dead or absent one the account begins a
    /// new life.
    ///
    /// `Ok` means that the sign-in survives a power loss, and that no sign-out that was
    /// acknowledged before the call ends it.
    ///
    /// # Errors
    /// [`Error::Overtaken`] if a sign-out came since the [moment](SignIn::as_of) that it began at;
    /// if its session at the provider has been ended by a sign-out of [that time or
    /// later](SignOut::signed_in_before); or if sign-outs of the account come in faster than they
    /// can be written. [`Error::SignedOut`] if it was to be [continued](SignIn::continued_from),
    /// and a sign-out covers it. [`Error::InvalidInput`] for ids that cannot be stored.
    /// [`Error::Full`], [`Error::Io`], [`Error::Poisoned`] if the engine or the ledger failed.
    pub fn sign_in(&self, sign_in: SignIn) -> Result<LiveSignIn> {
        Ok(observe::sign_in(|| sign_in::sign_in(&self.owner, sign_in, &[]))?.0)
    }

    /// This moment, for a sign-in that begins now and is told of later: [`SignIn::as_of`].
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Full`] and [`Error::Poisoned`] if the ledger cannot be written.
    ///
    /// # Examples
    /// ```
    /// # use oubliette::*;
    /// # let store = TokenStore::in_memory()?;
    /// let account = AccountId::new("login.example.com", "uid.utid")?;
    /// let moment = store.as_of()?;
    /// // The code is redeemed; meanwhile she signs out in another app:
    /// store.sign_out(SignOut::account(&account))?;
    /// let late = SignIn::new(account, TenantId::new("contoso")?).as_of(moment);
    /// assert!(matches!(store.sign_in(late), Err(Error::Overtaken { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn as_of(&self) -> Result<AsOf> {
        observe::verb("as_of", || sign_in::moment(self.core()))
    }

    /// Signs a user in with the tokens that came with it: as [`sign_in`](Self::sign_in) and
    /// [`put`](LiveSignIn::put), but atomically, and at the price of one sync to disk. After a
    /// crash there is the sign-in with its tokens, or neither.
    ///
    /// # Errors
    /// As of both. [`Error::InvalidInput`]: nobody was signed in. [`Error::Overtaken`] if a
    /// sign-out overtook the call: revoke the tokens if you can.
    ///
    /// # Examples
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # use oubliette::*;
    /// # let store = TokenStore::in_memory()?;
    /// let sign_in = SignIn::new(AccountId::new("login.example.com", "uid.utid")?, TenantId::new("contoso")?);
    /// let client = ClientId::new("web")?;
    /// let (live, stored) = store.sign_in_with(sign_in, RefreshToken::new(client.clone(), "rt-1"))?;
    /// assert_eq!(stored.stored, 1);
    /// assert_eq!(live.refresh_token(&client)?.unwrap().secret.expose(), "rt-1");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn sign_in_with(
        &self,
        sign_in: SignIn,
        tokens: impl Into<Tokens>,
    ) -> Result<(LiveSignIn, Stored)> {
        let Tokens(tokens) = tokens.into();
        observe::sign_in(|| sign_in::sign_in(&self.owner, sign_in, &tokens))
    }

    /// Ends every sign-in in the scope, at once for every reader, whether anybody is there or not.
    ///
    /// `Ok` means that it is durable: no read that starts from now on, in this process or a later
    /// one, after whatever crash, gives a token from before. The cost does not depend on what the
    /// store holds. A sign-out cannot be undone.
    ///
    /// # Errors
    /// [`Error::Indeterminate`] if the disk failed meanwhile: signed out in this process, unknown
    /// after a restart. [`Error::OnlySessionEnded`] if a session's accounts could not be looked up.
    /// [`Error::Full`] and [`Error::InvalidInput`]: nothing was done. [`Error::Poisoned`] if the
    /// ledger has failed before. A failed engine does not stop it.
    pub fn sign_out(&self, sign_out: SignOut) -> Result<Receipt> {
        observe::sign_out(sign_out.kind(), || sign_out::sign_out(self.core(), sign_out))
    }

    /// The newest sign-out on record that can have ended a sign-in of this scope, by whatever name
    /// it came; durable when this returns.
    ///
    /// Of an account are looked at: the account, the subject that it is (issuer and `sub`),
    /// everybody, and, as long as their rows can be read, the tenants, sessions and subjects of its
    /// sign-ins. Of a subject or session likewise. What could not be looked at is
    /// [said](LastSignOut::not_looked_at). Whether there was a new sign-in since,
    /// [`account`](Self::account) tells.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Poisoned`] and [`Error::Indeterminate`] if the ledger failed.
    pub fn last_sign_out(&self, scope: &Scope) -> Result<LastSignOut> {
        observe::verb("last_sign_out", || sign_out::last_sign_out(self.core(), scope))
    }

    /// Handles of the account's live sign-ins, newest first; after a restart too. Empty if it is
    /// not signed in.
    ///
    /// # Errors
    /// [`Error::Tampered`] if its rows do not open; [`Error::Poisoned`], [`Error::Closed`].
    pub fn account(&self, account: &AccountId) -> Result<Vec<LiveSignIn>> {
        observe::verb("account", || self.account_in(&self.core().enter()?, account))
    }

    /// The handle of one sign-in, by the [id](LiveSignIn::id) that the app kept for it; `None` if
    /// it is not live. It costs two point reads, however many sign-ins the account has.
    ///
    /// # Errors
    /// As [`TokenStore::account`].
    pub fn resume(&self, account: &AccountId, id: [u8; 16]) -> Result<Option<LiveSignIn>> {
        observe::verb("resume", || self.resume_in(&self.core().enter()?, account, id))
    }

    /// As [`TokenStore::resume`], by the account's tag.
    #[cfg(feature = "tower-sessions")]
    pub(crate) fn resume_tagged(
        &self,
        account: &AccountTag,
        id: &SignInId,
    ) -> Result<Option<LiveSignIn>> {
        observe::verb("resume", || {
            let open = self.core().enter()?;
            let live = beside_writers(|| sign_in::live_sign_ins(&self.owner, &open, account))?;
            Ok(live.into_iter().find(|live| live.id_bytes() == id))
        })
    }

    /// The live accounts, page by page. Accounts that do not open are counted, not listed.
    ///
    /// # Errors
    /// [`Error::Poisoned`], [`Error::Closed`].
    pub fn accounts(&self, page: Page) -> Result<Accounts> {
        observe::verb("accounts", || self.page_of_accounts(page))
    }

    fn page_of_accounts(&self, page: Page) -> Result<Accounts> {
        let mut after = page.after.unwrap_or_else(row_key::all_accounts);
        let mut found = Accounts::default();
        while found.accounts.len() < page.limit {
            // Anew for each, so that a long page holds up nobody who has to wait for all verbs.
            let open = self.core().enter()?;
            let Some(account) = next_account(&open, after)? else { return Ok(found) };
            found.add(self.live_account(&open, &account))?;
            after = row_key::behind_account(&account);
        }
        found.next = Some(Page { after: Some(after), limit: page.limit });
        Ok(found)
    }

    /// The live accounts with a sign-in in this tenant, or with tokens of it (guests), page by
    /// page.
    ///
    /// # Errors
    /// As [`TokenStore::accounts`].
    pub fn accounts_in(&self, tenant: &TenantId, page: Page) -> Result<Accounts> {
        observe::verb("accounts_in", || self.page_of_tenant(tenant, page))
    }

    fn page_of_tenant(&self, tenant: &TenantId, page: Page) -> Result<Accounts> {
        let tag = self.core().tagger.tenant(tenant);
        let prefix = IndexEntry::Tenant(tag).accounts();
        let mut after = page.after;
        let mut found = Accounts::default();
        while found.accounts.len() < page.limit {
            let open = self.core().enter()?;
            let rows = open.scan(&prefix, after.as_deref(), 1)?;
            let Some((key, _)) = rows.into_iter().next() else { return Ok(found) };
            if let Some(account) = row_key::indexed_account(&key) {
                found.add(self.live_account(&open, &account).and_then(
                    |account| match account {
                        Some(account) if has_tenant(&open, &account, &tag)? => Ok(Some(account)),
                        _ => Ok(None),
                    },
                ))?;
            }
            after = Some(key);
        }
        found.next = Some(Page { after, limit: page.limit });
        Ok(found)
    }

    /// The live accounts that this session of the provider is signed in to.
    ///
    /// # Errors
    /// As [`TokenStore::accounts`].
    pub fn accounts_of_session(&self, session: &SessionId) -> Result<Vec<Account>> {
        let entry = IndexEntry::Session(self.core().tagger.session(session));
        observe::verb("accounts_of_session", || {
            self.accounts_under(entry, |live| live.session() == Some(session))
        })
    }

    /// The live accounts with a sign-in of this subject.
    ///
    /// # Errors
    /// As [`TokenStore::accounts`].
    pub fn accounts_of_subject(&self, subject: &Subject) -> Result<Vec<Account>> {
        let entry = IndexEntry::Subject(self.core().tagger.subject(subject));
        observe::verb("accounts_of_subject", || {
            self.accounts_under(entry, |live| live.subject() == Some(subject))
        })
    }

    /// The live accounts with a sign-in of this alias.
    ///
    /// # Errors
    /// As [`TokenStore::accounts`].
    pub fn accounts_of_alias(&self, alias: &Alias) -> Result<Vec<Account>> {
        let entry = IndexEntry::Alias(self.core().tagger.alias(alias));
        observe::verb("accounts_of_alias", || {
            self.accounts_under(entry, |live| live.aliases().contains(alias))
        })
    }

    /// Looks at up to `budget` accounts (or slices of an index), from where the last sweep ended:
    /// deletes expired tokens, sign-ins that are too old, and dead rows that reclaim missed; at the
    /// end compacts the ledger, and the engine's folder if that is worth it. Call it from time to
    /// time, or let the [upkeep](TokenStore::upkeep) do it. One sweep at a time: another waits.
    ///
    /// # Errors
    /// [`Error::Poisoned`], [`Error::Closed`]; [`Error::Io`] if the ledger could not be compacted
    /// (nothing is lost).
    pub fn sweep(&self, budget: usize) -> Result<Swept> {
        observe::verb("sweep", || sweep::sweep(self.owner.works(), budget))
    }

    /// A thread that [sweeps](TokenStore::sweep) from time to time, to be set up and
    /// [started](UpkeepBuilder::start).
    pub fn upkeep(&self) -> UpkeepBuilder {
        UpkeepBuilder::of(self.owner.works())
    }

    /// Waits until the rows of all sign-outs so far are deleted and that is durable. They are
    /// unreachable anyway.
    ///
    /// # Errors
    /// [`Error::Poisoned`] if the engine failed; [`Error::Closed`].
    pub fn wait_reclaimed(&self) -> Result<Reclaimed> {
        observe::verb("wait_reclaimed", || {
            // Not under the gate: closing must be able to go on meanwhile.
            drop(self.core().enter()?);
            let done = self.core().backlog.wait()?;
            checkpoint(&self.core().enter()?)?;
            Ok(done)
        })
    }

    /// Figures for operators. Cheap: nothing is scanned.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Poisoned`] if the ledger failed.
    pub fn stats(&self) -> Result<Stats> {
        observe::verb("stats", || figures::stats(self.owner.works()))
    }

    /// Has the store's keys wrapped by exactly these: the source's own, and those it names with
    /// [`KeySource::also`]. No other key opens the store from then on, but older copies of its
    /// keyring: those only [`TokenStore::complete_erasure`] makes worthless.
    ///
    /// It writes one small file, whatever the store holds. To change keys while several releases of
    /// an app are about, wrap by `new.also(old)` first, and by `new` alone when nobody offers the
    /// old one any more.
    ///
    /// ```
    /// # use oubliette::*;
    /// # let machine = Machine::new();
    /// # let store = machine.builder().key(KeySource::bytes([1; 32])).open()?;
    /// store.rotate_key(&KeySource::bytes([2; 32]).also(KeySource::bytes([1; 32])))?; // both open it
    /// store.rotate_key(&KeySource::bytes([2; 32]))?; // only the new one does
    /// store.close()?;
    /// assert!(matches!(machine.builder().key(KeySource::bytes([1; 32])).open(), Err(Error::KeyRejected)));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::KeyUnavailable`] if one of the keys cannot be had, [`Error::InvalidInput`] for more
    /// than eight or one twice: nothing was changed. [`Error::Io`] if the file could not be
    /// written; if it could not be put in place, either the old or the new keys open the store.
    pub fn rotate_key(&self, keys: &KeySource) -> Result<()> {
        observe::verb("rotate_key", || {
            let premises = self.owner.premises();
            rotate::rotate_key(self.core(), &premises, keys)?;
            self.owner.opened_by_previous_key.store(false, Ordering::Relaxed);
            Ok(())
        })
    }

    /// Makes everything that was ever signed out unreadable for good: what is live is sealed anew
    /// under fresh keys, wrapped by `keys`, in a fresh folder, and the old files are removed. No
    /// byte that was on the disk before, and no backup, opens with a key that is held afterwards,
    /// provided that the keys which wrapped the store before are destroyed.
    ///
    /// Sign-ins, their handles, and all sign-outs stay as they are. Verbs go on meanwhile, as in
    /// [`TokenStore::compact`]. **Backups from before cannot be restored any more**: make a new
    /// one. It takes space for a second copy of what is live.
    ///
    /// # Errors
    /// As [`TokenStore::rotate_key`]; [`Error::Full`] and [`Error::Io`]: nothing was changed,
    /// unless the error says that the store is poisoned, when the next open finds out.
    pub fn complete_erasure(&self, keys: &KeySource) -> Result<Erased> {
        observe::verb("complete_erasure", || {
            let mut premises = self.owner.premises();
            let mut held = Vec::new();
            let erased = erase::complete_erasure(self.core(), &mut premises, keys, &mut held);
            if let Some((_, all)) = lock(&self.owner.running).as_mut() {
                all.append(&mut held);
            }
            let erased = erased?;
            self.owner.opened_by_previous_key.store(false, Ordering::Relaxed);
            Ok(erased)
        })
    }

    /// Copies everything that is live, each account as it is at one moment of the call, into a
    /// folder that is made or is empty: sealed rows, and the keyring. Never the ledger:
    /// [`Builder::restore`] needs the one in use, so that who signs out after the backup stays out.
    ///
    /// Verbs go on meanwhile. A backup opens with the keys that wrap the store now.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the folder is not empty; [`Error::Full`], [`Error::Io`]: the
    /// backup is not whole, remove it; [`Error::Poisoned`], [`Error::Closed`].
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<BackedUp> {
        observe::verb("backup", || {
            backup::backup(self.core(), &self.owner.premises(), path.as_ref())
        })
    }

    /// Moves what is live to a fresh folder of the engine, without what sled keeps of deleted rows,
    /// and compacts the ledger. The [sweep](TokenStore::sweep) does it when it is worth it.
    ///
    /// Verbs go on meanwhile. Accounts that change are copied again, until at most 32 are left; for
    /// these, and for the disk to sync a few times, all verbs wait: some milliseconds, whatever the
    /// store holds. (Should accounts change faster than they can be copied, all wait for those that
    /// are left when a round has brought nothing, if these are at most 1024, or after 16 rounds.)
    /// What it takes meanwhile says [`compaction_estimate`](TokenStore::compaction_estimate).
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::Io`]: the store goes on with the old folder, unless the error
    /// says that it is poisoned; [`Error::Poisoned`], [`Error::Closed`].
    pub fn compact(&self) -> Result<Compacted> {
        observe::verb("compact", || {
            let compacted = compact::compact(self.core(), &mut self.owner.premises());
            observe::compacted(compacted.is_ok());
            compacted
        })
    }

    /// What a [compaction](TokenStore::compact) would take, on the disk and in memory, before it
    /// begins. (One that begins says it, too, as an event at level `debug`.)
    ///
    /// ```
    /// # use oubliette::*;
    /// # let store = TokenStore::in_memory()?;
    /// let estimate = store.compaction_estimate()?;
    /// if estimate.free_bytes.is_none_or(|free| free > estimate.copy_bytes) {
    ///     store.compact()?;
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Poisoned`], [`Error::Closed`].
    pub fn compaction_estimate(&self) -> Result<CompactionEstimate> {
        observe::verb("compaction_estimate", || {
            compact::estimate(self.core(), &self.owner.premises())
        })
    }

    /// Opens every row, and reads the ledger's file again. Nothing is changed. [`Builder::verify`]
    /// does it for a store that is not open.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the ledger's file is not as it was written; [`Error::Poisoned`],
    /// [`Error::Closed`].
    pub fn verify(&self) -> Result<Verified> {
        observe::verb("verify", || verify::verify(self.core()))
    }

    /// The clock is right, says an operator: the store goes on deleting what is too old by it.
    /// Needed only after the clock has jumped ahead, or the process was off for long, and nobody
    /// has signed in since by a verified ID token: [`Stats::clock_ahead_by`] tells, and
    /// [`Builder::longest_clock_jump`] why.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Poisoned`].
    pub fn trust_clock(&self) -> Result<()> {
        observe::verb("trust_clock", || {
            let open = self.core().enter()?;
            self.core().clock.confirm_shown();
            open.leave_known()
        })
    }

    /// A provider that was verified has said that it was this time.
    #[cfg(feature = "logout")]
    pub(crate) fn confirm_time(&self, told: SystemTime) {
        self.core().clock.confirm(crate::model::time::to_millis(told));
    }

    /// Finishes reclaim, makes all durable, and closes the store. Every handle is invalid from then
    /// on, in every clone.
    ///
    /// A refresh that is in flight is not waited for: what it gets goes to
    /// [`Acquirer::on_orphaned`](crate::Acquirer::on_orphaned). Let requests end first.
    ///
    /// # Errors
    /// [`Error::Poisoned`] if the engine had failed: the store is closed all the same, and nothing
    /// that was acknowledged is lost. [`Error::Closed`] if it was closed already.
    pub fn close(self) -> Result<()> {
        observe::verb("close", || self.owner.close(true))
    }

    /// What was found when the store was opened. An operator should look at it once, and after a
    /// fault of the disk.
    pub fn opened(&self) -> Opened {
        self.owner.opened
    }

    pub(crate) fn new(
        core: Arc<Core>,
        premises: Premises,
        held: Held,
        opened_by_previous_key: bool,
        opened: Opened,
    ) -> Result<Self> {
        let shared = core.clone();
        let thread = crate::platform::sync::thread::Builder::new()
            .name("oubliette-reclaim".into())
            .spawn(move || reclaim::run(&shared));
        let thread = match thread {
            Ok(thread) => thread,
            Err(error) => {
                // The engine before the lock.
                shut(&core, held);
                return Err(Error::io("start the reclaimer's thread")(error));
            }
        };
        let works = Works {
            core,
            running: Mutex::new(Some((thread, held))),
            premises: Mutex::new(premises),
            sweeping: Mutex::default(),
            opened_by_previous_key: AtomicBool::new(opened_by_previous_key),
            opened,
        };
        observe::opened(opened);
        Ok(Self { owner: Arc::new(Owner::new(works)) })
    }

    /// As [`TokenStore::account`], for who has entered.
    pub(crate) fn account_in(
        &self,
        open: &Open<'_>,
        account: &AccountId,
    ) -> Result<Vec<LiveSignIn>> {
        let tag = self.core().tagger.account(account);
        let mut all = beside_writers(|| sign_in::live_sign_ins(&self.owner, open, &tag))?;
        if let Some(other) = self.core().other_tag(account, &tag) {
            all.extend(beside_writers(|| sign_in::live_sign_ins(&self.owner, open, &other))?);
        }
        Ok(all)
    }

    /// As [`TokenStore::resume`], for who has entered.
    pub(crate) fn resume_in(
        &self,
        open: &Open<'_>,
        account: &AccountId,
        id: [u8; 16],
    ) -> Result<Option<LiveSignIn>> {
        let id = SignInId::from_bytes(id);
        beside_writers(|| sign_in::live_sign_in(&self.owner, open, account, id))
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }

    pub(crate) fn core(&self) -> &Core {
        self.owner.core()
    }

    /// What the clock shows: what others wrote is measured by it.
    #[cfg(feature = "logout")]
    pub(crate) fn time(&self) -> SystemTime {
        crate::model::time::from_millis(self.core().clock.now())
    }

    #[cfg(feature = "logout")]
    pub(crate) fn session_policy(&self) -> crate::model::sign_out::SessionPolicy {
        self.core().options.session_policy
    }

    /// Whom this sign-out would end.
    #[cfg(feature = "logout")]
    pub(crate) fn outlook(&self, sign_out: &SignOut) -> Result<sign_out::Outlook> {
        observe::verb("outlook", || sign_out::outlook(self.core(), sign_out))
    }

    #[cfg(feature = "logout")]
    pub(crate) fn is_on_record(&self, scope: &Scope) -> Result<bool> {
        observe::verb("is_on_record", || sign_out::is_on_record(self.core(), scope))
    }

    fn live_account(&self, open: &Open<'_>, account: &AccountTag) -> Result<Option<Account>> {
        let sign_ins = beside_writers(|| sign_in::live_sign_ins(&self.owner, open, account))?;
        Ok(sign_ins.first().map(|live| live.account().clone()).map(|id| Account { id, sign_ins }))
    }

    fn accounts_under(
        &self,
        entry: IndexEntry,
        is_wanted: impl Fn(&LiveSignIn) -> bool,
    ) -> Result<Vec<Account>> {
        let open = self.core().enter()?;
        let mut found = Accounts::default();
        open.for_each_row(&entry.accounts(), |(key, _)| {
            if let Some(account) = row_key::indexed_account(&key) {
                found.add(self.live_account(&open, &account))?;
            }
            Ok(true)
        })?;
        found.accounts.retain(|account| account.sign_ins.iter().any(&is_wanted));
        Ok(found.accounts)
    }
}

impl AsRef<Self> for TokenStore {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Accounts {
    /// Adds an account, or counts one that does not open.
    fn add(&mut self, account: Result<Option<Account>>) -> Result<()> {
        match account {
            Ok(account) => self.accounts.extend(account),
            Err(Error::Tampered(_)) => self.tampered += 1,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Whether a sign-in of the account is of this tenant, or has a token of it that is not dead.
fn has_tenant(open: &Open<'_>, account: &Account, tenant: &TenantTag) -> Result<bool> {
    for live in &account.sign_ins {
        let is_dead = || open.core.ledger.fences().is_tenant_dead(live.life(), *tenant);
        let prefix = row_key::tokens_in(&live.life().account, live.id_bytes(), tenant);
        if live.life().tenant == *tenant || (!is_dead() && !open.scan(&prefix, None, 1)?.is_empty())
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Looks again when a row did not open: the account may have begun a new life between two rows.
fn beside_writers<T>(mut look: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 0..4 {
        match look() {
            Err(Error::Tampered(_)) => {}
            result => return result,
        }
    }
    look()
}
