//! One case: a folder in its state, the attacked process, what comes next, and what is found then.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::scripts::{JUDGE, remedies};
use super::shim::Fault;
use crate::log::{self, Ending, Line};
use crate::oracle::{self, Column, Finding};

/// The tools of a run.
#[derive(Clone)]
pub struct Bench {
    pub engine: String,
    pub shim: PathBuf,
    /// Where the states are, and each job's own folder.
    pub scratch: PathBuf,
    /// Whether syncs do nothing in what is attacked: a control.
    pub lies: bool,
    /// A process that takes longer hangs: a case takes milliseconds.
    pub hang: Duration,
}

/// A folder with a store in it, and the log of all that happened to it.
pub struct Site<'a> {
    pub bench: &'a Bench,
    pub root: PathBuf,
    pub day: u64,
    pub threads: u64,
}

/// A process of the worker.
#[derive(Default)]
pub struct Process<'a> {
    pub verbs: &'a str,
    pub fault: Option<&'a Fault>,
    pub list: Option<&'a Path>,
    pub record: Option<&'a Path>,
}

impl Site<'_> {
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Begins with a copy of another site's folder and log.
    pub fn begin(&self, from: &Path) {
        if self.root.exists() {
            fs::remove_dir_all(&self.root).expect("the last case's folder");
        }
        copy(&from.join("home"), &self.home());
        fs::copy(from.join("log"), self.log()).expect("the state's log");
    }

    /// Runs a process to its end, however it comes.
    pub fn run(&self, process: &Process) -> Ending {
        self.run_in(&self.home(), process)
    }

    /// As [`run`](Self::run), with its folder elsewhere.
    pub fn run_in(&self, home: &Path, process: &Process) -> Ending {
        // Other threads see the file system go before they die of it.
        let faulty = process.fault.is_some_and(|fault| !fault.kills() || fault.act == "shutdown");
        let kind = if faulty { "faulty" } else { "clean" };
        log::append(&self.log(), &format!("phase {kind} {}", self.day));
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["worker", &self.bench.engine]).arg(home).arg(self.log());
        command.args([self.day.to_string(), self.threads.to_string()]).args(process.verbs.split_whitespace());
        // What goes to the folder for temporary files is part of it.
        command.env("TMPDIR", home).env("RUST_BACKTRACE", "0");
        if process.fault.is_some() || process.list.is_some() || process.record.is_some() {
            if self.bench.lies {
                command.env("OUBLIETTE_FAULT_LIES", "1");
            }
            command.env("LD_PRELOAD", &self.bench.shim);
            command.env("OUBLIETTE_FAULT_ROOT", home).env("OUBLIETTE_FAULT_ACKS", self.log());
        }
        for (name, path) in [("OUBLIETTE_FAULT_LIST", process.list), ("OUBLIETTE_FAULT_RECORD", process.record)] {
            path.map(|path| command.env(name, path));
        }
        process.fault.inspect(|fault| fault.env(&mut command));
        let errors = fs::OpenOptions::new().create(true).append(true).open(self.root.join("errors")).expect("a file");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).spawn().expect("the worker");
        let start = Instant::now();
        let status = loop {
            match child.try_wait().expect("the worker's end") {
                Some(status) => break Some(status),
                None if start.elapsed() > self.bench.hang => break None,
                None => std::thread::sleep(Duration::from_micros(500)),
            }
        };
        let ending = match status {
            None => {
                child.kill().and_then(|()| child.wait()).expect("the worker's end");
                Ending::Hung
            }
            Some(status) if status.success() => Ending::Clean,
            Some(status) if status.signal() == Some(9) && process.fault.is_some_and(Fault::kills) => Ending::Killed,
            Some(_) => Ending::Crashed,
        };
        self.end(ending);
        ending
    }

    pub fn end(&self, ending: Ending) {
        let name = match ending {
            Ending::Clean => "clean",
            Ending::Killed => "killed",
            Ending::Power => "power",
            Ending::Hung => "hung",
            Ending::Crashed => "crashed",
        };
        log::append(&self.log(), &format!("end {name}"));
    }

    /// What comes next without any fault, and what is found. `state` says how it may be mended.
    pub fn recover(&self, next: &str, second: Option<&Fault>, state: &str) -> Vec<Finding> {
        self.run(&Process { verbs: next, fault: second, ..Process::default() });
        if second.is_some() {
            self.run(&Process { verbs: "open look drop", ..Process::default() });
        }
        let judge = if self.bench.engine.starts_with("toy") { "open look" } else { JUDGE };
        self.run(&Process { verbs: judge, ..Process::default() });
        let mut lines = log::read(&self.log());
        for remedy in remedies(state) {
            let is_last_resort = remedy.starts_with("open_forget") && state != "damaged";
            if is_looked_at(&lines) || (is_last_resort && !has_begun(&lines, "open_forget")) {
                continue;
            }
            self.run(&Process { verbs: remedy, ..Process::default() });
            self.run(&Process { verbs: JUDGE, ..Process::default() });
            lines = log::read(&self.log());
        }
        let mut findings = oracle::judge(&lines);
        if !is_looked_at(&lines) && findings.is_empty() {
            findings.push(Finding { column: Column::Damaged, what: "nothing opens it any more".into() });
        }
        findings
    }
}

fn has_begun(lines: &[Line], wanted: &str) -> bool {
    lines.iter().any(|line| matches!(line, Line::Begin { verb, .. } if verb == wanted))
}

/// Whether the last process saw everything.
fn is_looked_at(lines: &[Line]) -> bool {
    let last = lines.iter().rposition(|line| matches!(line, Line::Phase { .. })).unwrap_or(0);
    lines[last..].iter().any(|line| matches!(line, Line::Looked(_)))
}

/// Copies a folder and all below it, to where nothing is yet.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder to copy") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a copy");
        }
    }
}
