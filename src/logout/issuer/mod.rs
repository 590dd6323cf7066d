//! Whose sign-outs are taken, and how their tokens are checked.

pub(crate) mod issuers;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openidconnect::url::Url;

use crate::logout::jose::jws::Algorithm;
use crate::logout::jose::key_set::{KeySet, SignedAs};
use crate::logout::keys::{Cache, Keys};
use crate::logout::rejected::Rejected;
use crate::logout::token::logout_token::{LogoutToken, Unverified, User};
use crate::logout::token::profile::{LOGOUT, Presence};
use crate::model::id::{AccountId, ClientId, Subject};
use crate::model::sign_out::SessionPolicy;
use crate::openid::Provider;

/// What the clocks may differ by, unless it is said otherwise.
const SKEW: Duration = Duration::from_secs(60);
/// More is no clock.
const MAX_SKEW: Duration = Duration::from_secs(24 * 3600);
/// How much further in the future than that `iat` may lie. A clock of ours that is behind must not
/// make us deaf; and the bound protects nobody: only sign-ins that there are end, whenever a token
/// says that it was made.
const AHEAD: Duration = Duration::from_secs(600);

/// An OpenID provider whose sign-outs are taken, and what its logout tokens must be like.
/// [`Issuers`](crate::logout::Issuers) is the list of them.
///
/// What can be wrong with the settings is an error of [`Issuers::new`](crate::logout::Issuers::new).
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use oubliette::logout::{Algorithm, Issuer, KeySet, Keys};
/// use oubliette::openid::Provider;
/// use oubliette::{ClientId, SessionPolicy, TokenStore};
///
/// // The key of RFC 8037, appendix A.
/// let jwks = br#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
/// let provider = Provider::generic("https://login.example.com")?;
/// let issuer = Issuer::new(provider, ClientId::new("my-app")?, Keys::fixed(jwks)?).algorithms([Algorithm::EdDsa]);
///
/// // What the receiver of the callbacks does with a token:
/// let token = "eyJhbGciOiJFZERTQSIsInR5cCI6ImxvZ291dCtqd3QifQ.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUuY29tIiwiYXVkIjoibXktYXBwIiwiaWF0I\
///      joxODAwMDAwMDAwLCJleHAiOjE4MDAwMDAxMjAsImp0aSI6IjEiLCJzdWIiOiJqYW5lIiwic2lkIjoicy0xIiwiZXZlbnRzIjp7Imh0dHA6Ly9zY2hlbWFzL\
///      m9wZW5pZC5uZXQvZXZlbnQvYmFja2NoYW5uZWwtbG9nb3V0Ijp7fX19.afnWbwFPNU8DQDXtmNZRBTdZzMZA9BPe4xoemNWzeQfoTtrUcyeHWmZ6E_6_hub4\
///      ohHCnetM9F6zRZsYW3UyBw";
/// let now = UNIX_EPOCH + Duration::from_secs(1_800_000_001);
/// let verified = issuer.verify(token, &KeySet::parse(jwks)?, now)?;
/// assert_eq!(verified.session().map(|session| session.sid()), Some("s-1"));
/// # let store = TokenStore::in_memory()?;
/// store.sign_out(verified.sign_out(SessionPolicy::WholeAccount))?;
///
/// // Two minutes and the skew later it has expired.
/// assert!(issuer.verify(token, &KeySet::parse(jwks)?, now + Duration::from_secs(180)).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Issuer {
    provider: Provider,
    clients: Vec<ClientId>,
    keys: Keys,
    cache: Cache,
    name: Option<String>,
    algorithms: Vec<Algorithm>,
    skew: Duration,
    age_without_expiry: Option<Duration>,
    is_type_required: bool,
    policy: Option<SessionPolicy>,
    /// The origins of its pages beside its own.
    frame_origins: Vec<String>,
    end_session_url: Option<Url>,
    /// Whether its `sid` at the front channel is a `sub`.
    sid_is_sub: bool,
    /// The first setting that is wrong, and what about it.
    pub(in crate::logout) mistake: Option<(&'static str, &'static str)>,
}

impl Issuer {
    /// A provider, the id that the app has there, and the provider's keys. Takes RS256 alone, as
    /// long as [`algorithms`](Self::algorithms) does not say otherwise.
    pub fn new(provider: Provider, client: ClientId, keys: Keys) -> Self {
        Self {
            // Bound to this provider: no other's keys ever get into it, whoever shares the recipe.
            cache: keys.cache(&provider),
            keys,
            provider,
            clients: vec![client],
            name: None,
            algorithms: vec![Algorithm::Rs256],
            skew: SKEW,
            age_without_expiry: None,
            is_type_required: false,
            policy: None,
            frame_origins: Vec::new(),
            end_session_url: None,
            sid_is_sub: false,
            mistake: None,
        }
    }

    /// One more id of the app at this provider: tokens for it are taken too.
    pub fn client(mut self, client: ClientId) -> Self {
        self.clients.push(client);
        self
    }

    /// As [`Provider::also_known_as`], for what comes to the callbacks alone. Where ID tokens can
    /// come under that address too, as they mostly can, tell the provider, and both the login and
    /// its issuer have it.
    pub fn also_known_as(mut self, address: impl AsRef<str>) -> Self {
        match self.provider.clone().also_known_as(address.as_ref()) {
            Ok(provider) => {
                // The discovery document may say that name.
                self.cache = self.keys.cache(&provider);
                self.provider = provider;
                self
            }
            Err(_) => self.mistaken("address", "it is no https or http URL of a host and a path"),
        }
    }

    /// Gives the issuer callbacks of its own, which end in `/<name>`: those without a name are then
    /// not for it. 1 to 64 ASCII letters, digits, `.`, `_` or `-`.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        let is_plain =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        // Paths to elsewhere, for whoever resolves them.
        let is_path = name.bytes().all(|byte| byte == b'.');
        if !is_plain || is_path || !(1..=64).contains(&name.len()) {
            self = self.mistaken(
                "name",
                "it is not made of 1 to 64 letters, digits, dots, underscores and hyphens",
            );
        }
        self.name = Some(name);
        self
    }

    /// The algorithms that the provider signs this app's tokens with, instead of RS256: what was
    /// registered as `id_token_signed_response_alg` (OpenID Connect Back-Channel Logout 1.0 §2.6).
    /// Some providers sign logout tokens otherwise than ID tokens (Keycloak before 26.2: as for
    /// whichever client came last): then give all that the provider has keys for.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        if self.algorithms.is_empty() {
            self.mistaken("algorithms", "there are none")
        } else {
            self
        }
    }

    /// What the provider's clock and ours may differ by: a minute, unless it is said otherwise; at
    /// most a day. A sign-in that is newer than the logout token by no more than this is ended with
    /// the others. (`iat` may lie further ahead, by ten minutes.)
    pub fn skew(mut self, skew: Duration) -> Self {
        self.skew = skew.min(MAX_SKEW);
        if skew > MAX_SKEW { self.mistaken("skew", "it is more than a day") } else { self }
    }

    /// Takes tokens without `exp`, which the specification requires, until they are this old by
    /// their `iat`: for providers that leave it out, such as Ory Hydra and LemonLDAP::NG. Where
    /// there is an `exp`, it counts.
    pub fn without_expiry_for(mut self, age: Duration) -> Self {
        self.age_without_expiry = Some(age);
        self
    }

    /// Takes only tokens whose `typ` is `logout+jwt`, as OWASP ASVS 10.5.5 asks. Otherwise `JWT`,
    /// `at+jwt` or none will do too: many providers write no other, and the token's event tells
    /// what it is.
    pub fn require_type(mut self) -> Self {
        self.is_type_required = true;
        self
    }

    /// What a session's sign-out ends, instead of what the store was built with.
    pub fn session_policy(mut self, policy: SessionPolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// One more origin whose pages may frame the front-channel's answer, such as
    /// `https://login.example.com`, beside the issuer's own.
    pub fn frame_origin(mut self, origin: impl Into<String>) -> Self {
        match frame_source(&origin.into()) {
            Some(origin) => {
                self.frame_origins.push(origin);
                self
            }
            None => self
                .mistaken("frame origin", "it is no origin: https://, a host, and perhaps a port"),
        }
    }

    /// Takes the front channel's `sid` for a `sub` too: for providers that send the user's name in
    /// its place and have no `sid` in their ID tokens, as LemonLDAP::NG 2.16.1 does. Without this
    /// their requests are answered with 200, and end nobody's sign-in. All of the user's sign-ins
    /// end then, in every browser.
    ///
    /// **The price**: a `sid` is a secret, a name is none. Anybody who knows a user's name at the
    /// provider can sign that user out, from a page of theirs that any browser opens, as often as
    /// they like. It ends sign-ins and reveals nothing. Prefer the back channel where the provider
    /// has one.
    pub fn front_channel_sid_is_sub(mut self) -> Self {
        self.sid_is_sub = true;
        self
    }

    /// Where users sign out at the provider (`end_session_endpoint`), instead of where its
    /// discovery document says.
    ///
    /// What it has of [parameters](crate::logout::EndSession) that a sign-out says itself is replaced:
    /// which client the ID token is of, where the user comes back, and the `state` are known then,
    /// and a provider refuses a `client_id` that is not the ID token's. Everything else in it
    /// stays, and so does its `client_id` if no ID token is there to tell.
    pub fn end_session_endpoint(mut self, url: impl Into<String>) -> Self {
        match Url::parse(&url.into()) {
            Ok(url) if is_safe(&url) && url.fragment().is_none() => {
                self.end_session_url = Some(url);
                self
            }
            _ => self.mistaken("end-session endpoint", "it is no https URL without a fragment"),
        }
    }

    /// Checks a logout token with these keys, instead of the issuer's: all that [OpenID Connect
    /// Back-Channel Logout 1.0 §2.6] asks for, but no more than once. It fetches nothing and waits
    /// for nothing.
    ///
    /// # Errors
    /// [`Rejected`] if it is no logout token of this issuer for this app, at this time.
    ///
    /// [OpenID Connect Back-Channel Logout 1.0 §2.6]: https://openid.net/specs/openid-connect-backchannel-1_0.html#Validation
    pub fn verify(
        &self,
        token: &str,
        keys: &KeySet,
        now: SystemTime,
    ) -> Result<LogoutToken, Rejected> {
        let token = Unverified::parse(token, &LOGOUT)?;
        let checked = self.check(&token, now)?;
        let signed_as = self.signed_as(&token);
        match keys.verify(token.jws(), &self.algorithms, &signed_as) {
            Ok(()) => Ok(checked.0),
            Err(refusal) => {
                self.cache.tell_why_not(Some(keys), token.jws(), &self.algorithms, &signed_as);
                Err(refusal)
            }
        }
    }

    /// As [`verify`](Self::verify), with the issuer's own keys, for a token with which all else is
    /// [right](Self::check).
    pub(crate) async fn believe(
        &self,
        checked: Checked,
        token: &Unverified,
    ) -> Result<LogoutToken, Rejected> {
        self.cache.verify(token.jws(), &self.algorithms, &self.signed_as(token)).await?;
        Ok(checked.0)
    }

    /// Everything but the signature: so that a stranger's token does not make us fetch keys.
    pub(crate) fn check(&self, token: &Unverified, now: SystemTime) -> Result<Checked, Rejected> {
        #[cfg(test)]
        crate::logout::once::CHECKED.set(crate::logout::once::CHECKED.get() + 1);
        let (claims, profile, header) = (token.claims(), token.profile(), token.jws().header());
        if !self.provider.takes_issuer(token.iss(), token.tid()) {
            return Err(Rejected::UnknownIssuer);
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

    /// In whose name a token is signed: a key may say the provider's first name or another.
    fn signed_as<'a>(&self, token: &'a Unverified) -> SignedAs<'a> {
        let mut names = self.provider.names(token.iss());
        names.push(token.iss().into());
        SignedAs { names, tid: token.tid() }
    }

    /// RFC 7519 §4.1.4 to §4.1.6.
    fn check_times(&self, token: &Unverified, now: SystemTime) -> Result<(), Rejected> {
        let claims = token.claims();
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let latest = now.saturating_add(self.skew);
        if claims.iat > latest.saturating_add(AHEAD) || claims.nbf.is_some_and(|nbf| nbf > latest) {
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

    /// Whose token it is, and the accounts, where that tells them. A name that no sign-in can have,
    /// as it is too long, does not make the other one worse.
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

    pub(crate) fn provider(&self) -> &Provider {
        &self.provider
    }

    pub(crate) fn clients(&self) -> &[ClientId] {
        &self.clients
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(crate) fn policy(&self) -> Option<SessionPolicy> {
        self.policy
    }

    /// The subjects that a `sid` of the front channel may stand for, by all names of the provider.
    pub(crate) fn subjects_of(&self, iss: Option<&str>, sid: &str) -> Vec<Subject> {
        if !self.sid_is_sub {
            return Vec::new();
        }
        self.provider.subjects(iss.unwrap_or(self.provider.issuer()), sid).unwrap_or_default()
    }

    pub(crate) fn end_session_url(&self) -> Option<&Url> {
        self.end_session_url.as_ref()
    }

    /// Who may frame the front-channel's answer, as the directive `frame-ancestors` lists them (CSP
    /// Level 3 §6.4.2).
    pub(crate) fn frame_ancestors(&self) -> String {
        let own: Vec<String> =
            self.provider.origins().iter().filter_map(|origin| frame_source(origin)).collect();
        let all: Vec<&str> = own.iter().chain(&self.frame_origins).map(String::as_str).collect();
        if all.is_empty() { "'none'".into() } else { all.join(" ") }
    }

    fn mistaken(mut self, field: &'static str, problem: &'static str) -> Self {
        self.mistake.get_or_insert((field, problem));
        self
    }
}

/// A token that only wants its signature checked. This file alone takes it out, right behind that
/// check.
pub(crate) struct Checked(LogoutToken);

/// `https`, or a loop-back host, as in tests.
fn is_safe(url: &Url) -> bool {
    url.scheme() == "https"
        || (url.scheme() == "http"
            && matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")))
}

/// An origin as it may stand in a header: no pattern, and nothing that ends the directive.
fn frame_source(origin: &str) -> Option<String> {
    let url = Url::parse(origin).ok()?;
    let is_plain = url
        .host_str()?
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-[]:".contains(&byte));
    let serialized = url.origin().ascii_serialization();
    let is_all = origin.strip_suffix('/').unwrap_or(origin).eq_ignore_ascii_case(&serialized);
    (is_safe(&url) && is_plain && is_all).then_some(serialized)
}
