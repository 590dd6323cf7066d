//! The report: tables in Markdown, the same in JSON, and plots.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::driver::{Driver, OURS, PEERS, Spec};
use crate::plot::{self, Bar};
use crate::results::{Figure, Unit};
use crate::{BYTES, Bench, TOKENS, root};

/// Closer than this, two medians are called equal.
const NOISE: f64 = 1.1;

/// What the table at the top shows.
const SUMMARY: &[(&str, &str)] = &[
    ("sign_out_10", "sign-out of 10 tokens"),
    ("sign_out_1000", "of 1 000"),
    ("burst_64", "burst, 64 threads"),
    ("sustained", "sustained"),
    ("put", "put"),
    ("get", "get"),
    ("tenant", "a whole tenant"),
    ("tenant_busy", "readers' p99.9 meanwhile"),
    ("open_killed", "open after kill -9"),
    ("disk_churned", "disk per account"),
    ("memory", "peak memory"),
];

/// Not what is asked of a store: told, not compared.
const ASIDE: &[&str] = &[
    "load",
    "tenant_quiet",
    "tenant_longest",
    "burst_1_call",
    "burst_4_call",
    "burst_16_call",
    "burst_64_call",
    "sustained_call",
];

pub(crate) fn write(bench: &Bench, skipped: &[(&'static Spec, String)]) -> Result<(), String> {
    let out = &bench.settings.out;
    let conditions = conditions(bench);
    let save = |name: &str, text: String| fs::write(out.join(name), text).map_err(|error| format!("{name}: {error}"));
    fs::create_dir_all(out).map_err(|error| error.to_string())?;
    save("results.json", format!("{:#}\n", json(bench, &conditions, skipped)))?;
    let plots = plots(bench);
    for (name, _, svg) in &plots {
        save(name, svg.clone())?;
    }
    save("report.md", markdown(bench, &conditions, skipped, &plots))
}

fn conditions(bench: &Bench) -> Vec<(&'static str, String)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).trim().to_owned()
    };
    let cpu = read("/proc/cpuinfo");
    let cpus: Vec<&str> = cpu
        .lines()
        .filter_map(|line| line.strip_prefix("model name"))
        .map(|name| name.trim_start_matches([' ', '\t', ':']))
        .collect();
    let folder = bench.settings.folder.to_string_lossy();
    let disk = run("df", &["--output=fstype,source", &folder]);
    let mut disk = disk.lines().last().unwrap_or_default().split_whitespace();
    let (kind, device) = (disk.next().unwrap_or_default(), disk.next().unwrap_or_default().trim_start_matches("/dev/"));
    let memory = read("/proc/meminfo").split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or(0.0) * 1024.0;
    vec![
        ("CPU", format!("{} × {}", cpus.len(), cpus.first().unwrap_or(&"unknown"))),
        ("memory", Unit::Bytes.show(memory)),
        ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("file system", format!("{kind} on {device}")),
        ("compiler", run("rustc", &["--version"])),
        ("versions", versions(bench)),
        ("rows", format!("{} accounts of {TOKENS} tokens of {BYTES} bytes", bench.settings.accounts)),
        ("caches", "64 MiB where they can be set".into()),
        ("CPU used by others", format!("{:.0} % before or behind the run", bench.foreign * 100.0)),
    ]
}

/// What the drivers say of themselves, and the versions of crates in the lock files.
fn versions(bench: &Bench) -> String {
    let locked = |file: &str, name: &str| {
        let lock = fs::read_to_string(root().join(file)).unwrap_or_default();
        let from = lock.find(&format!("name = \"{name}\"\nversion = \""));
        from.and_then(|at| lock[at..].split('"').nth(3).map(String::from)).unwrap_or_default()
    };
    let of = |driver: &Driver| {
        let file = if driver.spec.id == "askar" { "askar/Cargo.lock" } else { "Cargo.lock" };
        format!("{} {}", driver.about, locked(file, &driver.about)).trim().to_owned()
    };
    let mut all: Vec<String> = bench.drivers.iter().filter(|driver| !driver.spec.is_limit()).map(of).collect();
    all.dedup();
    all.join("; ")
}

fn json(bench: &Bench, conditions: &[(&str, String)], skipped: &[(&'static Spec, String)]) -> Value {
    let peer = |driver: &Driver| {
        let spec = driver.spec;
        json!({ "id": spec.id, "title": spec.title, "kind": spec.kind(), "about": driver.about, "accounts": driver.live, "failed": driver.failed })
    };
    let figure = |figure: &Figure| {
        let values = figure.samples.iter().map(|(peer, samples)| {
            let at = |part| figure.at(peer, part);
            let mean = samples.iter().sum::<f64>() / samples.len() as f64;
            let of = json!({ "n": samples.len(), "p50": at(0.5), "p99": at(0.99), "min": at(0.0), "max": at(1.0), "mean": mean });
            ((*peer).to_owned(), of)
        });
        json!({ "key": figure.key, "title": figure.title, "unit": figure.unit.name(), "peers": Value::Object(values.collect()) })
    };
    let text = |(name, value): &(&str, String)| ((*name).to_owned(), Value::String(value.clone()));
    json!({
        "conditions": conditions.iter().map(text).collect::<Map<_, _>>(),
        "peers": bench.drivers.iter().map(peer).collect::<Vec<_>>(),
        "skipped": skipped.iter().map(|(spec, why)| json!({ "id": spec.id, "why": why })).collect::<Vec<_>>(),
        "figures": bench.results.figures.iter().map(figure).collect::<Vec<_>>(),
    })
}

fn markdown(bench: &Bench, conditions: &[(&str, String)], skipped: &[(&'static Spec, String)], plots: &[Plot]) -> String {
    let results = &bench.results;
    let mut text = String::from(
        "# oubliette beside its peers\n\nWritten by `peers-run`; method and fairness: `benches/peers/README.md`.\n\n",
    );
    if bench.settings.is_short {
        text += "**A short run: it shows that all works, not how fast anything is.**\n\n";
    }
    if bench.foreign > 0.05 {
        text += "**Something else was using this machine: these figures are not to be relied on, and their order neither. \
            Whom a busy machine slows down depends on how it waits for the disk.**\n\n";
    }
    for (name, value) in conditions {
        let _ = writeln!(text, "- {name}: {value}");
    }
    for (spec, why) in skipped {
        let _ = writeln!(text, "- SKIPPED: {}: {why}", spec.title);
    }
    for driver in &bench.drivers {
        if let Some(why) = &driver.failed {
            let _ = writeln!(text, "- FAILED: {}: {why}", driver.spec.title);
        }
        if driver.live < bench.settings.accounts {
            let _ = writeln!(text, "- {} has only {} accounts: it is too slow for more", driver.spec.title, driver.live);
        }
    }
    text += "\n## In short\n\nMedians. *sealed*: every row is encrypted. *the limit*: a 64-byte append and `fdatasync` on the same disk.\n\n| peer | |";
    let shown: Vec<_> = SUMMARY.iter().filter(|(key, _)| results.figure(key).is_some()).collect();
    for (_, title) in &shown {
        let _ = write!(text, " {title} |");
    }
    let _ = write!(text, "\n| --- | --- |{}", " --- |".repeat(shown.len()));
    for driver in &bench.drivers {
        let bold = if driver.spec.is_ours() { "**" } else { "" };
        let _ = write!(text, "\n| {bold}{}{bold} | {} |", driver.spec.title, driver.spec.kind());
        for (key, _) in &shown {
            let value = results.figure(key).and_then(|figure| Some(figure.unit.show(figure.at(driver.spec.id, 0.5)?)));
            let _ = write!(text, " {bold}{}{bold} |", value.as_deref().unwrap_or("–"));
        }
    }
    text += "\n\n## Where a peer is better\n\nBy more than a tenth, in the median.\n\n";
    text += &compared(bench, true);
    text += "\n## Where oubliette is better\n\nThan the best peer, and the best sealed one, that keep rows on the disk.\n\n";
    text += &compared(bench, false);
    text += "\n## Plots\n\n";
    for (name, title, _) in plots {
        let _ = writeln!(text, "![{title}]({name})\n");
    }
    text += "## All figures\n\n*× limit*: how many times the limit's median of the same turns. *× oubliette*: above 1 the peer needs more, or does less. So with *× SQLite + AES*.\n";
    for figure in &results.figures {
        let _ = write!(
            text,
            "\n### {}\n\n| peer | samples | p50 | p99 | × limit | × oubliette | × SQLite + AES |\n| --- | --- | --- | --- | --- | --- | --- |\n",
            figure.title
        );
        for driver in &bench.drivers {
            let id = driver.spec.id;
            let (Some(samples), Some(median)) = (figure.samples.get(id), figure.at(id, 0.5)) else { continue };
            let tail = if samples.len() < 20 { "–".into() } else { figure.unit.show(figure.at(id, 0.99).unwrap()) };
            let ratio = |other| figure.at(other, 0.5).map_or("–".into(), |other| factor(1.0 / figure.gain(median, other)));
            let [limit, ours, sqlite] = ["limit", "oubliette", "sqlite-aes"].map(ratio);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {tail} | {limit} | {ours} | {sqlite} |",
                driver.spec.title,
                samples.len(),
                figure.unit.show(median)
            );
        }
    }
    text
}

fn factor(ratio: f64) -> String {
    let digits = usize::from(ratio < 100.0) + usize::from(ratio < 10.0);
    format!("{ratio:.digits$}")
}

/// One line for each figure in which peers win, or in which the store does.
fn compared(bench: &Bench, by_peers: bool) -> String {
    let mut text = String::new();
    let figures = || bench.results.figures.iter().filter(|figure| !ASIDE.contains(&figure.key.as_str()));
    let both = OURS.iter().flat_map(|id| figures().map(move |figure| (*id, figure)));
    for (id, figure) in both {
        let Some(ours) = figure.at(id, 0.5) else { continue };
        let title = PEERS.iter().find(|spec| spec.id == id).map_or(id, |spec| spec.title);
        let peers = bench.drivers.iter().map(|driver| driver.spec).filter(|spec| !spec.is_ours() && !spec.is_limit());
        let mut gains: Vec<(f64, &Spec, f64)> =
            peers.filter_map(|spec| figure.at(spec.id, 0.5).map(|theirs| (figure.gain(theirs, ours), spec, theirs))).collect();
        gains.sort_by(|a, b| b.0.total_cmp(&a.0));
        let show = |gain: f64, spec: &Spec, value| {
            format!("{} ({}, {}): {}", spec.title, spec.kind(), figure.unit.show(value), factor(gain))
        };
        let said: Vec<String> = if by_peers {
            gains.iter().filter(|(gain, ..)| *gain > NOISE).map(|(gain, spec, value)| show(*gain, spec, *value)).collect()
        } else {
            let kept = || gains.iter().filter(|(_, spec, _)| !spec.is_volatile());
            // Only where no such peer is better.
            let best = kept().next().filter(|(gain, ..)| *gain < 1.0 / NOISE);
            let sealed = best.and_then(|_| kept().find(|(_, spec, _)| spec.kind() == "sealed"));
            best.into_iter()
                .chain(sealed.filter(|sealed| Some(sealed.1.id) != best.map(|best| best.1.id)))
                .map(|(gain, spec, value)| show(1.0 / gain, spec, *value))
                .collect()
        };
        if !said.is_empty() {
            let _ = writeln!(text, "- {} ({title} {}): {} times", figure.title, figure.unit.show(ours), said.join(", "));
        }
    }
    if text.is_empty() { "Nowhere.\n".into() } else { text }
}

/// Name, title, and the plot.
type Plot = (String, String, String);

fn plots(bench: &Bench) -> Vec<Plot> {
    let results = &bench.results;
    let specs = || bench.drivers.iter().map(|driver| driver.spec);
    let mut plots = Vec::new();
    let mut bars = |name: &str, title: &str, legend: &str, key: &str, mark: &dyn Fn(&str) -> Option<f64>| {
        let Some(figure) = results.figure(key) else { return };
        let bar = |spec: &'static Spec| Some(Bar { spec, value: figure.at(spec.id, 0.5)?, mark: mark(spec.id) });
        let mut bars: Vec<Bar> = specs().filter_map(bar).collect();
        bars.sort_by(|a, b| figure.gain(b.value, a.value).total_cmp(&1.0));
        plots.push((name.into(), title.into(), plot::bars(title, &format!("{legend}; logarithmic"), figure.unit, &bars)));
    };
    let p99 = |key: &'static str| move |id: &str| results.figure(key).and_then(|figure| figure.at(id, 0.99));
    let same = |key: &'static str| move |id: &str| results.median(key, id);
    bars(
        "sign-out.svg",
        "Durable sign-out of an account with 10 tokens",
        "median; the mark is the 99th percentile",
        "sign_out_10",
        &p99("sign_out_10"),
    );
    bars("put.svg", "Put of one token, safe from power loss", "median; the mark is the 99th percentile", "put", &p99("put"));
    bars("get.svg", "Get of one token, from the account's id", "median; the mark is the 99th percentile", "get", &p99("get"));
    bars(
        "tenant.svg",
        "Sign-out of a whole tenant",
        "until it is acknowledged; the mark: until its rows are deleted",
        "tenant",
        &same("tenant_settled"),
    );
    bars(
        "readers.svg",
        "Readers while a tenant is signed out",
        "99.9th percentile; the mark: the same when all is quiet",
        "tenant_busy",
        &same("tenant_quiet"),
    );
    bars("open.svg", "Open after close", "median; the mark: after kill -9", "open", &same("open_killed"));
    bars(
        "disk.svg",
        "Disk per account of 10 tokens of 1.6 kB",
        "after all that was done; the mark: after load",
        "disk_churned",
        &same("disk_loaded"),
    );
    let mut lines = |name: &str, title: &str, legend: &str, unit: Unit, prefix: &str, over: &[u64]| {
        let of = |spec: &'static Spec| (spec, over.iter().map(|n| results.median(&format!("{prefix}{n}"), spec.id)).collect());
        let of: Vec<(&'static Spec, Vec<Option<f64>>)> = specs().map(of).collect();
        if of.iter().any(|(_, values)| values.iter().flatten().next().is_some()) {
            plots.push((name.into(), title.into(), plot::lines(title, &format!("{legend}; logarithmic"), unit, over, &of)));
        }
    };
    let legend = "median, by the number of tokens of the account";
    lines("by-tokens.svg", "Durable sign-out of an account", legend, Unit::Nanos, "sign_out_", &[1, 10, 100, 1000]);
    lines(
        "burst.svg",
        "Durable sign-outs a second, in a burst",
        "by the number of threads",
        Unit::PerSecond,
        "burst_",
        &[1, 4, 16, 64],
    );
    plots
}
