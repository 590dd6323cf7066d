//! The rule as it is written, over lists; and what each place of a token can hold.

use std::collections::HashMap;

use oubliette::LiveSignIn;

use super::cast::MAX_AGE;

/// Whom a sign-out ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Who {
    Everybody,
    Account(u8),
    Tenant(u8),
    Session(u8),
    Subject(u8),
}

/// A sign-out that was acknowledged, or turned out to be there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fence {
    pub(super) who: Who,
    /// Its place among all events.
    pub(super) order: u64,
    pub(super) cutoff: u64,
    pub(super) time: u64,
}

/// Whether a sign-in that nobody signed out is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    Here,
    /// It was too old for a time, or the store could not say: whoever looks finds out.
    Perhaps,
    /// Deleted; a crash may undo that.
    Collected,
    /// Pushed out by newer ones, durably.
    PushedOut,
}

/// A place of a token within its sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Access { scopes: u8, tenant: u8 },
    Refresh,
    Id { tenant: u8 },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) secret: String,
    pub(super) expires: u64,
    /// When it was stored: what the clock showed, what had passed, and in which process.
    pub(super) put: (u64, u64, u64),
}

impl Kept {
    /// Whether it is given at this moment, if nothing else ends it.
    pub(super) fn is_visible(&self, (now, passed, process): (u64, u64, u64)) -> bool {
        let (put, passed_then, process_then) = self.put;
        if self.expires == u64::MAX {
            return true;
        }
        if process != process_then {
            // What was stored in what is the future now may be as old as anything.
            return put <= now + 1 && self.expires > now;
        }
        // A clock that was set back makes nothing younger. (A second is no matter.)
        let expected = put + (passed - passed_then);
        self.expires > if expected > now + 1 { expected } else { now }
    }
}

/// What a place can hold.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// One of these is there now.
    pub(super) now: Vec<Option<Kept>>,
    /// One of these, or of those written since, is there after a power loss.
    durable: Vec<Option<Kept>>,
    since: Vec<Option<Kept>>,
}

impl Default for Slot {
    fn default() -> Self {
        Self { now: vec![None], durable: vec![None], since: Vec::new() }
    }
}

impl Slot {
    pub(super) fn put(&mut self, kept: Kept) {
        self.now = vec![Some(kept.clone())];
        self.since.push(Some(kept));
    }

    pub(super) fn perhaps(&mut self, kept: Option<Kept>) {
        if !self.now.contains(&kept) {
            self.now.push(kept.clone());
        }
        self.since.push(kept);
    }

    pub(super) fn synced(&mut self) {
        self.durable = self.now.clone();
        self.since.clear();
    }

    pub(super) fn power_cut(&mut self) {
        self.now = self.durable.iter().chain(&self.since).cloned().collect();
        self.synced();
    }
}

/// A sign-in.
pub(super) struct Made {
    /// `None` once the store that gave it has gone, and the next one did not give it again.
    pub(super) handle: Option<LiveSignIn>,
    pub(super) id: [u8; 16],
    pub(super) account: u8,
    pub(super) tenant: u8,
    pub(super) session: Option<u8>,
    pub(super) subject: Option<u8>,
    pub(super) time: u64,
    pub(super) order: u64,
    /// If the handle is one of an import.
    pub(super) continued: bool,
    pub(super) fate: Fate,
    /// Whether a power loss leaves it there: not one that died while it was being made.
    pub(super) is_durable: bool,
    /// Somebody has meddled with the rows since: it may be gone, or back, and so may its tokens.
    pub(super) is_shaky: bool,
    pub(super) tokens: HashMap<Place, Slot>,
    /// Every secret that was ever to be stored there.
    pub(super) ever: HashMap<Place, Vec<String>>,
}

impl Made {
    pub(super) fn is_of(&self, who: Who) -> bool {
        match who {
            Who::Everybody => true,
            Who::Account(number) => self.account == number,
            Who::Tenant(number) => self.tenant == number,
            Who::Session(number) => self.session == Some(number),
            Who::Subject(number) => self.subject == Some(number),
        }
    }

    pub(super) fn is_too_old(&self, now: u64) -> bool {
        self.time + MAX_AGE <= now
    }
}

impl Fence {
    /// The rule.
    pub(super) fn covers(&self, made: &Made) -> bool {
        made.is_of(self.who) && self.order > made.order && self.takes(made)
    }

    /// The rule, for tokens of a tenant.
    pub(super) fn covers_tenant(&self, tenant: u8, made: &Made) -> bool {
        self.who == Who::Tenant(tenant) && self.order > made.order && self.takes(made)
    }

    /// By its cutoff; or because the sign-in is from its future, by a clock that was ahead.
    fn takes(&self, made: &Made) -> bool {
        made.time <= self.cutoff || made.time > self.time
    }
}
