//! Sign-ins, sign-outs and reads of several processes, as one store that does one after the other
//! would do them: every history that the processes write down has such an order (`checker.rs`).
//!
//! They work in bouts, each on accounts of its own. `OUBLIETTE_BOUTS` sets how many there are (300
//! take about a minute on two cores, and 3 000 by hand ten), `OUBLIETTE_LINEARIZABILITY_SEED` the
//! chance.

mod checker;
pub(crate) mod worker;

use std::collections::BTreeMap;
use std::time::Instant;

use checker::{Call, Verb, check};
use oubliette_testkit::chance::Chance;
use oubliette_testkit::disk::{Home, say};

use crate::child::{Process, by_hand};
use crate::kill::log::{self, Id, Line, Outcome, Reader, Whom};

pub(crate) const FOLDER: &str = "OUBLIETTE_LINEARIZABILITY_FOLDER";
pub(crate) const LOG: &str = "OUBLIETTE_LINEARIZABILITY_LOG";
pub(crate) const FIRST_ID: &str = "OUBLIETTE_LINEARIZABILITY_FIRST_ID";
pub(crate) const FIRST_ACCOUNT: &str = "OUBLIETTE_LINEARIZABILITY_FIRST_ACCOUNT";
pub(crate) const SEED: &str = "OUBLIETTE_LINEARIZABILITY_CHILD_SEED";

const PROCESSES: u64 = 4;
pub(crate) const THREADS: u64 = 2;
pub(crate) const ACCOUNTS: u32 = 3;
pub(crate) const VERBS: u64 = 40;

/// Verbs that have begun in the processes' logs, with how they ended.
type Logged = BTreeMap<Id, (log::Verb, u64, Option<(u64, Outcome)>)>;

/// Lets the processes work on accounts that nobody has used, and gives what they wrote down.
fn bout(home: &Home, number: u64, chance: &mut Chance) -> Logged {
    let path = |process: u64| home.beside(&format!("log-{process}"));
    let mut processes: Vec<Process> = (0..PROCESSES)
        .map(|process| {
            std::fs::write(path(process), "").unwrap();
            let folder = home.path().to_str().unwrap().to_owned();
            let log = path(process).to_str().unwrap().to_owned();
            let first_id = ((number * PROCESSES + process + 1) << 20).to_string();
            let first_account = (number * u64::from(ACCOUNTS)).to_string();
            let seed = chance.next().to_string();
            let variables = [
                (FOLDER, &*folder),
                (LOG, &*log),
                (FIRST_ID, &*first_id),
                (FIRST_ACCOUNT, &*first_account),
                (SEED, &*seed),
            ];
            Process::start("linearizability", &variables)
        })
        .collect();
    for process in &mut processes {
        assert_eq!(process.hear().as_deref(), Some("ready"));
    }
    processes.iter_mut().for_each(|process| process.say("go"));
    // In one of three bouts, one is killed in the middle.
    if chance.one_in(3) {
        let mut killed = processes.swap_remove(0);
        for _ in 0..chance.below(THREADS * VERBS) {
            if killed.hear().is_none() {
                break;
            }
        }
        killed.kill();
    }
    for mut process in processes {
        while process.hear().is_some() {}
        assert!(process.wait().success());
    }
    let mut logged = Logged::new();
    for line in (0..PROCESSES).flat_map(|process| Reader::new(&path(process)).read()) {
        match line {
            Line::Begin(id, at, verb) => drop(logged.insert(id, (verb, at, None))),
            Line::End(id, at, outcome) => logged.get_mut(&id).unwrap().2 = Some((at, outcome)),
            Line::Wrong(text) => panic!("{text}"),
        }
    }
    logged
}

/// The history of each account.
fn histories(logged: &Logged) -> BTreeMap<u32, Vec<Verb>> {
    let mut histories: BTreeMap<u32, Vec<Verb>> = BTreeMap::new();
    let account_of = |id: &Id| match logged.get(id) {
        Some((log::Verb::SignIn { account, .. }, ..)) => *account,
        _ => panic!("{id} is no sign-in of this bout"),
    };
    for (verb, ..) in logged.values() {
        if let log::Verb::Read { account } = verb {
            histories.entry(*account).or_default();
        }
    }
    for (id, (verb, called, end)) in logged {
        let returned = end.as_ref().map(|end| end.0);
        let outcome = end.as_ref().map(|end| &end.1);
        let (account, call) = match (verb, outcome) {
            // It was not done.
            (log::Verb::SignIn { .. } | log::Verb::SignOut(_), Some(Outcome::Refused)) => continue,
            (log::Verb::SignIn { account, session }, _) => {
                (Some(*account), Call::SignIn(*id, *session))
            }
            (log::Verb::SignOut(Whom::Account(account)), _) => (Some(*account), Call::SignOut),
            (log::Verb::SignOut(Whom::Session(session)), _) => {
                (Some(session / 2), Call::EndSession(*session))
            }
            (log::Verb::SignOut(_), _) => (None, Call::SignOut),
            (log::Verb::Read { account }, Some(Outcome::Saw(seen))) => {
                let mut seen: Vec<Id> = seen.iter().map(|one| one.0).collect();
                seen.sort_unstable();
                (Some(*account), Call::Read(seen))
            }
            (log::Verb::Ask { about }, Some(outcome)) => {
                (Some(account_of(about)), Call::IsLive(*about, *outcome == Outcome::Done))
            }
            _ => continue,
        };
        let verb = Verb { called: *called, returned, call };
        match account {
            Some(account) => histories.entry(account).or_default().push(verb),
            // It is each account's.
            None => histories.values_mut().for_each(|history| history.push(verb.clone())),
        }
    }
    histories
}

/// A read behind all that is in the history, of a sign-in that was certainly ended before.
fn stale_read(history: &[Verb]) -> Option<Verb> {
    let last = history.iter().filter_map(|verb| verb.returned).max()?;
    let is_ended = |verb: &&Verb| {
        let by = |out: &Verb| {
            out.call == Call::SignOut
                && out.returned.is_some()
                && verb.returned.is_some_and(|returned| returned < out.called)
        };
        history.iter().any(by)
    };
    let ended =
        history.iter().filter(|verb| matches!(verb.call, Call::SignIn(..))).find(is_ended)?;
    let Call::SignIn(id, _) = ended.call else { return None };
    Some(Verb { called: last + 1, returned: Some(last + 2), call: Call::IsLive(id, true) })
}

#[test]
fn what_processes_see_has_an_order() {
    let bouts = by_hand("OUBLIETTE_BOUTS", 300);
    let mut chance = Chance::seeded("OUBLIETTE_LINEARIZABILITY_SEED", 20_261_202);
    let (home, start) = (Home::new(), Instant::now());
    let (mut verbs, mut overlapping, mut controls) = (0, 0, 0);
    for number in 0..bouts {
        let logged = bout(&home, number, &mut chance);
        for (account, mut history) in histories(&logged) {
            verbs += history.len();
            let mut all: Vec<_> = history.iter().map(|one| (one.called, one.returned)).collect();
            all.sort_unstable();
            let is_overlapping =
                |pair: &&[(u64, Option<u64>)]| pair[0].1.is_none_or(|end| end > pair[1].0);
            overlapping += all.windows(2).filter(is_overlapping).count();
            if let Err(verb) = check(&history) {
                panic!(
                    "account {account} of bout {number}: no order has {verb:?}; the folder is kept: \
                     {:?}; {history:#?}",
                    home.keep()
                );
            }
            // The same history with a fault in it.
            if let Some(read) = stale_read(&history) {
                history.push(read);
                assert!(check(&history).is_err(), "{history:#?}");
                controls += 1;
            }
        }
    }
    let took = start.elapsed().as_secs_f64();
    say(&format!(
        "{bouts} bouts, {verbs} verbs, {overlapping} of them beside the next, {controls} controls, \
         in {took:.1} s"
    ));
    assert!(overlapping > 0 && controls > 0, "too little happened");
}
