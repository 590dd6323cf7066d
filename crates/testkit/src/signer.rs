//! Signs tokens as a provider does, or as nobody should: any header, any payload. The keys are
//! always the same.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use ed25519_dalek::Signer as _;
use oubliette::logout::Algorithm;
use rsa::signature::{RandomizedSigner as _, SignatureEncoding as _};
use serde_json::{Value, json};

/// A key pair, and the one algorithm that it signs with.
#[derive(Debug)]
pub struct Signer {
    algorithm: Algorithm,
    /// Its name in headers and key sets.
    pub kid: String,
    key: Key,
}

#[derive(Debug)]
enum Key {
    Rsa(Box<rsa::RsaPrivateKey>),
    P256(p256::ecdsa::SigningKey),
    P384(Box<p384::ecdsa::SigningKey>),
    Ed25519(ed25519_dalek::SigningKey),
}

impl Signer {
    /// The first key of this algorithm.
    pub fn new(algorithm: Algorithm) -> Self {
        Self::numbered(algorithm, 0)
    }

    /// Another one for each number, of which there are three.
    pub fn numbered(algorithm: Algorithm, number: u8) -> Self {
        let seed = [number + 1; 48];
        let key = match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => Key::Rsa(Box::new(rsa_key(number))),
            Algorithm::Es256 => {
                Key::P256(p256::ecdsa::SigningKey::from_slice(&seed[..32]).unwrap())
            }
            Algorithm::Es384 => {
                Key::P384(Box::new(p384::ecdsa::SigningKey::from_slice(&seed).unwrap()))
            }
            Algorithm::EdDsa => {
                Key::Ed25519(ed25519_dalek::SigningKey::from_bytes(seed[..32].try_into().unwrap()))
            }
            other => panic!("no key for {other:?}"),
        };
        Self { algorithm, kid: format!("{}-{number}", name(algorithm)), key }
    }

    /// A different key that goes by the same name.
    pub fn other(algorithm: Algorithm) -> Self {
        Self { kid: Self::new(algorithm).kid, ..Self::numbered(algorithm, 1) }
    }

    /// The public key, as it stands in a JWKS document, with its name but nothing that it may leave
    /// out.
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
        let mut jwk = match &self.key {
            Key::Rsa(key) => {
                use rsa::traits::PublicKeyParts as _;
                json!({"kty": "RSA", "n": text(&key.n().to_bytes_be()), "e": text(&key.e().to_bytes_be())})
            }
            Key::P256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                json!({"kty": "EC", "crv": "P-256", "x": text(point.x().unwrap()), "y": text(point.y().unwrap())})
            }
            Key::P384(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                json!({"kty": "EC", "crv": "P-384", "x": text(point.x().unwrap()), "y": text(point.y().unwrap())})
            }
            Key::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": text(key.verifying_key().as_bytes())})
            }
        };
        jwk["kid"] = self.kid.clone().into();
        jwk
    }

    /// A JWKS document with this key alone.
    pub fn jwks(&self) -> Vec<u8> {
        json!({"keys": [self.jwk()]}).to_string().into_bytes()
    }

    /// That of a logout token of this key.
    pub fn header(&self) -> Value {
        json!({"alg": name(self.algorithm), "typ": "logout+jwt", "kid": self.kid})
    }

    /// The token in compact form. The signature is good, whatever the header says.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_bytes(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// As [`sign`](Self::sign), also what is no JSON, or no object.
    pub fn sign_bytes(&self, header: &[u8], payload: &[u8]) -> String {
        let text = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
        let input = format!("{}.{}", text(header), text(payload));
        format!("{input}.{}", text(&self.signature(input.as_bytes())))
    }

    /// Of any signing input, as a token has it.
    pub fn signature(&self, input: &[u8]) -> Vec<u8> {
        use rsa::sha2::Sha256;
        match (&self.key, self.algorithm) {
            (Key::Rsa(key), Algorithm::Ps256) => {
                let key = rsa::pss::SigningKey::<Sha256>::new((**key).clone());
                key.sign_with_rng(&mut rsa::rand_core::OsRng, input).to_vec()
            }
            (Key::Rsa(key), _) => {
                let key = rsa::pkcs1v15::SigningKey::<Sha256>::new((**key).clone());
                key.sign_with_rng(&mut rsa::rand_core::OsRng, input).to_vec()
            }
            (Key::P256(key), _) => {
                let signature: p256::ecdsa::Signature = key.sign(input);
                signature.to_bytes().to_vec()
            }
            (Key::P384(key), _) => {
                let signature: p384::ecdsa::Signature = key.sign(input);
                signature.to_bytes().to_vec()
            }
            (Key::Ed25519(key), _) => key.sign(input).to_vec(),
        }
    }
}

fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Rs256 => "RS256",
        Algorithm::Ps256 => "PS256",
        Algorithm::Es256 => "ES256",
        Algorithm::Es384 => "ES384",
        Algorithm::EdDsa => "EdDSA",
        other => panic!("no name for {other:?}"),
    }
}

/// From two of three primes: a new pair would take seconds to find.
pub(crate) fn rsa_key(number: u8) -> rsa::RsaPrivateKey {
    let prime = |number: u8| {
        rsa::BigUint::parse_bytes(PRIMES[usize::from(number % 3)].as_bytes(), 16).unwrap()
    };
    rsa::RsaPrivateKey::from_p_q(prime(number), prime(number + 1), 65537u32.into()).unwrap()
}

const PRIMES: [&str; 3] = [
    "\
     ec7c0782541355717dbaddd315accd101e48c6e2ea9d79582b60ac39325de94d0fdb1884f11c8dba3cf7a302d5817135fd3366b56831dd9d5837c1fa01fcf1bd\
     1c37775c0880ebd8e9a02a9aff5c203c268e6fe9815907e5498981d60c1a78c792b9a12c78aabdc60d9bcc03fd8fcb1db715bb3a97d1ee7f6d0923bc5fd2a487",
    "\
     cf34ea426eb38fb4429e168506b9305aeba045ed2e09e7fb3ff4a73b695bf7e94fc847f7b25267dd5ea38afce380b4d6dcc9ced6c1ba5299b24ef4f6b9835151\
     65ab679e156ae7a3d59f689e8a1364c2f78a0d3eee1c07b10e4af2d5ad6b1452f76341e675308dabfbd213774f778170dd785952f613f00cf898484403618697",
    "\
     da43169660dda89d1809c4c6a837188a2b6c211b9eb8c55ce84e2363864ee17f1f8ce6b876d37c5bf5750e4f0901a9d85767837e72e91fcf12d68f6d92cfd815\
     2c5a97876e4203222f27eb1cbaa3316b33c9bb5dbb0c4c9bb874e117b78f2d91d0f58fe6579c104b87c3527c931d73bb9740949677abafe425c4bcd56012eb27",
];
