//! The two tags that an account of version 1 could have.
//!
//! Version 1 of the format distinguished an account by authority and id from one by issuer and
//! subject, even if both are the same two texts: they had two tags, and a sign-out of one did not
//! end the other. Today there is one account, under the tag of the first kind; new rows and records
//! know no other. What version 1 has left stays valid, for as long as the ledger knows an opening
//! of version 1:
//!
//! - rows lie under either tag. A sign-in that was made in such an opening is covered by fences of
//!   *both* tags, so that a sign-out, old or new, under either name, ends it;
//! - listings and lookups of the account look under both;
//! - a new sign-in is stored under today's tag, and ends what lives under the other.
//!
//! A sign-in of an opening of today needs no second tag: no fence of the other kind is newer than
//! it.

#[cfg(all(test, feature = "test-util"))]
mod model;

use crate::crypto::Tagger;
use crate::model::id::AccountId;
use crate::model::tag::AccountTag;

/// The account's tag today, and the other one, if it can have had one.
pub(crate) fn tags(tagger: &Tagger, id: &AccountId) -> (AccountTag, Option<AccountTag>) {
    let other = id
        .authority()
        .zip(id.home_account_id())
        .map(|(issuer, sub)| tagger.account_by_subject(issuer, sub));
    (tagger.account(id), other)
}

/// The other tag of the account whose rows lie under `tag`.
pub(crate) fn other_of(tagger: &Tagger, id: &AccountId, tag: &AccountTag) -> Option<AccountTag> {
    let (today, other) = tags(tagger, id);
    if *tag == today { other } else { Some(today) }
}
