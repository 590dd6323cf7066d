//! The thread that takes connections: from whom, and how many.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use oubliette::TokenStore;

use crate::answer::{Fault, kind};
use crate::connection;
use crate::peer::Peer;
use crate::place::Bound;
use crate::protocol::{Line, send};
use crate::served::Refused;
use crate::socket::Limits;

/// How many connections are served at a time. Those beyond are told that the app is busy.
const MOST: usize = 8;

/// How many milliseconds nothing is taken after an error of `accept`, such as too many open files.
const PAUSE: u16 = 100;

/// The socket with its thread. Dropping it closes the socket, and waits for nobody.
pub(crate) struct Door {
    inside: Arc<Inside>,
    /// Shut to wake the thread.
    wake: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
    pid: u32,
}

/// What connections share.
pub(crate) struct Inside {
    pub(crate) limits: Limits,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// `None` once the socket is closed.
    store: Option<TokenStore>,
    connections: usize,
    is_long_at_work: bool,
}

impl Door {
    pub(crate) fn open(
        store: TokenStore,
        of: &Path,
        elsewhere: Option<&Path>,
        limits: Limits,
    ) -> io::Result<Self> {
        let bound = Bound::at(of, elsewhere)?;
        let (wake, woken) = UnixStream::pair()?;
        let state = State { store: Some(store), connections: 0, is_long_at_work: false };
        let inside = Inside { limits, state: Mutex::new(state), changed: Condvar::new() };
        let inside = Arc::new(inside);
        let shared = inside.clone();
        let thread = thread::Builder::new()
            .name("oubliette-control".into())
            .spawn(move || take_connections(&shared, &bound, &woken))?;
        Ok(Self { inside, wake: Some(wake), thread: Some(thread), pid: std::process::id() })
    }

    /// Closes the socket, and waits until what was asked for is over.
    pub(crate) fn wait(mut self) {
        self.close();
        let mut state = self.inside.lock();
        while state.connections > 0 && self.pid == std::process::id() {
            state = self.inside.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&mut self) {
        if self.pid != std::process::id() {
            // A forked child: the thread, and its locks, are its parent's.
            return;
        }
        drop(self.inside.lock().store.take());
        if let Some(wake) = self.wake.take() {
            // A forked child may have a copy of it, so closing it would not do.
            let _ = wake.shutdown(std::net::Shutdown::Both);
        }
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // It ends at once: it waits for nothing but to be woken.
            let _ = thread.join();
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inside {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store, for one request.
    ///
    /// # Errors
    /// `closed` once the socket is closed; `BUSY` if another long request is at work.
    pub(crate) fn enter(self: &Arc<Self>, is_long: bool) -> Result<(TokenStore, Work), Fault> {
        let mut state = self.lock();
        let store = state.store.clone().ok_or_else(|| Fault::from(oubliette::Error::Closed))?;
        if is_long && state.is_long_at_work {
            let message = "the app is at work on another sweep, verification, backup or compaction \
                           for its operator: wait until that is over. Nothing was done";
            return Err(Fault::new(kind::BUSY, message));
        }
        state.is_long_at_work |= is_long;
        Ok((store, Work { inside: self.clone(), is_long }))
    }
}

/// A request is at work while this lives.
pub(crate) struct Work {
    inside: Arc<Inside>,
    is_long: bool,
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.is_long {
            self.inside.lock().is_long_at_work = false;
        }
    }
}

/// A connection is served while this lives.
struct Place(Arc<Inside>);

impl Place {
    /// `None` if there are as many as there may be.
    fn take(inside: &Arc<Inside>) -> Option<Self> {
        let mut state = inside.lock();
        let is_free = state.connections < MOST;
        state.connections += usize::from(is_free);
        is_free.then(|| Self(inside.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.lock().connections -= 1;
        self.0.changed.notify_all();
    }
}

fn take_connections(inside: &Arc<Inside>, bound: &Bound, woken: &UnixStream) {
    let mut refused = Refused::default();
    let mut is_pausing = false;
    loop {
        let mut all = [
            PollFd::new(woken.as_fd(), PollFlags::POLLIN),
            PollFd::new(bound.listener.as_fd(), PollFlags::POLLIN),
        ];
        let (watched, timeout) =
            if is_pausing { (1, PAUSE.into()) } else { (2, PollTimeout::NONE) };
        let polled = poll(all.get_mut(..watched).unwrap_or_default(), timeout);
        is_pausing = false;
        let is_woken = all.first().is_some_and(|woken| woken.any() != Some(false));
        if is_woken || inside.lock().store.is_none() {
            return;
        }
        if polled.is_err() {
            // A signal, or no memory: the next round may do better.
            is_pausing = true;
            continue;
        }
        match bound.listener.accept() {
            Ok((stream, _)) => admit(inside, stream, &mut refused),
            Err(error) => {
                let is_usual =
                    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
                is_pausing = !is_usual;
            }
        }
    }
}

/// Lets a connection in, or tells it why not. Nothing is read of who is not let in, and nothing
/// waits for them.
fn admit(inside: &Arc<Inside>, stream: UnixStream, refused: &mut Refused) {
    let begun = Instant::now();
    let peer = match Peer::of(&stream).and_then(Peer::check) {
        Ok(peer) => peer,
        Err(fault) => {
            refused.count(&fault);
            return turn_away(&stream, fault);
        }
    };
    let Some(place) = Place::take(inside) else {
        let fault =
            Fault::new(kind::BUSY, "the app serves other requests: try again. Nothing was done");
        refused.count(&fault);
        return turn_away(&stream, fault);
    };
    let inside = inside.clone();
    // If no thread can be started, the connection is closed: nothing was done.
    let _ = thread::Builder::new().name("oubliette-control-request".into()).spawn(move || {
        let _place = place;
        connection::serve(&inside, stream, peer, begun);
    });
}

/// Says why, if the peer's buffer takes that at once.
fn turn_away(stream: &UnixStream, fault: Fault) {
    let _ = stream.set_nonblocking(true).and_then(|()| send(&mut &*stream, &Line::Fault(fault)));
    let _ = (&mut &*stream).flush();
}
