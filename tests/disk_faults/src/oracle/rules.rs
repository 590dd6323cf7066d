//! What must be, may be and must not be.

use super::{Column, Judge, Put, Reset, SignIn, SignOut, Time};
use crate::log::{Line, Op};

impl Judge<'_> {
    /// Why nobody may find it any more.
    pub(super) fn must_be_gone(&self, one: &SignIn, at: Time, day: u64) -> Option<String> {
        let out = self
            .sign_outs
            .iter()
            .find(|out| out.acknowledged && out.began > one.finished && out.covers(one) && out.finished < at);
        if let Some(out) = out {
            return Some(format!("signed out by its {} {}", out.scope, out.number));
        }
        if day >= one.day + 90 {
            return Some("too old".into());
        }
        let forgotten = self
            .resets
            .iter()
            .any(|reset| reset.backup.is_none() && reset.acknowledged && reset.began > one.finished && self.is_forgetting(reset));
        if forgotten {
            return Some("everybody was forgotten".into());
        }
        let gone_at = one.gone_at?;
        let restored = self.resets.iter().any(|reset| reset.backup.is_some() && reset.finished > gone_at);
        (!restored).then(|| "an earlier look did not find it".into())
    }

    /// Whether it began anew for certain: without its engine a store is merely empty, and may have been restored since.
    fn is_forgetting(&self, reset: &Reset) -> bool {
        let is_damaged =
            |line: &Line| matches!(line, Line::Begin { args, .. } if args.get("what").is_some_and(|what| what == "ledger"));
        // A second one may have found it mended by the first.
        let is_forget = |line: &Line| matches!(line, Line::Begin { verb, .. } if verb == "open_forget");
        let before = &self.lines[..reset.began];
        is_forget(&self.lines[reset.began]) && before.iter().any(is_damaged) && !before.iter().any(is_forget)
    }

    /// Whether what was lost or damaged has been restored or forgotten, for certain.
    pub(super) fn is_mended(&self, at: Time) -> bool {
        let mends = |reset: &Reset| reset.backup.is_some() || self.is_forgetting(reset);
        self.resets.iter().any(|reset| mends(reset) && reset.acknowledged && reset.finished < at)
    }

    pub(super) fn must_live(&self, one: &SignIn, at: Time, day: u64) -> bool {
        let Some(acknowledged) = one.acknowledged else { return false };
        let may_take = |out: &SignOut| out.began < at && out.finished > one.began && out.covers(one);
        if self.sign_outs.iter().any(may_take) || day >= one.day + 89 {
            return false;
        }
        let mut is_there = true;
        for reset in self.resets.iter().filter(|reset| reset.finished > acknowledged && reset.began < at) {
            is_there = match reset.backup {
                None => false,
                Some(_) if reset.refused => is_there,
                Some(backup) if reset.acknowledged => backup > acknowledged,
                Some(backup) => is_there && backup > acknowledged,
            };
        }
        is_there
    }

    pub(super) fn token(&self, one: &SignIn, puts: &[Put], found: Option<Op>, at: Time) -> Option<(Column, String)> {
        // By a reset any put that ever was can be the newest.
        let since = one.acknowledged.unwrap_or(one.began).min(puts.first().map_or(at, |put| put.began));
        if self.resets.iter().any(|reset| reset.finished > since) {
            let is_known = found.is_none_or(|op| puts.iter().any(|put| put.op == op));
            return (!is_known).then(|| (Column::Wrong, format!("{found:?} was never put")));
        }
        let last = puts.iter().filter(|put| put.acknowledged).map(|put| put.began).max();
        let may_be = |put: &&Put| last.is_none_or(|last| put.finished >= last);
        match found {
            Some(op) => match puts.iter().find(|put| put.op == op) {
                Some(put) if put.removes || !may_be(&put) => {
                    Some((Column::Lost, format!("{op} is there, which a newer one has taken the place of")))
                }
                Some(_) => None,
                None => Some((Column::Wrong, format!("{op} was never put there"))),
            },
            None if last.is_none() || puts.iter().any(|put| put.removes && may_be(&put)) => None,
            None => Some((Column::Lost, "what was put is gone".into())),
        }
    }

    /// Whether a verb may end so.
    pub(super) fn may_fail(&self, verb: &str, kind: &str, faulty: bool, at: Time) -> bool {
        let name = kind.split('-').next().unwrap_or_default();
        let is_lost = self.lines[..at].iter().any(is_loss);
        if ["Damaged", "Tampered"].contains(&name) && is_lost && !self.is_mended(at) {
            return true;
        }
        match name {
            // A failed engine and a full disk are no reasons to let somebody stay; but for looking up whose session it is.
            "Poisoned" | "Full" if verb == "out" => faulty && kind != "Poisoned-engine" && kind != "Full-ledger",
            "SignedOut" | "Overtaken" => true,
            // There was never a refresh token, or its sign-in is gone.
            "Acquire" => true,
            "InvalidInput" if verb == "restore_unfinished" => true,
            "InvalidInput" if verb.starts_with("restore") => self.began("erase", at) || self.began("open_forget", at),
            // Nobody has made a store yet.
            "InvalidInput" => {
                let is_none = !self.has_opened(at) || (is_lost && !self.is_mended(at));
                is_none && ["history", "offline_verify"].contains(&verb)
            }
            "Damaged" | "Tampered" | "UnsupportedFormat" | "KeyRejected" | "AlreadyOpen" => false,
            _ => faulty,
        }
    }

    fn began(&self, wanted: &str, at: Time) -> bool {
        self.lines[..at].iter().any(|line| matches!(line, Line::Begin { verb, .. } if verb.starts_with(wanted)))
    }

    fn has_opened(&self, at: Time) -> bool {
        let opened = |op: &Op| self.lines[..at].iter().any(|line| matches!(line, Line::Ok { op: of, .. } if of == op));
        self.lines[..at].iter().any(|line| matches!(line, Line::Begin { op, verb, .. } if opened(op) && verb != "lose"))
    }
}

/// Whether an operator or a broken disk took something away in it.
pub(super) fn is_loss(line: &Line) -> bool {
    matches!(line, Line::Begin { verb, .. } if verb == "lose")
}

impl SignOut {
    /// Whether whoever is signed in like this is in its scope, for certain.
    fn covers(&self, one: &SignIn) -> bool {
        match self.scope.as_str() {
            "tenant" => one.account % 3 == self.number,
            "everybody" => true,
            "cutoff" => one.account == self.number && one.day < self.day,
            _ => one.account == self.number,
        }
    }
}
