//! The keyring's format: what opens, and that nothing else does.

use crate::model::position::Position;
use crate::model::random_id::{LedgerId, StoreId};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::super::key_source::WrapContext;
use super::super::seal::TAG_BYTES;
use super::*;
use crate::crypto::NONCE_BYTES;
use crate::crypto::keys::RootKey;

/// Written by another program (Python, pyca/cryptography) from the formulas above: a provider's
/// wrap, then one by the key 00 01 .. 1f; roots of epochs 1 and 7.
const KNOWN: &str = "\
    4f55424b01404142434445464748494a4b4c4d4e4f02616e6f746865722773206b657920696403000e616e6f74686572277320626c6f62\
    165e20f9f3d0e69b656d77ed3126da8901006c505152535455565758595a5b5c5d5e5f606162636465666768696a6bb3cc37885183e16c\
    d586771d7276a159ed7855f97cc1b04789056eb11dcc29078ba7cc51a182f2be95ed9c039bc18fde539d4b1e6f69afff0922f76f6a137a\
    4713ee262f6eb136ec87b62c2440eff032707172737475767778797a7b3376a517b7abaeb3b8d16aa9f517c2b646c819559b1bb867dafd\
    7dc7094d4e7bf05ff50d571008349c475f2f82d668f29427f91fbeb59ed07812bf141611fd416ed3b58998a9a28f21b09885857d06f09f\
    26ab34407bc0d6a7d731d72df83c2dc5a5c7c22cc8827e6f63af9554a51e26d2eee96e7844d397e215a3bd9f8aee4520c3bb691b9138ae\
    7364868325c06a786f629d5742cd7f417ce5af070c578c488fd26050b7bd2ef49350";

fn known() -> Vec<u8> {
    base16ct::lower::decode_vec(KNOWN).unwrap()
}

fn counting_key(from: u8) -> [u8; 32] {
    std::array::from_fn(|i| from + u8::try_from(i).unwrap())
}

fn local(from: u8) -> KeySource {
    KeySource::bytes(counting_key(from))
}

/// A store's id and its mount key.
type Kept = ([u8; 16], [u8; 32]);

/// A service that keeps the mount keys it is given and hands out numbers for them.
#[derive(Default)]
struct Kms {
    id: [u8; 16],
    kept: Mutex<HashMap<Vec<u8>, Kept>>,
    down: AtomicBool,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl KeyProvider for Kms {
    fn wrap(
        &self,
        mount_key: &[u8; 32],
        context: &WrapContext<'_>,
    ) -> Result<WrappedKey, BoxError> {
        if self.down.load(Ordering::Relaxed) {
            return Err("no route to host".into());
        }
        let blob = fresh::<8>()?.to_vec();
        self.kept.lock().unwrap().insert(blob.clone(), (*context.store_id, *mount_key));
        Ok(WrappedKey { key_id: self.id, blob })
    }

    fn unwrap(
        &self,
        wrapped: &WrappedKey,
        context: &WrapContext<'_>,
    ) -> Result<Option<Zeroizing<[u8; 32]>>, BoxError> {
        if self.down.load(Ordering::Relaxed) {
            return Err("no route to host".into());
        }
        if wrapped.key_id != self.id {
            return Ok(None);
        }
        let kept = self.kept.lock().unwrap();
        let (store_id, key) = kept.get(&wrapped.blob).ok_or("unknown blob")?;
        if store_id != context.store_id {
            Err("another store".into())
        } else {
            Ok(Some(Zeroizing::new(*key)))
        }
    }
}

/// A provider whose wrap returns what it was made with.
struct Gives(Vec<u8>);

impl KeyProvider for Gives {
    fn wrap(&self, mount_key: &[u8; 32], _: &WrapContext<'_>) -> Result<WrappedKey, BoxError> {
        let blob = if self.0.is_empty() {
            [b"clear".as_slice(), mount_key].concat()
        } else {
            self.0.clone()
        };
        Ok(WrappedKey { key_id: [0; 16], blob })
    }

    fn unwrap(
        &self,
        _: &WrappedKey,
        _: &WrapContext<'_>,
    ) -> Result<Option<Zeroizing<[u8; 32]>>, BoxError> {
        Ok(Some(Zeroizing::new([5; 32])))
    }
}

fn same(a: &Keyring, b: &Keyring) -> bool {
    a.store_id == b.store_id && a.secrets.encode().unwrap() == b.secrets.encode().unwrap()
}

/// A keyring file whose body is sealed correctly, with any list of wraps.
fn file_with(wraps: &[(&WrappedKey, u8)], mount_key: &MountKey) -> Vec<u8> {
    let mut file =
        [MAGIC.as_slice(), &[VERSION], &[9; 16], &[u8::try_from(wraps.len()).unwrap()]].concat();
    for (wrapped, alg) in wraps {
        let len = u16::try_from(wrapped.blob.len()).unwrap().to_be_bytes();
        file.extend([&wrapped.key_id[..], &[*alg], &len, &wrapped.blob].concat());
    }
    let mut sealed = KeyringSecrets::generate().unwrap().encode().unwrap();
    seal_in_place(&body_key(mount_key), &file, &mut sealed, 0).unwrap();
    [&file[..], &sealed].concat()
}

fn is_damaged(result: Result<Keyring>) -> bool {
    matches!(result, Err(Error::Damaged { part: Component::Keyring, .. }))
}

#[test]
fn the_known_keyring_opens() {
    let keyring = Keyring::open(&known(), &local(0)).unwrap();
    assert_eq!(keyring.store_id.as_bytes(), b"@ABCDEFGHIJKLMNO");
    assert_eq!(keyring.secrets.index_key.bytes(), &[0xa1; 32]);
    assert_eq!(keyring.secrets.ledger_key.bytes(), &[0xa2; 32]);
    assert_eq!(keyring.secrets.ledger_id, LedgerId::filled(0xa3));
    let (epoch, root) = keyring.secrets.current_root();
    assert_eq!((epoch, root.bytes()), (7, &[0xb7; 32]));
    assert_eq!(keyring.secrets.root(1).unwrap().bytes(), &[0xb1; 32]);
    assert_eq!(keyring.secrets.root(7).unwrap().bytes(), &[0xb7; 32]);
    assert!(keyring.secrets.root(0).is_none() && keyring.secrets.root(2).is_none());
}

#[test]
fn what_is_created_opens() {
    let (made, bytes) = Keyring::create(&local(0)).unwrap();
    assert_eq!(bytes.len(), 303);
    let opened = Keyring::open(&bytes, &local(0)).unwrap();
    assert!(same(&made, &opened) && !opened.opened_by_previous);
    assert_eq!(opened.secrets.current_root().0, FIRST_EPOCH);
}

#[test]
fn nothing_is_made_twice() {
    let (a, a_bytes) = Keyring::create(&local(0)).unwrap();
    let (b, _) = Keyring::create(&local(0)).unwrap();
    let (c, c_bytes) = a.with_new_secrets(&local(1)).unwrap();
    assert_ne!(a.store_id, b.store_id);
    assert_eq!(a.store_id, c.store_id);
    for (x, y) in [(&a.secrets, &b.secrets), (&a.secrets, &c.secrets)] {
        assert_ne!(x.ledger_id, y.ledger_id);
        assert_ne!(x.index_key.bytes(), y.index_key.bytes());
        assert_ne!(x.ledger_key.bytes(), y.ledger_key.bytes());
        assert_ne!(x.current_root().1.bytes(), y.current_root().1.bytes());
    }
    assert!(same(&c, &Keyring::open(&c_bytes, &local(1)).unwrap()));
    assert!(matches!(Keyring::open(&c_bytes, &local(0)), Err(Error::KeyRejected)));
    // Written anew with the same key: salts, nonces and the mount key differ, so no 16 bytes behind
    // the key's id are the same.
    let again = a.encode(&local(0)).unwrap();
    assert!(
        a_bytes[41..].windows(16).all(|part| !again[41..].windows(16).any(|other| part == other))
    );
}

#[test]
fn a_body_belongs_to_its_own_wrap() {
    let (keyring, first) = Keyring::create(&local(0)).unwrap();
    let second = keyring.encode(&local(0)).unwrap();
    let wrap_end = 22 + 127;
    assert!(is_damaged(Keyring::open(
        &[&first[..wrap_end], &second[wrap_end..]].concat(),
        &local(0)
    )));
    let (_, other_store) = Keyring::create(&local(0)).unwrap();
    assert!(is_damaged(Keyring::open(&[&other_store[..22], &first[22..]].concat(), &local(0))));
    assert!(is_damaged(Keyring::open(
        &[&first[..22], &other_store[22..wrap_end], &first[wrap_end..]].concat(),
        &local(0)
    )));
}

#[test]
fn every_flipped_bit_is_refused_for_its_reason() {
    // Where the version lies, and the key id of the local wrap, behind the foreign one.
    let (version, own) = (4, 22 + 33);
    let good = known();
    for bit in 0..good.len() * 8 {
        let (byte, mut changed) = (bit / 8, good.clone());
        changed[byte] ^= 1 << (bit % 8);
        let result = Keyring::open(&changed, &local(0));
        let right = match &result {
            Err(Error::UnsupportedFormat {
                part: Component::Keyring,
                found,
                supported: VERSION,
            }) => byte == version && *found > VERSION,
            Err(Error::KeyRejected) => (own..own + 16).contains(&byte),
            Err(Error::Damaged { part: Component::Keyring, .. }) => {
                byte != version || changed[version] == 0
            }
            _ => false,
        };
        assert!(right, "bit {bit}: {result:?}");
        // With only the foreign wrap's provider, what lies in it is the provider's to judge; the
        // store still does not open.
        assert!(
            Keyring::open(&changed, &KeySource::provider(Gives(vec![1]))).is_err(),
            "bit {bit}"
        );
    }
}

#[test]
fn every_other_length_is_refused() {
    let (_, created) = Keyring::create(&local(0)).unwrap();
    for good in [known(), created] {
        for len in 0..good.len() {
            assert!(is_damaged(Keyring::open(&good[..len], &local(0))), "length {len}");
        }
        for more in [1, 16, 28, Keyring::MAX_BYTES] {
            let mut longer = good.clone();
            longer.resize(good.len() + more, 0);
            assert!(is_damaged(Keyring::open(&longer, &local(0))), "{more} more");
        }
        assert!(is_damaged(Keyring::open(&[&good[..], &good[..]].concat(), &local(0))));
    }
}

#[test]
fn garbage_is_damage() {
    assert!(is_damaged(Keyring::open(&[0; 300], &local(0))));
    assert!(is_damaged(Keyring::open(b"SQLite format 3", &local(0))));
    // A later version must be recognised, whatever follows it, but only after the magic.
    assert!(matches!(
        Keyring::open(b"OUBK\x03", &local(0)),
        Err(Error::UnsupportedFormat { found: 3, .. })
    ));
    assert!(is_damaged(Keyring::open(b"OUBL\x02", &local(0))));
}

#[test]
fn a_list_of_wraps_must_be_well_formed_even_if_the_body_opens() {
    let (kek, mount_key) =
        (OperatorKey::init(|bytes| *bytes = counting_key(0)), MountKey::random().unwrap());
    let own = wrap_locally(&kek, &mount_key, &StoreId::filled(9)).unwrap();
    let other = |id: u8| WrappedKey { key_id: [id; 16], blob: vec![id] };
    let others: Vec<_> = (0..8).map(other).collect();
    let open =
        |wraps: &[(&WrappedKey, u8)]| Keyring::open(&file_with(wraps, &mount_key), &local(0));
    let many = |count: usize| -> Vec<_> {
        others[..count].iter().map(|o| (o, 3)).chain([(&own, 1)]).collect()
    };
    assert!(open(&many(0)).is_ok() && open(&many(7)).is_ok());
    assert!(is_damaged(open(&many(8))) && is_damaged(open(&[])));
    // Twice the same id: which one counts would be a trial. An id with the wrong kind of wrap, or
    // of an unknown kind.
    assert!(is_damaged(open(&[(&own, 1), (&own, 1)])) && is_damaged(open(&[(&own, 1), (&own, 3)])));
    assert!(
        is_damaged(open(&[(&own, 3)]))
            && is_damaged(open(&[(&own, 2)]))
            && is_damaged(open(&[(&own, 1), (&others[0], 0)]))
    );
    // A blob of the most bytes allowed, and of one more.
    let long = |len| WrappedKey { key_id: [1; 16], blob: vec![0; len] };
    assert!(open(&[(&own, 1), (&long(MAX_BLOB_BYTES), 3)]).is_ok());
    assert!(is_damaged(open(&[(&own, 1), (&long(MAX_BLOB_BYTES + 1), 3)])));
}

/// The body authenticates its wrap too; here the wrap stands alone.
#[test]
fn a_local_wrap_opens_only_unchanged() {
    let (kek, mount_key) = (OperatorKey::random().unwrap(), MountKey::random().unwrap());
    let WrappedKey { key_id, blob } = wrap_locally(&kek, &mount_key, &StoreId::filled(9)).unwrap();
    let open = |kek: &OperatorKey, id: &[u8; 16], blob: &[u8], store: u8| {
        open_local_blob(kek, id, blob, &StoreId::filled(store))
    };
    assert_eq!(open(&kek, &key_id, &blob, 9).unwrap().bytes(), mount_key.bytes());
    assert!(open(&kek, &key_id, &blob, 8).is_none() && open(&kek, &[0; 16], &blob, 9).is_none());
    let another = OperatorKey::init(|bytes| *bytes = *mount_key.bytes());
    assert!(open(&another, &key_id, &blob, 9).is_none());
    for bit in 0..blob.len() * 8 {
        let mut changed = blob.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&kek, &key_id, &changed, 9).is_none(), "bit {bit}");
    }
    for len in 0..blob.len() {
        assert!(open(&kek, &key_id, &blob[..len], 9).is_none(), "length {len}");
    }
    assert!(open(&kek, &key_id, &[&blob[..], &[0]].concat(), 9).is_none());
}

#[test]
fn a_body_must_be_well_formed_even_if_it_opens() {
    let (keyring, _) = Keyring::create(&local(0)).unwrap();
    let body = keyring.secrets.encode().unwrap()[NONCE_BYTES..].to_vec();
    assert!(KeyringSecrets::decode(VERSION, &body).is_some());
    let changed = |at: usize, to: u8| {
        let mut body = body.clone();
        body[at] = to;
        body
    };
    for bad in [
        changed(0, 1),
        changed(0, 3),
        changed(81, 0),
        changed(81, 2),
        [&body[..], &[0]].concat(),
        body[..body.len() - 1].to_vec(),
    ] {
        assert!(KeyringSecrets::decode(VERSION, &bad).is_none());
    }
    // Two roots: of the same epoch, of falling and of rising epochs.
    for (epoch, good) in [(0, false), (1, false), (2, true)] {
        let mut two = changed(81, 2);
        let root = two[82..82 + 36].to_vec();
        two.splice(82 + 36..82 + 36, root);
        two[82 + 36 + 3] = epoch;
        assert_eq!(KeyringSecrets::decode(VERSION, &two).is_some(), good);
    }
}

#[test]
fn the_body_is_encoded_without_growing() {
    let mut secrets = KeyringSecrets::generate().unwrap();
    for epoch in 1..=255 {
        let body = secrets.encode().unwrap();
        assert_eq!(body.capacity(), body.len() + TAG_BYTES);
        let newest =
            std::mem::replace(&mut secrets.newest_root, (epoch + 1, RootKey::random().unwrap()));
        secrets.older_roots.push(newest);
    }
    assert!(secrets.encode().is_err());
}

#[test]
fn the_largest_keyring_opens() {
    let (mut keyring, _) = Keyring::create(&local(0)).unwrap();
    for epoch in 1..255 {
        let newest = std::mem::replace(
            &mut keyring.secrets.newest_root,
            (epoch + 1, RootKey::random().unwrap()),
        );
        keyring.secrets.older_roots.push(newest);
    }
    let bytes = keyring.encode(&local(0)).unwrap();
    let most = bytes.len() + usize::from(MAX_WRAPS) * (19 + MAX_BLOB_BYTES);
    assert!(most <= Keyring::MAX_BYTES, "{most}");
    assert!(same(&keyring, &Keyring::open(&bytes, &local(0)).unwrap()));
}

#[test]
fn a_wrong_key_is_rejected_and_a_previous_one_accepted() {
    let (made, bytes) = Keyring::create(&local(0).previous(local(1))).unwrap();
    for wrong in [
        local(1),
        local(1).previous(local(2)),
        local(1).previous(KeySource::provider(Kms::default())),
    ] {
        assert!(matches!(Keyring::open(&bytes, &wrong), Err(Error::KeyRejected)));
    }
    // The new key first, as after a change of keys; then the store is wrapped by it, and the old
    // one is out.
    let changed = local(1).previous(local(2)).previous(local(0));
    let opened = Keyring::open(&bytes, &changed).unwrap();
    assert!(same(&made, &opened) && opened.opened_by_previous);
    let rewrapped = opened.encode(&changed).unwrap();
    let opened = Keyring::open(&rewrapped, &changed).unwrap();
    assert!(same(&made, &opened) && !opened.opened_by_previous);
    assert!(matches!(Keyring::open(&rewrapped, &local(0)), Err(Error::KeyRejected)));
}

#[test]
fn a_key_that_cannot_be_read_is_not_passed_over() {
    let (_, bytes) = Keyring::create(&local(0)).unwrap();
    let absent = || KeySource::file("/does/not/exist");
    assert!(matches!(
        Keyring::open(&bytes, &absent().previous(local(0))),
        Err(Error::KeyUnavailable { .. })
    ));
    assert!(matches!(
        Keyring::open(&bytes, &local(1).previous(absent())),
        Err(Error::KeyUnavailable { .. })
    ));
    assert!(matches!(
        Keyring::create(&absent().previous(local(0))),
        Err(Error::KeyUnavailable { .. })
    ));
    // But it is not asked for once another fits.
    assert!(Keyring::open(&bytes, &local(0).previous(absent())).is_ok());
}

#[test]
fn a_provider_wraps_and_unwraps() {
    let kms = Arc::new(Kms::default());
    let source = || KeySource::provider(kms.clone());
    let (made, bytes) = Keyring::create(&source()).unwrap();
    assert!(same(&made, &Keyring::open(&bytes, &source()).unwrap()));
    // Each writing has its own mount key.
    made.encode(&source()).unwrap();
    let keys: HashSet<_> = kms.kept.lock().unwrap().values().map(|kept| kept.1).collect();
    assert!(keys.len() == 2 && !keys.contains(&[0; 32]));
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(Keyring::open(&changed, &source()).is_err(), "bit {bit}");
    }
    // From a local key to the provider and back.
    let (_, before) = Keyring::create(&local(0)).unwrap();
    let both = source().previous(local(0));
    let opened = Keyring::open(&before, &both).unwrap();
    let after = opened.encode(&both).unwrap();
    assert!(same(&opened, &Keyring::open(&after, &local(1).previous(source())).unwrap()));
    // A provider is not asked about a local wrap.
    assert!(matches!(
        Keyring::open(&before, &KeySource::provider(Gives(vec![1]))),
        Err(Error::KeyRejected)
    ));
}

#[test]
fn a_provider_that_fails_stops_opening_and_one_that_declines_does_not() {
    let kms = Arc::new(Kms::default());
    let (_, bytes) = Keyring::create(&KeySource::provider(kms.clone())).unwrap();
    let other = || KeySource::provider(Kms { id: [1; 16], ..Kms::default() });
    assert!(matches!(Keyring::open(&bytes, &other()), Err(Error::KeyRejected)));
    assert!(Keyring::open(&bytes, &other().previous(KeySource::provider(kms.clone()))).is_ok());
    kms.down.store(true, Ordering::Relaxed);
    let source = KeySource::provider(kms).previous(local(0));
    for result in [Keyring::open(&bytes, &source).map(drop), Keyring::create(&source).map(drop)] {
        let error = result.unwrap_err();
        assert!(
            matches!(error, Error::KeyUnavailable { .. })
                && error.to_string().contains("no route to host"),
            "{error}"
        );
    }
}

#[test]
fn a_provider_is_not_trusted_to_wrap_well() {
    for (blob, why) in
        [(vec![], "readable"), (vec![1; MAX_BLOB_BYTES + 1], "4096"), (vec![1; 70_000], "4096")]
    {
        let error = Keyring::create(&KeySource::provider(Gives(blob))).unwrap_err();
        assert!(
            matches!(error, Error::KeyUnavailable { .. }) && error.to_string().contains(why),
            "{error}"
        );
    }
    // It wraps, and then does not know its own wrap, or gives another key: found out before
    // anything depends on it.
    let error = Keyring::create(&KeySource::provider(Gives(vec![1]))).unwrap_err();
    assert!(error.to_string().contains("does not unwrap what it wrapped"), "{error}");
    let error = Keyring::create(&local(0).also(KeySource::provider(Gives(vec![1])))).unwrap_err();
    assert!(matches!(error, Error::KeyUnavailable { .. }), "{error}");
}

#[test]
fn each_of_several_keys_opens_the_keyring_until_it_is_written_without_it() {
    let both = local(0).also(local(1).also(local(2)));
    let (made, bytes) = Keyring::create(&both).unwrap();
    for key in 0..3 {
        let opened = Keyring::open(&bytes, &local(key)).unwrap();
        assert!(same(&made, &opened) && !opened.opened_by_previous);
    }
    let opened =
        Keyring::open(&bytes, &local(3).also(local(4)).previous(local(2).also(local(1)))).unwrap();
    assert!(opened.opened_by_previous);
    assert!(!Keyring::open(&bytes, &local(3).also(local(1))).unwrap().opened_by_previous);
    let after = made.encode(&local(3)).unwrap();
    assert!(same(&made, &Keyring::open(&after, &local(3)).unwrap()));
    assert!(
        (0..3).all(|key| matches!(Keyring::open(&after, &local(key)), Err(Error::KeyRejected)))
    );
    // One key twice, or nine.
    assert!(matches!(made.encode(&local(0).also(local(0))), Err(Error::InvalidInput { .. })));
    let many = |count: u8| (1..count).fold(local(0), |keys, key| keys.also(local(key)));
    assert!(made.encode(&many(8)).is_ok());
    assert!(matches!(made.encode(&many(9)), Err(Error::InvalidInput { .. })));
}

#[test]
fn a_successor_shares_nothing_but_the_names() {
    let (made, bytes) = Keyring::create(&local(0)).unwrap();
    let (next, after) = made.successor(&local(0)).unwrap();
    assert_eq!(
        (made.store_id, made.secrets.index_key.bytes()),
        (next.store_id, next.secrets.index_key.bytes())
    );
    assert_ne!(made.secrets.ledger_id, next.secrets.ledger_id);
    assert_ne!(made.secrets.ledger_key.bytes(), next.secrets.ledger_key.bytes());
    assert_ne!(made.secrets.newest_root.1.bytes(), next.secrets.newest_root.1.bytes());
    assert!(
        next.secrets.newest_root.0 > made.secrets.newest_root.0
            && next.secrets.older_roots.is_empty()
    );
    assert!(same(&next, &Keyring::open(&after, &local(0)).unwrap()) && bytes != after);
}

#[test]
fn nothing_shows_a_key() {
    let keyring = Keyring::open(&known(), &local(0)).unwrap();
    let text = format!("{keyring:?} {:?} {keyring:#?}", keyring.secrets);
    for needle in ["161, 161", "162, 162", "177, 177", "183, 183", "a1a1", "b7b7"] {
        assert!(!text.contains(needle), "{text}");
    }
    let wrapped = WrappedKey { key_id: *b"key id, 16 bytes", blob: b"needle".to_vec() };
    let text = format!("{wrapped:?} {:?}", WrapContext::new(b"store, sixteen b"));
    assert!(!text.contains("110, 101") && !text.contains("needle"), "{text}");
}

/// A store of version 1, whose keyring names a key that is not available: both keys go on opening
/// it.
#[test]
fn a_keyring_is_settled_without_the_keys_that_are_not_there() {
    let (mut keyring, _) = Keyring::create(&local(0)).unwrap();
    keyring.secrets.old_end = None;
    let both = keyring.encode(&local(0).also(local(1))).unwrap();
    let settled = Keyring::settled(&both, &local(0), Position::new(7)).unwrap();
    for key in [local(0), local(1)] {
        let opened = Keyring::open(&settled, &key).unwrap();
        assert_eq!(
            (opened.store_id, opened.secrets.old_end),
            (keyring.store_id, Some(Position::new(7)))
        );
        assert_eq!(opened.secrets.index_key.bytes(), keyring.secrets.index_key.bytes());
    }
    assert!(matches!(
        Keyring::settled(&both, &local(2), Position::new(7)),
        Err(Error::KeyRejected)
    ));
    assert_eq!(Keyring::open(&both, &local(1)).unwrap().secrets.old_end, None);
}
