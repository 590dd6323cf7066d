//! What a token is for: OAuth scopes, and the partition of tokens that it belongs to.

use crate::model::error::{Error, Result};
use crate::model::id::MAX_ID_BYTES;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt;

/// A set of scopes (RFC 6749 §3.3): unordered, case-sensitive, each of printable ASCII without
/// space, `"` or `\`.
///
/// ```
/// use oubliette::Scopes;
/// assert_eq!(Scopes::parse("mail.read user.read")?, Scopes::new(["user.read", "mail.read"])?);
/// assert!(Scopes::parse("a b c")?.is_superset(&Scopes::parse("c a")?));
/// # Ok::<(), oubliette::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scopes(BTreeSet<String>);

impl Scopes {
    /// The scopes of a space-separated list, as in a token response. An empty list is the empty
    /// set.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if a scope has characters that RFC 6749 does not allow, or the list
    /// is too long.
    pub fn parse(list: &str) -> Result<Self> {
        Self::new(list.split(' ').filter(|scope| !scope.is_empty()))
    }

    /// The scopes of a list of single scopes.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if a scope is empty or has characters that RFC 6749 does not allow,
    /// or if all are too long together.
    pub fn new<S: Into<String>>(scopes: impl IntoIterator<Item = S>) -> Result<Self> {
        let set: BTreeSet<String> = scopes.into_iter().map(Into::into).collect();
        let allowed = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if set.iter().any(|scope| scope.is_empty() || !scope.bytes().all(allowed)) {
            return Err(Error::invalid(
                "scope",
                "a scope is printable ASCII without space, quote or backslash (RFC 6749 §3.3)",
            ));
        }
        if set.iter().map(|scope| scope.len() + 1).sum::<usize>() > 4 * MAX_ID_BYTES {
            return Err(Error::invalid("scope", "the set is too long"));
        }
        Ok(Self(set))
    }

    /// Whether every scope of `wanted` is in this set.
    #[must_use]
    pub fn is_superset(&self, wanted: &Self) -> bool {
        self.0.is_superset(&wanted.0)
    }

    /// The scopes, in byte order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The space-separated list, in byte order.
    #[must_use]
    pub fn joined(&self) -> String {
        self.0.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

/// On whose behalf a token was obtained: a query finds it only under the same partition.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Partition(Option<[u8; 32]>);

impl Partition {
    /// Tokens of the user's own sign-in.
    #[must_use]
    pub fn user() -> Self {
        Self(None)
    }

    /// Tokens obtained by the on-behalf-of flow (RFC 7523) with this assertion. Only its SHA-256 is
    /// kept.
    #[must_use]
    pub fn on_behalf_of(assertion: &str) -> Self {
        Self(Some(Sha256::digest(assertion.as_bytes()).into()))
    }

    /// As [`Partition::on_behalf_of`], from the assertion's SHA-256.
    #[must_use]
    pub fn on_behalf_of_hash(sha256: [u8; 32]) -> Self {
        Self(Some(sha256))
    }

    /// Whether these are tokens of the user's own sign-in.
    #[must_use]
    pub fn is_user(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |hash| hash.as_slice())
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            Some(Self(None))
        } else {
            bytes.try_into().ok().map(|hash| Self(Some(hash)))
        }
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_user() { "Partition(user)" } else { "Partition(on behalf of ..)" })
    }
}
