//! A shared store with a few instances, and what its verbs are told.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oubliette::*;
use oubliette_testkit::accounts::*;

use super::history::{Call, Found, History, SignedIn, Told, Verb};

/// How many instances do something. One more looks at the end.
pub(super) const INSTANCES: usize = 3;

/// What was done, by all instances.
#[derive(Default)]
struct Log {
    time: usize,
    calls: Vec<Call>,
}

/// Clones are the same world.
#[derive(Clone)]
pub(super) struct World {
    pub(super) machine: SharedMachine,
    stores: Vec<TokenStore>,
    /// The first sign-in, by each instance.
    firsts: Vec<LiveSignIn>,
    beginning: AsOf,
    first: Vec<SignedIn>,
    log: Arc<Mutex<Log>>,
}

impl World {
    /// Account 1 is signed in twice, in sessions 1 and 2; account 2 once, in session 3. All have
    /// tokens. A sign-out of long ago was dropped for its age.
    pub(super) fn new() -> Self {
        let machine = SharedMachine::new();
        let clock = ManualClock::new(now());
        let open = |_| machine.builder().clock(clock.clone()).open().unwrap();
        let stores: Vec<TokenStore> = (0..=INSTANCES).map(open).collect();
        stores[0].sign_out(SignOut::account(&account(9))).unwrap();
        clock.set(now() + Duration::from_secs(100 * 24 * 3600));
        stores[0].trust_clock().unwrap();
        assert!(stores[0].sweep(1000).unwrap().finished);
        assert_eq!(stores[0].stats().unwrap().fences, 0);
        let mut first = Vec::new();
        for (number, in_session) in [(1, 1), (1, 2), (2, 3)] {
            let token = format!("first-{number}-{in_session}");
            let request = request(number, in_session);
            let (live, _) = stores[0].sign_in_with(request, tokens(&token)).unwrap();
            let id = Some(live.id());
            first.push(SignedIn { id, account: number, session: in_session, token });
        }
        let resume =
            |store: &TokenStore| store.resume(&account(1), first[0].id.unwrap()).unwrap().unwrap();
        let firsts = stores.iter().map(resume).collect();
        let beginning = stores[0].as_of().unwrap();
        Self { machine, stores, firsts, beginning, first, log: Arc::default() }
    }

    /// One instance does something.
    pub(super) fn run(&self, instance: usize, verb: Verb) -> Told {
        let token = {
            let log = self.log.lock().unwrap();
            format!("token-{instance}-{}", log.time)
        };
        let began = self.tick();
        let (told, id) = self.do_it(instance, verb, &token);
        let ended = self.tick();
        let call = Call { verb, token, began, ended, told: told.clone(), id };
        self.log.lock().unwrap().calls.push(call);
        told
    }

    fn tick(&self) -> usize {
        let mut log = self.log.lock().unwrap();
        log.time += 1;
        log.time
    }

    fn do_it(&self, instance: usize, verb: Verb, token: &str) -> (Told, Option<[u8; 16]>) {
        let (store, first) = (&self.stores[instance], &self.firsts[instance]);
        let sign_in = |request: SignIn| match store.sign_in_with(request, tokens(token)) {
            Ok((live, _)) => (Told::Done, Some(live.id())),
            Err(error) => (told_of(error), None),
        };
        let sign_out = |sign_out: SignOut| match store.sign_out(sign_out) {
            Ok(_) => Told::Done,
            Err(error) => told_of(error),
        };
        let told = match verb {
            Verb::SignIn(number) => return sign_in(request(number, 1)),
            Verb::SignInAsOf => return sign_in(request(1, 1).as_of(self.beginning)),
            Verb::Put => first.put(tokens(token)).map_or_else(told_of, |_| Told::Done),
            Verb::Get => match first.access_token(&query("a")) {
                Ok(found) => Told::Value(found.map(|it| it.secret.expose().to_owned())),
                Err(error) => told_of(error),
            },
            Verb::Remove => first.remove_client(&client()).map_or_else(told_of, |_| Told::Done),
            Verb::SignOutAccount => sign_out(SignOut::account(&account(1))),
            Verb::SignOutSession => sign_out(SignOut::session(&session(1))),
            Verb::SignOutTenant => sign_out(SignOut::tenant(&tenant(1))),
            Verb::SignOutOne => sign_out(SignOut::sign_in(&account(1), first.id())),
            Verb::SignOutEverybody => sign_out(SignOut::everybody()),
            Verb::Take => {
                match store.sign_out(SignOut::account(&account(1)).taking_refresh_tokens()) {
                    Ok(receipt) => {
                        let taken = receipt.refresh_tokens.iter();
                        let taken = taken.map(|token| token.secret.expose().to_owned()).collect();
                        Told::Taken(taken, receipt.refresh_tokens_missed)
                    }
                    Err(error) => told_of(error),
                }
            }
            Verb::Sweep => store.sweep(1000).map_or_else(told_of, |_| Told::Done),
        };
        (told, None)
    }

    /// All that was told, and what is there now; and that the rows are sound.
    pub(super) fn end(&self, may_miss: bool) -> History {
        self.machine.run_undisturbed();
        // What was acknowledged is there after that. (Before the reclaimers have flushed.)
        self.machine.fail_over();
        // No reclaimer is in the middle of a disturbed exchange any more.
        for store in &self.stores {
            store.wait_reclaimed().unwrap();
        }
        let looker = &self.stores[INSTANCES];
        let mut found = Found::new();
        for number in [1, 2] {
            for live in looker.account(&account(number)).unwrap() {
                let access = live.access_token(&query("a")).unwrap();
                let refresh = live.refresh_token(&client()).unwrap();
                let (access, refresh) = (access.map(|it| it.secret), refresh.map(|it| it.secret));
                let expose = |secret: Option<Secret>| secret.map(|it| it.expose().to_owned());
                let known = found.insert(live.id(), (expose(access), expose(refresh)));
                assert_eq!(known, None, "a sign-in is listed twice");
            }
        }
        let verified = looker.verify().unwrap();
        assert!(verified.is_sound(), "{verified:?}");
        History {
            first: self.first.clone(),
            calls: std::mem::take(&mut self.log.lock().unwrap().calls),
            found,
            may_miss,
        }
    }

    /// From now on, `then` says what becomes of the exchanges of this instance, each time that one
    /// is about to be done, or is done: it is given how often that was before. (What the instance's
    /// reclaimer does is let through.) Tells, at the end, how often that was.
    pub(super) fn disturb(
        &self,
        instance: usize,
        then: impl Fn(usize) -> Fate + Send + Sync + 'static,
    ) -> Arc<AtomicUsize> {
        let met = Arc::new(AtomicUsize::new(0));
        let count = met.clone();
        self.machine.on_exchange(move |exchanged| {
            if exchanged.instance != instance || is_in_background() {
                return Fate::Answered;
            }
            then(count.fetch_add(1, Ordering::Relaxed))
        });
        met
    }
}

pub(super) fn is_in_background() -> bool {
    std::thread::current().name() == Some("oubliette-reclaim")
}

fn request(number: u32, in_session: u32) -> SignIn {
    SignIn::new(account(number), tenant(1)).session(session(in_session))
}

fn tokens(secret: &str) -> [Token; 2] {
    // (Without an end: the clock is far ahead of the day that others count from.)
    [AccessToken { expires_at: None, ..access("a", secret) }.into(), refresh(secret).into()]
}

fn told_of(error: Error) -> Told {
    match error {
        Error::SignedOut | Error::Overtaken { .. } => Told::Refused,
        Error::Indeterminate(_) => Told::Unknown,
        Error::Io { source, .. } => match source.kind() {
            ErrorKind::NotConnected => Told::NotDone,
            ErrorKind::TimedOut => Told::Unknown,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}
