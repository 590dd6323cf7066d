//! The program's side.

use std::ops::ControlFlow;
use std::path::Path;

use crate::answer::{Answer, Fault, Part};
use crate::request::Request;

/// A connection to the app that has a store open, good for one request.
#[derive(Debug)]
pub struct Client {
    #[cfg(unix)]
    lines: crate::protocol::Lines<std::os::unix::net::UnixStream>,
}

impl Client {
    /// Connects to the app that has the store in this folder open; `None` if no app listens there.
    /// The two sides greet each other before anything is sent.
    ///
    /// ```
    /// use oubliette_control::Client;
    ///
    /// let folder = tempfile::tempdir()?;
    /// assert!(Client::connect(folder.path())?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `unsupported_version`; `busy`; `not_allowed` if this user may not ask, or if what listens is
    /// not of the store's owner; `io`. Nothing was done.
    pub fn connect(folder: impl AsRef<Path>) -> Result<Option<Self>, Fault> {
        #[cfg(unix)]
        return unix::connect(folder.as_ref());
        #[cfg(not(unix))]
        {
            let _ = folder;
            Ok(None)
        }
    }

    /// Sends the request, and gives the answer. Parts are told as they come; if `told` breaks off,
    /// the connection is closed and the fault is `indeterminate`.
    ///
    /// # Errors
    /// A fault of the app's; `indeterminate` if the connection breaks before the answer, or if the
    /// app is silent for 15 seconds: then it was done, or not, or will be.
    pub fn ask(
        self,
        request: &Request,
        told: &mut dyn FnMut(Part) -> ControlFlow<()>,
    ) -> Result<Answer, Fault> {
        #[cfg(unix)]
        return unix::ask(self, request, told);
        #[cfg(not(unix))]
        {
            let _ = (request, told);
            Err(Fault::new(crate::answer::kind::NOT_ALLOWED, "there are no such sockets here"))
        }
    }
}

#[cfg(unix)]
mod unix {
    use std::io;
    use std::ops::ControlFlow;
    use std::path::Path;
    use std::time::Duration;

    use serde::Deserialize;

    use super::Client;
    use crate::answer::{Answer, Fault, Part, kind};
    use crate::peer::Peer;
    use crate::place;
    use crate::protocol::{Asked, Greeting, LONGEST_ANSWER, Line, Lines, VERSION, parse, send};
    use crate::request::Request;

    /// An app that is at work says so each second.
    const SILENCE: Duration = Duration::from_secs(15);

    /// What the app says first.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum First {
        Refused { fault: Fault },
        Greeting(Greeting),
    }

    pub(super) fn connect(folder: &Path) -> Result<Option<Client>, Fault> {
        let failed = |error: io::Error| {
            let message = format!("cannot use the app's control socket: {error}. Nothing was done");
            Fault::new("io", message)
        };
        let Some((stream, owner)) = place::connect(folder).map_err(failed)? else {
            return Ok(None);
        };
        Peer::of(&stream)?.check_owner(owner)?;
        stream.set_read_timeout(Some(SILENCE)).map_err(failed)?;
        stream.set_write_timeout(Some(SILENCE)).map_err(failed)?;
        let mut lines = Lines::new(stream, LONGEST_ANSWER);
        match next::<First, _>(&mut lines) {
            Ok(First::Greeting(greeting)) => greeting.check().map(|()| Some(Client { lines })),
            Ok(First::Refused { fault }) => Err(fault),
            // It was closed meanwhile: the app has ended.
            Err(error) if is_end(&error) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    pub(super) fn ask(
        client: Client,
        request: &Request,
        told: &mut dyn FnMut(Part) -> ControlFlow<()>,
    ) -> Result<Answer, Fault> {
        let unknown = |why: String| {
            let message = format!(
                "{why} before the app's answer to `{}`: it was done, or not, or will be. Look, and \
                 ask again",
                request.verb().replace('_', "-")
            );
            Fault::new(kind::INDETERMINATE, message)
        };
        let broken = |error: io::Error| {
            unknown(match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    format!("the app was silent for {} seconds", SILENCE.as_secs())
                }
                _ => "the connection broke".into(),
            })
        };
        let Client { mut lines } = client;
        let asked = Asked { version: VERSION, request: request.clone() };
        // An app that turns the request away may have hung up before it was sent whole. Then its
        // answer is still there to be read.
        let sent = send(lines.reader(), &asked);
        loop {
            match next(&mut lines) {
                Ok(Line::Part(part)) => {
                    if told(part).is_break() {
                        return Err(unknown("the program stopped reading".into()));
                    }
                }
                Ok(Line::Working(_)) => {}
                Ok(Line::Answer(answer)) => return Ok(answer),
                Ok(Line::Fault(fault)) => return Err(fault),
                Err(error) => return Err(broken(sent.err().unwrap_or(error))),
            }
        }
    }

    /// The next line, which has to come before the stream's time is over.
    fn next<T: serde::de::DeserializeOwned, R: io::Read>(lines: &mut Lines<R>) -> io::Result<T> {
        loop {
            if let Some(line) = lines.read()? {
                return parse(&line);
            }
        }
    }

    fn is_end(error: &io::Error) -> bool {
        matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
        )
    }
}
