//! OpenID Connect Back-Channel Logout 1.0: the provider posts a signed logout token, server to
//! server.

use std::time::Duration;

use crate::logout::channels::form;
use crate::logout::issuer::issuers::Meant;
use crate::logout::receiver::answer::Answer;
use crate::logout::receiver::{Outcome, Receiver, Signal, SignedOut};
use crate::logout::rejected::Rejected;
use crate::logout::token::logout_token::{LogoutToken, Unverified};
use crate::logout::token::profile::LOGOUT;
use crate::model::sign_out::SessionPolicy;
use crate::observe::Channel;

/// How long a sign-in may be on its way, from the provider's ID token to the store: a request or
/// two.
const LONGEST_ON_ITS_WAY: Duration = Duration::from_secs(3600);

impl Receiver {
    /// Answers a `POST` to the back-channel logout URI: with 200 once the sign-out is durable (or
    /// was already), else with 400 and a JSON body. `route` is the [name](crate::logout::Issuer::named) of
    /// the issuer whose own URI it is, or `None` for the one of all.
    ///
    /// Read no more than 16 KiB of a body: longer ones are refused. (Requests of other methods get
    /// 405; that is for the caller.)
    ///
    /// # What ends
    /// Sign-ins that were made before the token (by its `iat`, and what the [clocks may differ
    /// by](crate::logout::Issuer::skew)), and all their tokens, offline ones too: of the subject if there
    /// is only `sub`; of the session if there is only `sid`; of both in one stroke if there are
    /// both; and in each case the whole accounts, unless the
    /// [policy](crate::logout::Issuer::session_policy) says otherwise: with
    /// [`OnlySession`](crate::SessionPolicy::OnlySession) the session alone, if there is one. The
    /// specification would have refresh tokens with `offline_access` live on at the provider; what
    /// an app may do with them there is not for this store to know. Here they go: nobody is called
    /// for who has signed out.
    ///
    /// Whether anybody was signed in makes no difference to the answer. If nobody was, the sign-out
    /// is recorded all the same, so that it ends a sign-in that is on its way; but not if the token
    /// is more than an hour old, nor beyond 1000 such records an hour for an issuer.
    pub async fn back_channel(
        &self,
        route: Option<&str>,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Answer {
        let (token, meant) = match self.accept(route, content_type, body) {
            Ok(accepted) => accepted,
            Err(why) => return answer(Outcome::Refused(why)),
        };
        // Also fetching keys: whoever hangs up has said that a user signed out.
        let receiver = self.clone();
        let outcome = self.to_the_end(async move {
            match receiver.issuers.believe(meant, &token).await {
                Ok((issuer, token)) => receiver.obey(issuer, &token).await,
                Err(why) => Outcome::Refused(why),
            }
        });
        answer(outcome.await.unwrap_or(Outcome::Failed))
    }

    /// The token of a request, with which all is right. What a stranger could not send is left to
    /// be checked: the signature.
    fn accept(
        &self,
        route: Option<&str>,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<(Unverified, Meant), Rejected> {
        if body.len() > form::MAX_BODY {
            return Err(Rejected::Malformed("the body is too long"));
        }
        if !form::is_form(content_type) {
            return Err(Rejected::Malformed("the body must be application/x-www-form-urlencoded"));
        }
        let token = form::parameter(body, "logout_token")?
            .ok_or(Rejected::Malformed("there is no logout_token"))?;
        let token = Unverified::parse(&token, &LOGOUT)?;
        let meant = self.issuers.check(route, &token, self.store.blocking().time())?;
        Ok((token, meant))
    }

    async fn obey(&self, issuer: usize, token: &LogoutToken) -> Outcome {
        // A provider's clock speaks for ours.
        self.store.blocking().confirm_time(token.issued_at());
        // Too many send the same at the same time.
        let Some(known) = self.token(issuer, token.digest()).await else { return Outcome::Failed };
        let turn = self.turn(Channel::Back).await;
        let policy = self.issuers.get(issuer).and_then(crate::logout::Issuer::policy);
        let sign_out = token.sign_out(policy.unwrap_or(self.store.blocking().session_policy()));
        let signed_out =
            SignedOut::by(Signal::BackChannel, token.session().cloned(), token.subject().cloned());
        let signed_out =
            SignedOut { revokes_offline_access: token.revokes_offline_access(), ..signed_out };
        if known.mark().is_some() {
            return self.carry_out(sign_out, signed_out, &known, turn).await;
        }
        // (What cannot be looked for is recorded.)
        let (finds_nobody, accounts, seen) = match self.store.outlook(sign_out.clone()).await {
            Ok(outlook) => (!outlook.ends_anybody, outlook.accounts, outlook.seen),
            Err(_) => Default::default(),
        };
        let (sign_out, signed_out) =
            (sign_out.with_seen(seen), SignedOut { accounts, ..signed_out });
        if finds_nobody && (self.is_old(token) || !self.take(issuer, sign_out.scopes().count())) {
            drop(turn);
            let signed_out = SignedOut { signed_in_before: sign_out.cutoff(), ..signed_out };
            return self.finish(signed_out, &known, Outcome::Nobody).await;
        }
        // There are no accounts to look for then; those that have ended, of which a session can
        // have thousands, are not recorded once more.
        let sign_out =
            if finds_nobody { sign_out.policy(SessionPolicy::OnlySession) } else { sign_out };
        self.carry_out(sign_out, signed_out, &known, turn).await
    }

    /// Whether no sign-in can be on its way any more that this token is about.
    fn is_old(&self, token: &LogoutToken) -> bool {
        let age = self.store.blocking().time().duration_since(token.issued_at());
        age.is_ok_and(|age| age > LONGEST_ON_ITS_WAY)
    }
}

fn answer(outcome: Outcome) -> Answer {
    match outcome.observed(Channel::Back) {
        Outcome::Done | Outcome::Repeated | Outcome::Nobody | Outcome::Unknown => Answer::done(),
        Outcome::Refused(why) => Answer::refused(why),
        Outcome::Failed => Answer::failed(),
    }
}
