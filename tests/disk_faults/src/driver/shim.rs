//! The library that is put between the worker and libc (`shim.c`): building it, what it is told, and the calls that it counted.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What is done to one call, or to those from it on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fault {
    /// The number of the call, from 1.
    pub at: u64,
    pub act: &'static str,
    pub errno: i32,
    /// How many calls fail; 0: all from there on.
    pub count: u32,
    /// Which calls can fail so, beside the first.
    pub on: String,
}

impl Fault {
    pub fn env(&self, command: &mut Command) {
        command.env("OUBLIETTE_FAULT_AT", self.at.to_string());
        command.env("OUBLIETTE_FAULT_DO", self.act);
        command.env("OUBLIETTE_FAULT_ERRNO", self.errno.to_string());
        command.env("OUBLIETTE_FAULT_FOR", self.count.to_string());
        command.env("OUBLIETTE_FAULT_ON", &self.on);
    }

    /// Whether the worker dies of it.
    pub fn kills(&self) -> bool {
        ["kill", "tear", "shutdown"].contains(&self.act)
    }
}

/// A file call of a script, as it was counted.
#[derive(Clone, Debug)]
pub struct Call {
    pub at: u64,
    pub name: String,
    pub size: u64,
    pub path: String,
    /// The verb that was running.
    pub verb: String,
}

impl Call {
    /// For people.
    pub fn told(&self) -> String {
        format!("{} of {} ({} bytes) in {}", self.name, plain(&self.path), self.size, self.verb)
    }
}

/// Compiles it, once.
pub fn build(scratch: &Path) -> PathBuf {
    let library = scratch.join("shim.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("shim.c");
    let mut compiler = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".into()));
    compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&library).arg(&source);
    let status = compiler.args(["-ldl", "-pthread"]).status().expect("a C compiler, to build the shim with");
    assert!(status.success(), "the shim does not compile");
    library
}

/// The calls that were listed, each with the verb that it belongs to.
pub fn calls(list: &Path) -> Vec<Call> {
    let text = std::fs::read_to_string(list).unwrap_or_default();
    let (mut calls, mut verb) = (Vec::new(), "start".to_owned());
    for line in text.lines() {
        if let Some(acknowledged) = line.strip_prefix("= ") {
            let words: Vec<&str> = acknowledged.split(' ').collect();
            match words.as_slice() {
                ["begin", _, name, ..] => verb = (*name).to_owned(),
                ["ok" | "err", ..] => verb = format!("behind {}", verb.trim_start_matches("behind ")),
                _ => {}
            }
            continue;
        }
        let mut words = line.splitn(4, ' ');
        let mut next = || words.next().unwrap_or_default().to_owned();
        let (at, name, size, path) = (next(), next(), next(), next());
        if let (Ok(at), Ok(size)) = (at.parse(), size.parse()) {
            calls.push(Call { at, name, size, path, verb: verb.clone() });
        }
    }
    calls
}

/// What is in a file's name for chance alone is left out: `engine-6e8c..-0` is `engine-0`.
pub fn plain(path: &str) -> String {
    let is_id = |word: &&str| word.len() >= 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    path.split('/')
        .map(|part| part.split(['-', '.']).filter(|word| !is_id(word)).collect::<Vec<_>>().join("-"))
        .collect::<Vec<_>>()
        .join("/")
}
