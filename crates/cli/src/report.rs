//! Reports what a verb did: as text for people, as one JSON object for programs.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde_json::{Map, Value};

use crate::failure::{Code, Failure};

#[derive(Debug)]
pub(crate) struct Report {
    /// The exit code: 0, unless the verb found a fault.
    pub(crate) code: Code,
    json: Map<String, Value>,
    text: String,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { code: Code::Done, json: Map::new(), text: String::new() }
    }

    /// An empty report, for a verb that printed its results as it found them.
    pub(crate) fn printed() -> Self {
        Self::new()
    }

    /// What is reported of an answer to another question: a fault of the app's.
    pub(crate) fn unexpected() -> Self {
        let mut report = Self::new().line("The app has answered another question.");
        report.code = Code::Other;
        report
    }

    /// A field that was added.
    pub(crate) fn value(&self, name: &str) -> Value {
        self.json.get(name).cloned().unwrap_or_default()
    }

    /// Adds a line of text.
    pub(crate) fn line(mut self, line: impl std::fmt::Display) -> Self {
        let _ = writeln!(self.text, "{line}");
        self
    }

    /// Adds a field of the JSON object.
    pub(crate) fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.json.insert(name.into(), value.into());
        self
    }

    /// Adds both, a line and a field.
    pub(crate) fn figure(self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let shown = value.as_str().map_or_else(|| value.to_string(), Into::into);
        self.line(format_args!("{:<24}{shown}", name.replace('_', " "))).field(name, value)
    }

    /// Prints the report.
    pub(crate) fn show(&self, as_json: bool) -> Result<(), Failure> {
        if as_json && !self.json.is_empty() {
            let line = Value::Object(self.json.clone()).to_string();
            print(|out| writeln!(out, "{line}"))?;
        } else if !as_json {
            print(|out| out.write_all(self.text.as_bytes()))?;
        }
        Ok(())
    }
}

/// Writes to stdout, and returns whether it is still read. It is not a failure if the reader has
/// closed it.
pub(crate) fn print(
    write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match write(&mut out).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::io("write to stdout")(error)),
    }
}
