//! A provider's keys (RFC 7517): which of them may have signed a token, and whether one did.

use std::fmt;
use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding};
use openidconnect::core::{CoreJsonCurveType, CoreJsonWebKey};
use openidconnect::{JsonWebKey, JsonWebKeyId, SignatureVerificationError};
use serde_json::value::RawValue;

use crate::logout::jose::jws::{Algorithm, Jws};
use crate::logout::jose::unique_object::Members;
use crate::logout::rejected::Rejected;
use crate::openid::is_issued_by;

/// The longest set of keys that is read. Large ones, with certificates, have about 30 KiB.
pub const MAX_KEY_SET_BYTES: usize = 256 * 1024;
/// How many usable keys are kept.
const MAX_KEYS: usize = 64;
/// How many keys are tried on one token, whoever sends it.
const MAX_TRIED: usize = 8;
/// The longest name of a key that is written to a log, in bytes, and how many unusable keys are
/// told of at once.
const LONGEST_NAME: usize = 64;
const MAX_TOLD: usize = 3;
/// RSA moduli, in bits: shorter ones are no longer safe (RFC 7518 §3.3), longer ones cannot be used
/// here.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// The keys that a provider signs with, from its JWKS document (RFC 7517 §5). Clones share them.
///
/// Only keys that can check a signature here are kept, the first 64: RSA of 2048 to 4096 bits,
/// P-256, P-384, Ed25519. Others are passed over, as are those for encryption, symmetric ones, and
/// those that are not well formed. A key that names its `alg` serves that one alone. One that does
/// not serves the first of the issuer's [algorithms](crate::logout::Issuer::algorithms) that it can. A key
/// that names an issuer of Entra's in its member `issuer`, as Entra's own do, serves the tokens of
/// that one alone.
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
pub struct KeySet(Arc<Keys>);

#[derive(PartialEq)]
struct Keys {
    usable: Vec<Key>,
    unusable: Vec<Unusable>,
}

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
    #[error(
        "the key set has no key that can be used: RSA of 2048 to 4096 bits, P-256, P-384 or Ed25519, for signatures"
    )]
    NoUsableKeys,
}

impl KeySet {
    /// Reads a JWKS document.
    ///
    /// # Errors
    /// [`KeysError`] if it is none, is too large, or has no key that can be used.
    pub fn parse(jwks: &[u8]) -> Result<Self, KeysError> {
        Self::read(jwks).map_err(|no_keys| no_keys.error)
    }

    /// As [`parse`](Self::parse), and says of which keys why they cannot be used.
    pub(crate) fn read(jwks: &[u8]) -> Result<Self, NoKeys> {
        if jwks.len() > MAX_KEY_SET_BYTES {
            return Err(KeysError::TooLarge.into());
        }
        let document = Members::parse(jwks).ok_or(KeysError::NotAKeySet)?;
        let keys: Vec<&RawValue> =
            document.get("keys").ok().flatten().ok_or(KeysError::NotAKeySet)?;
        let (mut usable, mut unusable) = (Vec::new(), Vec::new());
        for key in keys {
            match Key::parse(key.get().as_bytes()) {
                Ok(key) => usable.push(key),
                Err(key) if unusable.len() < MAX_KEYS => unusable.extend(key),
                Err(_) => {}
            }
            if usable.len() == MAX_KEYS {
                break;
            }
        }
        if usable.is_empty() {
            return Err(NoKeys { error: KeysError::NoUsableKeys, unusable });
        }
        Ok(Self(Arc::new(Keys { usable, unusable })))
    }

    /// How many keys can be used.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.usable.len()
    }

    /// Never: a set without keys is an error.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.usable.is_empty()
    }

    /// Whether one of the keys signed this, for this issuer: one of that name or, if the token
    /// names none, any that can have. (A provider with several keys must name one, OpenID Connect
    /// Core 1.0 §10.1; but it is no reason to refuse what it has signed.) `UnknownKey` if there is
    /// no such key.
    pub(crate) fn verify(
        &self,
        jws: &Jws,
        algorithms: &[Algorithm],
        signed_as: &SignedAs<'_>,
    ) -> Result<(), Rejected> {
        let header = jws.header();
        if !algorithms.contains(&header.algorithm) {
            return Err(Rejected::WrongAlgorithm);
        }
        let fitting = || {
            self.0
                .usable
                .iter()
                .filter(|key| key.misfit(header.algorithm, algorithms, signed_as).is_none())
        };
        // A token or a key without a name can belong to any of the others.
        let mut keys: Vec<&Key> = fitting()
            .filter(|key| header.kid.is_none() || key.kid == header.kid)
            .take(MAX_TRIED)
            .collect();
        if keys.is_empty() {
            keys = fitting().filter(|key| key.kid.is_none()).take(MAX_TRIED).collect();
        }
        match keys.as_slice() {
            [] => Err(Rejected::UnknownKey),
            keys if keys.iter().any(|key| key.has_signed(jws)) => Ok(()),
            _ => Err(Rejected::BadSignature),
        }
    }

    /// Why the key that a token names is of no use for it, though it is in the document. `None` if
    /// it is of use, or is not there.
    pub(crate) fn why_not(
        &self,
        jws: &Jws,
        algorithms: &[Algorithm],
        signed_as: &SignedAs<'_>,
    ) -> Option<Unusable> {
        let (kid, algorithm) = (jws.header().kid.as_deref()?, jws.header().algorithm);
        let named = self.0.usable.iter().filter(|key| key.kid.as_deref() == Some(kid));
        let mut misfits: Vec<_> =
            named.map(|key| key.misfit(algorithm, algorithms, signed_as)).collect();
        if misfits.contains(&None) {
            return None;
        }
        match misfits.pop().flatten() {
            Some(why) => Some(Unusable { kid: kid.into(), why }),
            None => self.0.unusable.iter().find(|key| key.kid == kid).cloned(),
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({} keys)", self.len())
    }
}

/// A key of the document that cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unusable {
    kid: String,
    why: &'static str,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It is public, but whoever serves the document decides what it says.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.+/=:".contains(&byte);
        let is_told = self.kid.len() <= LONGEST_NAME && self.kid.bytes().all(is_plain);
        write!(
            f,
            "the key {}: {}",
            if is_told { &self.kid } else { "(of a name that cannot stand here)" },
            self.why
        )
    }
}

/// Why a document gives no keys, and which of them cannot be used.
#[derive(Debug)]
pub(crate) struct NoKeys {
    error: KeysError,
    unusable: Vec<Unusable>,
}

impl From<KeysError> for NoKeys {
    fn from(error: KeysError) -> Self {
        Self { error, unusable: Vec::new() }
    }
}

impl fmt::Display for NoKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)?;
        self.unusable.iter().take(MAX_TOLD).try_for_each(|key| write!(f, "; {key}"))
    }
}

/// In whose name a token is signed.
pub(crate) struct SignedAs<'a> {
    /// The issuer, by each of its names.
    pub(crate) names: Vec<String>,
    pub(crate) tid: Option<&'a str>,
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
    /// If it cannot be used it is as if it were not there (RFC 7517 §5); what is wrong with it is
    /// told of those with a name.
    fn parse(json: &[u8]) -> Result<Self, Option<Unusable>> {
        let members = Members::parse(json).ok_or(None)?;
        let kid = members.text("kid").map_err(|_| None)?;
        Self::read(&members, kid.clone()).map_err(|why| kid.map(|kid| Unusable { kid, why }))
    }

    fn read(members: &Members<'_>, kid: Option<String>) -> Result<Self, &'static str> {
        let text = |name| members.text(name).map_err(|_| "a member of it is of the wrong type");
        let is_for_signatures = text("use")?.is_none_or(|purpose| purpose == "sig");
        let operations: Option<Vec<String>> =
            members.get("key_ops").map_err(|_| "its key_ops are no list of texts")?;
        if !is_for_signatures
            || operations.is_some_and(|names| !names.iter().any(|name| name == "verify"))
        {
            return Err("it is not for signatures, by its use or key_ops");
        }
        let bytes = |name| {
            let text = text(name)?.ok_or("a part of it is missing")?;
            Base64UrlUnpadded::decode_vec(&text).map_err(|_| "a part of it is no base64url")
        };
        // A coordinate has the full length of its field (RFC 7518 §6.2.1.2).
        let coordinate = |name, len| {
            let bytes: Vec<u8> = bytes(name)?;
            if bytes.len() == len {
                Ok(bytes)
            } else {
                Err("a coordinate of it is not of its curve's length")
            }
        };
        let id = kid.clone().map(JsonWebKeyId::new);
        let (family, key) = match (text("kty")?.as_deref(), text("crv")?.as_deref()) {
            (Some("RSA"), _) => {
                let (n, e) = (bytes("n")?, bytes("e")?);
                if !RSA_BITS.contains(&bits(&n)) {
                    return Err("its RSA modulus does not have 2048 to 4096 bits");
                }
                (Family::Rsa, CoreJsonWebKey::new_rsa(n, e, id))
            }
            (Some("EC"), Some("P-256")) => (
                Family::P256,
                CoreJsonWebKey::new_ec(
                    coordinate("x", 32)?,
                    coordinate("y", 32)?,
                    CoreJsonCurveType::P256,
                    id,
                ),
            ),
            (Some("EC"), Some("P-384")) => (
                Family::P384,
                CoreJsonWebKey::new_ec(
                    coordinate("x", 48)?,
                    coordinate("y", 48)?,
                    CoreJsonCurveType::P384,
                    id,
                ),
            ),
            (Some("OKP"), Some("Ed25519")) => (
                Family::Ed25519,
                CoreJsonWebKey::new_okp(coordinate("x", 32)?, CoreJsonCurveType::Ed25519, id),
            ),
            _ => return Err("it is of another kind than RSA, P-256, P-384 and Ed25519"),
        };
        // One for another algorithm is for none of ours.
        let served =
            |name: String| Algorithm::parse(&name).filter(|algorithm| family.serves(*algorithm));
        let alg = text("alg")?
            .map(|name| served(name).ok_or("its alg is none that it could serve here"))
            .transpose()?;
        let key = Self { kid, family, alg, issuer: text("issuer")?, key };
        if key.is_sound() {
            Ok(key)
        } else {
            Err("it is no point on its curve, or has an RSA exponent or modulus that cannot be")
        }
    }

    /// The one algorithm that it serves at an issuer: a key is never used with two.
    fn algorithm(&self, algorithms: &[Algorithm]) -> Option<Algorithm> {
        self.alg
            .or_else(|| algorithms.iter().copied().find(|algorithm| self.family.serves(*algorithm)))
    }

    /// Why it is not for a token of this algorithm and issuer, if it is not.
    fn misfit(
        &self,
        algorithm: Algorithm,
        algorithms: &[Algorithm],
        signed_as: &SignedAs<'_>,
    ) -> Option<&'static str> {
        if self.algorithm(algorithms) != Some(algorithm) {
            return Some("it serves another algorithm than the token's");
        }
        (!self.may_sign_for(signed_as))
            .then_some("it says that it signs for another issuer than the token's")
    }

    fn may_sign_for(&self, signed_as: &SignedAs<'_>) -> bool {
        let is_for = |template: &str| {
            signed_as.names.iter().any(|iss| is_issued_by(template, iss, signed_as.tid))
        };
        self.issuer.as_deref().is_none_or(is_for)
    }

    fn has_signed(&self, jws: &Jws) -> bool {
        self.key
            .verify_signature(
                &jws.header().algorithm.as_core(),
                jws.signing_input(),
                jws.signature(),
            )
            .is_ok()
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
