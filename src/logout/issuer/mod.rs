//! An issuer whose sign-outs are accepted: its settings. Its [checks] of a token and the list of
//! [issuers] stand beside them.

mod checks;
pub(crate) mod issuers;

use std::time::Duration;

use openidconnect::url::Url;

use crate::logout::jose::algorithm::Algorithm;
#[cfg(feature = "jwe")]
use crate::logout::jose::jwe::decryption_key::DecryptionKey;
#[cfg(feature = "jwe")]
use crate::logout::jose::jwe::decryption_keys::DecryptionKeys;
use crate::logout::keys::{Cache, Keys};
use crate::model::id::{ClientId, Subject};
use crate::model::sign_out::SessionPolicy;
use crate::openid::Provider;

/// How far the clocks may differ by default.
const SKEW: Duration = Duration::from_secs(60);
/// The largest skew that can be set.
const MAX_SKEW: Duration = Duration::from_secs(24 * 3600);

/// An OpenID provider whose sign-outs are accepted, and what its logout tokens must be like.
/// [`Issuers`](crate::logout::Issuers) is the list of them.
///
/// A wrong setting is reported by [`Issuers::new`](crate::logout::Issuers::new).
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
    #[cfg(feature = "jwe")]
    decryption_keys: Option<DecryptionKeys>,
    skew: Duration,
    age_without_expiry: Option<Duration>,
    is_type_required: bool,
    policy: Option<SessionPolicy>,
    /// Origins that may frame the front-channel's answer, beside the provider's own.
    frame_origins: Vec<String>,
    end_session_url: Option<Url>,
    /// Whether its `sid` at the front channel may be a `sub`.
    sid_is_sub: bool,
    /// The first setting that is wrong, and what about it.
    pub(in crate::logout) mistake: Option<(&'static str, &'static str)>,
}

impl Issuer {
    /// A provider, the app's client id there, and the provider's keys. Only RS256 is accepted,
    /// unless [`algorithms`](Self::algorithms) sets others.
    pub fn new(provider: Provider, client: ClientId, keys: Keys) -> Self {
        Self {
            // Bound to this provider: no other's keys get into this cache, even if two issuers are
            // made with the same `Keys`.
            cache: keys.cache(&provider),
            keys,
            provider,
            clients: vec![client],
            name: None,
            algorithms: vec![Algorithm::Rs256],
            #[cfg(feature = "jwe")]
            decryption_keys: None,
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

    /// Adds another client id of the app at this provider: tokens for it are accepted too.
    pub fn client(mut self, client: ClientId) -> Self {
        self.clients.push(client);
        self
    }

    /// As [`Provider::also_known_as`], for the callbacks alone. If ID tokens can come under that
    /// address too, as is usual, set it on the [`Provider`], so that the login and the issuer both
    /// know it.
    pub fn also_known_as(mut self, address: impl AsRef<str>) -> Self {
        match self.provider.clone().also_known_as(address.as_ref()) {
            Ok(provider) => {
                // The discovery document may name that address.
                self.cache = self.keys.cache(&provider);
                self.provider = provider;
                self
            }
            Err(_) => self.mistaken("address", "it is no https or http URL of a host and a path"),
        }
    }

    /// Gives the issuer callbacks of its own, which end in `/<name>`: the callbacks without a name
    /// then do not serve it. A name is 1 to 64 ASCII letters, digits, `.`, `_` or `-`.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        let is_plain =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        // A server or proxy that resolves `.` and `..` would route these elsewhere.
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

    /// The algorithms that the provider signs this app's tokens with, instead of RS256: the value
    /// registered as `id_token_signed_response_alg` (OpenID Connect Back-Channel Logout 1.0 §2.6).
    /// Some providers sign logout tokens with another algorithm than ID tokens (Keycloak before
    /// 26.2: with that of the client that came last): then give all for which the provider has
    /// keys.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        if self.algorithms.is_empty() {
            self.mistaken("algorithms", "there are none")
        } else {
            self
        }
    }

    /// The app's keys, for which the provider encrypts ID tokens and logout tokens
    /// (`id_token_encrypted_response_alg`; OpenID Connect Back-Channel Logout 1.0 §2.4). A token
    /// that such a key decrypts is accepted from the issuers that have the key, and from no other.
    /// Without this, encrypted tokens are refused.
    ///
    /// Tokens that are only signed are accepted all the same, which §2.6 advises against: it is the
    /// signature that says who sent a token, and to refuse a sign-out keeps tokens that must go. So
    /// a provider may begin or cease to encrypt at any time.
    #[cfg(feature = "jwe")]
    pub fn decryption_keys(mut self, keys: DecryptionKeys) -> Self {
        self.decryption_keys = Some(keys);
        self
    }

    /// How far the provider's clock and ours may differ: a minute by default, a day at most. A
    /// sign-in that is newer than the logout token by no more than this ends with the others.
    /// (`iat` may lie further ahead, by ten minutes.)
    pub fn skew(mut self, skew: Duration) -> Self {
        self.skew = skew.min(MAX_SKEW);
        if skew > MAX_SKEW { self.mistaken("skew", "it is more than a day") } else { self }
    }

    /// Accepts tokens without `exp`, which the specification requires, until they are this old by
    /// their `iat`: for providers that leave it out, such as Ory Hydra and later versions of
    /// LemonLDAP::NG (2.16.1 sends no logout token at all). Where there is an `exp`, it counts.
    pub fn without_expiry_for(mut self, age: Duration) -> Self {
        self.age_without_expiry = Some(age);
        self
    }

    /// Accepts only tokens whose `typ` is `logout+jwt`, as OWASP ASVS 10.5.5 asks. By default
    /// `JWT`, `at+jwt` or no `typ` is accepted too: many providers write no other, and the token's
    /// event identifies its kind.
    pub fn require_type(mut self) -> Self {
        self.is_type_required = true;
        self
    }

    /// What a session's sign-out ends, instead of the policy that the store was built with.
    pub fn session_policy(mut self, policy: SessionPolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Adds an origin whose pages may frame the front-channel's answer, such as
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

    /// Reads the front channel's `sid` as a `sub` too: for providers that send the user's name in
    /// its place and have no `sid` in their ID tokens, as LemonLDAP::NG 2.16.1 does. Without this
    /// setting their requests are answered with 200, and end no sign-in. With it, all of the user's
    /// sign-ins end, in every browser.
    ///
    /// **The price**: a `sid` is a secret, a name is not. An attacker who knows a user's name at
    /// the provider can sign that user out, from a page of their own that any browser opens, as
    /// often as they like. This ends sign-ins and reveals nothing. Prefer the back channel where
    /// the provider has one.
    pub fn front_channel_sid_is_sub(mut self) -> Self {
        self.sid_is_sub = true;
        self
    }

    /// Where users sign out at the provider, instead of the `end_session_endpoint` of its discovery
    /// document.
    ///
    /// Of its parameters, those that a [sign-out](crate::logout::EndSession) sets are replaced: the
    /// client of the ID token, the address to which the user returns, and the `state` are known
    /// only then, and a provider refuses a `client_id` that is not the ID token's. Everything else
    /// in it stays, and so does its `client_id` if there is no ID token.
    pub fn end_session_endpoint(mut self, url: impl Into<String>) -> Self {
        match Url::parse(&url.into()) {
            Ok(url) if is_safe(&url) && url.fragment().is_none() => {
                self.end_session_url = Some(url);
                self
            }
            _ => self.mistaken("end-session endpoint", "it is no https URL without a fragment"),
        }
    }

    pub(crate) fn provider(&self) -> &Provider {
        &self.provider
    }

    pub(crate) fn clients(&self) -> &[ClientId] {
        &self.clients
    }

    /// The keys that decrypt this issuer's tokens: none if there are none.
    #[cfg(feature = "jwe")]
    pub(crate) fn decrypting(&self) -> impl Iterator<Item = &DecryptionKey> {
        self.decryption_keys.iter().flat_map(DecryptionKeys::iter)
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

    /// The subjects that a `sid` of the front channel may name, under each name of the provider.
    pub(crate) fn subjects_of(&self, iss: Option<&str>, sid: &str) -> Vec<Subject> {
        if !self.sid_is_sub {
            return Vec::new();
        }
        self.provider.subjects(iss.unwrap_or(self.provider.issuer()), sid).unwrap_or_default()
    }

    pub(crate) fn end_session_url(&self) -> Option<&Url> {
        self.end_session_url.as_ref()
    }

    /// The origins that may frame the front-channel's answer, in the form of the directive
    /// `frame-ancestors` (CSP Level 3 §6.4.2).
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

/// Whether the scheme is `https`, or the host is a loopback host, as in tests.
fn is_safe(url: &Url) -> bool {
    url.scheme() == "https"
        || (url.scheme() == "http"
            && matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")))
}

/// An origin that can stand in the header: it has no pattern, and nothing that ends the
/// directive.
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
