//! The app's keys at a provider: one in use, and those before it.

use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};

use super::decryption_key::DecryptionKey;
use super::public_key::Thumbprint;
use super::sealed_token::SealedToken;
use crate::logout::rejected::Rejected;
use crate::model::error::{Error, Result};
use crate::model::secret::Secret;

/// The keys for which a provider encrypts this app's tokens. Clones share them.
///
/// To change keys, put the new one first, [retire](DecryptionKey::retired) the old one, and drop it
/// when no token for it can be on its way any more: providers keep what they read at the app's
/// `jwks_uri` for minutes to a day.
///
/// ```
/// use oubliette::logout::{DecryptionKey, DecryptionKeys};
///
/// # let (new, old) = (br#"{"kty": "OKP", "crv": "X25519", "alg": "ECDH-ES", "kid": "new",
/// #     "x": "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo",
/// #     "d": "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo"}"#,
/// #     br#"{"kty": "EC", "crv": "P-256", "alg": "ECDH-ES+A256KW", "kid": "old",
/// #     "x": "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
/// #     "y": "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck",
/// #     "d": "VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw"}"#);
/// let keys = DecryptionKeys::new([
///     DecryptionKey::from_jwk(new)?,
///     DecryptionKey::from_jwk(old)?.retired(),
/// ])?;
/// // What the app serves at its `jwks_uri`, as `application/jwk-set+json`:
/// assert!(keys.public_jwks().contains("\"new\"") && !keys.public_jwks().contains("\"old\""));
/// # Ok::<(), oubliette::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct DecryptionKeys(Arc<[DecryptionKey]>);

impl DecryptionKeys {
    /// These keys.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if there are none, or if two have the same name: a token says by its
    /// name for which key it is.
    pub fn new(keys: impl IntoIterator<Item = DecryptionKey>) -> Result<Self> {
        let keys: Arc<[DecryptionKey]> = keys.into_iter().collect();
        if keys.is_empty() {
            return Err(Error::invalid("decryption keys", "there are none"));
        }
        let mut names: Vec<&str> = keys.iter().map(DecryptionKey::kid).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() < keys.len() {
            return Err(Error::invalid("decryption keys", "two have the same name"));
        }
        Ok(Self(keys))
    }

    /// The public keys, but for [retired](DecryptionKey::retired) ones, as a JWK Set (RFC 7517 §5):
    /// serve it at the `jwks_uri` that the app is registered with, or give it to the provider as
    /// `jwks`.
    #[must_use]
    pub fn public_jwks(&self) -> String {
        let published = self.iter().filter(|key| !key.is_retired());
        let keys: Vec<Value> = published.map(|key| Value::Object(key.public_jwk())).collect();
        json!({ "keys": keys }).to_string()
    }

    /// The signed token in an encrypted one (RFC 7519 §5.2): for ID tokens, which the app verifies
    /// afterwards as any other.
    ///
    /// **This proves nothing about its sender**: anybody can encrypt for a public key. The signature
    /// of what is returned has to be verified.
    ///
    /// # Errors
    /// [`Rejected`] if it is no encrypted token, is not for one of these keys, or has no signed
    /// token inside.
    pub fn decrypt(&self, token: &str) -> std::result::Result<Secret, Rejected> {
        Ok(SealedToken::parse(token, self.iter())?.open()?.compact)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &DecryptionKey> {
        self.0.iter()
    }

    pub(crate) fn has(&self, key: &Thumbprint) -> bool {
        self.iter().any(|one| one.thumbprint() == *key)
    }
}

impl fmt::Debug for DecryptionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DecryptionKeys").field(&self.0).finish()
    }
}
