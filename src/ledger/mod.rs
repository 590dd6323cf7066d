//! The ledger: our own append-only file of sign-outs, the one source of truth about who is gone.
//!
//! A fence stands in memory first, so that no reader can miss it; then its record is appended and
//! synced, together with those of other calls that wait (group commit); then the call returns. Only
//! the thread that leads a group touches the file.

mod check;
mod compact;
mod format;
mod fresh;
#[cfg(all(fuzzing, feature = "test-util"))]
pub(crate) mod fuzzing;
mod look;
mod recover;
#[cfg(all(test, feature = "test-util"))]
mod tests;

use std::io;

use crate::crypto::{LedgerRootKey, fresh};
use crate::model::error::{Error, Part, Result};
use crate::model::position::{Opening, Position};
use crate::model::random_id::LedgerId;
use crate::model::tag::TaggedScope;
use crate::model::time::Millis;
use crate::observe;
use crate::platform::disk::{Disk, DiskFile};
use crate::platform::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::platform::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard,
};
use crate::rule::{Before, Fence, Fences, NO_CUTOFF};
use format::{HEADER_BYTES, Header, LedgerKey, MAX_GROUP, Record, SLOT_BYTES, Seal, Slot, What};
use recover::recover;

/// The most sign-outs that one call may record.
pub(crate) const MAX_CALL: usize = MAX_GROUP;

/// How the file grows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    /// Slots added at a time.
    pub(crate) chunk: u32,
    /// Empty slots that are kept ready, so that sign-outs are acknowledged when the disk is full.
    pub(crate) reserve: u64,
}

impl Default for Growth {
    /// 64 KiB at a time; 4096 sign-outs (256 KiB) in reserve.
    fn default() -> Self {
        Self { chunk: 1024, reserve: 4096 }
    }
}

/// Where a call's records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The last of them: when it is durable, all are.
    pub(crate) last: Position,
}

/// A ledger that was read and is sound in itself.
pub(crate) struct Found {
    found: recover::Recovered,
    fences: Fences,
    disk: Box<dyn Disk>,
    name: String,
    key: LedgerKey,
    growth: Growth,
}

impl Found {
    /// Whether this ledger can have been synced up to `position`: no record up to it is missing or
    /// torn.
    pub(crate) fn reaches(&self, position: Position) -> bool {
        position <= self.found.end && self.found.voided.is_none_or(|voided| position < voided)
    }

    /// Writes the last group again and lets all fences stand. With [`Ledger::read`] this is the
    /// recovery.
    ///
    /// # Errors
    /// `Io`, and `Poisoned` if the disk fails.
    pub(crate) fn settle(self) -> Result<Ledger> {
        let (found, mut fences) = (self.found, self.fences);
        let file = self.disk.open(&self.name).map_err(Error::io("open the ledger"))?;
        let (first, rewrite) = found.rewrite;
        // A chunk that was being added when the machine died is taken off again: there may be no
        // space for the rest of it.
        let cut = if found.is_cut { file.set_len(offset(found.slots)) } else { Ok(()) };
        let rewritten =
            cut.and_then(|()| file.write_at(offset(first), &rewrite)).and_then(|()| file.sync());
        rewritten.map_err(Error::io("write the ledger's last group again"))?;
        fences.end_openings(found.end.next());
        let state = State {
            file: file.into(),
            name: self.name,
            key: self.key.into(),
            header: found.header,
            slots: found.slots,
            end: found.end,
            pending: Vec::new(),
            busy: false,
            failed: None,
            groups: 0,
            begun: None,
            copied: None,
        };
        let ledger = Ledger {
            disk: self.disk,
            growth: self.growth,
            tending: Mutex::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            synced: AtomicU64::new(found.end.get()),
            failed: AtomicBool::new(false),
            fences: RwLock::new(fences),
            opening: Opening::from_bytes(fresh()?),
        };
        // Best effort: without space for a full reserve the store still opens.
        drop(ledger.lead(ledger.lock(), |ledger, state| ledger.grow(state, ledger.growth.reserve)));
        if ledger.is_failed() { Err(Error::Poisoned(Part::Ledger)) } else { Ok(ledger) }
    }
}

/// What the ledger tells about itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LedgerStats {
    pub(crate) synced: Position,
    pub(crate) fences: usize,
    pub(crate) bytes: u64,
    pub(crate) free_slots: u64,
    pub(crate) groups: u64,
}

pub(crate) struct Ledger {
    disk: Box<dyn Disk>,
    growth: Growth,
    /// Whoever writes or reads a whole file of it holds it. Sign-outs do not.
    tending: Mutex<()>,
    /// Lock order: `tending`, (the store's gate, for who waits for that,) `state`, then `fences`.
    state: Mutex<State>,
    changed: Condvar,
    synced: AtomicU64,
    /// Mirrors `State::failed`, for readers.
    failed: AtomicBool,
    fences: RwLock<Fences>,
    opening: Opening,
}

struct State {
    file: Arc<dyn DiskFile>,
    name: String,
    key: Arc<LedgerKey>,
    header: Header,
    slots: u64,
    /// The highest position given out.
    end: Position,
    /// Records that stand as fences and wait for a group, in order of position.
    pending: Vec<Pending>,
    /// A thread is writing: a group, a chunk, or a new file.
    busy: bool,
    failed: Option<io::ErrorKind>,
    groups: u64,
    /// Where this opening is recorded: before anything else that this process appends.
    begun: Option<Position>,
    /// While a new file is being written beside: what has been written to this one.
    copied: Option<Vec<Record>>,
}

struct Pending {
    in_call: u16,
    call_size: u16,
    position: Position,
    time: Millis,
    what: What,
}

impl State {
    /// Slots in use, once all that is pending is written.
    fn used(&self) -> u64 {
        u64::from(self.header.kept) + self.end.next().since(self.header.tail)
    }

    /// Slots that can still be given out: the last one of the file stays filler.
    fn free(&self) -> u64 {
        self.slots.saturating_sub(self.used() + 1)
    }
}

impl Ledger {
    /// The name of the file of the ledger of this id.
    pub(crate) fn file_name(ledger_id: &LedgerId) -> String {
        format!("ledger-{}", base16ct::lower::encode_string(ledger_id.as_bytes()))
    }

    /// Whether a file of this name is a ledger.
    pub(crate) fn is_file_name(name: &str) -> bool {
        let id = name.strip_prefix("ledger-").map(str::as_bytes);
        id.is_some_and(|id| id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit))
    }

    /// Writes the file of a new ledger. It counts from when a keyring names it.
    pub(crate) fn create(
        disk: &dyn Disk,
        ledger_id: LedgerId,
        key: &LedgerRootKey,
        growth: Growth,
        now: Millis,
    ) -> Result<()> {
        let name = Self::file_name(&ledger_id);
        let header = Header {
            ledger_id,
            serial: 0,
            chunk: growth.chunk,
            kept: 0,
            tail: Position::new(1),
            floor: Position::ZERO,
            known_since: now,
        };
        let bytes = fresh::empty_file(&header, &LedgerKey::new(key, &ledger_id), growth);
        disk.prepare(&name, &bytes)
            .and_then(|()| disk.switch(&name))
            .map_err(Error::io("create the ledger"))
    }

    /// Reads the ledger of this id, and changes nothing yet: see [`Found::settle`]. The folder has
    /// been synced: a compaction may have died between its rename and making it durable.
    ///
    /// # Errors
    /// `Damaged` if it is missing or not as this ledger left it.
    pub(crate) fn read(
        disk: Box<dyn Disk>,
        ledger_id: LedgerId,
        key: &LedgerRootKey,
        growth: Growth,
    ) -> Result<Found> {
        let (name, key) = (Self::file_name(&ledger_id), LedgerKey::new(key, &ledger_id));
        let mut fences = Fences::default();
        let found = recover(stream(&*disk, &name)?, &key, ledger_id, |_, record| {
            let_stand(&mut fences, record)
        })?;
        if found.header.floor > Position::ZERO {
            fences.stand_for_dropped(floor(found.header.floor, found.header.known_since));
        }
        Ok(Found { found, fences, disk, name, key, growth })
    }

    /// The highest synced position: the as-of of a sign-in made now.
    pub(crate) fn synced(&self) -> Position {
        Position::new(self.synced.load(Ordering::Acquire))
    }

    /// The fences that stand, synced or not: what the rule looks at.
    pub(crate) fn fences(&self) -> RwLockReadGuard<'_, Fences> {
        self.fences.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Ledger::stand_watched`], when nobody asks what stood before.
    #[cfg(all(any(test, fuzzing), feature = "test-util"))]
    pub(crate) fn stand(
        &self,
        scopes: &[TaggedScope],
        cutoff: Millis,
        time: Millis,
    ) -> Result<Span> {
        self.stand_watched(scopes, cutoff, time, false).map(|(span, _)| span)
    }

    /// Lets a fence of each scope stand, all at once for every reader. They are durable when
    /// [`Ledger::wait`] returned `Ok`. Gives what stood in these scopes before, if that is wanted.
    ///
    /// # Errors
    /// `Full` if there is no room and none can be made; `Poisoned` after an earlier failure. Then
    /// nothing stands.
    ///
    /// `InvalidInput` if there are more than [`MAX_CALL`] scopes.
    pub(crate) fn stand_watched(
        &self,
        scopes: &[TaggedScope],
        cutoff: Millis,
        time: Millis,
        watched: bool,
    ) -> Result<(Span, Before)> {
        if scopes.is_empty() || scopes.len() > MAX_CALL {
            return Err(Error::invalid("sign-out", "it has too many accounts for one call"));
        }
        let sign_outs: Vec<What> =
            scopes.iter().map(|scope| What::SignOut(*scope, cutoff)).collect();
        self.enqueue(&sign_outs, if watched { scopes } else { &[] }, time)
    }

    /// The opening that sign-ins made now belong to.
    pub(crate) fn opening(&self) -> Opening {
        self.opening
    }

    /// Records this opening, if nothing has been appended yet: before the first as-of is taken. (A
    /// process that only reads costs no space, however often it is started on a full disk.)
    ///
    /// # Errors
    /// As [`Ledger::stand_watched`] and [`Ledger::wait`].
    pub(crate) fn begin(&self, now: Millis) -> Result<()> {
        let begun = self.lock().begun;
        match begun {
            Some(position) => self.wait(position),
            None => self.wait(self.enqueue(&[], &[], now)?.0.last),
        }
    }

    /// Puts the call behind what is pending; and before the first one this opening, so that no
    /// as-of of an earlier opening can lie among the positions that are given out from now on.
    /// Gives what stood in the `watched` scopes before, too.
    fn enqueue(
        &self,
        call: &[What],
        watched: &[TaggedScope],
        time: Millis,
    ) -> Result<(Span, Before)> {
        // A call has at most `MAX_CALL` records.
        let call_size = u16::try_from(call.len()).unwrap_or(u16::MAX);
        let mut state = self.lock();
        let needed = |state: &State| u64::from(call_size) + u64::from(state.begun.is_none());
        while state.failed.is_none() && state.free() < needed(&state) {
            if state.busy {
                state = self.wait_changed(state);
            } else {
                let wanted = needed(&state);
                state = self.lead(state, |ledger, state| ledger.grow(state, wanted));
                if state.failed.is_none() && state.free() < needed(&state) {
                    return Err(Error::Full(Part::Ledger));
                }
            }
        }
        if state.failed.is_some() {
            return Err(Error::Poisoned(Part::Ledger));
        }
        let is_first = state.begun.is_none();
        let mut fences = self.fences.write().unwrap_or_else(PoisonError::into_inner);
        let before = fences.before(watched, state.end.next());
        let mut append = |in_call, call_size, what| {
            state.end = state.end.next();
            let position = state.end;
            match what {
                What::SignOut(scope, cutoff) => {
                    fences.stand(scope, Fence { position, cutoff, time })
                }
                What::Opened(opening) => {
                    fences.open(position, opening, time);
                    state.begun = Some(position);
                }
                What::Void => {}
            }
            state.pending.push(Pending { in_call, call_size, position, time, what });
        };
        if is_first {
            append(0, 1, What::Opened(self.opening));
        }
        (0u16..).zip(call).for_each(|(in_call, what)| append(in_call, call_size, *what));
        Ok((Span { last: state.end }, before))
    }

    /// Returns when the record at `position` is on the disk. Whoever waits may be the one who
    /// writes for all.
    ///
    /// # Errors
    /// `Indeterminate` if writing or syncing failed: the fences stand, but only in this process.
    pub(crate) fn wait(&self, position: Position) -> Result<()> {
        let mut state = self.lock();
        loop {
            if self.synced() >= position {
                return Ok(());
            }
            if let Some(kind) = state.failed {
                return Err(Error::Indeterminate(kind.into()));
            }
            state = if state.busy {
                self.wait_changed(state)
            } else {
                self.lead(state, Self::write_group)
            };
        }
    }

    /// Returns when every record that stands now is on the disk.
    ///
    /// # Errors
    /// As [`Ledger::wait`].
    #[cfg(feature = "logout")]
    pub(crate) fn settle(&self) -> Result<()> {
        let end = self.lock().end;
        self.wait(end)
    }

    /// After a failure elsewhere that leaves open which ledger counts: nothing but reopening finds
    /// out.
    pub(crate) fn give_up(&self) {
        let mut state = self.lock();
        self.fail(&mut state, io::ErrorKind::Other);
        self.changed.notify_all();
    }

    /// Whether an earlier write or sync failed.
    pub(crate) fn is_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Up to which position records may have been dropped for their age, and since when all are
    /// known.
    pub(crate) fn horizon(&self) -> (Position, Millis) {
        let state = self.lock();
        (state.header.floor, state.header.known_since)
    }

    pub(crate) fn stats(&self) -> LedgerStats {
        let state = self.lock();
        LedgerStats {
            synced: self.synced(),
            fences: self.fences().len(),
            bytes: offset(state.slots),
            free_slots: state.free(),
            groups: state.groups,
        }
    }

    /// Keeps compaction from beginning, once the one that is at work is done. Who is going to be
    /// alone in the store takes this before, and waits here for it, not there, where everybody else
    /// would wait too.
    pub(crate) fn tend(&self) -> MutexGuard<'_, ()> {
        self.tending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, while nobody writes to the file.
    fn lock_idle(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        while state.failed.is_none() && state.busy {
            state = self.wait_changed(state);
        }
        if state.failed.is_some() { Err(Error::Poisoned(Part::Ledger)) } else { Ok(state) }
    }

    fn fail(&self, state: &mut State, kind: io::ErrorKind) {
        state.failed = Some(kind);
        if !self.failed.swap(true, Ordering::AcqRel) {
            observe::poisoned(Part::Ledger);
        }
    }

    fn wait_changed<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` as the only thread that touches the file, then makes room for the reserve. The
    /// work may unlock the state meanwhile.
    fn lead<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        work: impl FnOnce(&'a Self, MutexGuard<'a, State>) -> MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        state.busy = true;
        // Should the work panic, nobody may wait for ever, nor trust the file.
        let guard = Leader { ledger: self };
        let mut state = work(self, state);
        std::mem::forget(guard);
        state.busy = false;
        self.changed.notify_all();
        state
    }

    /// Writes and syncs up to one group of what is pending, tells those who wait, then tops up the
    /// reserve.
    fn write_group<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let mut size = state.pending.len().min(MAX_GROUP);
        while state.pending.get(size).is_some_and(|next| next.in_call != 0) {
            size -= 1;
        }
        let group: Vec<Pending> = state.pending.drain(..size).collect();
        let Some((first, last)) =
            group.first().zip(group.last()).map(|(f, l)| (f.position, l.position))
        else {
            return state;
        };
        let (file, key, header) = (state.file.clone(), state.key.clone(), state.header.clone());
        drop(state);

        let seal = seal_of(&key, &header);
        let place = u64::from(header.kept) + first.since(header.tail);
        let records = (0u16..).zip(&group).map(|(in_group, p)| {
            let (in_call, call_size, position, time, what) =
                (p.in_call, p.call_size, p.position, p.time, p.what);
            Record { in_group, in_call, call_size, position, time, what }
        });
        let records: Vec<Record> = records.collect();
        let bytes: Vec<u8> = (place..)
            .zip(&records)
            .flat_map(|(place, record)| seal.encode(place, Slot::Record(*record)))
            .collect();
        let sign_outs =
            group.iter().filter(|p| p.in_call == 0 && matches!(p.what, What::SignOut(..))).count();
        let watch = observe::watch();
        let written = file.write_at(offset(place), &bytes).and_then(|()| file.sync());

        let mut state = self.lock();
        match written {
            Ok(()) => {
                state.groups += 1;
                self.synced.store(last.get(), Ordering::Release);
                if let Some(copied) = &mut state.copied {
                    copied.extend(records);
                }
                observe::synced(sign_outs, watch, offset(state.slots), state.free());
            }
            // Nothing is tried again: after a failed sync the system may call lost pages clean.
            Err(error) => self.fail(&mut state, error.kind()),
        }
        self.changed.notify_all();
        self.grow(state, self.growth.reserve)
    }

    /// Adds chunks until `wanted` slots are free, as far as the disk has space. A chunk is synced
    /// before it counts.
    fn grow<'a>(&'a self, mut state: MutexGuard<'a, State>, wanted: u64) -> MutexGuard<'a, State> {
        while state.failed.is_none() && state.free() < wanted {
            let (file, key, header, slots) =
                (state.file.clone(), state.key.clone(), state.header.clone(), state.slots);
            drop(state);
            let seal = seal_of(&key, &header);
            let end = slots + u64::from(header.chunk);
            let bytes = seal.fillers(slots, end);
            let grown = file.write_at(offset(slots), &bytes).and_then(|()| file.sync());
            state = self.lock();
            match grown {
                Ok(()) => state.slots = end,
                // What is behind the last whole chunk does not count; the next attempt writes it
                // anew.
                Err(error) if is_full(&error) => {
                    let _ = file.set_len(offset(slots));
                    break;
                }
                Err(error) => self.fail(&mut state, error.kind()),
            }
        }
        state
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ledger({:?})", self.stats())
    }
}

struct Leader<'a> {
    ledger: &'a Ledger,
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let mut state = self.ledger.lock();
        state.busy = false;
        self.ledger.fail(&mut state, io::ErrorKind::Other);
        self.ledger.changed.notify_all();
    }
}

fn seal_of<'a>(key: &'a LedgerKey, header: &Header) -> Seal<'a> {
    Seal { key, ledger_id: header.ledger_id, serial: header.serial }
}

/// The fence that stands for all that was dropped for its age.
fn floor(position: Position, known_since: Millis) -> Fence {
    Fence { position, cutoff: NO_CUTOFF, time: known_since }
}

/// Lets stand what a record of a file says.
fn let_stand(fences: &mut Fences, record: &Record) {
    let Record { position, time, what, .. } = *record;
    match what {
        What::SignOut(scope, cutoff) => fences.stand(scope, Fence { position, cutoff, time }),
        What::Opened(opening) => fences.open(position, opening, time),
        What::Void => {}
    }
}

/// The file of this name, from its beginning.
fn stream(disk: &dyn Disk, name: &str) -> Result<Box<dyn io::Read + Send>> {
    let file = disk.stream(name).map_err(Error::io("read the ledger"))?;
    file.ok_or_else(|| Error::damaged(Part::Ledger, "its file is missing"))
}

fn offset(slot: u64) -> u64 {
    HEADER_BYTES as u64 + slot * SLOT_BYTES as u64
}

/// Whether an error says that there is no space, so that nothing else is in doubt.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
