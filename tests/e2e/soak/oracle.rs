//! Who must be served, and who must not, by what was asked and answered when.
//!
//! Ticks order all that happens, across processes: everything that is noted here happens in the test's. A sign-out that was acknowledged counts for
//! what begins after the acknowledgement, and against sign-ins that had returned before it began. One whose answer did not come may have
//! been carried out, or not, until its process was dead.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
pub(crate) struct Oracle {
    ticks: AtomicU64,
    sign_outs: Mutex<Vec<SignOut>>,
}

/// Whom a sign-out takes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scope {
    Client(usize),
    User(usize),
    Tenant(usize),
    Everybody,
}

#[derive(Clone, Debug)]
struct SignOut {
    scope: Scope,
    began: u64,
    /// When it was answered; or, if it was not, when nobody was left to carry it out.
    ended: Option<u64>,
    is_certain: bool,
}

/// A sign-in: the ticks before and after, and whose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignIn {
    pub(crate) client: usize,
    pub(crate) user: usize,
    pub(crate) tenant: usize,
    pub(crate) began: u64,
    pub(crate) returned: u64,
}

/// A sign-out that was asked for.
pub(crate) struct Asked(usize);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Whoever is served this sign-in's session has been signed out.
    Refused,
    /// Nobody has signed it out.
    Served,
    Either,
}

impl Oracle {
    pub(crate) fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    /// Before it is asked for.
    pub(crate) fn asks(&self, scope: Scope) -> Asked {
        let mut sign_outs = self.sign_outs.lock().unwrap();
        sign_outs.push(SignOut { scope, began: self.tick(), ended: None, is_certain: false });
        Asked(sign_outs.len() - 1)
    }

    /// It was acknowledged: it is durable.
    pub(crate) fn is_done(&self, asked: Asked) {
        let mut sign_outs = self.sign_outs.lock().unwrap();
        let found = &mut sign_outs[asked.0];
        (found.ended, found.is_certain) = (Some(self.tick()), true);
    }

    /// It was answered that there was nothing to do, or was not to be done by this.
    pub(crate) fn is_over(&self, asked: Asked) {
        self.sign_outs.lock().unwrap()[asked.0].ended = Some(self.tick());
    }

    /// The app's process is dead: what was not answered will be carried out no more.
    pub(crate) fn has_died(&self) {
        let now = self.tick();
        self.sign_outs
            .lock()
            .unwrap()
            .iter_mut()
            .filter(|one| one.began < now)
            .for_each(|one| _ = one.ended.get_or_insert(now));
    }

    /// What must become of a request between these ticks.
    pub(crate) fn verdict(&self, sign_in: &SignIn, began: u64, ended: u64) -> Verdict {
        let sign_outs = self.sign_outs.lock().unwrap();
        let mut verdict = Verdict::Served;
        for one in sign_outs.iter().filter(|one| one.covers(sign_in)) {
            let is_answered = one.ended.is_some_and(|ended| ended < began);
            if one.is_certain && is_answered && one.began > sign_in.returned {
                return Verdict::Refused;
            }
            let is_before = one.ended.is_some_and(|ended| ended < sign_in.began);
            if !is_before && one.began < ended {
                verdict = Verdict::Either;
            }
        }
        verdict
    }

    /// How many, and how many of them were acknowledged.
    pub(crate) fn count(&self) -> (usize, usize) {
        let sign_outs = self.sign_outs.lock().unwrap();
        (sign_outs.len(), sign_outs.iter().filter(|one| one.is_certain).count())
    }
}

impl SignOut {
    fn covers(&self, sign_in: &SignIn) -> bool {
        match self.scope {
            Scope::Client(client) => client == sign_in.client,
            Scope::User(user) => user == sign_in.user,
            Scope::Tenant(tenant) => tenant == sign_in.tenant,
            Scope::Everybody => true,
        }
    }
}

#[test]
fn the_oracle_knows_who_is_out() {
    let oracle = Oracle::default();
    let sign_in = |oracle: &Oracle, client, user| {
        let began = oracle.tick();
        SignIn { client, user, tenant: 0, began, returned: oracle.tick() }
    };
    let now =
        |oracle: &Oracle, sign_in: &SignIn| oracle.verdict(sign_in, oracle.tick(), oracle.tick());
    let (jane, joe) = (sign_in(&oracle, 0, 0), sign_in(&oracle, 1, 1));
    assert_eq!(now(&oracle, &jane), Verdict::Served);
    let asked = oracle.asks(Scope::User(0));
    let meanwhile = sign_in(&oracle, 2, 0);
    assert_eq!(now(&oracle, &jane), Verdict::Either);
    oracle.is_done(asked);
    assert_eq!(
        [jane, meanwhile, joe, sign_in(&oracle, 0, 0)].map(|one| now(&oracle, &one)),
        [Verdict::Refused, Verdict::Either, Verdict::Served, Verdict::Served]
    );
    // One that is not answered ends with its process, carried out or not.
    _ = oracle.asks(Scope::Tenant(0));
    let meanwhile = sign_in(&oracle, 1, 1);
    oracle.has_died();
    assert_eq!(
        [joe, meanwhile, sign_in(&oracle, 1, 1)].map(|one| now(&oracle, &one)),
        [Verdict::Either, Verdict::Either, Verdict::Served]
    );
}
