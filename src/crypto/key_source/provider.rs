//! Keys that a key management service or a security module keeps.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// The most bytes that a provider may ask to be stored.
pub(in super::super) const MAX_BLOB_BYTES: usize = 4096;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A key that wraps the store's mount key and does not leave its place: a key management service, a
/// security module.
///
/// It is called only while a store is created or opened and when its keys are wrapped anew, never
/// for a token, so its calls may block. (In async code, open the store where blocking is allowed.)
///
/// The text of an error is shown to the operator; it must not contain a key.
///
/// ```
/// use aes_gcm::{Aes256Gcm, Nonce, aead::{Aead, KeyInit, Payload}};
/// use oubliette::{KeyProvider, KeySource, WrapContext, WrappedKey};
/// use zeroize::Zeroizing;
///
/// type BoxError = Box<dyn std::error::Error + Send + Sync>;
///
/// /// Stands in for the client of a real service, which names its key by an id and never gives it
/// /// away.
/// struct Service { key_id: [u8; 16], key: Aes256Gcm }
///
/// impl KeyProvider for Service {
///     fn wrap(
///         &self,
///         mount_key: &[u8; 32],
///         context: &WrapContext<'_>,
///     ) -> Result<WrappedKey, BoxError> {
///         let mut nonce = [0; 12];
///         getrandom::fill(&mut nonce)?;
///         // Bind the blob to the store; services call this the encryption context or additional
///         // data.
///         let bound = Payload { msg: mount_key, aad: context.store_id };
///         let sealed =
///             self.key.encrypt(&Nonce::from(nonce), bound).map_err(|_| "the service refused")?;
///         Ok(WrappedKey { key_id: self.key_id, blob: [&nonce, &*sealed].concat() })
///     }
///
///     fn unwrap(
///         &self,
///         wrapped: &WrappedKey,
///         context: &WrapContext<'_>,
///     ) -> Result<Option<Zeroizing<[u8; 32]>>, BoxError> {
///         if wrapped.key_id != self.key_id {
///             return Ok(None);
///         }
///         let (nonce, sealed) =
///             wrapped.blob.split_first_chunk::<12>().ok_or("the blob is too short")?;
///         let bound = Payload { msg: sealed, aad: context.store_id };
///         let opened = self.key.decrypt(&Nonce::from(*nonce), bound).map(Zeroizing::new);
///         let opened = opened.map_err(|_| "the service refused")?;
///         let mut mount_key = Zeroizing::new([0; 32]);
///         mount_key.copy_from_slice(opened.get(..32).ok_or("the key is too short")?);
///         Ok(Some(mount_key))
///     }
/// }
///
/// # fn main() -> Result<(), BoxError> {
/// let service = Service { key_id: *b"production-key-1", key: Aes256Gcm::new(&[7; 32].into()) };
/// let context = WrapContext::new(&[1; 16]);
/// let wrapped = service.wrap(&[9; 32], &context)?;
/// assert_eq!(*service.unwrap(&wrapped, &context)?.ok_or("not its key")?, [9; 32]);
///
/// let key = KeySource::provider(service);
/// # drop(key);
/// # Ok(())
/// # }
/// ```
pub trait KeyProvider: Send + Sync {
    /// Wraps the mount key, so that only this provider can unwrap it.
    ///
    /// # Errors
    /// Any error stops the caller with [`Error::KeyUnavailable`](crate::Error::KeyUnavailable), and
    /// so does a blob of more than 4096 bytes or one with the mount key readable in it.
    fn wrap(&self, mount_key: &[u8; 32], context: &WrapContext<'_>)
    -> Result<WrappedKey, BoxError>;

    /// Unwraps what [`KeyProvider::wrap`] returned, or returns `None` if another key wrapped it.
    /// Decide that by the key id alone.
    ///
    /// # Errors
    /// The key is this provider's, but unwrapping failed (an outage, a refusal, a changed blob):
    /// opening stops with [`Error::KeyUnavailable`](crate::Error::KeyUnavailable). No other key is
    /// tried.
    fn unwrap(
        &self,
        wrapped: &WrappedKey,
        context: &WrapContext<'_>,
    ) -> Result<Option<Zeroizing<[u8; 32]>>, BoxError>;
}

impl<P: KeyProvider + ?Sized> KeyProvider for Arc<P> {
    fn wrap(
        &self,
        mount_key: &[u8; 32],
        context: &WrapContext<'_>,
    ) -> Result<WrappedKey, BoxError> {
        P::wrap(self, mount_key, context)
    }

    fn unwrap(
        &self,
        wrapped: &WrappedKey,
        context: &WrapContext<'_>,
    ) -> Result<Option<Zeroizing<[u8; 32]>>, BoxError> {
        P::unwrap(self, wrapped, context)
    }
}

/// A mount key as its provider wrapped it. It is stored in the keyring, in clear.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// Which of the provider's keys wrapped it: a short name, or a hash of a long one.
    pub key_id: [u8; 16],
    /// What the provider needs to unwrap it; at most 4096 bytes.
    pub blob: Vec<u8>,
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappedKey({} bytes)", self.blob.len())
    }
}

/// The store that a wrapped key belongs to.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct WrapContext<'a> {
    /// The store's id: random, made when the store is created, and in clear in its keyring. Bind
    /// the wrapped key to it if the service can.
    pub store_id: &'a [u8; 16],
}

impl<'a> WrapContext<'a> {
    /// A context as the store makes it, for a provider's tests.
    #[must_use]
    pub fn new(store_id: &'a [u8; 16]) -> Self {
        Self { store_id }
    }
}

impl fmt::Debug for WrapContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrapContext(..)")
    }
}
