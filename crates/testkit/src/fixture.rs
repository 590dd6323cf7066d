//! A store on a pretended machine, at a time that stands still until a test moves it.

use std::time::Duration;

use oubliette::{Machine, ManualClock, TokenStore};

use crate::accounts::now;

/// What most tests begin with. Those that need more have it in a fixture of their own.
#[derive(Debug)]
pub struct Fixture {
    /// What the store's files are on: its process can be killed and its power cut.
    pub machine: Machine,
    /// At [`now`] until it is moved.
    pub clock: ManualClock,
    /// Open.
    pub store: TokenStore,
}

impl Fixture {
    /// An empty store on a machine of its own.
    pub fn new() -> Self {
        Self::on(Machine::new())
    }

    /// Whatever store is on the machine.
    pub fn on(machine: Machine) -> Self {
        let clock = ManualClock::new(now());
        let store = open_at(&machine, &clock);
        Self { machine, clock, store }
    }

    /// The process ends in some way, and another one opens the store.
    pub fn again(self, end: impl FnOnce(&Machine)) -> Self {
        let Self { machine, clock, store } = self;
        drop(store);
        end(&machine);
        let store = open_at(&machine, &clock);
        Self { machine, clock, store }
    }

    /// So many seconds go by.
    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// Whether a [`Machine`] is a place that instances share: see `.ci/run shared`.
pub fn is_shared() -> bool {
    std::env::var_os("OUBLIETTE_SHARED").is_some()
}

/// Whether that place is one of files, of which nothing is lost when it fails over.
pub fn is_on_sqlite() -> bool {
    std::env::var_os("OUBLIETTE_SHARED").is_some_and(|place| place == "sqlite")
}

impl Default for Fixture {
    fn default() -> Self {
        Self::new()
    }
}

/// The machine's store, at [`now`].
pub fn open(machine: &Machine) -> TokenStore {
    open_at(machine, &ManualClock::new(now()))
}

/// The machine's store, by this clock.
pub fn open_at(machine: &Machine, clock: &ManualClock) -> TokenStore {
    machine.builder().clock(clock.clone()).open().unwrap()
}
