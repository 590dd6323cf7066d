//! What must be true of every read, from what the processes have written down.
//!
//! A verb lies between its two lines, or between its first and its process's death. Of two verbs one
//! is certainly before the other only if it ended before the other began.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::log::{Id, Line, Outcome, Verb, Whom};
use super::worker::covers;

/// By the clock of all processes.
type Time = u64;

/// All that is known of the store.
#[derive(Default)]
pub(crate) struct Oracle {
    sign_ins: HashMap<Id, SignedIn>,
    /// Into which sign-ins. (Apart: a put may be heard of before its sign-in, from another log.)
    puts: HashMap<Id, Vec<Put>>,
    by_account: BTreeMap<u32, Vec<Id>>,
    sign_outs: Vec<SignedOut>,
    /// Those that have begun and not ended, of each process.
    open: HashMap<Id, (usize, Verb, Time)>,
    reads: Vec<Read>,
    /// Sign-ins that were found to be over.
    over: HashSet<Id>,
    pub(crate) totals: Totals,
}

struct SignedIn {
    account: u32,
    session: Option<u32>,
    began: Time,
    /// It cannot come to be later than this.
    ended: Option<Time>,
    was_refused: bool,
    /// It was there at this time at the latest.
    there_by: Option<Time>,
    /// It is over since this time at the latest, or has never been.
    gone_by: Option<Time>,
}

struct Put {
    id: Id,
    began: Time,
    ended: Option<Time>,
    is_acknowledged: bool,
    was_refused: bool,
}

struct SignedOut {
    id: Id,
    whom: Whom,
    began: Time,
    ended: Option<Time>,
    is_acknowledged: bool,
}

struct Read {
    account: u32,
    began: Time,
    ended: Time,
    seen: Vec<(Id, Option<Id>)>,
}

/// How much there was to check.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) reads: u64,
    pub(crate) must_live: u64,
    pub(crate) must_be_gone: u64,
    pub(crate) sign_outs: u64,
    pub(crate) puts: u64,
    pub(crate) died_in_a_verb: u64,
    pub(crate) unacknowledged_found: u64,
}

impl Oracle {
    /// Takes in what process `process` has written down.
    pub(crate) fn hear(&mut self, process: usize, lines: Vec<Line>) -> Result<(), String> {
        for line in lines {
            match line {
                Line::Wrong(text) => return Err(text),
                Line::Begin(id, at, verb) => self.begin(process, id, at, verb),
                Line::End(id, at, outcome) => self.end(id, at, outcome),
            }
        }
        Ok(())
    }

    fn begin(&mut self, process: usize, id: Id, at: Time, verb: Verb) {
        match &verb {
            Verb::SignIn { account, session } => {
                self.by_account.entry(*account).or_default().push(id);
                let new = SignedIn {
                    account: *account,
                    session: *session,
                    began: at,
                    ended: None,
                    was_refused: false,
                    there_by: None,
                    gone_by: None,
                };
                self.sign_ins.insert(id, new);
            }
            Verb::Put { into } => {
                let (is_acknowledged, was_refused) = (false, false);
                let put = Put { id, began: at, ended: None, is_acknowledged, was_refused };
                self.puts.entry(*into).or_default().push(put);
            }
            Verb::SignOut(whom) => {
                let (whom, is_acknowledged) = (*whom, false);
                self.sign_outs.push(SignedOut {
                    id,
                    whom,
                    began: at,
                    ended: None,
                    is_acknowledged,
                });
            }
            Verb::Read { .. } | Verb::Ask { .. } => {}
        }
        self.open.insert(id, (process, verb, at));
    }

    fn end(&mut self, id: Id, at: Time, outcome: Outcome) {
        let Some((_, verb, began)) = self.open.remove(&id) else { return };
        let (is_done, was_refused) = (outcome == Outcome::Done, outcome == Outcome::Refused);
        match verb {
            Verb::SignIn { .. } => {
                if let Some(one) = self.sign_ins.get_mut(&id) {
                    (one.ended, one.was_refused) = (Some(at), was_refused);
                    one.there_by = is_done.then_some(at);
                }
            }
            Verb::Put { into } => {
                if let Some(put) = self.put(into, id) {
                    (put.ended, put.is_acknowledged, put.was_refused) =
                        (Some(at), is_done, was_refused);
                    self.totals.puts += u64::from(is_done);
                }
            }
            Verb::SignOut(_) => {
                if let Some(one) = self.sign_outs.iter_mut().rfind(|one| one.id == id) {
                    (one.ended, one.is_acknowledged) = (Some(at), is_done);
                    self.totals.sign_outs += u64::from(is_done);
                }
            }
            Verb::Read { account } => {
                if let Outcome::Saw(seen) = outcome {
                    self.reads.push(Read { account, began, ended: at, seen });
                }
            }
            Verb::Ask { .. } => {}
        }
    }

    /// The process is dead at this time. What it had begun has happened by now, or never will.
    pub(crate) fn died(&mut self, process: usize, at: Time) {
        let its: Vec<Id> =
            self.open.iter().filter(|(_, open)| open.0 == process).map(|(id, _)| *id).collect();
        for id in its {
            let Some((_, verb, _)) = self.open.remove(&id) else { continue };
            match verb {
                Verb::SignIn { .. } => {
                    self.sign_ins.get_mut(&id).into_iter().for_each(|one| one.ended = Some(at));
                }
                Verb::Put { into } => {
                    self.put(into, id).into_iter().for_each(|put| put.ended = Some(at));
                }
                Verb::SignOut(_) => {
                    let one = self.sign_outs.iter_mut().rfind(|one| one.id == id);
                    one.into_iter().for_each(|one| one.ended = Some(at));
                }
                Verb::Read { .. } | Verb::Ask { .. } => continue,
            }
            self.totals.died_in_a_verb += 1;
        }
    }

    fn put(&mut self, into: Id, id: Id) -> Option<&mut Put> {
        self.puts.get_mut(&into)?.iter_mut().rfind(|put| put.id == id)
    }

    /// How many reads have ended that were not judged yet.
    pub(crate) fn waiting(&self) -> usize {
        self.reads.len()
    }

    /// Holds so many of the reads that have ended against what was written down. All logs were read
    /// once more since: what a read may have seen was written down before it ended.
    pub(crate) fn judge(&mut self, count: usize) -> Result<(), String> {
        let reads: Vec<Read> = self.reads.drain(..count).collect();
        for read in &reads {
            for id in self.by_account.get(&read.account).into_iter().flatten() {
                let Some(one) = self.sign_ins.get_mut(id) else { continue };
                if read.seen.iter().any(|seen| seen.0 == *id) {
                    if one.there_by.is_none() && one.ended.is_some_and(|ended| ended < read.began) {
                        self.totals.unacknowledged_found += 1;
                    }
                    one.there_by = Some(one.there_by.map_or(read.ended, |by| by.min(read.ended)));
                } else if one.ended.is_some_and(|ended| ended < read.began) {
                    one.gone_by = Some(one.gone_by.map_or(read.ended, |by| by.min(read.ended)));
                }
            }
        }
        for read in &reads {
            self.judge_one(read)?;
        }
        self.totals.reads += reads.len() as u64;
        Ok(())
    }

    fn judge_one(&mut self, read: &Read) -> Result<(), String> {
        for (id, put) in &read.seen {
            if self.over.contains(id) {
                return Err(format!("{id} is back, which was found to be over"));
            }
            let Some(one) = self.sign_ins.get(id) else { return Err(format!("{id} is unknown")) };
            self.may_live(*id, one, read)?;
            let puts = self.puts.get(id).map_or(&[][..], |puts| puts);
            may_have(puts, *id, *put, read)?;
        }
        for id in self.by_account.get(&read.account).into_iter().flatten() {
            let Some(one) = self.sign_ins.get(id) else { continue };
            if read.seen.iter().any(|seen| seen.0 == *id) {
                self.totals.must_live += 1;
                continue;
            }
            if one.gone_by.is_some_and(|by| by < read.began) {
                continue;
            }
            let was_there = one.there_by.is_some_and(|by| by < read.began);
            let ended = |out: &SignedOut| {
                out.is_acknowledged
                    && covers(out.whom, one.account, one.session).0
                    && one.there_by.is_some_and(|by| by < out.began)
                    && out.ended.is_some_and(|ended| ended < read.began)
            };
            self.totals.must_be_gone += u64::from(self.sign_outs.iter().any(ended));
            let may_be_over = |out: &SignedOut| {
                covers(out.whom, one.account, one.session).1
                    && out.began < read.ended
                    && out.ended.is_none_or(|ended| ended > one.began)
            };
            if was_there && !self.sign_outs.iter().any(may_be_over) {
                return Err(format!(
                    "{id} of account {} is lost: it was there by {:?}, and nobody has signed it \
                     out by {}",
                    read.account, one.there_by, read.ended
                ));
            }
        }
        Ok(())
    }

    fn may_live(&self, id: Id, one: &SignedIn, read: &Read) -> Result<(), String> {
        if one.was_refused || one.account != read.account || one.began > read.ended {
            return Err(format!("{id} is there, and cannot be"));
        }
        if one.gone_by.is_some_and(|by| by < read.began) {
            return Err(format!("{id} is back: it was gone by {:?}", one.gone_by));
        }
        let undone = self.sign_outs.iter().find(|out| {
            out.is_acknowledged
                && covers(out.whom, one.account, one.session).0
                && one.there_by.is_some_and(|by| by < out.began)
                && out.ended.is_some_and(|ended| ended < read.began)
        });
        match undone {
            Some(out) => Err(format!(
                "{id} of account {} is read at {}, and was signed out by {} ({:?}), acknowledged \
                 at {:?}",
                one.account, read.began, out.id, out.whom, out.ended
            )),
            None => Ok(()),
        }
    }

    /// Nobody lives, and all was read: what is there is all that is known from here on.
    pub(crate) fn settle(&mut self, latest: &BTreeMap<u32, Vec<(Id, Option<Id>)>>) {
        let there: HashMap<Id, Option<Id>> = latest.values().flatten().copied().collect();
        let all = self.sign_ins.keys().copied().filter(|id| !there.contains_key(id));
        self.over.extend(all);
        self.sign_ins.retain(|id, _| there.contains_key(id));
        self.puts.retain(|into, puts| {
            puts.retain(|put| there.get(into) == Some(&Some(put.id)));
            !puts.is_empty()
        });
        for ids in self.by_account.values_mut() {
            ids.retain(|id| there.contains_key(id));
        }
        self.sign_outs.clear();
        self.open.clear();
    }

    /// What the last read of each account saw.
    pub(crate) fn latest(&self) -> BTreeMap<u32, Vec<(Id, Option<Id>)>> {
        let mut latest: BTreeMap<u32, &Read> = BTreeMap::new();
        for read in &self.reads {
            let last = latest.entry(read.account).or_insert(read);
            if read.ended >= last.ended {
                *last = read;
            }
        }
        latest.into_iter().map(|(account, read)| (account, read.seen.clone())).collect()
    }
}

/// Whether the read may have found the token of this put, or none.
fn may_have(puts: &[Put], id: Id, found: Option<Id>, read: &Read) -> Result<(), String> {
    let before = |put: &&Put| put.is_acknowledged && put.ended.is_some_and(|end| end < read.began);
    let Some(found) = found else {
        return match puts.iter().find(before) {
            Some(put) => Err(format!("{id} has lost the token of put {}", put.id)),
            None => Ok(()),
        };
    };
    let Some(own) = puts.iter().find(|put| put.id == found) else {
        return Err(format!("{id} has a token of {found}, which is unknown"));
    };
    if own.was_refused || own.began > read.ended {
        return Err(format!("{id} has a token of {found}, which was never stored"));
    }
    let newer = |put: &&Put| own.ended.is_some_and(|ended| ended < put.began);
    match puts.iter().filter(newer).find(before) {
        Some(put) => Err(format!("{id} has the token of {found}, and {} is lost", put.id)),
        None => Ok(()),
    }
}
