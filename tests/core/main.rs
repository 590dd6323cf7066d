//! What the store promises, on a pretended machine or in a temporary folder, within one process: it
//! needs nothing of the process for itself, and no feature but `test-util`, so that the default
//! features are tested by themselves too.

mod attacks;
mod backup;
#[cfg(feature = "openidconnect")]
mod clocks;
mod compactions;
mod devices;
mod faults;
mod golden;
mod guards;
mod history;
mod interleavings;
mod layers;
mod model;
mod moves;
#[cfg(feature = "openidconnect")]
mod names;
mod observed;
mod opened;
mod races;
mod small_model;
mod tamper;
mod upkeep;
mod verbs;
