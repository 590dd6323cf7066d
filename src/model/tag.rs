//! Identifiers as the store keeps them: keyed hashes, which tell nobody whose they are.

/// Bytes of a [`Tag`].
pub(crate) const TAG_LEN: usize = 16;

/// The keyed hash of an identifier.
pub(crate) type Tag = [u8; TAG_LEN];

/// Whose sign-ins a fence can cover.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum TaggedScope {
    Everybody,
    Tenant(Tag),
    Account(Tag),
    Session(Tag),
    Subject(Tag),
}
