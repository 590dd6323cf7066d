//! Ways in for the fuzz targets: the ledger's file slot by slot, and the ledger on a pretended
//! machine.

use super::Ledger;
use super::format::{
    HEADER_BYTES, Header, LedgerKey, Record, SLOT_BYTES, Seal, Slot, What, kind_and_tag, scope_of,
};
use super::recover::recover;
use crate::crypto::{LedgerRootKey, Mac};
use crate::model::error::Result;
use crate::model::position::{Opening, Position};
use crate::model::random_id::LedgerId;
use crate::model::tag::{
    AccountTag, SessionTag, SignInTag, SubjectTag, TAG_LEN, TaggedScope, TenantTag,
};
use crate::model::time::Millis;
use crate::rule::Life;

/// The header's fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// How often it was compacted.
    pub serial: u32,
    /// Slots added at a time.
    pub chunk: u32,
    /// Slots at the start that compaction kept.
    pub kept: u32,
    /// Position of the first slot behind them.
    pub tail: u64,
    /// The highest position dropped for its age.
    pub floor: u64,
    /// Since when all are known.
    pub known_since: u64,
}

/// The fields of a record; its kind is a number, as in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRecord {
    /// Place in its group.
    pub in_group: u16,
    /// Place in its call.
    pub in_call: u16,
    /// The call's size.
    pub call_size: u16,
    /// Its position.
    pub position: u64,
    /// When it was asked for.
    pub time: u64,
    /// 1 to 7.
    pub kind: u8,
    /// The tag of the scope that is signed out; or the opening.
    pub tag: [u8; 16],
    /// Only sign-ins up to this time.
    pub cutoff: u64,
}

/// What recovery makes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The records that count.
    pub records: Vec<SlotRecord>,
    /// The highest position.
    pub end: u64,
    /// How many slots count.
    pub slots: u64,
    /// Whether the file is longer.
    pub is_cut: bool,
    /// The lowest position that was voided now.
    pub voided: Option<u64>,
    /// The first slot that is written again, and with what.
    pub rewrite: (u64, Vec<u8>),
}

/// Files of a ledger with a key and an id that never change.
pub struct LedgerFile {
    key: LedgerKey,
    /// As the key has it for itself.
    mac: Mac,
}

pub(crate) const ID: LedgerId = LedgerId::from_bytes([9; 16]);

pub(crate) fn key() -> LedgerRootKey {
    LedgerRootKey::init(|bytes| bytes.fill(10))
}

impl Default for LedgerFile {
    fn default() -> Self {
        Self { key: LedgerKey::new(&key(), &ID), mac: Mac::new(&key(), b"oubliette/v1/ledger") }
    }
}

impl std::fmt::Debug for LedgerFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LedgerFile(..)")
    }
}

impl LedgerFile {
    /// The only one's name.
    #[must_use]
    pub fn name() -> String {
        Ledger::file_name(&ID)
    }

    fn seal(&self, serial: u32) -> Seal<'_> {
        Seal { key: &self.key, ledger_id: ID, serial }
    }

    /// The header's sector.
    #[must_use]
    pub fn header(&self, header: &FileHeader) -> Vec<u8> {
        let FileHeader { serial, chunk, kept, tail, floor, known_since } = *header;
        let ([tail, floor], known_since) =
            ([tail, floor].map(Position::new), Millis::new(known_since));
        Header { ledger_id: ID, serial, chunk, kept, tail, floor, known_since }
            .encode(&self.key)
            .to_vec()
    }

    /// Reads the header.
    ///
    /// # Errors
    /// As opening a ledger.
    pub fn read_header(&self, file: &[u8]) -> Result<FileHeader> {
        let Header { serial, chunk, kept, tail, floor, known_since, .. } =
            Header::decode(file, &self.key, ID)?;
        let ([tail, floor], known_since) = ([tail, floor].map(Position::get), known_since.get());
        Ok(FileHeader { serial, chunk, kept, tail, floor, known_since })
    }

    /// A slot of a file of this serial number: a record, or its filler.
    #[must_use]
    pub fn slot(&self, serial: u32, place: u64, record: Option<&SlotRecord>) -> [u8; SLOT_BYTES] {
        let slot = record.and_then(to_record).map_or(Slot::Filler, Slot::Record);
        self.seal(serial).encode(place, slot)
    }

    /// What the slots of a file hold: a record, the filler (`Some(None)`), or nothing of this
    /// ledger.
    #[must_use]
    pub fn read_slots(
        &self,
        serial: u32,
        slots: &[[u8; SLOT_BYTES]],
    ) -> Vec<Option<Option<SlotRecord>>> {
        let slots = self.seal(serial).decode(0, slots).into_iter();
        let read = slots.map(|slot| match slot? {
            Slot::Filler => Some(None),
            Slot::Record(record) => Some(Some(from_record(&record))),
        });
        read.collect()
    }

    /// Puts the right authentication on the header, if asked for, and on every slot that
    /// `is_mended`, whatever they say; a slot without a kind becomes filler.
    pub fn mend(&self, file: &mut [u8], header: bool, is_mended: impl Fn(u64) -> bool) {
        let Some((head, slots)) = file.split_first_chunk_mut::<HEADER_BYTES>() else { return };
        let (signed, tag) = head.split_at_mut(HEADER_BYTES - TAG_LEN);
        if header {
            tag.copy_from_slice(&self.mac.tag(&[b"header", signed]));
        }
        let serial = signed
            .get(21..)
            .and_then(|rest| rest.first_chunk().copied())
            .map_or(0, u32::from_be_bytes);
        let (slots, _) = slots.as_chunks_mut::<SLOT_BYTES>();
        let fillers = self.seal(serial).fillers(0, slots.len() as u64);
        let fillers = fillers.as_chunks::<SLOT_BYTES>().0;
        for ((place, slot), filler) in
            (0..).zip(slots).zip(fillers).filter(|((place, _), _)| is_mended(*place))
        {
            let kind = slot[14];
            if slot == filler || !(1..=8).contains(&kind) {
                *slot = *filler;
            } else {
                let (signed, tag) = slot.split_at_mut(SLOT_BYTES - TAG_LEN);
                let fields: [&[u8]; 5] =
                    [b"slot", ID.as_bytes(), &serial.to_be_bytes(), &place.to_be_bytes(), signed];
                tag.copy_from_slice(&self.mac.tag(&fields));
            }
        }
    }

    /// Recovery's first half, on these bytes.
    ///
    /// # Errors
    /// As opening a ledger.
    pub fn recover(&self, file: &[u8]) -> Result<Read> {
        let mut records = Vec::new();
        let recovered =
            recover(file, &self.key, ID, |_, record| records.push(from_record(record)))?;
        Ok(Read {
            records,
            end: recovered.end.get(),
            slots: recovered.slots,
            is_cut: recovered.is_cut,
            voided: recovered.voided.map(Position::get),
            rewrite: recovered.rewrite,
        })
    }
}

fn from_record(record: &Record) -> SlotRecord {
    let ((kind, tag), cutoff) = match record.what {
        What::SignOut(scope, cutoff) => (kind_and_tag(scope), cutoff),
        What::Void => ((6, [0; 16]), Millis::EPOCH),
        What::Moved => ((9, [0; 16]), Millis::EPOCH),
        What::Opened(opening) => ((7, *opening.as_bytes()), Millis::EPOCH),
    };
    let Record { in_group, in_call, call_size, position, time, .. } = *record;
    let (position, time, cutoff) = (position.get(), time.get(), cutoff.get());
    SlotRecord { in_group, in_call, call_size, position, time, kind, tag, cutoff }
}

fn to_record(record: &SlotRecord) -> Option<Record> {
    let SlotRecord { in_group, in_call, call_size, position, time, kind, tag, cutoff } = *record;
    let (position, time, cutoff) =
        (Position::new(position), Millis::new(time), Millis::new(cutoff));
    let what = match kind {
        6 => What::Void,
        9 => What::Moved,
        7 => What::Opened(Opening::from_bytes(tag)),
        _ => What::SignOut(scope_of(kind, tag)?, cutoff),
    };
    Some(Record { in_group, in_call, call_size, position, time, what })
}

/// A sign-in, as the rule sees it.
#[derive(Clone)]
pub struct SignedIn(Life);

impl SignedIn {
    /// The highest synced position when it was made.
    #[must_use]
    pub fn as_of(&self) -> u64 {
        self.0.as_of.get()
    }

    /// Its time.
    #[must_use]
    pub fn time(&self) -> u64 {
        self.0.time.get()
    }
}

impl std::fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignedIn(..)")
    }
}

/// A fence that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// 1 to 5.
    pub kind: u8,
    /// The tag of the scope that is signed out.
    pub tag: [u8; 16],
    /// Its position.
    pub position: u64,
    /// Only sign-ins up to this time.
    pub cutoff: u64,
}

/// The ledger, open on a machine, without a store.
#[derive(Debug)]
pub struct LedgerOn(pub(crate) Ledger);

impl LedgerOn {
    /// Takes a sign-in's as-of, as signing in does.
    ///
    /// # Errors
    /// As signing in.
    pub fn sign_in(&self, now: u64, time: u64, tags: [[u8; 16]; 5]) -> Result<SignedIn> {
        self.0.begin(Millis::new(now))?;
        let [account, tenant, session, subject, sign_in] = tags;
        let (opening, as_of) = (self.0.opening(), self.0.synced());
        Ok(SignedIn(Life {
            opening,
            as_of,
            time: Millis::new(time),
            sign_in: SignInTag::from_bytes(sign_in),
            account: AccountTag::from_bytes(account),
            other: None,
            tenant: TenantTag::from_bytes(tenant),
            session: Some(SessionTag::from_bytes(session)),
            subject: Some(SubjectTag::from_bytes(subject)),
            ends: Millis::MAX,
        }))
    }

    /// Lets fences stand as one call, and gives the position of the last.
    ///
    /// # Errors
    /// As signing out.
    pub fn stand(&self, scopes: &[(u8, [u8; 16])], cutoff: u64, now: u64) -> Result<u64> {
        let scopes: Vec<TaggedScope> =
            scopes.iter().filter_map(|(kind, tag)| scope_of(*kind, *tag)).collect();
        self.0.stand(&scopes, Millis::new(cutoff), Millis::new(now)).map(|span| span.last.get())
    }

    /// Waits until the position is durable.
    ///
    /// # Errors
    /// As signing out.
    pub fn wait(&self, position: u64) -> Result<()> {
        self.0.wait(Position::new(position))
    }

    /// Compacts the file.
    ///
    /// # Errors
    /// As the sweep.
    pub fn compact(&self, oldest: u64) -> Result<bool> {
        self.0.compact(Millis::new(oldest))
    }

    /// The highest synced position.
    #[must_use]
    pub fn synced(&self) -> u64 {
        self.0.synced().get()
    }

    /// The highest position dropped for its age, and since when all are known.
    #[must_use]
    pub fn horizon(&self) -> (u64, u64) {
        let (floor, known_since) = self.0.horizon();
        (floor.get(), known_since.get())
    }

    /// Whether the rule says that the sign-in has ended.
    #[must_use]
    pub fn is_dead(&self, sign_in: &SignedIn) -> bool {
        self.0.fences().is_dead(&sign_in.0)
    }

    /// Whether a sign-out that came at `since` or later covers a sign-in of that time.
    #[must_use]
    pub fn is_covered_since(&self, sign_in: &SignedIn, since: u64) -> bool {
        self.0.fences().is_covered_since(&sign_in.0, Millis::new(since))
    }

    /// All fences that decide something, in order of position.
    #[must_use]
    pub fn standing(&self) -> Vec<Standing> {
        let fences = self.0.fences().in_order().into_iter();
        let standing = fences.map(|(scope, fence)| {
            let (kind, tag) = kind_and_tag(scope);
            Standing { kind, tag, position: fence.position.get(), cutoff: fence.cutoff.get() }
        });
        standing.collect()
    }
}
