//! Web sessions that end with the sign-in: a session store for
//! [`tower-sessions`](https://docs.rs/tower-sessions), encrypted, in the same files as the tokens.
//!
//! An app keeps two things of a user who is signed in: their tokens, and the web session that the
//! cookie of their browser stands for. If they are kept apart, a sign-out "from any app" takes the
//! tokens and leaves the browser signed in. Here a web session is *bound* to its sign-in, and
//! whatever ends that (a sign-out of the account, the session at the provider, the subject, the
//! tenant or everybody; its age; newer sign-ins) ends the web session in the same stroke, before
//! the call returns.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use oubliette::{AccountId, SignIn, SignOut, TenantId, TokenStore};
//! use oubliette_tower_sessions::{OublietteSessions, bind, bound};
//! use tower_sessions::{Session, SessionManagerLayer};
//!
//! # async fn example(store: TokenStore, session: Session) -> Result<(), Box<dyn std::error::Error>> {
//! let layer = SessionManagerLayer::new(OublietteSessions::new(store.clone()));
//!
//! // In the handler of the provider's redirect, once the ID token was checked:
//! let live = store.sign_in(SignIn::new(AccountId::new("login.example.com", "uid.utid")?, TenantId::new("contoso")?))?;
//! bind(&session, &live).await?;
//!
//! // In any other handler: which user is it?
//! let Some(live) = bound(&session, &store).await? else { return Ok(()) /* redirect to the login */ };
//!
//! // The logout: all that is bound to any of their sign-ins is gone when it returns.
//! store.sign_out(SignOut::account(live.account()))?;
//! # Ok(()) }
//! ```
//!
//! # What an `Ok` means
//! | call | after `Ok` |
//! | --- | --- |
//! | `create` | stored, under an unused id; or, if the sign-in it is bound to has ended, nothing is stored. It survives the death of the process |
//! | `save` | stored, if it was there and bound to the same sign-in; else nothing is stored |
//! | `load` | what was saved, if it was not deleted, has not expired, and its sign-in is live now |
//! | `delete` | gone, durably |
//!
//! So a request that was on its way while the user logged out, and whose session is saved
//! afterwards, brings nothing back.
//!
//! # What to know
//! - **Logging out is [signing out](TokenStore::sign_out).** `Session::flush` deletes one web
//!   session, and leaves the sign-in and its tokens live; and a request in flight that then calls
//!   `Session::cycle_id` makes the session anew, if its sign-in lives.
//! - A user's newest sign-ins are kept ([`Builder::max_sign_ins`](oubliette::Builder::max_sign_ins),
//!   16): the 17th browser ends the oldest one's session.
//! - A session that is not bound is kept for an hour after its last save at most
//!   ([`OublietteSessions::unbound_for`]), so that visitors who never log in do not fill the disk.
//!   A sign-out of everybody ends these too.
//! - Do not put a `CachingSessionStore` in front: its cache gives, and saves, what has ended here.
//! - Web sessions are not in [backups](TokenStore::backup), since deletions of them are not in the
//!   ledger: a restored cookie must not work. After a restore browsers log in anew; tokens are
//!   there.
//! - The data must be at most 64 KiB as JSON. Our copies of it are wiped; those of `tower-sessions`
//!   and `serde_json` are not.
//! - All work is done on the runtime's threads for blocking work, so the runtime is tokio's. A call
//!   whose future is dropped is done all the same.
//! - The key [`BINDING`] of the data is the store's own.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use oubliette::{LiveSignIn, TokenStore, WebBinding, WebSession, WebSessions, Zeroizing};
use serde::Serializer as _;
use serde_json::Value;
use time::OffsetDateTime;
use tower_sessions_core::session::{Error as SessionError, Id, Record};
use tower_sessions_core::session_store::{Error as StoreError, Result};
use tower_sessions_core::{ExpiredDeletion, Session, SessionStore};

/// The key of a session's data under which its binding stands. Of a session that is stored, what is
/// there does not count: where it is stored does. A new one is made where this says: so do not let a
/// client name the keys of its session's data.
pub const BINDING: &str = "oubliette.sign_in";

/// Keeps web sessions in a [`TokenStore`]. Clones share it.
///
/// ```
/// # use std::time::Duration;
/// use oubliette_tower_sessions::OublietteSessions;
/// # let store = oubliette::TokenStore::in_memory()?;
/// let sessions = OublietteSessions::new(store).unbound_for(Duration::from_secs(15 * 60));
/// let layer = tower_sessions::SessionManagerLayer::new(sessions);
/// # Ok::<(), oubliette::Error>(())
/// ```
#[derive(Clone)]
pub struct OublietteSessions(WebSessions);

impl OublietteSessions {
    /// Web sessions in this store. From now on, if the store's last handle is dropped on a runtime's
    /// thread, it is closed on another.
    #[must_use]
    pub fn new(store: TokenStore) -> Self {
        #[cfg(feature = "runtime")]
        drop(oubliette::AsyncTokenStore::new(store.clone()));
        Self(store.web_sessions())
    }

    /// How long a session that is bound to no sign-in is kept after its last save, at most. One
    /// hour unless told otherwise: enough for a login, and little enough for visitors who leave.
    #[must_use]
    pub fn unbound_for(self, time: Duration) -> Self {
        Self(self.0.unbound_for(time))
    }

    /// Does work that may wait for the disk where that holds up nobody.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&WebSessions) -> oubliette::Result<T> + Send + 'static,
    ) -> Result<T> {
        let sessions = self.0.clone();
        blocking(move || work(&sessions).map_err(failed)).await
    }
}

impl std::fmt::Debug for OublietteSessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OublietteSessions(..)")
    }
}

/// Binds a web session to a sign-in: from now on it ends with that. The session gets a new id
/// (against session fixation, OWASP ASVS 3.2.1), and is stored when the response is made, or at
/// `Session::save`. If the sign-in has ended by then, it is not stored.
///
/// Call it once at login. Whatever the session was bound to before, it is now bound to this. There
/// is no way back but `Session::flush`.
///
/// # Errors
/// As of `Session::insert` and `Session::cycle_id`. Nobody is logged in by the session then; that
/// from before the login may still be there.
pub async fn bind(session: &Session, live: &LiveSignIn) -> std::result::Result<(), SessionError> {
    // First the mark: a save under the old id, should it come to that, stores nothing.
    session.insert_value(BINDING, Value::String(text(&live.web_binding()))).await?;
    let cycled = session.cycle_id().await;
    if cycled.is_err() {
        // The session has its new id already: without the mark, a save makes none that is bound.
        session.remove_value(BINDING).await?;
    }
    cycled
}

/// The live sign-in that the web session is bound to: the way from a browser's cookie to the
/// tokens. `None` if it is bound to none, or that has ended meanwhile.
///
/// # Errors
/// Those of loading the session; `Decode` if its binding is not as [`bind`] made it; `Backend` if
/// the store failed.
pub async fn bound(
    session: &Session,
    store: &TokenStore,
) -> std::result::Result<Option<LiveSignIn>, SessionError> {
    let Some(value) = session.get_value(BINDING).await? else { return Ok(None) };
    let Some(binding) = binding(&value) else {
        return Err(StoreError::Decode(UNREADABLE.into()).into());
    };
    let store = store.clone();
    let resume = move || store.resume_bound(&binding).map_err(failed);
    Ok(blocking(resume).await?)
}

#[async_trait]
impl SessionStore for OublietteSessions {
    async fn create(&self, record: &mut Record) -> Result<()> {
        let (id, kept) = (record.id.0.to_le_bytes(), kept(record)?);
        let id = self.blocking(move |sessions| sessions.create(id, kept)).await?;
        record.id = Id(i128::from_le_bytes(id));
        Ok(())
    }

    async fn save(&self, record: &Record) -> Result<()> {
        let (id, kept) = (record.id.0.to_le_bytes(), kept(record)?);
        self.blocking(move |sessions| sessions.save(&id, kept)).await
    }

    async fn load(&self, session_id: &Id) -> Result<Option<Record>> {
        let id = *session_id;
        let found = self.blocking(move |sessions| sessions.load(&id.0.to_le_bytes())).await?;
        found.map(|kept| record(id, &kept)).transpose()
    }

    async fn delete(&self, session_id: &Id) -> Result<()> {
        let id = session_id.0.to_le_bytes();
        self.blocking(move |sessions| sessions.delete(&id)).await
    }
}

#[async_trait]
impl ExpiredDeletion for OublietteSessions {
    /// Looks at every web session, and at no token. [`TokenStore::sweep`] does it too.
    async fn delete_expired(&self) -> Result<()> {
        self.blocking(WebSessions::delete_expired).await
    }
}

const UNREADABLE: &str = "the session's binding to a sign-in is not readable";

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(StoreError::Backend("the runtime is shutting down".into())),
        },
    }
}

/// No error of the store tells an id or a secret.
fn failed(error: oubliette::Error) -> StoreError {
    StoreError::Backend(error.to_string())
}

fn text(binding: &WebBinding) -> String {
    base16ct::lower::encode_string(&binding.to_bytes())
}

fn binding(value: &Value) -> Option<WebBinding> {
    let mut bytes = [0; 32];
    let decoded = base16ct::lower::decode(value.as_str()?, &mut bytes).ok()?;
    Some(WebBinding::from_bytes(decoded.try_into().ok()?))
}

/// What the record's data says of a binding. What cannot be read is not "none".
fn binding_of(record: &Record) -> Result<Option<WebBinding>> {
    let Some(value) = record.data.get(BINDING) else { return Ok(None) };
    binding(value).map(Some).ok_or_else(|| StoreError::Encode(UNREADABLE.into()))
}

/// The record as it is stored: its data as JSON, without the binding, in one buffer of the right
/// size that is wiped.
fn kept(record: &Record) -> Result<WebSession> {
    let write = |to: &mut dyn std::io::Write| {
        let data = record.data.iter().filter(|(key, _)| *key != BINDING);
        // Its texts hold pieces of the data, perhaps.
        serde_json::Serializer::new(to)
            .collect_map(data)
            .map_err(|_| StoreError::Encode("the data is no JSON".into()))
    };
    let mut length = Length(0);
    write(&mut length)?;
    let mut data = Zeroizing::new(Vec::with_capacity(length.0));
    write(&mut *data)?;
    let session = WebSession::new(SystemTime::from(record.expiry_date), std::mem::take(&mut *data));
    Ok(session.with_binding(binding_of(record)?))
}

fn record(id: Id, kept: &WebSession) -> Result<Record> {
    let data = serde_json::from_slice(kept.data());
    let mut data: std::collections::HashMap<String, Value> =
        data.map_err(|_| StoreError::Decode("the data is no JSON".into()))?;
    if let Some(binding) = kept.binding() {
        data.insert(BINDING.into(), Value::String(text(binding)));
    }
    let expiry_date = date_of(kept.expires_at());
    let expiry_date =
        expiry_date.ok_or_else(|| StoreError::Decode("it expires beyond the year 9999".into()))?;
    Ok(Record { id, data, expiry_date })
}

fn date_of(time: SystemTime) -> Option<OffsetDateTime> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    OffsetDateTime::UNIX_EPOCH.checked_add(since.try_into().ok()?)
}

/// Counts what is written.
struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
