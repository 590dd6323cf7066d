//! How many records an issuer may have for sign-outs that find nobody.
//!
//! A sign-out is recorded whether it finds a sign-in or not, so that it covers one that is on its
//! way. An issuer that signs made-up names without end (broken, or hostile: a customer's own
//! provider) could so fill the ledger. So there is a limit per hour.

use std::time::{Duration, Instant};

use crate::platform::sync::{Mutex, PoisonError};

const MAX_RECORDS: u32 = 1_000;
const WINDOW: Duration = Duration::from_secs(3600);

pub(crate) struct RecordQuota(Mutex<(Instant, u32)>);

impl Default for RecordQuota {
    fn default() -> Self {
        Self(Mutex::new((Instant::now(), 0)))
    }
}

impl RecordQuota {
    /// Takes this many records. `false` if none was left in this hour.
    pub(crate) fn take(&self, records: usize) -> bool {
        self.take_at(Instant::now(), u32::try_from(records).unwrap_or(u32::MAX))
    }

    fn take_at(&self, now: Instant, records: u32) -> bool {
        let mut quota = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(quota.0) >= WINDOW {
            *quota = (now, 0);
        }
        let is_left = quota.1 < MAX_RECORDS;
        quota.1 = quota.1.saturating_add(records);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_new_each_hour() {
        let (quota, start) = (RecordQuota::default(), Instant::now());
        assert_eq!(
            (0..MAX_RECORDS + 5).filter(|_| quota.take_at(start, 1)).count(),
            MAX_RECORDS as usize
        );
        assert!(!quota.take_at(start + WINDOW / 2, 1));
        assert!(quota.take_at(start + WINDOW + Duration::from_secs(1), MAX_RECORDS));
    }
}
