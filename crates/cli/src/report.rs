//! What a verb did: for people as text, for programs as one JSON object.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde_json::{Map, Value};

use crate::failure::{Code, Failure};

#[derive(Debug)]
pub(crate) struct Report {
    /// 0, unless what was found is a fault.
    pub(crate) code: Code,
    json: Map<String, Value>,
    text: String,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { code: Code::Done, json: Map::new(), text: String::new() }
    }

    /// Of something that was printed as it was found.
    pub(crate) fn printed() -> Self {
        Self::new()
    }

    /// A line of text.
    pub(crate) fn line(mut self, line: impl std::fmt::Display) -> Self {
        let _ = writeln!(self.text, "{line}");
        self
    }

    /// A field of the JSON object.
    pub(crate) fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.json.insert(name.into(), value.into());
        self
    }

    /// Both.
    pub(crate) fn figure(self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let shown = value.as_str().map_or_else(|| value.to_string(), Into::into);
        self.line(format_args!("{:<24}{shown}", name.replace('_', " "))).field(name, value)
    }

    /// Prints it.
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

/// Writes to stdout, and says whether anybody still reads it: to stop reading is no failure.
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
