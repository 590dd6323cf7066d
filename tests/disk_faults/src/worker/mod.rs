//! The process that is attacked: runs verbs against a store in a folder, one after the other, and writes down what it was told.
//!
//! `worker <engine> <home> <log> <day> <threads> <verb>...`: the store is at `<home>/tokens`, backups beside it, the log is outside.

mod cast;
mod look;
mod operate;
mod store;
mod toy;
mod users;
mod web;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use crate::log::{self, Log, Op};

/// What a worker is told.
pub struct Orders {
    /// Which engine is under the store, or which known-bad store is in its place.
    pub engine: String,
    pub home: PathBuf,
    pub log_path: PathBuf,
    pub log: Log,
    /// The clock shows this many days after the beginning.
    pub day: u64,
    pub threads: u64,
}

/// How a verb went, for the log: what it gave, or the kind of its error and the text.
pub type Went = Result<String, (String, String)>;

pub fn run(args: &[String]) {
    let [engine, home, log_path, day, threads, verbs @ ..] = args else { panic!("too few arguments") };
    let log_path = PathBuf::from(log_path);
    let first = log::last_op(&log::read(&log_path));
    let log = Log::open(&log_path, first);
    let number = |text: &String| text.parse().expect("a number");
    let orders = Orders { engine: engine.clone(), home: home.into(), log_path, log, day: number(day), threads: number(threads) };
    if engine.starts_with("toy") { toy::run(&orders, verbs) } else { store::run(&orders, verbs) }
}

impl Orders {
    /// Runs a verb between its two lines. A panic is one more way to end, and nothing goes on behind it.
    pub fn verb(&self, name: &str, args: &str, work: impl FnOnce(Op) -> Went) -> bool {
        let op = self.log.begin(name, args);
        match catch_unwind(AssertUnwindSafe(|| work(op))) {
            Ok(Ok(given)) => self.log.line(&format!("ok {op} {given}")),
            Ok(Err((kind, text))) => {
                self.log.line(&format!("err {op} {kind} {text}"));
                return false;
            }
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
                self.log.line(&format!("panic {op} {name}: {}", text.unwrap_or("?")));
                std::process::exit(101);
            }
        }
        true
    }

    pub fn wrong(&self, column: &str, text: &str) {
        self.log.line(&format!("wrong {column} {text}"));
    }
}
