//! Every pair of verbs of two instances: the second comes in at every exchange of the first, before
//! it or behind it; and so does a lost answer, a repeated request, or the standby that takes over.
//! Then every third verb within the second, of the most dangerous ones.

use std::sync::atomic::Ordering;

use oubliette::{Fate, Flaw};

use super::history::Verb;
use super::world::World;

const VERBS: [Verb; 11] = [
    Verb::SignIn(1),
    Verb::SignIn(2),
    Verb::SignInAsOf,
    Verb::Put,
    Verb::Get,
    Verb::SignOutAccount,
    Verb::SignOutSession,
    Verb::SignOutTenant,
    Verb::SignOutEverybody,
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
}

const EVENTS: [Event; 5] =
    [Event::Nothing, Event::Lost, Event::NotSent, Event::Repeated, Event::FailOver];

/// One history: `outer` runs; at its `at`th exchange `inner` runs, and then the event happens.
/// `None` if there is no such exchange. Else whether all is explained.
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
    let met = world.disturb(0, at, move || {
        if let Some((inner, third)) = inner {
            if let Some((at, third)) = third {
                let (within, other) = (disturbed.clone(), disturbed.clone());
                within.disturb(1, at, move || {
                    other.run(2, third);
                    Fate::Answered
                });
            }
            disturbed.run(1, inner);
        }
        match event {
            Event::Nothing => Fate::Answered,
            Event::Lost => Fate::Lost,
            Event::NotSent => Fate::NotSent,
            Event::Repeated => Fate::Repeated,
            Event::FailOver => {
                disturbed.machine.fail_over();
                Fate::Answered
            }
        }
    });
    world.run(0, outer);
    let history = world.end();
    if met.load(Ordering::Relaxed) <= at {
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
            for (at, within) in (0..).step_by(2).flat_map(|at| (0..8).map(move |it| (at, it))) {
                match run(outer, at, Some((inner, Some((within, third)))), Event::Nothing, None) {
                    Some(Ok(())) => histories += 1,
                    Some(Err(history)) => panic!("{history}"),
                    None => break,
                }
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
