//! A private key of the app's, read from a JWK or from PKCS #8, with its public half.

use aws_lc_rs::agreement;
use aws_lc_rs::rsa::{OaepPrivateDecryptingKey, PrivateDecryptingKey};
use base64ct::{Base64UrlUnpadded, Encoding};
use pkcs1::RsaPrivateKey;
use pkcs8::der::asn1::{OctetStringRef, UintRef};
use pkcs8::{ObjectIdentifier, PrivateKeyInfo, SecretDocument};

use super::public_key::{Curve, Point, PublicKey};
use crate::logout::jose::key::{RSA_BITS, bits};
use crate::logout::jose::unique_object::UniqueObject;
use crate::platform::wipe::Wiped;

/// A private key. AWS-LC wipes it when it is dropped.
pub(super) enum PrivateKey {
    Rsa(OaepPrivateDecryptingKey),
    Agreement(agreement::PrivateKey),
}

/// A private key and its public half.
pub(super) struct KeyPair {
    pub(super) private: PrivateKey,
    pub(super) public: PublicKey,
}

type Result<T> = std::result::Result<T, &'static str>;

const RSA: ObjectIdentifier = pkcs1::ALGORITHM_OID;
// RFC 5480 §2.1.1, RFC 8410 §3.
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const X25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");

const UNFIT: &str = "it is no sound RSA, P-256, P-384 or X25519 private key";
const NOT_ALL_OF_IT: &str = "a private member of it is missing, or no base64url";
const RSA_SIZE: &str = "its RSA modulus does not have 2048 to 4096 bits";

impl KeyPair {
    /// The key of a private JWK (RFC 7518 §6, RFC 8037 §2).
    pub(super) fn of_jwk(members: &UniqueObject<'_>) -> Result<Self> {
        match members.text("kty").map_err(|_| "its kty is no text")?.as_deref() {
            Some("RSA") => rsa_of_jwk(members),
            _ => {
                let point = Point::of_jwk(members)?;
                let pair = agreement_of(point.curve, &secret(members, "d")?)?;
                // Else the app would publish another key than it has.
                if pair.public == PublicKey::Agreement(point) {
                    Ok(pair)
                } else {
                    Err("its public members are not those of its private one")
                }
            }
        }
    }

    /// The key of an unencrypted PKCS #8 document in PEM (RFC 7468 §10).
    pub(super) fn of_pem(pem: &str) -> Result<Self> {
        let (label, document) =
            SecretDocument::from_pem(pem).map_err(|_| "it is no PEM with one document")?;
        if label != "PRIVATE KEY" {
            return Err("it is not labelled PRIVATE KEY: give unencrypted PKCS #8");
        }
        let info: PrivateKeyInfo<'_> =
            document.decode_msg().map_err(|_| "it is no PKCS #8 document")?;
        match info.algorithm.oid {
            RSA => {
                let key = RsaPrivateKey::try_from(info.private_key).map_err(|_| UNFIT)?;
                rsa_of(&key)
            }
            EC => {
                let named = info.algorithm.parameters_oid().map_err(|_| UNFIT)?;
                let curve = match named {
                    P256 => Curve::P256,
                    P384 => Curve::P384,
                    _ => return Err(UNFIT),
                };
                let der = document.as_bytes();
                let key = agreement::PrivateKey::from_private_key_der(curve.algorithm(), der);
                with_public_half(curve, key.map_err(|_| UNFIT)?)
            }
            X25519 => {
                use pkcs8::der::Decode as _;
                let seed = OctetStringRef::from_der(info.private_key).map_err(|_| UNFIT)?;
                agreement_of(Curve::X25519, seed.as_bytes())
            }
            _ => Err(UNFIT),
        }
    }
}

/// A private member, which is not copied on the way: base64url has nothing that JSON escapes.
fn secret(members: &UniqueObject<'_>, name: &str) -> Result<Wiped> {
    let text: &str = members.get(name).ok().flatten().ok_or(NOT_ALL_OF_IT)?;
    let mut bytes = Wiped(vec![0; text.len()]);
    let len =
        Base64UrlUnpadded::decode(text, bytes.as_mut_slice()).map_err(|_| NOT_ALL_OF_IT)?.len();
    bytes.truncate(len);
    Ok(bytes)
}

fn rsa_of_jwk(members: &UniqueObject<'_>) -> Result<KeyPair> {
    if members.has("oth") {
        return Err("it has more than two primes");
    }
    let [n, e, d, p, q, dp, dq, qi] =
        ["n", "e", "d", "p", "q", "dp", "dq", "qi"].map(|name| secret(members, name));
    let [n, e, d, p, q, dp, dq, qi] = [n?, e?, d?, p?, q?, dp?, dq?, qi?];
    let key = RsaPrivateKey {
        modulus: uint(&n)?,
        public_exponent: uint(&e)?,
        private_exponent: uint(&d)?,
        prime1: uint(&p)?,
        prime2: uint(&q)?,
        exponent1: uint(&dp)?,
        exponent2: uint(&dq)?,
        coefficient: uint(&qi)?,
        other_prime_infos: None,
    };
    rsa_of(&key)
}

fn uint(bytes: &[u8]) -> Result<UintRef<'_>> {
    UintRef::new(bytes).map_err(|_| UNFIT)
}

fn rsa_of(key: &RsaPrivateKey<'_>) -> Result<KeyPair> {
    let (n, e) = (key.modulus.as_bytes(), key.public_exponent.as_bytes());
    if !RSA_BITS.contains(&bits(n)) {
        return Err(RSA_SIZE);
    }
    let inner = SecretDocument::encode_msg(key).map_err(|_| UNFIT)?;
    let info = PrivateKeyInfo::new(pkcs1::ALGORITHM_ID, inner.as_bytes());
    let document = SecretDocument::encode_msg(&info).map_err(|_| UNFIT)?;
    // This also checks that the numbers belong together.
    let private = PrivateDecryptingKey::from_pkcs8(document.as_bytes()).map_err(|_| UNFIT)?;
    let private = OaepPrivateDecryptingKey::new(private).map_err(|_| UNFIT)?;
    let public = PublicKey::Rsa { n: n.into(), e: e.into() };
    Ok(KeyPair { private: PrivateKey::Rsa(private), public })
}

fn agreement_of(curve: Curve, secret: &[u8]) -> Result<KeyPair> {
    let key = agreement::PrivateKey::from_private_key(curve.algorithm(), secret);
    with_public_half(curve, key.map_err(|_| UNFIT)?)
}

fn with_public_half(curve: Curve, private: agreement::PrivateKey) -> Result<KeyPair> {
    let bytes = private.compute_public_key().map_err(|_| UNFIT)?.as_ref().into();
    let public = PublicKey::Agreement(Point { curve, bytes });
    Ok(KeyPair { private: PrivateKey::Agreement(private), public })
}
