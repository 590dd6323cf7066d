//! Processes that are killed while they make a store together, or open it as the first.
//!
//! `OUBLIETTE_ROUNDS` sets how often.

use std::fs;
use std::time::Duration;

use oubliette_testkit::chance::Chance;
use oubliette_testkit::disk::{Home, entries, say};

use crate::child::{Process, by_hand};

/// The store that the others have is whole, and everybody's.
#[test]
fn a_store_is_born_although_some_die_of_it() {
    let rounds = by_hand("OUBLIETTE_ROUNDS", 30);
    let mut chance = Chance::seeded("OUBLIETTE_BIRTH_SEED", 20_261_203);
    let (mut unborn, mut half) = (0, 0);
    for round in 0..rounds {
        let home = Home::new();
        let open = format!("open {}", home.path().display());
        let mut dying: Vec<Process> = (0..2).map(|_| Process::servant()).collect();
        let mut living = Process::servant();
        dying.iter_mut().for_each(|process| process.say(&open));
        // (Where it strikes, nobody can say.)
        std::thread::sleep(Duration::from_micros(chance.below(20_000)));
        let is_beside = chance.one_in(2);
        if is_beside {
            living.say(&open);
            std::thread::sleep(Duration::from_micros(chance.below(5_000)));
        }
        for process in &mut dying {
            process.kill();
        }
        let names = || fs::read_dir(home.path()).map(Iterator::count).unwrap_or_default();
        unborn += u32::from(names() == 0);
        half += u32::from(home.path().join("birth").exists());
        let answer = if is_beside { living.hear().unwrap() } else { living.ask(&open) };
        if answer.starts_with("no ") {
            panic!("round {round}: {answer}; the folder is kept: {:?}", home.keep());
        }
        living.must("in 1 rt-1");
        living.must("in 2 rt-1");
        living.must("out 2");
        let mut other = Process::with_store(&home.path());
        assert_eq!((&*other.must("get 1"), &*other.must("get 2")), ("rt-1", ""));
        // Everybody dies, and the next one is the first again; it is killed while it opens.
        living.kill();
        other.kill();
        let mut first = Process::servant();
        first.say(&open);
        std::thread::sleep(Duration::from_micros(chance.below(10_000)));
        first.kill();
        let mut next = Process::with_store(&home.path());
        assert_eq!((&*next.must("get 1"), &*next.must("get 2")), ("rt-1", ""));
        let is_whole = |path: &std::path::PathBuf| path.extension().is_some_and(|it| it == "db");
        assert_eq!(entries(&home.path(), "rows-").iter().filter(|path| is_whole(path)).count(), 1);
    }
    say(&format!("{rounds} births; {unborn} deaths before them, {half} in the middle"));
}
