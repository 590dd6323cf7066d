//! What verbs were told, and whether that could have been told by a store that does one after the
//! other (linearizability): in an order in which no verb comes before one that had ended when it
//! began.

use std::collections::BTreeMap;

/// What is done. Of sign-ins, the number is the account's; of the rest, the world says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// This account signs in, in session 1.
    SignIn(u32),
    /// Account 1 signs in, as of the beginning.
    SignInAsOf,
    /// The first sign-in gets new tokens.
    Put,
    /// The access token of the first sign-in is read.
    Get,
    /// The client's tokens of the first sign-in are removed.
    Remove,
    SignOutAccount,
    /// Of session 1, and so of every account that is in it.
    SignOutSession,
    SignOutTenant,
    SignOutEverybody,
    /// Of the first sign-in, alone.
    SignOutOne,
    /// Account 1 signs out, and its refresh tokens are taken.
    Take,
    /// What is dead is deleted.
    Sweep,
}

impl Verb {
    fn is_sign_out(self) -> bool {
        match self {
            Self::SignOutAccount
            | Self::SignOutSession
            | Self::SignOutTenant
            | Self::SignOutEverybody
            | Self::SignOutOne
            | Self::Take => true,
            Self::SignIn(_)
            | Self::SignInAsOf
            | Self::Put
            | Self::Get
            | Self::Remove
            | Self::Sweep => false,
        }
    }
}

/// What the caller was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Done,
    /// It is signed out.
    Refused,
    Value(Option<String>),
    /// Refresh tokens, and whether some were missed.
    Taken(Vec<String>, bool),
    /// It was done or not.
    Unknown,
    /// Nothing was done.
    NotDone,
}

/// A verb from its beginning to its end.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) verb: Verb,
    /// The tokens that it brings, if it does.
    pub(super) token: String,
    pub(super) began: usize,
    pub(super) ended: usize,
    pub(super) told: Told,
    /// The id of the sign-in that was made.
    pub(super) id: Option<[u8; 16]>,
}

/// A sign-in, in the sequential store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignedIn {
    pub(super) id: Option<[u8; 16]>,
    pub(super) account: u32,
    pub(super) session: u32,
    /// Empty if it was removed.
    pub(super) token: String,
}

impl SignedIn {
    fn held(&self) -> Option<String> {
        Some(self.token.clone()).filter(|token| !token.is_empty())
    }
}

/// Those that live, of the sequential store.
type Living = Vec<SignedIn>;

/// What is there at the end: by id, the access and the refresh token.
pub(super) type Found = BTreeMap<[u8; 16], (Option<String>, Option<String>)>;

/// The refresh tokens of the first sign-ins of account 1 begin so.
pub(super) const FIRST_OF_1: &str = "first-1-";

pub(super) struct History {
    pub(super) first: Living,
    pub(super) calls: Vec<Call>,
    pub(super) found: Found,
    /// Whether an answer may have been lost that would have brought refresh tokens.
    pub(super) may_miss: bool,
}

impl History {
    /// Whether some order of the calls explains everything that was told and found.
    pub(super) fn is_explained(&self) -> bool {
        let mut done = vec![false; self.calls.len()];
        self.goes_on(&mut done, &self.first, false)
    }

    fn goes_on(&self, done: &mut [bool], living: &Living, has_everybody_left: bool) -> bool {
        if done.iter().all(|done| *done) {
            return self.is_what_was_found(living);
        }
        for number in 0..self.calls.len() {
            let call = &self.calls[number];
            let must_wait = |other: usize| !done[other] && self.calls[other].ended < call.began;
            if done[number] || (0..self.calls.len()).any(must_wait) {
                continue;
            }
            done[number] = true;
            for (next, left) in self.after(call, living, has_everybody_left, done) {
                if self.goes_on(done, &next, left) {
                    return true;
                }
            }
            done[number] = false;
        }
        false
    }

    /// The stores that there may be after this call; none, if it cannot have been told that. The
    /// flag says whether a sign-out has covered account 1 since the beginning.
    fn after(
        &self,
        call: &Call,
        living: &Living,
        covered: bool,
        done: &[bool],
    ) -> Vec<(Living, bool)> {
        let unchanged = || vec![(living.clone(), covered)];
        let first = living.iter().position(|one| one.id == self.first[0].id);
        // A sign-out of unknown outcome may have stood for a while, until the place failed over.
        let may_be_refused = self.calls.iter().any(|other| {
            other.told == Told::Unknown && other.began < call.ended && other.verb.is_sign_out()
        });
        match (call.verb, &call.told) {
            (Verb::Sweep, _) | (_, Told::NotDone) => unchanged(),
            (Verb::SignIn(_) | Verb::SignInAsOf, told) => {
                let is_late = call.verb == Verb::SignInAsOf && covered;
                let account = if let Verb::SignIn(account) = call.verb { account } else { 1 };
                let (id, token) = (call.id, call.token.clone());
                let made = SignedIn { id, account, session: 1, token };
                let joined: Living = living.iter().cloned().chain([made]).collect();
                // A sign-out that came meanwhile may have ended it before its caller was told.
                let is_overtaken = self.calls.iter().any(|other| {
                    other.ended > call.began
                        && !self.signed_out(other.verb, &joined).contains(&joined[joined.len() - 1])
                });
                match told {
                    Told::Done if !is_late => vec![(joined, covered)],
                    Told::Refused if is_overtaken && !is_late => {
                        let mut ended = joined;
                        if let Some(last) = ended.last_mut() {
                            // Of no sign-in that may be found at the end.
                            last.id = Some([0xff; 16]);
                        }
                        vec![(living.clone(), covered), (ended, covered)]
                    }
                    Told::Refused if is_late || may_be_refused => unchanged(),
                    Told::Unknown if is_late => unchanged(),
                    Told::Unknown => vec![(living.clone(), covered), (joined, covered)],
                    _ => Vec::new(),
                }
            }
            (Verb::Put, told) => {
                let stored = first.map(|first| {
                    let mut living = living.clone();
                    living[first].token.clone_from(&call.token);
                    (living, covered)
                });
                match told {
                    Told::Done => stored.into_iter().collect(),
                    // Stored, and then ended before its caller was told.
                    Told::Refused if stored.is_some() && self.is_to_be_signed_out(living, done) => {
                        stored.into_iter().collect()
                    }
                    Told::Refused if first.is_none() || may_be_refused => unchanged(),
                    Told::Unknown => stored.into_iter().chain(unchanged()).collect(),
                    _ => Vec::new(),
                }
            }
            (Verb::Get, Told::Value(value)) => {
                let expected = first.and_then(|first| living[first].held());
                // A put of unknown outcome may have stood for a while, too.
                let brought =
                    |call: &Call| call.told == Told::Unknown && Some(&call.token) == value.as_ref();
                // And so may a removal.
                let may_be_removed = self.calls.iter().any(|other| {
                    other.verb == Verb::Remove
                        && other.told == Told::Unknown
                        && other.began < call.ended
                });
                let is_right = *value == expected
                    || value.is_none() && (may_be_refused || may_be_removed)
                    || first.is_some() && self.calls.iter().any(brought);
                if is_right { unchanged() } else { Vec::new() }
            }
            (Verb::Get, Told::Unknown) => unchanged(),
            (Verb::Remove, told) => {
                let mut removed = living.clone();
                if let Some(first) = first {
                    removed[first].token.clear();
                }
                let removed = (removed, covered);
                match told {
                    Told::Done => vec![removed],
                    Told::Unknown => vec![removed, (living.clone(), covered)],
                    _ => Vec::new(),
                }
            }
            (_, told) => {
                // A sign-out of the first sign-in covers no other that account 1 has made.
                let covers = covered || call.verb != Verb::SignOutOne;
                let left = (self.signed_out(call.verb, living), covers);
                match told {
                    Told::Done => vec![left],
                    Told::Taken(taken, is_missed) => {
                        let mut due = living.iter().filter(|one| one.account == 1);
                        let has_all =
                            due.all(|one| one.held().is_none_or(|token| taken.contains(&token)));
                        // Of sign-ins that were dead already, too; never of another account.
                        let is_of_1 = |token: &String| {
                            let brought =
                                |call: &Call| call.token == *token && call.verb != Verb::SignIn(2);
                            token.starts_with(FIRST_OF_1) || self.calls.iter().any(brought)
                        };
                        let is_right = taken.iter().all(is_of_1)
                            && (has_all || *is_missed)
                            && (!is_missed || self.may_miss);
                        if is_right { vec![left] } else { Vec::new() }
                    }
                    Told::Unknown => vec![left, (living.clone(), covered)],
                    Told::Refused | Told::Value(_) | Told::NotDone => Vec::new(),
                }
            }
        }
    }

    /// Whether a sign-out that is still to come ends the first sign-in.
    fn is_to_be_signed_out(&self, living: &Living, done: &[bool]) -> bool {
        let to_come =
            self.calls.iter().zip(done).filter(|(call, done)| {
                !**done && matches!(call.told, Told::Done | Told::Taken(..))
            });
        let ends =
            |verb| self.signed_out(verb, living).iter().all(|one| one.id != self.first[0].id);
        to_come.into_iter().any(|(call, _)| ends(call.verb))
    }

    fn is_what_was_found(&self, living: &Living) -> bool {
        let tokens = |one: &SignedIn| (one.held(), one.held());
        let known: Found = living.iter().filter_map(|one| Some((one.id?, tokens(one)))).collect();
        // A sign-in that nobody was told of has an id that nobody knows.
        let mut unknown: Vec<_> =
            living.iter().filter(|one| one.id.is_none()).map(tokens).collect();
        self.found.iter().all(|(id, tokens)| match known.get(id) {
            Some(known) => known == tokens,
            None => match unknown.iter().position(|one| one == tokens) {
                Some(at) => {
                    unknown.remove(at);
                    true
                }
                None => false,
            },
        }) && unknown.is_empty()
            && known.keys().all(|id| self.found.contains_key(id))
    }

    /// Who is left.
    fn signed_out(&self, verb: Verb, living: &Living) -> Living {
        let in_session: Vec<u32> =
            living.iter().filter(|one| one.session == 1).map(|one| one.account).collect();
        let stays = |one: &&SignedIn| match verb {
            Verb::SignIn(_) | Verb::SignInAsOf | Verb::Put | Verb::Get => true,
            Verb::Remove | Verb::Sweep => true,
            Verb::SignOutAccount | Verb::Take => one.account != 1,
            Verb::SignOutSession => !in_session.contains(&one.account),
            Verb::SignOutOne => one.id != self.first[0].id,
            // Everybody is in it.
            Verb::SignOutTenant | Verb::SignOutEverybody => false,
        };
        living.iter().filter(stays).cloned().collect()
    }
}
