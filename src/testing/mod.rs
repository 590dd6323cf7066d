//! For tests: a machine that can crash, and ways in for fuzzing and models.

#[cfg(all(fuzzing, feature = "test-util"))]
pub mod fuzzing;
#[cfg(all(test, feature = "test-util"))]
mod golden;
#[cfg(feature = "test-util")]
pub(crate) mod machine;
#[cfg(oubliette_shuttle)]
pub mod modelling;
#[cfg(feature = "test-util")]
pub(crate) mod shared;
#[cfg(all(unix, feature = "sqlite", feature = "test-util"))]
pub(crate) mod temporary;
