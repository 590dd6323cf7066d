//! Every pair of verbs of two instances: the second comes in at every exchange of the first, before
//! it or behind it; and so does a lost answer, a repeated request, or the standby that takes over.
//! Then every third verb within the second, of the most dangerous ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use oubliette::{Fate, Flaw};

use super::history::Verb;
use super::world::{INSTANCES, World};

const VERBS: [Verb; 13] = [
    Verb::SignIn(1),
    Verb::SignIn(2),
    Verb::SignInAsOf,
    Verb::Put,
    Verb::Get,
    Verb::Remove,
    Verb::SignOutAccount,
    Verb::SignOutSession,
    Verb::SignOutTenant,
    Verb::SignOutEverybody,
    Verb::SignOutOne,
    Verb::Take,
    Verb::Sweep,
];

const DANGEROUS: [Verb; 5] =
    [Verb::SignIn(1), Verb::SignIn(2), Verb::Put, Verb::SignOutSession, Verb::Take];

/// What happens at an exchange.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Nothing,
    Lost,
    NotSent,
    Repeated,
    FailOver,
    /// Its answer is lost, and then the place fails over at the next but one.
    LostThenFailOver,
    /// No exchange arrives from here on.
    NoneArrives,
}

const EVENTS: [Event; 7] = [
    Event::Nothing,
    Event::Lost,
    Event::NotSent,
    Event::Repeated,
    Event::FailOver,
    Event::LostThenFailOver,
    Event::NoneArrives,
];

impl Event {
    /// What becomes of the `later`th exchange behind the one at which it happens.
    fn fate(self, later: usize, world: &World) -> Fate {
        match (self, later) {
            (Self::Lost | Self::LostThenFailOver, 0) => Fate::Lost,
            (Self::NotSent, 0) | (Self::NoneArrives, _) => Fate::NotSent,
            (Self::Repeated, 0) => Fate::Repeated,
            (Self::FailOver, 0) | (Self::LostThenFailOver, 2) => {
                world.machine.fail_over();
                Fate::Answered
            }
            _ => Fate::Answered,
        }
    }
}

/// One history: `outer` runs; at its `at`th exchange `inner` runs, somebody reads what it has left,
/// and then the event happens. If there is a third verb, it runs within the second. `None` if there
/// is no such exchange. Else whether all is explained.
fn run(
    outer: Verb,
    at: usize,
    inner: Option<(Verb, Option<(usize, Verb)>)>,
    event: Event,
    flaw: Option<Flaw>,
) -> Option<Result<(), String>> {
    let world = World::new();
    if let Some(flaw) = flaw {
        world.machine.break_promise(flaw);
    }
    let disturbed = world.clone();
    let has_come = Arc::new(AtomicBool::new(true));
    let came = has_come.clone();
    let met = world.disturb(0, move |number| {
        if number < at {
            return Fate::Answered;
        }
        if let (Some((inner, third)), true) = (inner, number == at) {
            if let Some((within, third)) = third {
                came.store(false, Ordering::Relaxed);
                let (other, came) = (disturbed.clone(), came.clone());
                disturbed.disturb(1, move |number| {
                    if number == within {
                        came.store(true, Ordering::Relaxed);
                        other.run(2, third);
                    }
                    Fate::Answered
                });
            }
            disturbed.run(1, inner);
            disturbed.run(INSTANCES, Verb::Get);
        }
        event.fate(number - at, &disturbed)
    });
    world.run(0, outer);
    let history = world.end(event != Event::Nothing);
    if met.load(Ordering::Relaxed) <= at || !has_come.load(Ordering::Relaxed) {
        return None;
    }
    Some(if history.is_explained() {
        Ok(())
    } else {
        let calls = history.calls;
        let found = history.found;
        Err(format!("{outer:?} at {at}: {inner:?}, {event:?}: {calls:#?}, found {found:#?}"))
    })
}

/// All histories of two verbs with one event. Gives how many there were, or the first that nothing
/// explains.
fn explore(verbs: &[Verb], events: &[Event], flaw: Option<Flaw>) -> Result<usize, String> {
    let mut histories = 0;
    for outer in verbs {
        let inners = verbs.iter().map(|inner| Some((*inner, None))).chain([None]);
        for (inner, event) in inners.flat_map(|inner| events.iter().map(move |it| (inner, *it))) {
            for at in 0.. {
                match run(*outer, at, inner, event, flaw) {
                    Some(Ok(())) => histories += 1,
                    Some(Err(history)) => return Err(history),
                    None => break,
                }
            }
        }
    }
    Ok(histories)
}

#[test]
fn every_pair_of_verbs_is_as_one_after_the_other() {
    let histories = explore(&VERBS, &EVENTS, None).unwrap_or_else(|history| panic!("{history}"));
    println!("{histories} histories");
    assert!(histories > 3000, "{histories}");
}

#[test]
fn every_dangerous_three_are_as_one_after_the_other() {
    let mut histories = 0;
    for (outer, inner) in VERBS.iter().flat_map(|outer| DANGEROUS.map(|inner| (*outer, inner))) {
        for third in DANGEROUS {
            let run = |at, within| {
                run(outer, at, Some((inner, Some((within, third)))), Event::Nothing, None)
            };
            // At every other exchange of the first verb, and at all of the second.
            for at in (0..).step_by(2) {
                let mut met = 0;
                while let Some(history) = run(at, met) {
                    history.unwrap_or_else(|history| panic!("{history}"));
                    met += 1;
                }
                if met == 0 {
                    break;
                }
                histories += met;
            }
        }
    }
    println!("{histories} histories");
    assert!(histories > 3000, "{histories}");
}

/// Without this, the two above could be blind. (That positions are given out again takes three verbs
/// and a crash: `named.rs` has it.)
#[test]
fn every_broken_promise_of_the_place_is_noticed() {
    let flaws = [
        Flaw::BlindToFences,
        Flaw::BlindToGuards,
        Flaw::IndexBefore,
        Flaw::AnswersEarly,
        Flaw::HidesFences,
    ];
    for flaw in flaws {
        let found = explore(&VERBS, &[Event::Nothing, Event::FailOver], Some(flaw));
        assert!(found.is_err(), "{flaw:?} was not noticed");
    }
}
