//! Power cuts, simulated: from the record of what was written, renamed and synced, the folders that a cut may leave.
//!
//! Nothing is durable but what was synced: a file's bytes by a sync of the file, its name by a sync of the folder. (`sync_file_range` syncs
//! nothing.) Of the rest any sector may have reached the disk and any not; of a folder's changes those up to any of them; and neither
//! waits for the other. That is less than most file systems give.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const SECTOR: u64 = 512;

type Inode = u64;

#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Cut(u64),
}

#[derive(Clone, Debug, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

/// A name that comes or goes; a rename is both at once.
#[derive(Clone, Debug)]
struct Naming {
    gone: Option<(Inode, String)>,
    come: Option<(Inode, String, Inode)>,
}

type Names = BTreeMap<Inode, BTreeMap<String, Inode>>;

/// What is recorded, and what is on the disk at this point of it.
#[derive(Clone)]
pub struct Disk {
    root: Inode,
    files: BTreeMap<Inode, File>,
    /// As the process sees them, and as they are on the disk.
    seen: Names,
    durable: Names,
    pending: Vec<Naming>,
}

/// One record of the shim.
pub struct Entry {
    kind: u8,
    inode: Inode,
    offset: u64,
    a: String,
    b: Vec<u8>,
}

impl Entry {
    /// What the worker was told there.
    pub fn acknowledged(&self) -> Option<String> {
        (self.kind == b'A').then(|| String::from_utf8_lossy(&self.b).into_owned())
    }

    pub fn name(&self) -> String {
        let what = match self.kind {
            b'C' => "create",
            b'T' => "cut",
            b'W' => "write",
            b'S' => "sync",
            b'M' => "mkdir",
            b'R' => "rename",
            b'U' => "unlink",
            b'D' => "rmdir",
            _ => "acknowledge",
        };
        format!("{what} {}", super::shim::plain(&self.a)).trim().into()
    }
}

pub fn read(path: &Path) -> Vec<Entry> {
    let bytes = fs::read(path).unwrap_or_default();
    let (mut rest, mut entries) = (bytes.as_slice(), Vec::new());
    while let Some((head, behind)) = rest.split_first_chunk::<32>() {
        let small = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().expect("four bytes")) as usize;
        let large = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        let (a, b) = (small(4), small(8));
        if behind.len() < a + b {
            break;
        }
        let text = String::from_utf8_lossy(&behind[..a]).into_owned();
        let kind = u8::try_from(small(0)).unwrap_or(0);
        entries.push(Entry { kind, inode: large(16), offset: large(24), a: text, b: behind[a..a + b].to_vec() });
        rest = &behind[a + b..];
    }
    entries
}

impl Disk {
    /// A folder as it is, all of it durable.
    pub fn of(folder: &Path) -> Self {
        let root = fs::metadata(folder).expect("the folder").ino();
        let (files, pending) = (BTreeMap::new(), Vec::new());
        let mut disk = Self { root, files, seen: Names::new(), durable: Names::new(), pending };
        disk.add(folder, root);
        disk.durable = disk.seen.clone();
        disk
    }

    fn add(&mut self, folder: &Path, inode: Inode) {
        self.seen.entry(inode).or_default();
        for entry in fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let (found, name) = (entry.metadata().expect("its inode"), entry.file_name().to_string_lossy().into_owned());
            self.seen.entry(inode).or_default().insert(name, found.ino());
            if found.is_dir() {
                self.add(&entry.path(), found.ino());
            } else {
                let durable = fs::read(entry.path()).expect("a file");
                self.files.insert(found.ino(), File { durable, pending: Vec::new() });
            }
        }
    }

    /// The folder and the name of a path.
    fn place(&self, path: &str) -> Option<(Inode, String)> {
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let name = parts.pop()?;
        let folder = parts.into_iter().try_fold(self.root, |folder, part| self.seen.get(&folder)?.get(part).copied())?;
        Some((folder, name.to_owned()))
    }

    /// What comes next happens.
    pub fn apply(&mut self, entry: &Entry) {
        match entry.kind {
            b'C' | b'M' => {
                if entry.kind == b'M' {
                    self.seen.insert(entry.inode, BTreeMap::new());
                } else {
                    self.files.insert(entry.inode, File::default());
                }
                if let Some((folder, name)) = self.place(&entry.a) {
                    self.rename(Naming { gone: None, come: Some((folder, name, entry.inode)) });
                }
            }
            b'W' => self.change(entry.inode, Change::Write { offset: entry.offset, bytes: entry.b.clone() }),
            b'T' => self.change(entry.inode, Change::Cut(entry.offset)),
            b'S' => self.sync(entry.inode),
            b'U' | b'D' => self.rename(Naming { gone: self.place(&entry.a), come: None }),
            b'R' => {
                let (from, to) = (self.place(&entry.a), self.place(&String::from_utf8_lossy(&entry.b)));
                let inode = from.as_ref().and_then(|(folder, name)| self.seen.get(folder)?.get(name).copied());
                if let (Some((folder, name)), Some(inode)) = (to, inode) {
                    self.rename(Naming { gone: from, come: Some((folder, name, inode)) });
                }
            }
            _ => {}
        }
    }

    fn change(&mut self, inode: Inode, change: Change) {
        if let Some(file) = self.files.get_mut(&inode) {
            file.pending.push(change);
        }
    }

    fn rename(&mut self, naming: Naming) {
        naming.apply(&mut self.seen);
        self.pending.push(naming);
    }

    fn sync(&mut self, inode: Inode) {
        if let Some(file) = self.files.get_mut(&inode) {
            file.durable = file.content(&mut |_| true);
            file.pending.clear();
        }
        let (now, later) = std::mem::take(&mut self.pending).into_iter().partition(|naming| naming.is_in(inode));
        self.pending = later;
        let now: Vec<Naming> = now;
        now.iter().for_each(|naming| naming.apply(&mut self.durable));
    }

    /// What a cut leaves here, for a number that decides what had reached the disk. The first four are the extremes.
    pub fn cut(&self, chance: u64, folder: &Path) {
        let mut state = chance.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut draw = move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        let mut names = self.durable.clone();
        // Each folder's changes up to one of them.
        let folders: BTreeSet<Inode> = self.pending.iter().flat_map(Naming::folders).collect();
        let mut left: BTreeMap<Inode, u64> = BTreeMap::new();
        for folder in folders {
            let count = self.pending.iter().filter(|naming| naming.is_in(folder)).count() as u64;
            let kept = match chance {
                0 | 2 => 0,
                1 | 3 => count,
                _ => draw() % (count + 1),
            };
            left.insert(folder, kept);
        }
        for naming in &self.pending {
            let may = naming.folders().all(|folder| left.get(&folder).is_some_and(|left| *left > 0));
            if may {
                naming.apply(&mut names);
            }
            for folder in naming.folders() {
                let left = left.entry(folder).or_default();
                // One of a folder that did not come stops all behind it there.
                *left = if may { left.saturating_sub(1) } else { 0 };
            }
        }
        fs::create_dir_all(folder).expect("a folder");
        self.lay_out(&names, self.root, folder, &mut |_| match chance {
            0 | 1 => false,
            2 | 3 => true,
            _ => draw() % 2 == 0,
        });
    }

    fn lay_out(&self, names: &Names, inode: Inode, folder: &Path, kept: &mut dyn FnMut(u64) -> bool) {
        for (name, inode) in names.get(&inode).into_iter().flatten() {
            let path = folder.join(name);
            match self.files.get(inode) {
                Some(file) if name.ends_with("-shm") => {
                    // SQLite maps this one into memory and syncs none of it: anything may have reached the disk.
                    let mut bytes = file.content(kept);
                    (0..).zip(&mut bytes).for_each(|(at, byte)| *byte = if kept(at) { 0xff } else { 0 });
                    fs::write(path, bytes).expect("a file");
                }
                Some(file) => fs::write(path, file.content(kept)).expect("a file"),
                None => {
                    fs::create_dir_all(&path).expect("a folder");
                    self.lay_out(names, *inode, &path, kept);
                }
            }
        }
    }
}

impl Naming {
    fn apply(&self, names: &mut Names) {
        if let Some((folder, name)) = &self.gone {
            names.entry(*folder).or_default().remove(name);
        }
        if let Some((folder, name, inode)) = &self.come {
            names.entry(*folder).or_default().insert(name.clone(), *inode);
        }
    }

    fn folders(&self) -> impl Iterator<Item = Inode> {
        let gone = self.gone.as_ref().map(|(folder, _)| *folder);
        let come = self.come.as_ref().map(|(folder, ..)| *folder).filter(|folder| Some(*folder) != gone);
        gone.into_iter().chain(come)
    }

    fn is_in(&self, inode: Inode) -> bool {
        self.folders().any(|folder| folder == inode)
    }
}

impl File {
    /// With those sectors of what is pending that are kept.
    fn content(&self, kept: &mut dyn FnMut(u64) -> bool) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for change in &self.pending {
            match change {
                Change::Cut(len) => {
                    if kept(*len) {
                        bytes.resize(usize::try_from(*len).expect("a length"), 0);
                    }
                }
                Change::Write { offset, bytes: written } => {
                    let end = offset + written.len() as u64;
                    let mut from = *offset;
                    while from < end {
                        let to = ((from / SECTOR + 1) * SECTOR).min(end);
                        if kept(from) {
                            let at = |place: u64| usize::try_from(place).expect("a length");
                            if bytes.len() < at(to) {
                                bytes.resize(at(to), 0);
                            }
                            bytes[at(from)..at(to)].copy_from_slice(&written[at(from - offset)..at(to - offset)]);
                        }
                        from = to;
                    }
                }
            }
        }
        bytes
    }
}
