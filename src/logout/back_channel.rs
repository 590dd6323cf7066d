//! OpenID Connect Back-Channel Logout 1.0: the provider posts a signed logout token, server to server.

use super::answer::Answer;
use super::form;
use super::receiver::{Outcome, Receiver, Signal, SignedOut, to_the_end};
use super::rejected::Rejected;
use super::token::{LOGOUT, Unverified};
use crate::observe::Channel;

impl Receiver {
    /// Answers a `POST` to the back-channel logout URI: with 200 once the sign-out is durable (or was already), else with 400 and a JSON
    /// body. `route` is the [name](super::Issuer::named) of the issuer whose own URI it is, or `None` for the one of all.
    ///
    /// Read no more than 16 KiB of a body: longer ones are refused. (Requests of other methods get 405; that is for the caller.)
    ///
    /// # What ends
    /// Sign-ins that were made before the token (by its `iat`, and what the [clocks may differ by](super::Issuer::skew)), and all their tokens, offline
    /// ones too: of the subject if there is only `sub`; of the session if there is only `sid`, with its accounts unless the
    /// [policy](super::Issuer::session_policy) says otherwise; of both in one stroke if there are both (of the session alone with
    /// [`OnlySession`](crate::SessionPolicy::OnlySession)). The specification would have refresh tokens with `offline_access` live on at the provider;
    /// what an app may do with them there is not for this store to know. Here they go: a user who signed out is not called for.
    ///
    /// Whether anybody was signed in makes no difference to the answer.
    pub async fn back_channel(&self, route: Option<&str>, content_type: Option<&str>, body: &[u8]) -> Answer {
        let token = match logout_token(content_type, body) {
            Ok(token) => token,
            Err(why) => return answer(Outcome::Refused(why)),
        };
        // All of it, also fetching keys: whoever hangs up has said that a user signed out.
        let (receiver, route) = (self.clone(), route.map(str::to_owned));
        let outcome = to_the_end(async move {
            let result = receiver.receive(route.as_deref(), &token).await;
            result.unwrap_or_else(Outcome::from)
        });
        answer(outcome.await.unwrap_or(Outcome::Failed))
    }

    async fn receive(&self, route: Option<&str>, token: &str) -> Result<Outcome, Rejected> {
        let unverified = Unverified::parse(token, &LOGOUT)?;
        let issuer = self.issuers.find(route, unverified.iss(), unverified.tid()).ok_or(Rejected::UnknownIssuer)?;
        let verified = issuer.receive(&unverified, self.store.blocking().time()).await?;

        let (recent, digest) = (self.recent(issuer), verified.digest());
        if recent.is_some_and(|recent| recent.has(&digest)) {
            return Ok(Outcome::Repeated);
        }
        let signed_out = SignedOut {
            signal: Signal::BackChannel,
            session: verified.session().cloned(),
            subject: verified.subject().cloned(),
            account: None,
            receipt: None,
        };
        match self.carry_out(verified.sign_out(), signed_out).await {
            Ok(_) => {
                if let Some(recent) = recent {
                    recent.add(digest);
                }
                Ok(Outcome::Done)
            }
            Err(_) => Ok(Outcome::Failed),
        }
    }
}

fn logout_token(content_type: Option<&str>, body: &[u8]) -> Result<String, Rejected> {
    if body.len() > form::MAX_BODY {
        return Err(Rejected::Malformed("the body is too long"));
    }
    if !form::is_form(content_type) {
        return Err(Rejected::Malformed("the body must be application/x-www-form-urlencoded"));
    }
    form::parameter(body, "logout_token")?.ok_or(Rejected::Malformed("there is no logout_token"))
}

fn answer(outcome: Outcome) -> Answer {
    match outcome.observed(Channel::Back) {
        Outcome::Done | Outcome::Repeated | Outcome::Nobody => Answer::done(),
        Outcome::Refused(why) => Answer::refused(why),
        Outcome::Failed => Answer::failed(),
    }
}
