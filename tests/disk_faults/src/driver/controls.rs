//! What proves that the bench can see: stores that are bad on purpose, each of which an attack must find; and one that is not, in which
//! nothing must be found.

use std::sync::Arc;
use std::time::Duration;

use super::attacks::{Attack, Plan, plans};
use super::case::Bench;
use super::options::Options;
use super::scripts::{NEXT, SCRIPTS, Script, TOY, TOY_NEXT};
use super::shim::Fault;
use super::{Recorded, Work, cuts, ext4, one, record, shutdowns};
use crate::oracle::Column::{self, Damaged, Hang, Lost, Panic, Revived, Wrong};

/// A flaw, the attack that must find it, and as what.
const CONTROLS: &[(&str, Attack, &[Column])] = &[
    ("toy-early", Attack::Kill, &[Lost]),
    ("toy-early", Attack::Kill, &[Revived]),
    ("toy-mixes", Attack::Kill, &[Wrong]),
    ("toy-in-place", Attack::Torn, &[Damaged, Lost]),
    ("toy-mends", Attack::KillTwice, &[Damaged, Lost]),
    ("toy-empty", Attack::Once, &[Lost]),
    ("toy-unwraps", Attack::Once, &[Panic]),
    ("toy-stubborn", Attack::ForEver, &[Hang]),
    ("toy-deaf", Attack::ForEver, &[Lost, Revived]),
    ("toy-deaf", Attack::AFew, &[Lost, Revived]),
    ("toy-deaf", Attack::Half, &[Lost, Revived]),
    ("toy-one-call", Attack::Short, &[Lost, Damaged]),
    ("toy-no-sync", Attack::PowerCut, &[Lost, Revived, Damaged, Wrong]),
    ("toy-no-folder-sync", Attack::PowerCut, &[Lost, Revived]),
    ("toy-trusts", Attack::KillThenCut, &[Revived]),
    ("toy-no-sync", Attack::Ext4, &[Lost, Revived, Damaged]),
    // The store itself, on a disk whose syncs do nothing.
    (LIES, Attack::PowerCut, &[Lost, Revived]),
    (LIES, Attack::Ext4, &[Lost, Revived]),
];

const LIES: &str = "the store without syncs";

/// Runs them; says which were not caught.
pub fn are_caught(bench: &Bench, options: &Options) -> bool {
    let mut all = true;
    let can_mount = ext4::Volume::new(&bench.scratch).is_ok();
    for (flaw, attack, columns) in CONTROLS.iter().filter(|(_, attack, _)| options.wants_attack(*attack)) {
        if *attack == Attack::Ext4 && !can_mount {
            println!("SKIPPED control {flaw}: no loop device, or not root");
            continue;
        }
        let caught = search(bench, flaw, *attack, |column| columns.contains(&column));
        println!("control {flaw} under {}: {}", attack.name(), caught.as_deref().unwrap_or("NOT CAUGHT"));
        all &= caught.is_some();
    }
    for attack in Attack::ALL.into_iter().filter(|attack| options.wants_attack(*attack)) {
        if attack == Attack::Ext4 && !can_mount {
            continue;
        }
        let found = search(bench, "toy", attack, |_| true);
        println!("control toy under {}: {}", attack.name(), found.as_deref().unwrap_or("nothing is found, rightly"));
        all &= found.is_none();
    }
    all & are_quiet(bench, options)
}

/// Every script without a fault, and every verb that comes next: nothing must be found.
fn are_quiet(bench: &Bench, options: &Options) -> bool {
    let mut alarms = 0;
    let scripts: Vec<&'static Script> = SCRIPTS.iter().filter(|script| options.wants_script(script.name)).collect();
    for (turn, script) in scripts.iter().enumerate() {
        bench.make(script.state);
        for step in 0..2 {
            let next = NEXT[(turn * 2 + step) % NEXT.len()];
            // There is no call of this number.
            let fault = Fault { act: "fail", ..Fault::default() };
            let plan = Plan { attack: Attack::Once, call: String::new(), fault, next, again: None, chance: 0 };
            let work = Work { script, recorded: None, plan };
            for finding in one(bench, &bench.scratch.join("control"), &work, &mut None) {
                println!("FALSE ALARM: {}, then {next}: {:?}: {}", script.name, finding.column, finding.what);
                alarms += 1;
            }
        }
    }
    println!("control: {} scripts without a fault: {alarms} false alarms", scripts.len());
    alarms == 0
}

/// The first case that ends in such a column.
fn search(bench: &Bench, engine: &str, attack: Attack, is_it: impl Fn(Column) -> bool) -> Option<String> {
    let lies = engine == LIES;
    let (script, next) = if lies { (script_of("out_and_in"), &NEXT[..1]) } else { (&TOY, TOY_NEXT) };
    let engine = if lies { bench.engine.clone() } else { engine.to_owned() };
    let bench = Bench { engine, lies, hang: Duration::from_secs(3), ..bench.clone() };
    let calls = bench.calls(script);
    let (plans, recorded): (Vec<Plan>, _) = match attack {
        Attack::PowerCut => {
            let recorded: Recorded = record(&bench, script);
            (cuts(&recorded.entries, next), Some(Arc::new(recorded)))
        }
        Attack::Ext4 => (shutdowns(&calls, next), None),
        _ => (plans(attack, &calls, next, 24), None),
    };
    let (root, mut volume) = (bench.scratch.join("control"), None);
    for plan in plans {
        let work = Work { script, recorded: recorded.clone(), plan };
        let findings = one(&bench, &root, &work, &mut volume);
        if let Some(finding) = findings.into_iter().find(|finding| is_it(finding.column)) {
            return Some(format!("{:?} at {}: {}", finding.column, work.plan.call, finding.what));
        }
    }
    None
}

fn script_of(name: &str) -> &'static Script {
    SCRIPTS.iter().find(|script| script.name == name).expect("a script of this name")
}
