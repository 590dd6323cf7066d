//! Which sign-outs there were, and when: the ledger as an audit trail, read beside the app that has
//! the store open.

use crate::api::token_store::TokenStore;
use crate::backend::Backend;
use crate::backend::remote::patiently as exchange;
use crate::crypto::{KeySource, Keyring, Tagger};
use crate::ledger::{Ledger, Seen};
use crate::model::error::{Error, Result};
use crate::model::sign_out::{SignOutScope, SignOutScopeKind};
use crate::model::tag::TaggedScope;
use crate::model::time::{Millis, from_millis, to_millis};
use crate::observe;
use crate::platform::disk::Disk;
use crate::rule::{Fence, NO_CUTOFF};
use crate::store::identity;
use crate::store::location::{KEYRING, Place};
use crate::store::sign_out::{names_of, rule_scope, sign_in_scopes};
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, SystemTime};

/// How often a look that finds damage is repeated. The first pause is a millisecond, and each is
/// twice the one before.
const MORE_LOOKS: u32 = 8;

const DAY: u64 = 24 * 3600 * 1000;

/// The sign-outs that the ledger holds, as it was at one moment. Made by
/// [`Builder::history`](crate::Builder::history), or of a few by
/// [`Builder::history_of`](crate::Builder::history_of).
///
/// It knows sign-outs, not sign-ins: only the open store can tell whether a user has signed in
/// again since ([`TokenStore::account`](crate::TokenStore::account)).
///
/// ```
/// # use oubliette::*;
/// # let machine = Machine::new();
/// let store = machine.builder().open()?; // an app at work
/// let user = AccountId::new("login.example.com", "user-1")?;
/// let tenant = TenantId::new("contoso")?;
/// store.sign_out(SignOut::tenant(&tenant))?;
///
/// let history = machine.builder().history()?; // an operator looks
/// let scopes = [SignOutScope::Account(user.clone()), SignOutScope::Tenant(tenant)];
/// assert_eq!(history.covering(&scopes).last().unwrap().kind, SignOutScopeKind::Tenant);
/// assert!(history.of(&SignOutScope::Account(user)).next().is_none());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct History {
    /// The sign-outs, oldest first. Compaction leaves out what a newer one of the same scope, with
    /// a cutoff at least as late, makes superfluous, and what is older than a sign-in can be.
    pub records: Vec<PastSignOut>,
    /// The newest sign-out of every scope since this time is known. Older ones may have been
    /// dropped.
    pub known_since: SystemTime,
    /// The place of the newest record of any kind.
    pub position: u64,
    tagger: Tagger,
}

/// One sign-out on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PastSignOut {
    /// Its place in the ledger.
    pub position: u64,
    /// When it was asked for.
    pub at: SystemTime,
    /// What it was the sign-out of. The ledger does not hold the ids: the caller has to know an id
    /// to ask for its sign-outs, see [`History::of`].
    pub kind: SignOutScopeKind,
    /// Only sign-ins made by this time ended; `None` if all did.
    pub signed_in_before: Option<SystemTime>,
    scope: TaggedScope,
}

impl History {
    /// The sign-outs of exactly this scope, oldest first.
    pub fn of(&self, scope: &SignOutScope) -> impl DoubleEndedIterator<Item = &PastSignOut> {
        let scopes = scopes_of(&self.tagger, scope);
        self.records.iter().filter(move |record| scopes.contains(&record.scope))
    }

    /// The sign-outs of any of these scopes and of everybody, oldest first: what can have ended a
    /// sign-in of which these are the account, tenant, session and subject. An account that is
    /// known by issuer and subject is that subject too, and the other way round. (A session's
    /// sign-out that ended its account is on record under the account too. The ledger does not know
    /// which other names a sign-in had:
    /// [`TokenStore::last_sign_out`](crate::TokenStore::last_sign_out) looks at its rows.)
    pub fn covering(
        &self,
        scopes: &[SignOutScope],
    ) -> impl DoubleEndedIterator<Item = &PastSignOut> {
        let names: Vec<TaggedScope> =
            scopes.iter().flat_map(|scope| names_of(&self.tagger, scope)).collect();
        self.records.iter().filter(move |record| {
            record.scope == TaggedScope::Everybody || names.contains(&record.scope)
        })
    }

    /// How many sign-outs of each kind there were on each day, which is given by its beginning in
    /// UTC. A session's sign-out counts once for itself, and once for each account that it ended.
    #[must_use]
    pub fn by_day(&self) -> BTreeMap<(SystemTime, SignOutScopeKind), u64> {
        let mut counts = BTreeMap::new();
        for record in &self.records {
            let at = to_millis(record.at).get();
            let day = from_millis(Millis::new(at - at % DAY));
            *counts.entry((day, record.kind)).or_default() += 1;
        }
        counts
    }
}

impl TokenStore {
    /// The sign-outs on record that are durable, as [`Builder::history`](crate::Builder::history)
    /// reads them beside the app, without a key: in the process that has the store open.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Damaged`] if the ledger's file is not as this process wrote it;
    /// [`Error::Poisoned`], [`Error::Io`]; [`Error::InvalidInput`] for a store that instances
    /// share.
    ///
    /// # Examples
    /// ```
    /// # use oubliette::*;
    /// # let store = TokenStore::in_memory()?;
    /// store.sign_out(SignOut::everybody())?;
    /// assert_eq!(store.history()?.records.len(), 1);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn history(&self) -> Result<History> {
        self.read_history(None)
    }

    /// As [`history`](Self::history), with no other sign-outs than those of these scopes and of
    /// everybody.
    ///
    /// # Errors
    /// As [`history`](Self::history).
    pub fn history_of(&self, scopes: &[SignOutScope]) -> Result<History> {
        self.read_history(Some(scopes))
    }

    fn read_history(&self, of: Option<&[SignOutScope]>) -> Result<History> {
        observe::verb("history", || {
            let core = self.core();
            // Not while it is entered: that would keep out a thread that waits to be alone.
            drop(core.enter()?);
            let names = of.map(|scopes| names_in(&core.tagger, scopes));
            let wanted = |scope: &TaggedScope| is_wanted(&names, scope);
            let seen = match &core.backend {
                Backend::Embedded(embedded) => embedded.ledger.look_within(wanted),
                Backend::Remote(remote) => exchange(|| remote.with(|place| place.history(&wanted))),
            };
            // Should the store have been closed meanwhile, what was found says nothing.
            drop(core.enter()?);
            Ok(history(seen?, core.tagger.clone()))
        })
    }
}

/// Reads keyring and ledger where a store is: all sign-outs, or those of some scopes and of
/// everybody.
pub(crate) fn read(
    place: &dyn Place,
    key: &KeySource,
    of: Option<&[SignOutScope]>,
) -> Result<History> {
    let disk = place.disk()?;
    read_by(|| disk.read(KEYRING), &*place.ledger_disk()?, key, of)
}

fn read_by(
    mut keyring: impl FnMut() -> io::Result<Option<Vec<u8>>>,
    ledger_disk: &dyn Disk,
    key: &KeySource,
    of: Option<&[SignOutScope]>,
) -> Result<History> {
    patiently(|| {
        let bytes = keyring().map_err(Error::io("read the keyring"))?;
        let secrets = Keyring::open(&bytes.unwrap_or_default(), key)?.secrets;
        let tagger = Tagger::new(&secrets.index_key);
        let names = of.map(|scopes| names_in(&tagger, scopes));
        let wanted = |scope: &TaggedScope| is_wanted(&names, scope);
        let seen = Ledger::look(ledger_disk, secrets.ledger_id, &secrets.ledger_key, wanted)?;
        Ok(history(seen, tagger))
    })
}

fn history(seen: Seen, tagger: Tagger) -> History {
    History {
        records: seen.sign_outs.into_iter().map(past).collect(),
        known_since: from_millis(seen.known_since),
        position: seen.end.get(),
        tagger,
    }
}

/// The tags under which a sign-out of one of these scopes, or of everybody, is on record.
fn names_in(tagger: &Tagger, scopes: &[SignOutScope]) -> Vec<TaggedScope> {
    let all = scopes
        .iter()
        .flat_map(|scope| scopes_of(tagger, scope).into_iter().chain(names_of(tagger, scope)));
    all.chain([TaggedScope::Everybody]).collect()
}

fn is_wanted(names: &Option<Vec<TaggedScope>>, scope: &TaggedScope) -> bool {
    names.as_ref().is_none_or(|names| names.contains(scope))
}

/// The tags under which exactly this scope is on record.
fn scopes_of(tagger: &Tagger, scope: &SignOutScope) -> Vec<TaggedScope> {
    match scope {
        // Under either tag that the account had.
        SignOutScope::Account(id) => {
            let (tag, other) = identity::tags(tagger, id);
            [tag].into_iter().chain(other).map(TaggedScope::Account).collect()
        }
        SignOutScope::SignIn(account, id) => sign_in_scopes(tagger, account, id).collect(),
        scope => vec![rule_scope(tagger, scope)],
    }
}

/// Looks again while it sees damage. Of a file that is being written to, one part may have been
/// read before, and another after; and a complete erasure may have replaced the keyring and the
/// ledger between the reads of the two files.
fn patiently<T>(mut look: impl FnMut() -> Result<T>) -> Result<T> {
    for more in 0..MORE_LOOKS {
        match look() {
            Err(Error::Damaged { .. }) => std::thread::sleep(Duration::from_millis(1 << more)),
            seen => return seen,
        }
    }
    look()
}

fn past((scope, fence): (TaggedScope, Fence)) -> PastSignOut {
    let kind = SignOutScopeKind::of_rule(scope);
    let signed_in_before = (fence.cutoff != NO_CUTOFF).then(|| from_millis(fence.cutoff));
    PastSignOut {
        position: fence.position.get(),
        at: from_millis(fence.time),
        kind,
        signed_in_before,
        scope,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::error::Component;

    #[test]
    fn damage_counts_only_if_it_stays() {
        for until in [0, 1, MORE_LOOKS, MORE_LOOKS + 1] {
            let mut looks = 0;
            let seen = patiently(|| {
                looks += 1;
                if looks <= until { Err(Error::damaged(Component::Ledger, "torn")) } else { Ok(()) }
            });
            assert_eq!(
                (seen.is_ok(), looks),
                (until <= MORE_LOOKS, (until + 1).min(MORE_LOOKS + 1))
            );
        }
        let mut looks = 0;
        let rejected = patiently(|| {
            looks += 1;
            Err::<(), _>(Error::KeyRejected)
        });
        assert!(
            matches!(rejected, Err(Error::KeyRejected)) && looks == 1,
            "another key does not come by waiting"
        );
    }

    #[cfg(feature = "test-util")]
    #[test]
    fn an_erasure_between_keyring_and_ledger_is_no_damage() {
        let machine = crate::Machine::new();
        let store = machine.builder().open().unwrap();
        store.sign_out(crate::SignOut::everybody()).unwrap();
        let (disk, key) = (machine.disk().unwrap(), KeySource::bytes([7; 32]));
        let mut looks = 0;
        let keyring = || {
            let bytes = disk.read(KEYRING);
            looks += 1;
            if looks == 1 {
                store.complete_erasure(&key).unwrap();
            }
            bytes
        };
        assert_eq!(
            read_by(keyring, &*machine.ledger_disk().unwrap(), &key, None).unwrap().records.len(),
            1
        );
        assert_eq!(looks, 2);
    }
}
