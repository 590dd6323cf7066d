//! What was found when a store was opened.

/// What an operator should know of the files that a store was opened from. All is well where nothing of it is set.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// use oubliette::{KeySource, TokenStore};
///
/// let store = TokenStore::builder(folder.path().join("tokens")).key(KeySource::bytes([7; 32])).open()?;
/// if store.opened().engine_was_missing {
///     eprintln!("the folder of the sign-ins was gone: everybody signs in again");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// The engine's folder was gone, beside the keyring and the ledger of a store that is not new. The store began without a sign-in;
    /// every sign-out on record stands. If it was taken away by mistake, close the store and [restore](crate::Builder::restore) a backup.
    pub engine_was_missing: bool,
    /// The engine's snapshot was damaged. Nothing was lost, as its log says the same, and there is a new one. The disk may be failing.
    pub snapshot_was_damaged: bool,
}
