//! How an issuer checks a logout token (OpenID Connect Back-Channel Logout 1.0 §2.6).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Issuer;
#[cfg(feature = "jwe")]
use crate::logout::jose::jwe::{sealed_token::SealedToken, token::is_encrypted};
use crate::logout::jose::key::SignedAs;
use crate::logout::jose::key_set::KeySet;
use crate::logout::rejected::Rejected;
use crate::logout::token::logout_token::{LogoutToken, User};
use crate::logout::token::profile::{LOGOUT, Presence};
use crate::logout::token::unverified::Unverified;
use crate::model::id::AccountId;

/// How much further in the future than the skew `iat` may lie. Our own clock may be behind, and
/// sign-outs must still be accepted. A narrower bound would protect nobody: only sign-ins that
/// exist end, whatever time a token names.
const MAX_AHEAD: Duration = Duration::from_secs(600);

/// A token of which everything but the signature was checked. Only this file takes the token out,
/// right after it has checked the signature.
pub(crate) struct Checked(LogoutToken);

impl Issuer {
    /// Checks a logout token with these keys, instead of the issuer's: all that [OpenID Connect
    /// Back-Channel Logout 1.0 §2.6] asks for, except that a replay is accepted. It fetches nothing
    /// and waits for nothing.
    ///
    /// # Errors
    /// [`Rejected`] if it is not a valid logout token of this issuer for this app, at this time.
    ///
    /// [OpenID Connect Back-Channel Logout 1.0 §2.6]: https://openid.net/specs/openid-connect-backchannel-1_0.html#Validation
    pub fn verify(
        &self,
        token: &str,
        keys: &KeySet,
        now: SystemTime,
    ) -> Result<LogoutToken, Rejected> {
        let token = self.unsealed(token)?;
        let checked = self.check(&token, now)?;
        let signed_as = self.signed_as(&token);
        match keys.verify(token.jws(), &self.algorithms, &signed_as) {
            Ok(()) => Ok(checked.0),
            Err(refusal) => {
                self.cache.warn_of_unusable_key(
                    Some(keys),
                    token.jws(),
                    &self.algorithms,
                    &signed_as,
                );
                Err(refusal)
            }
        }
    }

    /// The token, decrypted if need be.
    fn unsealed(&self, token: &str) -> Result<Unverified, Rejected> {
        #[cfg(feature = "jwe")]
        if is_encrypted(token) && self.decryption_keys.is_some() {
            let opened = SealedToken::parse(token, self.decrypting())?.open()?;
            return Unverified::opened(&opened, &LOGOUT);
        }
        Unverified::parse(token, &LOGOUT)
    }

    /// As [`verify`](Self::verify), with the issuer's own keys, for a token of which everything
    /// else was [checked](Self::check).
    pub(crate) async fn verify_signature(
        &self,
        checked: Checked,
        token: &Unverified,
    ) -> Result<LogoutToken, Rejected> {
        self.cache.verify(token.jws(), &self.algorithms, &self.signed_as(token)).await?;
        Ok(checked.0)
    }

    /// Checks everything but the signature. It comes first, so that only a token that is right in
    /// all else has keys fetched: anybody can send one.
    pub(crate) fn check(&self, token: &Unverified, now: SystemTime) -> Result<Checked, Rejected> {
        #[cfg(test)]
        crate::logout::once::CHECKED.set(crate::logout::once::CHECKED.get() + 1);
        let (claims, profile, header) = (token.claims(), token.profile(), token.jws().header());
        if !self.provider.takes_issuer(token.iss(), token.tid()) {
            return Err(Rejected::UnknownIssuer);
        }
        // Another issuer's key decrypted it: no provider encrypts for the app as it is known
        // elsewhere.
        #[cfg(feature = "jwe")]
        if token
            .opened_by()
            .is_some_and(|key| !self.decryption_keys.as_ref().is_some_and(|keys| keys.has(key)))
        {
            return Err(Rejected::UnknownDecryptionKey);
        }
        if !claims.aud.iter().any(|aud| self.clients.iter().any(|client| client.as_str() == aud)) {
            return Err(Rejected::WrongAudience);
        }
        if self.provider.needs_tenant() && token.tid().is_none() {
            return Err(Rejected::claim("tid", "it is missing"));
        }
        if !self.algorithms.contains(&header.algorithm) {
            return Err(Rejected::WrongAlgorithm);
        }
        profile.check_type(header, self.is_type_required)?;
        self.check_times(token, now)?;
        let (user, accounts) = self.user(token)?;
        Ok(Checked(LogoutToken {
            user,
            accounts,
            iat: claims.iat,
            skew: self.skew,
            checked_at: now.duration_since(UNIX_EPOCH).unwrap_or_default(),
            revokes_offline_access: claims.events.revokes_offline_access,
            digest: token.jws().digest(),
        }))
    }

    /// The names under which a token may be signed: a key may name the provider by its first name
    /// or another.
    fn signed_as<'a>(&self, token: &'a Unverified) -> SignedAs<'a> {
        let mut names = self.provider.names(token.iss());
        names.push(token.iss().into());
        SignedAs { names, tid: token.tid() }
    }

    /// Checks `exp`, `nbf` and `iat` (RFC 7519 §4.1.4 to §4.1.6).
    fn check_times(&self, token: &Unverified, now: SystemTime) -> Result<(), Rejected> {
        let claims = token.claims();
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let latest = now.saturating_add(self.skew);
        if claims.iat > latest.saturating_add(MAX_AHEAD)
            || claims.nbf.is_some_and(|nbf| nbf > latest)
        {
            return Err(Rejected::NotYetValid);
        }
        let end = match (claims.exp, self.age_without_expiry) {
            (Some(exp), _) => exp,
            (None, Some(age)) => claims.iat.saturating_add(age),
            (None, None) if token.profile().exp == Presence::Required => {
                return Err(Rejected::claim("exp", "it is missing"));
            }
            (None, None) => return Ok(()),
        };
        if end.saturating_add(self.skew) > now { Ok(()) } else { Err(Rejected::Expired) }
    }

    /// The user of a token, and the accounts where the subject determines them. If one of `sub` and
    /// `sid` cannot name a sign-in, because it is too long, the other still counts.
    fn user(&self, token: &Unverified) -> Result<(User, Vec<AccountId>), Rejected> {
        let (iss, claims) = (token.iss(), token.claims());
        let sessions =
            claims.sid.as_deref().and_then(|sid| self.provider.sessions(Some(iss), sid).ok());
        let subjects = claims
            .sub
            .as_deref()
            .and_then(|sub| self.provider.subjects(iss, sub).ok())
            .unwrap_or_default();
        let accounts = subjects
            .iter()
            .filter_map(|subject| self.provider.account_of(subject).ok().flatten())
            .collect();
        let mut sessions = sessions.unwrap_or_default().into_iter();
        let user = match sessions.next() {
            Some(session) => User::Session { session, others: sessions.collect(), subjects },
            None => {
                let mut subjects = subjects.into_iter();
                let nobody = Rejected::claim("sub", "nobody can be named so, nor by sid");
                User::Subject {
                    subject: subjects.next().ok_or(nobody)?,
                    others: subjects.collect(),
                }
            }
        };
        Ok((user, accounts))
    }
}
