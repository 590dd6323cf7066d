//! Runs every history of a few verbs on a store that version 1 has left, with old rows and old
//! fences under both tags, and compares it with the rule in words: a sign-out ends all that the
//! user has, under either tag, for ever; a sign-in ends what lives under the tag of version 1's
//! second kind, like a sign-in that is pushed out, and nothing else.

use crate::engine::Engine;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::engine::{SledEngine, Tuning};
use crate::{AccountId, ClientId, Machine, RefreshToken, SignIn, SignOut, TenantId, TokenStore};

const USERS: [&str; 3] = ["live by subject", "live by name", "live by both"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verb {
    SignIn(usize),
    SignOut(usize),
    Reclaim,
    Sweep,
    Compact,
    Kill,
    CutPower,
    /// The engine's rows are again as version 1 has left them.
    RestoreRows,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/two-names")
}

fn account(user: usize) -> AccountId {
    AccountId::new("https://sso.example.com", USERS[user]).unwrap()
}

/// What version 1 has left: files, and rows.
struct Left {
    files: BTreeMap<String, Vec<u8>>,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Left {
    fn read() -> Self {
        let copy = tempfile::tempdir().unwrap();
        let (mut files, mut rows) = (BTreeMap::new(), BTreeMap::new());
        for entry in std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap()) {
            let name = entry.file_name().into_string().unwrap();
            if !entry.path().is_dir() {
                files.insert(name, std::fs::read(entry.path()).unwrap());
                continue;
            }
            let to = copy.path().join(&name);
            std::fs::create_dir(&to).unwrap();
            for file in std::fs::read_dir(entry.path())
                .unwrap()
                .map(|file| file.unwrap())
                .filter(|file| file.path().is_file())
            {
                std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
            let engine = SledEngine::open(copy.path(), &name, Tuning::default()).unwrap();
            for first in 0..=u8::MAX {
                rows.extend(engine.scan(&[first], None, 1000).unwrap());
            }
        }
        assert!(files.len() == 2 && rows.len() > 20);
        Self { files, rows }
    }

    /// A machine with these files and rows.
    fn machine(&self) -> Machine {
        let machine = Machine::new();
        machine.set_files(self.files.clone());
        // Its engine is made by opening it.
        machine.builder().open().unwrap().close().unwrap();
        machine.set_files(self.files.clone());
        machine.set_rows(self.rows.clone());
        machine
    }
}

/// What a user has: a token's text, whether it lies under the second tag, and its fate.
#[derive(Clone, Debug)]
struct Has {
    token: String,
    is_second: bool,
    is_old: bool,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Lives,
    /// Signed out: for ever.
    Dead,
    /// Its rows are gone. If they are old ones, restoring them brings it back.
    Gone,
}

struct World<'a> {
    left: &'a Left,
    machine: Machine,
    store: TokenStore,
    users: [Vec<Has>; 3],
    made: usize,
}

impl<'a> World<'a> {
    fn new(left: &'a Left) -> Self {
        let old = |token: &str, is_second| Has {
            token: token.into(),
            is_second,
            is_old: true,
            fate: Fate::Lives,
        };
        let users = [
            vec![old("live by subject", true)],
            vec![old("live by name", false)],
            vec![old("by name", false), old("by subject", true)],
        ];
        let machine = left.machine();
        let store = machine.builder().open().unwrap();
        Self { left, machine, store, users, made: 0 }
    }

    fn run(&mut self, verb: Verb) {
        match verb {
            Verb::SignIn(user) => {
                self.made += 1;
                let token = format!("new {}", self.made);
                let live = self
                    .store
                    .sign_in(SignIn::new(account(user), TenantId::new("tenant-1").unwrap()))
                    .unwrap();
                live.put(RefreshToken::new(ClientId::new("client").unwrap(), token.as_str()))
                    .unwrap();
                let second = self.users[user]
                    .iter_mut()
                    .filter(|has| has.is_second && has.fate == Fate::Lives);
                second.for_each(|has| has.fate = Fate::Gone);
                self.users[user].push(Has {
                    token,
                    is_second: false,
                    is_old: false,
                    fate: Fate::Lives,
                });
            }
            Verb::SignOut(user) => {
                let counted = self
                    .store
                    .sign_out(SignOut::account(&account(user)).counted())
                    .unwrap()
                    .counted
                    .unwrap();
                let lived = self.users[user].iter().filter(|has| has.fate == Fate::Lives).count();
                assert_eq!(counted.sign_ins, lived as u64);
                self.users[user].iter_mut().for_each(|has| has.fate = Fate::Dead);
            }
            Verb::Reclaim => drop(self.store.wait_reclaimed().unwrap()),
            Verb::Sweep => assert!(self.store.sweep(1000).unwrap().finished),
            Verb::Compact => drop(self.store.compact().unwrap()),
            Verb::Kill => self.reopen(|machine| machine.kill_process(1)),
            Verb::CutPower => self.reopen(|machine| machine.cut_power(2)),
            Verb::RestoreRows => {
                self.store.clone().close().unwrap();
                self.machine.set_rows(self.left.rows.clone());
                for has in self.users.iter_mut().flatten().filter(|has| has.fate != Fate::Dead) {
                    has.fate = if has.is_old { Fate::Lives } else { Fate::Gone };
                }
                self.store = self.machine.builder().open().unwrap();
            }
        }
    }

    fn reopen(&mut self, crash: impl FnOnce(&Machine)) {
        crash(&self.machine);
        self.store = self.machine.builder().open().unwrap();
    }

    fn check(&self, history: &[Verb]) {
        let client = ClientId::new("client").unwrap();
        for (user, all) in self.users.iter().enumerate() {
            let live = self.store.account(&account(user)).unwrap();
            let token = |live: &crate::LiveSignIn| {
                live.refresh_token(&client).unwrap().unwrap().secret.expose().to_owned()
            };
            let mut found: Vec<String> = live.iter().map(token).collect();
            let mut expected: Vec<String> = all
                .iter()
                .filter(|has| has.fate == Fate::Lives)
                .map(|has| has.token.clone())
                .collect();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{}: {history:?}", USERS[user]);
            for live in live {
                assert!(
                    self.store.resume(&account(user), live.id()).unwrap().as_ref() == Some(&live),
                    "{history:?}"
                );
            }
        }
        // The users that version 1 signed out, under either name.
        for sub in ["signed out by name", "signed out by subject"] {
            let account = AccountId::new("https://sso.example.com", sub).unwrap();
            assert!(self.store.account(&account).unwrap().is_empty(), "{sub}: {history:?}");
        }
    }
}

fn every_history(verbs: &[Verb], depth: u32) -> usize {
    let left = Left::read();
    let total = verbs.len().pow(depth);
    for number in 0..total {
        let history: Vec<Verb> =
            (0..depth).map(|at| verbs[number / verbs.len().pow(at) % verbs.len()]).collect();
        let mut world = World::new(&left);
        world.check(&[]);
        for verb in &history {
            world.run(*verb);
            world.check(&history);
        }
        world.reopen(|machine| machine.cut_power(3));
        world.check(&history);
    }
    total
}

#[test]
fn every_history_of_a_store_with_two_tags_obeys_the_rule() {
    let all = [
        Verb::SignIn(0),
        Verb::SignIn(1),
        Verb::SignOut(0),
        Verb::SignOut(1),
        Verb::Reclaim,
        Verb::Sweep,
        Verb::Compact,
        Verb::Kill,
        Verb::RestoreRows,
    ];
    assert_eq!(every_history(&all, 3), 729);
    let of_both =
        [Verb::SignIn(2), Verb::SignOut(2), Verb::Sweep, Verb::CutPower, Verb::RestoreRows];
    assert_eq!(every_history(&of_both, 4), 625);
}
