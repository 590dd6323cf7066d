//! A private key of the app's, for which providers encrypt tokens.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value};

use super::agreement::{Purpose, agree};
use super::algorithm::KeyManagement;
use super::key_pair::{KeyPair, PrivateKey};
use super::key_wrap;
use super::public_key::{PublicKey, Thumbprint};
use super::token::Jwe;
use crate::crypto::fresh;
use crate::logout::jose::unique_object::UniqueObject;
use crate::model::error::{Error, Result};
use crate::platform::wipe::{CIPHER_STACK, Wiped, on_clean_stack};

/// The longest key of a content, in bytes.
const MAX_CONTENT_KEY_BYTES: usize = 64;

/// A private key of the app's, for which a provider encrypts ID tokens and logout tokens. Clones
/// share it; it is wiped when the last of them is dropped.
///
/// A key serves one algorithm, [`KeyManagement`], and no other. It has a name, `kid`, by which a
/// token says for which key it is encrypted: without one, its name is its thumbprint (RFC 7638).
/// Use a key for nothing else, least of all for signatures.
///
/// `Debug` shows the name and the algorithm.
///
/// ```
/// use oubliette::logout::DecryptionKey;
///
/// // Made by a tool of your choice, and kept like any secret. (This is the key of RFC 7518 §C.)
/// let key = DecryptionKey::from_jwk(br#"{"kty": "EC", "crv": "P-256", "use": "enc",
///     "alg": "ECDH-ES+A256KW", "kid": "2027-01",
///     "x": "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
///     "y": "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck",
///     "d": "VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw"}"#)?;
/// assert_eq!(key.kid(), "2027-01");
/// assert!(!format!("{key:?}").contains("VEmD"));
/// # Ok::<(), oubliette::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct DecryptionKey {
    kid: String,
    algorithm: KeyManagement,
    pair: Arc<KeyPair>,
    is_retired: bool,
}

impl DecryptionKey {
    /// A key from a private JWK (RFC 7517): RSA of 2048 to 4096 bits with all of its CRT members,
    /// `EC` on P-256 or P-384, or `OKP` on X25519. Its `alg` must be there; its `use`, if it is
    /// there, must be `enc`, and its `key_ops` must allow decryption.
    ///
    /// What was read is wiped; the text that was given is the caller's to wipe.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if it is no such key.
    pub fn from_jwk(jwk: &[u8]) -> Result<Self> {
        on_clean_stack::<CIPHER_STACK, _>(|| Self::of_jwk(jwk)).map_err(invalid)
    }

    /// A key from unencrypted PKCS #8 in PEM, such as `openssl genpkey` writes: of the same kinds
    /// as [`from_jwk`](Self::from_jwk) takes.
    ///
    /// ```
    /// use oubliette::logout::{DecryptionKey, KeyManagement};
    ///
    /// // From: openssl genpkey -algorithm X25519. (This is the example of RFC 8037 §A.6.)
    /// let pem = "-----BEGIN PRIVATE KEY-----\n\
    ///      MC4CAQAwBQYDK2VuBCIEIHcHbQpzGKV9PBbBclGyZkXfTC+H68CZKrF3+6UduSwq\n\
    ///      -----END PRIVATE KEY-----\n";
    /// let key = DecryptionKey::from_pem(pem, KeyManagement::EcdhEs)?.named("2027-01");
    /// assert_eq!(key.kid(), "2027-01");
    /// # Ok::<(), oubliette::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if it is no such key, or not one for this algorithm.
    pub fn from_pem(pem: &str, algorithm: KeyManagement) -> Result<Self> {
        let pair = on_clean_stack::<CIPHER_STACK, _>(|| KeyPair::of_pem(pem));
        pair.and_then(|pair| Self::of(pair, algorithm, None)).map_err(invalid)
    }

    /// Gives the key this name, `kid`, in place of the one that it has.
    pub fn named(mut self, kid: impl Into<String>) -> Self {
        self.kid = kid.into();
        self
    }

    /// Leaves the key out of
    /// [`DecryptionKeys::public_jwks`](crate::logout::DecryptionKeys::public_jwks): an old key that
    /// still decrypts what providers encrypt until they have seen the new one.
    pub fn retired(mut self) -> Self {
        self.is_retired = true;
        self
    }

    /// Its name.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The one algorithm that it serves.
    #[must_use]
    pub fn algorithm(&self) -> KeyManagement {
        self.algorithm
    }

    pub(crate) fn is_same_key(&self, other: &Self) -> bool {
        self.pair.public == other.pair.public
    }

    pub(crate) fn thumbprint(&self) -> Thumbprint {
        self.pair.public.thumbprint()
    }

    pub(super) fn is_retired(&self) -> bool {
        self.is_retired
    }

    /// The public key as a JWK, with its name and what it is for.
    pub(super) fn public_jwk(&self) -> Map<String, Value> {
        let mut jwk = self.pair.public.members();
        for (name, value) in
            [("alg", self.algorithm.name()), ("kid", self.kid.as_str()), ("use", "enc")]
        {
            jwk.insert(name.into(), value.into());
        }
        jwk
    }

    /// Whether a token can be encrypted for this key: by its algorithm, its curve, and its name if
    /// the token has one. No secret is used to say so.
    pub(super) fn fits(&self, token: &Jwe) -> bool {
        let header = token.header();
        let is_on_curve = match (&self.pair.public, &header.epk) {
            (PublicKey::Agreement(ours), Some(theirs)) => ours.curve == theirs.curve,
            (PublicKey::Rsa { .. }, None) => true,
            _ => false,
        };
        self.algorithm == header.algorithm
            && is_on_curve
            && header.kid.as_ref().is_none_or(|kid| *kid == self.kid)
    }

    /// What is in a token that fits; `None` if it was not encrypted for this key, or was changed.
    /// Which of the two, nobody learns: a wrong key goes on with a random one in place of the
    /// content's (RFC 7516 §11.5), and fails where a changed content does.
    pub(super) fn open(&self, token: &Jwe) -> Option<Wiped> {
        on_clean_stack::<CIPHER_STACK, _>(|| {
            let encryption = token.header().encryption;
            let mut key = Wiped(fresh::<MAX_CONTENT_KEY_BYTES>().ok()?.to_vec());
            key.truncate(encryption.key_bytes());
            if let Some(found) = self.content_key(token)
                && found.len() == key.len()
            {
                key.copy_from_slice(&found);
            }
            #[cfg(test)]
            crate::logout::once::OPENED.set(crate::logout::once::OPENED.get() + 1);
            encryption.open(&key, &token.sealed())
        })
    }

    fn content_key(&self, token: &Jwe) -> Option<Wiped> {
        let header = token.header();
        match &self.pair.private {
            PrivateKey::Rsa(_) => self.rsa_decrypt(token.encrypted_key()),
            PrivateKey::Agreement(key) => {
                let wrapping = self.algorithm.wrapping_key_bytes();
                let direct = (header.encryption.name(), header.encryption.key_bytes());
                let (algorithm, key_bytes) =
                    wrapping.map_or(direct, |bytes| (self.algorithm.name(), bytes));
                let (sender, recipient) = (header.apu.as_slice(), header.apv.as_slice());
                let purpose = Purpose { algorithm, key_bytes, sender, recipient };
                let agreed = agree(key, header.epk.as_ref()?, &purpose)?;
                if wrapping.is_some() {
                    key_wrap::unwrap(&agreed, token.encrypted_key())
                } else {
                    Some(agreed)
                }
            }
        }
    }

    /// RSA-OAEP (RFC 8017 §7.1.2). AWS-LC works on all keys and contents in the same time, and
    /// blinds the number that it works on: the sender learns nothing from how long it takes.
    pub(super) fn rsa_decrypt(&self, encrypted: &[u8]) -> Option<Wiped> {
        let PrivateKey::Rsa(key) = &self.pair.private else { return None };
        let oaep = match self.algorithm {
            KeyManagement::RsaOaep => &OAEP_SHA1_MGF1SHA1,
            KeyManagement::RsaOaep256 => &OAEP_SHA256_MGF1SHA256,
            _ => return None,
        };
        let mut plain = Wiped(vec![0; key.min_output_size()]);
        let len = key.decrypt(oaep, encrypted, plain.as_mut_slice(), None).ok()?.len();
        plain.truncate(len);
        Some(plain)
    }

    fn of_jwk(jwk: &[u8]) -> std::result::Result<Self, &'static str> {
        let members = UniqueObject::parse(jwk).ok_or("it is no JSON object with each name once")?;
        let text = |name| members.text(name).map_err(|_| "a member of it is of the wrong type");
        let operations: Option<Vec<String>> =
            members.get("key_ops").map_err(|_| "its key_ops are no list of texts")?;
        let decrypts =
            |name: &String| ["decrypt", "unwrapKey", "deriveKey", "deriveBits"].contains(&&**name);
        if text("use")?.is_some_and(|purpose| purpose != "enc")
            || operations.is_some_and(|names| !names.iter().any(decrypts))
        {
            return Err("it is not for encryption, by its use or key_ops");
        }
        let algorithm = text("alg")?.ok_or("it does not say its alg")?;
        let algorithm = KeyManagement::parse(&algorithm).ok_or("its alg is not supported")?;
        Self::of(KeyPair::of_jwk(&members)?, algorithm, text("kid")?)
    }

    fn of(
        pair: KeyPair,
        algorithm: KeyManagement,
        kid: Option<String>,
    ) -> std::result::Result<Self, &'static str> {
        if algorithm.is_rsa() != matches!(pair.private, PrivateKey::Rsa(_)) {
            return Err("it is of another kind than its alg needs");
        }
        let thumbprint = || Base64UrlUnpadded::encode_string(&pair.public.thumbprint());
        let kid = kid.unwrap_or_else(thumbprint);
        Ok(Self { kid, algorithm, pair: Arc::new(pair), is_retired: false })
    }
}

impl fmt::Debug for DecryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecryptionKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .field("is_retired", &self.is_retired)
            .finish_non_exhaustive()
    }
}

fn invalid(problem: &'static str) -> Error {
    Error::invalid("decryption key", problem)
}
