//! Ids that the store makes from random numbers. They are not secret, and do not reveal what they
//! stand for.

use super::tag::sixteen_bytes;

sixteen_bytes! {
    /// The id of a sign-in.
    SignInId;
    /// Changes whenever an account begins a new life.
    Generation;
    /// The id of a store, for all of its life.
    StoreId;
    /// The id of the one ledger that counts: it changes when all is forgotten or sealed anew.
    LedgerId;
    /// What the parts of one write of a row share.
    WriteId;
}

impl Generation {
    /// For rows that belong to no account.
    pub(crate) const NONE: Self = Self([0; 16]);
}
