//! A process: threads that sign in, sign out and read over a few accounts, and write down when.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use oubliette::*;
use oubliette_testkit::accounts::{account, session, tenant};
use oubliette_testkit::chance::Chance;

use super::{ACCOUNTS, FIRST_ACCOUNT, FIRST_ID, FOLDER, LOG, SEED, THREADS, VERBS};
use crate::child::{builder, listen, nanoseconds, number, tell};
use crate::kill::log::{Id, Line, Outcome, Verb, Whom};

struct Work {
    store: TokenStore,
    log: File,
    next_id: AtomicU64,
    first_account: u32,
}

pub(crate) fn run() {
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    let work = Work {
        store: builder(&folder).open().unwrap(),
        log: File::options().append(true).open(std::env::var(LOG).unwrap()).unwrap(),
        next_id: AtomicU64::new(number(FIRST_ID)),
        first_account: number(FIRST_ACCOUNT).try_into().unwrap(),
    };
    let mut chance = Chance(number(SEED));
    tell("ready");
    listen();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let (work, mut chance) = (&work, Chance(chance.next()));
            scope.spawn(move || (0..VERBS).for_each(|_| work.step(&mut chance)));
        }
    });
}

impl Work {
    fn begin(&self, verb: Verb) -> Id {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        Line::Begin(id, nanoseconds(), verb).write(&self.log);
        id
    }

    fn end<T>(&self, id: Id, result: Result<T>, outcome: impl FnOnce(&T) -> Outcome) -> Option<T> {
        let at = nanoseconds();
        match result {
            Ok(value) => {
                Line::End(id, at, outcome(&value)).write(&self.log);
                Some(value)
            }
            Err(Error::SignedOut | Error::Overtaken { .. }) => {
                Line::End(id, at, Outcome::Refused).write(&self.log);
                None
            }
            Err(error) => {
                Line::Wrong(format!("{error:?}")).write(&self.log);
                None
            }
        }
    }

    fn step(&self, chance: &mut Chance) {
        let number = self.first_account + u32::try_from(chance.below(ACCOUNTS.into())).unwrap();
        let id = self.begin(Verb::Read { account: number });
        let read = self.store.account(&account(number));
        let saw = |lives: &Vec<LiveSignIn>| {
            Outcome::Saw(lives.iter().map(|live| (id_of(live), None)).collect())
        };
        let Some(lives) = self.end(id, read, saw) else { return };
        match chance.below(10) {
            0..4 if lives.len() < 8 => {
                let its = [None, Some(2 * number), Some(2 * number + 1)];
                let its = its[usize::try_from(chance.below(3)).unwrap()];
                let id = self.begin(Verb::SignIn { account: number, session: its });
                let alias = Alias::new(AliasKind::Opaque, id.to_string()).unwrap();
                let mut request = SignIn::new(account(number), tenant(0)).alias(alias);
                if let Some(number) = its {
                    request = request.session(session(number));
                }
                self.end(id, self.store.sign_in(request), |_| Outcome::Done);
            }
            0..6 => {
                let (whom, scope) = match chance.below(8) {
                    0..5 => (Whom::Account(number), SignOutScope::Account(account(number))),
                    5 | 6 => {
                        let number = 2 * number + u32::from(chance.one_in(2));
                        (Whom::Session(number), SignOutScope::Session(session(number)))
                    }
                    _ => (Whom::Tenant(0), SignOutScope::Tenant(tenant(0))),
                };
                let id = self.begin(Verb::SignOut(whom));
                self.end(id, self.store.sign_out(SignOut::of(scope)), |_| Outcome::Done);
            }
            _ => {
                for live in lives {
                    let id = self.begin(Verb::Ask { about: id_of(&live) });
                    let outcome =
                        |live: &bool| if *live { Outcome::Done } else { Outcome::Refused };
                    self.end(id, live.is_live(), outcome);
                }
            }
        }
        tell("");
    }
}

fn id_of(live: &LiveSignIn) -> Id {
    live.aliases()[0].value().parse().unwrap()
}
