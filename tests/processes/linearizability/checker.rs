//! Whether a history of an account is linearizable: whether there is an order of its verbs, each at
//! some moment between its call and its return, in which a store that does one after the other would
//! have answered the same.
//!
//! The search is that of Wing and Gong ("Testing and verifying concurrent objects", 1993) with the
//! memory of Lowe ("Testing for linearizability", 2017): the first verb is one that was called before
//! any returned; a set of verbs that has led to a state once is not tried again.

use std::collections::HashSet;

/// A sign-in's number.
pub(crate) type Id = u64;

/// The sign-ins that are live, in the order of their numbers, with their sessions.
type State = Vec<(Id, Option<u32>)>;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Call {
    SignIn(Id, Option<u32>),
    /// Of the account, or of something that covers all of it.
    SignOut,
    /// Of a session: it ends the whole account, if a sign-in of the session is live. (It may if one
    /// was, too: what is over stays in the index for a time.)
    EndSession(u32),
    /// The sign-ins that were found, in the order of their numbers.
    Read(Vec<Id>),
    /// Whether this one was found live.
    IsLive(Id, bool),
}

#[derive(Clone, Debug)]
pub(crate) struct Verb {
    pub(crate) called: u64,
    /// `None` if it never did: it has happened at some time, or not at all.
    pub(crate) returned: Option<u64>,
    pub(crate) call: Call,
}

/// The states that the verb can lead to, given what it has answered.
fn after(state: &State, call: &Call, variant: usize) -> Option<State> {
    let only = |state: State| (variant == 0).then_some(state);
    match call {
        Call::SignIn(id, session) => {
            let mut next = state.clone();
            next.push((*id, *session));
            next.sort_unstable();
            only(next)
        }
        Call::SignOut => only(Vec::new()),
        Call::EndSession(session) => match variant {
            0 => Some(Vec::new()),
            1 if state.iter().all(|one| one.1 != Some(*session)) => Some(state.clone()),
            _ => None,
        },
        Call::Read(found) => {
            let same = state.iter().map(|one| one.0).eq(found.iter().copied());
            if same { only(state.clone()) } else { None }
        }
        Call::IsLive(id, is_live) => {
            let is_there = state.iter().any(|one| one.0 == *id);
            if is_there == *is_live { only(state.clone()) } else { None }
        }
    }
}

const VARIANTS: usize = 2;

/// The calls and returns in the order of their times, as a list from which a verb can be taken, and
/// be put back.
struct List {
    /// Which verb, and whether it is its return. The first and the last stand for the ends.
    entries: Vec<(usize, bool)>,
    next: Vec<usize>,
    previous: Vec<usize>,
    /// The places of each verb's call and return.
    places: Vec<(usize, Option<usize>)>,
}

impl List {
    fn new(verbs: &[Verb]) -> Self {
        let mut times: Vec<(u64, bool, usize)> = Vec::new();
        for (number, verb) in verbs.iter().enumerate() {
            times.push((verb.called, false, number));
            times.extend(verb.returned.map(|at| (at, true, number)));
        }
        // Of a call and a return at the same time, either may have been first: the call is.
        times.sort_unstable();
        let mut entries = vec![(usize::MAX, false)];
        entries.extend(times.into_iter().map(|(_, is_return, number)| (number, is_return)));
        entries.push((usize::MAX, false));
        let mut places = vec![(0, None); verbs.len()];
        for (place, (number, is_return)) in entries.iter().enumerate() {
            if let Some(its) = places.get_mut(*number) {
                if *is_return { its.1 = Some(place) } else { its.0 = place }
            }
        }
        let next = (1..=entries.len()).collect();
        let previous = (0..entries.len()).map(|place| place.wrapping_sub(1)).collect();
        Self { entries, next, previous, places }
    }

    fn take(&mut self, verb: usize) {
        let (call, back) = self.places[verb];
        for place in [Some(call), back].into_iter().flatten() {
            let (before, behind) = (self.previous[place], self.next[place]);
            self.next[before] = behind;
            self.previous[behind] = before;
        }
    }

    fn put_back(&mut self, verb: usize) {
        let (call, back) = self.places[verb];
        for place in [back, Some(call)].into_iter().flatten() {
            let (before, behind) = (self.previous[place], self.next[place]);
            self.next[before] = place;
            self.previous[behind] = place;
        }
    }
}

/// Whether the history of an account, which nobody has signed in to before, is linearizable. If not:
/// the verb behind whose return the search got no further.
pub(crate) fn check(verbs: &[Verb]) -> Result<(), Verb> {
    let mut list = List::new(verbs);
    let mut done = vec![0_u64; verbs.len().div_ceil(64)];
    let mut state = State::new();
    let mut tried: HashSet<(Vec<u64>, State)> = HashSet::new();
    let mut stack: Vec<(usize, usize, State)> = Vec::new();
    let (mut place, mut variant) = (list.next[0], 0);
    let mut furthest = (0, 0);
    loop {
        let (verb, is_return) = list.entries[place];
        if verb == usize::MAX {
            return Ok(());
        }
        if !is_return {
            let bit = 1 << (verb % 64);
            let found = (variant..VARIANTS).find_map(|variant| {
                let next = after(&state, &verbs[verb].call, variant)?;
                done[verb / 64] |= bit;
                let is_new = tried.insert((done.clone(), next.clone()));
                done[verb / 64] &= !bit;
                is_new.then_some((variant, next))
            });
            if let Some((chosen, next)) = found {
                done[verb / 64] |= bit;
                stack.push((verb, chosen, std::mem::replace(&mut state, next)));
                list.take(verb);
                (place, variant) = (list.next[0], 0);
            } else {
                (place, variant) = (list.next[place], 0);
            }
            continue;
        }
        // This one returned before any that is left was called, and has no place before it.
        if stack.len() >= furthest.0 {
            furthest = (stack.len(), verb);
        }
        let Some((last, chosen, before)) = stack.pop() else {
            return Err(verbs[furthest.1].clone());
        };
        state = before;
        done[last / 64] &= !(1 << (last % 64));
        list.put_back(last);
        (place, variant) = (list.places[last].0, chosen + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oubliette_testkit::chance::Chance;

    fn verb(called: u64, returned: u64, call: Call) -> Verb {
        Verb { called, returned: Some(returned), call }
    }

    #[test]
    fn small_histories() {
        use Call::{IsLive, Read, SignIn, SignOut};
        let good: [&[Verb]; 5] = [
            &[],
            &[verb(0, 1, SignIn(1, None)), verb(2, 3, Read(vec![1])), verb(4, 5, SignOut)],
            // At the same time: either order.
            &[verb(0, 9, SignIn(1, None)), verb(1, 2, Read(vec![])), verb(3, 4, Read(vec![1]))],
            &[verb(0, 1, SignIn(1, None)), verb(2, 9, SignOut), verb(3, 4, IsLive(1, false))],
            // Who has died may have done it.
            &[
                verb(0, 1, SignIn(1, None)),
                Verb { called: 2, returned: None, call: SignOut },
                verb(3, 4, IsLive(1, true)),
                verb(5, 6, IsLive(1, false)),
            ],
        ];
        for history in good {
            assert!(check(history).is_ok(), "{history:?}");
        }
        let bad: [&[Verb]; 5] = [
            &[verb(0, 1, SignIn(1, None)), verb(2, 3, SignOut), verb(4, 5, Read(vec![1]))],
            &[verb(0, 1, SignIn(1, None)), verb(2, 3, Read(vec![]))],
            // Two reads, one behind the other, that say the contrary of one sign-in at the time.
            &[verb(0, 9, SignIn(1, None)), verb(1, 2, Read(vec![1])), verb(3, 4, Read(vec![]))],
            &[
                verb(0, 1, SignIn(1, None)),
                verb(2, 9, SignOut),
                verb(3, 4, IsLive(1, false)),
                verb(5, 6, IsLive(1, true)),
            ],
            &[
                verb(0, 1, SignIn(1, Some(7))),
                verb(2, 3, Call::EndSession(7)),
                verb(4, 5, IsLive(1, true)),
            ],
        ];
        for history in bad {
            assert!(check(history).is_err(), "{history:?}");
        }
    }

    /// A history that is linearizable as it was made by doing one verb after the other, each at a
    /// moment of its interval.
    fn random(chance: &mut Chance) -> Vec<Verb> {
        let (mut verbs, mut state) = (Vec::new(), State::new());
        for number in 1..=60 {
            let moment = 1000 + number * 100;
            let call = match chance.below(10) {
                0..4 => Call::SignIn(number, [None, Some(1)][chance.below(2) as usize]),
                4 => Call::SignOut,
                5 => Call::EndSession(1),
                6 => Call::IsLive(number / 2, state.iter().any(|one| one.0 == number / 2)),
                _ => Call::Read(state.iter().map(|one| one.0).collect()),
            };
            let variant = usize::from(
                call == Call::EndSession(1) && state.iter().all(|one| one.1 != Some(1)),
            );
            state = after(&state, &call, variant).unwrap();
            let (called, returned) = (moment - chance.below(400), moment + chance.below(400));
            verbs.push(Verb { called, returned: Some(returned).filter(|_| number != 30), call });
        }
        verbs
    }

    #[test]
    fn a_stale_read_is_found_in_every_history() {
        let mut chance = Chance::seeded("OUBLIETTE_CHECKER_SEED", 7);
        let mut stale = 0;
        for _ in 0..300 {
            let mut history = random(&mut chance);
            if let Err(verb) = check(&history) {
                panic!("{verb:?} in {history:?}");
            }
            if let Some(read) = super::super::stale_read(&history) {
                history.push(read);
                assert!(check(&history).is_err(), "{history:?}");
                stale += 1;
            }
        }
        assert!(stale > 200, "{stale}");
    }
}
