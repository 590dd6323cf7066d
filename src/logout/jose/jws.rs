//! Signed tokens in compact form (RFC 7515 §7.1), parsed. Nothing in a token is trusted here.

use base64ct::{Base64UrlUnpadded, Encoding};
use sha2::{Digest, Sha256};

use super::algorithm::Algorithm;
use super::unique_object::{UniqueObject, WrongType};
use crate::logout::rejected::Rejected;

/// The longest token that is read. Real tokens have less than 2 KiB.
pub(crate) const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The members of a header that are used. Keys and addresses of keys in it (`jwk`, `jku`, `x5c`,
/// `x5u`) are not: keys come from the issuer.
pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    pub(crate) typ: Option<String>,
    pub(crate) kid: Option<String>,
}

/// A token, split into its parts.
pub(crate) struct Jws {
    header: Header,
    payload: Vec<u8>,
    signing_input: Vec<u8>,
    signature: Vec<u8>,
}

impl Jws {
    pub(crate) fn parse(compact: &str) -> Result<Self, Rejected> {
        if compact.len() > MAX_TOKEN_BYTES {
            return Err(Rejected::Malformed("the token is too long"));
        }
        let mut parts = compact.split('.');
        let (header, payload, signature) =
            match (parts.next(), parts.next(), parts.next(), parts.count()) {
                (Some(header), Some(payload), Some(signature), 0) => (header, payload, signature),
                (.., 2) => return Err(Rejected::Encrypted),
                _ => return Err(Rejected::Malformed("the token is no compact JWS")),
            };
        // What is signed is all that stands before the last dot.
        let signing_input =
            compact.as_bytes().get(..header.len() + 1 + payload.len()).unwrap_or_default();
        Ok(Self {
            header: Header::parse(&decoded(header)?)?,
            payload: decoded(payload)?,
            signing_input: signing_input.into(),
            signature: decoded(signature)?,
        })
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub(crate) fn signing_input(&self) -> &[u8] {
        &self.signing_input
    }

    pub(crate) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Identifies what was signed. The signature is left out: from one ECDSA signature anybody can
    /// compute a second valid one.
    pub(crate) fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.signing_input).into()
    }
}

impl Header {
    fn parse(json: &[u8]) -> Result<Self, Rejected> {
        let members = UniqueObject::parse(json)
            .ok_or(Rejected::Malformed("the header is no JSON object with each name once"))?;
        let wrong =
            |_: WrongType| Rejected::Malformed("a member of the header is of the wrong type");
        // Extensions that a reader must understand (§4.1.11): we know none. `b64` (RFC 7797) is the
        // one that changes what is signed.
        if members.has("crit") || members.has("b64") {
            return Err(Rejected::Malformed("the header has an extension that is not supported"));
        }
        let algorithm = members.text("alg").map_err(wrong)?.as_deref().and_then(Algorithm::parse);
        Ok(Self {
            algorithm: algorithm.ok_or(Rejected::WrongAlgorithm)?,
            typ: members.text("typ").map_err(wrong)?,
            kid: members.text("kid").map_err(wrong)?,
        })
    }
}

/// Decodes base64url without padding, and in its canonical form alone (RFC 7515 §2, RFC 4648 §3.5).
pub(super) fn decoded(part: &str) -> Result<Vec<u8>, Rejected> {
    Base64UrlUnpadded::decode_vec(part)
        .map_err(|_| Rejected::Malformed("a part of the token is no base64url"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &str) -> String {
        Base64UrlUnpadded::encode_string(text.as_bytes())
    }

    fn with_header(header: &str) -> Result<Algorithm, Rejected> {
        Jws::parse(&format!("{}.{}.c2ln", encoded(header), encoded("{}")))
            .map(|jws| jws.header().algorithm)
    }

    fn malformed(compact: &str) -> &'static str {
        match Jws::parse(compact) {
            Err(Rejected::Malformed(problem)) => problem,
            other => panic!("{:?}", other.err()),
        }
    }

    #[test]
    fn its_parts() {
        let compact = format!(
            "{}.{}.c2ln",
            encoded(r#"{"alg":"ES256","typ":"JWT","kid":"k"}"#),
            encoded("payload")
        );
        let jws = Jws::parse(&compact).unwrap();
        assert_eq!((jws.payload(), jws.signature()), (b"payload".as_slice(), b"sig".as_slice()));
        assert_eq!(jws.signing_input(), compact.strip_suffix(".c2ln").unwrap().as_bytes());
        assert_eq!(
            (jws.header().typ.as_deref(), jws.header().kid.as_deref()),
            (Some("JWT"), Some("k"))
        );
        // Another signature is the same token, another payload is not.
        let digest = jws.digest();
        let other = compact.replace(".c2ln", ".c2lo");
        assert_eq!(Jws::parse(&other).unwrap().digest(), digest);
        let other = compact.replace(&encoded("payload"), &encoded("payloae"));
        assert_ne!(Jws::parse(&other).unwrap().digest(), digest);
    }

    #[test]
    fn another_number_of_parts_is_none() {
        for compact in ["", ".", "e30", "e30.e30", "e30.e30.e30.e30", "e30.e30.e30.e30.e30.e30"] {
            assert!(malformed(compact).contains("compact"), "{compact}");
        }
        assert_eq!(Jws::parse("e30.e30.e30.e30.e30").err(), Some(Rejected::Encrypted));
    }

    #[test]
    fn base64url_has_one_spelling() {
        let good = format!("{}.e30.c2ln", encoded(r#"{"alg":"RS256"}"#));
        assert!(Jws::parse(&good).is_ok());
        // Padding, the other alphabet, white space, bits behind the end, a length that cannot be.
        for bad in ["c2ln====", "YQ==", "-_+/", "c2 ln", "c2ln\n", "YR", "c2lnY", "c2l*"] {
            let compact = format!("{}.e30.{bad}", encoded(r#"{"alg":"RS256"}"#));
            assert!(malformed(&compact).contains("base64url"), "{bad}");
            let compact = format!("{}.{bad}.c2ln", encoded(r#"{"alg":"RS256"}"#));
            assert!(malformed(&compact).contains("base64url"), "{bad}");
        }
    }

    #[test]
    fn only_algorithms_with_a_public_key_count() {
        for (name, algorithm) in [
            ("RS256", Algorithm::Rs256),
            ("PS256", Algorithm::Ps256),
            ("ES256", Algorithm::Es256),
            ("ES384", Algorithm::Es384),
            ("EdDSA", Algorithm::EdDsa),
            ("Ed25519", Algorithm::EdDsa),
        ] {
            assert_eq!(with_header(&format!(r#"{{"alg":"{name}"}}"#)), Ok(algorithm));
        }
        for name in [
            "none", "None", "NONE", "", "HS256", "HS512", "rs256", "RS256 ", "RS384", "ES512",
            "ES256K", "Ed448", "RSA-OAEP",
        ] {
            assert_eq!(
                with_header(&format!(r#"{{"alg":"{name}"}}"#)),
                Err(Rejected::WrongAlgorithm),
                "{name}"
            );
        }
        assert_eq!(with_header("{}"), Err(Rejected::WrongAlgorithm));
        assert_eq!(with_header(r#"{"alg":null}"#), Err(Rejected::WrongAlgorithm));
        assert!(matches!(with_header(r#"{"alg":["RS256"]}"#), Err(Rejected::Malformed(_))));
    }

    #[test]
    fn extensions_of_the_header_are_refused_and_other_members_ignored() {
        for more in
            [r#""crit":["exp"]"#, r#""crit":[]"#, r#""crit":7"#, r#""b64":false"#, r#""b64":true"#]
        {
            let refused = with_header(&format!(r#"{{"alg":"RS256",{more}}}"#));
            assert!(matches!(refused, Err(Rejected::Malformed(_))), "{more}");
        }
        let ignored = r#"{"alg":"RS256","jku":"https://evil.example","jwk":{"kty":"oct"},"x5u":7,"x5c":[],"x5t":"a","unknown":{}}"#;
        assert!(with_header(ignored).is_ok());
    }

    #[test]
    fn a_header_that_can_be_read_in_two_ways_is_none() {
        for header in [
            r#"{"alg":"RS256","alg":"none"}"#,
            r#"{"alg":"RS256","kid":"a","kid":"b"}"#,
            "[]",
            "",
            r#"{"alg":"RS256"}x"#,
        ] {
            assert!(matches!(with_header(header), Err(Rejected::Malformed(_))), "{header}");
        }
        for header in [r#"{"alg":"RS256","kid":7}"#, r#"{"alg":"RS256","typ":["JWT"]}"#] {
            assert!(matches!(with_header(header), Err(Rejected::Malformed(_))), "{header}");
        }
    }

    #[test]
    fn a_token_is_bounded() {
        let front = format!("{}.", encoded(r#"{"alg":"RS256"}"#));
        let fits = format!("{front}{}.", "A".repeat((MAX_TOKEN_BYTES - front.len() - 1) / 4 * 4));
        assert!(Jws::parse(&fits).is_ok());
        assert!(malformed(&format!("{front}{}.", "A".repeat(MAX_TOKEN_BYTES))).contains("long"));
    }
}
