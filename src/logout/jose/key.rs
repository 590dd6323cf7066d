//! One key of a provider's (RFC 7517 §4): what it serves, and whether it signed a token.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use openidconnect::core::{CoreJsonCurveType, CoreJsonWebKey};
use openidconnect::{JsonWebKey, JsonWebKeyId, SignatureVerificationError};

use super::algorithm::Algorithm;
use super::jws::Jws;
use super::unique_object::UniqueObject;
use crate::openid::is_issued_by;

/// The longest name of a key that is written to a log, in bytes.
const LONGEST_NAME: usize = 64;
/// RSA moduli, in bits: shorter ones are no longer safe (RFC 7518 §3.3), longer ones cannot be used
/// here.
pub(super) const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// A key that can be used.
#[derive(PartialEq)]
pub(super) struct Key {
    kid: Option<String>,
    family: Family,
    /// The algorithm that its document says it serves.
    alg: Option<Algorithm>,
    /// The issuer whose tokens it may sign, if it names one; `{tenantid}` in it stands for each
    /// tenant.
    issuer: Option<String>,
    key: CoreJsonWebKey,
}

/// The issuer in whose name a token is signed.
pub(crate) struct SignedAs<'a> {
    /// Each of the issuer's names.
    pub(crate) names: Vec<String>,
    pub(crate) tid: Option<&'a str>,
}

/// A key of the document that cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unusable {
    pub(super) kid: String,
    pub(super) why: &'static str,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name is public, but the server of the document chooses it: it could forge log lines.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.+/=:".contains(&byte);
        let is_shown = self.kid.len() <= LONGEST_NAME && self.kid.bytes().all(is_plain);
        write!(
            f,
            "the key {}: {}",
            if is_shown { &self.kid } else { "(of a name that cannot stand here)" },
            self.why
        )
    }
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
    /// Reads a key. A key that cannot be used counts as absent (RFC 7517 §5); the reason is kept if
    /// the key has a name.
    pub(super) fn parse(json: &[u8]) -> Result<Self, Option<Unusable>> {
        let members = UniqueObject::parse(json).ok_or(None)?;
        let kid = members.text("kid").map_err(|_| None)?;
        Self::read(&members, kid.clone()).map_err(|why| kid.map(|kid| Unusable { kid, why }))
    }

    fn read(members: &UniqueObject<'_>, kid: Option<String>) -> Result<Self, &'static str> {
        let is_for_signatures = text(members, "use")?.is_none_or(|purpose| purpose == "sig");
        let operations: Option<Vec<String>> =
            members.get("key_ops").map_err(|_| "its key_ops are no list of texts")?;
        if !is_for_signatures
            || operations.is_some_and(|names| !names.iter().any(|name| name == "verify"))
        {
            return Err("it is not for signatures, by its use or key_ops");
        }
        let (family, key) = public_key(members, kid.clone().map(JsonWebKeyId::new))?;
        // A key that names an algorithm of another family, or an unknown one, serves none here.
        let served =
            |name: String| Algorithm::parse(&name).filter(|algorithm| family.serves(*algorithm));
        let alg = text(members, "alg")?
            .map(|name| served(name).ok_or("its alg is none that it could serve here"))
            .transpose()?;
        let key = Self { kid, family, alg, issuer: text(members, "issuer")?, key };
        if key.is_sound() {
            Ok(key)
        } else {
            Err("it is no point on its curve, or has an RSA exponent or modulus that cannot be")
        }
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The one algorithm that the key serves at an issuer: no key is used with two.
    fn algorithm(&self, algorithms: &[Algorithm]) -> Option<Algorithm> {
        self.alg
            .or_else(|| algorithms.iter().copied().find(|algorithm| self.family.serves(*algorithm)))
    }

    /// Why the key is not for a token of this algorithm and issuer; `None` if it is.
    pub(super) fn misfit(
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

    pub(super) fn has_signed(&self, jws: &Jws) -> bool {
        self.key
            .verify_signature(
                &jws.header().algorithm.as_core(),
                jws.signing_input(),
                jws.signature(),
            )
            .is_ok()
    }

    /// Whether the key is valid: a point on its curve, a possible RSA exponent. The library says so
    /// only when it verifies a signature, so a signature of zeros is tried: a sound key refuses it,
    /// and an unsound one fails otherwise.
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

/// The public key of a JWK, and its family.
fn public_key(
    members: &UniqueObject<'_>,
    id: Option<JsonWebKeyId>,
) -> Result<(Family, CoreJsonWebKey), &'static str> {
    let bytes = |name| {
        let text = text(members, name)?.ok_or("a part of it is missing")?;
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

    match (text(members, "kty")?.as_deref(), text(members, "crv")?.as_deref()) {
        (Some("RSA"), _) => {
            let (n, e) = (bytes("n")?, bytes("e")?);
            if !RSA_BITS.contains(&bits(&n)) {
                return Err("its RSA modulus does not have 2048 to 4096 bits");
            }
            Ok((Family::Rsa, CoreJsonWebKey::new_rsa(n, e, id)))
        }
        (Some("EC"), Some("P-256")) => {
            let (x, y) = (coordinate("x", 32)?, coordinate("y", 32)?);
            Ok((Family::P256, CoreJsonWebKey::new_ec(x, y, CoreJsonCurveType::P256, id)))
        }
        (Some("EC"), Some("P-384")) => {
            let (x, y) = (coordinate("x", 48)?, coordinate("y", 48)?);
            Ok((Family::P384, CoreJsonWebKey::new_ec(x, y, CoreJsonCurveType::P384, id)))
        }
        (Some("OKP"), Some("Ed25519")) => {
            let x = coordinate("x", 32)?;
            Ok((Family::Ed25519, CoreJsonWebKey::new_okp(x, CoreJsonCurveType::Ed25519, id)))
        }
        _ => Err("it is of another kind than RSA, P-256, P-384 and Ed25519"),
    }
}

fn text(members: &UniqueObject<'_>, name: &str) -> Result<Option<String>, &'static str> {
    members.text(name).map_err(|_| "a member of it is of the wrong type")
}

/// The length of a number in bits, without leading zeros.
pub(super) fn bits(number: &[u8]) -> usize {
    let mut bytes = number.iter().skip_while(|byte| **byte == 0);
    let Some(first) = bytes.next() else { return 0 };
    let first = usize::try_from(u8::BITS - first.leading_zeros()).unwrap_or_default();
    first + bytes.count() * 8
}
