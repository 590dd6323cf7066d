//! Recovers sled's log before sled sees it, so that sled has nothing to recover: see
//! [`replay`](super::replay).
//!
//! What was found is written down first (a *plan*), and only then is anything of the log written
//! over, so that dying in between changes nothing of the outcome: the next open carries the plan
//! out. It is the snapshot to be, under a name that says the rest.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use super::EngineError;
use super::handle::io_error;
use super::log::{Header, SEGMENT, SEGMENT_HEADER, SEGMENT_LSN};
use super::replay::{Fault, Replayed, Source, TRIPWIRE, Tip, headers, read_at, replay};
use super::snapshot::{PREFIX, Snapshot};
use crate::platform::disk::{private_file, sync_folder};

/// What the name of a plan begins with; behind it, with dots between: the snapshot's name that it
/// came from, the end's LSN, its segment.
const PLAN: &str = "recovered.";
/// A plan that is being written.
const DRAFT: &str = "recovering";
/// This stands in a plan's name where there is nothing to say.
const NOTHING: &str = "none";
/// What sled writes of itself at birth; a checksum is behind it.
const CONF: &[u8] = b"segment_size: 524288\nuse_compression: false\nversion: 0.34\n";
/// Up to here sled takes the file for one that was never written, and writes it.
const NO_CONF: u64 = 8;

/// What became of a recovery.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Recovered {
    /// The one snapshot that is there.
    pub(super) snapshot: String,
    /// Whether there was a damaged one; everything that it said was found in the log.
    pub(super) snapshot_was_damaged: bool,
}

/// The files of an engine that no process has open.
pub(super) struct Files<'a> {
    pub(super) folder: &'a Path,
    pub(super) log: &'a File,
}

impl Source for Files<'_> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.log.metadata()?.len())
    }

    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        read_at(self.log, at, buffer)
    }

    fn has_blob(&self, number: i64) -> io::Result<bool> {
        self.folder.join("blobs").join(number.to_string()).try_exists()
    }
}

/// Brings the snapshot to the log's end, and closes the segment that the log ends in. Until
/// everything was read, nothing is written.
pub(super) fn recover(folder: &Path, log: &File) -> Result<Recovered, Fault> {
    let files = Files { folder, log };
    recover_from(&files, &files)
}

/// As [`recover`]; what is read of the log is read from `source`.
pub(super) fn recover_from(files: &Files<'_>, source: &dyn Source) -> Result<Recovered, Fault> {
    check_conf(files.folder)?;
    let names = names(files.folder)?;
    let newest = names.iter().filter(|name| name.starts_with(PREFIX)).max();
    let from = newest.map_or(NOTHING, String::as_str);
    let base =
        newest.map(|name| read_snapshot(&files.folder.join(name), source.len()?)).transpose()?;
    let snapshot_was_damaged = base.as_ref().is_some_and(Option::is_none);
    let base = base.flatten();
    if let (Some(name), Some(base)) = (newest, &base)
        && base.name() != *name
    {
        return Err(Fault::Damaged("a snapshot bears another's name"));
    }
    let known = newest.and_then(|name| i64::from_str_radix(name.strip_prefix(PREFIX)?, 16).ok());
    let replayed = replay(source, base.unwrap_or_default());
    if let Some(snapshot) = resume(files, &names, from, &replayed)? {
        return Ok(Recovered { snapshot, snapshot_was_damaged });
    }
    let Some(Replayed { snapshot, tip }) = replayed? else {
        // (That there is a snapshot, `replay` has seen.)
        remove_others(files.folder, from)?;
        return Ok(Recovered { snapshot: from.into(), snapshot_was_damaged });
    };
    if snapshot_was_damaged && snapshot.stable < known {
        return Err(Fault::Damaged("a snapshot is damaged, and its log ends before it"));
    }
    // What was read may have been only in the page cache: the plan must not outlive what it points
    // to.
    files.log.sync_all()?;
    let plan = write_plan(files.folder, from, &snapshot, tip)?;
    carry_out(files, &plan, &snapshot, tip)
        .map(|snapshot| Recovered { snapshot, snapshot_was_damaged })
}

/// Carries out a plan that an earlier open has written down, if it is still good, and removes those
/// that are not. Gives the snapshot that the plan has become.
fn resume(
    files: &Files<'_>,
    names: &[String],
    from: &str,
    replayed: &Result<Option<Replayed>, Fault>,
) -> Result<Option<String>, Fault> {
    for plan in names.iter().filter(|name| name.starts_with(PLAN)) {
        let meant = parse_plan(plan).filter(|(base, _)| *base == from);
        let snapshot = Snapshot::read(&fs::read(files.folder.join(plan))?);
        // Carrying it out only shortens the log: where that goes on behind the plan's end, another
        // process has written there since. (Where it was begun, the log may not be one that can be
        // read any more.)
        let end = replayed
            .as_ref()
            .ok()
            .and_then(Option::as_ref)
            .and_then(|replayed| Some(replayed.tip?.lsn));
        if let (Some((_, tip)), Some(snapshot)) = (meant, snapshot)
            && end.is_none_or(|end| end <= tip.map_or(snapshot.stable.unwrap_or(0), |tip| tip.lsn))
        {
            return carry_out(files, plan, &snapshot, tip).map(Some);
        }
        // Another process has recovered the log since, in another way.
        fs::remove_file(files.folder.join(plan))?;
    }
    Ok(None)
}

/// Keeps sled from recovering a log whose snapshot it does not see.
///
/// sled passes over names that the system fails to list, takes a log without its snapshot for one
/// that never had any, and reads it by its own rules, in place. But it refuses, before it writes,
/// where two segments claim to be one: so a free one is made to claim that it is one of those which
/// the snapshot stands for. A process that sees the snapshot looks at neither, and zeroes what is
/// free.
pub(super) fn set_tripwire(folder: &Path, snapshot: &str, mut log: &File) -> Result<(), Fault> {
    let files = Files { folder, log };
    let found = headers(&files, 0)?;
    let snapshot = read_snapshot(&folder.join(snapshot), files.len()?)?;
    let snapshot = snapshot
        .ok_or_else(|| io::Error::other("the snapshot was another when it was read again"))?;
    let used: BTreeSet<u64> = snapshot.offsets().map(|offset| offset / SEGMENT).collect();
    let of_used = |(_, (offset, _)): &(&i64, &(u64, i64))| used.contains(&(offset / SEGMENT));
    let Some((lsn, _)) = found.iter().rev().find(of_used) else { return Ok(()) };
    // Where none is free, one is appended, as sled would do.
    let free = (0..).find(|number| !used.contains(number)).unwrap_or(0);
    let (at, len) = (free * SEGMENT, files.len()?);
    let mut segment = Header { lsn: *lsn, stable: TRIPWIRE }.write().to_vec();
    if at + SEGMENT > len {
        // sled zeroes all of it. A full disk must not keep a store from opening: then there is no
        // tripwire.
        segment.resize(SEGMENT as usize, 0);
    }
    log.seek(SeekFrom::Start(at))?;
    match log.write_all(&segment) {
        Err(error) => match io_error(error) {
            EngineError::Full => Ok(log.set_len(len)?),
            EngineError::Io(error) => Err(error.into()),
            EngineError::Panicked => Ok(()),
        },
        Ok(()) => Ok(()),
    }
}

/// Whether this snapshot is the only one, as a fresh look at the folder has it.
pub(super) fn is_alone(folder: &Path, snapshot: &str) -> io::Result<bool> {
    let mut snapshots = names(folder)?;
    snapshots.retain(|name| name.starts_with(PREFIX));
    Ok(snapshots == [snapshot])
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

/// Checks the configuration: sled believes all that stands there.
fn check_conf(folder: &Path) -> Result<(), Fault> {
    let path = folder.join("conf");
    let len = match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?.len(),
    };
    if len <= NO_CONF {
        return Ok(());
    }
    let is_sound = len == CONF.len() as u64 + 4 && fs::read(path)?.starts_with(CONF);
    if is_sound {
        Ok(())
    } else {
        Err(Fault::Damaged("its configuration is not as it was written"))
    }
}

/// `None` if it is damaged.
fn read_snapshot(path: &Path, log: u64) -> io::Result<Option<Snapshot>> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    // A page's entry takes no more than a few times what the page itself takes in the log.
    if len > log.saturating_mul(4).saturating_add(1 << 20) {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let read = read_at(&file, 0, &mut bytes)?;
    bytes.truncate(read);
    Ok(Snapshot::read(&bytes))
}

pub(super) fn write_plan(
    folder: &Path,
    from: &str,
    snapshot: &Snapshot,
    tip: Option<Tip>,
) -> Result<String, Fault> {
    let bytes = snapshot.write().ok_or(Fault::Damaged("a page cannot be written down"))?;
    let tip = tip.map_or_else(
        || format!("{NOTHING}.{NOTHING}"),
        |tip| format!("{:X}.{:X}", tip.lsn, tip.segment),
    );
    let (draft, plan) = (folder.join(DRAFT), format!("{PLAN}{from}.{tip}"));
    let mut file = private_file().create(true).truncate(true).open(&draft)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&draft, folder.join(&plan))?;
    sync_folder(folder)?;
    Ok(plan)
}

/// The snapshot's name that a plan came from, and the log's end.
fn parse_plan(name: &str) -> Option<(&str, Option<Tip>)> {
    let (rest, segment) = name.strip_prefix(PLAN)?.rsplit_once('.')?;
    let (from, lsn) = rest.rsplit_once('.')?;
    if (lsn, segment) == (NOTHING, NOTHING) {
        return Some((from, None));
    }
    let tip = Tip {
        lsn: i64::from_str_radix(lsn, 16).ok()?,
        segment: u64::from_str_radix(segment, 16).ok()?,
    };
    Some((from, Some(tip)))
}

/// Ends what was begun behind the log's end, and makes the plan the snapshot. However often this is
/// begun, the outcome is the same.
fn carry_out(
    files: &Files<'_>,
    plan: &str,
    snapshot: &Snapshot,
    tip: Option<Tip>,
) -> Result<String, Fault> {
    let border = snapshot.stable.unwrap_or(0);
    let torn = headers(files, border)?;
    let mut log = files.log;
    let mut write =
        |at: u64, bytes: &[u8]| log.seek(SeekFrom::Start(at)).and_then(|_| log.write_all(bytes));
    if let Some(tip) = tip
        && let Ok(progress) = u64::try_from(tip.lsn % SEGMENT_LSN)
        && progress > 0
        && let Ok(space) = usize::try_from(SEGMENT - progress)
    {
        // Half a batch may be there, which would count in time if the log were read without its
        // snapshot.
        write(tip.segment + progress, &vec![0; space])?;
    }
    // Nothing of these counts, and no other segment may be taken for one of them. (sled zeroes the
    // rest.)
    torn.values().try_for_each(|(offset, _)| write(*offset, &[0; SEGMENT_HEADER]))?;
    files.log.sync_all()?;
    let name = snapshot.name();
    fs::rename(files.folder.join(plan), files.folder.join(&name))?;
    sync_folder(files.folder)?;
    remove_others(files.folder, &name)?;
    Ok(name)
}

/// Removes all snapshots but this one.
fn remove_others(folder: &Path, name: &str) -> io::Result<()> {
    let mut old = names(folder)?;
    old.retain(|old| old.starts_with(PREFIX) && old != name);
    if old.is_empty() {
        return Ok(());
    }
    old.iter().try_for_each(|old| fs::remove_file(folder.join(old)))?;
    sync_folder(folder)
}
