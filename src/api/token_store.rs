//! The store: opened once, shared by clones, closed once. Here users sign in and out.

use std::path::{Path, PathBuf};

use crate::api::builder::Builder;
use crate::backend::Ask;
#[cfg(doc)]
use crate::model::error::Error;
use crate::model::error::Result;
use crate::model::id::AccountId;
use crate::model::query::AccessQuery;
use crate::model::report::Opened;
use crate::model::sign_in::{AsOf, PutOutcome, SignIn};
use crate::model::sign_out::{LastSignOut, Receipt, SignOut, SignOutScope};
use crate::model::token::{AccessToken, Tokens};
use crate::observe::{self, Read};
use crate::platform::sync::Arc;
use crate::store::handle::LiveSignIn;
use crate::store::lifetime::Owner;
use crate::store::resume;
use crate::store::sign_in;
use crate::store::sign_out;

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
/// let scopes = Scopes::parse("mail.read user.read")?;
/// let expires = SystemTime::now() + Duration::from_secs(3600);
/// live.put(AccessToken::new(client.clone(), scopes, "eyJ0...", expires))?;
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
    pub(super) owner: Arc<Owner>,
}

impl TokenStore {
    /// A builder for the store in this folder. Opening makes the folder if it does not exist.
    pub fn builder(folder: impl Into<PathBuf>) -> Builder {
        Builder::at_folder(folder.into())
    }

    /// Signs a user in. On a live account this is one more sign-in beside the others (the oldest is
    /// pushed out when there are too many); on a dead or absent one the account begins a new life.
    ///
    /// `Ok` means that the sign-in survives a power loss, and that no sign-out that was
    /// acknowledged before the call ends it.
    ///
    /// # Errors
    /// [`Error::Overtaken`] if a sign-out came since the [moment](SignIn::as_of) that it began at;
    /// if its session at the provider has been ended by a sign-out of [that time or
    /// later](SignOut::signed_in_before); or if sign-outs of the account come in faster than they
    /// can be written. [`Error::SignedOut`] if it was to be [continued](SignIn::imported_from),
    /// and a sign-out covers it. [`Error::InvalidInput`] for ids that cannot be stored.
    /// [`Error::Full`], [`Error::Io`], [`Error::Poisoned`] if the engine or the ledger failed.
    pub fn sign_in(&self, sign_in: SignIn) -> Result<LiveSignIn> {
        Ok(observe::sign_in(|| sign_in::sign_in(&self.owner, sign_in, &[]))?.0)
    }

    /// The current moment. Pass it to [`SignIn::as_of`] for a sign-in that begins now and
    /// completes later.
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
    /// // The code is redeemed; meanwhile the user signs out in another app:
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
    /// crash the store has the sign-in with its tokens, or neither.
    ///
    /// # Errors
    /// As of both. [`Error::InvalidInput`]: the user was not signed in. [`Error::Overtaken`] if a
    /// sign-out overtook the call: revoke the tokens if you can.
    ///
    /// # Examples
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # use oubliette::*;
    /// # let store = TokenStore::in_memory()?;
    /// let account = AccountId::new("login.example.com", "uid.utid")?;
    /// let sign_in = SignIn::new(account, TenantId::new("contoso")?);
    /// let client = ClientId::new("web")?;
    /// let token = RefreshToken::new(client.clone(), "rt-1");
    /// let (live, stored) = store.sign_in_with(sign_in, token)?;
    /// assert_eq!(stored.stored, 1);
    /// assert_eq!(live.refresh_token(&client)?.unwrap().secret.expose(), "rt-1");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn sign_in_with(
        &self,
        sign_in: SignIn,
        tokens: impl Into<Tokens>,
    ) -> Result<(LiveSignIn, PutOutcome)> {
        let Tokens(tokens) = tokens.into();
        observe::sign_in(|| sign_in::sign_in(&self.owner, sign_in, &tokens))
    }

    /// Ends every sign-in in the scope, at once for every reader, and records the sign-out even if
    /// there is no such sign-in.
    ///
    /// `Ok` means that it is durable: no read that starts from now on, in this process or a later
    /// one, after any crash, gives a token from before. The cost does not depend on what the store
    /// holds. A sign-out cannot be undone.
    ///
    /// # Errors
    /// [`Error::Indeterminate`] if the disk failed meanwhile: signed out in this process, unknown
    /// after a restart. [`Error::OnlySessionEnded`] if a session's accounts could not be looked up.
    /// [`Error::Full`] and [`Error::InvalidInput`]: nothing was done. [`Error::Poisoned`] if the
    /// ledger has failed before. A failed engine does not stop it.
    pub fn sign_out(&self, sign_out: SignOut) -> Result<Receipt> {
        observe::sign_out(sign_out.kind(), || sign_out::sign_out(self.core(), sign_out))
    }

    /// The newest sign-out on record that can have ended a sign-in of this scope, under any name
    /// that the sign-in has; durable when this returns.
    ///
    /// For an account the store looks at the account, the subject that it is (issuer and `sub`),
    /// everybody, and, as long as their rows can be read, the tenants, sessions and subjects of its
    /// sign-ins. It does likewise for a subject or session.
    /// [`not_looked_at`](LastSignOut::not_looked_at) lists the kinds of names that it could not
    /// look at. [`account`](Self::account) tells whether there was a new sign-in since.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Poisoned`] and [`Error::Indeterminate`] if the ledger failed.
    pub fn last_sign_out(&self, scope: &SignOutScope) -> Result<LastSignOut> {
        observe::verb("last_sign_out", || sign_out::last_sign_out(self.core(), scope))
    }

    /// Handles of the account's live sign-ins, newest first; after a restart too. Empty if the
    /// account is not signed in.
    ///
    /// # Errors
    /// [`Error::Tampered`] if its rows do not open; [`Error::Poisoned`], [`Error::Closed`].
    pub fn account(&self, account: &AccountId) -> Result<Vec<LiveSignIn>> {
        observe::verb("account", || {
            let ask = || resume::ask(&self.core().tagger.account(account));
            self.core().read(ask, |open| self.account_in(open, account))
        })
    }

    /// The handle of one sign-in, by the [id](LiveSignIn::id) that the app kept for it; `None` if
    /// it is not live. It costs two point reads, however many sign-ins the account has.
    ///
    /// # Errors
    /// As [`TokenStore::account`].
    pub fn resume(&self, account: &AccountId, id: [u8; 16]) -> Result<Option<LiveSignIn>> {
        observe::verb("resume", || {
            let ask = || resume::ask(&self.core().tagger.account(account));
            self.core().read(ask, |open| self.resume_in(open, account, id))
        })
    }

    /// The sign-in that a [ticket](LiveSignIn::ticket) is for; `None` if it is not live, or if the
    /// text is no ticket of this store. So what a browser sends can be given as it came: a cookie
    /// that is old, cut or forged finds nobody.
    ///
    /// # Errors
    /// As [`TokenStore::account`].
    pub fn resume_ticket(&self, ticket: &str) -> Result<Option<LiveSignIn>> {
        observe::verb("resume_ticket", || {
            self.core().read(Ask::default, |open| self.resume_ticket_in(open, ticket))
        })
    }

    /// An access token of one sign-in, by the [id](LiveSignIn::id) that the app kept for it: as
    /// [`resume`](Self::resume), and then [`LiveSignIn::access_token`], with one look at the account
    /// for both. For a request that needs a token and nothing else.
    ///
    /// # Errors
    /// As [`TokenStore::account`].
    ///
    /// # Examples
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # use oubliette::*;
    /// # let store = TokenStore::in_memory()?;
    /// let account = AccountId::new("login.example.com", "uid.utid")?;
    /// let live = store.sign_in(SignIn::new(account.clone(), TenantId::new("contoso")?))?;
    /// let (client, hour) = (ClientId::new("web")?, SystemTime::now() + Duration::from_secs(3600));
    /// live.put(AccessToken::new(client.clone(), Scopes::parse("mail.read")?, "at-1", hour))?;
    /// let wanted = AccessQuery::new(client).scopes(Scopes::parse("mail.read")?);
    /// let token = store.access_token(&account, live.id(), &wanted)?.unwrap();
    /// assert_eq!(token.secret.expose(), "at-1");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn access_token(
        &self,
        account: &AccountId,
        id: [u8; 16],
        wanted: &AccessQuery,
    ) -> Result<Option<AccessToken>> {
        observe::read(Read::Access, || {
            // Where the token is says the sign-in: so a place that is near is asked as it goes.
            let ask = || match self.core().takes_turns() {
                true => Ask::default(),
                false => resume::ask(&self.core().tagger.account(account)),
            };
            self.core().read(ask, |open| self.access_token_in(open, account, id, wanted))
        })
    }

    /// Finishes reclaim, makes all durable, and closes the store. Every handle is invalid from then
    /// on, in every clone.
    ///
    /// The store does not wait for a refresh that is in flight: what that refresh gets goes to
    /// [`Acquirer::on_orphaned`](crate::Acquirer::on_orphaned). Let requests end first.
    ///
    /// # Errors
    /// [`Error::Poisoned`] if the engine had failed: the store is closed all the same, and nothing
    /// that was acknowledged is lost. [`Error::Closed`] if it was closed already.
    pub fn close(self) -> Result<()> {
        observe::verb("close", || self.owner.close(true))
    }

    /// The folder that it is in; `None` if it is in none: in memory, or in a place that instances
    /// share. As long as the store is open, this process holds that folder's lock.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.owner.folder.as_deref()
    }

    /// What was found when the store was opened. An operator should look at it once, and after a
    /// fault of the disk.
    pub fn opened(&self) -> Opened {
        self.owner.opened
    }
}

impl AsRef<Self> for TokenStore {
    fn as_ref(&self) -> &Self {
        self
    }
}
