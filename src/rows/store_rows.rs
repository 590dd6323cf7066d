//! Rows that belong to no account: the checkpoint, what is known of the time, the sizes after a
//! move, the longest age of a sign-in.

use crate::clock::trust::Known;
use crate::crypto::{NONCE_BYTES, open_in_place, seal_in_place};
use crate::model::error::{Component, Error, Result};
use crate::model::position::Position;
use crate::model::random_id::Generation;
use crate::model::time::{Interval, Millis};
use crate::rows::cipher::{FORMAT, Rows};

/// The sizes after a move of the rows: how much was live, and how large the fresh engine was with
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fresh {
    pub(crate) live_bytes: u64,
    pub(crate) engine_bytes: u64,
}

impl Rows {
    /// The checkpoint: this ledger was synced up to `position`.
    pub(crate) fn seal_checkpoint(&self, key: &[u8], position: Position) -> Result<Vec<u8>> {
        let mut row = vec![FORMAT, b'C'];
        row.resize(2 + NONCE_BYTES, 0);
        row.extend_from_slice(&position.get().to_be_bytes());
        let aad = self.aad(b"checkpoint", &Generation::NONE, key, &[FORMAT, b'C']);
        seal_in_place(&self.checkpoint_key(), &aad, &mut row, 2)?;
        Ok(row)
    }

    pub(crate) fn open_checkpoint(&self, key: &[u8], value: &[u8]) -> Result<Position> {
        let damaged = || Error::damaged(Component::Engine, "its checkpoint is not of this ledger");
        let (front, sealed) = value.split_first_chunk::<2>().ok_or_else(damaged)?;
        if *front != [FORMAT, b'C'] {
            return Err(damaged());
        }
        let aad = self.aad(b"checkpoint", &Generation::NONE, key, front);
        let mut sealed = sealed.to_vec();
        let opened =
            open_in_place(&self.checkpoint_key(), &aad, &mut sealed).ok_or_else(damaged)?;
        opened
            .try_into()
            .map(|bytes: &mut [u8; 8]| Position::new(u64::from_be_bytes(*bytes)))
            .map_err(|_| damaged())
    }

    /// What is known of the time, for later openings.
    pub(crate) fn seal_known(&self, key: &[u8], known: &Known) -> Result<Vec<u8>> {
        self.seal_numbers(b"known-time", b'K', key, [known.known.get(), known.shown.get()])
    }

    /// Opens what [`Rows::seal_known`] sealed; `None` if it is not as it was written.
    pub(crate) fn open_known(&self, key: &[u8], value: &[u8]) -> Option<Known> {
        self.open_numbers(b"known-time", b'K', key, value).map(|times| {
            let [known, shown] = times.map(Millis::new);
            Known { known, shown }
        })
    }

    /// The sizes after a move, for later openings.
    pub(crate) fn seal_fresh(&self, key: &[u8], fresh: &Fresh) -> Result<Vec<u8>> {
        self.seal_numbers(b"fresh-engine", b'F', key, [fresh.live_bytes, fresh.engine_bytes])
    }

    /// Opens what [`Rows::seal_fresh`] sealed; `None` if it is not as it was written: the sizes
    /// count as unknown then.
    pub(crate) fn open_fresh(&self, key: &[u8], value: &[u8]) -> Option<Fresh> {
        let [live_bytes, engine_bytes] = self.open_numbers(b"fresh-engine", b'F', key, value)?;
        Some(Fresh { live_bytes, engine_bytes })
    }

    /// The longest age that a sign-in may have, for later openings.
    pub(crate) fn seal_longest_age(&self, key: &[u8], age: Interval) -> Result<Vec<u8>> {
        self.seal_numbers(b"longest-age", b'G', key, [age.get()])
    }

    /// Opens what [`Rows::seal_longest_age`] sealed; `None` if it is not as it was written.
    pub(crate) fn open_longest_age(&self, key: &[u8], value: &[u8]) -> Option<Interval> {
        let [age] = self.open_numbers(b"longest-age", b'G', key, value)?;
        Some(Interval::new(age))
    }

    /// Numbers that belong to no account.
    fn seal_numbers<const N: usize>(
        &self,
        label: &[u8],
        kind: u8,
        key: &[u8],
        numbers: [u64; N],
    ) -> Result<Vec<u8>> {
        let mut row = vec![FORMAT, kind];
        row.resize(2 + NONCE_BYTES, 0);
        numbers.iter().for_each(|number| row.extend_from_slice(&number.to_be_bytes()));
        let aad = self.aad(label, &Generation::NONE, key, &[FORMAT, kind]);
        seal_in_place(&self.checkpoint_key(), &aad, &mut row, 2)?;
        Ok(row)
    }

    fn open_numbers<const N: usize>(
        &self,
        label: &[u8],
        kind: u8,
        key: &[u8],
        value: &[u8],
    ) -> Option<[u64; N]> {
        let (front, sealed) = value.split_first_chunk::<2>()?;
        let aad = self.aad(label, &Generation::NONE, key, front);
        let mut sealed = sealed.to_vec();
        let opened = open_in_place(&self.checkpoint_key(), &aad, &mut sealed)
            .filter(|_| *front == [FORMAT, kind])?;
        let (numbers, []) = opened.as_chunks::<8>() else { return None };
        <[[u8; 8]; N]>::try_from(numbers).ok().map(|numbers| numbers.map(u64::from_be_bytes))
    }
}
