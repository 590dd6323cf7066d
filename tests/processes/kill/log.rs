//! What a process writes down: a line before each verb and one after, each by a single write to a
//! file that is only appended to. `kill -9` takes back nothing that was written.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// A verb's number. A sign-in's is its alias too, and a put's is in the token's text.
pub(crate) type Id = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    Account(u32),
    Session(u32),
    Tenant(u32),
    Everybody,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verb {
    SignIn {
        account: u32,
        session: Option<u32>,
    },
    /// A refresh token into this sign-in.
    Put {
        into: Id,
    },
    SignOut(Whom),
    Read {
        account: u32,
    },
    /// Whether this sign-in is live, by a handle: `Done` if it is, `Refused` if not.
    Ask {
        about: Id,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Done,
    /// It was told of a sign-out.
    Refused,
    /// Sign-ins, and the put of the token that was found in each.
    Saw(Vec<(Id, Option<Id>)>),
}

/// With the time by the clock of all processes: of a verb's beginning from before, of its end from
/// behind it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Line {
    Begin(Id, u64, Verb),
    End(Id, u64, Outcome),
    /// The process itself saw something that must not be.
    Wrong(String),
}

impl Line {
    pub(crate) fn write(&self, mut log: &File) {
        let text = match self {
            Self::Begin(id, at, verb) => {
                let verb = match verb {
                    Verb::SignIn { account, session } => {
                        format!("in {account} {}", session.map_or(-1, i64::from))
                    }
                    Verb::Put { into } => format!("put {into}"),
                    Verb::SignOut(Whom::Account(n)) => format!("out 0 {n}"),
                    Verb::SignOut(Whom::Session(n)) => format!("out 1 {n}"),
                    Verb::SignOut(Whom::Tenant(n)) => format!("out 2 {n}"),
                    Verb::SignOut(Whom::Everybody) => "out 3 0".into(),
                    Verb::Read { account } => format!("read {account}"),
                    Verb::Ask { about } => format!("ask {about}"),
                };
                format!("{id} {at} {verb}")
            }
            Self::End(id, at, Outcome::Done) => format!("{id} {at} done"),
            Self::End(id, at, Outcome::Refused) => format!("{id} {at} refused"),
            Self::End(id, at, Outcome::Saw(seen)) => {
                let seen: String = seen
                    .iter()
                    .map(|(id, put)| format!(" {id} {}", put.unwrap_or_default()))
                    .collect();
                format!("{id} {at} saw{seen}")
            }
            Self::Wrong(text) => format!("wrong {}", text.replace('\n', " ")),
        };
        log.write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    fn parse(text: &str) -> Self {
        let words: Vec<&str> = text.split(' ').collect();
        let (Some(Ok(id)), Some(Ok(at))) =
            (words.first().map(|word| word.parse()), words.get(1).map(|word| word.parse()))
        else {
            return Self::Wrong(text.into());
        };
        let numbers: Vec<i64> = words[3..].iter().map(|word| word.parse().unwrap()).collect();
        let small = |place: usize| u32::try_from(numbers[place]).unwrap();
        let begin = |verb| Self::Begin(id, at, verb);
        match words[2] {
            "in" => {
                begin(Verb::SignIn { account: small(0), session: u32::try_from(numbers[1]).ok() })
            }
            "put" => begin(Verb::Put { into: numbers[0].try_into().unwrap() }),
            "out" => begin(Verb::SignOut(match numbers[0] {
                0 => Whom::Account(small(1)),
                1 => Whom::Session(small(1)),
                2 => Whom::Tenant(small(1)),
                _ => Whom::Everybody,
            })),
            "read" => begin(Verb::Read { account: small(0) }),
            "ask" => begin(Verb::Ask { about: numbers[0].try_into().unwrap() }),
            "done" => Self::End(id, at, Outcome::Done),
            "refused" => Self::End(id, at, Outcome::Refused),
            "saw" => {
                let number = |number: i64| u64::try_from(number).unwrap();
                let pair =
                    |pair: &[i64]| (number(pair[0]), Some(number(pair[1])).filter(|put| *put != 0));
                Self::End(id, at, Outcome::Saw(numbers.chunks_exact(2).map(pair).collect()))
            }
            _ => Self::Wrong(text.into()),
        }
    }
}

/// A log, as far as it was read.
pub(crate) struct Reader {
    file: File,
    at: u64,
}

impl Reader {
    pub(crate) fn new(path: &Path) -> Self {
        Self { file: File::open(path).unwrap(), at: 0 }
    }

    /// The whole lines that were written since.
    pub(crate) fn read(&mut self) -> Vec<Line> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(self.at)).unwrap();
        self.file.read_to_end(&mut bytes).unwrap();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.at += whole as u64;
        let text = std::str::from_utf8(&bytes[..whole]).unwrap();
        text.lines().map(Line::parse).collect()
    }
}
