//! Which refreshes the code that runs now is part of: one that waited for itself would wait for ever.

use std::cell::RefCell;

use super::flight::Number;

thread_local! {
    static LEADING: RefCell<Vec<Number>> = const { RefCell::new(Vec::new()) };
}

/// The refreshes that wait for what runs now: the innermost last.
#[derive(Clone, Default)]
pub(crate) struct Chain(Vec<Number>);

impl Chain {
    /// That of the code that runs now.
    pub(crate) fn current() -> Self {
        Self(LEADING.with_borrow(Clone::clone))
    }

    /// With one more refresh, which the others wait for.
    pub(crate) fn and(mut self, flight: Number) -> Self {
        self.0.push(flight);
        self
    }

    /// Whether waiting for this flight would be waiting for oneself.
    pub(crate) fn has(flight: Number) -> bool {
        LEADING.with_borrow(|leading| leading.contains(&flight))
    }

    /// Runs `work` as a part of these refreshes.
    pub(crate) fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Before(Vec<Number>);
        impl Drop for Before {
            fn drop(&mut self) {
                LEADING.with_borrow_mut(|leading| std::mem::swap(leading, &mut self.0));
            }
        }
        let _before = Before(LEADING.replace(self.0.clone()));
        work()
    }
}
