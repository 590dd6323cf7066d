//! Which refreshes the code that runs now is part of: one that waited for itself would wait for
//! ever.

use std::cell::RefCell;

use crate::platform::single_flight::FlightId;
use crate::platform::sync::thread_local;

thread_local! {
    static LEADING: RefCell<Vec<FlightId>> = const { RefCell::new(Vec::new()) };
}

/// The refreshes that wait for what runs now: the innermost last.
#[derive(Clone, Default)]
pub(crate) struct Chain(Vec<FlightId>);

impl Chain {
    /// That of the code that runs now.
    pub(crate) fn current() -> Self {
        Self(LEADING.with(|leading| leading.borrow().clone()))
    }

    /// With one more refresh, which the others wait for.
    pub(crate) fn and(mut self, flight: FlightId) -> Self {
        self.0.push(flight);
        self
    }

    /// Whether waiting for this flight would be waiting for oneself.
    pub(crate) fn has(flight: FlightId) -> bool {
        LEADING.with(|leading| leading.borrow().contains(&flight))
    }

    /// Runs `work` as a part of these refreshes.
    pub(crate) fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Before(Vec<FlightId>);
        impl Drop for Before {
            fn drop(&mut self) {
                drop(LEADING.with(|leading| leading.replace(std::mem::take(&mut self.0))));
            }
        }
        let _before = Before(LEADING.with(|leading| leading.replace(self.0.clone())));
        work()
    }
}
