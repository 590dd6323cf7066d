//! The protocol: a request in JSON on one line, an answer on the next. Times are in nanoseconds,
//! taken here, around the call alone. A driver that cannot go on panics; the line that is missing
//! then tells.

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{Peer, Random, tenant};

/// Answers requests on standard input until it ends.
pub fn serve<P: Peer>() {
    let mut peer: Option<P> = None;
    for line in std::io::stdin().lock().lines() {
        let request = Request(serde_json::from_str(&line.unwrap()).unwrap());
        let answer = match request.text("op") {
            "open" => {
                let (ns, opened) = timed(|| P::open(Path::new(request.text("dir"))));
                let answer = json!({ "ns": ns, "about": opened.about(), "servers": opened.servers() });
                peer = Some(opened);
                answer
            }
            "close" => {
                let closing = peer.take().unwrap();
                json!({ "ns": timed(|| closing.close()).0 })
            }
            "memory" => json!({ "bytes": memory(peer.as_ref().unwrap().servers()) }),
            op => answer(peer.as_ref().unwrap(), op, &request),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}").and_then(|()| out.flush()).unwrap();
    }
    // Nobody asks any more: no server may stay behind.
    peer.into_iter().for_each(P::close);
}

struct Request(Value);

impl Request {
    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_else(|| panic!("no {name}"))
    }

    fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("no {name}"))
    }

    fn accounts(&self) -> std::ops::Range<u64> {
        let first = self.number("first");
        first..first + self.number("count")
    }

    /// Random accounts of the population, and tokens of them.
    fn picked(&self) -> Vec<(u64, u32, Random)> {
        let mut random = Random(self.number("seed"));
        let (live, tokens) = (self.number("live"), self.number("tokens"));
        let pick = |_| (random.below(live), random.below(tokens) as u32, Random(random.number()));
        (0..self.number("count")).map(pick).collect()
    }
}

fn answer<P: Peer>(peer: &P, op: &str, request: &Request) -> Value {
    match op {
        "load" => {
            let (tokens, bytes) = (request.number("tokens"), request.number("bytes") as usize);
            let accounts: Vec<u64> = request.accounts().collect();
            // About 4 MB at a time.
            let at_a_time = (2560 / tokens).clamp(1, 256) as usize;
            let (ns, ()) = timed(|| {
                for some in accounts.chunks(at_a_time) {
                    let texts = |account: u64| (0..tokens).map(move |token| Random(account << 20 | token).text(bytes)).collect();
                    let rows: Vec<_> = some.iter().map(|account| (*account, texts(*account))).collect();
                    peer.load(&rows);
                }
                peer.settle();
            });
            json!({ "ns": ns })
        }
        "sign_out" => {
            let timed = |account| {
                let (ns, ()) = timed(|| peer.sign_out(account));
                (ns, ns + timed(|| peer.settle()).0)
            };
            let (ns, settled): (Vec<u64>, Vec<u64>) = request.accounts().map(timed).unzip();
            json!({ "ns": ns, "settled": settled })
        }
        "burst" => burst(peer, request),
        "tenant" => sign_out_tenant(peer, request),
        "put" => {
            let bytes = request.number("bytes") as usize;
            let put = |(account, token, mut random): (u64, u32, Random)| {
                let text = random.text(bytes);
                timed(|| peer.put(&peer.handle(account), token, text)).0
            };
            let ns: Vec<u64> = request.picked().into_iter().map(put).collect();
            peer.settle();
            json!({ "ns": ns })
        }
        "get" => {
            let (bytes, is_held) = (request.number("bytes") as usize, request.0["held"].as_bool().unwrap());
            let get = |(account, token, _)| {
                let held = is_held.then(|| peer.handle(account));
                let (ns, text) = timed(|| match &held {
                    Some(handle) => peer.get(handle, token),
                    None => peer.get(&peer.handle(account), token),
                });
                assert_eq!(text.expect("a token is missing").len(), bytes);
                ns
            };
            json!({ "ns": request.picked().into_iter().map(get).collect::<Vec<u64>>() })
        }
        // How many of the accounts have a first token.
        "count" => {
            // Where nobody is there, there may be no handle either: a peer's `get` says `None` for
            // it.
            json!({ "found": request.accounts().filter(|account| peer.get(&peer.handle(*account), 0).is_some()).count() })
        }
        _ => panic!("no operation {op}"),
    }
}

/// Many threads sign accounts out, each its share, from one moment on.
fn burst<P: Peer>(peer: &P, request: &Request) -> Value {
    let accounts: Vec<u64> = request.accounts().collect();
    let threads = (request.number("threads") as usize).min(accounts.len());
    let barrier = Barrier::new(threads);
    let shares: Vec<(Instant, Vec<u64>)> = std::thread::scope(|scope| {
        let share = |share: usize| {
            let (accounts, barrier) = (&accounts, &barrier);
            scope.spawn(move || {
                let mine: Vec<u64> = accounts.iter().copied().skip(share).step_by(threads).collect();
                barrier.wait();
                let start = Instant::now();
                (start, mine.into_iter().map(|account| timed(|| peer.sign_out(account)).0).collect())
            })
        };
        let running: Vec<_> = (0..threads).map(share).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // From when the first thread began: on a busy machine another may be far ahead of any one.
    let start = shares.iter().map(|(start, _)| *start).min().unwrap();
    let each: Vec<u64> = shares.into_iter().flat_map(|(_, times)| times).collect();
    let ns = nanos(start);
    // Unless work is to be left for a process that is killed.
    if request.0["leave"] != true {
        peer.settle();
    }
    json!({ "ns": ns, "settled": nanos(start), "each": each })
}

const QUIET: u8 = 0;
const BUSY: u8 = 1;
const OVER: u8 = 2;

/// Signs a whole tenant out while readers read tokens of others at a steady pace: first quietly,
/// then until all is settled.
fn sign_out_tenant<P: Peer>(peer: &P, request: &Request) -> Value {
    let (live, tokens) = (request.number("live"), request.number("tokens"));
    let least = Duration::from_millis(request.number("ms"));
    let phase = AtomicU8::new(QUIET);
    std::thread::scope(|scope| {
        let phase = &phase;
        let reader = |seed: u64| scope.spawn(move || read_steadily(peer, live, tokens, seed, phase));
        let readers: Vec<_> = (1..=2).map(reader).collect();
        std::thread::sleep(least);
        phase.store(BUSY, Ordering::SeqCst);
        let start = Instant::now();
        peer.sign_out_tenant(tenant(request.number("first")));
        let ns = nanos(start);
        peer.settle();
        let settled = nanos(start);
        std::thread::sleep(least.saturating_sub(start.elapsed()));
        phase.store(OVER, Ordering::SeqCst);
        let (mut quiet, mut busy) = (Vec::new(), Vec::new());
        for reader in readers {
            let [mut first, mut second] = reader.join().unwrap();
            quiet.append(&mut first);
            busy.append(&mut second);
        }
        json!({ "ns": ns, "settled": settled, "quiet": percentiles(quiet), "busy": percentiles(busy) })
    })
}

/// Reads 2000 times a second. A read that cannot begin in time, as the one before it took too long,
/// counts from when it should have.
fn read_steadily<P: Peer>(peer: &P, live: u64, tokens: u64, seed: u64, phase: &AtomicU8) -> [Vec<u64>; 2] {
    const PACE: Duration = Duration::from_micros(500);
    let mut random = Random(seed);
    let mut times = [Vec::new(), Vec::new()];
    let mut due = Instant::now();
    loop {
        let (account, token) = (random.below(live), random.below(tokens) as u32);
        due += PACE;
        let now = Instant::now();
        let start = if due > now {
            std::thread::sleep(due - now);
            Instant::now()
        } else {
            due
        };
        assert!(peer.get(&peer.handle(account), token).is_some(), "a reader misses a token");
        let ns = nanos(start);
        match phase.load(Ordering::SeqCst) {
            OVER => return times,
            now => times[usize::from(now)].push(ns),
        }
    }
}

fn percentiles(mut times: Vec<u64>) -> Value {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() as f64 * part) as usize).min(times.len() - 1)];
    json!({ "n": times.len(), "p50": at(0.5), "p999": at(0.999), "max": at(1.0) })
}

fn timed<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let start = Instant::now();
    let done = work();
    (nanos(start), done)
}

fn nanos(start: Instant) -> u64 {
    start.elapsed().as_nanos() as u64
}

/// The most memory that this process and those it has started ever had.
fn memory(servers: Vec<u32>) -> u64 {
    let peak = |process: String| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    };
    peak("self".into()) + servers.into_iter().map(|id| peak(id.to_string())).sum::<u64>()
}
