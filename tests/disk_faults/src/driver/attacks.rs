//! The attacks by the shim: of a script's calls, every fault that fits.

use super::errnos::{self, EIO};
use super::scripts::NEXT;
use super::shim::{Call, Fault};

/// The rows of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attack {
    Kill,
    Torn,
    KillTwice,
    Once,
    ForEver,
    AFew,
    Half,
    Short,
    PowerCut,
    KillThenCut,
    Ext4,
}

impl Attack {
    pub const ALL: [Self; 11] = [
        Self::Kill,
        Self::Torn,
        Self::KillTwice,
        Self::Once,
        Self::ForEver,
        Self::AFew,
        Self::Half,
        Self::Short,
        Self::PowerCut,
        Self::KillThenCut,
        Self::Ext4,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Torn => "torn",
            Self::KillTwice => "kill-twice",
            Self::Once => "errno-once",
            Self::ForEver => "errno-for-ever",
            Self::AFew => "errno-a-few",
            Self::Half => "errno-half-way",
            Self::Short => "short",
            Self::PowerCut => "power-cut",
            Self::KillThenCut => "kill-then-cut",
            Self::Ext4 => "ext4-shutdown",
        }
    }

    /// What the shim does.
    fn act(self) -> &'static str {
        match self {
            Self::Kill | Self::KillTwice | Self::KillThenCut => "kill",
            Self::Torn => "tear",
            Self::Once | Self::ForEver | Self::AFew => "fail",
            Self::Half => "half",
            Self::Short => "short",
            Self::PowerCut => "pass",
            Self::Ext4 => "shutdown",
        }
    }

    pub fn says(self) -> &'static str {
        match self {
            Self::Kill => "kill -9 before a call, then each other verb",
            Self::Torn => "kill -9 in a write, torn at a sector",
            Self::KillTwice => "kill -9, and again while it recovers",
            Self::Once => "an error, once",
            Self::ForEver => "an error, from then on",
            Self::AFew => "an error, three times",
            Self::Half => "an error half-way through a write",
            Self::Short => "half of the bytes",
            Self::PowerCut => "power cut, of recorded writes and syncs",
            Self::KillThenCut => "kill -9, then a power cut while it recovers",
            Self::Ext4 => "power cut, of ext4 on a loop device",
        }
    }
}

/// A case that has not been run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub attack: Attack,
    /// What is attacked, for people.
    pub call: String,
    pub fault: Fault,
    /// What comes next.
    pub next: &'static str,
    /// The call of what comes next at which it is killed too.
    pub again: Option<Fault>,
    /// Of a power cut: what of it survives.
    pub chance: u64,
}

impl Plan {
    /// Its name behind the script's: with it the case can be had again.
    pub fn name(&self) -> String {
        let Fault { at, errno, count, .. } = &self.fault;
        let again = self.again.as_ref().map_or(0, |fault| fault.at);
        let next = NEXT.iter().position(|next| *next == self.next).unwrap_or(0);
        format!("{}/{at}/{errno}/{count}/{next}/{again}/{}", self.attack.name(), self.chance)
    }

    /// The case of this name.
    pub fn of(name: &str) -> Option<Self> {
        let (attack, numbers) = name.split_once('/')?;
        let attack = Attack::ALL.into_iter().find(|one| one.name() == attack)?;
        let numbers: Vec<u64> = numbers.split('/').map_while(|number| number.parse().ok()).collect();
        let [at, errno, count, next, again, chance] = *numbers.as_slice() else { return None };
        let errno = i32::try_from(errno).ok()?;
        let on = if attack == Attack::Short { TRANSFERS.to_owned() } else { errnos::calls_with(errno) };
        let fault = Fault { at, act: attack.act(), errno, count: u32::try_from(count).ok()?, on };
        let again = (again > 0).then(|| Fault { at: again, act: "kill", ..Fault::default() });
        Some(Self { attack, call: String::new(), fault, next: NEXT.get(usize::try_from(next).ok()?)?, again, chance })
    }
}

/// Where holes have been: a sample takes all of these.
pub fn is_known(script: &str, plan: &Plan) -> bool {
    let on = |names: &[&str]| names.iter().any(|name| plan.call.starts_with(&format!("{name} of")));
    match (plan.attack, script) {
        // Rows that could not be read at open were gone, and of a batch that could not be read through one half was there.
        (Attack::Once, "open" | "sign_in" | "sign_in_with") => plan.fault.errno == EIO.1 && on(&["pread"]),
        // An interrupted restore, a plain open, and a sign-in: gone.
        (Attack::Kill, "restore_lost") => plan.next == NEXT[1] && on(&["create", "rename", "unlink", "mkdir"]),
        // A database was dropped whose destructor panicked.
        (Attack::AFew, "open" | "compact") => plan.fault.errno == EIO.1 && on(&["fsync", "open"]),
        // Callers waited for ever.
        (Attack::Once, "put_large" | "out_tenant") => on(&["pwrite", "sync_file_range"]),
        _ => false,
    }
}

/// What changes nothing.
pub const LOOKS: &[&str] = &["stat", "fstat", "opendir", "readdir", "lseek", "flock", "lock", "mmap", "read", "pread"];

/// What can be short.
const TRANSFERS: &str = "read,pread,write,pwrite,";

/// Every case of this attack on these calls; what comes next has `span` calls or so. What comes next takes turns, but for a kill, after which everything does.
pub fn plans(attack: Attack, calls: &[Call], next: &'static [&'static str], span: u64) -> Vec<Plan> {
    let mut plans = Vec::new();
    let mut turn = 0;
    for call in calls {
        let told = call.told();
        let mut add = |errno, count, on: String, next: &'static str, again| {
            let fault = Fault { at: call.at, act: attack.act(), errno, count, on };
            let chance = if attack == Attack::KillThenCut { call.at * 11 + plans.len() as u64 } else { 0 };
            plans.push(Plan { attack, call: told.clone(), fault, next, again, chance });
        };
        let mut take = || {
            turn += 1;
            next[turn % next.len()]
        };
        let is_write = ["write", "pwrite", "copy_file_range", "sendfile"].contains(&call.name.as_str());
        let is_read = ["read", "pread"].contains(&call.name.as_str());
        let changes = !LOOKS.contains(&call.name.as_str()) && !["open", "close"].contains(&call.name.as_str());
        match attack {
            // Before a call that changes nothing the folder is as it will be before the next.
            Attack::Kill if changes => next.iter().for_each(|next| add(0, 1, String::new(), next, None)),
            Attack::Kill => add(0, 1, String::new(), take(), None),
            Attack::Torn if is_write && call.size > 1 => {
                (0..4).for_each(|_| add(0, 1, String::new(), take(), None));
            }
            Attack::KillTwice => {
                for step in 0..3 {
                    // Somewhere in an open and the verb behind it.
                    let at = 1 + (call.at * 37 + step * 83) % span;
                    let again = Fault { at, act: "kill", ..Fault::default() };
                    add(0, 1, String::new(), take(), Some(again));
                }
            }
            // What only looks leaves nothing to lose.
            Attack::KillThenCut if !LOOKS.contains(&call.name.as_str()) => {
                (0..2).for_each(|_| add(0, 1, String::new(), take(), None));
            }
            Attack::Once | Attack::ForEver | Attack::AFew => {
                for errno in errnos::of(&call.name) {
                    let count = match attack {
                        Attack::Once => 1,
                        Attack::AFew => 3,
                        _ => 0,
                    };
                    // A lock that is never to be had: every verb waits for it, for seconds, and then for another one.
                    let can_last = errnos::can_last(*errno) && call.name != "lock";
                    if attack == Attack::Once || can_last || attack == Attack::AFew {
                        add(errno.1, count, errnos::calls_with(errno.1), take(), None);
                    }
                }
            }
            Attack::Half if is_write && call.size > 1 => {
                for errno in errnos::of(&call.name) {
                    add(errno.1, 1, String::new(), take(), None);
                }
            }
            Attack::Short if (is_write || is_read) && call.size > 1 => {
                add(0, 1, TRANSFERS.into(), take(), None);
                add(0, 0, TRANSFERS.into(), take(), None);
            }
            _ => {}
        }
    }
    plans
}
