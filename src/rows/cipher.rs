//! Row values: how headers, sign-ins, tokens and the checkpoint are sealed and opened. Pure
//! functions over bytes.
//!
//! `wrapping key = HKDF[root of its epoch]("account-key" | salt16)` wraps a random account key, and
//! the account key seals all else of the account. Associated data: label, store id, ledger id,
//! generation, the full row key, and the clear front of the value; so no row opens in another's
//! place, nor another version of it under another front. `docs/format.md` has the tables.

use crate::crypto::{
    AccountKey, Keyring, KeyringSecrets, SealingKey, open_in_place, seal_in_place, sub_key,
};
use crate::model::error::Result;
use crate::model::random_id::{Generation, LedgerId, StoreId, WriteId};
use crate::rows::header::Header;

/// The first byte of a row of version 1. The keyring's version is that of the whole store, so a
/// byte that does not belong to that version was changed.
pub(super) const FORMAT: u8 = 1;

/// Seals and opens the rows of one store.
pub(crate) struct Rows {
    store_id: StoreId,
    ledger_id: LedgerId,
    pub(super) secrets: KeyringSecrets,
}

impl Rows {
    pub(crate) fn new(store_id: StoreId, secrets: KeyringSecrets) -> Self {
        Self { store_id, ledger_id: secrets.ledger_id, secrets }
    }

    /// The keyring, as its file would be read.
    pub(crate) fn keyring(&self) -> Keyring {
        Keyring {
            store_id: self.store_id,
            secrets: self.secrets.clone(),
            opened_by_previous: false,
        }
    }

    /// A key for the rows of one thing that belongs to no account.
    pub(crate) fn key_of_nobody(&self, label: &[u8], salt: &WriteId) -> AccountKey {
        sub_key(self.secrets.current_root().1, &[label, salt.as_bytes()])
    }

    pub(crate) fn checkpoint_key(&self) -> SealingKey {
        sub_key(self.secrets.current_root().1, &[b"oubliette/v1/checkpoint"])
    }

    /// Seals in place what `row` holds behind the room for `front` and the nonce, and writes both.
    pub(super) fn seal_behind(
        &self,
        label: &[u8],
        key: &[u8],
        header: &Header,
        front: &[u8],
        row: &mut Vec<u8>,
    ) -> Result<()> {
        if let Some(start) = row.get_mut(..front.len()) {
            start.copy_from_slice(front);
        }
        seal_in_place(
            &header.account_key,
            &self.aad(label, &header.generation, key, front),
            row,
            front.len(),
        )
    }

    pub(super) fn open_behind<'a>(
        &self,
        label: &[u8],
        kind: [u8; 2],
        key: &[u8],
        header: &Header,
        front: usize,
        row: &'a mut [u8],
    ) -> Result<Option<&'a mut [u8]>> {
        let Some((front, sealed)) = row.split_at_mut_checked(front) else { return Ok(None) };
        if !front.starts_with(&kind) {
            return Ok(None);
        }
        Ok(open_in_place(
            &header.account_key,
            &self.aad(label, &header.generation, key, front),
            sealed,
        ))
    }

    /// `label | store id | ledger id | generation | key length u32 | key | front`: only the last
    /// field has a variable length without a prefix.
    pub(crate) fn aad(
        &self,
        label: &[u8],
        generation: &Generation,
        key: &[u8],
        front: &[u8],
    ) -> Vec<u8> {
        let mut aad = Vec::with_capacity(64 + label.len() + key.len() + front.len());
        aad.extend_from_slice(b"oubliette/v1/");
        aad.extend_from_slice(label);
        aad.push(0);
        aad.extend_from_slice(self.store_id.as_bytes());
        aad.extend_from_slice(self.ledger_id.as_bytes());
        aad.extend_from_slice(generation.as_bytes());
        aad.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes());
        aad.extend_from_slice(key);
        aad.extend_from_slice(front);
        aad
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{KeySource, Keyring};

    /// In a real store the keys differ too, so no other test can show this: here each part is
    /// tested by itself.
    #[test]
    fn every_part_of_the_associated_data_counts() {
        let (keyring, _) = Keyring::create(&KeySource::bytes([7; 32])).unwrap();
        let mut other_ledger = keyring.secrets.clone();
        other_ledger.ledger_id = LedgerId::filled(1);
        let rows = Rows::new(StoreId::filled(1), keyring.secrets.clone());
        let all = [
            rows.aad(b"label", &Generation::filled(2), b"key", b"front"),
            rows.aad(b"other", &Generation::filled(2), b"key", b"front"),
            rows.aad(b"label", &Generation::filled(3), b"key", b"front"),
            rows.aad(b"label", &Generation::filled(2), b"yek", b"front"),
            rows.aad(b"label", &Generation::filled(2), b"key", b"tnorf"),
            rows.aad(b"label", &Generation::filled(2), b"keyf", b"ront"),
            Rows::new(StoreId::filled(9), keyring.secrets.clone()).aad(
                b"label",
                &Generation::filled(2),
                b"key",
                b"front",
            ),
            Rows::new(StoreId::filled(1), other_ledger).aad(
                b"label",
                &Generation::filled(2),
                b"key",
                b"front",
            ),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
