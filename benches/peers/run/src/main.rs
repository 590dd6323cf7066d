//! Builds and starts a driver for every peer, and runs them in turn: a small block of one peer,
//! then of the next, so that all see the same machine. `peers-run --help`.

mod driver;
mod plot;
mod report;
mod results;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use driver::{Driver, Outcome, PEERS, Program, Spec, number, numbers};
use results::{Results, Unit};
use serde_json::{Value, json};

const HELP: &str = "peers-run [options]
  --accounts N    how many accounts each peer has (20000)
  --sustained S   seconds of sustained sign-outs of each peer, timed (10)
  --cycle N       accounts in each cycle of these (5000)
  --peers A,B     only these; the limit and oubliette always take part
  --short         a few seconds with a few accounts: does it all work?
  --out FOLDER    where tables and plots go (results/<accounts> beside this crate; with --short in the target folder)
  --dir FOLDER    where the peers keep their rows, on the disk that is measured (in the target folder)";

const TOKENS: u64 = 10;
const BYTES: u64 = 1600;

pub(crate) struct Settings {
    accounts: u64,
    sustained: f64,
    cycle: u64,
    is_short: bool,
    peers: Option<Vec<String>>,
    out: PathBuf,
    folder: PathBuf,
    target: PathBuf,
}

fn main() -> Result<(), String> {
    let Some(settings) = settings()? else {
        println!("{HELP}");
        return Ok(());
    };
    let (drivers, skipped) = drivers(&settings);
    enough_disk(&settings, &drivers)?;
    let mut bench = Bench { next: settings.accounts, settings, drivers, results: Results::default(), foreign: busy() };
    let start = Instant::now();
    for (name, phase) in PHASES {
        eprintln!("{:>5.0} s  {name}", start.elapsed().as_secs_f64());
        phase(&mut bench);
    }
    bench.results.sort();
    bench.drivers.iter_mut().for_each(Driver::kill);
    bench.foreign = bench.foreign.max(busy());
    report::write(&bench, &skipped)?;
    let failed = bench.drivers.iter().any(|driver| driver.failed.is_some());
    let (folder, out) = (bench.settings.folder.clone(), bench.settings.out.clone());
    drop(bench);
    let _ = std::fs::remove_dir_all(folder);
    eprintln!("{:>5.0} s  done: {}", start.elapsed().as_secs_f64(), out.join("report.md").display());
    if failed { Err("a peer failed: see the report".into()) } else { Ok(()) }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().into()
}

/// `None` if help is wanted.
fn settings() -> Outcome<Option<Settings>> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let (mut accounts, mut sustained, mut cycle, mut is_short) = (None, None, 5000, false);
    let (mut peers, mut out, mut folder) = (None, None, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg}: a value is missing"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text}: not a number"));
        match arg.as_str() {
            "--accounts" => accounts = Some(number(value()?)?),
            "--sustained" => sustained = Some(number(value()?)? as f64),
            "--cycle" => cycle = number(value()?)?,
            "--short" => is_short = true,
            "--peers" => peers = Some(value()?.split(',').map(String::from).collect()),
            "--out" => out = Some(PathBuf::from(value()?)),
            "--dir" => folder = Some(PathBuf::from(value()?)),
            _ => return Ok(None),
        }
    }
    let accounts = accounts.unwrap_or(if is_short { 200 } else { 20_000 });
    let results = if is_short { target.join("peers-short") } else { root().join("results").join(accounts.to_string()) };
    Ok(Some(Settings {
        accounts,
        sustained: sustained.unwrap_or(if is_short { 0.2 } else { 10.0 }),
        cycle,
        is_short,
        peers,
        out: out.unwrap_or(results),
        folder: folder.unwrap_or_else(|| target.join("peers-data")),
        target,
    }))
}

/// Builds what the wanted peers need. Those that cannot be had here are skipped, with the reason.
fn drivers(settings: &Settings) -> (Vec<Driver>, Vec<(&'static Spec, String)>) {
    let is_wanted = |spec: &Spec| match &settings.peers {
        Some(peers) => peers.iter().any(|peer| peer == spec.id) || spec.is_limit() || spec.is_ours(),
        None => true,
    };
    let (mut drivers, mut skipped, mut built) = (Vec::new(), Vec::new(), Vec::<(Program, Outcome<Vec<PathBuf>>)>::new());
    for spec in PEERS.iter().filter(|spec| is_wanted(spec)) {
        if !built.iter().any(|(program, _)| *program == spec.program) {
            built.push((spec.program, build(spec.program, &settings.target)));
        }
        let (_, command) = built.iter().find(|(program, _)| *program == spec.program).unwrap();
        let is_there = spec.id != "redis" || Command::new("redis-server").arg("--version").output().is_ok();
        match (command.clone(), is_there) {
            (Ok(mut command), true) => {
                command.push(spec.id.trim_start_matches("msal-").into());
                let folder = settings.folder.join(spec.id);
                let _ = std::fs::remove_dir_all(&folder);
                drivers.push(Driver::new(spec, command, folder, settings.accounts));
            }
            (Ok(_), false) => skipped.push((spec, "redis-server is not on the PATH".to_owned())),
            (Err(error), _) => skipped.push((spec, error)),
        }
    }
    skipped.iter().for_each(|(spec, why)| eprintln!("SKIPPED: {}: {why}", spec.title));
    (drivers, skipped)
}

fn build(program: Program, target: &Path) -> Outcome<Vec<PathBuf>> {
    let run = |what: &mut Command| match what.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{what:?}: {status}")),
        Err(error) => Err(format!("{what:?}: {error}")),
    };
    let cargo = |manifest: &str, package: &str| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.args(["build", "--quiet", "--release", "--locked", "--package", package, "--manifest-path"]);
        // As distributions build SQLite: it syncs with fdatasync, as the others do.
        cargo.arg(root().join(manifest)).arg("--target-dir").arg(target).env("LIBSQLITE3_FLAGS", "-DHAVE_FDATASYNC=1");
        run(&mut cargo).map(|()| vec![target.join("release").join(package)])
    };
    match program {
        Program::Plain => cargo("Cargo.toml", "peers-plain"),
        Program::Sqlcipher => cargo("sqlcipher/Cargo.toml", "peers-sqlcipher"),
        Program::Askar => cargo("askar/Cargo.toml", "peers-askar"),
        Program::Msal => {
            let (venv, msal) = (target.join("peers-venv"), root().join("msal"));
            let python = venv.join("bin/python");
            if !python.exists() {
                run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
            }
            run(Command::new(&python).args(["-m", "pip", "install", "-q", "-r"]).arg(msal.join("requirements.txt")))?;
            Ok(vec![python, msal.join("driver.py")])
        }
    }
}

/// The share of the CPUs' time that somebody uses while none of the drivers is at work.
fn busy() -> f64 {
    let read = || {
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let times: Vec<f64> =
            stat.lines().next().unwrap_or_default().split_whitespace().filter_map(|time| time.parse().ok()).collect();
        // The fourth is idle time, the fifth waiting for the disk.
        (times.iter().sum::<f64>(), times.iter().skip(3).take(2).sum::<f64>())
    };
    let (all, idle) = read();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let (all_now, idle_now) = read();
    1.0 - (idle_now - idle) / (all_now - all).max(1.0)
}

/// Loading, updating in place and compaction take several times the rows' own size.
fn enough_disk(settings: &Settings, drivers: &[Driver]) -> Outcome<()> {
    std::fs::create_dir_all(&settings.folder).map_err(|error| error.to_string())?;
    let shown =
        Command::new("df").args(["-B1", "--output=avail"]).arg(&settings.folder).output().map_err(|error| error.to_string())?;
    let free: f64 =
        String::from_utf8_lossy(&shown.stdout).lines().nth(1).and_then(|line| line.trim().parse().ok()).unwrap_or(0.0);
    // The rows, those of a tenant, and those of a cycle; twice and a half.
    let accounts = |driver: &Driver| driver.live + if driver.spec.most == u64::MAX { 10_000.max(settings.cycle) } else { 0 };
    let need = drivers.iter().map(accounts).sum::<u64>() as f64 * (TOKENS * BYTES) as f64 * 2.5;
    let (need_text, free_text) = (Unit::Bytes.show(need), Unit::Bytes.show(free));
    if need > free && !settings.is_short {
        return Err(format!("about {need_text} of disk are needed, {free_text} are free: see --peers and --dir"));
    }
    eprintln!("about {need_text} of disk are needed, {free_text} are free");
    Ok(())
}

pub(crate) struct Bench {
    settings: Settings,
    drivers: Vec<Driver>,
    results: Results,
    /// The number of the next account that was never there.
    next: u64,
    /// The share of the CPUs that others used, before and behind.
    foreign: f64,
}

type Phase = fn(&mut Bench);

const PHASES: &[(&str, Phase)] = &[
    ("load", load),
    ("sign-outs", sign_outs),
    ("put", |bench| reads_and_puts(bench, "put")),
    ("get", |bench| reads_and_puts(bench, "get")),
    ("bursts", bursts),
    ("sustained", sustained),
    ("a tenant", tenants),
    ("open after close", open_closed),
    ("open after kill -9", open_killed),
];

impl Bench {
    /// So many turns, in each one block of every peer; who begins goes round, and the way
    /// alternates. A peer that takes too long leaves, with fewer samples, and one that fails for
    /// good.
    fn turns(&mut self, turns: usize, mut work: impl FnMut(&mut Driver, usize, &mut Results) -> Outcome<()>) {
        let count = self.drivers.len();
        let mut spent = vec![0.0; count];
        for turn in 0..turns {
            for step in 0..count {
                let at = (turn + if turn % 2 == 0 { step } else { count - 1 - step }) % count;
                let driver = &mut self.drivers[at];
                if driver.failed.is_some() || spent[at] > 60.0 {
                    continue;
                }
                let start = Instant::now();
                if let Err(error) = work(driver, turn, &mut self.results) {
                    eprintln!("FAILED: {}: {error}", driver.spec.title);
                    driver.kill();
                    driver.failed = Some(error);
                }
                spent[at] += start.elapsed().as_secs_f64();
            }
        }
    }

    fn of(&self, full: usize, short: usize) -> usize {
        if self.settings.is_short { short } else { full }
    }

    /// Numbers for accounts to sign in.
    fn new_accounts(&mut self, count: u64) -> u64 {
        self.next += count;
        self.next - count
    }
}

fn sign_in(driver: &mut Driver, first: u64, count: u64, tokens: u64) -> Outcome<f64> {
    number(&driver.call(&json!({ "op": "load", "first": first, "count": count, "tokens": tokens, "bytes": BYTES }))?, "ns")
}

/// How many of these accounts still have a token must be this.
fn expect(driver: &mut Driver, first: u64, count: u64, found: u64) -> Outcome<()> {
    if driver.spec.is_limit() {
        return Ok(());
    }
    match number(&driver.call(&json!({ "op": "count", "first": first, "count": count }))?, "found")? as u64 {
        here if here == found => Ok(()),
        here => Err(format!("{here} of {count} accounts have tokens, but {found} should")),
    }
}

fn load(bench: &mut Bench) {
    bench.turns(1, |driver, _, results| {
        driver.start()?;
        let ns = sign_in(driver, 0, driver.live, TOKENS)?;
        let id = driver.spec.id;
        if !driver.spec.is_limit() {
            let per_account = ns / driver.live as f64;
            results.add("load", "bulk load, per account of 10 tokens (not at equal durability)", Unit::Nanos, id, &[per_account]);
            driver.stop()?;
            if !driver.spec.is_volatile() {
                let disk = driver.disk() / driver.live as f64;
                results.add("disk_loaded", "disk after load and close, per account of 10 tokens", Unit::Bytes, id, &[disk]);
                driver.start()?;
            } else {
                // What was only in memory is gone.
                driver.start()?;
                sign_in(driver, 0, driver.live, TOKENS)?;
            }
        }
        Ok(())
    });
}

/// Of accounts that were signed in just before: all rows are as warm as they can be, which is kind
/// to who must look for them.
fn sign_outs(bench: &mut Bench) {
    for (tokens, turns, short, block) in [(1, 75, 5, 4), (10, 75, 5, 4), (100, 100, 5, 1), (1000, 30, 2, 1)] {
        let turns = bench.of(turns, short);
        let first = bench.new_accounts(turns as u64 * block);
        let takes_part = |driver: &Driver| driver.spec.most_tokens >= tokens;
        bench.turns(1, |driver, _, _| match takes_part(driver) {
            true => sign_in(driver, first, driver.some(turns) as u64 * block, tokens).map(drop),
            false => Ok(()),
        });
        bench.turns(turns, |driver, turn, results| {
            if !takes_part(driver) || turn >= driver.some(turns) {
                return Ok(());
            }
            let first = first + turn as u64 * block;
            let answer = driver.call(&json!({ "op": "sign_out", "first": first, "count": block }))?;
            let (id, s) = (driver.spec.id, if tokens == 1 { "" } else { "s" });
            let (key, title) = (format!("sign_out_{tokens}"), format!("sign-out of an account with {tokens} token{s}"));
            results.add(&key, &title, Unit::Nanos, id, &numbers(&answer, "ns")?);
            let (key, title) = (format!("{key}_settled"), format!("{title}, until its rows are deleted"));
            results.add(&key, &title, Unit::Nanos, id, &numbers(&answer, "settled")?);
            expect(driver, first, block, 0)
        });
    }
}

fn reads_and_puts(bench: &mut Bench, op: &str) {
    let (turns, block) = if op == "put" { (bench.of(75, 5), 4) } else { (bench.of(100, 5), 20) };
    let ways: &[(&str, bool, &str)] = match op {
        "put" => &[("put", false, "put of one token, safe from power loss")],
        _ => &[
            ("get", false, "get of one token, from the account's id"),
            ("get_held", true, "get of one token, with the handle at hand"),
        ],
    };
    bench.turns(turns, |driver, turn, results| {
        if op == "get" && driver.spec.is_limit() {
            return Ok(());
        }
        for (key, held, title) in ways {
            // Not what the other way has just read.
            let (seed, live) = (turn as u64 * 2 + u64::from(*held), driver.live);
            let mut request = json!({ "op": op, "seed": seed, "count": block, "live": live, "tokens": TOKENS, "bytes": BYTES });
            request["held"] = Value::Bool(*held);
            let ns = numbers(&driver.call(&request)?, "ns")?;
            results.add(key, title, Unit::Nanos, driver.spec.id, &ns);
        }
        Ok(())
    });
}

/// Signs new accounts in, untimed, and out again with many threads.
fn burst(driver: &mut Driver, first: u64, count: u64, threads: u64) -> Outcome<Value> {
    sign_in(driver, first, count, TOKENS)?;
    let answer = driver.call(&json!({ "op": "burst", "first": first, "count": count, "threads": threads }))?;
    expect(driver, first, count, 0)?;
    // And nobody else.
    let some = driver.live.min(20);
    expect(driver, 0, some, some)?;
    Ok(answer)
}

fn bursts(bench: &mut Bench) {
    let most = bench.of(1024, 128) as u64;
    let rounds = bench.of(3, 1);
    for threads in [1, 4, 16, 64] {
        let first = bench.new_accounts(rounds as u64 * most);
        bench.turns(rounds, |driver, round, results| {
            // A slow peer has fewer.
            let count = if driver.spec.most == u64::MAX { most } else { most.min(driver.live / 40).max(2) };
            let answer = burst(driver, first + round as u64 * most, count, threads)?;
            let id = driver.spec.id;
            let s = if threads == 1 { "" } else { "s" };
            let per_second = |name| Ok::<_, String>([count as f64 * 1e9 / number(&answer, name)?]);
            let title = format!("sign-outs a second, burst of {most} from {threads} thread{s}");
            results.add(&format!("burst_{threads}"), &title, Unit::PerSecond, id, &per_second("ns")?);
            let title = format!("{title}, until all rows are deleted");
            results.add(&format!("burst_{threads}_settled"), &title, Unit::PerSecond, id, &per_second("settled")?);
            let title = format!("each call in that burst from {threads} thread{s}");
            results.add(&format!("burst_{threads}_call"), &title, Unit::Nanos, id, &numbers(&answer, "each")?);
            Ok(())
        });
    }
}

/// Cycles of signing in (untimed) and out, for the wanted time. Counted until all rows are deleted:
/// so nothing is put off, and a queue of work that fills up lets callers through at just this pace.
fn sustained(bench: &mut Bench) {
    let (seconds, cycle) = (bench.settings.sustained, bench.settings.cycle);
    // Accounts, seconds signing out, and seconds in all.
    let mut done = vec![(0u64, 0.0f64, 0.0f64); PEERS.len()];
    for _ in 0..1000 {
        let first = bench.new_accounts(cycle);
        let mut is_over = true;
        bench.turns(1, |driver, _, results| {
            let id = driver.spec.id;
            let (accounts, spent, all) = &mut done[PEERS.iter().position(|spec| spec.id == id).unwrap()];
            // Who signs out much faster than in ends earlier.
            let is_done = |spent: f64, all: f64| spent >= seconds || all >= 6.0 * seconds;
            if is_done(*spent, *all) || driver.spec.is_limit() {
                return Ok(());
            }
            is_over = false;
            let start = Instant::now();
            // As many as take about a quarter of the time, judged by the bursts.
            let pace = results.figure("burst_64_settled").and_then(|figure| figure.at(id, 0.5)).unwrap_or(0.0);
            let count = ((pace * seconds / 4.0) as u64).clamp(2, cycle);
            let answer = burst(driver, first, count, 64)?;
            *accounts += count;
            *spent += number(&answer, "settled")? / 1e9;
            *all += start.elapsed().as_secs_f64();
            results.add("sustained_call", "each call of the sustained ones", Unit::Nanos, id, &numbers(&answer, "each")?);
            if is_done(*spent, *all) {
                let title = "sustained sign-outs a second from 64 threads, until all rows are deleted";
                results.add("sustained", title, Unit::PerSecond, id, &[*accounts as f64 / *spent]);
            }
            Ok(())
        });
        if is_over {
            return;
        }
    }
}

fn tenants(bench: &mut Bench) {
    let accounts = bench.of(10_000, 100) as u64;
    let ms = bench.of(2000, 200);
    let tokens = accounts * TOKENS;
    bench.turns(bench.of(3, 1), |driver, turn, results| {
        // MSAL has no such call, and the limit no rows.
        if driver.spec.is_limit() || driver.spec.program == Program::Msal {
            return Ok(());
        }
        let first = (turn as u64 + 1) << 40;
        sign_in(driver, first, accounts, TOKENS)?;
        let answer = driver.call(&json!({ "op": "tenant", "first": first, "live": driver.live, "tokens": TOKENS, "ms": ms }))?;
        let id = driver.spec.id;
        let title = format!("sign-out of a tenant with {tokens} tokens");
        results.add("tenant", &title, Unit::Nanos, id, &[number(&answer, "ns")?]);
        let title = format!("{title}, until its rows are deleted");
        results.add("tenant_settled", &title, Unit::Nanos, id, &[number(&answer, "settled")?]);
        let quiet = "readers' 99.9th percentile, quiet";
        results.add("tenant_quiet", quiet, Unit::Nanos, id, &[number(&answer["quiet"], "p999")?]);
        let busy = "readers' 99.9th percentile during a tenant's sign-out";
        results.add("tenant_busy", busy, Unit::Nanos, id, &[number(&answer["busy"], "p999")?]);
        let most = "the longest read during a tenant's sign-out";
        results.add("tenant_longest", most, Unit::Nanos, id, &[number(&answer["busy"], "max")?]);
        expect(driver, first, accounts.min(1000), 0)
    });
}

/// In a process that has just closed it.
fn open_closed(bench: &mut Bench) {
    bench.turns(1, |driver, _, results| {
        if driver.spec.is_limit() {
            return Ok(());
        }
        let bytes = number(&driver.call(&json!({ "op": "memory" }))?, "bytes")?;
        results.add("memory", "peak memory of all the above", Unit::Bytes, driver.spec.id, &[bytes]);
        Ok(())
    });
    let is_kept = |driver: &Driver| !driver.spec.is_limit() && !driver.spec.is_volatile();
    bench.turns(bench.of(5, 2), |driver, turn, results| {
        if is_kept(driver) {
            let id = driver.spec.id;
            driver.close()?;
            if turn == 0 {
                let disk = driver.disk() / driver.live as f64;
                results.add(
                    "disk_churned",
                    "disk after all the above and close, per account of 10 tokens",
                    Unit::Bytes,
                    id,
                    &[disk],
                );
            }
            results.add("open", "open after close", Unit::Nanos, id, &[driver.open()?]);
        }
        Ok(())
    });
}

/// In a new process, after the old one was killed with work just done; who had signed out must be
/// gone, the others must be there.
fn open_killed(bench: &mut Bench) {
    let rounds = bench.of(5, 2);
    let first = bench.new_accounts(64 * rounds as u64);
    bench.turns(rounds, |driver, round, results| {
        if driver.spec.is_limit() || driver.spec.is_volatile() {
            return Ok(());
        }
        let (first, count) = (first + 64 * round as u64, if driver.spec.most == u64::MAX { 64 } else { 2 });
        sign_in(driver, first, count, TOKENS)?;
        let half = count / 2;
        driver.call(&json!({ "op": "burst", "first": first, "count": half, "threads": 4, "leave": true }))?;
        driver.kill();
        let ns = driver.start()?;
        results.add("open_killed", "open after kill -9", Unit::Nanos, driver.spec.id, &[ns]);
        expect(driver, first, half, 0)?;
        expect(driver, first + half, count - half, count - half)?;
        let some = driver.live.min(100);
        expect(driver, 0, some, some)
    });
}
