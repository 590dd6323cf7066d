//! Processes that share a store on SQLite: sign-outs of four processes with sixteen threads each,
//! and gets of two processes beside those of one. To reach: 25 000 sign-outs a second, and 1.8 times
//! the gets of one process, where there are processors for both.
//!
//! `cargo bench --bench processes --features sqlite`; `OUBLIETTE_BENCH=short` for a quick look.

mod common;

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use common::{Random, folder, is_bench, is_short};
use oubliette::*;

/// Set for the processes that this one starts.
const FOLDER: &str = "OUBLIETTE_BENCH_FOLDER";

const THREADS: u64 = 16;

fn main() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return serve(Path::new(&folder));
    }
    let (accounts, sign_outs, gets) = match (is_bench(), is_short()) {
        (false, _) => (100, 10, 100),
        (true, true) => (2_000, 500, 20_000),
        (true, false) => (20_000, 5_000, 200_000),
    };
    let folder = folder();
    let path = folder.path().join("tokens");
    let store = open(&path);
    for number in 0..accounts {
        let sign_in = SignIn::new(account(number), TenantId::new("contoso").unwrap());
        let in_a_month = SystemTime::now() + Duration::from_secs(30 * 24 * 3600);
        let token = AccessToken::new(client(), scopes(), "t".repeat(1600), in_a_month);
        store.sign_in_with(sign_in, token).unwrap();
    }
    println!("{accounts} accounts of one token of 1 600 bytes");
    for rounds in 0..if is_bench() { 3 } else { 1 } {
        let one = rate(&path, 1, gets, &format!("get {rounds} {gets} {accounts}"));
        let two = rate(&path, 2, gets, &format!("get {rounds} {gets} {accounts}"));
        let times = two / one;
        println!("  gets a second: {one:.0} of one process, {two:.0} of two, {times:.2} times");
    }
    for rounds in 0..if is_bench() { 3 } else { 1 } {
        let each = sign_outs * THREADS;
        let four = rate(&path, 4, each, &format!("out {rounds} {sign_outs}"));
        println!("  sign-outs a second, of four processes with {THREADS} threads each: {four:.0}");
    }
}

/// What some processes do a second, each of them `each` times; from when the first begins until the
/// last is done.
fn rate(path: &Path, processes: u64, each: u64, work: &str) -> f64 {
    let mut all: Vec<Child> = (0..processes)
        .map(|number| {
            Command::new(std::env::current_exe().unwrap())
                .env(FOLDER, path)
                .env("OUBLIETTE_BENCH_WORK", format!("{work} {number}"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut outs: Vec<_> =
        all.iter_mut().map(|child| BufReader::new(child.stdout.take().unwrap())).collect();
    let mut hear = |line: &mut String| {
        outs.iter_mut().for_each(|out| {
            line.clear();
            out.read_line(line).unwrap();
        });
    };
    let mut line = String::new();
    hear(&mut line);
    let start = Instant::now();
    all.iter_mut().for_each(|child| child.stdin.as_ref().unwrap().write_all(b"go\n").unwrap());
    hear(&mut line);
    let took = start.elapsed().as_secs_f64();
    for child in &mut all {
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }
    (processes * each) as f64 / took
}

fn serve(path: &Path) {
    let work = std::env::var("OUBLIETTE_BENCH_WORK").unwrap();
    let words: Vec<&str> = work.split(' ').collect();
    let number = |at: usize| words[at].parse::<u64>().unwrap();
    let store = open(path);
    let turn = |work: &dyn Fn()| {
        println!("ready");
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        work();
        println!("done");
    };
    match words[0] {
        "get" => {
            let (count, accounts) = (number(2), number(3));
            let query = AccessQuery::new(client()).scopes(scopes());
            turn(&|| {
                let mut random = Random(number(1) << 8 | number(4));
                for _ in 0..count {
                    let found = store.account(&account(random.number() % accounts)).unwrap();
                    let live = found.first().unwrap();
                    assert!(live.access_token(&query).unwrap().is_some());
                }
            });
        }
        _ => turn(&|| {
            let (count, first) = (number(2), number(1) << 40 | number(3) << 32);
            std::thread::scope(|scope| {
                for thread in 0..THREADS {
                    let store = &store;
                    scope.spawn(move || {
                        for of in 0..count {
                            let id = account(1 << 48 | first | thread << 24 | of);
                            store.sign_out(SignOut::account(&id)).unwrap();
                        }
                    });
                }
            });
        }),
    }
    // Until the others are done as well.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    store.close().unwrap();
}

fn open(path: &Path) -> TokenStore {
    let key = KeySource::bytes(std::array::from_fn(|n| n as u8));
    TokenStore::builder(path).key(key).sqlite().open().unwrap()
}

fn account(number: u64) -> AccountId {
    AccountId::new("login.example.com", format!("user-{number}")).unwrap()
}

fn client() -> ClientId {
    ClientId::new("web").unwrap()
}

fn scopes() -> Scopes {
    Scopes::parse("mail.read").unwrap()
}
