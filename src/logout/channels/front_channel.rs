//! OpenID Connect Front-Channel Logout 1.0: the provider's page makes the browser fetch a page of
//! ours, in a frame.

use sha2::{Digest as _, Sha256};

use super::form;
use crate::logout::issuer::Issuer;
use crate::logout::receiver::Receiver;
use crate::logout::receiver::answer::Answer;
use crate::logout::receiver::outcome::Outcome;
use crate::logout::receiver::replay_cache::{Digest, Progress};
use crate::logout::receiver::signed_out::{Signal, SignedOut};
use crate::logout::rejected::Rejected;
use crate::model::error::{Component, Error};
use crate::model::id::{SessionId, Subject};
use crate::model::sign_out::{SessionPolicy, SignOut, SignOutScope};
use crate::observe::Channel;

impl Receiver {
    /// Answers a `GET` of the front-channel logout URI, by the query of its address: with a page
    /// that only the provider may frame. `route` is the [name](crate::logout::Issuer::named) of the
    /// issuer whose own URI it is, or `None` for the shared URI.
    ///
    /// The request carries no proof, and from within a frame no cookies either: only the `sid`
    /// identifies the user, and anybody who knows it can end that session. A `sid` that no live
    /// sign-in has changes nothing, and nothing is recorded. (So a sign-in that is on its way at
    /// that moment is not covered. The back channel has no such gap.)
    ///
    /// The app must be registered such that the provider sends the `sid`
    /// (`frontchannel_logout_session_required`; at Entra, the optional claim `sid` in ID tokens:
    /// [`Provider::require_session`](crate::openid::Provider::require_session) shows at the first
    /// sign-in whether it does). `iss` has to come with it; it may be missing where only one issuer
    /// can be meant, as Entra leaves it out.
    ///
    /// A provider that sends the user's name in its place needs a
    /// [setting](crate::logout::Issuer::front_channel_sid_is_sub).
    ///
    /// Answers: 200 if no user is signed in with this session any more; 400 if the query is not as
    /// it has to be, or names none of the issuers; 503 if the store or the
    /// [hook](Self::after_sign_out) failed. (The caller answers requests of other methods, `HEAD`
    /// too, with 405.)
    pub async fn front_channel(&self, route: Option<&str>, query: &str) -> Answer {
        let (request, issuer) = match self.parse_request(route, query) {
            Ok(found) => found,
            Err(why) => {
                Outcome::Refused(why).observed(Channel::Front);
                return Answer::page(400, "This request names no session.", None);
            }
        };
        let ancestors = issuer.frame_ancestors();
        let policy = issuer.policy().unwrap_or(self.store.blocking().session_policy());
        // The permit is awaited before the work is detached: a request whose sender hangs up
        // meanwhile is dropped. Anybody can send these requests.
        let (receiver, permit) = (self.clone(), self.permit(Channel::Front).await);
        let outcome = self.detached(async move { receiver.end(request, policy, permit).await });
        match outcome.await.unwrap_or(Outcome::Failed).observed(Channel::Front) {
            Outcome::Failed | Outcome::Refused(_) => {
                Answer::page(503, "You may not be signed out here.", Some(&ancestors))
            }
            // The page is the same whether a user was signed in or not: a guessed `sid` reveals
            // nothing.
            Outcome::Done | Outcome::Repeated | Outcome::Nobody | Outcome::Unknown => {
                Answer::page(200, "You are signed out here.", Some(&ancestors))
            }
        }
    }

    /// What a request names, and the issuer that it claims to come from.
    fn parse_request(
        &self,
        route: Option<&str>,
        query: &str,
    ) -> Result<(Request, &Issuer), Rejected> {
        if query.len() > form::MAX_QUERY {
            return Err(Rejected::Malformed("the query is too long"));
        }
        let sid = form::parameter(query.as_bytes(), "sid")?
            .ok_or(Rejected::Malformed("there is no sid"))?;
        let iss = form::parameter(query.as_bytes(), "iss")?;
        let issuer = self.issuers.find(route, iss.as_deref()).ok_or(Rejected::UnknownIssuer)?;
        let malformed = Rejected::Malformed("the sid is none that could be stored");
        let sessions = issuer.provider().sessions(iss.as_deref(), &sid).map_err(|_| malformed)?;
        let mut sessions = sessions.into_iter();
        let session = sessions.next().ok_or(malformed)?;
        let subjects = issuer.subjects_of(iss.as_deref(), &sid);
        let subject = subjects.first().cloned();
        let others = sessions
            .map(SignOutScope::Session)
            .chain(subjects.into_iter().map(SignOutScope::Subject))
            .collect();
        Ok((Request { session, subject, others }, issuer))
    }

    /// Ends the session if a user is signed in by it.
    async fn end<T>(&self, request: Request, policy: SessionPolicy, permit: T) -> Outcome {
        let Request { session, subject, others } = request;
        let Some(attempt) = self.attempt_session(digest(&session)).await else {
            return Outcome::Failed;
        };
        let sign_out =
            others.into_iter().fold(SignOut::session(&session), SignOut::and).policy(policy);
        let (accounts, seen) =
            match (self.store.outlook(sign_out.clone()).await, attempt.progress()) {
                (Ok(outlook), _) if outlook.ends_anybody => {
                    attempt.forget();
                    (outlook.accounts, outlook.seen)
                }
                // The store's part is done, and the app's hook has failed: it runs again.
                (Ok(outlook), Some(Progress::Durable)) => (outlook.accounts, outlook.seen),
                (Ok(outlook), None) if !outlook.is_known => return Outcome::Unknown,
                (Ok(_), _) => return Outcome::Nobody,
                (Err(Error::Poisoned(Component::Engine)), _) => {
                    self.record_unseen(sign_out).await;
                    return Outcome::Failed;
                }
                (Err(_), _) => return Outcome::Failed,
            };
        let signed_out =
            SignedOut { accounts, ..SignedOut::by(Signal::FrontChannel, Some(session), subject) };
        self.execute(sign_out.with_seen(seen), signed_out, &attempt, permit).await
    }

    /// Records a sign-out while the engine cannot be read. No user is served then, but the session
    /// must not be back when the store is reopened. As anybody can send these, only some are
    /// recorded, and each once.
    async fn record_unseen(&self, sign_out: SignOut) {
        let mut is_new = false;
        for scope in sign_out.scopes() {
            is_new |= self
                .store
                .is_on_record(scope.clone())
                .await
                .is_ok_and(|is_on_record| !is_on_record);
        }
        if is_new && self.take_unseen() {
            let _ = self.store.sign_out(sign_out.policy(SessionPolicy::OnlySession)).await;
        }
    }
}

/// What a request names.
struct Request {
    /// The session, by the name that it has in ID tokens.
    session: SessionId,
    /// The subject, if the issuer's `sid` may be one.
    subject: Option<Subject>,
    /// By what else sign-ins are found: the session's other names, and the subject's.
    others: Vec<SignOutScope>,
}

/// Identifies a session in the replay cache.
pub(crate) fn digest(session: &SessionId) -> Digest {
    let mut hash = Sha256::new();
    hash.update((session.issuer().len() as u64).to_be_bytes());
    hash.update(session.issuer());
    hash.update(session.sid());
    hash.finalize().into()
}
