//! Content encryption (RFC 7518 §5): decrypts what a content key encrypted, if nobody changed it.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;

use crate::platform::wipe::Wiped;

/// The block of AES, in bytes.
const BLOCK_BYTES: usize = 16;

/// How the content of a token is encrypted. All of these authenticate it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentEncryption {
    A128Gcm,
    A192Gcm,
    A256Gcm,
    A128CbcHs256,
    A192CbcHs384,
    A256CbcHs512,
}

/// A content as it is in a token: its parts, and what is authenticated beside it.
pub(super) struct Sealed<'a> {
    pub(super) aad: &'a [u8],
    pub(super) iv: &'a [u8],
    pub(super) ciphertext: &'a [u8],
    pub(super) tag: &'a [u8],
}

impl ContentEncryption {
    pub(super) const ALL: [Self; 6] = [
        Self::A128Gcm,
        Self::A192Gcm,
        Self::A256Gcm,
        Self::A128CbcHs256,
        Self::A192CbcHs384,
        Self::A256CbcHs512,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::A128Gcm => "A128GCM",
            Self::A192Gcm => "A192GCM",
            Self::A256Gcm => "A256GCM",
            Self::A128CbcHs256 => "A128CBC-HS256",
            Self::A192CbcHs384 => "A192CBC-HS384",
            Self::A256CbcHs512 => "A256CBC-HS512",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|encryption| encryption.name() == name)
    }

    /// The length of its key. That of CBC has two halves: for the HMAC, then for AES.
    pub(super) fn key_bytes(self) -> usize {
        match self {
            Self::A128Gcm => 16,
            Self::A192Gcm => 24,
            Self::A256Gcm | Self::A128CbcHs256 => 32,
            Self::A192CbcHs384 => 48,
            Self::A256CbcHs512 => 64,
        }
    }

    /// Whether the parts have the lengths that they must have: anybody can see these. A tag is never
    /// shorter than it should be: a short one can be guessed.
    pub(super) fn has_lengths_of(self, sealed: &Sealed<'_>) -> bool {
        let (iv, tag, block) = match self {
            Self::A128Gcm | Self::A192Gcm | Self::A256Gcm => (aead::NONCE_LEN, 16, 1),
            Self::A128CbcHs256 | Self::A192CbcHs384 | Self::A256CbcHs512 => {
                (BLOCK_BYTES, self.key_bytes() / 2, BLOCK_BYTES)
            }
        };
        let ciphertext = sealed.ciphertext.len();
        (sealed.iv.len(), sealed.tag.len()) == (iv, tag)
            && ciphertext > 0
            && ciphertext.is_multiple_of(block)
    }

    /// The content in clear; `None` if this key did not encrypt just these bytes.
    pub(super) fn open(self, key: &[u8], sealed: &Sealed<'_>) -> Option<Wiped> {
        if key.len() != self.key_bytes() || !self.has_lengths_of(sealed) {
            return None;
        }
        match self {
            Self::A128Gcm => open_gcm(&aead::AES_128_GCM, key, sealed),
            Self::A192Gcm => open_gcm(&aead::AES_192_GCM, key, sealed),
            Self::A256Gcm => open_gcm(&aead::AES_256_GCM, key, sealed),
            Self::A128CbcHs256 => open_cbc(&cipher::AES_128, hmac::HMAC_SHA256, key, sealed),
            Self::A192CbcHs384 => open_cbc(&cipher::AES_192, hmac::HMAC_SHA384, key, sealed),
            Self::A256CbcHs512 => open_cbc(&cipher::AES_256, hmac::HMAC_SHA512, key, sealed),
        }
    }
}

fn open_gcm(algorithm: &'static aead::Algorithm, key: &[u8], sealed: &Sealed<'_>) -> Option<Wiped> {
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
    let nonce = Nonce::try_assume_unique_for_key(sealed.iv).ok()?;
    let mut text = joined(sealed.ciphertext, sealed.tag);
    let len = key.open_in_place(nonce, Aad::from(sealed.aad), text.as_mut_slice()).ok()?.len();
    text.truncate(len);
    Some(text)
}

/// RFC 7518 §5.2.2.2. The tag comes first: until it is known to be right, nothing is decrypted, so
/// nobody learns of a padding (the attack of Vaudenay).
fn open_cbc(
    algorithm: &'static cipher::Algorithm,
    hash: hmac::Algorithm,
    key: &[u8],
    sealed: &Sealed<'_>,
) -> Option<Wiped> {
    let (mac_key, cipher_key) = key.split_at_checked(key.len() / 2)?;
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hash, mac_key));
    mac.update(sealed.aad);
    mac.update(sealed.iv);
    mac.update(sealed.ciphertext);
    mac.update(&u64::try_from(sealed.aad.len()).ok()?.checked_mul(8)?.to_be_bytes());
    let expected = mac.sign();
    verify_slices_are_equal(expected.as_ref().get(..sealed.tag.len())?, sealed.tag).ok()?;

    let key = UnboundCipherKey::new(algorithm, cipher_key).ok()?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
    let iv: [u8; BLOCK_BYTES] = sealed.iv.try_into().ok()?;
    let context = DecryptionContext::Iv128(FixedLength::from(&iv));
    let mut text = joined(sealed.ciphertext, &[]);
    let len = key.decrypt(text.as_mut_slice(), context).ok()?.len();
    text.truncate(len);
    Some(text)
}

/// In one buffer of the right size, so that no copy of the clear text is left behind.
fn joined(front: &[u8], rest: &[u8]) -> Wiped {
    let mut bytes = Wiped(Vec::with_capacity(front.len().saturating_add(rest.len())));
    bytes.extend_from_slice(front);
    bytes.extend_from_slice(rest);
    bytes
}
