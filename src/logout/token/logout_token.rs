//! Tokens that say that somebody has signed out.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::logout::jose::claims::Claims;
use crate::logout::jose::jws::Jws;
use crate::logout::jose::unique_object::Members;
use crate::logout::rejected::Rejected;
use crate::logout::token::profile::Profile;
use crate::model::id::{AccountId, SessionId, Subject};
use crate::model::sign_out::{Scope, SessionPolicy, SignOut};

/// A token that has the form of its kind. Anybody can make one: nothing in it is believed.
pub(crate) struct Unverified {
    jws: Jws,
    claims: Claims,
    profile: &'static Profile,
}

impl Unverified {
    pub(crate) fn parse(compact: &str, profile: &'static Profile) -> Result<Self, Rejected> {
        #[cfg(test)]
        crate::logout::once::PARSED.set(crate::logout::once::PARSED.get() + 1);
        let jws = Jws::parse(compact)?;
        profile.check_type(jws.header(), false)?;
        let members = Members::parse(jws.payload());
        let members = members.ok_or(Rejected::Malformed(
            "the token's claims are no JSON object with each name once",
        ))?;
        let claims = Claims::read(&members)?;
        profile.check_claims(&claims, &members)?;
        Ok(Self { jws, claims, profile })
    }

    /// Whose token it says it is: only to find the issuer among those that are configured.
    pub(crate) fn iss(&self) -> &str {
        &self.claims.iss
    }

    pub(crate) fn tid(&self) -> Option<&str> {
        self.claims.tid.as_deref()
    }

    pub(crate) fn jws(&self) -> &Jws {
        &self.jws
    }

    pub(crate) fn claims(&self) -> &Claims {
        &self.claims
    }

    pub(crate) fn profile(&self) -> &'static Profile {
        self.profile
    }
}

/// A logout token whose signature, issuer, audience, times and claims were checked: somebody has
/// signed out.
///
/// [`Issuer::verify`](crate::logout::Issuer::verify) gives it. `Debug` tells nothing.
#[derive(Clone)]
pub struct LogoutToken {
    pub(in crate::logout) user: User,
    /// Where the subject tells it: by each of its names.
    pub(in crate::logout) accounts: Vec<AccountId>,
    pub(in crate::logout) iat: Duration,
    pub(in crate::logout) skew: Duration,
    pub(in crate::logout) checked_at: Duration,
    pub(in crate::logout) revokes_offline_access: bool,
    pub(in crate::logout) digest: [u8; 32],
}

/// Who has signed out, and of what: by the names that sign-ins have, and by others.
#[derive(Clone)]
pub(crate) enum User {
    /// Of a session.
    Session { session: SessionId, others: Vec<SessionId>, subjects: Vec<Subject> },
    /// Everywhere.
    Subject { subject: Subject, others: Vec<Subject> },
}

impl LogoutToken {
    /// The session that ended (`sid`), by the name that [`Provider`](crate::openid::Provider) gives
    /// it at sign-in, whatever the token's `iss`.
    #[must_use]
    pub fn session(&self) -> Option<&SessionId> {
        match &self.user {
            User::Session { session, .. } => Some(session),
            User::Subject { .. } => None,
        }
    }

    /// Who signed out (`sub`). Without a [`session`](Self::session), everywhere.
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

    /// Whether the provider says that refresh tokens with `offline_access` go too: Keycloak's
    /// `revoke_offline_access`. They go from the store in any case; this is for an app that revokes
    /// them at the provider.
    #[must_use]
    pub fn revokes_offline_access(&self) -> bool {
        self.revokes_offline_access
    }

    /// The sign-out that it asks for, in one stroke. By
    /// [`WholeAccount`](SessionPolicy::WholeAccount) whatever names the user has in it end:
    /// session, subject, and their accounts. By [`OnlySession`](SessionPolicy::OnlySession) the
    /// session alone does, or the subject if no session is named.
    ///
    /// It ends sign-ins from before the end of the second that the token was issued in, and the
    /// issuer's [skew](crate::logout::Issuer::skew): a token that comes late, or once more, ends none that
    /// is newer than that.
    pub fn sign_out(&self, policy: SessionPolicy) -> SignOut {
        // `iat` is in whole seconds, and so are the times of sign-ins that it is compared with:
        // those of the next second are newer. A provider whose clock is ahead names a second that
        // has yet to come: whoever signs in until then is newer than the token, too.
        let second = self.iat.min(self.checked_at).as_secs();
        let end_of_second = Duration::from_secs(second).saturating_add(Duration::from_millis(999));
        let cutoff = after_epoch(end_of_second.saturating_add(self.skew));
        let also = |all: SignOut, scope| all.and(scope);
        let is_whole = policy != SessionPolicy::OnlySession;
        let sign_out = match &self.user {
            User::Session { session, others, subjects } => {
                let others = others.iter().cloned().map(Scope::Session);
                let subjects = subjects.iter().filter(|_| is_whole).cloned().map(Scope::Subject);
                others.chain(subjects).fold(SignOut::session(session), also)
            }
            User::Subject { subject, others } => {
                others.iter().cloned().map(Scope::Subject).fold(SignOut::subject(subject), also)
            }
        };
        let accounts = self.accounts.iter().filter(|_| is_whole).cloned().map(Scope::Account);
        accounts.fold(sign_out, also).policy(policy).signed_in_before(cutoff)
    }

    /// Names the token, to know it again.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

impl fmt::Debug for LogoutToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogoutToken(..)")
    }
}

/// At most in the year 10000: there is no system that cannot express that.
fn after_epoch(time: Duration) -> SystemTime {
    UNIX_EPOCH.checked_add(time).unwrap_or(UNIX_EPOCH)
}
