//! What must be found at each look, from what was acknowledged before it.
//!
//! Every line of a case's log has a place in time. A verb lies between its two lines, or between its first and the end of its process.
//! Of two verbs one is certainly before the other only if its last line is before the other's first; else both orders are right. What a
//! look has found is certain from then on: whoever was there stays until signed out anew, and whoever was gone stays gone.

mod rules;

use std::collections::{BTreeMap, BTreeSet};

use crate::log::{Args, Ending, Line, Op, number};
use rules::is_loss;

/// A place in the log.
type Time = usize;

/// What is wrong with a case, by the column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    Lost,
    Revived,
    Wrong,
    Panic,
    Hang,
    /// Called damage, or refused, although nothing is damaged and nothing is in the way.
    Damaged,
    /// The bench itself went wrong: the case says nothing.
    Bench,
}

#[derive(Clone, Debug)]
pub struct Finding {
    pub column: Column,
    pub what: String,
}

struct SignIn {
    account: u64,
    day: u64,
    began: Time,
    /// When it was acknowledged, or seen.
    acknowledged: Option<Time>,
    finished: Time,
    gone_at: Option<Time>,
    puts: BTreeMap<String, Vec<Put>>,
}

#[derive(Clone)]
struct Put {
    op: Op,
    began: Time,
    acknowledged: bool,
    finished: Time,
    removes: bool,
}

struct SignOut {
    scope: String,
    number: u64,
    day: u64,
    began: Time,
    acknowledged: bool,
    finished: Time,
}

/// What takes the rows away, or puts older ones in their place.
struct Reset {
    began: Time,
    acknowledged: bool,
    finished: Time,
    /// Of a restore: when its backup began.
    backup: Option<Time>,
    /// Of a restore that was refused, and so changed nothing.
    refused: bool,
}

/// How a verb ended: when, and whether with `Ok`.
struct Told {
    at: Time,
    ok: bool,
    refused: bool,
}

/// Judges a case by its log.
pub fn judge(lines: &[Line]) -> Vec<Finding> {
    Judge::new(lines).judge()
}

struct Judge<'a> {
    lines: &'a [Line],
    told: BTreeMap<Op, Told>,
    /// Where each process ended, and whether by a power cut.
    ends: Vec<(Time, Ending)>,
    sign_ins: BTreeMap<Op, SignIn>,
    sign_outs: Vec<SignOut>,
    resets: Vec<Reset>,
    findings: Vec<Finding>,
}

impl<'a> Judge<'a> {
    fn new(lines: &'a [Line]) -> Self {
        let mut told = BTreeMap::new();
        let mut ends = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            match line {
                Line::Ok { op, .. } => drop(told.insert(*op, Told { at, ok: true, refused: false })),
                Line::Err { op, kind, .. } => {
                    // These say that nothing was changed.
                    let refused = ["InvalidInput", "Damaged-ledger", "Damaged-keyring"].contains(&kind.as_str());
                    told.insert(*op, Told { at, ok: false, refused });
                }
                Line::Panic { op, .. } => drop(told.insert(*op, Told { at, ok: false, refused: false })),
                Line::End(ending) => ends.push((at, *ending)),
                _ => {}
            }
        }
        Self { lines, told, ends, sign_ins: BTreeMap::new(), sign_outs: Vec::new(), resets: Vec::new(), findings: Vec::new() }
    }

    fn judge(mut self) -> Vec<Finding> {
        let lines = self.lines;
        let (mut faulty, mut day, mut seen) = (false, 0, Vec::new());
        let mut verbs: BTreeMap<Op, &str> = BTreeMap::new();
        for (at, line) in lines.iter().enumerate() {
            match line {
                Line::Phase { faulty: is, day: shown } => (faulty, day) = (*is, *shown),
                Line::Begin { op, verb, args } => {
                    verbs.insert(*op, verb);
                    self.begin(at, day, *op, verb, args);
                }
                Line::See(args) => seen.push(args),
                Line::Look(_) => seen.clear(),
                Line::Looked(_) if !faulty => self.look(at, day, &seen),
                Line::Looked(_) => self.glance(&seen),
                Line::Wrong { column, text } => self.find(column_of(column), text),
                Line::Panic { text, .. } => self.find(Column::Panic, text),
                Line::Err { op, kind, text } => {
                    let verb = verbs.get(op).copied().unwrap_or_default();
                    let is_read = faulty && is_failed_read(verb, text);
                    if !is_read && !self.may_fail(verb, kind, faulty, at) {
                        let when = if faulty { "under the fault" } else { "with no fault any more" };
                        self.find(Column::Damaged, &format!("{verb} {when}: {kind}: {text}"));
                    }
                }
                Line::End(Ending::Hung) => {
                    let last = verbs.iter().rev().find(|(op, _)| self.told.get(op).is_none_or(|told| told.at > at));
                    self.find(Column::Hang, &format!("{} does not return", last.map_or("a verb", |(_, verb)| verb)));
                }
                Line::End(Ending::Crashed) => {
                    let has_said = matches!(lines[..at].last(), Some(Line::Panic { .. }));
                    if !has_said {
                        self.find(Column::Panic, "the process ended by itself");
                    }
                }
                _ => {}
            }
        }
        self.findings
    }

    fn find(&mut self, column: Column, what: &str) {
        self.findings.push(Finding { column, what: what.into() });
    }

    /// When the verb was over, and whether with `Ok`.
    fn ended(&self, began: Time, op: Op) -> (Time, bool, bool) {
        let end = self.ends.iter().map(|(at, _)| *at).find(|at| *at > began).unwrap_or(usize::MAX);
        self.told.get(&op).map_or((end, false, false), |told| (told.at, told.ok, told.refused))
    }

    fn begin(&mut self, at: Time, day: u64, op: Op, verb: &str, args: &Args) {
        let (finished, ok, refused) = self.ended(at, op);
        match verb {
            "in" => {
                let account = number(args, "account").unwrap_or(0);
                let acknowledged = ok.then_some(finished);
                let mut puts = BTreeMap::new();
                if number(args, "tokens") == Some(1) {
                    let put = Put { op, began: at, acknowledged: ok, finished, removes: false };
                    puts.insert("set".to_owned(), vec![put]);
                }
                self.sign_ins.insert(op, SignIn { account, day, began: at, acknowledged, finished, gone_at: None, puts });
            }
            "out" => {
                let scope = args.get("scope").cloned().unwrap_or_default();
                let number = number(args, "number").unwrap_or(0);
                self.sign_outs.push(SignOut { scope, number, day, began: at, acknowledged: ok, finished });
            }
            "restore" | "restore_unfinished" | "lose" | "open_forget" => {
                let backup = number(args, "backup")
                    .and_then(|of| self.lines.iter().position(|line| matches!(line, Line::Begin { op, .. } if *op == of)));
                // Nothing is forgotten that is sound.
                let is_needed = verb != "open_forget" || (self.lines[..at].iter().any(is_loss) && !self.is_mended(at));
                if is_needed {
                    self.resets.push(Reset { began: at, acknowledged: ok || verb == "lose", finished, backup, refused });
                }
            }
            _ => {
                let (Some(of), Some(slot)) = (number(args, "of"), args.get("slot")) else { return };
                let slot = if slot == "w" { format!("w{op}") } else { slot.clone() };
                // A cut takes what was only to survive the process.
                let is_cut = self.ends.iter().any(|(end, ending)| *ending == Ending::Power && *end > at);
                let is_kept = !is_cut || number(args, "durable") == Some(1);
                let removes = number(args, "gone") == Some(1);
                let put = Put { op, began: at, acknowledged: ok && is_kept, finished, removes };
                if let Some(sign_in) = self.sign_ins.get_mut(&of) {
                    sign_in.puts.entry(slot).or_default().push(put);
                }
            }
        }
    }

    /// What a process under a fault sees: it may see little, but nobody who was signed out, and nothing of others.
    fn glance(&mut self, seen: &[&Args]) {
        for args in seen {
            let Some(id) = number(args, "id") else { continue };
            if self.sign_ins.get(&id).is_none_or(|one| number(args, "account").is_some_and(|account| account != one.account)) {
                self.find(Column::Wrong, &format!("sign-in {id} is nobody's, or in another's place"));
            }
        }
    }

    fn look(&mut self, at: Time, day: u64, seen: &[&Args]) {
        self.glance(seen);
        let mut found: BTreeMap<Op, BTreeMap<&str, Op>> = BTreeMap::new();
        let mut listed = BTreeSet::new();
        for args in seen {
            let Some(id) = number(args, "id") else { continue };
            if args.contains_key("account") && !listed.insert(id) {
                self.findings.push(Finding { column: Column::Wrong, what: format!("sign-in {id} is there twice") });
            }
            let slots = args.keys().filter(|name| !["id", "account", "mixed"].contains(&name.as_str()));
            found.entry(id).or_default().extend(slots.filter_map(|slot| Some((slot.as_str(), number(args, slot)?))));
        }
        let mut findings = Vec::new();
        for (id, one) in &self.sign_ins {
            let (is_there, who) = (listed.contains(id), format!("sign-in {id} of account {}", one.account));
            let mut say = |column, what: String| findings.push(Finding { column, what });
            let slots = found.get(id).cloned().unwrap_or_default();
            if let Some(why) = self.must_be_gone(one, at, day)
                && (is_there || !slots.is_empty())
            {
                say(Column::Revived, format!("{who} is back: {why}; {slots:?}"));
            }
            if !is_there && one.acknowledged.is_some() && one.gone_at.is_none() && self.must_live(one, at, day) {
                say(Column::Lost, format!("{who} is gone, and nobody signed it out"));
            }
            if is_there {
                for (slot, puts) in &one.puts {
                    if let Some((column, what)) = self.token(one, puts, slots.get(slot.as_str()).copied(), at) {
                        say(column, format!("{who}, {slot}: {what}"));
                    }
                }
                let is_known = |slot: &str| one.puts.contains_key(slot);
                if let Some((slot, put)) = slots.iter().find(|(slot, _)| !is_known(slot)) {
                    say(Column::Wrong, format!("{who}: {slot} {put} was never put there"));
                }
            }
        }
        self.findings.append(&mut findings);
        self.remember(at, &listed, &found);
    }

    /// What was found is certain from now on.
    fn remember(&mut self, at: Time, listed: &BTreeSet<Op>, found: &BTreeMap<Op, BTreeMap<&str, Op>>) {
        for (id, one) in &mut self.sign_ins {
            if !listed.contains(id) {
                one.gone_at = one.gone_at.or(Some(at));
                continue;
            }
            (one.began, one.acknowledged, one.finished, one.gone_at) = (at, Some(at), at, None);
            for (slot, puts) in &mut one.puts {
                let seen = found.get(id).and_then(|slots| slots.get(slot.as_str())).copied();
                let kept: Vec<Put> = match seen {
                    Some(op) => puts.iter().filter(|put| put.op == op).cloned().collect(),
                    None => Vec::new(),
                };
                *puts = kept.into_iter().map(|put| Put { acknowledged: true, began: at, finished: at, ..put }).collect();
            }
        }
    }
}

/// SQLite says of a read that fails with EIO that the file is malformed. What opens a store looks again; a verb may say so, and then the
/// next one works (docs/operating.md, "After a fault of the disk").
fn is_failed_read(verb: &str, text: &str) -> bool {
    let opens = ["create", "open", "restore", "offline", "history"].iter().any(|name| verb.starts_with(name));
    text.contains("SQLite says that the rows' file is malformed") && !opens
}

fn column_of(name: &str) -> Column {
    match name {
        "lost" => Column::Lost,
        "revived" => Column::Revived,
        "wrong" => Column::Wrong,
        "damaged" => Column::Damaged,
        _ => Column::Bench,
    }
}
