//! How many records an issuer may have for sign-outs that find nobody.
//!
//! A sign-out is recorded, found or not, so that it covers a sign-in that is on its way. That would
//! give an issuer who signs names without end (broken, or hostile: a customer's own provider) the
//! whole ledger. So there is a number of them in an hour.

use std::time::{Duration, Instant};

use crate::platform::sync::{Mutex, PoisonError};

const MOST: u32 = 1_000;
const WINDOW: Duration = Duration::from_secs(3600);

pub(crate) struct Budget(Mutex<(Instant, u32)>);

impl Default for Budget {
    fn default() -> Self {
        Self(Mutex::new((Instant::now(), 0)))
    }
}

impl Budget {
    /// Takes so many, if there is one left in this hour.
    pub(crate) fn take(&self, records: usize) -> bool {
        self.take_at(Instant::now(), u32::try_from(records).unwrap_or(u32::MAX))
    }

    fn take_at(&self, now: Instant, records: u32) -> bool {
        let mut budget = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(budget.0) >= WINDOW {
            *budget = (now, 0);
        }
        let is_left = budget.1 < MOST;
        budget.1 = budget.1.saturating_add(records);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_new_each_hour() {
        let (budget, start) = (Budget::default(), Instant::now());
        assert_eq!((0..MOST + 5).filter(|_| budget.take_at(start, 1)).count(), MOST as usize);
        assert!(!budget.take_at(start + WINDOW / 2, 1));
        assert!(budget.take_at(start + WINDOW + Duration::from_secs(1), MOST));
    }
}
