//! What is written down of a case: by the worker a line before each verb and one after, each by a single write to a file that is only
//! appended to; by the driver where each process began and how it ended.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

/// A verb's number, rising over all processes of a case. A sign-in's is its identity too (its alias); a put's is in the tokens' text.
pub type Op = u64;

/// The log of one case, as its worker writes it.
pub struct Log {
    file: File,
    next: Mutex<Op>,
}

impl Log {
    pub fn open(path: &Path, first: Op) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path).expect("the log");
        Self { file, next: Mutex::new(first) }
    }

    /// A verb begins.
    pub fn begin(&self, verb: &str, args: &str) -> Op {
        let mut next = self.next.lock().expect("the counter");
        *next += 1;
        self.line(&format!("begin {next} {verb} {args}"));
        *next
    }

    pub fn line(&self, text: &str) {
        let text = format!("{}\n", text.trim_end().replace('\n', " "));
        (&self.file).write_all(text.as_bytes()).expect("the log");
    }
}

/// A line as the driver reads it.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// A process begins; under a fault or without.
    Phase {
        faulty: bool,
        day: u64,
    },
    /// It ended, and how.
    End(Ending),
    Begin {
        op: Op,
        verb: String,
        args: Args,
    },
    Ok {
        op: Op,
        args: Args,
    },
    Err {
        op: Op,
        kind: String,
        text: String,
    },
    Panic {
        op: Op,
        text: String,
    },
    /// A look at everything: what is found follows, until `Looked`.
    Look(Op),
    See(Args),
    Looked(Op),
    /// The worker itself saw something that must not be: which column, and what.
    Wrong {
        column: String,
        text: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Clean,
    /// By a signal that the bench sent or asked for.
    Killed,
    /// The power was cut: what was not durable may be gone.
    Power,
    Hung,
    /// By a signal of its own, or with a code: nobody asked for that.
    Crashed,
}

pub type Args = BTreeMap<String, String>;

pub fn number(args: &Args, name: &str) -> Option<u64> {
    args.get(name).and_then(|text| text.parse().ok())
}

fn args(text: &str) -> Args {
    text.split(' ').filter_map(|word| word.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect()
}

impl Line {
    /// `None` if it is not whole: the writer died in it.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (first, behind) = rest.split_once(' ').unwrap_or((rest, ""));
        let (second, last) = behind.split_once(' ').unwrap_or((behind, ""));
        let op = first.parse().ok();
        Some(match name {
            "phase" => Self::Phase { faulty: first == "faulty", day: second.parse().ok()? },
            "end" => Self::End(match first {
                "clean" => Ending::Clean,
                "killed" => Ending::Killed,
                "power" => Ending::Power,
                "hung" => Ending::Hung,
                _ => Ending::Crashed,
            }),
            "begin" => Self::Begin { op: op?, verb: second.into(), args: args(last) },
            "ok" => Self::Ok { op: op?, args: args(behind) },
            "err" => Self::Err { op: op?, kind: second.into(), text: last.into() },
            "panic" => Self::Panic { op: op?, text: behind.into() },
            "look" => Self::Look(op?),
            "see" => Self::See(args(rest)),
            "looked" => Self::Looked(op?),
            "wrong" => Self::Wrong { column: first.into(), text: behind.into() },
            _ => return None,
        })
    }
}

/// All whole lines.
pub fn read(path: &Path) -> Vec<Line> {
    let text = std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).filter_map(Line::parse).collect()
}

/// The highest number of a verb so far.
pub fn last_op(lines: &[Line]) -> Op {
    lines.iter().filter_map(|line| if let Line::Begin { op, .. } = line { Some(*op) } else { None }).max().unwrap_or(0)
}

pub fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("the log");
    file.write_all(format!("{text}\n").as_bytes()).expect("the log");
}
