//! Tickets: where a sign-in is, sealed for whoever carries it. Nothing of a ticket is stored.
//!
//! `key = HKDF[root of the epoch]("ticket" | salt16)`: a key for each ticket, so that however many
//! are made, no key seals twice.

use base64ct::{Base64UrlUnpadded, Encoding};
use zeroize::Zeroizing;

use crate::crypto::{
    NONCE_BYTES, OVERHEAD_BYTES, RootKey, SealingKey, fresh, open_in_place, seal_in_place, sub_key,
};
use crate::model::error::Result;
use crate::model::random_id::{Generation, SignInId};
use crate::model::tag::{AccountTag, TAG_LEN};
use crate::model::ticket::Ticket;
use crate::rows::cipher::Rows;

/// The version of the tickets that are made.
const VERSION: u8 = 1;
const SALT_BYTES: usize = 16;
/// The version, the epoch of the root key, and the salt: in clear, and authenticated.
const FRONT_BYTES: usize = 1 + 4 + SALT_BYTES;
/// The account's tag and the sign-in's id: of the same length for everybody.
const BODY_BYTES: usize = 2 * TAG_LEN;
const TICKET_BYTES: usize = FRONT_BYTES + OVERHEAD_BYTES + BODY_BYTES;
/// Without padding, of a multiple of three bytes.
const TEXT_BYTES: usize = TICKET_BYTES / 3 * 4;

impl Rows {
    /// A ticket for this sign-in. Each is another one.
    pub(crate) fn seal_ticket(&self, account: &AccountTag, id: &SignInId) -> Result<Ticket> {
        let (epoch, root) = self.secrets.current_root();
        let salt = fresh::<SALT_BYTES>()?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(TICKET_BYTES));
        bytes.push(VERSION);
        bytes.extend_from_slice(&epoch.to_be_bytes());
        bytes.extend_from_slice(&salt);
        let aad = self.aad(b"ticket", &Generation::NONE, &[], &bytes);
        bytes.resize(FRONT_BYTES + NONCE_BYTES, 0);
        bytes.extend_from_slice(account.as_bytes());
        bytes.extend_from_slice(id.as_bytes());
        seal_in_place(&key(root, &salt), &aad, &mut bytes, FRONT_BYTES)?;
        Ok(Ticket::new(Base64UrlUnpadded::encode_string(&bytes)))
    }

    /// The account and the sign-in of a ticket; `None` if it is not one of this store, as it was
    /// made.
    pub(crate) fn open_ticket(&self, text: &str) -> Option<(AccountTag, SignInId)> {
        if text.len() != TEXT_BYTES {
            return None;
        }
        let mut bytes = Zeroizing::new([0; TICKET_BYTES]);
        Base64UrlUnpadded::decode(text, &mut *bytes).ok()?;
        let (front, sealed) = bytes.split_at_mut_checked(FRONT_BYTES)?;
        let (epoch, salt) = front.strip_prefix(&[VERSION])?.split_first_chunk()?;
        let root = self.secrets.root(u32::from_be_bytes(*epoch))?;
        let aad = self.aad(b"ticket", &Generation::NONE, &[], front);
        let body = open_in_place(&key(root, salt), &aad, sealed)?;
        let ([account, id], []) = body.as_chunks::<TAG_LEN>() else { return None };
        Some((AccountTag::from_bytes(*account), SignInId::from_bytes(*id)))
    }
}

fn key(root: &RootKey, salt: &[u8]) -> SealingKey {
    sub_key(root, &[b"oubliette/v1/ticket", salt])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{KeySource, Keyring};
    use crate::model::random_id::{LedgerId, StoreId};

    fn at() -> (AccountTag, SignInId) {
        (AccountTag::filled(3), SignInId::filled(4))
    }

    #[test]
    fn a_ticket_opens_as_it_was_made_and_only_there() {
        let (keyring, _) = Keyring::create(&KeySource::bytes([7; 32])).unwrap();
        let secrets = keyring.secrets;
        let rows = Rows::new(StoreId::filled(1), secrets.clone());
        let (account, id) = at();
        let ticket = rows.seal_ticket(&account, &id).unwrap();
        assert_eq!((ticket.expose().len(), format!("{ticket:?}").as_str()), (108, "Ticket(..)"));
        assert_eq!(TICKET_BYTES % 3, 0);
        assert!(rows.open_ticket(ticket.expose()) == Some(at()));
        assert!(rows.seal_ticket(&account, &id).unwrap() != ticket, "each is another one");

        // Another store with the same keys, another ledger of this one, other keys.
        let of_another_store = Rows::new(StoreId::filled(2), secrets.clone());
        let mut erased = secrets.clone();
        erased.ledger_id = LedgerId::filled(9);
        let (other, _) = Keyring::create(&KeySource::bytes([7; 32])).unwrap();
        for rows in [
            of_another_store,
            Rows::new(StoreId::filled(1), erased),
            Rows::new(StoreId::filled(1), other.secrets),
        ] {
            assert!(rows.open_ticket(ticket.expose()).is_none());
        }
    }

    #[test]
    fn no_changed_ticket_opens() {
        let (keyring, _) = Keyring::create(&KeySource::bytes([7; 32])).unwrap();
        let rows = Rows::new(StoreId::filled(1), keyring.secrets);
        let ticket = rows.seal_ticket(&at().0, &at().1).unwrap();
        let text = ticket.expose();
        let bytes = Base64UrlUnpadded::decode_vec(text).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let changed = Base64UrlUnpadded::encode_string(&changed);
            assert!(rows.open_ticket(&changed).is_none(), "byte {at}");
        }
        for end in 0..text.len() {
            assert!(rows.open_ticket(&text[..end]).is_none(), "{end} letters");
        }
        let longer = [format!("{text}AAAA"), format!("{text}="), format!(" {text}")];
        assert!(longer.iter().all(|text| rows.open_ticket(text).is_none()));
        assert!(rows.open_ticket(&"é".repeat(TEXT_BYTES / 2)).is_none());
    }
}
