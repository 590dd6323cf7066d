//! A provider's keys (RFC 7517): which of them may have signed a token, and whether one did.

use std::fmt;
use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding};
use openidconnect::core::{CoreJsonCurveType, CoreJsonWebKey};
use openidconnect::{JsonWebKey, JsonWebKeyId, SignatureVerificationError};
use serde_json::value::RawValue;

use super::json::Members;
use super::jws::{Algorithm, Jws};
use super::rejected::Rejected;
use crate::openid::is_issued_by;

/// The longest set of keys that is read. Large ones, with certificates, have about 30 KiB.
pub const MAX_KEY_SET_BYTES: usize = 256 * 1024;
/// How many usable keys are kept.
const MAX_KEYS: usize = 64;
/// How many keys are tried on one token, whoever sends it.
const MAX_TRIED: usize = 8;
/// RSA moduli, in bits: shorter ones are no longer safe (RFC 7518 §3.3), longer ones cannot be used here.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// The keys that a provider signs with, from its JWKS document (RFC 7517 §5). Clones share them.
///
/// Only keys that can check a signature here are kept, the first 64: RSA of 2048 to 4096 bits, P-256, P-384, Ed25519. Others are passed over, as are
/// those for encryption, symmetric ones, and those that are not well formed. A key that names its `alg` serves that one alone. One that does not
/// serves the first of the issuer's [algorithms](super::Issuer::algorithms) that it can. A key that names an issuer of
/// Entra's in its member `issuer`, as Entra's own do, serves the tokens of that one alone.
///
/// ```
/// use oubliette::logout::{KeySet, KeysError};
/// let keys = KeySet::parse(br#"{"keys": [
///     {"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
///     {"kty": "oct", "k": "c2VjcmV0"}
/// ]}"#)?;
/// assert_eq!(keys.len(), 1);
/// # Ok::<(), KeysError>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct KeySet(Arc<[Key]>);

/// Why a document gives no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// It is too long.
    #[error("the key set is longer than {MAX_KEY_SET_BYTES} bytes")]
    TooLarge,
    /// It is no JSON Web Key Set.
    #[error("the document is no JSON Web Key Set (RFC 7517)")]
    NotAKeySet,
    /// No key in it can check a signature here.
    #[error("the key set has no key that can be used: RSA of 2048 to 4096 bits, P-256, P-384 or Ed25519, for signatures")]
    NoUsableKeys,
}

impl KeySet {
    /// Reads a JWKS document.
    ///
    /// # Errors
    /// [`KeysError`] if it is none, is too large, or has no key that can be used.
    pub fn parse(jwks: &[u8]) -> Result<Self, KeysError> {
        if jwks.len() > MAX_KEY_SET_BYTES {
            return Err(KeysError::TooLarge);
        }
        let document = Members::parse(jwks).ok_or(KeysError::NotAKeySet)?;
        let keys: Vec<&RawValue> = document.get("keys").ok().flatten().ok_or(KeysError::NotAKeySet)?;
        let keys: Vec<Key> = keys.iter().filter_map(|key| Key::parse(key.get().as_bytes())).take(MAX_KEYS).collect();
        if keys.is_empty() { Err(KeysError::NoUsableKeys) } else { Ok(Self(keys.into())) }
    }

    /// How many keys can be used.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: a set without keys is an error.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the keys signed this, for this issuer: one of that name or, if the token names none, any that can have. (A provider with
    /// several keys must name one, OpenID Connect Core 1.0 §10.1; but it is no reason to refuse what it has signed.) `UnknownKey` if there is no such key.
    pub(super) fn verify(&self, jws: &Jws<'_>, algorithms: &[Algorithm], iss: &str, tid: Option<&str>) -> Result<(), Rejected> {
        let header = jws.header();
        if !algorithms.contains(&header.algorithm) {
            return Err(Rejected::WrongAlgorithm);
        }
        let fits = |key: &&Key| key.algorithm(algorithms) == Some(header.algorithm) && key.may_sign_for(iss, tid);
        let fitting = || self.0.iter().filter(fits);
        // A token or a key without a name can belong to any of the others.
        let mut keys: Vec<&Key> = fitting().filter(|key| header.kid.is_none() || key.kid == header.kid).take(MAX_TRIED).collect();
        if keys.is_empty() {
            keys = fitting().filter(|key| key.kid.is_none()).take(MAX_TRIED).collect();
        }
        match keys.as_slice() {
            [] => Err(Rejected::UnknownKey),
            keys if keys.iter().any(|key| key.has_signed(jws)) => Ok(()),
            _ => Err(Rejected::BadSignature),
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({} keys)", self.len())
    }
}

/// A key that can be used.
#[derive(PartialEq)]
struct Key {
    kid: Option<String>,
    family: Family,
    /// What its document says that it serves.
    alg: Option<Algorithm>,
    /// Whose tokens it may sign, if it says so; `{tenantid}` in it stands for each tenant.
    issuer: Option<String>,
    key: CoreJsonWebKey,
}

/// Which algorithms a key can serve.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Family {
    fn serves(self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => self == Self::Rsa,
            Algorithm::Es256 => self == Self::P256,
            Algorithm::Es384 => self == Self::P384,
            Algorithm::EdDsa => self == Self::Ed25519,
        }
    }
}

impl Key {
    /// `None` if it cannot be used: then it is as if it were not there (RFC 7517 §5).
    fn parse(json: &[u8]) -> Option<Self> {
        let members = Members::parse(json)?;
        let text = |name| members.text(name).ok();
        let is_for_signatures = text("use")?.is_none_or(|purpose| purpose == "sig");
        let operations: Option<Vec<String>> = members.get("key_ops").ok()?;
        if !is_for_signatures || operations.is_some_and(|names| !names.iter().any(|name| name == "verify")) {
            return None;
        }
        let bytes = |name| Base64UrlUnpadded::decode_vec(&text(name)??).ok();
        // A coordinate has the full length of its field (RFC 7518 §6.2.1.2).
        let coordinate = |name, len| bytes(name).filter(|bytes: &Vec<u8>| bytes.len() == len);
        let kid = text("kid")?;
        let id = kid.clone().map(JsonWebKeyId::new);
        let (family, key) = match (text("kty")??.as_str(), text("crv")?.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (bytes("n")?, bytes("e")?);
                RSA_BITS.contains(&bits(&n)).then_some(())?;
                (Family::Rsa, CoreJsonWebKey::new_rsa(n, e, id))
            }
            ("EC", Some("P-256")) => {
                (Family::P256, CoreJsonWebKey::new_ec(coordinate("x", 32)?, coordinate("y", 32)?, CoreJsonCurveType::P256, id))
            }
            ("EC", Some("P-384")) => {
                (Family::P384, CoreJsonWebKey::new_ec(coordinate("x", 48)?, coordinate("y", 48)?, CoreJsonCurveType::P384, id))
            }
            ("OKP", Some("Ed25519")) => {
                (Family::Ed25519, CoreJsonWebKey::new_okp(coordinate("x", 32)?, CoreJsonCurveType::Ed25519, id))
            }
            _ => return None,
        };
        // One for another algorithm is for none of ours.
        let alg = match text("alg")? {
            Some(name) => Some(Algorithm::parse(&name).filter(|algorithm| family.serves(*algorithm))?),
            None => None,
        };
        let key = Self { kid, family, alg, issuer: text("issuer")?, key };
        key.is_sound().then_some(key)
    }

    /// The one algorithm that it serves at an issuer: a key is never used with two.
    fn algorithm(&self, algorithms: &[Algorithm]) -> Option<Algorithm> {
        self.alg.or_else(|| algorithms.iter().copied().find(|algorithm| self.family.serves(*algorithm)))
    }

    fn may_sign_for(&self, iss: &str, tid: Option<&str>) -> bool {
        self.issuer.as_deref().is_none_or(|template| is_issued_by(template, iss, tid))
    }

    fn has_signed(&self, jws: &Jws<'_>) -> bool {
        self.key.verify_signature(&jws.header().algorithm.as_core(), jws.signing_input(), jws.signature()).is_ok()
    }

    /// Whether it is a key at all: a point on its curve, an RSA exponent that can be.
    fn is_sound(&self) -> bool {
        let (algorithm, zeros) = match self.family {
            Family::Rsa => (Algorithm::Rs256, 0),
            Family::P256 => (Algorithm::Es256, 64),
            Family::P384 => (Algorithm::Es384, 96),
            Family::Ed25519 => (Algorithm::EdDsa, 64),
        };
        let checked = self.key.verify_signature(&algorithm.as_core(), b"", &vec![0; zeros]);
        matches!(checked, Err(SignatureVerificationError::CryptoError(_)))
    }
}

/// The length of a number, without zeros in front.
fn bits(number: &[u8]) -> usize {
    let mut bytes = number.iter().skip_while(|byte| **byte == 0);
    let Some(first) = bytes.next() else { return 0 };
    let first = usize::try_from(u8::BITS - first.leading_zeros()).unwrap_or_default();
    first + bytes.count() * 8
}
