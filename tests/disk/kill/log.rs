//! What the child writes down: a line before each verb and one after, each by a single write to a
//! file that is only appended to.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oubliette::SignOutScope;
use oubliette_testkit::accounts::{account, session, subject, tenant};

/// A verb's number. A sign-in's is its identity too (as its alias), a put's is in the tokens' text.
pub(crate) type Id = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) account: u32,
    pub(crate) tenant: u32,
    pub(crate) session: Option<u32>,
    pub(crate) subject: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whom {
    Account(u32),
    Session(u32),
    Subject(u32),
    Tenant(u32),
    Everybody,
}

impl Whom {
    /// The account that a session's sign-out takes.
    pub(crate) fn account_of_session(self) -> Option<Self> {
        if let Self::Session(number) = self { Some(Self::Account(number / 2)) } else { None }
    }

    pub(crate) fn scope(self) -> SignOutScope {
        match self {
            Self::Account(n) => SignOutScope::Account(account(n)),
            Self::Session(n) => SignOutScope::Session(session(n)),
            Self::Subject(n) => SignOutScope::Subject(subject(n)),
            Self::Tenant(n) => SignOutScope::Tenant(tenant(n)),
            Self::Everybody => SignOutScope::Everybody,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Line {
    Opening,
    Serving(SystemTime),
    Closing,
    /// A thread's sign-out waits for its reclaim, and does no more.
    Reclaim(u64),
    ReclaimReport(u64),
    SignIn(Id, Who),
    /// Tokens of a sign-in; the whole set, or only the one that stands alone.
    Put(Id, Id, bool),
    SignOut(Id, Whom),
    /// `Ok`, with the receipt's position for a sign-out, and for a put whether the guest's token
    /// was stored.
    Done(Id, u64),
    /// `SignedOut`.
    Refused(Id),
    /// The child itself saw something that must not be.
    Wrong(String),
}

impl Line {
    pub(crate) fn id(&self) -> Option<Id> {
        match self {
            Self::SignIn(id, _) | Self::Put(id, ..) | Self::SignOut(id, _) => Some(*id),
            _ => None,
        }
    }

    pub(crate) fn write(&self, mut log: &File) {
        let text = match self {
            Self::Opening => "opening".into(),
            Self::Serving(at) => {
                format!("serving {}", at.duration_since(UNIX_EPOCH).unwrap().as_micros())
            }
            Self::Closing => "closing".into(),
            Self::Reclaim(thread) => format!("reclaim {thread}"),
            Self::ReclaimReport(thread) => format!("reclaimed {thread}"),
            Self::SignIn(id, who) => {
                let session = who.session.map_or(-1, i64::from);
                format!("in {id} {} {} {session} {}", who.account, who.tenant, who.subject)
            }
            Self::Put(id, of, whole) => format!("put {id} {of} {}", u8::from(*whole)),
            Self::SignOut(id, whom) => {
                let (kind, number) = match whom {
                    Whom::Account(n) => (0, *n),
                    Whom::Session(n) => (1, *n),
                    Whom::Subject(n) => (2, *n),
                    Whom::Tenant(n) => (3, *n),
                    Whom::Everybody => (4, 0),
                };
                format!("out {id} {kind} {number}")
            }
            Self::Done(id, with) => format!("done {id} {with}"),
            Self::Refused(id) => format!("refused {id}"),
            Self::Wrong(text) => format!("wrong {}", text.replace('\n', " ")),
        };
        log.write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    fn parse(text: &str) -> Self {
        let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
        let numbers: Vec<i64> = rest.split(' ').map_while(|word| word.parse().ok()).collect();
        let id = |i: usize| u64::try_from(numbers[i]).unwrap();
        let small = |i: usize| u32::try_from(numbers[i]).unwrap();
        match name {
            "opening" => Self::Opening,
            "serving" => Self::Serving(UNIX_EPOCH + Duration::from_micros(id(0))),
            "closing" => Self::Closing,
            "reclaim" => Self::Reclaim(id(0)),
            "reclaimed" => Self::ReclaimReport(id(0)),
            "in" => {
                let session = u32::try_from(numbers[3]).ok();
                Self::SignIn(
                    id(0),
                    Who { account: small(1), tenant: small(2), session, subject: small(4) },
                )
            }
            "put" => Self::Put(id(0), id(1), id(2) == 1),
            "out" => {
                let whom = match id(1) {
                    0 => Whom::Account(small(2)),
                    1 => Whom::Session(small(2)),
                    2 => Whom::Subject(small(2)),
                    3 => Whom::Tenant(small(2)),
                    _ => Whom::Everybody,
                };
                Self::SignOut(id(0), whom)
            }
            "done" => Self::Done(id(0), id(1)),
            "refused" => Self::Refused(id(0)),
            _ => Self::Wrong(rest.into()),
        }
    }
}

/// All whole lines of the log.
pub(crate) fn read(path: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(path).unwrap();
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(Line::parse).collect()
}
