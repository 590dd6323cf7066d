//! What a store keeps for all acquirers: the refreshes and app sign-ins under way, the back-offs,
//! and the threads for async refreshes.

use super::backoff::Backoffs;
use super::request::RefreshRequest;
use super::{AcquireError, Flown};
use crate::crypto::Tagger;
use crate::model::random_id::{Generation, SignInId};
use crate::model::tag::{AccountTag, LeaseTag, Slot, TenantTag};
use crate::platform::single_flight::{Leader, SingleFlight, Waiter};
use crate::platform::sync::Arc;
#[cfg(feature = "tokio")]
use crate::platform::workers::Workers;
use crate::store::core::Core;
use crate::store::handle::LiveSignIn;

/// What a store keeps for all acquirers.
pub(super) struct AcquireState {
    pub(super) refreshes: Arc<SingleFlight<RefreshKey, RefreshRequest, Flown>>,
    /// The apps that are being signed in.
    pub(super) apps: Arc<SingleFlight<AccountTag, (), Result<LiveSignIn, AcquireError>>>,
    pub(super) backoffs: Backoffs,
    /// The threads on which async acquisitions read and store. Hooks have threads of their own, as
    /// they may take long.
    #[cfg(feature = "tokio")]
    pub(super) store_workers: Arc<Workers>,
    #[cfg(feature = "tokio")]
    pub(super) hook_workers: Arc<Workers>,
    /// Random, but the same for all acquirers of this store.
    pub(super) jitter_seed: std::hash::RandomState,
}

impl AcquireState {
    /// The state that is kept with this store.
    pub(super) fn of(core: &Core) -> &Self {
        #[expect(
            clippy::expect_used,
            reason = "no other kind of thing is kept there: this is the only call"
        )]
        core.above(Self::new).expect("there is nothing else")
    }

    fn new() -> Self {
        Self {
            refreshes: SingleFlight::new(),
            apps: SingleFlight::new(),
            backoffs: Backoffs::default(),
            #[cfg(feature = "tokio")]
            store_workers: Workers::new("oubliette-acquire", 32),
            #[cfg(feature = "tokio")]
            hook_workers: Workers::new("oubliette-acquire", 4),
            jitter_seed: std::hash::RandomState::new(),
        }
    }
}

/// What there is one refresh for at a time: the slot of a refresh token, or if none is needed, the
/// slot of an access token in its tenant.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct RefreshKey {
    pub(super) account: AccountTag,
    pub(super) sign_in: SignInId,
    pub(super) generation: Generation,
    pub(super) tenant: Option<TenantTag>,
    pub(super) slot: Slot,
}

impl RefreshKey {
    /// The name of its lease.
    pub(super) fn lease(&self, tagger: &Tagger) -> LeaseTag {
        let tenant = self.tenant.as_ref().map_or(&[][..], |tenant| tenant.as_bytes());
        tagger.lease(&[
            self.account.as_bytes(),
            self.sign_in.as_bytes(),
            self.generation.as_bytes(),
            tenant,
            self.slot.as_bytes(),
        ])
    }
}

pub(super) type RefreshLeader = Leader<RefreshKey, RefreshRequest, Flown>;
pub(super) type RefreshWaiter = Waiter<RefreshRequest, Flown>;
