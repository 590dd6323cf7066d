//! Every seed, and everything that was ever found, once more: on the stable toolchain, without a fuzzer.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use oubliette_fuzz::{TARGETS, seeds};

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let files =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files = files.map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())
        })
        .collect()
}

#[test]
fn every_file_of_the_corpus_keeps_the_promises() {
    let mut runs = 0;
    for (target, run) in TARGETS {
        for (name, bytes) in corpus(target) {
            let done = std::panic::catch_unwind(|| run(&bytes));
            assert!(done.is_ok(), "corpus/{target}/{name}");
            runs += 1;
        }
    }
    assert!(runs > 150, "{runs}");
}

/// After a change of a format or a plan: `cargo run --example seeds`.
#[test]
fn the_corpus_is_what_the_seeds_program_writes_and_small() {
    let mut bytes = 0;
    for (target, _) in TARGETS {
        let files = corpus(target);
        bytes += files.iter().map(|(_, content)| content.len()).sum::<usize>();
        let names: BTreeSet<String> = files
            .into_iter()
            .map(|(name, _)| name)
            .filter(|name| !name.starts_with("found-"))
            .collect();
        assert_eq!(names, seeds::of(target).into_keys().collect(), "{target}");
    }
    assert!(bytes < 1 << 20, "{bytes}");
}
