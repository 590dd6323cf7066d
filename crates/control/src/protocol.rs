//! The protocol: one line of JSON each, of bounded length, in UTF-8.
//!
//! 1. The app sends a [`Greeting`] as soon as it takes a connection, or a fault.
//! 2. The program sends one [`Asked`].
//! 3. The app sends any number of parts (and signs of life), then an answer or a fault, and closes.
//!
//! So a program that meets an app of another version knows that before it has sent a name.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Fault, Part, kind};
use crate::request::Request;

/// The version that this crate speaks.
pub const VERSION: u32 = 1;

/// The longest request, in bytes: far more than the identifiers of one sign-in take.
pub(crate) const LONGEST_REQUEST: usize = 64 << 10;
/// The longest line of an answer.
pub(crate) const LONGEST_ANSWER: usize = 16 << 20;

/// What the app sends first. Nothing of it may change in a later version: an older program reads it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Greeting {
    /// The newest version that the app speaks.
    pub(crate) oubliette_control: u32,
    /// The oldest one.
    pub(crate) oldest: u32,
}

impl Greeting {
    pub(crate) const OWN: Self = Self { oubliette_control: VERSION, oldest: VERSION };

    /// # Errors
    /// `UNSUPPORTED_VERSION`, with what to upgrade.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let upgrade = match (self.oldest <= VERSION, VERSION <= self.oubliette_control) {
            (true, true) => return Ok(()),
            (false, _) => "upgrade the program",
            (true, false) => "upgrade the app",
        };
        Err(Fault::new(
            kind::UNSUPPORTED_VERSION,
            format!(
                "the app speaks the versions {} to {} of the control protocol, and this program {}: \
                 {upgrade}. Nothing was done",
                self.oldest, self.oubliette_control, VERSION
            ),
        ))
    }
}

/// The program's line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    pub(crate) version: u32,
    pub(crate) request: Request,
}

impl Asked {
    /// The request of a line.
    ///
    /// # Errors
    /// `UNSUPPORTED_VERSION`, `MALFORMED`. Neither repeats anything of the line.
    pub(crate) fn parse(line: &[u8]) -> Result<Request, Fault> {
        // The version first: the rest of a line of another version may look otherwise.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let malformed =
            |_| Fault::new(kind::MALFORMED, "what was sent is no request. Nothing was done");
        let Versioned { version } = serde_json::from_slice(line).map_err(malformed)?;
        if version != VERSION {
            let message = format!(
                "a request of version {version} of the control protocol, of which this app speaks \
                 {VERSION}: use the program of the app's release. Nothing was done"
            );
            return Err(Fault::new(kind::UNSUPPORTED_VERSION, message));
        }
        Ok(serde_json::from_slice::<Self>(line).map_err(malformed)?.request)
    }
}

/// A line of the app's.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    Part(Part),
    /// The app is at work on it, for this many seconds.
    Working(u64),
    Answer(Answer),
    Fault(Fault),
}

/// Writes one line.
pub(crate) fn send(to: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    // In one piece, so that no half of it is sent if it cannot be made.
    let mut text = serde_json::to_vec(line).map_err(io::Error::other)?;
    text.push(b'\n');
    to.write_all(&text)?;
    to.flush()
}

/// Lines that are read as they come.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    from: R,
    longest: usize,
    read: Vec<u8>,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(from: R, longest: usize) -> Self {
        Self { from, longest, read: Vec::new() }
    }

    /// Whether nothing was read behind the last line.
    pub(crate) fn is_empty(&self) -> bool {
        self.read.is_empty()
    }

    /// The reader, to set it up for the next read.
    pub(crate) fn reader(&mut self) -> &mut R {
        &mut self.from
    }

    /// One read of the stream, and the line that it completes, without its end.
    ///
    /// # Errors
    /// `InvalidData` for a line that is too long, `UnexpectedEof` if the stream ends before one.
    pub(crate) fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some(line) = self.take_line() {
            return Ok(Some(line));
        }
        let mut buffer = [0; 8192];
        match self.from.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => self.read.extend_from_slice(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        let line = self.take_line();
        let length = line.as_ref().map_or(self.read.len(), Vec::len);
        if length > self.longest {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the line is too long"));
        }
        Ok(line)
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let end = self.read.iter().position(|byte| *byte == b'\n')?;
        let rest = self.read.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.read, rest);
        line.pop();
        Some(line)
    }
}

/// What a line says; a fault in its place is one.
pub(crate) fn parse<T: DeserializeOwned>(line: &[u8]) -> io::Result<T> {
    serde_json::from_slice(line).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may")]

    use super::*;

    #[test]
    fn versions_that_do_not_meet_are_told_apart() {
        let greet = |oldest, newest| Greeting { oubliette_control: newest, oldest }.check();
        assert!(greet(VERSION, VERSION).is_ok() && greet(0, VERSION + 5).is_ok());
        let older = greet(VERSION + 1, VERSION + 2).unwrap_err();
        assert!(older.message.contains("upgrade the program"), "{older}");
        assert!(greet(0, 0).unwrap_err().message.contains("upgrade the app"));

        let asked = |line: &str| Asked::parse(line.as_bytes()).map_err(|fault| fault.kind);
        assert_eq!(asked(r#"{"version":1,"request":{"verb":"stats"}}"#), Ok(Request::stats()));
        // Whatever a later version looks like.
        let later = asked(r#"{"version":2,"do":["needle"]}"#);
        assert_eq!(later, Err(kind::UNSUPPORTED_VERSION.into()));
        for line in [
            "",
            "{}",
            "[]",
            "\u{0}",
            r#"{"version":1}"#,
            r#"{"version":-1}"#,
            r#"{"version":1,"request":{"verb":"needle"}}"#,
            r#"{"version":1,"request":{"verb":"stats"},"as":"needle"}"#,
        ] {
            let fault = Asked::parse(line.as_bytes()).unwrap_err();
            assert!(fault.kind == kind::MALFORMED && !fault.message.contains("needle"), "{line}");
        }
    }

    /// A stream that gives what is left of each piece, one read at a time.
    struct Pieces(Vec<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            buffer[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    #[test]
    fn lines_come_in_any_pieces_and_end_somewhere() {
        let pieces = ["a", "b\nc", "\n\nde\nf"].map(|piece| piece.as_bytes().to_vec());
        let mut lines = Lines::new(Pieces(pieces.into()), 2);
        let mut all = Vec::new();
        let end = loop {
            match lines.read() {
                Ok(line) => all.extend(line.map(|line| String::from_utf8(line).unwrap())),
                Err(error) => break error.kind(),
            }
        };
        assert_eq!((all.join("|").as_str(), end), ("ab|c||de", io::ErrorKind::UnexpectedEof));
        for long in ["abc", "abc\n"] {
            let mut lines = Lines::new(Pieces(vec![long.into()]), 2);
            assert_eq!(lines.read().unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}
