//! The locks of accounts and of the provider's sessions, in stripes.
//!
//! The order of these (`docs/design.md` has the whole one, "Threads and locks"): the gate
//! ([`Embedded::enter`]), a session's stripe, accounts' stripes in rising order, the queue of
//! commits, the ledger's own locks. The tag of a web session uses the stripe that an
//! account with this tag would use: the verb that creates a web session holds it, and the stripe of
//! the account too if the session is bound.

use super::Embedded;
use crate::model::tag::{AccountTag, SessionTag, TAG_LEN};
use crate::platform::sync::{Mutex, MutexGuard, TryLockError, lock};

/// A lock that is held, of an account or session.
pub(crate) type Lock<'a> = MutexGuard<'a, ()>;

impl Embedded {
    /// The account's lock. Every verb that changes the account's rows holds it.
    pub(crate) fn lock_account(&self, account: &AccountTag) -> Lock<'_> {
        lock(self.stripe(account))
    }

    /// The account's lock, if it is free: for callers that may do other accounts first, or may not
    /// wait.
    pub(crate) fn try_lock_account(&self, account: &AccountTag) -> Option<Lock<'_>> {
        match self.stripe(account).try_lock() {
            Ok(lock) => Some(lock),
            Err(TryLockError::Poisoned(lock)) => Some(lock.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn stripe(&self, account: &AccountTag) -> &Mutex<()> {
        stripe_of(&self.accounts, account.as_bytes())
    }

    /// The locks of a verb's accounts: of most verbs, one.
    pub(crate) fn lock_held(&self, accounts: &[AccountTag]) -> (Option<Lock<'_>>, Vec<Lock<'_>>) {
        match accounts {
            [account] => (Some(self.lock_account(account)), Vec::new()),
            accounts => (None, self.lock_accounts(accounts)),
        }
    }

    /// The locks of several accounts, taken in rising order of their stripes, so that two callers
    /// cannot dead-lock.
    pub(crate) fn lock_accounts(&self, accounts: &[AccountTag]) -> Vec<Lock<'_>> {
        let mut stripes: Vec<usize> =
            accounts.iter().map(|account| stripe(account.as_bytes())).collect();
        stripes.sort_unstable();
        stripes.dedup();
        stripes.into_iter().filter_map(|i| self.accounts.get(i)).map(lock).collect()
    }

    /// The session's lock. A sign-in of the session and a sign-out of it both hold it from reading
    /// to writing, so that neither misses the other.
    pub(crate) fn lock_session(&self, session: &SessionTag) -> Lock<'_> {
        lock(stripe_of(&self.sessions, session.as_bytes()))
    }

    /// As [`lock_session`](Self::lock_session), for several sessions.
    pub(crate) fn lock_sessions<'a>(
        &self,
        sessions: impl Iterator<Item = &'a SessionTag>,
    ) -> Vec<Lock<'_>> {
        let mut stripes: Vec<usize> = sessions.map(|session| stripe(session.as_bytes())).collect();
        stripes.sort_unstable();
        stripes.dedup();
        stripes.into_iter().filter_map(|i| self.sessions.get(i)).map(lock).collect()
    }
}

fn stripe(tag: &[u8; TAG_LEN]) -> usize {
    // Tags are keyed hashes: any byte of them spreads evenly.
    usize::from(tag[0])
}

fn stripe_of<'a>(stripes: &'a [Mutex<()>], tag: &[u8; TAG_LEN]) -> &'a Mutex<()> {
    #[expect(
        clippy::indexing_slicing,
        reason = "there are 256 stripes, one for each value of a byte"
    )]
    &stripes[stripe(tag)]
}
