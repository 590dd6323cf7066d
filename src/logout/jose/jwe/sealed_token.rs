//! An encrypted token beside the keys that may decrypt it: what it costs is known before it is
//! decrypted.

use base64ct::{Base64UrlUnpadded, Encoding};

use super::decryption_key::DecryptionKey;
use super::public_key::Thumbprint;
use super::token::Jwe;
use crate::logout::jose::unique_object::UniqueObject;
use crate::logout::rejected::Rejected;
use crate::model::secret::Secret;

/// How many keys are tried on a token that names none. Each is an operation with a private key, and
/// anybody can send a token.
const MAX_TRIED: usize = 4;

/// A token that is still encrypted, and the keys that it may be for.
pub(crate) struct SealedToken {
    token: Jwe,
    keys: Vec<DecryptionKey>,
}

/// The signed token that was inside.
pub(crate) struct OpenedToken {
    pub(crate) compact: Secret,
    /// The key that it was encrypted for.
    pub(crate) key: Thumbprint,
}

impl SealedToken {
    /// Reads the token, and finds the keys that it may be for among these. Nothing is decrypted yet.
    ///
    /// # Errors
    /// [`Rejected::UnknownDecryptionKey`] if it is for none of them.
    pub(crate) fn parse<'a>(
        compact: &str,
        keys: impl Iterator<Item = &'a DecryptionKey>,
    ) -> Result<Self, Rejected> {
        let token = Jwe::parse(compact)?;
        let mut fitting: Vec<DecryptionKey> = Vec::new();
        for key in keys.filter(|key| key.fits(&token)) {
            // Several issuers can have one key.
            if fitting.len() < MAX_TRIED && !fitting.iter().any(|other| other.is_same_key(key)) {
                fitting.push(key.clone());
            }
        }
        if fitting.is_empty() {
            return Err(Rejected::UnknownDecryptionKey);
        }
        Ok(Self { token, keys: fitting })
    }

    /// Decrypts it.
    ///
    /// # Errors
    /// [`Rejected::Undecryptable`] if none of the keys decrypts it, and [`Rejected::OnlyEncrypted`]
    /// if what is inside is no signed token.
    pub(crate) fn open(&self) -> Result<OpenedToken, Rejected> {
        for key in &self.keys {
            #[cfg(test)]
            crate::logout::once::DECRYPTED.set(crate::logout::once::DECRYPTED.get() + 1);
            if let Some(text) = key.open(&self.token) {
                let signed = std::str::from_utf8(&text).ok().filter(|text| is_signed(text));
                let compact = signed.ok_or(Rejected::OnlyEncrypted)?.to_owned();
                return Ok(OpenedToken { compact: Secret::new(compact), key: key.thumbprint() });
            }
        }
        Err(Rejected::Undecryptable)
    }
}

/// Whether this is a token of three parts that says that it is signed. (Whether it is, and by whom,
/// its verifier finds out.)
fn is_signed(compact: &str) -> bool {
    let mut parts = compact.split('.');
    let (Some(header), 2) = (parts.next(), parts.count()) else { return false };
    let header = Base64UrlUnpadded::decode_vec(header).unwrap_or_default();
    let algorithm = UniqueObject::parse(&header).and_then(|members| members.text("alg").ok()?);
    algorithm.is_some_and(|name| !name.eq_ignore_ascii_case("none"))
}
