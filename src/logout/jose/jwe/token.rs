//! Encrypted tokens in compact form (RFC 7516 §7.1), parsed. Nothing in a token is trusted here,
//! and nothing is decrypted.

use base64ct::{Base64UrlUnpadded, Encoding};

use super::algorithm::KeyManagement;
use super::content::{ContentEncryption, Sealed};
use super::public_key::Point;
use crate::logout::jose::jws::{MAX_TOKEN_BYTES, decoded};
use crate::logout::jose::unique_object::{UniqueObject, WrongType};
use crate::logout::rejected::Rejected;

/// The members of a header that are used. Keys and addresses of keys in it (`jwk`, `jku`, `x5c`,
/// `x5u`) are not: keys are the app's own.
pub(super) struct Header {
    pub(super) algorithm: KeyManagement,
    pub(super) encryption: ContentEncryption,
    pub(super) kid: Option<String>,
    /// The key that the sender made for this token, where keys are agreed.
    pub(super) epk: Option<Point>,
    pub(super) apu: Vec<u8>,
    pub(super) apv: Vec<u8>,
}

/// A token, split into its parts.
pub(crate) struct Jwe {
    header: Header,
    /// The header as it came: it is authenticated with the content.
    protected: String,
    encrypted_key: Vec<u8>,
    iv: Vec<u8>,
    ciphertext: Vec<u8>,
    tag: Vec<u8>,
}

/// Whether a token has five parts, as an encrypted one has (RFC 7516 §9).
pub(crate) fn is_encrypted(compact: &str) -> bool {
    compact.bytes().filter(|byte| *byte == b'.').count() == 4
}

impl Jwe {
    pub(crate) fn parse(compact: &str) -> Result<Self, Rejected> {
        if compact.len() > MAX_TOKEN_BYTES {
            return Err(Rejected::Malformed("the token is too long"));
        }
        let mut parts = compact.split('.');
        let mut part = || parts.next().ok_or(Rejected::Malformed("the token is no compact JWE"));
        let [protected, encrypted_key, iv, ciphertext, tag] =
            [part()?, part()?, part()?, part()?, part()?];
        if parts.next().is_some() {
            return Err(Rejected::Malformed("the token is no compact JWE"));
        }

        let token = Self {
            header: Header::parse(&decoded(protected)?)?,
            protected: protected.into(),
            encrypted_key: decoded(encrypted_key)?,
            iv: decoded(iv)?,
            ciphertext: decoded(ciphertext)?,
            tag: decoded(tag)?,
        };
        if !token.header.encryption.has_lengths_of(&token.sealed()) {
            return Err(Rejected::Malformed("a part of the token has a length that cannot be"));
        }
        // An agreed key is not sent (RFC 7518 §4.6).
        if (token.header.algorithm == KeyManagement::EcdhEs) != token.encrypted_key.is_empty() {
            return Err(Rejected::Malformed("the token has a key where none may be, or none"));
        }
        Ok(token)
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn encrypted_key(&self) -> &[u8] {
        &self.encrypted_key
    }

    pub(super) fn sealed(&self) -> Sealed<'_> {
        Sealed {
            aad: self.protected.as_bytes(),
            iv: &self.iv,
            ciphertext: &self.ciphertext,
            tag: &self.tag,
        }
    }
}

impl Header {
    fn parse(json: &[u8]) -> Result<Self, Rejected> {
        let members = UniqueObject::parse(json)
            .ok_or(Rejected::Malformed("the header is no JSON object with each name once"))?;
        let wrong =
            |_: WrongType| Rejected::Malformed("a member of the header is of the wrong type");
        let text = |name| members.text(name).map_err(wrong);
        if members.has("crit") {
            return Err(Rejected::Malformed("the header has an extension that is not supported"));
        }
        // A few bytes can unpack to gigabytes; and how well secrets compress says what they are.
        if members.has("zip") {
            return Err(Rejected::Malformed("compressed tokens are not supported"));
        }
        let algorithm = text("alg")?.as_deref().and_then(KeyManagement::parse);
        let encryption = text("enc")?.as_deref().and_then(ContentEncryption::parse);
        let (Some(algorithm), Some(encryption)) = (algorithm, encryption) else {
            return Err(Rejected::WrongEncryption);
        };
        // RFC 7519 §5.2 asks for `JWT`. Senders that leave it out are believed: what is inside is
        // looked at in any case.
        if text("cty")?.is_some_and(|cty| !is_jwt(&cty)) {
            return Err(Rejected::WrongType);
        }

        let info = |name| {
            let decode = |text: String| Base64UrlUnpadded::decode_vec(&text);
            let bytes = text(name)?.map(decode).transpose();
            bytes
                .map(Option::unwrap_or_default)
                .map_err(|_| Rejected::Malformed("apu or apv of the header is no base64url"))
        };
        let epk: Option<UniqueObject<'_>> = if algorithm.is_rsa() {
            None
        } else {
            let none = Rejected::Malformed("the header has no epk");
            Some(members.get("epk").map_err(wrong)?.ok_or(none)?)
        };
        let epk = epk.as_ref().map(Point::of_jwk).transpose();
        Ok(Self {
            algorithm,
            encryption,
            kid: text("kid")?,
            epk: epk.map_err(|_| Rejected::Malformed("the epk of the header is no public key"))?,
            apu: info("apu")?,
            apv: info("apv")?,
        })
    }
}

/// Whether a content type is that of a JWT; the prefix may be missing, and case is ignored
/// (RFC 7516 §4.1.12).
fn is_jwt(cty: &str) -> bool {
    ["JWT", "application/jwt"].iter().any(|name| cty.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPK: &str = r#""epk":{"kty":"EC","crv":"P-256","x":"gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0","y":"SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps"}"#;

    fn text(bytes: &[u8]) -> String {
        Base64UrlUnpadded::encode_string(bytes)
    }

    fn compact(header: &str, parts: [usize; 4]) -> String {
        let parts = parts.map(|len| text(&vec![7; len]));
        format!("{}.{}", text(header.as_bytes()), parts.join("."))
    }

    fn with_header(header: &str) -> Result<Jwe, Rejected> {
        Jwe::parse(&compact(header, [256, 12, 20, 16]))
    }

    fn with_parts(header: &str, parts: [usize; 4]) -> bool {
        Jwe::parse(&compact(header, parts)).is_ok()
    }

    const RSA: &str = r#"{"alg":"RSA-OAEP","enc":"A128GCM"}"#;

    #[test]
    fn its_parts() {
        let jwe =
            with_header(r#"{"alg":"RSA-OAEP","enc":"A128GCM","kid":"k","cty":"JWT"}"#).unwrap();
        assert_eq!(jwe.header().kid.as_deref(), Some("k"));
        assert_eq!((jwe.encrypted_key().len(), jwe.sealed().ciphertext.len()), (256, 20));
        let header =
            format!(r#"{{"alg":"ECDH-ES","enc":"A256GCM","apu":"QWxpY2U","apv":"Qm9i",{EPK}}}"#);
        let jwe = Jwe::parse(&compact(&header, [0, 12, 20, 16])).unwrap();
        assert_eq!(
            (jwe.header().apu.as_slice(), jwe.header().apv.as_slice()),
            (&b"Alice"[..], &b"Bob"[..])
        );
    }

    #[test]
    fn another_number_of_parts_is_none() {
        for dots in (0..8).filter(|dots| *dots != 4) {
            let parts = vec!["e30"; dots + 1].join(".");
            assert!(!is_encrypted(&parts));
            assert!(matches!(Jwe::parse(&parts), Err(Rejected::Malformed(_))), "{dots}");
        }
        assert!(is_encrypted("...."));
    }

    #[test]
    fn base64url_has_one_spelling() {
        let good = compact(RSA, [256, 12, 20, 16]);
        assert!(Jwe::parse(&good).is_ok());
        for place in 0..5 {
            for bad in ["=", "\n", " ", "*", "+"] {
                let mut parts: Vec<String> = good.split('.').map(Into::into).collect();
                parts[place].push_str(bad);
                let refused = Jwe::parse(&parts.join("."));
                assert!(matches!(refused, Err(Rejected::Malformed(_))), "{place} {bad:?}");
            }
        }
        // Bits behind the end.
        let loose = good.strip_suffix("Bw").unwrap().to_owned() + "Bx";
        assert!(matches!(Jwe::parse(&loose), Err(Rejected::Malformed(_))));
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_before_any_work() {
        // A short tag can be guessed, and a wrong IV or block is none.
        for parts in [[256, 12, 20, 15], [256, 12, 20, 4], [256, 12, 20, 0], [256, 12, 20, 17]] {
            assert!(!with_parts(RSA, parts), "{parts:?}");
        }
        for parts in [[256, 11, 20, 16], [256, 16, 20, 16], [256, 0, 20, 16], [256, 12, 0, 16]] {
            assert!(!with_parts(RSA, parts), "{parts:?}");
        }
        let cbc = r#"{"alg":"RSA-OAEP","enc":"A128CBC-HS256"}"#;
        assert!(with_parts(cbc, [256, 16, 32, 16]));
        for parts in [[256, 16, 31, 16], [256, 12, 32, 16], [256, 16, 0, 16], [256, 16, 32, 32]] {
            assert!(!with_parts(cbc, parts), "{parts:?}");
        }
        assert!(with_parts(r#"{"alg":"RSA-OAEP","enc":"A256CBC-HS512"}"#, [256, 16, 32, 32]));
        // A key where there is none, and none where there is one.
        let direct = format!(r#"{{"alg":"ECDH-ES","enc":"A128GCM",{EPK}}}"#);
        assert!(with_parts(&direct, [0, 12, 20, 16]) && !with_parts(&direct, [24, 12, 20, 16]));
        assert!(!with_parts(RSA, [0, 12, 20, 16]));
        let long = compact(RSA, [256, 12, MAX_TOKEN_BYTES, 16]);
        assert!(matches!(Jwe::parse(&long), Err(Rejected::Malformed("the token is too long"))));
    }

    #[test]
    fn algorithms_that_are_not_taken() {
        for (alg, enc) in [
            ("RSA1_5", "A128GCM"),
            ("dir", "A128GCM"),
            ("A128KW", "A128GCM"),
            ("A128GCMKW", "A128GCM"),
            ("PBES2-HS256+A128KW", "A128GCM"),
            ("none", "A128GCM"),
            ("RSA-OAEP", "none"),
            ("RSA-OAEP", ""),
            ("RSA-OAEP", "A128CBC"),
            ("RSA-OAEP", "a128gcm"),
            ("A128GCM", "RSA-OAEP"),
        ] {
            let refused = with_header(&format!(r#"{{"alg":"{alg}","enc":"{enc}"}}"#)).err();
            assert_eq!(refused, Some(Rejected::WrongEncryption), "{alg} {enc}");
        }
        for header in [r#"{"alg":"RSA-OAEP"}"#, r#"{"enc":"A128GCM"}"#, "{}"] {
            assert_eq!(with_header(header).err(), Some(Rejected::WrongEncryption), "{header}");
        }
    }

    #[test]
    fn a_header_that_says_more_or_says_it_twice() {
        for more in [
            r#""zip":"DEF""#,
            r#""zip":"""#,
            r#""zip":7"#,
            r#""crit":["exp"]"#,
            r#""crit":[]"#,
            r#""alg":"RSA-OAEP""#,
            r#""enc":"A128GCM""#,
            r#""\u0065nc":"A128GCM""#,
            r#""kid":7"#,
            r#""apu":"=""#,
            r#""apv":["a"]"#,
        ] {
            let refused = with_header(&format!(r#"{{"alg":"RSA-OAEP","enc":"A128GCM",{more}}}"#));
            assert!(matches!(refused, Err(Rejected::Malformed(_))), "{more}");
        }
        let ignored = r#"{"alg":"RSA-OAEP","enc":"A128GCM","jku":"https://evil.example","jwk":{},"x5c":[],"epk":7,"p2c":1,"typ":"JWT"}"#;
        assert!(with_header(ignored).is_ok());
    }

    #[test]
    fn what_is_inside_is_a_jwt() {
        let of = |cty: &str| {
            with_header(&format!(r#"{{"alg":"RSA-OAEP","enc":"A128GCM","cty":{cty}}}"#)).err()
        };
        for cty in [r#""JWT""#, r#""jwt""#, r#""application/JWT""#, "null"] {
            assert_eq!(of(cty), None, "{cty}");
        }
        for cty in [r#""""#, r#""json""#, r#""jwk+json""#, r#""JWT ""#, r#""text/jwt""#] {
            assert_eq!(of(cty), Some(Rejected::WrongType), "{cty}");
        }
    }

    #[test]
    fn keys_that_are_agreed_need_a_point() {
        for epk in [
            r#""a":1"#,
            r#""epk":null"#,
            r#""epk":7"#,
            r#""epk":{}"#,
            r#""epk":{"kty":"RSA","n":"AQAB","e":"AQAB"}"#,
            r#""epk":{"kty":"EC","crv":"P-256","x":"AQAB","y":"AQAB"}"#,
            r#""epk":{"kty":"EC","crv":"P-256","crv":"P-384","x":"AQAB","y":"AQAB"}"#,
        ] {
            let header = format!(r#"{{"alg":"ECDH-ES","enc":"A128GCM",{epk}}}"#);
            let refused = Jwe::parse(&compact(&header, [0, 12, 20, 16]));
            assert!(matches!(refused, Err(Rejected::Malformed(_))), "{epk}");
        }
    }
}
