//! What each key is for, as a type: no key stands for another. Keys either derive others or seal,
//! and one makes a key stream; none does two of these.

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
    /// The operator's, which wraps mount keys. Each wrap is sealed by a key derived for it.
    OperatorKey: Operator Derives;
    /// What the operator's key, or a provider, wraps: fresh at every write of the keyring.
    MountKey: Mount Derives;
    /// Hides identifiers in row keys and in the ledger.
    IndexKey: Index Derives;
    /// Authenticates a ledger.
    LedgerRootKey: LedgerRoot Derives;
    /// Of one epoch: wraps account keys, and seals what belongs to no account.
    RootKey: Root Derives;
    /// Seals an account's rows; or the rows of one unbound web session.
    AccountKey: Account Seals;
    /// Is derived to seal one thing.
    SealingKey: Sealing Seals;
    /// Is derived for its key stream, and seals nothing.
    StreamKey: Stream;
    /// Is derived for HMAC.
    MacKey: Keyed;
}
