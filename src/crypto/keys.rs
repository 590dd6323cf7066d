//! The purpose of each key as a type, so that no key can be used for another. A key either derives
//! others, or seals, or makes a key stream, or is for HMAC; no key does two of these.

use super::seal::Key;

/// The purposes of keys from which others are derived.
pub(crate) trait Derives {}

/// The purposes of keys that seal.
pub(crate) trait Seals {}

macro_rules! keys {
    ($($(#[$meta:meta])* $key:ident: $purpose:ident $($role:ident)?;)+) => {$(
        pub(crate) enum $purpose {}
        $(impl $role for $purpose {})?
        $(#[$meta])*
        pub(crate) type $key = Key<$purpose>;
    )+};
}

keys! {
    /// The operator's key, which wraps mount keys. Each wrap is sealed by a key derived for it.
    OperatorKey: Operator Derives;
    /// What the operator's key, or a provider, wraps: fresh at every write of the keyring.
    MountKey: Mount Derives;
    /// Hides identifiers in row keys and in the ledger.
    IndexKey: Index Derives;
    /// Authenticates a ledger.
    LedgerRootKey: LedgerRoot Derives;
    /// The root key of one epoch. Keys derived from it wrap account keys, and seal rows that belong
    /// to no account.
    RootKey: Root Derives;
    /// Seals an account's rows; or the rows of one unbound web session.
    AccountKey: Account Seals;
    /// A key that is derived to seal one thing.
    SealingKey: Sealing Seals;
    /// A key that is derived for its key stream, and seals nothing.
    StreamKey: Stream;
    /// A key that is derived for HMAC.
    MacKey: Keyed;
}
