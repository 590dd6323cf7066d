//! sled's snapshot: which pages there are, and where in the log each lies, as of a place in the
//! log. Pure over bytes.

use super::log::{Bytes, Change, Pointer, put_varint};

/// What the name of a snapshot's file begins with.
pub(super) const PREFIX: &str = "snap.";
/// The length and the checksum at the end of its file.
const TRAILER: usize = 12;
/// More parts of a page than sled can write down.
const MOST_PARTS: usize = 255;

/// A snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// The log up to here is in it.
    pub(super) stable: Option<i64>,
    /// The segment to write on in; `None` if that shall be a fresh one.
    pub(super) active: Option<u64>,
    pub(super) pages: Vec<Page>,
}

/// Where a page lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// Whole in the first of these, changed by the others.
    Present(Vec<Part>),
    Free(i64, Pointer),
    /// The log said nothing of it.
    Unknown,
}

/// A message that a page is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) lsn: i64,
    pub(super) pointer: Pointer,
    pub(super) len: u64,
}

impl Snapshot {
    /// The name of its file.
    pub(super) fn name(&self) -> String {
        format!("{PREFIX}{:016X}", self.stable.unwrap_or(0))
    }

    /// Reads a file; `None` if it is damaged.
    pub(super) fn read(file: &[u8]) -> Option<Self> {
        let (body, trailer) = file.split_at_checked(file.len().checked_sub(TRAILER)?)?;
        let mut trailer = Bytes(trailer);
        if trailer.i64()? != i64::try_from(body.len()).ok()?
            || trailer.u32()? != crc32fast::hash(body)
        {
            return None;
        }
        let mut bytes = Bytes(body);
        let stable = match bytes.i64()? {
            0 => None,
            number => Some(if number < 0 { number } else { number - 1 }),
        };
        let active = bytes.varint()?.checked_sub(1);
        let mut pages = Vec::new();
        while !bytes.0.is_empty() {
            pages.push(match bytes.u8()? {
                0 => Page::Free(bytes.i64()?, pointer(&mut bytes)?),
                parts => {
                    Page::Present((0..parts).map(|_| part(&mut bytes)).collect::<Option<_>>()?)
                }
            });
        }
        Some(Self { stable, active, pages })
    }

    /// The file's content; `None` if a page cannot be written down.
    pub(super) fn write(&self) -> Option<Vec<u8>> {
        let stable = self.stable.map_or(0, |lsn| if lsn < 0 { lsn } else { lsn + 1 });
        let mut bytes = stable.to_le_bytes().to_vec();
        put_varint(&mut bytes, self.active.map_or(0, |offset| offset + 1));
        for page in &self.pages {
            match page {
                Page::Free(lsn, pointer) => {
                    bytes.push(0);
                    bytes.extend(lsn.to_le_bytes());
                    put_pointer(&mut bytes, *pointer);
                }
                Page::Present(parts) => {
                    bytes.push(u8::try_from(parts.len()).ok().filter(|parts| *parts > 0)?);
                    for part in parts {
                        bytes.extend(part.lsn.to_le_bytes());
                        put_pointer(&mut bytes, part.pointer);
                        put_varint(&mut bytes, part.len);
                    }
                }
                Page::Unknown => return None,
            }
        }
        let (len, crc) = (bytes.len() as u64, crc32fast::hash(&bytes));
        bytes.extend(len.to_le_bytes());
        bytes.extend(crc.to_le_bytes());
        Some(bytes)
    }

    /// Takes in a message, in the order of the log.
    pub(super) fn apply(&mut self, change: Change, page: u64, part: Part) -> Option<()> {
        let index = usize::try_from(page).ok()?;
        if self.pages.len() <= index {
            // Pages are numbered without gaps: if there were one this far off, no memory could hold
            // the table of them.
            let is_near = index - self.pages.len() < 1 << 24;
            // A change of a page that was never written whole counts for nothing, but the pages
            // before it must exist.
            let grown = if change == Change::Link { index } else { index + 1 };
            self.pages.resize(is_near.then_some(grown)?, Page::Unknown);
        }
        let Some(place) = self.pages.get_mut(index) else { return Some(()) };
        match (change, &mut *place) {
            (Change::Replace, _) => *place = Page::Present(vec![part]),
            (Change::Free, _) => *place = Page::Free(part.lsn, part.pointer),
            (Change::Link, Page::Present(parts)) => {
                if parts.last().is_some_and(|last| last.lsn < part.lsn) {
                    parts.push(part);
                }
            }
            (Change::Link, _) => {}
        }
        Some(())
    }

    /// Where the pages lie that name the trees, and that count.
    pub(super) fn first_pages(&self) -> impl Iterator<Item = &Part> {
        self.pages
            .iter()
            .take(2)
            .filter_map(|page| if let Page::Present(parts) = page { Some(parts) } else { None })
            .flatten()
    }

    /// Where in the log there is something that counts.
    pub(super) fn offsets(&self) -> impl Iterator<Item = u64> {
        self.pages.iter().flat_map(|page| match page {
            Page::Present(parts) => parts.iter().map(|part| part.pointer.offset()).collect(),
            Page::Free(_, pointer) => vec![pointer.offset()],
            Page::Unknown => vec![],
        })
    }

    /// What keeps sled from opening this, if its log has this many bytes.
    pub(super) fn problem(&self, log: u64) -> Option<&'static str> {
        // The first page names the trees, the second counts.
        if self.pages.len() < 2
            || self.pages.iter().take(2).any(|page| !matches!(page, Page::Present(_)))
        {
            return Some("its first pages are missing");
        }
        let is_in = |pointer: &Pointer| pointer.offset() < log;
        for page in &self.pages {
            match page {
                Page::Unknown => return Some("a page is missing"),
                Page::Free(_, pointer) if !is_in(pointer) => return Some("its log is cut off"),
                Page::Present(parts) if !parts.iter().all(|part| is_in(&part.pointer)) => {
                    return Some("its log is cut off");
                }
                Page::Present(parts) if parts.len() > MOST_PARTS => {
                    return Some("a page has too many parts");
                }
                _ => {}
            }
        }
        None
    }
}

fn part(bytes: &mut Bytes<'_>) -> Option<Part> {
    Some(Part { lsn: bytes.i64()?, pointer: pointer(bytes)?, len: bytes.varint()? })
}

fn pointer(bytes: &mut Bytes<'_>) -> Option<Pointer> {
    match bytes.u8()? {
        0 => bytes.varint().map(Pointer::Inline),
        1 => Some(Pointer::Blob(bytes.varint()?, bytes.i64()?)),
        _ => None,
    }
}

fn put_pointer(to: &mut Vec<u8>, pointer: Pointer) {
    match pointer {
        Pointer::Inline(offset) => {
            to.push(0);
            put_varint(to, offset);
        }
        Pointer::Blob(offset, file) => {
            to.push(1);
            put_varint(to, offset);
            to.extend(file.to_le_bytes());
        }
    }
}
