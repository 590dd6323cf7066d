//! Keyrings.

use super::*;
use crate::crypto::{KeyProvider, WrapContext, WrappedKey};
use crate::model::position::Position;

/// It stands for a service that wraps keys: not secure, but it repeats.
struct Service;

impl KeyProvider for Service {
    fn wrap(
        &self,
        key: &[u8; 32],
        _: &WrapContext<'_>,
    ) -> Result<WrappedKey, Box<dyn std::error::Error + Send + Sync>> {
        Ok(WrappedKey { key_id: *b"a service's key.", blob: key.map(|byte| !byte).to_vec() })
    }

    fn unwrap(
        &self,
        wrapped: &WrappedKey,
        _: &WrapContext<'_>,
    ) -> Result<Option<zeroize::Zeroizing<[u8; 32]>>, Box<dyn std::error::Error + Send + Sync>>
    {
        let key: [u8; 32] = wrapped.blob.as_slice().try_into()?;
        Ok((wrapped.key_id == *b"a service's key.").then(|| key.map(|byte| !byte).into()))
    }
}

#[test]
fn golden_keyrings() {
    let (made, bytes) = keyring();
    let file = golden("keyring", &[&bytes]).remove(0);
    let two = seeded("two wraps", || {
        made.encode(&operator(1).also(KeySource::provider(Service))).unwrap()
    });
    let file_of_two = golden("keyring-two-wraps", &[&two]).remove(0);
    let opened = [
        (&file, operator(0)),
        (&file_of_two, operator(1)),
        (&file_of_two, operator(9).previous(KeySource::provider(Service))),
    ];
    for (file, source) in opened {
        let opened = Keyring::open(file, &source).unwrap();
        let (secrets, expected) = (&opened.secrets, &made.secrets);
        assert_eq!((opened.store_id, secrets.ledger_id), (made.store_id, expected.ledger_id));
        let keys = |secrets: &crate::crypto::KeyringSecrets| {
            let root = secrets.current_root().1;
            [*secrets.index_key.bytes(), *secrets.ledger_key.bytes(), *root.bytes()]
        };
        assert_eq!(
            (keys(secrets), secrets.current_root().0),
            (keys(expected), expected.current_root().0)
        );
        assert_eq!(secrets.old_end, Some(Position::ZERO));
    }
    // Of version 1: the same keys, and nothing is said of where its openings end.
    for (name, source) in [("keyring", operator(0)), ("keyring-two-wraps", operator(1))] {
        let old = Keyring::open(&of_version_1(name)[0], &source).unwrap();
        assert_eq!((old.store_id, old.secrets.old_end), (made.store_id, None));
        assert_eq!(old.secrets.index_key.bytes(), made.secrets.index_key.bytes());
    }
}
