//! Front-channel queries: who is signed out by one, and what is answered, is what a plain reading of it says; and an answer does not tell whether anybody was.

use std::cell::RefCell;

use arbitrary::{Arbitrary, Unstructured};
use oubliette::logout::{Answer, Issuer, Issuers, Keys, Receiver};
use oubliette::openid::Provider;
use oubliette::{
    AccountId, AsyncTokenStore, ClientId, LiveSignIn, MAX_ID_BYTES, SessionId, SessionPolicy,
    SignIn, Subject, TenantId, TokenStore,
};
use tokio::runtime::{Builder, Runtime};

use crate::input::Encode;

crate::plans! {
    /// On which route, and the query.
    pub enum Plan {
        /// The rest of the bytes.
        Raw { route: u8 },
        /// Pieces, one behind the other.
        Built { route: u8, pieces: Vec<u8> },
    }
}

const ROUTES: [Option<&str>; 4] = [None, Some("alone"), Some("nobodys"), Some("")];
/// The last has a route of its own.
const ISSUERS: [&str; 3] =
    ["https://a.example.com", "https://b.example.com:8443/realms/b", "https://c.example.com/c"];
const ORIGINS: [&str; 3] =
    ["https://a.example.com", "https://b.example.com:8443", "https://c.example.com"];
/// Of the second the session alone ends.
const ONLY_SESSION: usize = 1;
/// Who is signed in: the user, at which issuer, by which `sid`. A session can have two users, a user two sessions.
const SIGNED_IN: [(&str, usize, &str); 9] = [
    ("jane", 0, "s1"),
    ("john", 0, "s1"),
    ("jean", 0, "s2"),
    ("jean", 0, "s3"),
    ("jane", 1, "s1"),
    ("jean", 1, "s2"),
    ("jean", 1, "s3"),
    ("jane", 2, "s1"),
    ("joan", 2, "a+b &c=d%20\u{e9}"),
];
const PIECES: [&str; 33] = [
    "sid=",
    "iss=",
    "&",
    "=",
    "s1",
    "s2",
    "s3",
    "https://a.example.com",
    "https%3A%2F%2Fa.example.com",
    "https://b.example.com:8443/realms/b",
    "https%3a%2f%2fb.example.com%3A8443%2Frealms%2Fb",
    "https://c.example.com/c",
    "https://a.example.com/",
    "HTTPS://A.EXAMPLE.COM",
    "%73id=",
    "s%69d=",
    "SID=",
    "i%73s=",
    "a%2Bb+%26c%3Dd%2520%C3%A9",
    "a+b &c=d%20\u{e9}",
    "%73%31",
    "+",
    "%",
    "%00",
    "%ff",
    "%C3%A9",
    "%0",
    ";",
    "#",
    "?",
    "state=x&",
    "sid",
    "iss",
];

struct World {
    runtime: Runtime,
    store: TokenStore,
    receiver: Receiver,
    lives: Vec<LiveSignIn>,
    /// What is answered when a sign-out is done, by issuer.
    done: [Option<Answer>; 3],
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

/// The bytes of a run.
pub fn input(plan: &Plan, rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    plan.encode(&mut bytes);
    bytes.extend_from_slice(rest);
    bytes
}

pub fn run(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let Ok(plan) = Plan::arbitrary(&mut data) else { return };
    crate::show(&plan);
    let (route, query) = match plan {
        Plan::Raw { route } => (route, String::from_utf8_lossy(data.take_rest()).into_owned()),
        Plan::Built { route, pieces } => {
            (route, pieces.iter().map(|piece| PIECES[usize::from(*piece) % PIECES.len()]).collect())
        }
    };
    WORLD.with_borrow_mut(|world| world.check(ROUTES[usize::from(route) % ROUTES.len()], &query));
}

impl World {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let store = TokenStore::in_memory().expect("a store");
        let keys = Keys::fixed(&crate::jwks::document()).expect("the keys can be used");
        let issuer = |at: usize| {
            let provider = Provider::generic(ISSUERS[at]).expect("an issuer");
            Issuer::new(provider, ClientId::new("web").expect("a client"), keys.clone())
        };
        let list = [
            issuer(0),
            issuer(1).session_policy(SessionPolicy::OnlySession),
            issuer(2).named("alone"),
        ];
        let receiver = Receiver::new(
            AsyncTokenStore::new(store.clone()),
            Issuers::new(list).expect("the issuers differ"),
        );
        let lives = (0..SIGNED_IN.len()).map(|at| sign_in(&store, at)).collect();
        Self { runtime, store, receiver, lives, done: [None, None, None] }
    }

    fn check(&mut self, route: Option<&str>, query: &str) {
        let answer = self.runtime.block_on(self.receiver.front_channel(route, query));
        assert!(answer.headers().any(|header| header == ("cache-control", "no-store")));
        let policies: Vec<_> =
            answer.headers().filter(|(name, _)| *name == "content-security-policy").collect();
        let [(_, policy)] = policies[..] else { panic!("not one policy") };
        let expected = read(route, query);
        match &expected {
            Some((issuer, _)) => {
                assert_eq!(answer.status(), 200, "{query}");
                assert_eq!(
                    policy,
                    format!("default-src 'none'; frame-ancestors {}", ORIGINS[*issuer])
                );
                let done = self.done[*issuer].get_or_insert_with(|| answer.clone());
                assert_eq!(*done, answer, "the answer tells whether somebody was signed in");
            }
            None => {
                assert_eq!(answer.status(), 400, "{query}");
                assert!(policy.ends_with("frame-ancestors 'none'"));
            }
        }
        let is_of = |at: usize, issuer: usize, sid: &str| {
            SIGNED_IN[at].1 == issuer && SIGNED_IN[at].2 == sid
        };
        for at in 0..SIGNED_IN.len() {
            let ends = expected.as_ref().is_some_and(|(issuer, sid)| {
                is_of(at, *issuer, sid)
                    || (*issuer != ONLY_SESSION
                        && (0..SIGNED_IN.len()).any(|other| {
                            is_of(other, *issuer, sid)
                                && SIGNED_IN[other].0 == SIGNED_IN[at].0
                                && SIGNED_IN[at].1 == *issuer
                        }))
            });
            assert_eq!(
                self.lives[at].is_live().expect("the store is well"),
                !ends,
                "{:?} {query}",
                SIGNED_IN[at]
            );
            if ends {
                self.lives[at] = sign_in(&self.store, at);
            }
        }
    }
}

fn sign_in(store: &TokenStore, at: usize) -> LiveSignIn {
    let (user, issuer, sid) = SIGNED_IN[at];
    let account = AccountId::of_subject(Subject::new(ISSUERS[issuer], user).expect("a subject"));
    let sign_in = SignIn::new(account, TenantId::new("tenant").expect("a tenant"));
    store
        .sign_in(sign_in.session(SessionId::new(ISSUERS[issuer], sid).expect("a session")))
        .expect("the store is well")
}

/// The session that a query names: its issuer's place, and the `sid`.
fn read(route: Option<&str>, query: &str) -> Option<(usize, String)> {
    let pairs: Vec<(String, String)> = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    let once = |name: &str| {
        let mut values =
            pairs.iter().filter(|(other, _)| other == name).map(|(_, value)| value.clone());
        let first = values.next();
        if values.next().is_some() { None } else { Some(first) }
    };
    let (sid, iss) = (once("sid")??, once("iss")?);
    let issuer = match (route, iss.as_deref()) {
        (None, Some(iss)) => ISSUERS[..2].iter().position(|issuer| *issuer == iss)?,
        (Some("alone"), None) => 2,
        (Some("alone"), Some(iss)) if iss == ISSUERS[2] => 2,
        _ => return None,
    };
    let can_be_stored =
        !sid.is_empty() && sid.len() <= MAX_ID_BYTES && !sid.chars().any(char::is_control);
    (query.len() <= 4096 && can_be_stored).then_some((issuer, sid))
}

/// As forms are written (WHATWG URL §5.1).
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        match (bytes[at], hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            (b'+', ..) => out.push(b' '),
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (byte, ..) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}
