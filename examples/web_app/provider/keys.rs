//! Demonstration: the provider's key, made anew each time it starts, and the tokens that it signs (RFC 7515, RS256).

use base64ct::{Base64UrlUnpadded, Encoding as _};
use rsa::pkcs1v15::{Signature, SigningKey, VerifyingKey};
use rsa::sha2::Sha256;
use rsa::signature::{Keypair as _, SignatureEncoding as _, Signer as _, Verifier as _};
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};

use super::state::random;

const BITS: usize = 2048;

pub(super) struct Keys {
    id: String,
    public: Value,
    signs: SigningKey<Sha256>,
}

impl Keys {
    /// Takes a moment: off the runtime's threads.
    pub(super) async fn new() -> Self {
        let made = tokio::task::spawn_blocking(|| {
            rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, BITS)
        });
        let Ok(Ok(key)) = made.await else { panic!("the system gives no random numbers") };
        let text = |number: &rsa::BigUint| Base64UrlUnpadded::encode_string(&number.to_bytes_be());
        let id = random();
        let public = json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "n": text(key.n()), "e": text(key.e())});
        Self { id, public, signs: SigningKey::new(key) }
    }

    /// The JWKS document.
    pub(super) fn document(&self) -> Value {
        json!({ "keys": [self.public] })
    }

    pub(super) fn sign(&self, kind: &str, claims: &Value) -> String {
        let text = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
        let signed = format!(
            "{}.{}",
            text(&json!({"alg": "RS256", "typ": kind, "kid": self.id})),
            text(claims)
        );
        let signature = self.signs.sign(signed.as_bytes()).to_vec();
        format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature))
    }

    /// The claims of a token that was signed here, whatever its time: one that is only a hint may be old.
    pub(super) fn claims(&self, token: &str) -> Option<Value> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = Base64UrlUnpadded::decode_vec(signature).ok()?;
        let signature = Signature::try_from(signature.as_slice()).ok()?;
        let key: VerifyingKey<Sha256> = self.signs.verifying_key();
        key.verify(signed.as_bytes(), &signature).ok()?;
        let (_, claims) = signed.split_once('.')?;
        serde_json::from_slice(&Base64UrlUnpadded::decode_vec(claims).ok()?).ok()
    }
}
