//! `kill -9` of some of the processes that have a store open, or of all: no acknowledged sign-out is
//! undone for any reader, and no acknowledged sign-in or refresh token is lost.
//!
//! Four processes work and write down what they were told (`log.rs`); behind so many verbs, random
//! ones are killed, a fresh process looks at everything beside those that live, and every read of
//! every process is held against what was written down (`oracle.rs`).
//!
//! `OUBLIETTE_ROUNDS` sets how often (30, and 1 000 by hand), `OUBLIETTE_KILL_SEED` the chance.

mod birth;
pub(crate) mod log;
pub(crate) mod oracle;
pub(crate) mod worker;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use log::Reader;
use oracle::Oracle;
use oubliette_testkit::chance::Chance;
use oubliette_testkit::disk::{Home, say};

use crate::child::{Process, by_hand, nanoseconds, next};
use crate::traps::ledger;

pub(crate) const FOLDER: &str = "OUBLIETTE_KILL_FOLDER";
pub(crate) const LOG: &str = "OUBLIETTE_KILL_LOG";
pub(crate) const FIRST_ID: &str = "OUBLIETTE_KILL_FIRST_ID";
pub(crate) const SEED: &str = "OUBLIETTE_KILL_CHILD_SEED";
pub(crate) const ONLY_LOOKS: &str = "OUBLIETTE_KILL_ONLY_LOOKS";

const PROCESSES: usize = 4;
pub(crate) const THREADS: u64 = 3;
pub(crate) const ACCOUNTS: u32 = 6;
pub(crate) const TENANTS: u32 = 3;

/// How many verbs all processes have ended, and who waits for that.
#[derive(Clone, Default)]
struct Ticks(Arc<(Mutex<Count>, Condvar)>);

#[derive(Default)]
struct Count {
    verbs: u64,
    /// Processes that have ended, by their death or by themselves.
    ended: u64,
}

impl Ticks {
    /// Waits for so many more, or until a process ends.
    fn wait_for(&self, more: u64) {
        let (count, changed) = &*self.0;
        let mut now = count.lock().unwrap();
        let (end, ended) = (now.verbs + more, now.ended);
        while now.verbs < end && now.ended == ended {
            now = changed.wait(now).unwrap();
        }
    }

    fn tick(&self, change: impl FnOnce(&mut Count)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }
}

/// A process that works, and its log.
struct Worker {
    process: Process,
    number: usize,
    log: Reader,
    path: PathBuf,
    counting: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(home: &Home, number: usize, seed: u64, ticks: &Ticks) -> Self {
        let (mut process, log, path) = start(home, number, seed, false);
        let (mut lines, ticks) = (process.take_lines(), ticks.clone());
        let counting = std::thread::spawn(move || {
            while next(&mut lines).is_some() {
                ticks.tick(|count| count.verbs += 1);
            }
            ticks.tick(|count| count.ended += 1);
        });
        Self { process, number, log, path, counting: Some(counting) }
    }

    /// Kills it; what it has written down is complete then.
    fn kill(mut self, oracle: &mut Oracle) -> Result<(), String> {
        let status = self.process.kill();
        let died = nanoseconds();
        self.counting.take().unwrap().join().unwrap();
        oracle.hear(self.number, self.log.read())?;
        oracle.died(self.number, died);
        fs::remove_file(&self.path).unwrap();
        match status.code() {
            Some(code) => Err(format!("process {} has ended by itself: {code}", self.number)),
            None => Ok(()),
        }
    }
}

fn start(home: &Home, number: usize, seed: u64, only_looks: bool) -> (Process, Reader, PathBuf) {
    let path = home.beside(&format!("log-{number}"));
    fs::write(&path, "").unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    // (Each process has ids of its own.)
    let first_id = ((number as u64 + 1) << 24).to_string();
    let (folder, log, seed) = (text(&home.path()), text(&path), seed.to_string());
    let mut variables =
        vec![(FOLDER, &*folder), (LOG, &*log), (FIRST_ID, &*first_id), (SEED, &*seed)];
    if only_looks {
        variables.push((ONLY_LOOKS, "1"));
    }
    (Process::start("kill", &variables), Reader::new(&path), path)
}

/// A fresh process looks at everything.
fn look(home: &Home, number: usize, oracle: &mut Oracle) -> Result<(), String> {
    let (mut process, mut log, path) = start(home, number, 0, true);
    while process.hear().is_some() {}
    let status = process.wait();
    oracle.hear(number, log.read())?;
    fs::remove_file(path).unwrap();
    if status.success() { Ok(()) } else { Err(format!("who looks has ended by {status:?}")) }
}

#[test]
fn what_was_acknowledged_survives_the_death_of_any_processes() {
    let rounds = by_hand("OUBLIETTE_ROUNDS", 30);
    let mut chance = Chance::seeded("OUBLIETTE_KILL_SEED", 20_261_201);
    let start = std::time::Instant::now();
    let (home, mut oracle, ticks) = (Home::new(), Oracle::default(), Ticks::default());
    let mut workers: Vec<Worker> = Vec::new();
    let (mut next_number, mut deaths, mut ledgers) = (0, 0, BTreeSet::new());
    let mut number = || {
        next_number += 1;
        next_number
    };
    for round in 0..rounds {
        while workers.len() < PROCESSES {
            workers.push(Worker::start(&home, number(), chance.next(), &ticks));
        }
        ticks.wait_for(20 + chance.below(300));
        let dying = match chance.below(5) {
            0 => PROCESSES,
            _ if round + 1 == rounds => PROCESSES,
            most => most.try_into().unwrap(),
        };
        let mut step = || {
            for _ in 0..dying {
                let place = usize::try_from(chance.below(workers.len() as u64)).unwrap();
                workers.swap_remove(place).kill(&mut oracle)?;
                deaths += 1;
            }
            look(&home, number(), &mut oracle)?;
            let mut hear = |oracle: &mut Oracle| {
                workers
                    .iter_mut()
                    .try_for_each(|worker| oracle.hear(worker.number, worker.log.read()))
            };
            hear(&mut oracle)?;
            let (latest, ended) = (oracle.latest(), oracle.waiting());
            hear(&mut oracle)?;
            oracle.judge(ended)?;
            if workers.is_empty() {
                oracle.settle(&latest);
            }
            // (Each compaction makes a new file.)
            ledgers.insert(fs::metadata(ledger(&home.path())).unwrap().ino());
            Ok::<_, String>(())
        };
        if let Err(wrong) = step() {
            drop(workers);
            panic!("round {round}: {wrong}; the folder is kept: {:?}", home.keep());
        }
    }
    let totals = &oracle.totals;
    let took = start.elapsed().as_secs_f64();
    let compactions = ledgers.len() - 1;
    say(&format!(
        "{rounds} rounds, {deaths} deaths, {compactions} compactions in {took:.1} s; {totals:?}"
    ));
    assert!(rounds < 200 || compactions > 0, "the ledger was never compacted");
    assert!(
        totals.must_live > 0
            && totals.must_be_gone > 0
            && totals.sign_outs > 0
            && totals.puts > 0
            && totals.died_in_a_verb > 0,
        "too little happened"
    );
}
