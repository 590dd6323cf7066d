//! Known-bad stores: each breaks one promise on purpose, and the bench must see it. `toy` breaks none, and the bench must see nothing.
//!
//! A toy keeps all its sign-ins in one small file that it writes anew at every change.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use super::cast::{put_of, text};
use super::{Orders, Went};
use crate::log::Op;

/// What a toy does wrong.
#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    Nothing,
    /// Says `Ok` before it has done it.
    Early,
    /// Writes the file in place.
    InPlace,
    /// Never syncs.
    NoSync,
    /// Syncs the file and not its folder.
    NoFolderSync,
    /// Takes a failed write or sync for a success.
    Deaf,
    /// Unwraps.
    Unwraps,
    /// Tries again for ever.
    Stubborn,
    /// Reads and writes once, and does not look how much that was.
    OneCall,
    /// Takes a file that it cannot read for an empty one.
    Empty,
    /// Takes what it finds for durable: where nothing is to be changed it writes nothing.
    Trusts,
    /// After a write that was interrupted it gives each sign-in the token of another.
    Mixes,
    /// Mends a file that was being written when the process died by writing in place, without care.
    Mends,
}

struct Toy {
    flaw: Flaw,
    path: PathBuf,
    /// The sign-ins, each with its account and its last put.
    live: BTreeMap<Op, (u64, Op)>,
}

pub fn run(orders: &Orders, verbs: &[String]) {
    let flaw = match orders.engine.as_str() {
        "toy" => Flaw::Nothing,
        "toy-early" => Flaw::Early,
        "toy-in-place" => Flaw::InPlace,
        "toy-no-sync" => Flaw::NoSync,
        "toy-no-folder-sync" => Flaw::NoFolderSync,
        "toy-deaf" => Flaw::Deaf,
        "toy-unwraps" => Flaw::Unwraps,
        "toy-stubborn" => Flaw::Stubborn,
        "toy-one-call" => Flaw::OneCall,
        "toy-empty" => Flaw::Empty,
        "toy-trusts" => Flaw::Trusts,
        "toy-mixes" => Flaw::Mixes,
        "toy-mends" => Flaw::Mends,
        other => panic!("there is no {other}"),
    };
    let folder = orders.home.join("tokens");
    let mut toy = Toy { flaw, path: folder.join("toy"), live: BTreeMap::new() };
    for verb in verbs {
        let went = match verb.as_str() {
            "open" | "create" => orders.verb(verb, "", |_| toy.open().map_err(failed)),
            "sign_in" => toy.change(orders, "in", "account=1 tokens=1", |live, op| _ = live.insert(op, (1, op))),
            "sign_in_2" => toy.change(orders, "in", "account=2 tokens=1", |live, op| _ = live.insert(op, (2, op))),
            "put" => {
                let Some(id) = toy.live.iter().find(|(_, (account, _))| *account == 1).map(|(id, _)| *id) else { continue };
                let put = |live: &mut BTreeMap<_, _>, op| _ = live.insert(id, (1, op));
                toy.change(orders, "put", &format!("of={id} slot=set durable=1"), put)
            }
            "out_account" => {
                toy.change(orders, "out", "scope=account number=1", |live, _| live.retain(|_, (account, _)| *account != 1))
            }
            "look" => orders.verb("look", "", |op| Ok(toy.look(orders, op))),
            _ => true,
        };
        if !went {
            return;
        }
    }
}

fn failed(error: io::Error) -> (String, String) {
    (if error.kind() == io::ErrorKind::InvalidData { "Damaged" } else { "Io" }.into(), format!("{error:?}"))
}

impl Toy {
    fn open(&mut self) -> io::Result<String> {
        let folder = self.path.parent().expect("a folder");
        if !folder.is_dir() {
            fs::create_dir(folder)?;
            File::open(folder.parent().expect("a folder"))?.sync_all()?;
        }
        if self.flaw == Flaw::Mends && self.path.with_extension("new").exists() {
            self.in_place(&fs::read(&self.path).unwrap_or_default())?;
            fs::remove_file(self.path.with_extension("new"))?;
        }
        let read = match self.read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            Err(_) if self.flaw == Flaw::Empty => Vec::new(),
            other => other?,
        };
        let bad = || io::Error::from(io::ErrorKind::InvalidData);
        for line in String::from_utf8(read).map_err(|_| bad())?.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [id, account, put] = words.as_slice() else { return Err(bad()) };
            let number = |text: &str| text.parse().map_err(|_| bad());
            self.live.insert(number(id)?, (number(account)?, put_of("access", put).ok_or_else(bad)?));
        }
        if self.flaw == Flaw::Mixes && self.path.with_extension("new").exists() {
            let mut puts: Vec<Op> = self.live.values().map(|(_, put)| *put).collect();
            puts.rotate_left(1);
            self.live.values_mut().zip(puts).for_each(|((_, put), other)| *put = other);
        }
        if self.flaw == Flaw::Empty {
            self.write()?;
        }
        Ok(String::new())
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        let mut bytes = Vec::new();
        if self.flaw == Flaw::OneCall {
            bytes.resize(1 << 16, 0);
            let len = file.read(&mut bytes)?;
            bytes.truncate(len);
            // What is behind the last whole line is not looked at.
            bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        } else {
            file.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }

    fn write(&self) -> io::Result<()> {
        let lines = self.live.iter().map(|(id, (account, put))| format!("{id} {account} {}\n", text("access", *put, 2500)));
        let bytes: String = lines.collect();
        if self.flaw == Flaw::InPlace {
            return self.in_place(bytes.as_bytes());
        }
        let next = self.path.with_extension("new");
        let mut file = File::create(&next)?;
        if self.flaw == Flaw::OneCall {
            file.write(bytes.as_bytes()).map(drop)?
        } else {
            file.write_all(bytes.as_bytes())?
        }
        if self.flaw != Flaw::NoSync {
            file.sync_all()?;
        }
        fs::rename(&next, &self.path)?;
        if matches!(self.flaw, Flaw::NoSync | Flaw::NoFolderSync) {
            return Ok(());
        }
        File::open(self.path.parent().expect("a folder"))?.sync_all()
    }

    fn in_place(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&self.path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn change(&mut self, orders: &Orders, verb: &str, args: &str, change: impl FnOnce(&mut BTreeMap<Op, (u64, Op)>, Op)) -> bool {
        if self.flaw == Flaw::Early {
            orders.verb(verb, args, |op| {
                change(&mut self.live, op);
                Ok(String::new())
            });
            return self.write().is_ok();
        }
        let before = self.live.clone();
        orders.verb(verb, args, |op| -> Went {
            change(&mut self.live, op);
            let is_done = self.flaw == Flaw::Trusts && self.live == before;
            let mut written = if is_done { Ok(()) } else { self.write() };
            while self.flaw == Flaw::Stubborn && written.is_err() {
                written = self.write();
            }
            match self.flaw {
                Flaw::Deaf => drop(written),
                Flaw::Unwraps => written.expect("the disk works"),
                _ => written.inspect_err(|_| self.live = before).map_err(failed)?,
            }
            Ok(String::new())
        })
    }

    fn look(&self, orders: &Orders, op: Op) -> String {
        orders.log.line(&format!("look {op}"));
        for (id, (account, put)) in &self.live {
            orders.log.line(&format!("see id={id} account={account} set={put}"));
        }
        orders.log.line(&format!("looked {op}"));
        String::new()
    }
}
