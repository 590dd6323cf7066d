//! Every public verb of the store is seen by operators: it passes through `src/observe`, which
//! opens its span and counts its outcome.

use std::fs;
use std::path::{Path, PathBuf};

/// Adds the files of a folder and of those in it.
fn add_files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add_files(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
}

/// The functions of a file as rustfmt writes them: the line that names it, and its body.
fn functions(code: &str) -> Vec<(&str, String)> {
    let mut all: Vec<(&str, String)> = Vec::new();
    let mut is_open = false;
    for line in code.lines() {
        if line.starts_with("    pub fn ")
            || line.starts_with("    fn ")
            || line.starts_with("    pub(crate) fn ")
        {
            all.push((line.trim_start(), String::new()));
            is_open = true;
        }
        if is_open {
            let (_, body) = all.last_mut().unwrap();
            body.push_str(line);
            body.push('\n');
            is_open = line != "    }";
        }
    }
    all
}

fn name(head: &str) -> &str {
    let name = head.rsplit_once("fn ").map_or(head, |(_, name)| name);
    name.split(['(', '<']).next().unwrap_or(name)
}

fn is_seen(body: &str, all: &[(&str, String)]) -> bool {
    let calls = |head: &str| body.contains(&format!("self.{}(", name(head)));
    body.contains("observe::")
        || all.iter().any(|(head, inner)| calls(head) && inner.contains("observe::"))
}

#[test]
fn every_public_verb_is_observed() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut seen, mut unseen) = (Vec::new(), Vec::new());
    let mut files = Vec::new();
    for room in ["api", "store"] {
        add_files(&source.join(room), &mut files);
    }
    for path in files {
        let file = path.strip_prefix(&source).unwrap().display();
        let code = fs::read_to_string(&path).unwrap();
        let functions = functions(&code);
        for (head, body) in &functions {
            let signature = body.split(" {\n").next().unwrap_or_default();
            // What cannot fail only looks at a value in memory.
            if head.starts_with("pub fn ") && signature.contains("-> Result<") {
                let list = if is_seen(body, &functions) { &mut seen } else { &mut unseen };
                list.push(format!("{file}: {}", name(head)));
            }
        }
    }
    assert!(unseen.is_empty(), "{unseen:#?}");
    assert!(seen.len() > 30, "only these were found: are they written in another way? {seen:#?}");
}
