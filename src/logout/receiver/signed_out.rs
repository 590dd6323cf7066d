//! What the app is told of a sign-out, and how one can fail.

use std::time::SystemTime;

use crate::model::error::Error;
use crate::model::id::{AccountId, SessionId, Subject};
use crate::model::sign_out::Receipt;

/// The error of an app's own hook.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The way on which the app learned of a sign-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// A logout token: OpenID Connect Back-Channel Logout 1.0.
    BackChannel,
    /// A page in a frame of the user's browser: OpenID Connect Front-Channel Logout 1.0.
    FrontChannel,
    /// The user signed out in this app: OpenID Connect RP-Initiated Logout 1.0.
    RpInitiated,
}

/// A sign-out that was carried out, so that the app can end what it holds itself: see
/// [`Receiver::after_sign_out`](crate::logout::Receiver::after_sign_out).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignedOut {
    /// The way on which the app learned of it.
    pub signal: Signal,
    /// The session at the provider, if it was named (or, for a sign-out in this app, is known).
    pub session: Option<SessionId>,
    /// The subject at the provider, if it was named (or, for a sign-out in this app, is known).
    pub subject: Option<Subject>,
    /// The accounts that ended entirely, as far as the store knew of them: empty where only a
    /// session ends, or if the store could not be read.
    pub accounts: Vec<AccountId>,
    /// Only sign-ins made by this time have ended; `None` if all have. A signal can come late, or
    /// again after the hook has failed: what began later than this goes on.
    pub signed_in_before: Option<SystemTime>,
    /// Whether the provider asks the app to revoke refresh tokens with `offline_access` too
    /// (Keycloak's `revoke_offline_access`). The store has removed them in any case. At Keycloak
    /// they stay good until the app revokes them:
    /// [`Receiver::taking_refresh_tokens`](crate::logout::Receiver::taking_refresh_tokens).
    pub revokes_offline_access: bool,
    /// What the store recorded. `None` if it failed: the sender is told that the sign-out is not
    /// done, and the app's own sessions have to end all the same. Also `None` if there was nothing
    /// to record: nobody was signed in, or only the hook had failed before.
    pub receipt: Option<Receipt>,
}

impl SignedOut {
    pub(crate) fn by(signal: Signal, session: Option<SessionId>, subject: Option<Subject>) -> Self {
        Self {
            signal,
            session,
            subject,
            accounts: Vec::new(),
            signed_in_before: None,
            revokes_offline_access: false,
            receipt: None,
        }
    }
}

/// Why a sign-out was not carried out entirely.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignOutError {
    /// The store failed: the error says what that means for the tokens.
    #[error(transparent)]
    Store(#[from] Error),
    /// The runtime is being shut down, or the hook panicked: how much was done is not known. Sign
    /// out again.
    #[error("the sign-out was interrupted; sign out again")]
    Interrupted,
}
