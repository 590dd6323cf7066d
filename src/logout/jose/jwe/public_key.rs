//! The public half of a key (RFC 7517, RFC 7518 §6, RFC 8037): which curve it is on, how it is
//! published, and by which name it is known.

use aws_lc_rs::agreement;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::logout::jose::unique_object::UniqueObject;

/// SHA-256 of a public key, as RFC 7638 has it: one value for each key, however it was given.
pub(crate) type Thumbprint = [u8; 32];

/// A curve on which keys agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    X25519,
}

/// A point on a curve, as it is said to be: whoever computes with it checks that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) curve: Curve,
    /// In the form that the curve's algorithm reads: SEC 1 §2.3.3, uncompressed; or RFC 7748 §5.
    pub(super) bytes: Vec<u8>,
}

/// A public key of the app's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    /// Modulus and exponent, big-endian, without leading zeros.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    Agreement(Point),
}

impl Curve {
    fn parse(kty: &str, crv: &str) -> Option<Self> {
        match (kty, crv) {
            ("EC", "P-256") => Some(Self::P256),
            ("EC", "P-384") => Some(Self::P384),
            ("OKP", "X25519") => Some(Self::X25519),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::X25519 => "X25519",
        }
    }

    /// The length of a coordinate, and of a private key.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::P256 | Self::X25519 => 32,
            Self::P384 => 48,
        }
    }

    pub(super) fn algorithm(self) -> &'static agreement::Algorithm {
        match self {
            Self::P256 => &agreement::ECDH_P256,
            Self::P384 => &agreement::ECDH_P384,
            Self::X25519 => &agreement::X25519,
        }
    }
}

impl Point {
    /// The point of a JWK. A coordinate has the full length of its field (RFC 7518 §6.2.1.2).
    pub(super) fn of_jwk(members: &UniqueObject<'_>) -> Result<Self, &'static str> {
        let text = |name| members.text(name).map_err(|_| "a member of it is of the wrong type");
        let (kty, crv) = (text("kty")?.unwrap_or_default(), text("crv")?.unwrap_or_default());
        let curve = Curve::parse(&kty, &crv).ok_or("it is on no curve that is supported")?;
        let coordinate = |name| {
            let text = text(name)?.ok_or("a coordinate of it is missing")?;
            Base64UrlUnpadded::decode_vec(&text)
                .ok()
                .filter(|bytes| bytes.len() == curve.bytes())
                .ok_or("a coordinate of it is no base64url of its curve's length")
        };
        let x = coordinate("x")?;
        let bytes = match curve {
            Curve::P256 | Curve::P384 => {
                let y = coordinate("y")?;
                [&[UNCOMPRESSED], x.as_slice(), &y].concat()
            }
            Curve::X25519 => x,
        };
        Ok(Self { curve, bytes })
    }

    /// Its coordinates: one on X25519.
    fn coordinates(&self) -> (&[u8], Option<&[u8]>) {
        match self.bytes.split_first() {
            Some((_, both)) if self.curve != Curve::X25519 => both
                .split_at_checked(self.curve.bytes())
                .map_or((both, None), |(x, y)| (x, Some(y))),
            _ => (&self.bytes, None),
        }
    }
}

/// In front of both coordinates (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;

impl PublicKey {
    /// The members of its JWK that make it this key, in the order of their names.
    pub(super) fn members(&self) -> Map<String, Value> {
        let text = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
        let (e, n, crv, kty, x, y) = match self {
            Self::Rsa { n, e } => (Some(text(e)), Some(text(n)), None, "RSA", None, None),
            Self::Agreement(point) => {
                let kty = if point.curve == Curve::X25519 { "OKP" } else { "EC" };
                let (x, y) = point.coordinates();
                (None, None, Some(point.curve.name().to_owned()), kty, Some(text(x)), y.map(text))
            }
        };
        let all = [("crv", crv), ("e", e), ("kty", Some(kty.into())), ("n", n), ("x", x), ("y", y)];
        all.into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?))))
            .collect()
    }

    /// RFC 7638 §3.
    pub(super) fn thumbprint(&self) -> Thumbprint {
        Sha256::digest(Value::Object(self.members()).to_string()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_of_rfc_7638() {
        // Its §3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let n = Base64UrlUnpadded::decode_vec(n).unwrap();
        let thumbprint = PublicKey::Rsa { n, e: vec![1, 0, 1] }.thumbprint();
        assert_eq!(
            Base64UrlUnpadded::encode_string(&thumbprint),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    #[test]
    fn a_point_has_coordinates_of_full_length() {
        let of = |jwk: String| Point::of_jwk(&UniqueObject::parse(jwk.as_bytes()).unwrap());
        let text = |len| Base64UrlUnpadded::encode_string(&vec![7; len]);
        for (kty, crv, len) in [("EC", "P-256", 32), ("EC", "P-384", 48), ("OKP", "X25519", 32)] {
            let jwk = |x, y| {
                format!(r#"{{"kty":"{kty}","crv":"{crv}","x":"{}","y":"{}"}}"#, text(x), text(y))
            };
            let point = of(jwk(len, len)).unwrap();
            assert_eq!(point.bytes.len(), if kty == "EC" { 2 * len + 1 } else { len }, "{crv}");
            for (x, y) in [(len - 1, len), (len + 1, len), (0, len), (len, len - 1)] {
                assert!(of(jwk(x, y)).is_err() || (kty == "OKP" && x == len), "{crv} {x} {y}");
            }
        }
        for (kty, crv) in [("OKP", "P-256"), ("EC", "X25519"), ("EC", "P-521"), ("OKP", "Ed25519")]
        {
            let jwk =
                format!(r#"{{"kty":"{kty}","crv":"{crv}","x":"{}","y":"{}"}}"#, text(32), text(32));
            assert!(of(jwk).is_err(), "{kty} {crv}");
        }
    }
}
