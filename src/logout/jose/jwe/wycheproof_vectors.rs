//! Project Wycheproof's test vectors, through the functions that decrypt tokens. How many were run
//! is asserted, so that no changed filter can empty a test.

use aws_lc_rs::agreement::PrivateKey;
use wycheproof::{aead, ecdh, keywrap, rsa_oaep};

use super::agreement::{Purpose, agree, derive};
use super::algorithm::KeyManagement;
use super::content::{ContentEncryption, Sealed};
use super::decryption_key::DecryptionKey;
use super::key_wrap;
use super::public_key::{Curve, Point};

/// How many vectors were taken and how many refused, as each has to be.
fn content(
    name: aead::TestName,
    of_bits: fn(usize) -> Option<ContentEncryption>,
) -> (usize, usize) {
    let set = aead::TestSet::load(name).unwrap();
    let (mut taken, mut refused) = (0, 0);
    for group in &set.test_groups {
        let Some(encryption) = of_bits(group.key_size) else { continue };
        for test in &group.tests {
            let sealed =
                Sealed { aad: &test.aad, iv: &test.nonce, ciphertext: &test.ct, tag: &test.tag };
            // A token without content is refused before.
            if test.ct.is_empty() {
                continue;
            }
            let text = encryption.open(&test.key, &sealed);
            if test.result.must_fail() || !encryption.has_lengths_of(&sealed) {
                assert!(text.is_none(), "vector {}", test.tc_id);
                refused += 1;
            } else {
                assert_eq!(*text.unwrap(), test.pt[..], "vector {}", test.tc_id);
                taken += 1;
            }
        }
    }
    (taken, refused)
}

#[test]
fn aes_gcm() {
    let of_bits = |bits| match bits {
        128 => Some(ContentEncryption::A128Gcm),
        192 => Some(ContentEncryption::A192Gcm),
        256 => Some(ContentEncryption::A256Gcm),
        _ => None,
    };
    assert_eq!(content(aead::TestName::AesGcm, of_bits), (112, 176));
}

#[test]
fn aes_cbc_hmac() {
    let all = [
        content(aead::TestName::Aes128CbcHmacSha256, |_| Some(ContentEncryption::A128CbcHs256)),
        content(aead::TestName::Aes192CbcHmacSha384, |_| Some(ContentEncryption::A192CbcHs384)),
        content(aead::TestName::Aes256CbcHmacSha512, |_| Some(ContentEncryption::A256CbcHs512)),
    ];
    assert_eq!(all, [(67, 27); 3]);
}

#[test]
fn aes_key_wrap() {
    let set = keywrap::TestSet::load(keywrap::TestName::AesKeyWrap).unwrap();
    let (mut taken, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let key = key_wrap::unwrap(&test.key, &test.ct);
        if test.result.must_fail() {
            assert!(key.is_none(), "vector {}", test.tc_id);
            refused += 1;
        } else if let Some(key) = key {
            assert_eq!(*key, test.pt[..], "vector {}", test.tc_id);
            taken += 1;
        } else {
            // Shorter than any key that a token has.
            assert!(test.pt.len() < 16, "vector {}", test.tc_id);
            refused += 1;
        }
    }
    assert_eq!((taken, refused), (36, 129));
}

/// Our function gives the key that is derived from what was agreed, so the vector's goes the same
/// way.
#[test]
fn points() {
    let mut counts = Vec::new();
    for (name, curve) in [
        (ecdh::TestName::EcdhSecp256r1Ecpoint, Curve::P256),
        (ecdh::TestName::EcdhSecp384r1Ecpoint, Curve::P384),
    ] {
        let set = ecdh::TestSet::load(name).unwrap();
        let (mut taken, mut refused) = (0, 0);
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let secret = &test.private_key[..];
            let len = curve.bytes();
            // With a leading zero where the number has its highest bit, and without where it is short.
            let secret = &secret[secret.len().saturating_sub(len)..];
            let secret = [vec![0; len - secret.len()].as_slice(), secret].concat();
            let key = PrivateKey::from_private_key(curve.algorithm(), &secret).unwrap();
            let purpose =
                Purpose { algorithm: "A256GCM", key_bytes: 32, sender: b"", recipient: b"" };
            // The header has no form for a compressed point.
            if test.public_key.len() != 2 * len + 1 {
                continue;
            }
            let point = Point { curve, bytes: test.public_key.to_vec() };
            let agreed = agree(&key, &point, &purpose);
            if test.result.must_fail() {
                assert!(agreed.is_none(), "vector {}", test.tc_id);
                refused += 1;
            } else {
                let expected = derive(&test.shared_secret, &purpose);
                assert_eq!(agreed.unwrap().0, expected.unwrap().0, "vector {}", test.tc_id);
                taken += 1;
            }
        }
        counts.push((taken, refused));
    }
    assert_eq!(counts, [(330, 16), (771, 16)]);
}

/// With the vectors' keys, read as an app's are.
#[test]
fn rsa_oaep() {
    use KeyManagement::{RsaOaep, RsaOaep256};
    use rsa_oaep::TestName::{
        Rsa2048Sha1Mgf1Sha1, Rsa2048Sha256Mgf1Sha256, Rsa3072Sha256Mgf1Sha256,
        Rsa4096Sha256Mgf1Sha256,
    };
    let mut counts = Vec::new();
    for (name, algorithm) in [
        (Rsa2048Sha1Mgf1Sha1, RsaOaep),
        (Rsa2048Sha256Mgf1Sha256, RsaOaep256),
        (Rsa3072Sha256Mgf1Sha256, RsaOaep256),
        (Rsa4096Sha256Mgf1Sha256, RsaOaep256),
    ] {
        let set = rsa_oaep::TestSet::load(name).unwrap();
        let (mut taken, mut refused) = (0, 0);
        for group in &set.test_groups {
            let key = DecryptionKey::from_pem(&group.pem, algorithm).unwrap();
            for test in &group.tests {
                // RFC 7518 §4.3 has no label.
                let is_good = !test.result.must_fail() && test.label.is_empty();
                let text = key.rsa_decrypt(&test.ct);
                assert_eq!(text.is_some(), is_good, "vector {}", test.tc_id);
                if let Some(text) = text {
                    assert_eq!(*text, test.pt[..], "vector {}", test.tc_id);
                    taken += 1;
                } else {
                    refused += 1;
                }
            }
        }
        counts.push((taken, refused));
    }
    assert_eq!(counts, [(10, 26), (10, 27), (10, 27), (10, 27)]);
}
