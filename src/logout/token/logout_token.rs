//! A verified logout token, and the sign-out that it asks for.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::model::id::{AccountId, SessionId, Subject};
use crate::model::sign_out::{SessionPolicy, SignOut, SignOutScope};

/// A logout token whose signature, issuer, audience, times and claims were checked: a user has
/// signed out.
///
/// [`Issuer::verify`](crate::logout::Issuer::verify) returns it. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct LogoutToken {
    pub(in crate::logout) user: User,
    /// The subject's accounts, by each of its names, where the subject alone determines them.
    pub(in crate::logout) accounts: Vec<AccountId>,
    pub(in crate::logout) iat: Duration,
    pub(in crate::logout) skew: Duration,
    pub(in crate::logout) checked_at: Duration,
    pub(in crate::logout) revokes_offline_access: bool,
    pub(in crate::logout) digest: [u8; 32],
}

/// The user who has signed out, and of what: by the names that sign-ins have, and by others.
#[derive(Clone)]
pub(crate) enum User {
    /// The user has signed out of a session.
    Session { session: SessionId, others: Vec<SessionId>, subjects: Vec<Subject> },
    /// The user has signed out everywhere.
    Subject { subject: Subject, others: Vec<Subject> },
}

impl LogoutToken {
    /// The session that ended (`sid`), by the name that [`Provider`](crate::openid::Provider) gives
    /// it at sign-in, under whichever of its names the provider signed the token.
    #[must_use]
    pub fn session(&self) -> Option<&SessionId> {
        match &self.user {
            User::Session { session, .. } => Some(session),
            User::Subject { .. } => None,
        }
    }

    /// The user who signed out (`sub`). Without a [`session`](Self::session), they signed out
    /// everywhere.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        match &self.user {
            User::Session { subjects, .. } => subjects.first(),
            User::Subject { subject, .. } => Some(subject),
        }
    }

    /// When the provider made the token (`iat`).
    #[must_use]
    pub fn issued_at(&self) -> SystemTime {
        after_epoch(self.iat)
    }

    /// Whether the provider asks the app to revoke refresh tokens with `offline_access` too:
    /// Keycloak's `revoke_offline_access`. Keycloak itself does not revoke them (as of 26.7.3). The
    /// store removes them in any case; this is for an app that revokes them at the provider.
    #[must_use]
    pub fn revokes_offline_access(&self) -> bool {
        self.revokes_offline_access
    }

    /// The sign-out that the token asks for, as one atomic request. Under
    /// [`WholeAccount`](SessionPolicy::WholeAccount) it ends everything that the token names:
    /// session, subject, and their accounts. Under [`OnlySession`](SessionPolicy::OnlySession) it
    /// ends the session alone, or the subject if the token names no session.
    ///
    /// It ends sign-ins that were made up to the end of the second in which the token was issued,
    /// plus the issuer's [skew](crate::logout::Issuer::skew): a token that comes late, or a second
    /// time, ends no sign-in that is newer than that.
    pub fn sign_out(&self, policy: SessionPolicy) -> SignOut {
        // `iat` is in whole seconds, and so are the times of sign-ins that it is compared with: a
        // sign-in of the next second is newer. A provider whose clock is ahead names a second that
        // has yet to come: a sign-in that is made until then is newer than the token, too.
        let second = self.iat.min(self.checked_at).as_secs();
        let end_of_second = Duration::from_secs(second).saturating_add(Duration::from_millis(999));
        let cutoff = after_epoch(end_of_second.saturating_add(self.skew));
        let also = |all: SignOut, scope| all.and(scope);
        let is_whole = policy != SessionPolicy::OnlySession;
        let sign_out = match &self.user {
            User::Session { session, others, subjects } => {
                let others = others.iter().cloned().map(SignOutScope::Session);
                let subjects =
                    subjects.iter().filter(|_| is_whole).cloned().map(SignOutScope::Subject);
                others.chain(subjects).fold(SignOut::session(session), also)
            }
            User::Subject { subject, others } => others
                .iter()
                .cloned()
                .map(SignOutScope::Subject)
                .fold(SignOut::subject(subject), also),
        };
        let accounts =
            self.accounts.iter().filter(|_| is_whole).cloned().map(SignOutScope::Account);
        accounts.fold(sign_out, also).policy(policy).signed_in_before(cutoff)
    }

    /// Identifies the token, so that a replay is recognised.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

impl fmt::Debug for LogoutToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogoutToken(..)")
    }
}

/// The time is in the year 10000 at the latest (see `Claims`), which every system can express.
fn after_epoch(time: Duration) -> SystemTime {
    UNIX_EPOCH.checked_add(time).unwrap_or(UNIX_EPOCH)
}
