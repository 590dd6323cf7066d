//! What a new file of the ledger keeps of the sign-outs that stand in memory, and what it says of
//! those that it leaves out.

use super::format::{Header, Record, What};
use super::fresh::Fresh;
use super::open::floor;
use crate::model::error::Component;
use crate::model::error::{Error, Result};
use crate::model::position::{Opening, Position};
use crate::model::random_id::LedgerId;
use crate::model::time::Millis;
use crate::platform::sync::{PoisonError, RwLock, RwLockReadGuard};
use crate::rule::{Fence, Fences, InOrder, SHARDS};

/// How many records are looked up and written at a time.
const SLICE: usize = 4096;

/// Lets other threads in that wait to change or to see what stands. (A thread that waits for a lock
/// never gets one that is let go of and taken again at once: it takes longer to wake up.)
#[derive(Default)]
pub(super) struct Turns(usize);

impl Turns {
    /// Counts what the caller has looked at under a lock.
    pub(super) fn looked_at(&mut self, fences: usize) {
        self.0 += fences;
    }

    /// Pauses, if many fences were looked at since the last pause. The caller holds no lock.
    pub(super) fn make_way(&mut self) {
        if self.0 < SLICE {
            return;
        }
        self.0 = 0;
        #[cfg(not(oubliette_shuttle))]
        std::thread::sleep(std::time::Duration::from_micros(50));
        #[cfg(oubliette_shuttle)]
        crate::platform::sync::thread::yield_now();
    }
}

/// What a new file leaves out.
pub(super) struct Plan {
    /// The highest position of what is dropped for its age.
    pub(super) floor: Position,
    known_since: Millis,
    /// The position of the first opening that is kept.
    first_opening: Position,
    /// How many records are kept.
    pub(super) kept: u64,
}

impl Plan {
    /// What a new file would keep of what is synced up to some position: the sign-outs that still
    /// decide something and are not older than `oldest`, and the openings that sign-ins above the
    /// floor can be of. A shard at a time, so that no thread waits for long.
    pub(super) fn new(
        fences: &RwLock<Fences>,
        synced: Position,
        (old_floor, known_since): (Position, Millis),
        oldest: Millis,
    ) -> Self {
        // Twice through what stands: the floor first, then what is above it.
        let each = |look: &mut dyn FnMut(Fence)| {
            let mut turns = Turns::default();
            for shard in 0..SHARDS {
                let fences = read(fences);
                let known =
                    fences.of_shard(shard).map(|(_, fence)| fence).inspect(|_| turns.looked_at(1));
                known
                    .filter(|fence| fence.position > old_floor && fence.position <= synced)
                    .for_each(&mut *look);
                drop(fences);
                turns.make_way();
            }
        };
        let mut plan =
            Self { floor: old_floor, known_since, first_opening: Position::ZERO, kept: 0 };
        each(&mut |fence| {
            if fence.time < oldest {
                plan.floor = plan.floor.max(fence.position);
            }
        });
        each(&mut |fence| {
            if fence.position > plan.floor {
                plan.kept += 1;
            } else {
                plan.known_since = plan.known_since.max(fence.time);
            }
        });
        plan.add_openings(read(fences).openings(), oldest);
        plan
    }

    /// Adds the openings that are kept to the plan.
    fn add_openings(&mut self, openings: &[(Position, Opening, Millis)], oldest: Millis) {
        // An opening is over when the floor has passed the next one, or when all that signed in
        // before the next is too old. Only from the front: one less in the middle would lengthen
        // the one before it.
        let next = openings
            .iter()
            .skip(1)
            .map(|(position, _, time)| (*position, *time))
            .chain([(Position::MAX, Millis::MAX)]);
        let mut live = openings
            .iter()
            .zip(next)
            .skip_while(|(_, (position, time))| *position <= self.floor || *time < oldest)
            .peekable();
        self.first_opening = live.peek().map_or(Position::ZERO, |((position, ..), _)| *position);
        self.kept += live.count() as u64;
    }

    /// Writes what stands at or before `start`, in order of position, and gives how many records
    /// that are.
    pub(super) fn write(
        &self,
        fences: &RwLock<Fences>,
        file: &mut Fresh<'_>,
        start: Position,
    ) -> Result<u32> {
        let mut found = InOrder::none();
        let mut turns = Turns::default();
        for shard in 0..SHARDS {
            let before = found.len();
            read(fences).find_places(shard, self.floor.next()..=start, &mut found);
            turns.looked_at(found.len() - before);
            turns.make_way();
        }
        found.sort();
        let openings: Vec<(Position, Opening, Millis)> = read(fences).openings().to_vec();
        let kept_openings = openings
            .into_iter()
            .filter(|(position, ..)| (self.first_opening..=start).contains(position));
        let mut openings = kept_openings
            .map(|(position, opening, time)| record(position, time, What::Opened(opening)))
            .peekable();

        // In order of position: each opening comes before the first fence that is newer.
        for first in (0..found.len()).step_by(SLICE) {
            let mut records = Vec::with_capacity(SLICE);
            let stand = read(fences);
            for (scope, fence) in stand.at(&found, first..found.len().min(first + SLICE)) {
                records.extend(std::iter::from_fn(|| {
                    openings.next_if(|opened| opened.position < fence.position)
                }));
                records.push(record(
                    fence.position,
                    fence.time,
                    What::SignOut(scope, fence.cutoff),
                ));
            }
            drop(stand);
            turns.looked_at(records.len());
            turns.make_way();
            file.append(&records)?;
        }
        let rest: Vec<Record> = openings.collect();
        file.append(&rest)?;
        u32::try_from(file.slots()).map_err(|_| Error::Full(Component::Ledger))
    }

    /// The header of the new file.
    pub(super) fn header(
        &self,
        ledger_id: LedgerId,
        (serial, chunk): (u32, u32),
        (kept, start): (u32, Position),
    ) -> Header {
        let Self { floor, known_since, .. } = *self;
        Header { ledger_id, serial, chunk, kept, tail: start.next(), floor, known_since }
    }

    /// Makes the floor stand for what the new file leaves out. Says whether there is any.
    pub(super) fn let_dropped_stand(&self, fences: &RwLock<Fences>) -> bool {
        let mut fences = fences.write().unwrap_or_else(PoisonError::into_inner);
        fences.forget_openings(self.first_opening);
        if self.floor > Position::ZERO {
            fences.stand_for_dropped(floor(self.floor, self.known_since));
        }
        self.floor > Position::ZERO
    }
}

/// Takes the fences out of memory that the floor stands for. A shard at a time, so that no thread
/// waits for long.
pub(super) fn forget_dropped(fences: &RwLock<Fences>) {
    let mut turns = Turns::default();
    for shard in 0..SHARDS {
        let mut fences = fences.write().unwrap_or_else(PoisonError::into_inner);
        turns.looked_at(fences.of_shard(shard).count());
        fences.forget_shard(shard);
        drop(fences);
        turns.make_way();
    }
}

fn read(fences: &RwLock<Fences>) -> RwLockReadGuard<'_, Fences> {
    fences.read().unwrap_or_else(PoisonError::into_inner)
}

/// A record that compaction keeps. It stands alone: the call and the group that it was of are
/// whole.
fn record(position: Position, time: Millis, what: What) -> Record {
    Record { in_group: 0, in_call: 0, call_size: 1, position, time, what }
}
