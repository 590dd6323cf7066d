//! Shows the progress of long work: only on a terminal, and never beside JSON.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Shared;

/// An indicator of progress. It disappears when it is dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// An indicator for work of unknown length.
    pub(crate) fn spinner(shared: &Shared, what: &'static str) -> Self {
        Self::of(shared, "{spinner} {msg} {elapsed}", what, ProgressBar::new_spinner())
    }

    /// As [`Progress::spinner`], but it counts the steps.
    pub(crate) fn counter(shared: &Shared, what: &'static str) -> Self {
        Self::of(shared, "{spinner} {msg} {pos} {elapsed}", what, ProgressBar::new_spinner())
    }

    /// An indicator for work of a known number of steps.
    pub(crate) fn bar(shared: &Shared, what: &'static str, steps: usize) -> Self {
        Self::of(shared, "{msg} {wide_bar} {pos}/{len} {eta}", what, ProgressBar::new(steps as u64))
    }

    /// Adds to the number of steps that were done.
    pub(crate) fn step(&self, count: u64) {
        self.0.inc(count);
    }

    fn of(shared: &Shared, template: &str, what: &'static str, bar: ProgressBar) -> Self {
        if shared.json || !io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = bar.with_style(style).with_message(what);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
