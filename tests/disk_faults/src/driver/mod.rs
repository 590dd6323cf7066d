//! The driver: which cases there are, who runs them, and what they add up to.

mod attacks;
mod bypass;
mod case;
mod controls;
mod errnos;
mod ext4;
mod options;
mod power;
mod scripts;
mod shim;
mod states;
mod table;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attacks::{Attack, LOOKS, Plan, plans};
use case::{Bench, Process, Site};
use options::Options;
use power::{Disk, Entry};
use scripts::{NEXT, SCRIPTS, Script};
use table::Table;

use crate::log::{self, Ending};
use crate::oracle::{Column, Finding};

/// A script's recorded run: the disk before it, and what happened.
struct Recorded {
    disk: Disk,
    entries: Vec<Entry>,
}

/// A script with its attacks.
struct Work {
    script: &'static Script,
    recorded: Option<Arc<Recorded>>,
    plan: Plan,
}

/// Runs what was asked for. Gives whether nothing was found, and every control was.
pub fn run(args: &[String]) -> bool {
    let options = Options::parse(args);
    let scratch = Path::new("/dev/shm").join(format!("oubliette-disk-faults-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).expect("a folder in memory");
    let bench = Bench {
        engine: options.engine.clone(),
        shim: shim::build(&scratch),
        scratch: scratch.clone(),
        lies: false,
        hang: Duration::from_secs(20),
    };
    println!("engine {}, seed {}, {} jobs", bench.engine, options.seed, options.jobs);
    let watched = options.case.is_some() || bypass::is_none(&bench);
    let controls = options.case.is_some() || !options.controls || controls::are_caught(&bench, &options);
    let mut table = Table::default();
    let works = collect(&bench, &options, &mut table);
    let total = works.len();
    println!("{total} cases");
    if options.list {
        let mut counts = BTreeMap::new();
        works.iter().for_each(|work| *counts.entry((work.plan.attack, work.script.name)).or_insert(0) += 1);
        counts.iter().for_each(|((attack, script), count)| println!("{} {script}: {count}", attack.name()));
    } else {
        let start = Instant::now();
        all(&bench, &options, works, &mut table);
        table.print();
        println!("{} of {total} cases in {:.0} s", table.cases(), start.elapsed().as_secs_f64());
        if table.cases() < total as u64 {
            println!("The time was over before the rest.");
        }
    }
    if !options.keep {
        let _ = std::fs::remove_dir_all(&scratch);
    }
    table.is_clean() && controls && watched
}

/// Every case that is asked for, in an order of chance.
fn collect(bench: &Bench, options: &Options, table: &mut Table) -> Vec<Work> {
    let mut works = Vec::new();
    for script in SCRIPTS.iter().filter(|script| options.wants_script(script.name)) {
        let calls = bench.calls(script);
        for attack in Attack::ALL.into_iter().filter(|attack| options.wants_attack(*attack)) {
            let (plans, recorded) = match attack {
                Attack::PowerCut => {
                    let recorded = record(bench, script);
                    (cuts(&recorded.entries, NEXT), Some(Arc::new(recorded)))
                }
                Attack::Ext4 => (shutdowns(&calls, NEXT), None),
                _ => (plans(attack, &calls, NEXT, 220), None),
            };
            let plans = match &options.case {
                Some(case) => case.split_once('/').and_then(|(_, name)| Plan::of(name)).into_iter().collect(),
                None => plans,
            };
            let mut mine: Vec<Work> = plans.into_iter().map(|plan| Work { script, recorded: recorded.clone(), plan }).collect();
            options.shuffle(&mut mine);
            if options.sample {
                let (known, mut others): (Vec<_>, Vec<_>) =
                    mine.into_iter().partition(|work| attacks::is_known(script.name, &work.plan));
                others.truncate(if attack == Attack::Ext4 { 1 } else { options.cases_of_each });
                mine = known.into_iter().chain(others).collect();
            }
            works.append(&mut mine);
        }
    }
    options.shuffle(&mut works);
    if works.iter().any(|work| work.plan.attack == Attack::Ext4)
        && let Err(why) = ext4::Volume::new(&bench.scratch)
    {
        table.skip(format!("{}: {why}", Attack::Ext4.says()));
        works.retain(|work| work.plan.attack != Attack::Ext4);
    }
    works
}

/// Runs the cases, so many at a time.
fn all(bench: &Bench, options: &Options, works: Vec<Work>, table: &mut Table) {
    let (next, shared, start) = (AtomicUsize::new(0), Mutex::new(table), Instant::now());
    std::thread::scope(|scope| {
        for job in 0..options.jobs {
            let (works, next, shared) = (&works, &next, &shared);
            scope.spawn(move || {
                let root = bench.scratch.join(format!("job-{job}"));
                let mut volume = None;
                while let Some(work) = works.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if options.seconds.is_some_and(|most| start.elapsed() > most) {
                        break;
                    }
                    let findings = one(bench, &root, work, &mut volume);
                    let Work { script, plan, .. } = work;
                    if options.case.is_some() {
                        println!("{}", std::fs::read_to_string(root.join("log")).unwrap_or_default());
                        // Of several threads' calls this one may be another's each time.
                        let calls = shim::calls(&root.join("list"));
                        calls.iter().filter(|call| call.at == plan.fault.at).for_each(|call| println!("attacked: {call:?}"));
                        println!("{}", std::fs::read_to_string(root.join("errors")).unwrap_or_default());
                        findings.iter().for_each(|finding| println!("{:?}: {}", finding.column, finding.what));
                    }
                    if options.keep && !findings.is_empty() {
                        // Of eight threads' runs the next one is another.
                        let name = format!("{}/{}", script.name, plan.name()).replace('/', "-");
                        let _ = std::fs::copy(root.join("log"), bench.scratch.join(format!("found-{name}")));
                    }
                    let call = told(&root, work);
                    shared.lock().expect("the table").add(plan.attack, script.name, &call, &plan.name(), &findings);
                }
            });
        }
    });
}

/// What was attacked: of eight threads another call than was counted may have been the one of this number.
fn told(root: &Path, work: &Work) -> String {
    let calls = if work.script.threads > 1 { shim::calls(&root.join("list")) } else { Vec::new() };
    let call = calls.iter().find(|call| call.at == work.plan.fault.at);
    call.map_or_else(|| work.plan.call.clone(), shim::Call::told)
}

fn one(bench: &Bench, root: &Path, work: &Work, volume: &mut Option<ext4::Volume>) -> Vec<Finding> {
    let Work { script, recorded, plan } = work;
    let site = Site { bench, root: root.to_owned(), day: script.day, threads: script.threads };
    if let Some(recorded) = recorded {
        cut(&site, script, recorded, plan);
        return site.recover(plan.next, None, script.state);
    }
    if plan.attack == Attack::KillThenCut {
        kill_then_cut(&site, script, plan);
        return site.recover(NEXT[1], None, script.state);
    }
    if plan.attack == Attack::Ext4 {
        return on_ext4(&site, script, plan, volume);
    }
    site.begin(&bench.state(script.state));
    let list = site.root.join("list");
    site.run(&Process { verbs: script.verbs, fault: Some(&plan.fault), list: Some(&list), ..Process::default() });
    site.recover(plan.next, plan.again.as_ref(), script.state)
}

/// A script runs once, and all that reaches the disk is recorded.
fn record(bench: &Bench, script: &Script) -> Recorded {
    bench.make(script.state);
    let site = Site { bench, root: bench.scratch.join("record"), day: script.day, threads: script.threads };
    site.begin(&bench.state(script.state));
    let (disk, file) = (Disk::of(&site.home()), site.root.join("record"));
    site.run(&Process { verbs: script.verbs, record: Some(&file), ..Process::default() });
    Recorded { disk, entries: power::read(&file) }
}

/// Of every moment of the record: what was synced alone, the extremes, and two by chance.
fn cuts(entries: &[Entry], next: &'static [&'static str]) -> Vec<Plan> {
    let mut plans = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        for draw in 0..6 {
            let chance = if draw < 4 { draw } else { 4 + at as u64 * 2 + draw };
            let fault = shim::Fault { at: at as u64 + 1, act: "pass", ..shim::Fault::default() };
            let (call, next) = (format!("behind: {}", entry.name()), next[plans.len() % next.len()]);
            plans.push(Plan { attack: Attack::PowerCut, call, fault, next, again: None, chance });
        }
    }
    plans
}

/// The folder as the cut leaves it, and the log up to there.
fn cut(site: &Site, script: &Script, recorded: &Recorded, plan: &Plan) {
    let log = std::fs::read(site.bench.state(script.state).join("log")).expect("the state's log");
    if site.root.exists() {
        std::fs::remove_dir_all(&site.root).expect("the last case's folder");
    }
    std::fs::create_dir_all(&site.root).expect("a folder");
    std::fs::write(site.log(), log).expect("the log");
    let at = usize::try_from(plan.fault.at).expect("a place");
    cut_behind(site, recorded.disk.clone(), &recorded.entries[..at.min(recorded.entries.len())], plan.chance);
}

/// The rest of a record happens, and then the power goes. What was acknowledged until then is in the log.
fn cut_behind(site: &Site, mut disk: Disk, entries: &[Entry], chance: u64) {
    log::append(&site.log(), &format!("phase clean {}", site.day));
    for entry in entries {
        disk.apply(entry);
        entry.acknowledged().inspect(|text| log::append(&site.log(), text.trim_end()));
    }
    disk.cut(chance, &site.home());
    site.end(Ending::Power);
}

/// The process dies, the next one sees what it left to the system, and the power goes before that is on the disk.
fn kill_then_cut(site: &Site, script: &Script, plan: &Plan) {
    site.begin(&site.bench.state(script.state));
    let (mut disk, file) = (Disk::of(&site.home()), site.root.join("record"));
    let record = Some(file.as_path());
    site.run(&Process { verbs: script.verbs, fault: Some(&plan.fault), record, ..Process::default() });
    let log = std::fs::read(site.log()).expect("the log");
    let before = power::read(&file);
    before.iter().for_each(|entry| disk.apply(entry));
    site.run(&Process { verbs: plan.next, record, ..Process::default() });
    let mut entries = power::read(&file).split_off(before.len());
    entries.truncate(usize::try_from(plan.chance.wrapping_mul(0x9e37_79b9) >> 7).expect("a place") % (entries.len() + 1));
    std::fs::write(site.log(), log).expect("the log");
    std::fs::remove_dir_all(site.home()).expect("what was there");
    cut_behind(site, disk, &entries, plan.chance % 7);
}

/// The file system goes at every call; of its journal all is flushed, or nothing.
fn shutdowns(calls: &[shim::Call], next: &'static [&'static str]) -> Vec<Plan> {
    let mut plans = Vec::new();
    for call in calls.iter().filter(|call| !LOOKS.contains(&call.name.as_str())) {
        for flags in [2, 1] {
            let fault = shim::Fault { at: call.at, act: "shutdown", errno: flags, ..shim::Fault::default() };
            let told = format!("{} of {} in {}", call.name, shim::plain(&call.path), call.verb);
            let next = next[plans.len() % next.len()];
            plans.push(Plan { attack: Attack::Ext4, call: told, fault, next, again: None, chance: 0 });
        }
    }
    plans
}

fn on_ext4(site: &Site, script: &Script, plan: &Plan, volume: &mut Option<ext4::Volume>) -> Vec<Finding> {
    let scratch = site.root.with_extension("volume");
    let bench_failed = |what: String| vec![Finding { column: Column::Bench, what }];
    if volume.is_none() {
        match ext4::Volume::new(&scratch) {
            Ok(made) => *volume = Some(made),
            Err(why) => return bench_failed(why),
        }
    }
    let Some(volume) = volume else { return Vec::new() };
    // The log is outside: what was acknowledged is known, whatever becomes of the file system.
    let here = Site { root: site.root.clone(), ..*site };
    here.begin(&site.bench.state(script.state));
    let (inside, home) = (volume.mount.join("home"), here.home());
    let _ = std::fs::remove_dir_all(&inside);
    case::copy(&home, &inside);
    std::fs::remove_dir_all(&home).expect("the copy");
    std::os::unix::fs::symlink(&inside, &home).expect("a link");
    volume.sync();
    here.run_in(&inside, &Process { verbs: script.verbs, fault: Some(&plan.fault), ..Process::default() });
    let was_cut = log::read(&here.log()).contains(&log::Line::End(Ending::Killed));
    if let Err(why) = volume.power_up() {
        return bench_failed(why);
    }
    if was_cut {
        here.end(Ending::Power);
    }
    // What follows needs no real disk.
    std::fs::remove_file(&home).expect("the link");
    case::copy(&inside, &home);
    here.recover(plan.next, None, script.state)
}
