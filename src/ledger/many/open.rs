//! Opening: whoever is the first recovers; whoever comes later reads what is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::format::LedgerKey;
use super::super::{Growth, Ledger};
use super::tail::{Next, Tail};
use super::turns::{BEGUN, CLEAN, FAILED, ROWS, STATE, late};
use super::{Many, PATIENCE};
use crate::crypto::LedgerRootKey;
use crate::model::error::{Component, Error, Result};
use crate::model::position::Position;
use crate::model::random_id::LedgerId;
use crate::platform::disk::{Disk as _, Folder};
use crate::platform::sync::atomic::{AtomicBool, AtomicU64};
use crate::platform::sync::{Condvar, Mutex, RwLock};
use crate::platform::turn::{Presence, Turn, Turnstile};

/// How long one waits for another that is going.
const AGAIN: Duration = Duration::from_millis(1);

/// A place among the processes that have a ledger open.
pub(crate) struct Among {
    name: String,
    folder: PathBuf,
    presence: Presence,
    /// Of two that open, the second finds that the first has recovered, or has gone.
    opening: Turn,
    is_first: bool,
}

impl Among {
    /// Finds out, under locks beside the ledger's file, whether any process has it open.
    ///
    /// # Errors
    /// `Busy` if another one opens it for long; `Io`.
    pub(crate) fn enter(folder: &Path, ledger_id: &LedgerId, at_most: Duration) -> Result<Self> {
        let name = Ledger::file_name(ledger_id);
        let beside = |suffix: &str| folder.join(format!("{name}.{suffix}"));
        let io = |error| Error::io("open the ledger's lock file")(error);
        let opening = Turnstile::open(&beside("opening")).map_err(io)?;
        let opening = opening.take(at_most.max(PATIENCE)).map_err(late)?;
        let presence = Presence::open(&beside("live")).map_err(io)?;
        // Whoever is there has recovered, or is about to go: the lock of one that was killed while it
        // recovered may be gone later than its other lock.
        let is_first = loop {
            if presence.try_alone().map_err(io)? {
                break true;
            }
            if presence.try_share().map_err(io)? {
                if presence.has_others() {
                    break false;
                }
                presence.leave();
            }
            std::thread::sleep(AGAIN);
        };
        Ok(Self { name, folder: folder.to_owned(), presence, opening, is_first })
    }

    /// Whether no other process has it open. None can open it before this one has.
    pub(crate) fn is_first(&self) -> bool {
        self.is_first
    }
}

impl Many {
    /// Opens the ledger; the first process recovers it.
    ///
    /// # Errors
    /// `Damaged` if the file is missing, or not as the ledger left it, or does not reach
    /// `checkpoint`; `AlreadyOpen` if the others have other rows; `Busy`, `Poisoned`, `Io`.
    pub(crate) fn open(
        among: Among,
        (ledger_id, key): (LedgerId, &LedgerRootKey),
        growth: Growth,
        checkpoint: Position,
        rows: [u8; 16],
    ) -> Result<Self> {
        // (The presence goes before the other, should this fail.)
        let Among { opening, name, folder, presence, is_first } = among;
        let io = |error| Error::io("open the ledger's lock file")(error);
        let disk = || Folder::create(&folder).map_err(Error::io("open the ledger's folder"));
        let turnstile = Turnstile::open(&folder.join(format!("{name}.turn"))).map_err(io)?;
        let tender = Presence::open(&folder.join(format!("{name}.tending"))).map_err(io)?;
        let turn = turnstile.take(PATIENCE).map_err(late)?;
        let left = turn.left(STATE).map_err(io)?;
        if left == FAILED && !is_first {
            return Err(Error::Poisoned(Component::Ledger));
        }
        disk()?.sync().map_err(Error::io("sync the ledger's folder"))?;
        let path = folder.join(&name);
        let found = Ledger::read(Box::new(disk()?), ledger_id, key, growth)?;
        if !found.reaches(checkpoint) {
            return Err(Error::damaged(
                Component::Ledger,
                "records are missing that the rows have seen: an older copy was put back",
            ));
        }
        if is_first || left != CLEAN {
            found.write_again()?;
        }
        let (end, mut fences) = found.into_known();
        if is_first {
            turn.leave_all(ROWS, &rows).map_err(io)?;
        } else if turn.left_all::<16>(ROWS).map_err(io)? != rows {
            // A copy of the store's folder, with the same ledger in a folder of its own.
            return Err(Error::AlreadyOpen { lock: Some(path), pid: None, in_this_process: false });
        }
        if is_first || turn.left(BEGUN).map_err(io)? == 0 {
            // As-ofs of before do not lie among the positions of from now on.
            fences.end_openings(end.next());
            turn.leave(BEGUN, 0).map_err(io)?;
        }
        turn.leave(STATE, CLEAN).map_err(io)?;
        let key = Arc::new(LedgerKey::new(key, &ledger_id));
        let tail = Tail::open(&path, &key, ledger_id)?;
        let (next, known_since) = (Next::behind(&tail, &key, end), tail.header.known_since);
        drop(turn);
        let many = Self {
            disk: Box::new(disk()?),
            folder,
            path,
            name,
            key,
            ledger_id,
            growth,
            turnstile,
            tender,
            tending: Mutex::default(),
            queue: Mutex::default(),
            changed: Condvar::new(),
            tail: Mutex::new(tail),
            next: RwLock::new(next),
            fences: RwLock::new(fences),
            end: AtomicU64::new(end.get()),
            synced: AtomicU64::new(if left == CLEAN || is_first { end.get() } else { 0 }),
            known_since: AtomicU64::new(known_since.get()),
            groups: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            begun: AtomicBool::new(false),
            presence,
        };
        if is_first {
            many.presence.try_share().map_err(io)?;
        }
        drop(opening);
        Ok(many)
    }
}
