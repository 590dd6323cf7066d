//! Other names to find an account by.

use super::{checked, hidden_debug};
use crate::model::error::{Error, Result};

/// Another name of an account, to find it by.
///
/// ```
/// use oubliette::{Alias, AliasKind};
/// // E-mail addresses are found in any case; opaque values only as they were given.
/// let upper = Alias::new(AliasKind::Email, "A@Example.com")?;
/// assert_eq!(upper, Alias::new(AliasKind::Email, "a@example.com")?);
/// # Ok::<(), oubliette::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Alias {
    kind: AliasKind,
    value: String,
}

/// What kind of name an [`Alias`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AliasKind {
    /// An e-mail address; compared without regard to case.
    Email,
    /// Anything else; compared byte for byte.
    Opaque,
}

impl Alias {
    /// Another name of an account.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the value is empty, too long or has control characters.
    pub fn new(kind: AliasKind, value: impl Into<String>) -> Result<Self> {
        let value = value.into();
        // Lower case can be longer, so it comes before the check.
        let value = if kind == AliasKind::Email { value.to_lowercase() } else { value };
        Ok(Self { kind, value: checked("alias", value)? })
    }

    pub(crate) fn parts(&self) -> (u8, &str) {
        (if self.kind == AliasKind::Email { 0 } else { 1 }, &self.value)
    }

    pub(crate) fn from_parts(kind: u8, value: &str) -> Result<Self> {
        match kind {
            0 => Self::new(AliasKind::Email, value),
            1 => Self::new(AliasKind::Opaque, value),
            _ => Err(Error::Tampered("sign-in")),
        }
    }

    /// What kind of name it is.
    #[must_use]
    pub fn kind(&self) -> AliasKind {
        self.kind
    }

    /// The value: an e-mail address is in lower case.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

hidden_debug!(Alias);
