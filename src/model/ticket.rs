//! What an app gives a browser, or another process, so that it can come back to its sign-in.

use crate::model::secret::Secret;

/// A sign-in, sealed as text: for a cookie, or for the session of any framework or language.
/// [`TokenStore::resume_ticket`](crate::TokenStore::resume_ticket) gives the sign-in for it.
///
/// It has 108 letters of base64url (RFC 4648 §5) whoever the user is, tells nobody anything, and
/// cannot be made or changed without the store's keys. It stays valid when the
/// [key is rotated](crate::TokenStore::rotate_key), and ends with its sign-in, or by a
/// [complete erasure](crate::TokenStore::complete_erasure).
///
/// **It is a bearer secret**: whoever has it is the user, until the sign-in ends. Keep it where a
/// session cookie may be (`Secure`, `HttpOnly`, `__Host-`), and out of logs and addresses. Wiped
/// when dropped, and hidden in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket(Secret);

impl Ticket {
    pub(crate) fn new(text: String) -> Self {
        Self(Secret::new(text))
    }

    /// The ticket in clear. Copies of it are the caller's to wipe.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket(..)")
    }
}
