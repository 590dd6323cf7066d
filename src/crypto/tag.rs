//! Keyed hashes: HMAC-SHA256 (RFC 2104) cut to 16 bytes, over length-prefixed fields.
//!
//! Tags hide identifiers in row keys and in the ledger; MACs authenticate the ledger's slots.

use super::keys::{Derives, IndexKey, MacKey};
use super::seal::{Key, sub_key};
use crate::model::random_id::SignInId;
use crate::model::tag::{
    AccountTag, AliasTag, LeaseTag, SessionTag, SignInTag, Slot, SubjectTag, TAG_LEN, TenantTag,
    WebTag,
};
use crate::platform::wipe::{HASH_STACK, on_clean_stack};
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// A keyed hash function over one kind of input. The key is prepared once; it is on the heap, so
/// that moving this leaves no copy of it behind.
#[derive(Clone)]
pub(crate) struct Mac(pub(super) Box<Hmac<Sha256>>);

impl Mac {
    /// The hash under the sub-key of `key` that `label` names.
    ///
    /// # Panics
    /// Never: HMAC takes keys of every length.
    pub(crate) fn new<P: Derives>(key: &Key<P>, label: &[u8]) -> Self {
        let sub: MacKey = sub_key(key, &[label]);
        #[cfg(feature = "test-util")]
        super::watch::hmac_key(sub.bytes());
        #[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104 §2)")]
        on_clean_stack::<HASH_STACK, _>(|| {
            Self(Box::new(
                Hmac::new_from_slice(sub.bytes()).expect("HMAC takes keys of every length"),
            ))
        })
    }

    /// `HMAC[key](lp(field) | lp(field) | ...)[..16]` where `lp` prefixes a field's length as u32.
    pub(crate) fn tag(&self, fields: &[&[u8]]) -> [u8; TAG_LEN] {
        on_clean_stack::<HASH_STACK, _>(|| self.hash(fields))
    }

    /// Calls `work` with this hash function, for many inputs: the stack is cleaned once, after all
    /// of them.
    pub(crate) fn with_many<T>(
        &self,
        work: impl FnOnce(&dyn Fn(&[&[u8]]) -> [u8; TAG_LEN]) -> T,
    ) -> T {
        on_clean_stack::<{ 2 * HASH_STACK }, _>(|| work(&|fields| self.hash(fields)))
    }

    fn hash(&self, fields: &[&[u8]]) -> [u8; TAG_LEN] {
        let mut mac = Hmac::clone(&self.0);
        for field in fields {
            // A field longer than 4 GiB cannot come from checked identifiers.
            mac.update(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
            mac.update(field);
        }
        cut(mac)
    }

    /// Whether `tag` is the hash of `fields`; in constant time.
    pub(crate) fn verify(&self, fields: &[&[u8]], tag: &[u8; TAG_LEN]) -> bool {
        self.tag(fields).ct_eq(tag).into()
    }
}

impl std::fmt::Debug for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mac(..)")
    }
}

pub(super) fn cut(mac: Hmac<Sha256>) -> [u8; TAG_LEN] {
    let full = mac.finalize().into_bytes();
    let mut tag = [0; TAG_LEN];
    tag.iter_mut().zip(full).for_each(|(to, from)| *to = from);
    tag
}

/// The keyed hashes of every kind of identifier, each under its own sub-key of the index key.
#[derive(Clone, Debug)]
pub(crate) struct Tagger {
    account: Mac,
    tenant: Mac,
    session: Mac,
    subject: Mac,
    sign_in: Mac,
    alias: Mac,
    slot: Mac,
    web: Mac,
    lease: Mac,
}

impl Tagger {
    pub(crate) fn new(index_key: &IndexKey) -> Self {
        let mac = |label: &str| Mac::new(index_key, label.as_bytes());
        Self {
            account: mac("oubliette/v1/tag/account"),
            tenant: mac("oubliette/v1/tag/tenant"),
            session: mac("oubliette/v1/tag/session"),
            subject: mac("oubliette/v1/tag/subject"),
            sign_in: mac("oubliette/v1/tag/sign-in"),
            alias: mac("oubliette/v1/tag/alias"),
            slot: mac("oubliette/v1/tag/slot"),
            web: mac("oubliette/v1/tag/web"),
            lease: mac("oubliette/v1/tag/lease"),
        }
    }

    pub(crate) fn account(&self, id: &crate::model::id::AccountId) -> AccountTag {
        let (kind, first, second) = id.parts();
        AccountTag::from_bytes(self.account.tag(&[&[kind], first.as_bytes(), second.as_bytes()]))
    }

    /// The tag that version 1 gave to an account that was known by issuer and subject.
    pub(crate) fn account_by_subject(&self, issuer: &str, sub: &str) -> AccountTag {
        AccountTag::from_bytes(self.account.tag(&[&[1], issuer.as_bytes(), sub.as_bytes()]))
    }

    pub(crate) fn tenant(&self, id: &crate::model::id::TenantId) -> TenantTag {
        TenantTag::from_bytes(self.tenant.tag(&[id.as_str().as_bytes()]))
    }

    pub(crate) fn session(&self, id: &crate::model::id::SessionId) -> SessionTag {
        SessionTag::from_bytes(self.session.tag(&[id.issuer().as_bytes(), id.sid().as_bytes()]))
    }

    pub(crate) fn subject(&self, id: &crate::model::id::Subject) -> SubjectTag {
        SubjectTag::from_bytes(self.subject.tag(&[id.issuer().as_bytes(), id.sub().as_bytes()]))
    }

    /// The tag of a sign-in. Its account is hashed too: the id of somebody else's sign-in, given
    /// with the caller's own account, names no sign-in.
    pub(crate) fn sign_in(&self, account: &AccountTag, id: &SignInId) -> SignInTag {
        SignInTag::from_bytes(self.sign_in.tag(&[account.as_bytes(), id.as_bytes()]))
    }

    pub(crate) fn alias(&self, alias: &crate::model::id::Alias) -> AliasTag {
        let (kind, value) = alias.parts();
        AliasTag::from_bytes(self.alias.tag(&[&[kind], value.as_bytes()]))
    }

    /// The tag of a web session's id. The id itself is a secret that gives access to the session,
    /// so it is in no row.
    pub(crate) fn web(&self, id: &[u8; 16]) -> WebTag {
        WebTag::from_bytes(self.web.tag(&[id]))
    }

    /// The name of a lease: of what one process does at a time, of all that have the store open.
    pub(crate) fn lease(&self, fields: &[&[u8]]) -> LeaseTag {
        LeaseTag::from_bytes(self.lease.tag(fields))
    }

    /// The slot of a token. Its account is hashed too, so that tokens of two accounts with equal
    /// fields have different slots.
    pub(crate) fn slot(&self, account: &AccountTag, fields: &[&[u8]]) -> Slot {
        let mut all: Vec<&[u8]> = Vec::with_capacity(fields.len() + 1);
        all.push(account.as_bytes());
        all.extend_from_slice(fields);
        Slot::from_bytes(self.slot.tag(&all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_field_ends_counts() {
        let mac = Mac::new(&IndexKey::init(|bytes| bytes.fill(1)), b"label");
        let tags = [
            mac.tag(&[b"ab", b"c"]),
            mac.tag(&[b"a", b"bc"]),
            mac.tag(&[b"abc"]),
            mac.tag(&[b"ab", b"c", b""]),
        ];
        let different: std::collections::BTreeSet<_> = tags.iter().collect();
        assert_eq!(different.len(), tags.len());
        assert!(mac.verify(&[b"ab", b"c"], &tags[0]) && !mac.verify(&[b"ab", b"c"], &tags[1]));
        assert_ne!(
            Mac::new(&IndexKey::init(|bytes| bytes.fill(1)), b"other").tag(&[b"abc"]),
            tags[2]
        );
    }
}
