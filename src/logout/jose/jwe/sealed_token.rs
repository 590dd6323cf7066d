//! An encrypted token beside the keys that may decrypt it: what it costs is known before it is
//! decrypted.

use base64ct::{Base64UrlUnpadded, Encoding};

use super::decryption_key::DecryptionKey;
use super::public_key::Thumbprint;
use super::token::Jwe;
use crate::logout::jose::unique_object::UniqueObject;
use crate::logout::rejected::Rejected;
use crate::model::secret::Secret;

/// How many keys are tried on a token that names none. Each is an operation with a private key, and
/// anybody can send a token.
const MAX_TRIED: usize = 4;

/// A token that is still encrypted, and the keys that it may be for.
pub(crate) struct SealedToken {
    token: Jwe,
    keys: Vec<DecryptionKey>,
}

/// The signed token that was inside.
pub(crate) struct OpenedToken {
    pub(crate) compact: Secret,
    /// The key that it was encrypted for.
    pub(crate) key: Thumbprint,
}

impl SealedToken {
    /// Reads the token, and finds the keys that it may be for among these. Nothing is decrypted yet.
    ///
    /// # Errors
    /// [`Rejected::UnknownDecryptionKey`] if it is for none of them.
    pub(crate) fn parse<'a>(
        compact: &str,
        keys: impl Iterator<Item = &'a DecryptionKey>,
    ) -> Result<Self, Rejected> {
        let token = Jwe::parse(compact)?;
        let mut fitting: Vec<DecryptionKey> = Vec::new();
        for key in keys.filter(|key| key.fits(&token)) {
            // Several issuers can have one key.
            if fitting.len() < MAX_TRIED && !fitting.iter().any(|other| other.is_same_key(key)) {
                fitting.push(key.clone());
            }
        }
        if fitting.is_empty() {
            return Err(Rejected::UnknownDecryptionKey);
        }
        Ok(Self { token, keys: fitting })
    }

    /// Decrypts it.
    ///
    /// # Errors
    /// [`Rejected::Undecryptable`] if none of the keys decrypts it, and [`Rejected::OnlyEncrypted`]
    /// if what is inside is no signed token.
    pub(crate) fn open(&self) -> Result<OpenedToken, Rejected> {
        for key in &self.keys {
            #[cfg(test)]
            crate::logout::once::DECRYPTED.set(crate::logout::once::DECRYPTED.get() + 1);
            if let Some(text) = key.open(&self.token) {
                let signed = std::str::from_utf8(&text).ok().filter(|text| is_signed(text));
                let compact = signed.ok_or(Rejected::OnlyEncrypted)?.to_owned();
                return Ok(OpenedToken { compact: Secret::new(compact), key: key.thumbprint() });
            }
        }
        Err(Rejected::Undecryptable)
    }
}

/// Whether this is a token of three parts that says that it is signed. (Whether it is, and by whom,
/// its verifier finds out.)
fn is_signed(compact: &str) -> bool {
    let mut parts = compact.split('.');
    let (Some(header), 2) = (parts.next(), parts.count()) else { return false };
    let header = Base64UrlUnpadded::decode_vec(header).unwrap_or_default();
    let algorithm = UniqueObject::parse(&header).and_then(|members| members.text("alg").ok()?);
    algorithm.is_some_and(|name| !name.eq_ignore_ascii_case("none"))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
    use serde_json::json;

    use super::*;
    use crate::logout::once::DECRYPTED;

    fn text(bytes: &[u8]) -> String {
        Base64UrlUnpadded::encode_string(bytes)
    }

    /// Keys are told by their numbers.
    fn key(number: u8) -> DecryptionKey {
        let private = PrivateKey::from_private_key(&ECDH_P256, &[number; 32]).unwrap();
        let public = private.compute_public_key().unwrap();
        let (x, y) = (text(&public.as_ref()[1..33]), text(&public.as_ref()[33..]));
        let d = text(&[number; 32]);
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "d": d, "alg": "ECDH-ES",
            "kid": number.to_string()});
        DecryptionKey::from_jwk(jwk.to_string().as_bytes()).unwrap()
    }

    /// A token that no key decrypts, for the key of that name.
    fn token(kid: Option<&str>) -> String {
        // The point of RFC 7518 §C.
        let epk = json!({"kty": "EC", "crv": "P-256",
            "x": "gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0",
            "y": "SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps"});
        let header = json!({"alg": "ECDH-ES", "enc": "A128GCM", "epk": epk, "kid": kid});
        let parts = [&[7; 12][..], &[7; 40], &[7; 16]].map(text);
        format!("{}..{}", text(header.to_string().as_bytes()), parts.join("."))
    }

    /// How often a private key was used.
    fn operations(token: &str, keys: &[DecryptionKey]) -> (usize, Option<Rejected>) {
        DECRYPTED.set(0);
        let opened = SealedToken::parse(token, keys.iter()).and_then(|sealed| sealed.open());
        (DECRYPTED.get(), opened.err())
    }

    #[test]
    fn what_a_token_costs_is_bounded() {
        let keys: Vec<_> = (1..9).map(key).collect();
        let (failed, unknown) =
            (Some(Rejected::Undecryptable), Some(Rejected::UnknownDecryptionKey));
        assert_eq!(operations(&token(Some("3")), &keys), (1, failed));
        assert_eq!(operations(&token(Some("9")), &keys), (0, unknown));
        assert_eq!(operations(&token(None), &keys), (MAX_TRIED, failed));
        assert_eq!(operations(&token(None), &keys[..2]), (2, failed));
        // One key of several issuers is tried once.
        assert_eq!(operations(&token(None), &[key(1), key(1), key(2)]), (2, failed));
        assert_eq!(operations(&token(None).replace("..", ".AA."), &keys).0, 0);
    }

    #[test]
    fn only_what_says_that_it_is_signed_is() {
        let of = |header: &str| is_signed(&format!("{}.e30.c2ln", text(header.as_bytes())));
        assert!(of(r#"{"alg":"RS256"}"#) && of(r#"{"alg":"unknown"}"#));
        for header in
            [r#"{"alg":"none"}"#, r#"{"alg":"nOnE"}"#, r#"{"alg":null}"#, r#"{"alg":7}"#, "{}", ""]
        {
            assert!(!of(header), "{header}");
        }
        for other in ["", "..", "e30.e30", "e30.e30.e30.e30", "e30.e30.e30.e30.e30"] {
            assert!(!is_signed(other), "{other}");
        }
    }
}
