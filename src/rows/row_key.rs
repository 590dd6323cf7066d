//! Row keys: one ordered key space, fixed widths, the account first, so that an account is one
//! range and a sign-in a sub-range of it. Identifiers appear only as keyed hashes. Pure functions;
//! `docs/format.md` has the table.

use crate::model::random_id::SignInId;
use crate::model::tag::{
    AccountTag, AliasTag, SessionTag, Slot, SubjectTag, TAG_LEN, TenantTag, WebTag,
};

/// The row that holds the checkpoint of the ledger's synced end.
pub(crate) const CHECKPOINT: &[u8] = b"C";
/// The row that holds what is known of the time.
pub(crate) const KNOWN: &[u8] = b"K";
/// The row that holds the sizes that the move recorded which made this engine.
pub(crate) const FRESH: &[u8] = b"F";
/// The row that holds the longest age of a sign-in.
pub(crate) const LONGEST_AGE: &[u8] = b"G";
const ACCOUNT: u8 = b'A';
const HEADER: u8 = 0x00;
const SIGN_IN: u8 = 0x08;
const TOKEN: u8 = 0x10;
const WEB: u8 = 0x18;
const WEB_INDEX: u8 = b'W';
const UNBOUND: u8 = b'V';

/// The kinds of index rows, by what they find accounts by.
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
}

/// The entry of an index that an account is listed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexEntry {
    Tenant(TenantTag),
    Session(SessionTag),
    Subject(SubjectTag),
    Alias(AliasTag),
}

impl IndexEntry {
    fn index_and_tag(&self) -> (Index, &[u8; TAG_LEN]) {
        match self {
            Self::Tenant(tag) => (Index::Tenant, tag.as_bytes()),
            Self::Session(tag) => (Index::Session, tag.as_bytes()),
            Self::Subject(tag) => (Index::Subject, tag.as_bytes()),
            Self::Alias(tag) => (Index::Alias, tag.as_bytes()),
        }
    }

    fn of(index: Index, tag: [u8; TAG_LEN]) -> Self {
        match index {
            Index::Tenant => Self::Tenant(TenantTag::from_bytes(tag)),
            Index::Session => Self::Session(SessionTag::from_bytes(tag)),
            Index::Subject => Self::Subject(SubjectTag::from_bytes(tag)),
            Index::Alias => Self::Alias(AliasTag::from_bytes(tag)),
        }
    }

    /// The prefix of every index row under this entry.
    pub(crate) fn accounts(&self) -> Vec<u8> {
        let (index, tag) = self.index_and_tag();
        join(&[&[index.byte()], tag])
    }

    /// The key of the row that lists `account` under this entry.
    pub(crate) fn row(&self, account: &AccountTag) -> Vec<u8> {
        let (index, tag) = self.index_and_tag();
        join(&[&[index.byte()], tag, account.as_bytes()])
    }
}

/// The entry and the account of an index row; `None` if this crate did not make the key.
pub(crate) fn indexed(key: &[u8]) -> Option<(IndexEntry, AccountTag)> {
    let (byte, rest) = key.split_first()?;
    let index = Index::ALL.into_iter().find(|index| index.byte() == *byte)?;
    let (tag, account) = rest.split_first_chunk()?;
    Some((IndexEntry::of(index, *tag), AccountTag::from_bytes(account.try_into().ok()?)))
}

/// The account that an index row names.
pub(crate) fn indexed_account(key: &[u8]) -> Option<AccountTag> {
    indexed(key).map(|(_, account)| account)
}

/// Every header, sign-in and token, account by account.
pub(crate) fn all_accounts() -> Vec<u8> {
    vec![ACCOUNT]
}

/// Every row of an account but its index rows.
pub(crate) fn account(account: &AccountTag) -> Vec<u8> {
    join(&[&[ACCOUNT], account.as_bytes()])
}

/// A key greater than every key of this account.
pub(crate) fn behind_account(account: &AccountTag) -> Vec<u8> {
    match u128::from_be_bytes(*account.as_bytes()).checked_add(1) {
        Some(next) => join(&[&[ACCOUNT], &next.to_be_bytes()]),
        None => vec![ACCOUNT + 1],
    }
}

/// The account that a header, sign-in or token row belongs to.
pub(crate) fn account_of(key: &[u8]) -> Option<AccountTag> {
    take(&mut key.strip_prefix(&[ACCOUNT])?, AccountTag::from_bytes)
}

pub(crate) fn header(account: &AccountTag) -> Vec<u8> {
    join(&[&[ACCOUNT], account.as_bytes(), &[HEADER]])
}

pub(crate) fn sign_in(account: &AccountTag, id: &SignInId) -> Vec<u8> {
    join(&[&[ACCOUNT], account.as_bytes(), &[SIGN_IN], id.as_bytes()])
}

/// Every sign-in of an account.
pub(crate) fn sign_ins(account: &AccountTag) -> Vec<u8> {
    join(&[&[ACCOUNT], account.as_bytes(), &[SIGN_IN]])
}

/// Every token of a sign-in.
pub(crate) fn tokens(account: &AccountTag, id: &SignInId) -> Vec<u8> {
    join(&[&[ACCOUNT], account.as_bytes(), &[TOKEN], id.as_bytes()])
}

/// Every token of a sign-in in one tenant.
pub(crate) fn tokens_in(account: &AccountTag, id: &SignInId, tenant: &TenantTag) -> Vec<u8> {
    join(&[&[ACCOUNT], account.as_bytes(), &[TOKEN], id.as_bytes(), tenant.as_bytes()])
}

/// One part of a token. The first part of every token is 0.
pub(crate) fn token(
    account: &AccountTag,
    id: &SignInId,
    tenant: &TenantTag,
    slot: &Slot,
    part: u8,
) -> Vec<u8> {
    join(&[
        &[ACCOUNT],
        account.as_bytes(),
        &[TOKEN],
        id.as_bytes(),
        tenant.as_bytes(),
        slot.as_bytes(),
        &[part],
    ])
}

/// One part of a web session that ends with a sign-in. The key of its index row follows from this
/// key alone.
pub(crate) fn web(account: &AccountTag, id: &SignInId, session: &WebTag, part: u8) -> Vec<u8> {
    join(&[&[ACCOUNT], account.as_bytes(), &[WEB], id.as_bytes(), session.as_bytes(), &[part]])
}

/// Every part of a web session that ends with a sign-in.
pub(crate) fn web_parts(account: &AccountTag, id: &SignInId, session: &WebTag) -> Vec<u8> {
    join(&[&[ACCOUNT], account.as_bytes(), &[WEB], id.as_bytes(), session.as_bytes()])
}

/// The row that finds a web session's sign-in. It is put in one batch with the rows of the web
/// session, and deleted with them or before them.
pub(crate) fn web_index(session: &WebTag, account: &AccountTag, id: &SignInId) -> Vec<u8> {
    join(&[&[WEB_INDEX], session.as_bytes(), account.as_bytes(), id.as_bytes()])
}

/// Every row that finds a web session.
pub(crate) fn web_indexes() -> Vec<u8> {
    vec![WEB_INDEX]
}

/// Every row that finds this web session: one, or none.
pub(crate) fn web_indexes_of(session: &WebTag) -> Vec<u8> {
    join(&[&[WEB_INDEX], session.as_bytes()])
}

/// The web session, account and sign-in that an index row of web sessions names.
pub(crate) fn web_indexed(key: &[u8]) -> Option<(WebTag, AccountTag, SignInId)> {
    let mut rest = key.strip_prefix(&[WEB_INDEX])?;
    let session = take(&mut rest, WebTag::from_bytes)?;
    let account = take(&mut rest, AccountTag::from_bytes)?;
    Some((session, account, SignInId::from_bytes(rest.try_into().ok()?)))
}

/// One part of an unbound web session.
pub(crate) fn unbound(session: &WebTag, part: u8) -> Vec<u8> {
    join(&[&[UNBOUND], session.as_bytes(), &[part]])
}

/// Every unbound web session.
pub(crate) fn all_unbound() -> Vec<u8> {
    vec![UNBOUND]
}

/// Every part of an unbound web session.
pub(crate) fn unbound_parts(session: &WebTag) -> Vec<u8> {
    join(&[&[UNBOUND], session.as_bytes()])
}

/// The web session and the part number of a row of an unbound web session.
pub(crate) fn unbound_of(key: &[u8]) -> Option<(WebTag, u8)> {
    let mut rest = key.strip_prefix(&[UNBOUND])?;
    let session = take(&mut rest, WebTag::from_bytes)?;
    let [part] = *rest else { return None };
    Some((session, part))
}

/// What a row of an account's range is, by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccountRow {
    Header,
    SignIn(SignInId),
    Token { sign_in: SignInId, tenant: TenantTag, slot: Slot, part: u8 },
    Web { sign_in: SignInId, session: WebTag, part: u8 },
}

/// Reads a key of an account's range; `None` if this crate did not make it.
pub(crate) fn parse(key: &[u8]) -> Option<AccountRow> {
    let mut rest = key.strip_prefix(&[ACCOUNT])?;
    take(&mut rest, AccountTag::from_bytes)?;
    let (kind, mut rest) = rest.split_first()?;
    match *kind {
        HEADER if rest.is_empty() => Some(AccountRow::Header),
        SIGN_IN => rest.try_into().ok().map(SignInId::from_bytes).map(AccountRow::SignIn),
        TOKEN => {
            let sign_in = take(&mut rest, SignInId::from_bytes)?;
            let tenant = take(&mut rest, TenantTag::from_bytes)?;
            let slot = take(&mut rest, Slot::from_bytes)?;
            let [part] = *rest else { return None };
            Some(AccountRow::Token { sign_in, tenant, slot, part })
        }
        WEB => {
            let sign_in = take(&mut rest, SignInId::from_bytes)?;
            let session = take(&mut rest, WebTag::from_bytes)?;
            let [part] = *rest else { return None };
            Some(AccountRow::Web { sign_in, session, part })
        }
        _ => None,
    }
}

fn join(fields: &[&[u8]]) -> Vec<u8> {
    fields.concat()
}

/// Applies `make` to the bytes at the start of `rest`, and shortens `rest` by them.
fn take<T>(rest: &mut &[u8], make: fn([u8; TAG_LEN]) -> T) -> Option<T> {
    let (field, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(make(*field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_one_range_and_a_sign_in_a_part_of_it() {
        let [a, b] = [1, 2].map(AccountTag::filled);
        let (id, tenant) = (SignInId::filled(3), TenantTag::filled(4));
        let (slot, session) = (Slot::filled(5), WebTag::filled(5));
        let last = AccountTag::filled(0xff);
        let tokens_of = |part| token(&a, &id, &tenant, &slot, part);
        let keys = [
            header(&a),
            sign_in(&a, &id),
            tokens_of(0),
            tokens_of(1),
            web(&a, &id, &session, 2),
            header(&b),
        ];
        assert!(keys.is_sorted());
        assert!(
            keys[..5].iter().all(|key| key.starts_with(&account(&a)) && *key < behind_account(&a))
        );
        assert!(behind_account(&a) < keys[5] && behind_account(&last) > header(&last));
        assert!(
            keys[2].starts_with(&tokens_in(&a, &id, &tenant))
                && keys[2].starts_with(&tokens(&a, &id))
        );
        assert_eq!(parse(&keys[0]), Some(AccountRow::Header));
        assert_eq!(parse(&keys[1]), Some(AccountRow::SignIn(id)));
        assert_eq!(parse(&keys[3]), Some(AccountRow::Token { sign_in: id, tenant, slot, part: 1 }));
        assert_eq!(parse(&keys[4]), Some(AccountRow::Web { sign_in: id, session, part: 2 }));
        assert!(!keys[4].starts_with(&tokens(&a, &id)));
        assert_eq!(web_indexed(&web_index(&session, &a, &id)), Some((session, a, id)));
        assert_eq!(
            (unbound_of(&unbound(&session, 7)), web_indexed(&unbound(&session, 7))),
            (Some((session, 7)), None)
        );
        for index in Index::ALL {
            let entry = IndexEntry::of(index, [6; TAG_LEN]);
            assert_eq!(indexed(&entry.row(&a)), Some((entry, a)));
            assert!(entry.row(&a).starts_with(&entry.accounts()));
            assert!(entry.accounts().starts_with(&index.prefix()));
        }
        assert_eq!(indexed(&unbound(&session, 7)), None);
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
