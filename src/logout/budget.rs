//! How many sign-outs an issuer may have recorded without a look at whether there is anybody.
//!
//! Every sign-out is recorded, found or not, so that it covers a sign-in that is on its way. That gives an issuer who signs
//! names without end (broken, or hostile: a customer's own provider) the whole ledger. So beyond a number in an hour it is looked first, and what
//! would end nobody is not recorded.

use std::time::{Duration, Instant};

use crate::sync::{Mutex, PoisonError};

const MOST: u32 = 10_000;
const WINDOW: Duration = Duration::from_secs(3600);

pub(super) struct Budget(Mutex<(Instant, u32)>);

impl Default for Budget {
    fn default() -> Self {
        Self(Mutex::new((Instant::now(), 0)))
    }
}

impl Budget {
    /// Takes one, if there is one left in this hour.
    pub(super) fn take(&self) -> bool {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> bool {
        let mut budget = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(budget.0) >= WINDOW {
            *budget = (now, 0);
        }
        budget.1 = budget.1.saturating_add(1);
        budget.1 <= MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_new_each_hour() {
        let (budget, start) = (Budget::default(), Instant::now());
        assert_eq!((0..MOST + 5).filter(|_| budget.take_at(start)).count(), MOST as usize);
        assert!(!budget.take_at(start + WINDOW / 2));
        assert!(budget.take_at(start + WINDOW + Duration::from_secs(1)));
    }
}
