//! Elliptic-curve Diffie-Hellman with a key that the sender made for one token (RFC 7518 §4.6).

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use super::public_key::Point;
use crate::platform::wipe::Wiped;

/// What an agreed key is for. It is mixed into the key, so that a key that was agreed for one
/// algorithm serves no other.
pub(super) struct Purpose<'a> {
    /// The name of the algorithm that the key is used with.
    pub(super) algorithm: &'a str,
    pub(super) key_bytes: usize,
    /// The header's `apu` and `apv`, decoded.
    pub(super) sender: &'a [u8],
    pub(super) recipient: &'a [u8],
}

/// The key that this private key and the sender's point agree on. `None` if the point is on another
/// curve than the key, or on none: with points that are on none a sender could learn the private
/// key bit by bit (the invalid curve attack), so AWS-LC checks each before it computes with it.
pub(super) fn agree(private: &PrivateKey, point: &Point, purpose: &Purpose<'_>) -> Option<Wiped> {
    let theirs = UnparsedPublicKey::new(point.curve.algorithm(), &point.bytes);
    agreement::agree(private, theirs, (), |shared| derive(shared, purpose).ok_or(())).ok()
}

/// The Concat KDF with SHA-256 (NIST SP 800-56A §5.8.1, with the inputs of RFC 7518 §4.6.2).
pub(super) fn derive(shared: &[u8], purpose: &Purpose<'_>) -> Option<Wiped> {
    let mut key = Wiped(Vec::with_capacity(purpose.key_bytes.next_multiple_of(HASH_BYTES)));
    let bits = u32::try_from(purpose.key_bytes).ok()?.checked_mul(8)?;
    let mut round = 0u32;
    while key.len() < purpose.key_bytes {
        round = round.checked_add(1)?;
        let mut hash = Sha256::new();
        hash.update(round.to_be_bytes());
        hash.update(shared);
        for info in [purpose.algorithm.as_bytes(), purpose.sender, purpose.recipient] {
            hash.update(u32::try_from(info.len()).ok()?.to_be_bytes());
            hash.update(info);
        }
        hash.update(bits.to_be_bytes());
        let mut digest = [0; HASH_BYTES];
        hash.finalize_into((&mut digest).into());
        key.extend_from_slice(&digest);
        zeroize::Zeroize::zeroize(&mut digest);
    }
    key.truncate(purpose.key_bytes);
    Some(key)
}

/// What SHA-256 gives.
const HASH_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use base64ct::{Base64UrlUnpadded, Encoding};

    use super::super::public_key::Curve;
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        Base64UrlUnpadded::decode_vec(text).unwrap()
    }

    /// The point of RFC 7518 §C, which Alice made, and Bob's key.
    fn alice_and_bob() -> (Point, PrivateKey) {
        let point = [
            &[4],
            bytes("gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0").as_slice(),
            &bytes("SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps"),
        ]
        .concat();
        let bob = bytes("VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw");
        let bob = PrivateKey::from_private_key(&agreement::ECDH_P256, &bob).unwrap();
        (Point { curve: Curve::P256, bytes: point }, bob)
    }

    fn purpose(algorithm: &str, key_bytes: usize) -> Purpose<'_> {
        Purpose { algorithm, key_bytes, sender: b"Alice", recipient: b"Bob" }
    }

    #[test]
    fn the_example_of_rfc_7518() {
        let (alice, bob) = alice_and_bob();
        let key = agree(&bob, &alice, &purpose("A128GCM", 16)).unwrap();
        assert_eq!(*key, bytes("VqqN6vgjbSBcIijNcacQGg"));
    }

    #[test]
    fn the_key_depends_on_all_of_its_purpose() {
        let (alice, bob) = alice_and_bob();
        let key = |purpose: &Purpose<'_>| agree(&bob, &alice, purpose).unwrap().0.clone();
        let first = key(&purpose("A256GCM", 32));
        let others = [
            key(&purpose("A256KW", 32)),
            key(&Purpose { sender: b"Alic", ..purpose("A256GCM", 32) }),
            key(&Purpose { recipient: b"", ..purpose("A256GCM", 32) }),
            // The same bytes, cut elsewhere.
            key(&Purpose { sender: b"AliceB", recipient: b"ob", ..purpose("A256GCM", 32) }),
            key(&purpose("A256GCM", 64))[..32].to_vec(),
        ];
        assert!(others.iter().all(|other| *other != first));
        // The second round is not the first again.
        let long = key(&purpose("A256CBC-HS512", 64));
        assert_eq!(long.len(), 64);
        assert_ne!(long[..32], long[32..]);
        assert_eq!(key(&purpose("A192CBC-HS384", 48)).len(), 48);
    }

    #[test]
    fn a_point_that_is_not_on_the_curve_is_refused() {
        let (alice, bob) = alice_and_bob();
        let refused = |bytes: Vec<u8>, curve| {
            agree(&bob, &Point { curve, bytes }, &purpose("A128GCM", 16)).is_none()
        };
        // Each coordinate changed, the point at infinity, and the field's order.
        for place in [1, 32, 33, 64] {
            let mut off = alice.bytes.clone();
            off[place] ^= 1;
            assert!(refused(off, Curve::P256), "{place}");
        }
        assert!(refused([&[4], [0; 64].as_slice()].concat(), Curve::P256));
        assert!(refused([&[4], [0xff; 64].as_slice()].concat(), Curve::P256));
        // Of a curve with the same coordinates' length, and of another.
        assert!(refused(alice.bytes[1..33].to_vec(), Curve::X25519));
        assert!(refused([&[4], [7; 96].as_slice()].concat(), Curve::P384));
    }

    #[test]
    fn a_point_of_small_order_is_refused() {
        // With these, RFC 7748 §6.1 gives zeros whatever the private key.
        let private = PrivateKey::generate(&agreement::X25519).unwrap();
        for first in [0, 1] {
            let mut bytes = vec![0; 32];
            bytes[0] = first;
            let point = Point { curve: Curve::X25519, bytes };
            assert!(agree(&private, &point, &purpose("A128GCM", 16)).is_none(), "{first}");
        }
    }
}
