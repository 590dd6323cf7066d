//! The list of issuers whose sign-outs are accepted. One is found by the route on which a callback
//! came, and by the issuer that the callback names.

use std::sync::Arc;
use std::time::SystemTime;

use super::Issuer;
use super::checks::Checked;
#[cfg(feature = "jwe")]
use crate::logout::jose::jwe::sealed_token::SealedToken;
use crate::logout::rejected::Rejected;
use crate::logout::token::logout_token::LogoutToken;
use crate::logout::token::unverified::Unverified;
use crate::model::error::{Error, Result};

/// The issuers whose sign-outs are accepted. No token adds one: its `iss` only chooses among them.
/// Clones share the list.
///
/// An issuer with a [name](Issuer::named) has callbacks of its own; issuers without one share the
/// callbacks without a name.
#[derive(Clone, Debug)]
pub struct Issuers(Arc<[Issuer]>);

impl Issuers {
    /// A list of these issuers.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the list is empty, if two are the same provider, are
    /// [known](Issuer::also_known_as) by the same address or have the same name, or if a setting of
    /// one is wrong.
    pub fn new(issuers: impl IntoIterator<Item = Issuer>) -> Result<Self> {
        let mut list: Vec<Issuer> = Vec::new();
        for issuer in issuers {
            if let Some((field, problem)) = issuer.mistake {
                return Err(Error::invalid(field, problem));
            }
            if list.iter().any(|other| other.provider().is(issuer.provider())) {
                return Err(Error::invalid(
                    "issuers",
                    "two are the same provider: give one of them both clients",
                ));
            }
            if list.iter().any(|other| other.provider().disputes(issuer.provider())) {
                return Err(Error::invalid(
                    "issuers",
                    "two are known by the same address: whose sign-outs under it are, cannot be told",
                ));
            }
            if issuer.name().is_some() && list.iter().any(|other| other.name() == issuer.name()) {
                return Err(Error::invalid("issuers", "two have the same name"));
            }
            #[cfg(feature = "jwe")]
            if list.iter().any(|other| confuses_keys(other, &issuer)) {
                return Err(Error::invalid(
                    "decryption keys",
                    "two issuers have different keys of one name: a token names the key it is for",
                ));
            }
            list.push(issuer);
        }
        if list.is_empty() {
            Err(Error::invalid("issuers", "there are none"))
        } else {
            Ok(Self(list.into()))
        }
    }

    /// The issuers, in the order in which the app gave them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.0.iter()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Issuer> {
        self.0.get(index)
    }

    /// Reads an encrypted token that came on this route, and finds the keys that it may be for: of
    /// its issuer nothing is known yet.
    #[cfg(feature = "jwe")]
    pub(crate) fn sealed(&self, route: Option<&str>, token: &str) -> Result<SealedToken, Rejected> {
        let mut keys = self.on_route(route).flat_map(|(_, issuer)| issuer.decrypting()).peekable();
        if keys.peek().is_none() {
            return Err(Rejected::Encrypted);
        }
        SealedToken::parse(token, keys)
    }

    /// Checks everything but the signature of a token that came on this route, by the first issuer
    /// there that accepts its `iss` and audience. Several can accept an `iss`, as two apps of one
    /// Entra tenant do; then the audience decides between them.
    pub(crate) fn check(
        &self,
        route: Option<&str>,
        token: &Unverified,
        now: SystemTime,
    ) -> Result<MatchedToken, Rejected> {
        let mut why = Rejected::UnknownIssuer;
        for (issuer, one) in self.on_route(route) {
            match one.check(token, now) {
                Ok(checked) => return Ok(MatchedToken { issuer, checked }),
                // The sender is told the reason of the issuer that it most likely means.
                Err(rejected) if specificity(rejected) > specificity(why) => why = rejected,
                Err(_) => {}
            }
        }
        Err(why)
    }

    /// Checks the signature too. Returns the issuer's index.
    pub(crate) async fn verify_signature(
        &self,
        matched: MatchedToken,
        token: &Unverified,
    ) -> Result<(usize, LogoutToken), Rejected> {
        let issuer = self.get(matched.issuer).ok_or(Rejected::UnknownIssuer)?;
        Ok((matched.issuer, issuer.verify_signature(matched.checked, token).await?))
    }

    /// The issuer on that route that a request means: the one that accepts its `iss` or, without
    /// one, the only one.
    pub(crate) fn find(&self, route: Option<&str>, iss: Option<&str>) -> Option<&Issuer> {
        let mut issuers = self.on_route(route).map(|(_, issuer)| issuer);
        match iss {
            Some(iss) => issuers.find(|issuer| issuer.provider().takes_issuer(iss, None)),
            None => issuers.next().filter(|_| issuers.next().is_none()),
        }
    }

    fn on_route(&self, route: Option<&str>) -> impl Iterator<Item = (usize, &Issuer)> {
        self.0.iter().enumerate().filter(move |(_, issuer)| issuer.name() == route)
    }
}

/// A token of which everything but the signature was checked, and the index of its issuer.
pub(crate) struct MatchedToken {
    issuer: usize,
    checked: Checked,
}

/// Whether two issuers share a route, and a name for two keys. A token that names its key costs one
/// operation with a private key, and no more.
#[cfg(feature = "jwe")]
fn confuses_keys(one: &Issuer, other: &Issuer) -> bool {
    one.name() == other.name()
        && one.decrypting().any(|key| {
            other.decrypting().any(|theirs| theirs.kid() == key.kid() && !theirs.is_same_key(key))
        })
}

fn specificity(rejected: Rejected) -> u8 {
    match rejected {
        Rejected::UnknownIssuer => 0,
        Rejected::WrongAudience => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use base64ct::{Base64UrlUnpadded, Encoding};
    use ed25519_dalek::{Signer as _, SigningKey};
    use serde_json::{Value, json};

    use super::*;
    use crate::logout::jose::algorithm::Algorithm;
    use crate::logout::keys::Keys;
    use crate::logout::token::profile::{LOGOUT, LOGOUT_EVENT};
    use crate::model::id::{ClientId, SessionId};
    use crate::openid::Provider;

    const NOW: u64 = 1_800_000_000;
    const GUID: &str = "aaaaaaaa-0000-4000-8000-00000000000a";

    fn text(bytes: &[u8]) -> String {
        Base64UrlUnpadded::encode_string(bytes)
    }

    /// Keys are told by their seeds, and all have one name.
    fn keys(seed: u8) -> Keys {
        let x = text(SigningKey::from_bytes(&[seed; 32]).verifying_key().as_bytes());
        let jwks = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k"}]});
        Keys::fixed(jwks.to_string().as_bytes()).unwrap()
    }

    fn token(seed: u8, iss: &str, changes: Value) -> String {
        let mut claims = json!({"iss": iss, "aud": "a", "iat": NOW, "exp": NOW, "sid": "s", "events": {LOGOUT_EVENT: {}}});
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let parts = [json!({"alg": "EdDSA", "kid": "k"}), claims]
            .map(|part| text(part.to_string().as_bytes()));
        let input = parts.join(".");
        let signature = SigningKey::from_bytes(&[seed; 32]).sign(input.as_bytes());
        format!("{input}.{}", text(&signature.to_bytes()))
    }

    fn issuer(provider: Provider, client: &str, seed: u8) -> Issuer {
        Issuer::new(provider, ClientId::new(client).unwrap(), keys(seed))
            .algorithms([Algorithm::EdDsa])
    }

    fn generic(iss: &str, seed: u8) -> Issuer {
        issuer(Provider::generic(iss).unwrap(), "a", seed)
    }

    fn entra(tenant: &str, client: &str, seed: u8) -> Issuer {
        issuer(
            Provider::entra(&format!("https://login.microsoftonline.com/{tenant}/v2.0")).unwrap(),
            client,
            seed,
        )
    }

    async fn received(
        issuers: &Issuers,
        route: Option<&str>,
        token: &str,
    ) -> Result<usize, Rejected> {
        let token = Unverified::parse(token, &LOGOUT).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        let matched = issuers.check(route, &token, now)?;
        issuers.verify_signature(matched, &token).await.map(|(place, _)| place)
    }

    #[tokio::test]
    async fn a_provider_signs_for_itself_alone() {
        let (a, b) = ("https://a.example", "https://b.example");
        let issuers = Issuers::new([generic(a, 1), generic(b, 2)]).unwrap();
        assert_eq!(received(&issuers, None, &token(1, a, json!({}))).await, Ok(0));
        assert_eq!(received(&issuers, None, &token(2, b, json!({}))).await, Ok(1));
        // Each of them is known, and signs in the other's name.
        assert_eq!(
            received(&issuers, None, &token(2, a, json!({}))).await,
            Err(Rejected::BadSignature)
        );
        assert_eq!(
            received(&issuers, None, &token(1, b, json!({}))).await,
            Err(Rejected::BadSignature)
        );
        assert_eq!(
            received(&issuers, None, &token(1, "https://c.example", json!({}))).await,
            Err(Rejected::UnknownIssuer)
        );
    }

    #[tokio::test]
    async fn a_route_of_its_own_is_the_only_one() {
        let (a, b) = ("https://a.example", "https://b.example");
        let issuers = Issuers::new([generic(a, 1).named("a"), generic(b, 2)]).unwrap();
        assert_eq!(received(&issuers, Some("a"), &token(1, a, json!({}))).await, Ok(0));
        assert_eq!(received(&issuers, None, &token(2, b, json!({}))).await, Ok(1));
        for (route, seed, iss) in [
            (None, 1, a),
            (Some("a"), 2, b),
            (Some("b"), 2, b),
            (Some("A"), 1, a),
            (Some(""), 2, b),
        ] {
            let received = received(&issuers, route, &token(seed, iss, json!({}))).await;
            assert_eq!(received, Err(Rejected::UnknownIssuer), "{route:?} {iss}");
        }
    }

    #[tokio::test]
    async fn the_audience_tells_which_of_two_issuers_is_meant() {
        let iss = format!("https://login.microsoftonline.com/{GUID}/v2.0");
        let issuers = Issuers::new([entra("organizations", "x", 1), entra(GUID, "y", 1)]).unwrap();
        let of = |aud: &str, more: Value| {
            let mut changes = json!({"aud": aud, "tid": GUID});
            changes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            token(1, &iss, changes)
        };
        assert_eq!(received(&issuers, None, &of("x", json!({}))).await, Ok(0));
        assert_eq!(received(&issuers, None, &of("y", json!({}))).await, Ok(1));
        // The reason is that of the issuer that came nearest to accepting it.
        assert_eq!(
            received(&issuers, None, &of("z", json!({}))).await,
            Err(Rejected::WrongAudience)
        );
        assert_eq!(
            received(&issuers, None, &of("x", json!({"exp": 1}))).await,
            Err(Rejected::Expired)
        );
        assert_eq!(
            received(&issuers, None, &of("y", json!({"exp": 1}))).await,
            Err(Rejected::Expired)
        );
    }

    #[test]
    fn whom_a_request_without_a_token_speaks_of() {
        let (a, b) = ("https://a.example", "https://b.example");
        let issuers = Issuers::new([generic(a, 1), generic(b, 2).named("b")]).unwrap();
        let found = |route, iss| {
            issuers.find(route, iss).map(|issuer| issuer.provider().issuer().to_owned())
        };
        assert_eq!((found(None, Some(a)), found(None, None)), (Some(a.into()), Some(a.into())));
        assert_eq!(
            (found(Some("b"), Some(b)), found(Some("b"), None)),
            (Some(b.into()), Some(b.into()))
        );
        assert_eq!(
            (found(None, Some(b)), found(Some("b"), Some(a)), found(Some("c"), None)),
            (None, None, None)
        );
        // Without an issuer in the request, one of two on a route cannot be chosen.
        let issuers = Issuers::new([generic(a, 1), generic(b, 2)]).unwrap();
        assert!(issuers.find(None, None).is_none() && issuers.find(None, Some(b)).is_some());
        // An authority of many tenants is found without a tid.
        let issuers = Issuers::new([entra("common", "x", 1)]).unwrap();
        let iss = format!("https://sts.windows.net/{GUID}/");
        assert!(issuers.find(None, Some(&iss)).is_some() && issuers.find(None, None).is_some());
        let session = issuers.find(None, None).unwrap().provider().sessions(None, "s").unwrap();
        assert_eq!(session, [SessionId::new("https://login.microsoftonline.com", "s").unwrap()]);
    }

    #[test]
    fn who_may_frame_the_answer() {
        let issuer = generic("https://A.example:8443/realms/x", 1);
        assert_eq!(issuer.frame_ancestors(), "https://a.example:8443");
        let issuer =
            issuer.frame_origin("https://B.example/").frame_origin("http://localhost:3000");
        assert_eq!(
            issuer.frame_ancestors(),
            "https://a.example:8443 https://b.example http://localhost:3000"
        );
        assert_eq!(generic("https://a;b.example", 1).frame_ancestors(), "'none'");
        assert_eq!(entra("common", "x", 1).frame_ancestors(), "https://login.microsoftonline.com");
    }
}
