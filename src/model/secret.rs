//! A token's text, kept out of logs, and wiped from memory after use.

use crate::platform::wipe::Wiped;
use subtle::ConstantTimeEq;

/// A token's text. Wiped when dropped, hidden in `Debug`, compared in constant time, shown only by
/// [`Secret::expose`].
///
/// ```
/// use oubliette::Secret;
/// let secret = Secret::new("eyJ0".to_owned());
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// assert_eq!(secret.expose(), "eyJ0");
/// ```
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes over the string; its own buffer is the one that is wiped.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The token in clear. Copies of it are the caller's to wipe.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        drop(Wiped(std::mem::take(&mut self.0).into_bytes()));
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}
