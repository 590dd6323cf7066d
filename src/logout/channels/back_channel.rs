//! OpenID Connect Back-Channel Logout 1.0: the provider posts a signed logout token, server to
//! server.

use std::time::Duration;

use super::form;
use crate::logout::issuer::issuers::MatchedToken;
#[cfg(feature = "jwe")]
use crate::logout::jose::jwe::token::is_encrypted;
use crate::logout::receiver::Receiver;
use crate::logout::receiver::answer::Answer;
#[cfg(feature = "jwe")]
use crate::logout::receiver::decryptions::WaitingToken;
use crate::logout::receiver::outcome::Outcome;
use crate::logout::receiver::signed_out::{Signal, SignedOut};
use crate::logout::rejected::Rejected;
use crate::logout::token::logout_token::LogoutToken;
use crate::logout::token::profile::LOGOUT;
use crate::logout::token::unverified::Unverified;
use crate::model::sign_out::SessionPolicy;
use crate::observe::Channel;

/// How long a sign-in may be on its way from the provider's ID token to the store, which takes a
/// request or two.
const MAX_SIGN_IN_DELAY: Duration = Duration::from_secs(3600);

/// A token that came.
enum Accepted {
    /// Everything but the signature was checked.
    Signed(Box<(Unverified, MatchedToken)>),
    /// It is for a key of ours, and came on this route. What it says is not known yet.
    #[cfg(feature = "jwe")]
    Encrypted(Box<WaitingToken>, Option<String>),
}

impl Receiver {
    /// Answers a `POST` to the back-channel logout URI: with 200 once the sign-out is durable (or
    /// if it was before), else with 400 and a JSON body. `route` is the
    /// [name](crate::logout::Issuer::named) of the issuer whose own URI it is, or `None` for the
    /// shared URI.
    ///
    /// Read no more than 16 KiB of a body: longer ones are refused. (The caller answers requests of
    /// other methods with 405.)
    ///
    /// # What ends
    /// Sign-ins that were made before the token (by its `iat`, and the
    /// [skew](crate::logout::Issuer::skew) of the clocks), and all their tokens, offline ones too:
    /// of the subject if there is only `sub`; of the session if there is only `sid`; of both
    /// atomically if there are both; and in each case the whole accounts, unless the
    /// [policy](crate::logout::Issuer::session_policy) says otherwise: with
    /// [`OnlySession`](crate::SessionPolicy::OnlySession) the session alone ends, if there is one.
    /// The specification lets refresh tokens with `offline_access` live on at the provider; this
    /// store cannot know what an app may do with them there. Here they are removed: nothing is
    /// requested on behalf of a user who has signed out.
    ///
    /// The answer is the same whether a user was signed in or not. If none was, the sign-out is
    /// recorded all the same, so that it ends a sign-in that is on its way; but not if the token is
    /// more than an hour old, nor beyond 1000 such records an hour for an issuer.
    pub async fn back_channel(
        &self,
        route: Option<&str>,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Answer {
        let accepted = match self.accept(route, content_type, body) {
            Ok(accepted) => accepted,
            Err(why) => return answer(Outcome::Refused(why)),
        };
        // Detached, decryption and the fetch of keys included: a sender that hangs up has still
        // reported a sign-out.
        let receiver = self.clone();
        let outcome = self.detached(async move {
            match receiver.verified(accepted).await {
                Ok((issuer, token)) => receiver.apply(issuer, &token).await,
                Err(why) => Outcome::Refused(why),
            }
        });
        answer(outcome.await.unwrap_or(Outcome::Failed))
    }

    /// The token of a request, if it can be one that means us.
    fn accept(
        &self,
        route: Option<&str>,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<Accepted, Rejected> {
        if body.len() > form::MAX_BODY {
            return Err(Rejected::Malformed("the body is too long"));
        }
        if !form::is_form(content_type) {
            return Err(Rejected::Malformed("the body must be application/x-www-form-urlencoded"));
        }
        let token = form::parameter(body, "logout_token")?
            .ok_or(Rejected::Malformed("there is no logout_token"))?;
        #[cfg(feature = "jwe")]
        if is_encrypted(&token) {
            let sealed = self.issuers.sealed(route, &token)?;
            let waiting = self.decryptions().queue(sealed, token.len())?;
            return Ok(Accepted::Encrypted(Box::new(waiting), route.map(str::to_owned)));
        }
        let token = Unverified::parse(&token, &LOGOUT)?;
        let matched = self.issuers.check(route, &token, self.store.blocking().time())?;
        Ok(Accepted::Signed(Box::new((token, matched))))
    }

    /// Decrypts the token if need be, and checks what has not been checked so far.
    async fn verified(&self, accepted: Accepted) -> Result<(usize, LogoutToken), Rejected> {
        let (token, matched) = match accepted {
            Accepted::Signed(signed) => *signed,
            #[cfg(feature = "jwe")]
            Accepted::Encrypted(waiting, route) => {
                let token = Unverified::opened(&waiting.open().await?, &LOGOUT)?;
                let (route, now) = (route.as_deref(), self.store.blocking().time());
                let matched = self.issuers.check(route, &token, now)?;
                (token, matched)
            }
        };
        self.issuers.verify_signature(matched, &token).await
    }

    /// Carries out the sign-out that a verified token asks for.
    async fn apply(&self, issuer: usize, token: &LogoutToken) -> Outcome {
        // The verified time of a provider confirms our clock.
        self.store.blocking().confirm_time(token.issued_at());
        let Some(attempt) = self.attempt_token(issuer, token.digest()).await else {
            return Outcome::Failed;
        };
        let permit = self.permit(Channel::Back).await;
        let policy = self.issuers.get(issuer).and_then(crate::logout::Issuer::policy);
        let sign_out = token.sign_out(policy.unwrap_or(self.store.blocking().session_policy()));
        let signed_out =
            SignedOut::by(Signal::BackChannel, token.session().cloned(), token.subject().cloned());
        let signed_out =
            SignedOut { revokes_offline_access: token.revokes_offline_access(), ..signed_out };
        if attempt.progress().is_some() {
            return self.execute(sign_out, signed_out, &attempt, permit).await;
        }

        // If the rows cannot be read, the sign-out is recorded as one that finds somebody.
        let (finds_nobody, accounts, seen) = match self.store.outlook(sign_out.clone()).await {
            Ok(outlook) => (!outlook.ends_anybody, outlook.accounts, outlook.seen),
            Err(_) => Default::default(),
        };
        let (sign_out, signed_out) =
            (sign_out.with_seen(seen), SignedOut { accounts, ..signed_out });
        let is_recorded = !finds_nobody
            || (!self.is_old(token) && self.take_records(issuer, sign_out.scopes().count()));
        if !is_recorded {
            drop(permit);
            let signed_out = SignedOut { signed_in_before: sign_out.cutoff(), ..signed_out };
            return self.finish(signed_out, &attempt, Outcome::Nobody).await;
        }
        // With nobody found there are no accounts to end. A session can have thousands of accounts
        // that have ended: they are not recorded again.
        let sign_out =
            if finds_nobody { sign_out.policy(SessionPolicy::OnlySession) } else { sign_out };
        self.execute(sign_out, signed_out, &attempt, permit).await
    }

    /// Whether the token is so old that no sign-in that it covers can still be on its way.
    fn is_old(&self, token: &LogoutToken) -> bool {
        let age = self.store.blocking().time().duration_since(token.issued_at());
        age.is_ok_and(|age| age > MAX_SIGN_IN_DELAY)
    }
}

fn answer(outcome: Outcome) -> Answer {
    match outcome.observed(Channel::Back) {
        Outcome::Done | Outcome::Repeated | Outcome::Nobody | Outcome::Unknown => Answer::done(),
        Outcome::Refused(why) => Answer::refused(why),
        Outcome::Failed => Answer::failed(),
    }
}
