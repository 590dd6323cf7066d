//! No metrics: everything here is empty.

use std::time::Duration;

use super::{AcquireOutcome, Found, Read, Refresh};
#[cfg(feature = "logout")]
use super::{Callback, Channel};
use crate::model::error::Component;
use crate::model::report::{Stats, SweepReport};
use crate::model::sign_out::SignOutScopeKind;

pub(crate) struct Watch;

impl Watch {
    pub(super) fn start() -> Self {
        Self
    }
}

pub(super) fn acquired(_: AcquireOutcome) {}
pub(super) fn refreshed(_: Refresh, _: Duration) {}
pub(super) fn waiting(_: i8) {}
#[cfg(feature = "logout")]
pub(super) fn called_back(_: Channel, _: Callback) {}
#[cfg(feature = "logout")]
pub(super) fn fetched_keys(_: bool) {}
pub(super) fn read(_: Read, _: Found) {}
pub(super) fn signed_in(_: &'static str, _: usize, _: Watch) {}
pub(super) fn put(_: &'static str, _: usize, _: Watch) {}
pub(super) fn signed_out(_: SignOutScopeKind, _: &'static str, _: Watch) {}
pub(super) fn verb_failed(_: &'static str, _: &'static str) {}
pub(super) fn tampered(_: &'static str) {}
pub(super) fn synced(_: usize, _: Watch, _: u64, _: u64) {}
pub(super) fn poisoned(_: Component) {}
pub(super) fn opened() {}
pub(super) fn clock_held(_: Option<Duration>) {}
pub(super) fn backlog(_: usize) {}
pub(super) fn reclaimed(_: u64) {}
pub(super) fn swept(_: &SweepReport) {}
pub(super) fn compacted(_: bool) {}
pub(super) fn upkept(_: bool) {}
pub(super) fn figures(_: &Stats) {}
