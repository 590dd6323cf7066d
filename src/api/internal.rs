//! What other rooms use of the store, beside its public interface.

use std::path::Path;
#[cfg(feature = "logout")]
use std::time::SystemTime;

use crate::api::token_store::TokenStore;
use crate::maintenance::reclaim;
use crate::model::error::{Error, Result};
use crate::model::id::AccountId;
use crate::model::query::AccessQuery;
use crate::model::random_id::SignInId;
use crate::model::report::Opened;
#[cfg(feature = "logout")]
use crate::model::sign_out::{SessionPolicy, SignOut, SignOutScope};
use crate::model::tag::AccountTag;
#[cfg(feature = "logout")]
use crate::model::time::{from_millis, to_millis};
use crate::model::token::AccessToken;
use crate::observe;
use crate::platform::sync::atomic::AtomicBool;
use crate::platform::sync::{Arc, Mutex, lock, thread};
use crate::store::access::Open;
use crate::store::core::Core;
use crate::store::handle::LiveSignIn;
use crate::store::lifetime::{Owner, Site, Works, shut};
use crate::store::location::Held;
use crate::store::resume;
#[cfg(feature = "logout")]
use crate::store::sign_out;

impl TokenStore {
    /// Starts the reclaimer: from here on the store is open.
    pub(crate) fn new(
        core: Arc<Core>,
        site: Option<Site>,
        held: Held,
        opened_by_previous_key: bool,
        opened: Opened,
    ) -> Result<Self> {
        let shared = core.clone();
        let thread = thread::Builder::new()
            .name("oubliette-reclaim".into())
            .spawn(move || reclaim::run(&shared));
        let thread = match thread {
            Ok(thread) => thread,
            Err(error) => {
                // The engine before the lock.
                shut(&core, held);
                return Err(Error::io("start the reclaimer's thread")(error));
            }
        };
        let folder: Option<Box<Path>> = match &site {
            Some(Site::Alone(premises)) => lock(premises).place.folder().map(Into::into),
            #[cfg(all(unix, feature = "sqlite"))]
            Some(Site::Shared(_)) => None,
            None => None,
        };
        let works = Works {
            folder,
            core,
            running: Mutex::new(Some((thread, held))),
            site,
            sweeping: Mutex::default(),
            opened_by_previous_key: AtomicBool::new(opened_by_previous_key),
            opened,
        };
        observe::opened(opened);
        Ok(Self { owner: Arc::new(Owner::new(works)) })
    }

    pub(crate) fn core(&self) -> &Core {
        self.owner.core()
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }

    /// As [`TokenStore::account`], for a caller that has entered.
    pub(crate) fn account_in(
        &self,
        open: &Open<'_>,
        account: &AccountId,
    ) -> Result<Vec<LiveSignIn>> {
        let tag = self.core().tagger.account(account);
        let mut all = beside_writers(|| resume::live_sign_ins(&self.owner, open, &tag))?;
        if let Some(other) = self.core().other_tag(account, &tag) {
            all.extend(beside_writers(|| resume::live_sign_ins(&self.owner, open, &other))?);
        }
        Ok(all)
    }

    /// As [`TokenStore::resume`], for a caller that has entered.
    pub(crate) fn resume_in(
        &self,
        open: &Open<'_>,
        account: &AccountId,
        id: [u8; 16],
    ) -> Result<Option<LiveSignIn>> {
        let id = SignInId::from_bytes(id);
        let found = beside_writers(|| resume::live_sign_in(&self.owner, open, account, id))?;
        Ok(found.map(|(live, _)| live))
    }

    /// As [`TokenStore::resume_ticket`], for a caller that has entered. A ticket that does not open
    /// finds nothing.
    pub(crate) fn resume_ticket_in(
        &self,
        open: &Open<'_>,
        ticket: &str,
    ) -> Result<Option<LiveSignIn>> {
        match open.rows()?.open_ticket(ticket) {
            Some((account, id)) => self.resume_by_tag(open, &account, id),
            None => Ok(None),
        }
    }

    /// The handle of a live sign-in, by the tag of its account.
    pub(super) fn resume_by_tag(
        &self,
        open: &Open<'_>,
        account: &AccountTag,
        id: SignInId,
    ) -> Result<Option<LiveSignIn>> {
        beside_writers(|| resume::live_sign_in_by_tag(&self.owner, open, account, id))
    }

    pub(crate) fn access_token_in(
        &self,
        open: &Open<'_>,
        account: &AccountId,
        id: [u8; 16],
        wanted: &AccessQuery,
    ) -> Result<Option<AccessToken>> {
        let id = SignInId::from_bytes(id);
        match beside_writers(|| resume::live_sign_in(&self.owner, open, account, id))? {
            Some((live, header)) => live.access_token_behind(open, wanted, Some(header)),
            None => Ok(None),
        }
    }
}

// What provider callbacks need.
#[cfg(feature = "logout")]
impl TokenStore {
    /// What the clock shows. The times that others wrote are compared with it.
    pub(crate) fn time(&self) -> SystemTime {
        from_millis(self.core().clock.now())
    }

    /// A provider that was verified has said that it was this time.
    pub(crate) fn confirm_time(&self, told: SystemTime) {
        self.core().clock.confirm(to_millis(told));
    }

    pub(crate) fn session_policy(&self) -> SessionPolicy {
        self.core().options.session_policy
    }

    /// Which accounts this sign-out would end.
    pub(crate) fn outlook(&self, sign_out: &SignOut) -> Result<sign_out::Outlook> {
        observe::verb("outlook", || sign_out::outlook(self.core(), sign_out))
    }

    pub(crate) fn is_on_record(&self, scope: &SignOutScope) -> Result<bool> {
        observe::verb("is_on_record", || sign_out::is_on_record(self.core(), scope))
    }
}

/// Looks again when a row did not open: the account may have begun a new life between two rows.
pub(super) fn beside_writers<T>(mut look: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 0..4 {
        match look() {
            Err(Error::Tampered(_)) => {}
            result => return result,
        }
    }
    look()
}
