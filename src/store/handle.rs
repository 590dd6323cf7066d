//! The live handle of a sign-in: the only way to its tokens.

use crate::backend::Ask;
use crate::model::error::Result;
use crate::model::id::{AccountId, Alias, SessionId, Subject, TenantId};
use crate::model::random_id::{Generation, SignInId};
use crate::model::tag::{TaggedScope, TenantTag};
use crate::model::ticket::Ticket;
use crate::model::time::{Millis, from_millis};
use crate::observe;
use crate::platform::sync::Arc;
use crate::rows::header::Header;
use crate::rows::row_key;
use crate::rows::sign_in::SignInBody;
use crate::rule::Life;
use crate::store::access::Open;
use crate::store::core::Core;
use crate::store::lifetime::Owner;
use std::time::SystemTime;

/// A handle of one sign-in: the only way to store its tokens. Clones are the same sign-in.
///
/// When the sign-in ends, reads find nothing and [`put`](Self::put) fails with
/// [`Error::SignedOut`](crate::Error::SignedOut), on every clone, and also for a call that was in flight.
#[derive(Clone)]
pub struct LiveSignIn(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) owner: Arc<Owner>,
    pub(super) id: SignInId,
    pub(super) generation: Generation,
    pub(super) life: Life,
    pub(super) account: AccountId,
    pub(super) body: SignInBody,
    /// If the sign-in is continued from elsewhere: since when. Its tokens of other tenants are
    /// checked against this time too, as the sign-in is.
    pub(super) continued_since: Option<Millis>,
}

impl LiveSignIn {
    /// Whether the sign-in is live now.
    ///
    /// # Errors
    /// As every read: [`Error::Closed`](crate::Error::Closed), [`Error::Poisoned`](crate::Error::Poisoned), [`Error::Tampered`](crate::Error::Tampered).
    pub fn is_live(&self) -> Result<bool> {
        observe::verb("is_live", || {
            self.core().read(|| self.ask(), |open| Ok(self.live_header(open)?.is_some()))
        })
    }

    /// The random id of this sign-in, for the app's own session record: with it,
    /// [`TokenStore::resume`](crate::TokenStore::resume) finds this sign-in again and no other of
    /// the account. It is not a secret, and does not tell which user it belongs to.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        *self.0.id.as_bytes()
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.0.account
    }

    /// The tenant that the user signed in to.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.0.body.tenant
    }

    /// The provider's session, if it was given.
    #[must_use]
    pub fn session(&self) -> Option<&SessionId> {
        self.0.body.session.as_ref()
    }

    /// The provider's name of the user, if it was given.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        self.0.body.subject.as_ref()
    }

    /// The other names that were given.
    #[must_use]
    pub fn aliases(&self) -> &[Alias] {
        &self.0.body.aliases
    }

    /// What the app calls it, if it was given a [label](crate::SignIn::label).
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.0.body.label.as_ref().map(|label| label.0.as_str())
    }

    /// When it ends of itself, by its age.
    #[must_use]
    pub fn ends_at(&self) -> SystemTime {
        from_millis(self.0.life.ends)
    }

    /// A [ticket](Ticket) for this sign-in, which finds it again: for the browser's cookie, or for
    /// the session of any framework. Each call makes another one; nothing of it is stored.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed), [`Error::Poisoned`](crate::Error::Poisoned).
    ///
    /// # Examples
    /// ```
    /// # use oubliette::*;
    /// # let store = TokenStore::in_memory()?;
    /// # let account = AccountId::new("login.example.com", "uid.utid")?;
    /// let live = store.sign_in(SignIn::new(account, TenantId::new("contoso")?))?;
    /// let cookie = live.ticket()?.expose().to_owned();
    /// // At the next request:
    /// assert_eq!(store.resume_ticket(&cookie)?.as_ref(), Some(&live));
    /// assert!(store.resume_ticket("anything else")?.is_none());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn ticket(&self) -> Result<Ticket> {
        observe::verb("ticket", || self.core().read(Ask::default, |open| self.ticket_in(open)))
    }

    pub(crate) fn ticket_in(&self, open: &Open<'_>) -> Result<Ticket> {
        open.rows()?.seal_ticket(&self.0.life.account, &self.0.id)
    }

    /// When the user signed in, to the millisecond.
    #[must_use]
    pub fn signed_in_at(&self) -> SystemTime {
        from_millis(self.0.body.time)
    }

    pub(crate) fn core(&self) -> &Core {
        self.0.owner.core()
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn close_off_runtime(&self) {
        self.0.owner.close_off_runtime();
    }

    pub(crate) fn id_bytes(&self) -> &SignInId {
        &self.0.id
    }

    pub(crate) fn generation(&self) -> &Generation {
        &self.0.generation
    }

    pub(crate) fn life(&self) -> &Life {
        &self.0.life
    }

    /// The account's header, if this sign-in is in it and live.
    pub(crate) fn live_header(&self, open: &Open<'_>) -> Result<Option<(Vec<u8>, Header)>> {
        self.live_header_at(open, open.core.clock.now())
    }

    /// As [`LiveSignIn::live_header`], for a caller that has just read the clock.
    pub(crate) fn live_header_at(
        &self,
        open: &Open<'_>,
        now: Millis,
    ) -> Result<Option<(Vec<u8>, Header)>> {
        let me = &*self.0;
        let Some((value, header)) = open.header_alone(&me.life.account)? else { return Ok(None) };
        let is_mine = header.generation == me.generation && header.sign_ins.contains(&me.id);
        Ok((is_mine && open.is_live(&me.life, now)?).then_some((value, header)))
    }

    /// What every verb of this sign-in looks at: the account's header, and the fences that can
    /// cover it.
    pub(crate) fn ask(&self) -> Ask {
        let life = self.life();
        Ask::default().key(row_key::header(&life.account)).fences(life.scopes())
    }

    /// Whether the sign-in is live now, and takes tokens of this tenant.
    pub(crate) fn is_open_to(&self, tenant: TenantTag) -> Result<bool> {
        let ask = || self.ask().fences([TaggedScope::Tenant(tenant)]);
        self.core().read(ask, |open| self.is_open_to_in(open, tenant))
    }

    pub(crate) fn is_open_to_in(&self, open: &Open<'_>, tenant: TenantTag) -> Result<bool> {
        Ok(self.live_header(open)?.is_some() && !self.refuses(open, tenant)?)
    }

    /// The tag of `tenant`, or of the sign-in's own tenant if it is `None`.
    pub(crate) fn tenant_tag(&self, tenant: Option<&TenantId>) -> TenantTag {
        tenant.map_or(self.0.life.tenant, |tenant| self.core().tagger.tenant(tenant))
    }

    /// Whether tokens of this tenant are refused, though the sign-in itself may live.
    pub(super) fn refuses(&self, open: &Open<'_>, tenant: TenantTag) -> Result<bool> {
        open.refuses(&self.0.life, self.0.continued_since, tenant)
    }
}

impl AsRef<Self> for LiveSignIn {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl PartialEq for LiveSignIn {
    /// Whether both are the same sign-in.
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id && self.0.generation == other.0.generation
    }
}

impl Eq for LiveSignIn {}

impl std::fmt::Debug for LiveSignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LiveSignIn(..)")
    }
}
