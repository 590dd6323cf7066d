//! OpenID Connect Front-Channel Logout 1.0: the provider's page has the browser fetch one of ours,
//! in a frame.

use sha2::{Digest as _, Sha256};

use crate::logout::channels::form;
use crate::logout::issuer::Issuer;
use crate::logout::receiver::answer::Answer;
use crate::logout::receiver::replay_cache::{Digest, Mark};
use crate::logout::receiver::{Outcome, Receiver, Signal, SignedOut};
use crate::logout::rejected::Rejected;
use crate::model::error::{Error, Part};
use crate::model::id::{SessionId, Subject};
use crate::model::sign_out::{Scope, SessionPolicy, SignOut};
use crate::observe::Channel;

impl Receiver {
    /// Answers a `GET` of the front-channel logout URI, by the query of its address: with a page
    /// that only the provider may frame. `route` is the [name](crate::logout::Issuer::named) of the issuer
    /// whose own URI it is, or `None` for the one of all.
    ///
    /// The request carries no proof, and from within a frame no cookies either: the `sid` is the
    /// only thing that tells who it is about, and who knows it may end that session. It is looked
    /// for; a `sid` that no live sign-in has changes nothing, and nothing is recorded. (So a
    /// sign-in that is on its way just then is not covered. The back channel has no such gap.)
    ///
    /// The app must be registered such that the provider sends the `sid`
    /// (`frontchannel_logout_session_required`; at Entra, the optional claim `sid` in ID tokens:
    /// [`Provider::require_session`](crate::openid::Provider::require_session) finds out at the
    /// first sign-in whether it does). `iss` has to come with it; where only one issuer can be
    /// meant it may be missing, as Entra has it.
    ///
    /// A provider that sends the user's name in its place needs a
    /// [setting](crate::logout::Issuer::front_channel_sid_is_sub).
    ///
    /// Answers: 200 if nobody with this session is signed in any more; 400 if the query is not what
    /// it has to be, or of none of the issuers; 503 if the store or the
    /// [hook](Self::after_sign_out) failed. (Requests of other methods, `HEAD` too, get 405; that
    /// is for the caller.)
    pub async fn front_channel(&self, route: Option<&str>, query: &str) -> Answer {
        let (asked, issuer) = match self.asked(route, query) {
            Ok(found) => found,
            Err(why) => {
                Outcome::Refused(why).observed(Channel::Front);
                return Answer::page(400, "This request names no session.", None);
            }
        };
        let ancestors = issuer.frame_ancestors();
        let policy = issuer.policy().unwrap_or(self.store.blocking().session_policy());
        // Who hangs up before it is his turn is not waited with: these requests come from anybody.
        let (receiver, turn) = (self.clone(), self.turn(Channel::Front).await);
        let outcome = self.to_the_end(async move { receiver.end(asked, policy, turn).await });
        match outcome.await.unwrap_or(Outcome::Failed).observed(Channel::Front) {
            Outcome::Failed | Outcome::Refused(_) => {
                Answer::page(503, "You may not be signed out here.", Some(&ancestors))
            }
            // The same, whether there was anybody: a guessed `sid` tells nothing.
            Outcome::Done | Outcome::Repeated | Outcome::Nobody | Outcome::Unknown => {
                Answer::page(200, "You are signed out here.", Some(&ancestors))
            }
        }
    }

    /// Whom the request is about, and the issuer that it says it comes from.
    fn asked(&self, route: Option<&str>, query: &str) -> Result<(Asked, &Issuer), Rejected> {
        if query.len() > form::MAX_QUERY {
            return Err(Rejected::Malformed("the query is too long"));
        }
        let sid = form::parameter(query.as_bytes(), "sid")?
            .ok_or(Rejected::Malformed("there is no sid"))?;
        let iss = form::parameter(query.as_bytes(), "iss")?;
        let issuer = self.issuers.takes(route, iss.as_deref()).ok_or(Rejected::UnknownIssuer)?;
        let malformed = Rejected::Malformed("the sid is none that could be stored");
        let sessions = issuer.provider().sessions(iss.as_deref(), &sid).map_err(|_| malformed)?;
        let mut sessions = sessions.into_iter();
        let session = sessions.next().ok_or(malformed)?;
        let subjects = issuer.subjects_of(iss.as_deref(), &sid);
        let subject = subjects.first().cloned();
        let others =
            sessions.map(Scope::Session).chain(subjects.into_iter().map(Scope::Subject)).collect();
        Ok((Asked { session, subject, others }, issuer))
    }

    /// Ends the session if somebody is signed in by it.
    async fn end<T>(&self, asked: Asked, policy: SessionPolicy, turn: T) -> Outcome {
        let Asked { session, subject, others } = asked;
        let Some(known) = self.session(digest(&session)).await else { return Outcome::Failed };
        let sign_out =
            others.into_iter().fold(SignOut::session(&session), SignOut::and).policy(policy);
        let (accounts, seen) = match (self.store.outlook(sign_out.clone()).await, known.mark()) {
            (Ok(outlook), _) if outlook.ends_anybody => {
                known.forget();
                (outlook.accounts, outlook.seen)
            }
            // The app has still to do its part.
            (Ok(outlook), Some(Mark::Durable)) => (outlook.accounts, outlook.seen),
            (Ok(outlook), None) if !outlook.is_known => return Outcome::Unknown,
            (Ok(_), _) => return Outcome::Nobody,
            (Err(Error::Poisoned(Part::Engine)), _) => {
                self.end_unseen(sign_out).await;
                return Outcome::Failed;
            }
            (Err(_), _) => return Outcome::Failed,
        };
        let signed_out =
            SignedOut { accounts, ..SignedOut::by(Signal::FrontChannel, Some(session), subject) };
        self.carry_out(sign_out.with_seen(seen), signed_out, &known, turn).await
    }

    /// The engine cannot be read, so nobody is served; but the session must not be there again when
    /// the store is reopened. It may be anybody's, so only some are recorded, and each once.
    async fn end_unseen(&self, sign_out: SignOut) {
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

/// Whom a request is about.
struct Asked {
    /// The session, by the name that ID tokens have it by.
    session: SessionId,
    /// The subject, if the issuer's `sid` may be one.
    subject: Option<Subject>,
    /// What else sign-ins may be found by: the session's other names, and the subject's.
    others: Vec<Scope>,
}

pub(crate) fn digest(session: &SessionId) -> Digest {
    let mut hash = Sha256::new();
    hash.update((session.issuer().len() as u64).to_be_bytes());
    hash.update(session.issuer());
    hash.update(session.sid());
    hash.finalize().into()
}
