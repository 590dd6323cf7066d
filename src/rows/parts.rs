//! Rows in parts: a body that is too long for one row is sealed in several, which are valid only
//! together.

use crate::crypto::{NONCE_BYTES, TAG_BYTES};
use crate::engine::Row;
use crate::model::error::{Error, Result};
use crate::model::random_id::WriteId;
use crate::platform::wipe::Wiped;
use crate::rows::cipher::{FORMAT, Rows};
use crate::rows::header::Header;
use zeroize::Zeroizing;

/// A token's sealed body above this is cut into parts: 16 rows of one leaf stay below sled's limit
/// for blob files.
pub(super) const PART_BYTES: usize = 6 * 1024;

const TOKEN_FRONT: usize = 3 + 16;

/// Where the body begins in a row of parts: behind the front and the nonce.
pub(crate) const PARTS_TEXT: usize = TOKEN_FRONT + NONCE_BYTES;

/// A kind of row that can have several parts.
pub(crate) struct Parted {
    /// The kind's name in the associated data and in errors.
    pub(crate) name: &'static str,
    /// The kind's byte in the clear front.
    pub(crate) byte: u8,
    /// The version that is written, the byte before it. Older versions are read too.
    pub(crate) format: u8,
}

impl Rows {
    /// Seals a body that begins behind [`PARTS_TEXT`], in as many rows as it needs. `None` if it
    /// needs more than 255.
    pub(crate) fn seal_parts(
        &self,
        kind: &Parted,
        key: impl Fn(u8) -> Vec<u8>,
        header: &Header,
        write_id: &WriteId,
        mut body: Zeroizing<Vec<u8>>,
    ) -> Result<Option<Vec<Row>>> {
        let front =
            |count: u8| [[kind.format, kind.byte, count].as_slice(), write_id.as_bytes()].concat();
        let label = kind.name.as_bytes();
        if body.len() - PARTS_TEXT <= PART_BYTES {
            let key = key(0);
            self.seal_behind(label, &key, header, &front(1), &mut body)?;
            return Ok(Some(vec![(key, std::mem::take(&mut *body))]));
        }
        // The body is too long for one row: each part becomes a row with the same front.
        let parts = body.get(PARTS_TEXT..).unwrap_or_default().chunks(PART_BYTES);
        let Ok(count) = u8::try_from(parts.len()) else { return Ok(None) };
        let rows = (0..).zip(parts).map(|(part, bytes)| {
            let key = key(part);
            let mut row = Zeroizing::new(Vec::with_capacity(PARTS_TEXT + bytes.len() + TAG_BYTES));
            row.resize(PARTS_TEXT, 0);
            row.extend_from_slice(bytes);
            self.seal_behind(label, &key, header, &front(count), &mut row)?;
            Ok((key, std::mem::take(&mut *row)))
        });
        rows.collect::<Result<_>>().map(Some)
    }

    /// Opens what [`Rows::seal_parts`] has sealed; `None` as with [`Rows::open_token`]. `decode` is
    /// given the version of the rows too.
    ///
    /// # Errors
    /// `Tampered` if a part does not open, or `decode` returns `None`.
    pub(crate) fn open_parts<T>(
        &self,
        kind: &Parted,
        parts: Vec<Row>,
        header: &Header,
        decode: impl FnOnce(u8, &[u8]) -> Option<T>,
    ) -> Result<Option<T>> {
        let tampered = || Error::Tampered(kind.name);
        let first = parts.first().and_then(|(_, value)| token_front(value)).ok_or_else(tampered)?;
        if parts.len() != usize::from(first.count)
            || parts.iter().any(|(_, value)| token_front(value) != Some(first))
        {
            return Ok(None);
        }
        let format = first.format;
        if !(FORMAT..=kind.format).contains(&format) {
            return Err(tampered());
        }
        // The fronts agree, but are not authenticated yet: opening a part authenticates its front.
        let mut bodies = Vec::with_capacity(parts.len());
        for (key, value) in parts {
            let mut row = Wiped(value);
            let opened = self.open_behind(
                kind.name.as_bytes(),
                [format, kind.byte],
                &key,
                header,
                TOKEN_FRONT,
                &mut row,
            )?;
            let length = opened.ok_or_else(tampered)?.len();
            bodies.push((row, length));
        }
        let opened = if let [(row, length)] = bodies.as_slice() {
            row.get(PARTS_TEXT..PARTS_TEXT + length).and_then(|body| decode(format, body))
        } else {
            let mut whole =
                Wiped(Vec::with_capacity(bodies.iter().map(|(_, length)| length).sum()));
            for (row, length) in &bodies {
                whole.extend_from_slice(
                    row.get(PARTS_TEXT..PARTS_TEXT + length).unwrap_or_default(),
                );
            }
            decode(format, &whole)
        };
        opened.map(Some).ok_or_else(tampered)
    }
}

/// The random bytes that all parts of one write share. They are not authenticated.
pub(crate) fn write_id_of(value: &[u8]) -> Option<WriteId> {
    token_front(value).map(|front| front.write_id)
}

/// How many parts belong to this first part. The number is not authenticated: it only tells which
/// rows to read or to delete.
pub(crate) fn parts_of(value: &[u8]) -> u8 {
    token_front(value).map_or(1, |front| front.count.max(1))
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct TokenFront {
    format: u8,
    count: u8,
    write_id: WriteId,
}

fn token_front(value: &[u8]) -> Option<TokenFront> {
    let ([format, _, count], rest) = value.split_first_chunk::<3>()?;
    let write_id = WriteId::from_bytes(*rest.first_chunk()?);
    Some(TokenFront { format: *format, count: *count, write_id })
}
