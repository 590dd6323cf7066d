//! The refreshes that wait for the code that runs now. A refresh that waited for one of them would
//! wait for itself, for ever.

use std::cell::RefCell;

use crate::platform::single_flight::FlightId;
use crate::platform::sync::thread_local;

thread_local! {
    static CURRENT: RefCell<Vec<FlightId>> = const { RefCell::new(Vec::new()) };
}

/// Refreshes that wait for a piece of work, the innermost last.
#[derive(Clone, Default)]
pub(crate) struct RefreshStack(Vec<FlightId>);

impl RefreshStack {
    /// The refreshes that wait for the code that runs now.
    pub(crate) fn current() -> Self {
        Self(CURRENT.with(|current| current.borrow().clone()))
    }

    /// With one more refresh, which the others wait for.
    pub(crate) fn with(mut self, flight: FlightId) -> Self {
        self.0.push(flight);
        self
    }

    /// Whether this refresh waits for the code that runs now, which must not wait for it then.
    pub(crate) fn current_has(flight: FlightId) -> bool {
        CURRENT.with(|current| current.borrow().contains(&flight))
    }

    /// Runs `work` as a part of these refreshes.
    pub(crate) fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Before(Vec<FlightId>);
        impl Drop for Before {
            fn drop(&mut self) {
                drop(CURRENT.with(|current| current.replace(std::mem::take(&mut self.0))));
            }
        }
        let _before = Before(CURRENT.with(|current| current.replace(self.0.clone())));
        work()
    }
}
