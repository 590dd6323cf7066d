//! `kill -9`, hundreds of times: a child works and writes down what it was told, the parent kills
//! it at a random moment, opens the store itself, and holds it to every word.
//!
//! `OUBLIETTE_KILL_ROUNDS` sets how often (200), `OUBLIETTE_KILL_SEED` the chance.

mod log;
mod oracle;
mod worker;

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime};

use log::Line;
use oracle::Oracle;
use oubliette_testkit::chance::Chance;
use oubliette_testkit::disk::{self, Home, say};

/// Set for the child: where its log is, the first free id, the seed of its work.
const CHILD: &str = "OUBLIETTE_KILL_CHILD";

/// Not a test but what the child does.
#[test]
fn child() {
    if let Ok(folder) = std::env::var(CHILD) {
        worker::run(&folder);
    }
}

#[test]
fn every_acknowledged_verb_survives_kill_9() {
    let rounds = std::env::var("OUBLIETTE_KILL_ROUNDS")
        .map_or(200, |text| text.parse().expect("a number of rounds"));
    let mut chance = Chance::seeded("OUBLIETTE_KILL_SEED", 20_261_121);
    let start = std::time::Instant::now();
    let mut pace = Pace { creation: Duration::from_millis(15), open: Duration::from_millis(15) };
    let mut deaths: BTreeMap<Phase, u32> = Phase::ALL.into_iter().map(|phase| (phase, 0)).collect();
    let mut totals = oracle::Totals::default();
    let mut next_id = 1;
    let (mut home, mut oracle) = (Home::new(), Oracle::default());
    for round in 0..rounds {
        if chance.one_in(5) {
            (home, oracle) = (Home::new(), Oracle::default());
        }
        let delay = pace.draw(&mut chance, !home.path().exists());
        let lines = live_and_die(&home, delay, next_id, chance.next(), &mut pace);
        let phase = Phase::of(&lines, &home);
        *deaths.entry(phase).or_default() += 1;
        next_id = lines.iter().filter_map(Line::id).max().map_or(next_id, |id| id + 1);
        let judged = oracle.judge(&home.path(), &lines, &mut chance, &mut totals);
        if let Err(wrong) = judged {
            let kept = home.keep();
            panic!(
                "round {round}, killed after {delay:?} in {phase:?}: {wrong}; the folder is kept: {kept:?}"
            );
        }
    }
    say(&format!(
        "{rounds} rounds in {:.1} s; deaths: {deaths:?}; {totals:?}",
        start.elapsed().as_secs_f64()
    ));
    for phase in [Phase::Creation, Phase::Open, Phase::Serving, Phase::Reclaim, Phase::Moving] {
        assert!(deaths[&phase] > 0, "nobody died in {phase:?}");
    }
    totals.assert_telling();
}

/// Lets a child work for so long, kills it, and gives what it wrote down.
fn live_and_die(
    home: &Home,
    delay: Duration,
    first_id: u64,
    seed: u64,
    pace: &mut Pace,
) -> Vec<Line> {
    let (log, errors) = (home.beside("log"), home.beside("errors"));
    fs::write(&log, "").unwrap();
    let is_new = !home.path().exists();
    let spawned = SystemTime::now();
    let mut child = disk::again("kill::child")
        .env(CHILD, home.beside(""))
        .env("OUBLIETTE_KILL_FIRST_ID", first_id.to_string())
        .env("OUBLIETTE_KILL_CHILD_SEED", seed.to_string())
        .stderr(fs::File::create(&errors).unwrap())
        .spawn()
        .unwrap();
    std::thread::sleep(delay);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let mut lines = log::read(&log);
    let errors = fs::read_to_string(errors).unwrap();
    if status.code().is_some() || !errors.is_empty() {
        lines.push(Line::Wrong(format!("the child ended by itself: {status:?} {errors}")));
    }
    if let Some(serving) =
        lines.iter().find_map(|line| if let Line::Serving(at) = line { Some(*at) } else { None })
    {
        let took = serving.duration_since(spawned).unwrap_or_default();
        let known = if is_new { &mut pace.creation } else { &mut pace.open };
        *known = (*known * 3 + took) / 4;
    }
    lines
}

/// How long a child takes until it serves, as seen lately.
struct Pace {
    creation: Duration,
    open: Duration,
}

impl Pace {
    /// From nothing at all to well behind the opening.
    fn draw(&self, chance: &mut Chance, is_new: bool) -> Duration {
        let opening = if is_new { self.creation } else { self.open };
        let opening = u64::try_from(opening.as_micros()).unwrap();
        let micros = match chance.below(20) {
            0 => 0,
            1..=8 => chance.below(opening * 5 / 4),
            _ => opening + chance.below(200_000),
        };
        Duration::from_micros(micros)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Before the child said anything.
    Start,
    /// The keyring or the engine was not there yet.
    Creation,
    Open,
    /// With no sign-out waiting for its reclaim.
    Serving,
    /// With sign-outs waiting for their reclaim.
    Reclaim,
    /// While the rows were on their way to a fresh engine.
    Moving,
    Close,
}

impl Phase {
    const ALL: [Self; 7] = [
        Self::Start,
        Self::Creation,
        Self::Open,
        Self::Serving,
        Self::Reclaim,
        Self::Moving,
        Self::Close,
    ];

    fn of(lines: &[Line], home: &Home) -> Self {
        let stage = lines
            .iter()
            .rev()
            .find(|line| matches!(line, Line::Opening | Line::Serving(_) | Line::Closing));
        let waiting = |thread| {
            let last = lines.iter().rev().find(
                |line| matches!(line, Line::Reclaim(t) | Line::ReclaimReport(t) if *t == thread),
            );
            matches!(last, Some(Line::Reclaim(_)))
        };
        let is_born = || {
            let is_engine = |path: &std::path::PathBuf| path.extension().is_none();
            home.path().join("keyring").exists()
                && disk::entries(&home.path(), "engine-").iter().any(is_engine)
        };
        match stage {
            None => Self::Start,
            Some(Line::Opening) if !home.path().exists() || !is_born() => Self::Creation,
            Some(Line::Opening) => Self::Open,
            Some(Line::Closing) => Self::Close,
            Some(Line::Serving(_)) if home.path().join("moving").exists() => Self::Moving,
            Some(_) if (0..worker::THREADS).any(waiting) => Self::Reclaim,
            Some(_) => Self::Serving,
        }
    }
}
