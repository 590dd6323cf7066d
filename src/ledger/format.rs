//! The bytes of the ledger: a header of one sector, then 64-byte slots. Pure functions over
//! buffers.
//!
//! Each slot holds a record or its filler, and each is bound to the ledger, the file's serial
//! number and the slot's place, so none can stand for another. `docs/format.md` has the tables.

use subtle::ConstantTimeEq;

use crate::crypto::{LedgerRootKey, Mac, NONCE_BYTES, StreamKey, keystream, sub_key};
use crate::model::error::{Component, Error, Result};
use crate::model::position::{Opening, Position};
use crate::model::random_id::LedgerId;
use crate::model::tag::{
    AccountTag, SessionTag, SignInTag, SubjectTag, TAG_LEN, TaggedScope, TenantTag,
};
use crate::model::time::Millis;

/// Bytes before the first slot: one sector, so that no slot crosses a sector's border.
pub(super) const HEADER_BYTES: usize = 512;
/// Bytes of a slot.
pub(super) const SLOT_BYTES: usize = 64;
/// The most records that one group may hold: its places within the group are 16-bit numbers.
pub(super) const MAX_GROUP: usize = 16 * 1024;

/// Slots whose fillers come from one key stream.
const BLOCK: u64 = 64;

const MAGIC: [u8; 4] = *b"OUBL";
const VERSION: u8 = 1;
/// No ledger grows by more slots at a time, nor gets so far: a header that says so would have
/// memory reserved, and positions overflow, by its word alone.
const MAX_CHUNK: u32 = 1 << 20;
const MAX_TAIL: Position = Position::new(1 << 56);
const SIGNED_BYTES: usize = SLOT_BYTES - TAG_LEN;
const HEADER_SIGNED: usize = HEADER_BYTES - TAG_LEN;

/// What never changes in one file of the ledger. Compaction writes a new file with another serial
/// number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) ledger_id: LedgerId,
    pub(super) serial: u32,
    /// The file grows by this many slots at a time.
    pub(super) chunk: u32,
    /// How many slots at the start hold records that compaction kept; their positions have gaps.
    pub(super) kept: u32,
    /// The position of the first slot behind them. From there on positions have no gaps.
    pub(super) tail: Position,
    /// The highest position of a record that was dropped because of its age: a fence of everybody.
    /// 0 says that there is none.
    pub(super) floor: Position,
    /// The time of that record; or the ledger's birth. Later sign-outs are all known.
    pub(super) known_since: Millis,
}

/// The content of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Filler,
    Record(Record),
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Place in its group: the records that were written and synced together.
    pub(super) in_group: u16,
    /// Place in its call, and the call's size: the records that count only together.
    pub(super) in_call: u16,
    pub(super) call_size: u16,
    pub(super) position: Position,
    /// When it was written.
    pub(super) time: Millis,
    pub(super) what: What,
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Sign-ins of this scope, up to the cutoff, have ended.
    SignOut(TaggedScope, Millis),
    /// The ledger was opened: as-ofs from here on belong to this opening.
    Opened(Opening),
    /// Nothing: its call was not whole.
    Void,
    /// What follows is in another file of the same name. It is at no position that counts, and the
    /// last record of its file: processes that have the file open read it there.
    Moved,
}

impl std::fmt::Debug for TaggedScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TaggedScope({})", kind_and_tag(*self).0)
    }
}

/// What authenticates a ledger: a MAC for its header and records, and a key whose stream is the
/// filler of the empty slots. (A MAC of each filler, of which there are thousands, took most of the
/// time of opening.)
pub(super) struct LedgerKey {
    mac: Mac,
    filler: StreamKey,
}

impl LedgerKey {
    pub(super) fn new(key: &LedgerRootKey, ledger_id: &LedgerId) -> Self {
        let filler = sub_key(key, &[b"oubliette/v1/ledger-filler", ledger_id.as_bytes()]);
        Self { mac: Mac::new(key, b"oubliette/v1/ledger"), filler }
    }
}

/// Authenticates the slots of one file.
pub(super) struct Seal<'a> {
    pub(super) key: &'a LedgerKey,
    pub(super) ledger_id: LedgerId,
    pub(super) serial: u32,
}

impl Seal<'_> {
    /// How many slots are decoded at a time.
    pub(super) const BLOCK: usize = BLOCK as usize;

    /// The bytes of a slot.
    pub(super) fn encode(&self, place: u64, slot: Slot) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        let mut rest = bytes.as_mut_slice();
        match slot {
            Slot::Filler => {
                let filler = self.fillers(place, place + 1);
                put(&mut rest, &filler);
                return bytes;
            }
            Slot::Record(r) => {
                let ((kind, tag), cutoff) = match r.what {
                    What::SignOut(scope, cutoff) => (kind_and_tag(scope), cutoff),
                    What::Void => ((6, [0; TAG_LEN]), Millis::EPOCH),
                    What::Opened(opening) => ((7, *opening.as_bytes()), Millis::EPOCH),
                    What::Moved => ((9, [0; TAG_LEN]), Millis::EPOCH),
                };
                put(&mut rest, &r.position.get().to_be_bytes());
                put(&mut rest, &r.in_group.to_be_bytes());
                put(&mut rest, &r.in_call.to_be_bytes());
                put(&mut rest, &r.call_size.to_be_bytes());
                put(&mut rest, &[kind, 0]);
                put(&mut rest, &tag);
                put(&mut rest, &cutoff.get().to_be_bytes());
                put(&mut rest, &r.time.get().to_be_bytes());
            }
        }
        let (signed, mac) = bytes.split_at_mut(SIGNED_BYTES);
        mac.copy_from_slice(&self.mac(place, signed));
        bytes
    }

    /// The fillers of the slots from `from` to before `to`.
    pub(super) fn fillers(&self, from: u64, to: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(
            usize::try_from(to.saturating_sub(from)).unwrap_or_default() * SLOT_BYTES,
        );
        let mut at = from;
        while at < to {
            let (block, end) = (at / BLOCK, (at / BLOCK + 1) * BLOCK);
            let stream =
                keystream(&self.key.filler, self.nonce(block), BLOCK as usize * SLOT_BYTES);
            let slots = (at % BLOCK) as usize..(to.min(end) - block * BLOCK) as usize;
            bytes.extend_from_slice(
                stream.get(slots.start * SLOT_BYTES..slots.end * SLOT_BYTES).unwrap_or_default(),
            );
            at = end;
        }
        bytes
    }

    /// Slots of a file, in order from `first`, which begins a [block](Self::BLOCK): `None` is one
    /// whose bytes were not written by this ledger at this place of this file.
    pub(super) fn decode(&self, first: u64, slots: &[[u8; SLOT_BYTES]]) -> Vec<Option<Slot>> {
        let mut decoded = Vec::with_capacity(slots.len());
        self.key.mac.with_many(|mac| {
            for (block, slots) in (first / BLOCK..).zip(slots.chunks(BLOCK as usize)) {
                let stream =
                    keystream(&self.key.filler, self.nonce(block), slots.len() * SLOT_BYTES);
                for ((place, bytes), filler) in
                    (block * BLOCK..).zip(slots).zip(stream.as_chunks::<SLOT_BYTES>().0)
                {
                    decoded.push(if bytes == filler {
                        Some(Slot::Filler)
                    } else {
                        self.decode_record(mac, place, bytes)
                    });
                }
            }
        });
        decoded
    }

    /// As [`decode`](Self::decode), of slots that lie in one block, from any place of it on.
    #[cfg(all(unix, feature = "sqlite"))]
    pub(super) fn decode_in_block(
        &self,
        first: u64,
        slots: &[[u8; SLOT_BYTES]],
    ) -> Vec<Option<Slot>> {
        let fillers = self.fillers(first, first + slots.len() as u64);
        let mut decoded = Vec::with_capacity(slots.len());
        self.key.mac.with_many(|mac| {
            for ((place, bytes), filler) in
                (first..).zip(slots).zip(fillers.as_chunks::<SLOT_BYTES>().0)
            {
                if bytes == filler {
                    decoded.push(Some(Slot::Filler));
                } else {
                    decoded.push(self.decode_record(mac, place, bytes));
                }
            }
        });
        decoded
    }

    fn nonce(&self, block: u64) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        let mut rest = nonce.as_mut_slice();
        put(&mut rest, &self.serial.to_be_bytes());
        put(&mut rest, &block.to_be_bytes());
        nonce
    }

    fn decode_record(
        &self,
        mac: &dyn Fn(&[&[u8]]) -> [u8; TAG_LEN],
        place: u64,
        bytes: &[u8; SLOT_BYTES],
    ) -> Option<Slot> {
        let (signed, tag) = bytes.split_last_chunk::<TAG_LEN>()?;
        if !bool::from(
            mac(&self.fields(&self.serial.to_be_bytes(), &place.to_be_bytes(), signed)).ct_eq(tag),
        ) {
            return None;
        }
        let mut rest = signed;
        let position = Position::new(u64::from_be_bytes(take(&mut rest)?));
        let [in_group, in_call, call_size] =
            [take(&mut rest)?, take(&mut rest)?, take(&mut rest)?].map(u16::from_be_bytes);
        let [kind, _] = take(&mut rest)?;
        let tag = take(&mut rest)?;
        let [cutoff, time] =
            [take(&mut rest)?, take(&mut rest)?].map(|time| Millis::new(u64::from_be_bytes(time)));
        let what = match kind {
            6 => What::Void,
            7 => What::Opened(Opening::from_bytes(tag)),
            9 => What::Moved,
            _ => What::SignOut(scope_of(kind, tag)?, cutoff),
        };
        Some(Slot::Record(Record { in_group, in_call, call_size, position, time, what }))
    }

    fn mac(&self, place: u64, signed: &[u8]) -> [u8; TAG_LEN] {
        self.key.mac.tag(&self.fields(&self.serial.to_be_bytes(), &place.to_be_bytes(), signed))
    }

    /// What a slot's MAC is of.
    fn fields<'a>(&'a self, serial: &'a [u8], place: &'a [u8], signed: &'a [u8]) -> [&'a [u8]; 5] {
        [b"slot", self.ledger_id.as_bytes(), serial, place, signed]
    }
}

impl Header {
    /// The header's sector.
    pub(super) fn encode(&self, key: &LedgerKey) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut rest = bytes.as_mut_slice();
        put(&mut rest, &MAGIC);
        put(&mut rest, &[VERSION]);
        put(&mut rest, self.ledger_id.as_bytes());
        put(&mut rest, &self.serial.to_be_bytes());
        put(&mut rest, &self.chunk.to_be_bytes());
        put(&mut rest, &self.kept.to_be_bytes());
        put(&mut rest, &self.tail.get().to_be_bytes());
        put(&mut rest, &self.floor.get().to_be_bytes());
        put(&mut rest, &self.known_since.get().to_be_bytes());
        let (signed, tag) = bytes.split_at_mut(HEADER_SIGNED);
        tag.copy_from_slice(&key.mac.tag(&[b"header", signed]));
        bytes
    }

    /// Reads the header of the ledger of this id.
    ///
    /// # Errors
    /// `Damaged` if it was not written by this ledger, `UnsupportedFormat` if by a newer version.
    pub(super) fn decode(file: &[u8], key: &LedgerKey, ledger_id: LedgerId) -> Result<Self> {
        let damaged = |problem| Error::damaged(Component::Ledger, problem);
        let (bytes, _) = file
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or_else(|| damaged("the file is too short"))?;
        let (signed, tag) =
            bytes.split_last_chunk::<TAG_LEN>().ok_or_else(|| damaged("the file is too short"))?;
        let mut rest = signed;
        if take(&mut rest) != Some(MAGIC) {
            return Err(damaged("it does not begin like a ledger"));
        }
        let version = take::<1>(&mut rest);
        if !key.mac.verify(&[b"header", signed], tag) {
            return Err(damaged("its header was changed"));
        }
        if let Some([found]) = version.filter(|[found]| *found > VERSION) {
            return Err(Error::UnsupportedFormat {
                part: Component::Ledger,
                found,
                supported: VERSION,
            });
        }
        let header = || -> Option<Self> {
            Some(Self {
                ledger_id: LedgerId::from_bytes(take(&mut rest)?),
                serial: u32::from_be_bytes(take(&mut rest)?),
                chunk: u32::from_be_bytes(take(&mut rest)?),
                kept: u32::from_be_bytes(take(&mut rest)?),
                tail: Position::new(u64::from_be_bytes(take(&mut rest)?)),
                floor: Position::new(u64::from_be_bytes(take(&mut rest)?)),
                known_since: Millis::new(u64::from_be_bytes(take(&mut rest)?)),
            })
        }();
        let header = header
            .filter(|h| h.ledger_id == ledger_id)
            .ok_or_else(|| damaged("it is the header of another ledger"))?;
        let is_sound = (1..=MAX_CHUNK).contains(&header.chunk)
            && (Position::new(1)..=MAX_TAIL).contains(&header.tail)
            && header.floor < header.tail;
        if is_sound { Ok(header) } else { Err(damaged("its header says what cannot be")) }
    }
}

pub(super) fn kind_and_tag(scope: TaggedScope) -> (u8, [u8; TAG_LEN]) {
    match scope {
        TaggedScope::Everybody => (1, [0; TAG_LEN]),
        TaggedScope::Tenant(tag) => (2, *tag.as_bytes()),
        TaggedScope::Account(tag) => (3, *tag.as_bytes()),
        TaggedScope::Session(tag) => (4, *tag.as_bytes()),
        TaggedScope::Subject(tag) => (5, *tag.as_bytes()),
        TaggedScope::SignIn(tag) => (8, *tag.as_bytes()),
    }
}

pub(super) fn scope_of(kind: u8, tag: [u8; TAG_LEN]) -> Option<TaggedScope> {
    Some(match kind {
        1 => TaggedScope::Everybody,
        2 => TaggedScope::Tenant(TenantTag::from_bytes(tag)),
        3 => TaggedScope::Account(AccountTag::from_bytes(tag)),
        4 => TaggedScope::Session(SessionTag::from_bytes(tag)),
        5 => TaggedScope::Subject(SubjectTag::from_bytes(tag)),
        8 => TaggedScope::SignIn(SignInTag::from_bytes(tag)),
        _ => return None,
    })
}

/// Writes `field` at the start of `rest`, which shrinks to what is behind it. The buffers here have
/// room for all their fields.
fn put(rest: &mut &mut [u8], field: &[u8]) {
    if let Some((to, behind)) = std::mem::take(rest).split_at_mut_checked(field.len()) {
        to.copy_from_slice(field);
        *rest = behind;
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (field, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*field)
}
