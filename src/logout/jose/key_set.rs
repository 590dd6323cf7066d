//! A provider's keys (RFC 7517 §5): which of them may have signed a token, and whether one did.

use std::fmt;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::algorithm::Algorithm;
use super::jws::Jws;
use super::key::{Key, SignedAs, Unusable};
use super::unique_object::UniqueObject;
use crate::logout::rejected::Rejected;

/// The longest set of keys that is read. Large ones, with certificates, have about 30 KiB.
pub const MAX_KEY_SET_BYTES: usize = 256 * 1024;
/// How many usable keys are kept.
const MAX_KEYS: usize = 64;
/// How many keys are tried on one token: anybody can send one.
const MAX_TRIED: usize = 8;
/// How many unusable keys one message lists.
const MAX_LISTED: usize = 3;

/// The keys that a provider signs with, from its JWKS document (RFC 7517 §5). Clones share them.
///
/// Only keys that can check a signature here are kept, the first 64: RSA of 2048 to 4096 bits,
/// P-256, P-384, Ed25519. Other keys are skipped, as are keys for encryption, symmetric keys, and
/// keys that are not well formed. A key that names its `alg` serves that algorithm alone. A key
/// without one serves the first of the issuer's
/// [algorithms](crate::logout::Issuer::algorithms) that it can. A key that names an issuer of
/// Entra's in its member `issuer`, as Entra's own do, serves the tokens of that issuer alone.
///
/// ```
/// use oubliette::logout::{KeySet, KeysError};
/// let keys = KeySet::parse(br#"{"keys": [
///     {"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
///     {"kty": "oct", "k": "c2VjcmV0"}
/// ]}"#)?;
/// assert_eq!(keys.len(), 1);
/// # Ok::<(), KeysError>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct KeySet(Arc<Keys>);

#[derive(PartialEq)]
struct Keys {
    usable: Vec<Key>,
    unusable: Vec<Unusable>,
}

/// Why a document has no usable keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The document is too long.
    #[error("the key set is longer than {MAX_KEY_SET_BYTES} bytes")]
    TooLarge,
    /// The document is not a JSON Web Key Set.
    #[error("the document is no JSON Web Key Set (RFC 7517)")]
    NotAKeySet,
    /// No key in it can check a signature here.
    #[error(
        "the key set has no key that can be used: RSA of 2048 to 4096 bits, P-256, P-384 or Ed25519, for signatures"
    )]
    NoUsableKeys,
}

impl KeySet {
    /// Reads a JWKS document.
    ///
    /// # Errors
    /// [`KeysError`] if it is not a JWKS document, is too large, or has no key that can be used.
    pub fn parse(jwks: &[u8]) -> Result<Self, KeysError> {
        Self::read(jwks).map_err(|no_keys| no_keys.error)
    }

    /// As [`parse`](Self::parse); the error also names the keys that cannot be used, and why.
    pub(crate) fn read(jwks: &[u8]) -> Result<Self, NoKeys> {
        if jwks.len() > MAX_KEY_SET_BYTES {
            return Err(KeysError::TooLarge.into());
        }
        let document = UniqueObject::parse(jwks).ok_or(KeysError::NotAKeySet)?;
        let keys: Vec<&RawValue> =
            document.get("keys").ok().flatten().ok_or(KeysError::NotAKeySet)?;
        let (mut usable, mut unusable) = (Vec::new(), Vec::new());
        for key in keys {
            match Key::parse(key.get().as_bytes()) {
                Ok(key) => usable.push(key),
                Err(key) if unusable.len() < MAX_KEYS => unusable.extend(key),
                Err(_) => {}
            }
            if usable.len() == MAX_KEYS {
                break;
            }
        }
        if usable.is_empty() {
            return Err(NoKeys { error: KeysError::NoUsableKeys, unusable });
        }
        Ok(Self(Arc::new(Keys { usable, unusable })))
    }

    /// How many keys can be used.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.usable.len()
    }

    /// Never: a set without keys is an error.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.usable.is_empty()
    }

    /// Checks that one of the keys signed this token, for this issuer: a key of the name in the
    /// token or, if the token names none, any key that can have signed it. (A provider with several
    /// keys must name one, OpenID Connect Core 1.0 §10.1; but a provider that does not has still
    /// signed the token.)
    ///
    /// # Errors
    /// [`Rejected::UnknownKey`] if there is no such key.
    pub(crate) fn verify(
        &self,
        jws: &Jws,
        algorithms: &[Algorithm],
        signed_as: &SignedAs<'_>,
    ) -> Result<(), Rejected> {
        let header = jws.header();
        if !algorithms.contains(&header.algorithm) {
            return Err(Rejected::WrongAlgorithm);
        }
        let fitting = || {
            self.0
                .usable
                .iter()
                .filter(|key| key.misfit(header.algorithm, algorithms, signed_as).is_none())
        };
        // A token without a name can be signed by any key. A key without a name may have signed a
        // token that names one.
        let mut keys: Vec<&Key> = fitting()
            .filter(|key| header.kid.is_none() || key.kid() == header.kid.as_deref())
            .take(MAX_TRIED)
            .collect();
        if keys.is_empty() {
            keys = fitting().filter(|key| key.kid().is_none()).take(MAX_TRIED).collect();
        }
        match keys.as_slice() {
            [] => Err(Rejected::UnknownKey),
            keys if keys.iter().any(|key| key.has_signed(jws)) => Ok(()),
            _ => Err(Rejected::BadSignature),
        }
    }

    /// Why the key that a token names cannot verify it, though the key is in the document. `None`
    /// if the key can, or is not in the document.
    pub(crate) fn why_not(
        &self,
        jws: &Jws,
        algorithms: &[Algorithm],
        signed_as: &SignedAs<'_>,
    ) -> Option<Unusable> {
        let (kid, algorithm) = (jws.header().kid.as_deref()?, jws.header().algorithm);
        let named = self.0.usable.iter().filter(|key| key.kid() == Some(kid));
        let mut misfits: Vec<_> =
            named.map(|key| key.misfit(algorithm, algorithms, signed_as)).collect();
        if misfits.contains(&None) {
            return None;
        }
        match misfits.pop().flatten() {
            Some(why) => Some(Unusable { kid: kid.into(), why }),
            None => self.0.unusable.iter().find(|key| key.kid == kid).cloned(),
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({} keys)", self.len())
    }
}

/// Why a document has no usable keys, and which of its keys cannot be used.
#[derive(Debug)]
pub(crate) struct NoKeys {
    error: KeysError,
    unusable: Vec<Unusable>,
}

impl From<KeysError> for NoKeys {
    fn from(error: KeysError) -> Self {
        Self { error, unusable: Vec::new() }
    }
}

impl fmt::Display for NoKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)?;
        self.unusable.iter().take(MAX_LISTED).try_for_each(|key| write!(f, "; {key}"))
    }
}
