//! A process: a few threads that sign in, put, read and sign out over a small cast, until it is
//! killed.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use oubliette::*;
use oubliette_testkit::accounts::{account, client, session, tenant};
use oubliette_testkit::chance::Chance;

use super::log::{Id, Line, Outcome, Verb, Whom};
use super::{ACCOUNTS, FIRST_ID, FOLDER, LOG, ONLY_LOOKS, SEED, TENANTS, THREADS};
use crate::child::{builder, nanoseconds, number, tell};

/// An account with more sign-ins than this gets no more, so that none is pushed out.
const MANY: usize = 8;

struct Work {
    log: File,
    next_id: AtomicU64,
}

pub(crate) fn run() {
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    let log = File::options().append(true).open(std::env::var(LOG).unwrap()).unwrap();
    let work = Work { log, next_id: AtomicU64::new(number(FIRST_ID)) };
    let mut chance = Chance(number(SEED));
    let open = || builder(&folder).open().unwrap_or_else(|error| work.wrong("open", &error));
    if std::env::var_os(ONLY_LOOKS).is_some() {
        let store = open();
        (0..ACCOUNTS).for_each(|number| drop(work.read(&store, number)));
        store.verify().unwrap_or_else(|error| work.wrong("verify", &error));
        return;
    }
    // Some come and go all the time, so that there is often nobody, and the next one is the first.
    let longest = if chance.one_in(2) { 4 } else { 200 };
    loop {
        let store = open();
        let steps = 1 + chance.below(longest);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                let (work, store, mut chance) = (&work, &store, Chance(chance.next()));
                scope.spawn(move || work.serve(store, &mut chance, steps));
            }
        });
        if chance.one_in(3) {
            drop(store);
        } else {
            store.close().unwrap_or_else(|error| work.wrong("close", &error));
        }
    }
}

impl Work {
    fn wrong(&self, what: &str, error: &Error) -> ! {
        Line::Wrong(format!("{what}: {error:?}")).write(&self.log);
        std::process::exit(1)
    }

    fn ok<T>(&self, what: &str, result: Result<T>) -> T {
        result.unwrap_or_else(|error| self.wrong(what, &error))
    }

    fn begin(&self, verb: Verb) -> Id {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        Line::Begin(id, nanoseconds(), verb).write(&self.log);
        id
    }

    /// Writes down how a verb ended; `None` if it was told of a sign-out.
    fn end<T>(&self, id: Id, result: Result<T>) -> Option<T> {
        let at = nanoseconds();
        match result {
            Ok(value) => {
                Line::End(id, at, Outcome::Done).write(&self.log);
                Some(value)
            }
            Err(Error::SignedOut | Error::Overtaken { .. }) => {
                Line::End(id, at, Outcome::Refused).write(&self.log);
                None
            }
            Err(error) => self.wrong("a verb", &error),
        }
    }

    fn serve(&self, store: &TokenStore, chance: &mut Chance, steps: u64) {
        for _ in 0..steps {
            let number = u32::try_from(chance.below(ACCOUNTS.into())).unwrap();
            let lives = self.read(store, number);
            let place = usize::try_from(chance.below(lives.len() as u64)).unwrap();
            match (chance.below(100), lives.get(place)) {
                (0..35, _) | (_, None) if lives.len() <= MANY => {
                    if let Some(live) = self.sign_in(store, number, chance) {
                        self.put(&live);
                    }
                }
                (35..60, Some(live)) => self.put(live),
                (60..98, _) => self.sign_out(store, number, chance),
                _ => drop(self.ok("sweep", store.sweep(50))),
            }
            tell("");
        }
    }

    fn sign_in(&self, store: &TokenStore, number: u32, chance: &mut Chance) -> Option<LiveSignIn> {
        let in_session = [None, Some(2 * number), Some(2 * number + 1)]
            [usize::try_from(chance.below(3)).unwrap()];
        let id = self.begin(Verb::SignIn { account: number, session: in_session });
        let alias = Alias::new(AliasKind::Opaque, id.to_string()).unwrap();
        let mut request = SignIn::new(account(number), tenant(number % TENANTS)).alias(alias);
        if let Some(number) = in_session {
            request = request.session(session(number));
        }
        self.end(id, store.sign_in(request))
    }

    fn put(&self, live: &LiveSignIn) {
        let into = id_of(live);
        let id = self.begin(Verb::Put { into });
        // Some in several pages.
        let length = if id.is_multiple_of(4) { 9000 } else { 60 };
        let text: String = format!("rt.{into}.{id}.").chars().cycle().take(length).collect();
        self.end(id, live.put(RefreshToken::new(client(), text)));
    }

    fn sign_out(&self, store: &TokenStore, number: u32, chance: &mut Chance) {
        let whom = match chance.below(40) {
            0..20 => Whom::Account(number),
            20..30 => Whom::Session(2 * number + u32::from(chance.one_in(2))),
            30..39 => Whom::Tenant(number % TENANTS),
            _ => Whom::Everybody,
        };
        let scope = match whom {
            Whom::Account(n) => SignOutScope::Account(account(n)),
            Whom::Session(n) => SignOutScope::Session(session(n)),
            Whom::Tenant(n) => SignOutScope::Tenant(tenant(n)),
            Whom::Everybody => SignOutScope::Everybody,
        };
        let id = self.begin(Verb::SignOut(whom));
        self.end(id, store.sign_out(SignOut::of(scope)));
    }

    /// The sign-ins of an account.
    fn read(&self, store: &TokenStore, number: u32) -> Vec<LiveSignIn> {
        let id = self.begin(Verb::Read { account: number });
        let lives = self.ok("account", store.account(&account(number)));
        // What is signed out between two looks is seen without a token, which the oracle takes for
        // none: only those are written down that live behind both.
        let mut seen = Vec::new();
        for live in &lives {
            let token = self.ok("get", live.refresh_token(&client()));
            let put = token.map(|token| {
                let mut parts = token.secret.expose().split('.').skip(1);
                let (into, put) = (parts.next().unwrap(), parts.next().unwrap());
                assert_eq!(into, id_of(live).to_string(), "a token of another sign-in");
                put.parse().unwrap()
            });
            seen.push((id_of(live), put, put.is_some() || self.ok("is_live", live.is_live())));
        }
        let seen = seen.into_iter().filter(|one| one.2).map(|(id, put, _)| (id, put)).collect();
        Line::End(id, nanoseconds(), Outcome::Saw(seen)).write(&self.log);
        lives
    }
}

fn id_of(live: &LiveSignIn) -> Id {
    live.aliases()[0].value().parse().unwrap()
}

/// Whether a sign-out of this surely ends that sign-in, and whether it may.
pub(crate) fn covers(whom: Whom, account: u32, session: Option<u32>) -> (bool, bool) {
    match whom {
        Whom::Account(n) => (n == account, n == account),
        // That of a session ends its whole account, if the session is known there.
        Whom::Session(n) => (session == Some(n), n / 2 == account),
        Whom::Tenant(n) => (n == account % TENANTS, n == account % TENANTS),
        Whom::Everybody => (true, true),
    }
}
