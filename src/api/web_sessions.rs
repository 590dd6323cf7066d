//! Web sessions, for any framework: what an app keeps for a browser's cookie, in the same files as
//! the tokens, and ended by the same sign-outs.

use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use crate::api::token_store::TokenStore;
#[cfg(doc)]
use crate::model::error::Error;
use crate::model::error::Result;
use crate::model::random_id::SignInId;
use crate::model::tag::AccountTag;
use crate::observe;
use crate::platform::wipe::Wiped;
use crate::store::access::Open;
use crate::store::handle::LiveSignIn;
use crate::store::resume;
use crate::store::web::{self, Binding, WebRecord};

/// The most bytes of data in one web session: 64 KiB.
pub const MAX_WEB_SESSION_BYTES: usize = web::MAX_WEB_BYTES;

/// The web sessions of a store. Clones share it.
///
/// A web session is *bound* to a sign-in, or not yet. A bound one ends with its sign-in, in the same
/// stroke, whatever ends that; an unbound one ends at a sign-out of everybody. The place of a web
/// session says what it is bound to, and only [`create`](Self::create) makes a place: a late save
/// can neither bring one back nor give it to another sign-in. So a login makes a new session, bound,
/// under a new id, and deletes the one from before.
///
/// The calls block: async apps run them on threads for that, or use the crate
/// `oubliette-tower-sessions`, which is made of this.
///
/// ```
/// # use std::time::{Duration, SystemTime};
/// # use oubliette::*;
/// # let store = TokenStore::in_memory()?;
/// let sessions = store.web_sessions();
/// let account = AccountId::new("login.example.com", "uid.utid")?;
/// let live = store.sign_in(SignIn::new(account.clone(), TenantId::new("contoso")?))?;
/// let in_an_hour = SystemTime::now() + Duration::from_secs(3600);
/// let session = WebSession::new(in_an_hour, b"cart: 3").bound_to(&live);
/// let id = sessions.create([7; 16], session)?; // in an app: 16 random bytes
/// let found = sessions.load(&id)?.unwrap();
/// assert_eq!(found.data(), b"cart: 3");
/// let binding = found.binding().unwrap();
/// assert_eq!(store.resume_bound(binding)?.as_ref(), Some(&live));
/// store.sign_out(SignOut::account(&account))?;
/// assert!(sessions.load(&id)?.is_none());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct WebSessions {
    store: TokenStore,
    unbound_for: Duration,
}

/// What an app keeps for a browser's cookie.
#[derive(Clone)]
pub struct WebSession {
    expires_at: SystemTime,
    data: Zeroizing<Vec<u8>>,
    binding: Option<WebBinding>,
}

/// Which sign-in a web session is bound to. It does not tell whose that is, and cannot be guessed;
/// but whoever can hand it to [`TokenStore::resume_bound`] gets the sign-in, so it stays on the
/// server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WebBinding([u8; 32]);

impl WebSession {
    /// A session with this data, bound to no sign-in.
    #[must_use]
    pub fn new(expires_at: SystemTime, data: impl Into<Vec<u8>>) -> Self {
        Self { expires_at, data: Zeroizing::new(data.into()), binding: None }
    }

    /// The same, bound to this sign-in.
    #[must_use]
    pub fn bound_to(self, live: &impl AsRef<LiveSignIn>) -> Self {
        Self { binding: Some(live.as_ref().web_binding()), ..self }
    }

    /// The same, with the binding that another session had; `None` for none.
    #[must_use]
    pub fn with_binding(self, binding: Option<WebBinding>) -> Self {
        Self { binding, ..self }
    }

    /// Its data.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// When it ends of itself.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// What it is bound to: [`TokenStore::resume_bound`] finds the sign-in.
    #[must_use]
    pub fn binding(&self) -> Option<&WebBinding> {
        self.binding.as_ref()
    }

    fn into_record(self) -> Result<(Option<Binding>, WebRecord)> {
        let Self { expires_at, mut data, binding } = self;
        let data = Wiped(std::mem::take(&mut *data));
        Ok((binding.map(|binding| binding.parts()), WebRecord::new(expires_at, data)?))
    }
}

impl std::fmt::Debug for WebSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebSession").field("binding", &self.binding).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for WebBinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebBinding(..)")
    }
}

impl WebBinding {
    /// As 32 bytes, for an app that keeps it in the session's own data.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// From [`to_bytes`](Self::to_bytes). Bytes that are nothing of the kind find no sign-in.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn of(binding: &Binding) -> Self {
        let mut bytes = [0; 32];
        let (account, sign_in) = bytes.split_at_mut(16);
        account.copy_from_slice(binding.account.as_bytes());
        sign_in.copy_from_slice(binding.sign_in.as_bytes());
        Self(bytes)
    }

    fn parts(self) -> Binding {
        let (mut account, mut sign_in) = ([0; 16], [0; 16]);
        let (first, second) = self.0.split_at(16);
        account.copy_from_slice(first);
        sign_in.copy_from_slice(second);
        Binding { account: AccountTag::from_bytes(account), sign_in: SignInId::from_bytes(sign_in) }
    }
}

impl LiveSignIn {
    /// What binds web sessions to this sign-in.
    #[must_use]
    pub fn web_binding(&self) -> WebBinding {
        WebBinding::of(&Binding { account: self.life().account, sign_in: *self.id_bytes() })
    }
}

impl TokenStore {
    /// The store's web sessions.
    #[must_use]
    pub fn web_sessions(&self) -> WebSessions {
        WebSessions { store: self.clone(), unbound_for: Duration::from_secs(3600) }
    }

    /// The live sign-in that a web session is bound to: the way from a browser's cookie to the
    /// tokens. `None` if it has ended.
    ///
    /// # Errors
    /// As [`TokenStore::account`].
    pub fn resume_bound(&self, binding: &WebBinding) -> Result<Option<LiveSignIn>> {
        observe::verb("resume", || {
            let ask = || resume::ask(&binding.parts().account);
            self.core().read(ask, |open| self.resume_bound_in(open, binding))
        })
    }

    pub(crate) fn resume_bound_in(
        &self,
        open: &Open<'_>,
        binding: &WebBinding,
    ) -> Result<Option<LiveSignIn>> {
        let Binding { account, sign_in } = binding.parts();
        self.resume_by_tag(open, &account, sign_in)
    }
}

/// | call | after `Ok` |
/// | --- | --- |
/// | `create` | stored, under an unused id; or, if its sign-in has ended, nothing is stored |
/// | `save` | stored, if it was there and bound to the same sign-in; else nothing is stored |
/// | `load` | what was saved, if it was not deleted, has not expired, and its sign-in is live now |
/// | `delete` | gone, durably |
///
/// What is created or saved survives the death of the process.
impl WebSessions {
    /// How long a session that is bound to no sign-in is kept after its last save, at most. One hour
    /// unless told otherwise: enough for a login, and little enough for visitors who leave.
    #[must_use]
    pub fn unbound_for(mut self, time: Duration) -> Self {
        self.unbound_for = time;
        self
    }

    /// Stores a new session, under this id, which should be random; or under a fresh one, if it is
    /// taken. Returns the id. If the sign-in has ended, nothing is stored, and that is no error: the
    /// session is gone, as it would be a moment later.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for more than [`MAX_WEB_SESSION_BYTES`] of data; [`Error::Full`],
    /// [`Error::Io`] and [`Error::Poisoned`] as of [`LiveSignIn::put`]; [`Error::Closed`].
    pub fn create(&self, id: [u8; 16], session: WebSession) -> Result<[u8; 16]> {
        let (binding, record) = session.into_record()?;
        observe::verb("web_session_create", || {
            web::create(self.store.core(), id, binding.as_ref(), record, self.unbound_for)
        })
    }

    /// Replaces the data of a session. It stays bound to the sign-in that it has; if the new one
    /// names another, nothing is stored.
    ///
    /// # Errors
    /// As [`WebSessions::create`].
    pub fn save(&self, id: &[u8; 16], session: WebSession) -> Result<()> {
        let (binding, record) = session.into_record()?;
        observe::verb("web_session_save", || {
            web::save(self.store.core(), id, binding.as_ref(), record, self.unbound_for)
        })
    }

    /// The session, if it lives.
    ///
    /// # Errors
    /// [`Error::Tampered`] if its rows are not as this store wrote them; [`Error::Poisoned`],
    /// [`Error::Closed`].
    pub fn load(&self, id: &[u8; 16]) -> Result<Option<WebSession>> {
        let found = observe::verb("web_session_load", || web::load(self.store.core(), id))?;
        Ok(found.map(|(binding, mut record)| WebSession {
            expires_at: record.expires_at(),
            data: Zeroizing::new(std::mem::take(&mut record.data.0)),
            binding: binding.as_ref().map(WebBinding::of),
        }))
    }

    /// Deletes the session, durably; also if nothing is there. The sign-in lives on: a logout is a
    /// [sign-out](TokenStore::sign_out).
    ///
    /// # Errors
    /// As [`WebSessions::create`].
    pub fn delete(&self, id: &[u8; 16]) -> Result<()> {
        observe::verb("web_session_delete", || web::delete(self.store.core(), id))
    }

    /// Deletes every session that has expired or ended. It looks at no token;
    /// [`TokenStore::sweep`] does this too.
    ///
    /// # Errors
    /// As [`WebSessions::create`].
    pub fn delete_expired(&self) -> Result<()> {
        observe::verb("web_sessions_delete_expired", || web::delete_expired(self.store.core()))
    }
}
