//! One connection: a request is read, carried out, and answered.

use std::io;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::answer::{Answer, Fault, Part, kind};
use crate::door::Inside;
use crate::peer::Peer;
use crate::perform;
use crate::protocol::{Asked, Greeting, LONGEST_REQUEST, Line, Lines, send};
use crate::request::Request;
use crate::served::Served;

/// How often the other end hears that the app is at work: it takes a longer silence for an app that
/// does not answer any more.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Serves one connection to its end.
pub(crate) fn serve(inside: &Arc<Inside>, stream: UnixStream, peer: Peer, begun: Instant) {
    let (request, done) = match read(&stream, inside.limits.patience) {
        // Nobody asked for anything: an operator who has changed their mind, or a probe.
        Ok(None) => return,
        Ok(Some(request)) => {
            let done = answer(inside, &stream, &request);
            (Some(request), done)
        }
        Err(fault) => {
            let is_answered = send(&mut &stream, &Line::Fault(fault.clone())).is_ok();
            (None, (Err(fault), is_answered))
        }
    };
    let (outcome, is_answered) = done;
    let served = Served {
        verb: request.as_ref().map(Request::verb),
        outcome: outcome.err().map_or_else(|| "done".into(), |fault| fault.kind),
        uid: peer.uid,
        pid: peer.pid,
        is_answered,
        took: begun.elapsed(),
    };
    served.tell(inside.limits.hook.as_ref());
}

/// Greets, and reads the request, all of it in time; `None` if the other end hangs up
/// before it has sent anything.
fn read(stream: &UnixStream, patience: Duration) -> Result<Option<Request>, Fault> {
    let begun = Instant::now();
    let broken = |error: io::Error| {
        let why = match error.kind() {
            io::ErrorKind::UnexpectedEof => "the request is not whole",
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "the request did not arrive",
            io::ErrorKind::InvalidData => "the request is too long",
            _ => "the request could not be read",
        };
        Fault::new(kind::MALFORMED, format!("{why}. Nothing was done"))
    };
    let greeted = stream
        .set_nonblocking(false)
        .and_then(|()| stream.set_write_timeout(Some(patience)))
        .and_then(|()| send(&mut &*stream, &Greeting::OWN));
    if greeted.is_err() {
        return Ok(None);
    }
    let mut lines = Lines::new(stream, LONGEST_REQUEST);
    loop {
        let left = patience.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Err(broken(io::ErrorKind::TimedOut.into()));
        }
        stream.set_read_timeout(Some(left)).map_err(broken)?;
        match lines.read() {
            Ok(Some(line)) => return Asked::parse(&line).map(Some),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && lines.is_empty() => {
                return Ok(None);
            }
            Err(error) => return Err(broken(error)),
        }
    }
}

/// Carries it out and answers. Also says whether the answer could be sent.
fn answer(
    inside: &Arc<Inside>,
    stream: &UnixStream,
    request: &Request,
) -> (Result<Answer, Fault>, bool) {
    let speaker = Speaker::new(stream);
    let outcome = thread::scope(|scope| {
        // If no thread can be had, there are no signs of life, and the work is done all the same.
        let beating = thread::Builder::new()
            .name("oubliette-control-alive".into())
            .spawn_scoped(scope, || speaker.beat());
        let outcome = carry_out(inside, request, &mut |part| speaker.say(&Line::Part(part)));
        speaker.end();
        drop(beating);
        outcome
    });
    let line = match &outcome {
        Ok(answer) => Line::Answer(answer.clone()),
        Err(fault) => Line::Fault(fault.clone()),
    };
    (outcome, speaker.say(&line).is_continue())
}

fn carry_out(
    inside: &Arc<Inside>,
    request: &Request,
    told: &mut dyn FnMut(Part) -> ControlFlow<()>,
) -> Result<Answer, Fault> {
    let place = match (request, &inside.limits.backups) {
        (Request::Backup { path }, Some(backups)) => Some(backups.place(path)?),
        (Request::Backup { .. }, None) => {
            let message = "the app allows no backups over its control socket \
                           (ControlSocketBuilder::backups_below). Nothing was done";
            return Err(Fault::new(kind::NOT_ALLOWED, message));
        }
        _ => None,
    };
    let (store, _work) = inside.enter(request.is_long())?;
    match place {
        // The place that was checked, and not the path that was sent.
        Some(place) => perform::backup(&store, &place),
        None => request.perform(&store, told),
    }
}

/// Writes lines to the other end, until that is gone.
struct Speaker<'a> {
    state: Mutex<Speech<'a>>,
    changed: Condvar,
}

struct Speech<'a> {
    stream: &'a UnixStream,
    /// A line could not be written whole: nothing behind it would be understood.
    is_broken: bool,
    is_over: bool,
}

impl<'a> Speaker<'a> {
    fn new(stream: &'a UnixStream) -> Self {
        let state = Speech { stream, is_broken: false, is_over: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Speech<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says a line, and whether the other end still listens.
    fn say(&self, line: &Line) -> ControlFlow<()> {
        self.lock().say(line)
    }

    /// Says that the app is at work, until that is over.
    fn beat(&self) {
        let begun = Instant::now();
        let mut state = self.lock();
        while !state.is_over {
            let (next, waited) = self
                .changed
                .wait_timeout(state, SIGN_OF_LIFE)
                .unwrap_or_else(PoisonError::into_inner);
            state = next;
            if waited.timed_out() && !state.is_over {
                let _ = state.say(&Line::Working(begun.elapsed().as_secs()));
            }
        }
    }

    fn end(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }
}

impl Speech<'_> {
    fn say(&mut self, line: &Line) -> ControlFlow<()> {
        self.is_broken = self.is_broken || send(&mut &*self.stream, line).is_err();
        if self.is_broken { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
