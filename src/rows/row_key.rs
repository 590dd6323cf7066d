//! Row keys: one ordered key space, fixed widths, the account first, so that an account is one
//! range and a sign-in a sub-range of it. Identifiers appear only as keyed hashes. Pure functions;
//! `docs/format.md` has the table.

use crate::model::tag::{TAG_LEN, Tag};

/// The random id of a sign-in.
pub(crate) type SignInId = [u8; 16];

/// The row that holds the checkpoint of the ledger's synced end.
pub(crate) const CHECKPOINT: &[u8] = b"C";
/// The row that holds what is known of the time.
pub(crate) const KNOWN: &[u8] = b"K";
/// The row that holds what the move brought that made this engine.
pub(crate) const FRESH: &[u8] = b"F";
const ACCOUNT: u8 = b'A';
const HEADER: u8 = 0x00;
const SIGN_IN: u8 = 0x08;
const TOKEN: u8 = 0x10;
const WEB: u8 = 0x18;
const WEB_INDEX: u8 = b'W';
const UNBOUND: u8 = b'V';

/// What an index row finds accounts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Index {
    Tenant,
    Session,
    Subject,
    Alias,
}

impl Index {
    pub(crate) const ALL: [Self; 4] = [Self::Tenant, Self::Session, Self::Subject, Self::Alias];

    fn byte(self) -> u8 {
        match self {
            Self::Tenant => b'T',
            Self::Session => b'S',
            Self::Subject => b'U',
            Self::Alias => b'L',
        }
    }

    /// Every row of this index.
    pub(crate) fn prefix(self) -> Vec<u8> {
        vec![self.byte()]
    }

    /// Every account under `tag`.
    pub(crate) fn accounts_of(self, tag: &Tag) -> Vec<u8> {
        [&[self.byte()], tag.as_slice()].concat()
    }

    /// The row that says that `account` is under `tag`.
    pub(crate) fn row(self, tag: &Tag, account: &Tag) -> Vec<u8> {
        [&[self.byte()], tag.as_slice(), account].concat()
    }
}

/// The tag and the account that an index row names; `None` if this crate did not make the key.
pub(crate) fn indexed(key: &[u8]) -> Option<(Tag, Tag)> {
    let (tag, account) = key.get(1..)?.split_first_chunk::<TAG_LEN>()?;
    Some((*tag, account.try_into().ok()?))
}

/// The account that an index row names.
pub(crate) fn indexed_account(key: &[u8]) -> Option<Tag> {
    indexed(key).map(|(_, account)| account)
}

/// Every header, sign-in and token, account by account.
pub(crate) fn all_accounts() -> Vec<u8> {
    vec![ACCOUNT]
}

/// Every row of an account but its index rows.
pub(crate) fn account(account: &Tag) -> Vec<u8> {
    [&[ACCOUNT], account.as_slice()].concat()
}

/// A key behind every key that begins like those of this account.
pub(crate) fn behind_account(account: &Tag) -> Vec<u8> {
    match u128::from_be_bytes(*account).checked_add(1) {
        Some(next) => [&[ACCOUNT], next.to_be_bytes().as_slice()].concat(),
        None => vec![ACCOUNT + 1],
    }
}

/// The account that a header, sign-in or token row belongs to.
pub(crate) fn account_of(key: &[u8]) -> Option<Tag> {
    key.strip_prefix(&[ACCOUNT])?.first_chunk().copied()
}

pub(crate) fn header(account: &Tag) -> Vec<u8> {
    [&[ACCOUNT], account.as_slice(), &[HEADER]].concat()
}

pub(crate) fn sign_in(account: &Tag, id: &SignInId) -> Vec<u8> {
    [&[ACCOUNT], account.as_slice(), &[SIGN_IN], id].concat()
}

/// Every token of a sign-in.
pub(crate) fn tokens(account: &Tag, id: &SignInId) -> Vec<u8> {
    [&[ACCOUNT], account.as_slice(), &[TOKEN], id].concat()
}

/// Every token of a sign-in in one tenant.
pub(crate) fn tokens_in(account: &Tag, id: &SignInId, tenant: &Tag) -> Vec<u8> {
    [&[ACCOUNT], account.as_slice(), &[TOKEN], id, tenant].concat()
}

/// One part of a token. The first part of every token is 0.
pub(crate) fn token(account: &Tag, id: &SignInId, tenant: &Tag, slot: &Tag, part: u8) -> Vec<u8> {
    [&[ACCOUNT], account.as_slice(), &[TOKEN], id, tenant, slot, &[part]].concat()
}

/// One part of a web session that ends with a sign-in. Its key says by itself which index row finds
/// it.
pub(crate) fn web(account: &Tag, id: &SignInId, session: &Tag, part: u8) -> Vec<u8> {
    [&[ACCOUNT], account.as_slice(), &[WEB], id, session, &[part]].concat()
}

/// Every part of a web session that ends with a sign-in.
pub(crate) fn web_parts(account: &Tag, id: &SignInId, session: &Tag) -> Vec<u8> {
    [&[ACCOUNT], account.as_slice(), &[WEB], id, session].concat()
}

/// The row that finds a web session's sign-in. It goes in every batch that its rows go in.
pub(crate) fn web_index(session: &Tag, account: &Tag, id: &SignInId) -> Vec<u8> {
    [&[WEB_INDEX], session.as_slice(), account, id].concat()
}

/// Every row that finds a web session.
pub(crate) fn web_indexes() -> Vec<u8> {
    vec![WEB_INDEX]
}

/// Every row that finds this web session: one, or none.
#[cfg_attr(not(feature = "tower-sessions"), allow(dead_code))]
pub(crate) fn web_indexes_of(session: &Tag) -> Vec<u8> {
    [&[WEB_INDEX], session.as_slice()].concat()
}

/// The web session, account and sign-in that an index row of web sessions names.
pub(crate) fn web_indexed(key: &[u8]) -> Option<(Tag, Tag, SignInId)> {
    let (session, rest) = key.strip_prefix(&[WEB_INDEX])?.split_first_chunk::<TAG_LEN>()?;
    let (account, id) = rest.split_first_chunk::<TAG_LEN>()?;
    Some((*session, *account, id.try_into().ok()?))
}

/// One part of a web session of nobody's.
pub(crate) fn unbound(session: &Tag, part: u8) -> Vec<u8> {
    [&[UNBOUND], session.as_slice(), &[part]].concat()
}

/// Every web session of nobody's.
pub(crate) fn all_unbound() -> Vec<u8> {
    vec![UNBOUND]
}

/// Every part of a web session of nobody's.
pub(crate) fn unbound_parts(session: &Tag) -> Vec<u8> {
    [&[UNBOUND], session.as_slice()].concat()
}

/// The web session and the part that a row of nobody's is.
pub(crate) fn unbound_of(key: &[u8]) -> Option<(Tag, u8)> {
    let (session, part) = key.strip_prefix(&[UNBOUND])?.split_first_chunk::<TAG_LEN>()?;
    let [part] = *part else { return None };
    Some((*session, part))
}

/// What a row of an account's range is, by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccountRow {
    Header,
    SignIn(SignInId),
    Token { sign_in: SignInId, tenant: Tag, slot: Tag, part: u8 },
    Web { sign_in: SignInId, session: Tag, part: u8 },
}

/// Reads a key of an account's range; `None` if this crate did not make it.
pub(crate) fn parse(key: &[u8]) -> Option<AccountRow> {
    let (_, rest) = key.strip_prefix(&[ACCOUNT])?.split_first_chunk::<TAG_LEN>()?;
    let (kind, rest) = rest.split_first()?;
    match *kind {
        HEADER if rest.is_empty() => Some(AccountRow::Header),
        SIGN_IN => rest.try_into().ok().map(AccountRow::SignIn),
        TOKEN => {
            let (sign_in, rest) = rest.split_first_chunk()?;
            let (tenant, rest) = rest.split_first_chunk()?;
            let (slot, rest) = rest.split_first_chunk()?;
            let [part] = *rest else { return None };
            Some(AccountRow::Token { sign_in: *sign_in, tenant: *tenant, slot: *slot, part })
        }
        WEB => {
            let (sign_in, rest) = rest.split_first_chunk()?;
            let (session, rest) = rest.split_first_chunk()?;
            let [part] = *rest else { return None };
            Some(AccountRow::Web { sign_in: *sign_in, session: *session, part })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_one_range_and_a_sign_in_a_part_of_it() {
        let [a, b, id, tenant, slot] = [[1; 16], [2; 16], [3; 16], [4; 16], [5; 16]];
        let tokens_of = |part| token(&a, &id, &tenant, &slot, part);
        let keys = [
            header(&a),
            sign_in(&a, &id),
            tokens_of(0),
            tokens_of(1),
            web(&a, &id, &slot, 2),
            header(&b),
        ];
        assert!(keys.is_sorted());
        assert!(
            keys[..5].iter().all(|key| key.starts_with(&account(&a)) && *key < behind_account(&a))
        );
        assert!(behind_account(&a) < keys[5] && behind_account(&[0xff; 16]) > header(&[0xff; 16]));
        assert!(
            keys[2].starts_with(&tokens_in(&a, &id, &tenant))
                && keys[2].starts_with(&tokens(&a, &id))
        );
        assert_eq!(parse(&keys[0]), Some(AccountRow::Header));
        assert_eq!(parse(&keys[1]), Some(AccountRow::SignIn(id)));
        assert_eq!(parse(&keys[3]), Some(AccountRow::Token { sign_in: id, tenant, slot, part: 1 }));
        assert_eq!(parse(&keys[4]), Some(AccountRow::Web { sign_in: id, session: slot, part: 2 }));
        assert!(!keys[4].starts_with(&tokens(&a, &id)));
        assert_eq!(web_indexed(&web_index(&slot, &a, &id)), Some((slot, a, id)));
        assert_eq!(
            (unbound_of(&unbound(&slot, 7)), web_indexed(&unbound(&slot, 7))),
            (Some((slot, 7)), None)
        );
        assert_eq!(indexed_account(&Index::Tenant.row(&tenant, &a)), Some(a));
        for key in &keys {
            for end in 0..key.len() {
                assert!(
                    parse(&key[..end])
                        .is_none_or(|row| row == AccountRow::Header && key[..end] == header(&a))
                );
            }
        }
    }
}
