//! AES Key Wrap (RFC 3394), as RFC 7518 §4.4 uses it.

use aes_kw::{KeyInit, KwAes128, KwAes192, KwAes256};

use crate::platform::wipe::Wiped;

/// The key that was wrapped; `None` if this key did not wrap it. How long `key` is says which AES it
/// is.
pub(super) fn unwrap(key: &[u8], wrapped: &[u8]) -> Option<Wiped> {
    // One semiblock is the check, and AES-KW wraps two at least.
    let len = wrapped.len().checked_sub(8).filter(|len| *len >= 16 && len.is_multiple_of(8))?;
    let mut unwrapped = Wiped(vec![0; len]);
    let out = unwrapped.as_mut_slice();
    match key.len() {
        16 => KwAes128::new_from_slice(key).ok()?.unwrap_key(wrapped, out).ok()?,
        24 => KwAes192::new_from_slice(key).ok()?.unwrap_key(wrapped, out).ok()?,
        32 => KwAes256::new_from_slice(key).ok()?.unwrap_key(wrapped, out).ok()?,
        _ => return None,
    };
    Some(unwrapped)
}
