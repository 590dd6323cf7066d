//! OpenID Connect Front-Channel Logout 1.0: the provider's page has the browser fetch one of ours, in a frame.

use super::answer::Answer;
use super::form;
use super::issuer::Issuer;
use super::receiver::{Outcome, Receiver, Signal, SignedOut, to_the_end};
use super::rejected::Rejected;
use crate::id::SessionId;
use crate::observe::Channel;
use crate::sign_out::SignOut;

impl Receiver {
    /// Answers a `GET` of the front-channel logout URI, by the query of its address: with a page that only the provider may frame. `route` is
    /// the [name](super::Issuer::named) of the issuer whose own URI it is, or `None` for the one of all.
    ///
    /// The request carries no proof, and from within a frame no cookies either: the `sid` is the only thing that tells who it is about, and who
    /// knows it may end that session. It is looked for; a `sid` that no live sign-in has changes nothing, and nothing is recorded.
    /// So the app must be registered such that the provider sends it (`frontchannel_logout_session_required`; at Entra, the optional claim
    /// `sid`). `iss` has to come with it; where only one issuer can be meant it may be missing, as Entra has it.
    ///
    /// Answers: 200 if nobody with this session is signed in any more; 400 if the query is not what it has to be, or of none of the issuers; 503 if
    /// the store failed. (Requests of other methods, `HEAD` too, get 405; that is for the caller.)
    pub async fn front_channel(&self, route: Option<&str>, query: &str) -> Answer {
        let (session, issuer) = match self.session_of(route, query) {
            Ok(found) => found,
            Err(why) => {
                Outcome::Refused(why).observed(Channel::Front);
                return Answer::page(400, "This request names no session.", None);
            }
        };
        let ancestors = issuer.frame_ancestors();
        let mut sign_out = SignOut::session(&session);
        if let Some(policy) = issuer.policy() {
            sign_out = sign_out.policy(policy);
        }
        let receiver = self.clone();
        let outcome = to_the_end(async move { receiver.end(session, sign_out).await });
        match outcome.await.unwrap_or(Outcome::Failed).observed(Channel::Front) {
            Outcome::Failed | Outcome::Refused(_) => Answer::page(503, "You may not be signed out here.", Some(&ancestors)),
            // The same, whether there was anybody: a guessed `sid` tells nothing.
            Outcome::Done | Outcome::Repeated | Outcome::Nobody => {
                Answer::page(200, "You are signed out here.", Some(&ancestors))
            }
        }
    }

    fn session_of(&self, route: Option<&str>, query: &str) -> Result<(SessionId, &Issuer), Rejected> {
        if query.len() > form::MAX_QUERY {
            return Err(Rejected::Malformed("the query is too long"));
        }
        let sid = form::parameter(query.as_bytes(), "sid")?.ok_or(Rejected::Malformed("there is no sid"))?;
        let (issuer, session) = match form::parameter(query.as_bytes(), "iss")? {
            Some(iss) => {
                let issuer = self.issuers.find(route, &iss, None).ok_or(Rejected::UnknownIssuer)?;
                (issuer, issuer.provider().session(&iss, &sid))
            }
            None => {
                let issuer = self.issuers.only(route).ok_or(Rejected::UnknownIssuer)?;
                (issuer, issuer.provider().session_without_issuer(&sid))
            }
        };
        Ok((session.map_err(|_| Rejected::Malformed("the sid is none that could be stored"))?, issuer))
    }

    /// Ends the session if somebody is signed in by it.
    async fn end(&self, session: SessionId, sign_out: SignOut) -> Outcome {
        match self.store.is_session_known(&session).await {
            Ok(true) => {}
            Ok(false) => return Outcome::Nobody,
            Err(_) => return Outcome::Failed,
        }
        let session = Some(session);
        let signed_out = SignedOut { signal: Signal::FrontChannel, session, subject: None, account: None, receipt: None };
        match self.carry_out(sign_out, signed_out).await {
            Ok(_) => Outcome::Done,
            Err(_) => Outcome::Failed,
        }
    }
}
