//! Encrypts tokens for an app as a provider does, or as nobody should: any header, any content. The
//! keys are always the same.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, UnparsedPublicKey};
use aws_lc_rs::cipher::{self, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{digest, hmac};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use oubliette::logout::{DecryptionKey, DecryptionKeys, KeyManagement};
use serde_json::{Value, json};

use crate::signer::rsa_key;

/// An app's key, and the one algorithm that it is for.
#[derive(Debug)]
pub struct Encrypter {
    algorithm: KeyManagement,
    /// Its name in headers and key sets.
    pub kid: String,
    key: Key,
}

#[derive(Debug)]
enum Key {
    Rsa(Box<rsa::RsaPrivateKey>),
    Curve(Curve, Vec<u8>),
}

/// A content key, encrypted.
#[derive(Debug)]
pub struct Envelope {
    enc: String,
    cek: Vec<u8>,
    encrypted_key: Vec<u8>,
    /// The public key that the header has to name, where keys are agreed.
    pub epk: Option<Value>,
}

/// A curve to agree on.
#[derive(Clone, Copy, Debug)]
pub enum Curve {
    /// P-256.
    P256,
    /// P-384.
    P384,
    /// X25519.
    X25519,
}

/// The content encryptions that are taken.
pub const ENCRYPTIONS: [&str; 6] =
    ["A128GCM", "A192GCM", "A256GCM", "A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512"];

/// The key managements that are taken.
pub const KEY_MANAGEMENTS: [KeyManagement; 6] = [
    KeyManagement::RsaOaep,
    KeyManagement::RsaOaep256,
    KeyManagement::EcdhEs,
    KeyManagement::EcdhEsA128Kw,
    KeyManagement::EcdhEsA192Kw,
    KeyManagement::EcdhEsA256Kw,
];

impl Encrypter {
    /// The first key for this algorithm: RSA, or on P-256.
    pub fn new(algorithm: KeyManagement) -> Self {
        Self::numbered(algorithm, 0)
    }

    /// Another one for each number, of which there are three.
    pub fn numbered(algorithm: KeyManagement, number: u8) -> Self {
        match algorithm {
            KeyManagement::RsaOaep | KeyManagement::RsaOaep256 => {
                let kid = format!("{}-{number}", algorithm.name());
                Self { algorithm, kid, key: Key::Rsa(Box::new(rsa_key(number))) }
            }
            _ => Self::on(Curve::P256, algorithm, number),
        }
    }

    /// On this curve.
    pub fn on(curve: Curve, algorithm: KeyManagement, number: u8) -> Self {
        let kid = format!("{}-{number}", algorithm.name());
        Self { algorithm, kid, key: Key::Curve(curve, vec![number + 1; curve.bytes()]) }
    }

    /// A different key that goes by the same name.
    pub fn other(algorithm: KeyManagement) -> Self {
        Self::numbered(algorithm, 1).named(&Self::new(algorithm).kid)
    }

    /// The same key by another name.
    pub fn named(self, kid: &str) -> Self {
        Self { kid: kid.into(), ..self }
    }

    /// The private key as the app has it.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.key {
            Key::Rsa(key) => {
                use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
                let number = |number: &rsa::BigUint| text(&number.to_bytes_be());
                let qi = key.crt_coefficient().unwrap();
                json!({"kty": "RSA", "n": number(key.n()), "e": number(key.e()), "d": number(key.d()),
                    "p": number(&key.primes()[0]), "q": number(&key.primes()[1]),
                    "dp": number(key.dp().unwrap()), "dq": number(key.dq().unwrap()), "qi": number(&qi)})
            }
            Key::Curve(curve, secret) => {
                let mut jwk =
                    curve.jwk(curve.private(secret).compute_public_key().unwrap().as_ref());
                jwk["d"] = text(secret).into();
                jwk
            }
        };
        jwk["kid"] = self.kid.clone().into();
        jwk["alg"] = self.algorithm.name().into();
        jwk["use"] = "enc".into();
        jwk
    }

    /// The key as the library reads it.
    pub fn key(&self) -> DecryptionKey {
        DecryptionKey::from_jwk(self.jwk().to_string().as_bytes()).unwrap()
    }

    /// This key alone.
    pub fn keys(&self) -> DecryptionKeys {
        DecryptionKeys::new([self.key()]).unwrap()
    }

    /// The header of a token for this key.
    pub fn header(&self) -> Value {
        json!({"alg": self.algorithm.name(), "enc": "A256GCM", "cty": "JWT", "kid": self.kid})
    }

    /// A signed token, encrypted.
    pub fn encrypt(&self, token: &str) -> String {
        self.encrypt_as(&self.header(), token.as_bytes())
    }

    /// Any content under any header. It is encrypted by the key's algorithm, whatever the header
    /// says, and by its `enc` if that is one. Where keys are agreed, `epk` is added, unless the
    /// header has one: then the content's key is what nobody can agree on.
    pub fn encrypt_as(&self, header: &Value, content: &[u8]) -> String {
        let enc = header["enc"].as_str().filter(|enc| ENCRYPTIONS.contains(enc));
        let info = |member: &str| {
            let text = header[member].as_str().unwrap_or_default();
            Base64UrlUnpadded::decode_vec(text).unwrap_or_default()
        };
        let envelope = self.envelope(enc.unwrap_or("A256GCM"), &info("apu"), &info("apv"));
        let mut header = header.clone();
        if let (Some(epk), None) = (&envelope.epk, header.get("epk")) {
            header["epk"] = epk.clone();
        }
        envelope.seal(header.to_string().as_bytes(), content)
    }

    /// As [`encrypt`](Self::encrypt), with this content key, for RSA alone.
    pub fn encrypt_with(&self, cek: &[u8], content: &[u8]) -> String {
        let (mut padded, encrypted_key) = (cek.to_vec(), self.rsa(cek));
        padded.resize(32, 0);
        let envelope = Envelope { enc: "A256GCM".into(), cek: padded, encrypted_key, epk: None };
        envelope.seal(self.header().to_string().as_bytes(), content)
    }

    /// What a token needs beside its header and content: a content key, encrypted for this key.
    pub fn envelope(&self, enc: &str, apu: &[u8], apv: &[u8]) -> Envelope {
        let mut cek = vec![0; key_bytes(enc)];
        aws_lc_rs::rand::fill(&mut cek).unwrap();
        let (encrypted_key, epk) = match &self.key {
            Key::Rsa(_) => (self.rsa(&cek), None),
            Key::Curve(curve, secret) => {
                let (kek, epk) = self.agree(*curve, secret, enc, [apu, apv]);
                if self.algorithm == KeyManagement::EcdhEs {
                    cek = kek;
                    (Vec::new(), Some(epk))
                } else {
                    (wrap(&kek, &cek), Some(epk))
                }
            }
        };
        Envelope { enc: enc.into(), cek, encrypted_key, epk }
    }

    fn rsa(&self, cek: &[u8]) -> Vec<u8> {
        let Key::Rsa(key) = &self.key else { panic!("only RSA takes any key") };
        let padding = match self.algorithm {
            KeyManagement::RsaOaep => rsa::Oaep::new::<sha1::Sha1>(),
            _ => rsa::Oaep::new::<rsa::sha2::Sha256>(),
        };
        key.to_public_key().encrypt(&mut rsa::rand_core::OsRng, padding, cek).unwrap()
    }

    /// The key that is agreed with a key made for this token (RFC 7518 §4.6), and its public half.
    fn agree(&self, curve: Curve, secret: &[u8], enc: &str, infos: [&[u8]; 2]) -> (Vec<u8>, Value) {
        let ours = curve.private(secret).compute_public_key().unwrap();
        let ephemeral = agreement::PrivateKey::generate(curve.algorithm()).unwrap();
        let epk = curve.jwk(ephemeral.compute_public_key().unwrap().as_ref());
        let (name, bytes) = match self.algorithm {
            KeyManagement::EcdhEsA128Kw => (self.algorithm.name(), 16),
            KeyManagement::EcdhEsA192Kw => (self.algorithm.name(), 24),
            KeyManagement::EcdhEsA256Kw => (self.algorithm.name(), 32),
            _ => (enc, key_bytes(enc)),
        };
        let mut other = Vec::new();
        for part in [name.as_bytes(), infos[0], infos[1]] {
            other.extend_from_slice(&(part.len() as u32).to_be_bytes());
            other.extend_from_slice(part);
        }
        other.extend_from_slice(&(8 * bytes as u32).to_be_bytes());
        let theirs = UnparsedPublicKey::new(curve.algorithm(), ours.as_ref());
        let derive = |shared: &[u8]| {
            let round = |round: u32| {
                let input = [&round.to_be_bytes(), shared, &other].concat();
                digest::digest(&digest::SHA256, &input).as_ref().to_vec()
            };
            Ok([round(1), round(2)].concat()[..bytes].to_vec())
        };
        (agreement::agree(&ephemeral, theirs, (), derive).unwrap(), epk)
    }
}

impl Envelope {
    /// A token of this header and content, in compact form.
    pub fn seal(&self, header: &[u8], content: &[u8]) -> String {
        let (header, cek) = (text(header), self.cek.as_slice());
        let mut sealed = content.to_vec();
        let (iv, tag) = match self.enc.as_str() {
            "A128GCM" | "A192GCM" | "A256GCM" => {
                let algorithm = match cek.len() {
                    16 => &aead::AES_128_GCM,
                    24 => &aead::AES_192_GCM,
                    _ => &aead::AES_256_GCM,
                };
                let mut iv = [0; 12];
                aws_lc_rs::rand::fill(&mut iv).unwrap();
                let key = LessSafeKey::new(UnboundKey::new(algorithm, cek).unwrap());
                let (nonce, aad) = (Nonce::assume_unique_for_key(iv), Aad::from(header.as_bytes()));
                let tag = key.seal_in_place_separate_tag(nonce, aad, &mut sealed).unwrap();
                (iv.to_vec(), tag.as_ref().to_vec())
            }
            _ => {
                let (mac_key, cipher_key) = cek.split_at(cek.len() / 2);
                let (cipher, hash) = match cek.len() {
                    32 => (&cipher::AES_128, hmac::HMAC_SHA256),
                    48 => (&cipher::AES_192, hmac::HMAC_SHA384),
                    _ => (&cipher::AES_256, hmac::HMAC_SHA512),
                };
                let mut iv = [0; 16];
                aws_lc_rs::rand::fill(&mut iv).unwrap();
                let key = UnboundCipherKey::new(cipher, cipher_key).unwrap();
                let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).unwrap();
                let context = EncryptionContext::Iv128(FixedLength::from(&iv));
                key.less_safe_encrypt(&mut sealed, context).unwrap();
                let bits = (8 * header.len() as u64).to_be_bytes();
                let input = [header.as_bytes(), &iv, &sealed, &bits].concat();
                let tag = hmac::sign(&hmac::Key::new(hash, mac_key), &input);
                (iv.to_vec(), tag.as_ref()[..mac_key.len()].to_vec())
            }
        };
        let parts = [self.encrypted_key.as_slice(), &iv, &sealed, &tag].map(text);
        format!("{header}.{}", parts.join("."))
    }
}

impl Curve {
    fn bytes(self) -> usize {
        if matches!(self, Self::P384) { 48 } else { 32 }
    }

    fn algorithm(self) -> &'static agreement::Algorithm {
        match self {
            Self::P256 => &agreement::ECDH_P256,
            Self::P384 => &agreement::ECDH_P384,
            Self::X25519 => &agreement::X25519,
        }
    }

    fn private(self, secret: &[u8]) -> agreement::PrivateKey {
        agreement::PrivateKey::from_private_key(self.algorithm(), secret).unwrap()
    }

    /// A public key.
    fn jwk(self, point: &[u8]) -> Value {
        match self {
            Self::X25519 => json!({"kty": "OKP", "crv": "X25519", "x": text(point)}),
            Self::P256 | Self::P384 => {
                let (x, y) = point[1..].split_at(self.bytes());
                let crv = if matches!(self, Self::P256) { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": crv, "x": text(x), "y": text(y)})
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

fn key_bytes(enc: &str) -> usize {
    match enc {
        "A128GCM" => 16,
        "A192GCM" => 24,
        "A256GCM" | "A128CBC-HS256" => 32,
        "A192CBC-HS384" => 48,
        "A256CBC-HS512" => 64,
        other => panic!("no encryption {other}"),
    }
}

fn wrap(kek: &[u8], cek: &[u8]) -> Vec<u8> {
    use aes_kw::{KeyInit as _, KwAes128, KwAes192, KwAes256};
    let mut wrapped = vec![0; cek.len() + 8];
    match kek.len() {
        16 => KwAes128::new_from_slice(kek).unwrap().wrap_key(cek, &mut wrapped).unwrap(),
        24 => KwAes192::new_from_slice(kek).unwrap().wrap_key(cek, &mut wrapped).unwrap(),
        _ => KwAes256::new_from_slice(kek).unwrap().wrap_key(cek, &mut wrapped).unwrap(),
    };
    wrapped
}
