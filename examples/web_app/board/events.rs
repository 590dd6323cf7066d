//! **Demonstration.** The sign-outs that came: by which signal, in which scope, and how long it
//! took until they were on the disk.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use oubliette::Receipt;
use oubliette::logout::{Signal, SignedOut};

use super::view::name_of;

/// So many are shown.
const MOST: usize = 30;

#[derive(Default)]
pub(crate) struct Events(Mutex<VecDeque<Event>>);

#[derive(Clone)]
pub(super) struct Event {
    pub(super) number: usize,
    pub(super) signal: &'static str,
    pub(super) scope: &'static str,
    /// Whose, if the signal says.
    pub(super) whom: Option<String>,
    /// From when it came until its record was on the disk.
    pub(super) took: Duration,
    /// The place of its record in the ledger, unless the store has failed.
    pub(super) position: Option<u64>,
    pub(super) at: SystemTime,
}

impl Events {
    /// A sign-out of a user: from here, or told by the provider.
    pub(crate) fn told(&self, signed_out: &SignedOut, took: Duration) {
        let SignedOut { session, subject, accounts, receipt, .. } = signed_out;
        let (signal, scope) = match (signed_out.signal, session) {
            (Signal::RpInitiated, _) => ("here", "account"),
            (Signal::FrontChannel, _) => ("front-channel", "session"),
            (_, Some(_)) => ("back-channel", "session"),
            (_, None) => ("back-channel", "subject"),
        };
        let names: Vec<String> = accounts.iter().map(name_of).collect();
        let whom = Some(names.join(", ")).filter(|names| !names.is_empty());
        let whom = whom.or_else(|| subject.as_ref().map(|subject| subject.sub().to_owned()));
        self.push(signal, scope, whom, took, receipt.as_ref());
    }

    /// A sign-out from the page, of more than one user.
    pub(super) fn push(
        &self,
        signal: &'static str,
        scope: &'static str,
        whom: Option<String>,
        took: Duration,
        receipt: Option<&Receipt>,
    ) {
        let (position, at) = (receipt.map(|receipt| receipt.position), SystemTime::now());
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = events.front().map_or(1, |newest| newest.number + 1);
        events.push_front(Event { number, signal, scope, whom, took, position, at });
        events.truncate(MOST);
    }

    /// Newest first.
    pub(super) fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
