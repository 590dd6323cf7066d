//! The peers, and the process that drives each.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// What is run for a peer.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Program {
    Plain,
    Sqlcipher,
    Askar,
    Msal,
}

/// What protects its rows on the disk.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Protection {
    /// It keeps none.
    NoRows,
    Plain,
    Sealed,
}

pub(crate) struct Spec {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) program: Program,
    pub(crate) protection: Protection,
    /// It has this many accounts at most, being too slow for more.
    pub(crate) most: u64,
    /// It takes part in sign-outs of at most so many tokens.
    pub(crate) most_tokens: u64,
}

impl Spec {
    pub(crate) fn is_limit(&self) -> bool {
        self.protection == Protection::NoRows
    }

    /// Whether it is the store itself, and no peer.
    pub(crate) fn is_ours(&self) -> bool {
        OURS.contains(&self.id)
    }

    /// Whether it keeps nothing on the disk.
    pub(crate) fn is_volatile(&self) -> bool {
        self.id == "msal-memory"
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self.protection {
            _ if self.is_volatile() => "memory only",
            Protection::NoRows => "",
            Protection::Plain => "plain",
            Protection::Sealed => "sealed",
        }
    }
}

const fn spec(id: &'static str, title: &'static str, program: Program, protection: Protection) -> Spec {
    Spec { id, title, program, protection, most: u64::MAX, most_tokens: u64::MAX }
}

/// The store itself: rows in sled, and in SQLite.
pub(crate) const OURS: [&str; 2] = ["oubliette", "oubliette-sqlite"];

pub(crate) const PEERS: &[Spec] = &[
    spec("limit", "the limit", Program::Plain, Protection::NoRows),
    spec("oubliette", "oubliette", Program::Plain, Protection::Sealed),
    spec("oubliette-sqlite", "oubliette on SQLite", Program::Plain, Protection::Sealed),
    spec("sled", "sled", Program::Plain, Protection::Plain),
    spec("redb", "redb", Program::Plain, Protection::Plain),
    spec("redb-aes", "redb + AES", Program::Plain, Protection::Sealed),
    spec("fjall", "fjall", Program::Plain, Protection::Plain),
    spec("fjall-aes", "fjall + AES", Program::Plain, Protection::Sealed),
    spec("sqlite", "SQLite", Program::Plain, Protection::Plain),
    spec("sqlite-aes", "SQLite + AES", Program::Plain, Protection::Sealed),
    spec("sqlcipher", "SQLCipher", Program::Sqlcipher, Protection::Sealed),
    spec("askar", "askar", Program::Askar, Protection::Sealed),
    spec("redis", "Redis", Program::Plain, Protection::Plain),
    Spec { most: 2_000, ..spec("msal-memory", "MSAL, memory", Program::Msal, Protection::Plain) },
    Spec { most: 100, most_tokens: 10, ..spec("msal-file", "MSAL, file", Program::Msal, Protection::Plain) },
];

pub(crate) type Outcome<T> = Result<T, String>;

/// A peer's driver at work.
pub(crate) struct Driver {
    pub(crate) spec: &'static Spec,
    /// How many accounts there are all the time.
    pub(crate) live: u64,
    pub(crate) about: String,
    /// Why it had to give up.
    pub(crate) failed: Option<String>,
    command: Vec<PathBuf>,
    folder: PathBuf,
    process: Option<(Child, ChildStdin, BufReader<ChildStdout>)>,
    servers: Vec<u64>,
}

impl Driver {
    pub(crate) fn new(spec: &'static Spec, command: Vec<PathBuf>, folder: PathBuf, accounts: u64) -> Self {
        let live = accounts.min(spec.most);
        Self { spec, live, about: String::new(), failed: None, command, folder, process: None, servers: Vec::new() }
    }

    /// Starts the process and opens the peer; gives the time of opening alone.
    pub(crate) fn start(&mut self) -> Outcome<f64> {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", self.command[0].display()))?;
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        self.process = Some((child, input, output));
        self.open()
    }

    pub(crate) fn open(&mut self) -> Outcome<f64> {
        let answer = self.call(&json!({ "op": "open", "dir": self.folder }))?;
        self.about = answer["about"].as_str().unwrap_or_default().into();
        self.servers = answer["servers"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        number(&answer, "ns")
    }

    pub(crate) fn close(&mut self) -> Outcome<f64> {
        let answer = self.call(&json!({ "op": "close" }))?;
        self.servers.clear();
        number(&answer, "ns")
    }

    /// Closes the peer and ends the process.
    pub(crate) fn stop(&mut self) -> Outcome<()> {
        self.close()?;
        if let Some((mut child, input, _)) = self.process.take() {
            drop(input);
            child.wait().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// `kill -9`, of what keeps the rows and of the driver.
    pub(crate) fn kill(&mut self) {
        for server in self.servers.drain(..) {
            let _ = Command::new("kill").args(["-9", &server.to_string()]).status();
        }
        if let Some((mut child, ..)) = self.process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn call(&mut self, request: &Value) -> Outcome<Value> {
        let (_, input, output) = self.process.as_mut().ok_or("is not running")?;
        let mut line = String::new();
        let sent = writeln!(input, "{request}").and_then(|()| input.flush());
        sent.and_then(|()| output.read_line(&mut line)).map_err(|error| format!("{} failed: {error}", request["op"]))?;
        serde_json::from_str(&line).map_err(|_| format!("{} failed", request["op"]))
    }

    /// How many of the turns it takes part in: a slow peer in the first few.
    pub(crate) fn some(&self, turns: usize) -> usize {
        if self.spec.most == u64::MAX { turns } else { (turns / 7).max(2) }
    }

    /// How many bytes its files take on the disk.
    pub(crate) fn disk(&self) -> f64 {
        disk(&self.folder) as f64
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.kill();
    }
}

fn disk(path: &Path) -> u64 {
    let Ok(data) = std::fs::symlink_metadata(path) else { return 0 };
    let inside = std::fs::read_dir(path).into_iter().flatten().flatten();
    data.blocks() * 512 + inside.map(|entry| disk(&entry.path())).sum::<u64>()
}

pub(crate) fn number(answer: &Value, name: &str) -> Outcome<f64> {
    answer[name].as_f64().ok_or_else(|| format!("no {name} in {answer}"))
}

pub(crate) fn numbers(answer: &Value, name: &str) -> Outcome<Vec<f64>> {
    let list = answer[name].as_array().ok_or_else(|| format!("no {name} in {answer}"))?;
    Ok(list.iter().filter_map(Value::as_f64).collect())
}
