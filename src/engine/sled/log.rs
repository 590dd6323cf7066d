//! How sled 0.34.7 writes its log: segments of 512 KiB, each with a header and messages behind it.
//! Pure over bytes.
//!
//! A message's position in the order of all that was ever written is its LSN; a segment's is a
//! multiple of its size, and rises whenever its place in the file is used anew. Source: sled's
//! `pagecache/{logger,iterator}.rs` and `serialization.rs`.

/// How many bytes a segment has.
pub(super) const SEGMENT: u64 = 512 << 10;
/// The same, in the order of LSNs.
pub(super) const SEGMENT_LSN: i64 = 512 << 10;
/// The bytes of a segment's header.
pub(super) const SEGMENT_HEADER: usize = 20;
/// No message begins with less than this left of its segment.
pub(super) const MESSAGE_HEADER: usize = 32;
/// How much sled reads at once for a message's header; behind the end of the file it takes zeros.
const LOOK: usize = 128;
/// The page that the beginning of a batch names.
const BATCH: u64 = u64::MAX - 666;
/// What numbers in a segment's header are combined with, so that zeros are no header.
const MASK: i64 = 0x7fff_ffff_ffff_ffff;

/// Where a segment begins that holds this LSN.
pub(super) fn border_below(lsn: i64) -> i64 {
    lsn - lsn.rem_euclid(SEGMENT_LSN)
}

/// Where the next segment begins, if it is not here.
pub(super) fn border_above(lsn: i64) -> i64 {
    border_below(lsn.saturating_add(SEGMENT_LSN - 1))
}

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) lsn: i64,
    /// Up to here everything was on the disk when the segment was begun.
    pub(super) stable: i64,
}

impl Header {
    /// As it stands in the file.
    pub(super) fn write(self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        let numbers =
            [(self.lsn ^ MASK).to_le_bytes(), (self.stable ^ MASK).to_le_bytes()].concat();
        let crc = (crc32fast::hash(&numbers) ^ u32::MAX).to_le_bytes();
        bytes.iter_mut().zip(crc.into_iter().chain(numbers)).for_each(|(to, from)| *to = from);
        bytes
    }

    /// `None` if this is no header: never written, zeroed, or torn.
    pub(super) fn read(bytes: &[u8; SEGMENT_HEADER]) -> Option<Self> {
        let mut numbers = Bytes(bytes);
        let crc = numbers.u32()? ^ u32::MAX;
        let is_sound = crc == crc32fast::hash(numbers.0);
        let (lsn, stable) = (numbers.i64()? ^ MASK, numbers.i64()? ^ MASK);
        is_sound.then_some(Self { lsn, stable })
    }
}

/// What is kept of a page elsewhere than in the log. (The store's rows are too small for that.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pointer {
    Inline(u64),
    Blob(u64, i64),
}

impl Pointer {
    /// The place in the file.
    pub(super) fn offset(self) -> u64 {
        let (Self::Inline(offset) | Self::Blob(offset, _)) = self;
        offset
    }
}

/// What a message does to its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Replace,
    Link,
    Free,
}

/// What is found at a place of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A change of a page; `blob` names the file beside the log that holds it.
    Page { change: Change, page: u64, blob: Option<i64>, len: u32 },
    /// What follows, up to this LSN, counts together or not at all.
    Batch { last: i64, len: u32 },
    /// Nothing, of this length.
    Nothing { len: u32 },
    /// A batch that failed half-way, of which what follows is half.
    FailedBatch { len: u32 },
    /// The rest of the segment holds nothing.
    Cap,
    /// No message: torn, zeroed, or of the segment's earlier life.
    None,
    /// The file ends within it.
    CutOff,
    /// No version of sled writes this.
    Impossible,
}

/// Reads what is at `at` in the segment of this number. `segment` is shorter than one only at the
/// file's end.
pub(super) fn message(segment: &[u8], at: usize, number: u64) -> Message {
    read(segment, at, number).unwrap_or(Message::Impossible)
}

fn read(segment: &[u8], at: usize, number: u64) -> Option<Message> {
    let Some(rest) = segment.get(at..) else { return Some(Message::CutOff) };
    let mut look = [0; LOOK];
    for (to, from) in look.iter_mut().zip(rest) {
        *to = *from;
    }
    let mut header = Bytes(&look);
    let crc = header.u32()?;
    let kind = header.u8()?;
    let len = header.varint()?;
    let segment_number = header.varint()?;
    let page = header.varint()?;
    let (header_len, left) = (LOOK - header.0.len(), header.0);
    let room = SEGMENT.checked_sub(u64::try_from(at + header_len).ok()?)?;
    if len > room || kind == 0 || kind > 11 {
        return Some(Message::None);
    }
    let body_len = usize::try_from(len).ok()?;
    let body = match left.get(..body_len) {
        Some(body) => body,
        None => match rest.get(header_len..header_len + body_len) {
            Some(body) => body,
            None => return Some(Message::CutOff),
        },
    };
    if crc != message_crc(look.get(4..header_len)?, body) || segment_number != number {
        return Some(Message::None);
    }
    let len = u32::try_from(header_len + body_len).ok()?;
    let change = match kind {
        1 if page == BATCH => return Some(Message::FailedBatch { len }),
        1 => return Some(Message::Nothing { len }),
        2 => return Some(Message::Cap),
        3 => return Some(Message::Batch { last: i64::from_le_bytes(body.try_into().ok()?), len }),
        4 => Change::Free,
        10 | 11 => Change::Link,
        _ => Change::Replace,
    };
    let blob = if matches!(kind, 7 | 9 | 11) {
        Some(i64::from_le_bytes(body.try_into().ok()?))
    } else {
        None
    };
    Some(Message::Page { change, page, blob, len })
}

pub(super) fn message_crc(header: &[u8], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(body);
    crc.update(header);
    crc.finalize() ^ u32::MAX
}

/// Bytes that are taken from the front.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }

    pub(super) fn varint(&mut self) -> Option<u64> {
        let first = self.u8()?;
        let mut next = || self.u8().map(u64::from);
        Some(match first {
            0..=240 => first.into(),
            241..=248 => 240 + 256 * (u64::from(first) - 241) + next()?,
            249 => 2288 + 256 * next()? + next()?,
            _ => {
                let mut number = [0; 8];
                for byte in number.iter_mut().take(usize::from(first) - 247) {
                    *byte = u8::try_from(next()?).ok()?;
                }
                u64::from_le_bytes(number)
            }
        })
    }
}

pub(super) fn put_varint(to: &mut Vec<u8>, number: u64) {
    let bytes = number.to_le_bytes();
    match number {
        // In these three arms what is left fits a byte.
        0..=240 => to.push(number as u8),
        241..=2287 => to.extend([((number - 240) / 256 + 241) as u8, ((number - 240) % 256) as u8]),
        2288..=67_823 => {
            to.extend([249, ((number - 2288) / 256) as u8, ((number - 2288) % 256) as u8])
        }
        _ => {
            let len = (64 - number.leading_zeros()).div_ceil(8).max(3) as usize;
            to.push(247 + len as u8);
            to.extend(bytes.iter().take(len));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for number in [
            0,
            240,
            241,
            2287,
            2288,
            67_823,
            67_824,
            0xff_ffff,
            0x100_0000,
            u64::from(u32::MAX),
            1 << 40,
            u64::MAX,
        ] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            let mut read = Bytes(&bytes);
            assert_eq!((read.varint(), read.0.len()), (Some(number), 0));
        }
    }

    #[test]
    fn borders() {
        assert_eq!(
            [0, 1, SEGMENT_LSN - 1, SEGMENT_LSN].map(border_above),
            [0, SEGMENT_LSN, SEGMENT_LSN, SEGMENT_LSN]
        );
        assert_eq!([0, 1, SEGMENT_LSN].map(border_below), [0, 0, SEGMENT_LSN]);
    }
}
