//! Makes the folders that scripts begin with, and counts the calls of the scripts.

use std::fs;
use std::path::PathBuf;

use super::case::{Bench, Process, Site};
use super::scripts::{STATES, Script, Then};
use super::shim::{self, Call, Fault};
use crate::log::{self, Ending};

impl Bench {
    pub fn state(&self, name: &str) -> PathBuf {
        self.scratch.join(format!("{}-states", self.engine)).join(name)
    }

    /// Makes this state, and those that it comes from, if they are not there yet.
    ///
    /// # Panics
    /// If a verb fails although nothing is in its way.
    pub fn make(&self, name: &str) {
        let state = STATES.iter().find(|state| state.name == name).expect("a state of this name");
        let site = Site { bench: self, root: self.state(name), day: 0, threads: 1 };
        if site.root.exists() {
            return;
        }
        match state.from {
            Some(from) => {
                self.make(from);
                site.begin(&self.state(from));
            }
            None => {
                fs::create_dir_all(site.home()).expect("the state's folder");
                fs::write(site.log(), "").expect("the state's log");
            }
        }
        let fault = (state.then == Then::KilledAtMark).then(|| self.at_mark(&site, state.verbs));
        if let Some(from) = state.from {
            site.begin(&self.state(from));
        }
        if !state.verbs.is_empty() {
            let ending = site.run(&Process { verbs: state.verbs, fault: fault.as_ref(), ..Process::default() });
            let wanted = if fault.is_some() { Ending::Killed } else { Ending::Clean };
            let text = fs::read_to_string(site.log()).unwrap_or_default();
            assert!(ending == wanted && !text.contains("err ") && !text.contains("wrong "), "{name}: {ending:?}\n{text}");
        }
        self.lose(&site, state.then);
    }

    /// The removal of the mark of a move.
    fn at_mark(&self, site: &Site, verbs: &str) -> Fault {
        let calls = self.count(site, verbs);
        let call = calls.iter().rev().find(|call| call.name == "unlink" && call.path.ends_with("/moving"));
        Fault { at: call.expect("a mark that is removed").at, act: "kill", ..Fault::default() }
    }

    fn lose(&self, site: &Site, then: Then) {
        let tokens = site.home().join("tokens");
        let entries = |prefix: &str| -> Vec<PathBuf> {
            let entries = fs::read_dir(&tokens).expect("the store").map(|entry| entry.expect("an entry").path());
            let is_it = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().starts_with(prefix);
            entries.filter(is_it).collect()
        };
        // sled's folder, or SQLite's file with all that lies beside it.
        let lose_engine = || {
            let parts: Vec<_> = entries("engine-").into_iter().chain(entries("rows-")).collect();
            assert!(!parts.is_empty(), "there is no engine");
            for part in parts {
                if part.is_dir() { fs::remove_dir_all(part) } else { fs::remove_file(part) }.expect("it goes");
            }
        };
        let what = match then {
            Then::Nothing | Then::KilledAtMark => return,
            Then::EngineLost => {
                lose_engine();
                "engine"
            }
            Then::EngineAndKeyringLost => {
                lose_engine();
                fs::remove_file(tokens.join("keyring")).expect("it goes");
                "keyring"
            }
            Then::LedgerDamaged => {
                // (Lock files lie beside it.)
                let ledger = entries("ledger-").into_iter().find(|path| path.extension().is_none()).expect("it is there");
                let mut bytes = fs::read(&ledger).expect("the ledger");
                let middle = bytes.len() / 2;
                bytes[middle..][..200].iter_mut().for_each(|byte| *byte ^= 0x55);
                fs::write(ledger, bytes).expect("the ledger");
                "ledger"
            }
        };
        let op = log::last_op(&log::read(&site.log())) + 1;
        log::append(&site.log(), &format!("begin {op} lose what={what}\nok {op}"));
    }

    /// The calls of some verbs here. (The folder is another one then.)
    pub fn count(&self, site: &Site, verbs: &str) -> Vec<Call> {
        let list = site.root.join("list");
        site.run(&Process { verbs, list: Some(&list), ..Process::default() });
        shim::calls(&list)
    }

    /// The calls of a script that are to be attacked.
    pub fn calls(&self, script: &Script) -> Vec<Call> {
        self.make(script.state);
        let root = self.scratch.join(format!("{}-count", self.engine)).join(script.name);
        let site = Site { bench: self, root, day: script.day, threads: script.threads };
        site.begin(&self.state(script.state));
        let mut calls = self.count(&site, script.verbs);
        let _ = fs::remove_dir_all(&site.root);
        if !script.whole {
            calls.retain(|call| !["start", "open", "open_alone"].contains(&call.verb.as_str()));
        }
        calls
    }
}
