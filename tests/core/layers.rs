//! The rooms of `src/` stand in an order, from the ground up: the one in which `src/lib.rs` lists
//! them. No import runs up.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms in their order.
fn rooms() -> Vec<String> {
    let lib = fs::read_to_string(source().join("lib.rs")).unwrap();
    let modules = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("mod ")));
    modules.filter_map(|name| name.strip_suffix(';')).map(str::to_owned).collect()
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
}

/// The code of a file without comments and without its tests, which may use any room.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let mut code = String::new();
    let mut is_test = false;
    for line in text.lines() {
        // A test module is the last thing in its file.
        is_test |=
            line.starts_with("#[cfg(") && (line.contains("(test)") || line.contains("(test,"));
        if is_test && line.starts_with("mod ") && line.ends_with('{') {
            break;
        }
        is_test &= line.starts_with("#[");
        code.push_str(line.split("//").next().unwrap_or_default());
        code.push('\n');
    }
    code
}

/// The rooms that a file names: `crate::<room>`.
fn named(code: &str) -> BTreeSet<&str> {
    let paths = code.split("crate::").skip(1);
    paths
        .map(|path| {
            path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
        })
        .collect()
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
        || path.file_name().is_some_and(|name| {
            name == "tests.rs" || name == "model.rs" || name == "conformance.rs"
        })
}

#[test]
fn no_import_runs_up() {
    let (rooms, source) = (rooms(), source());
    assert!(rooms.len() > 12, "the list of rooms in src/lib.rs is not read any more: {rooms:?}");
    let place = |name: &str| rooms.iter().position(|room| room == name);
    let mut all = Vec::new();
    files(&source, &mut all);
    let (mut seen, mut up) = (0, Vec::new());
    for path in all.iter().filter(|path| !is_test(path)) {
        let inside = path.strip_prefix(&source).unwrap();
        let room = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let room = room.strip_suffix(".rs").unwrap_or(room);
        let Some(mine) = place(room) else {
            assert!(room == "lib", "{} stands in no room", inside.display());
            continue;
        };
        let code = code(path);
        for other in named(&code) {
            seen += 1;
            // (What is no room is named from the root, as the public interface has it.)
            let Some(theirs) = place(other) else {
                up.push(format!("{}: crate::{other}", inside.display()));
                continue;
            };
            if theirs > mine {
                up.push(format!("{}: {room} is below {other}", inside.display()));
            }
        }
    }
    assert!(seen > 300, "only {seen} imports were seen: are they written in another way?");
    assert!(up.is_empty(), "{up:#?}");
}

#[test]
fn every_folder_of_the_source_is_a_room() {
    let rooms = rooms();
    for entry in fs::read_dir(source()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let name = name.strip_suffix(".rs").unwrap_or(&name);
        assert!(name == "lib" || rooms.iter().any(|room| room == name), "{name} is no room");
    }
}
