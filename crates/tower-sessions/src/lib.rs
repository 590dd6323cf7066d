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
//! # use oubliette::{AccountId, AsyncTokenStore, SignIn, SignOut, TenantId};
//! use oubliette_tower_sessions::{SessionLayer, bind, bound};
//! use tower_sessions::Session;
//!
//! # async fn example(store: AsyncTokenStore, session: Session) -> Result<(), Box<dyn std::error::Error>> {
//! // let app = Router::new().route(...).layer(layer);
//! let layer = SessionLayer::new(&store);
//!
//! // In the handler of the provider's redirect, once the ID token was checked:
//! let live = store.sign_in(SignIn::new(AccountId::new("login.example.com", "uid.utid")?, TenantId::new("contoso")?)).await?;
//! bind(&session, &live).await?;
//!
//! // In any other handler: which user is it?
//! let Some(live) = bound(&session, &store).await? else { return Ok(()) /* redirect to the login */ };
//!
//! // The logout: all that is bound to any of their sign-ins is gone when it returns.
//! store.sign_out(SignOut::account(live.account())).await?;
//! # Ok(()) }
//! ```
//!
//! [`SessionLayer`] is `tower-sessions`' layer with the attributes that a login needs; with its own
//! `SessionManagerLayer` over [`OublietteSessions`], all of them are the app's to set. For
//! `axum-login` 0.18 (feature `axum-login`) see [`axum_login`].
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
//! - **Logging out is [signing out](oubliette::TokenStore::sign_out).** `Session::flush` deletes one web
//!   session, and leaves the sign-in and its tokens live; and a request in flight that then calls
//!   `Session::cycle_id` makes the session anew, if its sign-in lives.
//! - A user's newest sign-ins are kept ([`Builder::max_sign_ins`](oubliette::Builder::max_sign_ins),
//!   16): the 17th browser ends the oldest one's session.
//! - A session that is not bound is kept for an hour after its last save at most
//!   ([`OublietteSessions::unbound_for`]), so that visitors who never log in do not fill the disk.
//!   A sign-out of everybody ends these too.
//! - Do not put a `CachingSessionStore` in front: its cache gives, and saves, what has ended here.
//! - Web sessions are not in [backups](oubliette::TokenStore::backup), since deletions of them are not in the
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
#![cfg_attr(docsrs, feature(doc_cfg))]

mod data;
mod layer;
mod resumes;
mod sessions;

pub use layer::{NoStore, NoStoreService, SessionLayer};
pub use resumes::Resumes;
pub use sessions::OublietteSessions;

/// The key of a session's data under which its binding stands. Of a session that is stored, what is
/// there does not count: where it is stored does. A new one is made where this says: so do not let a
/// client name the keys of its session's data.
pub const BINDING: &str = "oubliette.sign_in";

sessions::for_version!(tower_sessions);

/// The same for [`axum-login`](https://docs.rs/axum-login) 0.18, which is built on `tower-sessions`
/// 0.14.
///
/// At the login, [`bind`](axum_login::bind) the web session to the sign-in *first*, and call
/// `AuthSession::login` behind that: whatever ends the sign-in then ends `axum-login`'s user too, as
/// its data goes with the session. (The other way round, a login that fails in between leaves a user
/// in a session that no sign-out ends.) `AuthSession::logout` alone ends one web session, and leaves
/// the tokens: sign out of the store, too.
///
/// ```
/// use oubliette_tower_sessions::{NoStore, axum_login};
/// # let store = oubliette::TokenStore::in_memory()?;
/// // For `axum_login::AuthManagerLayerBuilder::new(backend, sessions).build()`:
/// let sessions = axum_login::session_layer(&store);
/// // And outside of that layer:
/// let uncached = NoStore;
/// # Ok::<(), oubliette::Error>(())
/// ```
#[cfg(feature = "axum-login")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum-login")))]
pub mod axum_login {
    use tower_sessions_0_14::cookie::{SameSite, time};
    use tower_sessions_0_14::{Expiry, SessionManagerLayer};

    use crate::layer::{IDLE, NAME};
    use crate::{OublietteSessions, sessions};

    sessions::for_version!(tower_sessions_0_14);

    /// The layer of `tower-sessions` 0.14 as [`SessionLayer`](crate::SessionLayer) sets it up: the
    /// cookie is `__Host-session`, `Secure`, `HttpOnly` and `SameSite=Lax`, for eight hours after
    /// the last request that changed it. Put [`NoStore`](crate::NoStore) outside of the layer that it goes into.
    #[must_use]
    pub fn session_layer(
        store: impl AsRef<oubliette::TokenStore>,
    ) -> SessionManagerLayer<OublietteSessions> {
        let idle = time::Duration::try_from(IDLE).unwrap_or(time::Duration::MAX);
        SessionManagerLayer::new(OublietteSessions::new(store))
            .with_name(NAME)
            .with_same_site(SameSite::Lax)
            .with_expiry(Expiry::OnInactivity(idle))
    }
}
