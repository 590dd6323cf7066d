//! The table at the end, and what was found on the way.

use std::collections::BTreeMap;

use super::attacks::Attack;
use crate::oracle::{Column, Finding};

#[derive(Default)]
pub struct Table {
    rows: BTreeMap<Attack, Row>,
    skipped: Vec<String>,
    /// By what is the same about them: how often, and the first of them.
    found: BTreeMap<(Column, String), (u64, String, String)>,
}

#[derive(Default)]
struct Row {
    cases: u64,
    found: BTreeMap<Column, u64>,
    explained: u64,
}

/// What is not the store's fault, with the reason. Only what sled does inside and what an operator deleted by hand may be here.
const EXPLAINED: &[(&str, &str)] = &[];

impl Table {
    pub fn add(&mut self, attack: Attack, script: &str, call: &str, name: &str, findings: &[Finding]) {
        let row = self.rows.entry(attack).or_default();
        row.cases += 1;
        let mut seen = Vec::new();
        for Finding { column, what } in findings {
            if EXPLAINED.iter().any(|(part, _)| what.contains(part)) {
                row.explained += 1;
                continue;
            }
            // A case counts once in a column.
            if !seen.contains(column) {
                *row.found.entry(*column).or_default() += 1;
                seen.push(*column);
                let key = (*column, format!("{} {script}: {}", attack.name(), signature(what)));
                let first = || (0, format!("{call}: {what}"), format!("{script}/{name}"));
                self.found.entry(key).or_insert_with(first).0 += 1;
            }
        }
    }

    pub fn skip(&mut self, what: String) {
        self.skipped.push(what);
    }

    pub fn cases(&self) -> u64 {
        self.rows.values().map(|row| row.cases).sum()
    }

    /// Whether there is nothing in any column.
    pub fn is_clean(&self) -> bool {
        self.rows.values().all(|row| row.found.is_empty())
    }

    pub fn print(&self) {
        for ((column, key), (count, first, name)) in &self.found {
            println!("FOUND {column:?} x{count}: {key}\n    first: {first}\n    again: tests/disk_faults/run --case {name}");
        }
        let columns = [
            (Column::Lost, "lost sign-ins"),
            (Column::Revived, "revived tokens"),
            (Column::Wrong, "wrong tokens"),
            (Column::Panic, "panics"),
            (Column::Hang, "hangs"),
            (Column::Damaged, "damaged though it should open"),
            (Column::Bench, "bench"),
        ];
        let names: Vec<&str> = columns.iter().map(|(_, name)| *name).collect();
        println!("\n| attack | cases | {} | explained |", names.join(" | "));
        println!("|---|---|{}---|", "---|".repeat(columns.len()));
        for attack in Attack::ALL {
            let Some(row) = self.rows.get(&attack) else { continue };
            let cells = columns.iter().map(|(column, _)| row.found.get(column).copied().unwrap_or(0).to_string());
            let cells = cells.collect::<Vec<_>>().join(" | ");
            println!("| {} | {} | {cells} | {} |", attack.says(), row.cases, row.explained);
        }
        self.skipped.iter().for_each(|what| println!("SKIPPED: {what}"));
    }
}

/// A finding without its numbers.
fn signature(what: &str) -> String {
    what.chars().filter(|c| !c.is_ascii_digit()).take(110).collect()
}
