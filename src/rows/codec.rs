//! From fields to bytes and back: bincode 1.3 with fixed-width integers, a limit, and no trailing
//! bytes.
//!
//! Secrets are borrowed on the way in and on the way out, and the only buffer that holds them is of
//! exact size and wiped. Only bytes that were authenticated are decoded.

use bincode::Options;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The longest body that is sealed: it has room for a token of 64 KiB with an extra of 16 KiB and
/// its identifiers.
const LIMIT: u64 = 128 * 1024;
/// Bodies are padded to a multiple of this, so that their length reveals little.
pub(crate) const PAD: usize = 256;

fn options() -> impl Options {
    bincode::DefaultOptions::new()
        .with_big_endian()
        .with_fixint_encoding()
        .with_limit(LIMIT)
        .reject_trailing_bytes()
}

/// `spare` zeros, then `length u32 | fields | zeros` up to a multiple of [`PAD`], in a buffer with
/// room for `behind` bytes more at its end: it is never reallocated while it is sealed. `None` if
/// the fields are too long together.
pub(crate) fn encode<T: Serialize>(
    fields: &T,
    spare: usize,
    behind: usize,
) -> Option<Zeroizing<Vec<u8>>> {
    let length = options().serialized_size(fields).ok()?;
    let length = u32::try_from(length).ok()?;
    let padded = (4 + length as usize).next_multiple_of(PAD);
    let mut bytes = Zeroizing::new(Vec::with_capacity(spare + padded + behind));
    bytes.resize(spare, 0);
    bytes.extend_from_slice(&length.to_be_bytes());
    options().serialize_into(&mut *bytes, fields).ok()?;
    bytes.resize(spare + padded, 0);
    Some(bytes)
}

/// The fields of an authenticated, padded body. `None` if the body is not as [`encode`] makes it.
pub(crate) fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    let (length, rest) = body.split_first_chunk::<4>()?;
    let (fields, padding) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let is_padding = body.len().is_multiple_of(PAD)
        && padding.len() < PAD
        && padding.iter().all(|byte| *byte == 0);
    if !is_padding {
        return None;
    }
    options().deserialize(fields).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes_and_nothing_else_does() {
        let body = encode(&("text", 7u64, Some(vec![1u8, 2])), 12, 16).unwrap();
        assert_eq!((body.len(), body.capacity() >= 12 + PAD + 16), (12 + PAD, true));
        let body = &body[12..];
        assert_eq!(
            decode::<(&str, u64, Option<Vec<u8>>)>(body),
            Some(("text", 7, Some(vec![1, 2])))
        );
        for end in 0..body.len() {
            assert_eq!(decode::<(&str, u64, Option<Vec<u8>>)>(&body[..end]), None);
        }
        for at in 0..body.len() {
            let mut changed = body.to_vec();
            changed[at] ^= 0x80;
            // The AEAD finds changes of the fields themselves; decoding only must not panic.
            let decoded = decode::<(&str, u64, Option<Vec<u8>>)>(&changed);
            assert!(decoded.is_none() || (4..47).contains(&at), "byte {at}");
        }
        let hostile = [[0, 0, 0, 8].as_slice(), &u64::MAX.to_be_bytes(), &[0; PAD - 12]].concat();
        assert_eq!(decode::<&str>(&hostile), None);
        assert_eq!(decode::<Vec<u8>>(&hostile), None);
    }
}
