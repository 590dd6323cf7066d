//! Whether any file call goes past libc, and so past the shim: the same process is watched by `strace`, and both must have counted the same.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use super::case::Bench;
use super::shim;

/// All that a store does with files, with and without being open.
const VERBS: &str = "create populate put_refresh put put_large web_create backup sign_in out_account acquire compact close \
                     open_alone erase backup rotate sweep verify close restore close offline_verify history";

/// System calls, and the shim's names for them.
const SAME: &[(&[&str], &[&str])] = &[
    (&["openat", "open"], &["open", "create", "opendir"]),
    (&["read"], &["read"]),
    (&["pread64"], &["pread"]),
    (&["write", "writev"], &["write"]),
    (&["pwrite64", "pwritev"], &["pwrite"]),
    (&["fsync"], &["fsync"]),
    (&["fdatasync"], &["fdatasync"]),
    (&["sync_file_range"], &["sync_file_range"]),
    (&["ftruncate"], &["ftruncate"]),
    (&["fallocate"], &["fallocate"]),
    (&["copy_file_range"], &["copy_file_range"]),
    (&["sendfile"], &["sendfile"]),
    (&["rename", "renameat", "renameat2"], &["rename"]),
    (&["unlink", "unlinkat", "rmdir"], &["unlink", "rmdir"]),
    (&["mkdir", "mkdirat"], &["mkdir"]),
    (&["statx", "newfstatat", "stat", "lstat", "access", "faccessat", "faccessat2"], &["stat"]),
    (&["flock"], &["flock"]),
    (&["mmap"], &["mmap"]),
    (&["io_uring_enter", "msync", "preadv", "preadv2", "pwritev2", "splice", "truncate", "link", "linkat"], &[]),
];

/// Says what was found; `false` if a call went past. (`statfs`, which asks how much space is free, does, and needs no watching.)
pub fn is_none(bench: &Bench) -> bool {
    let root = bench.scratch.join("bypass");
    let (home, log, list, trace) = (root.join("home"), root.join("log"), root.join("list"), root.join("trace"));
    std::fs::create_dir_all(&home).expect("a folder");
    std::fs::write(&log, "").expect("a log");
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-o"]).arg(&trace);
    for (name, value) in [("LD_PRELOAD", &bench.shim), ("OUBLIETTE_FAULT_ROOT", &home), ("OUBLIETTE_FAULT_LIST", &list)] {
        command.arg("-E").arg(format!("{name}={}", value.display()));
    }
    command.arg("-E").arg(format!("TMPDIR={}", home.display()));
    command.arg(std::env::current_exe().expect("this program")).args(["worker", &bench.engine]);
    command.arg(&home).arg(&log).args(["0", "1"]).args(VERBS.split_whitespace());
    if !command.stdin(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("SKIPPED: whether a file call goes past libc: there is no strace, or it may not watch");
        return true;
    }
    let (mut watched, mut counted) = (BTreeMap::new(), BTreeMap::new());
    let home = home.display().to_string();
    let trace = std::fs::read_to_string(&trace).expect("the trace");
    for line in trace.lines().filter(|line| line.contains(&home) && !line.contains("resumed>")) {
        let call = line.split_once(' ').map(|(_, call)| call.trim_start()).and_then(|call| call.split('(').next());
        // (libc itself looks at folders that it opens, by `fstat`: that one is not compared.)
        let call = if line.contains("newfstatat(") && line.contains(", \"\",") { Some("fstat") } else { call };
        *watched.entry(call.unwrap_or_default().to_owned()).or_insert(0) += 1;
    }
    shim::calls(&list).into_iter().for_each(|call| *counted.entry(call.name).or_insert(0) += 1);
    let sum = |counts: &BTreeMap<String, u64>, names: &[&str]| -> u64 { names.iter().filter_map(|name| counts.get(*name)).sum() };
    let mut all = true;
    for (calls, names) in SAME {
        let (watched, counted) = (sum(&watched, calls), sum(&counted, names));
        if watched != counted {
            println!("{calls:?}: strace saw {watched}, the shim {counted}");
            all = false;
        }
    }
    let verdict = if all { "no file call goes past libc" } else { "SOME FILE CALLS GO PAST THE SHIM" };
    println!("{verdict}: strace and the shim agree on {} calls", counted.values().sum::<u64>());
    all
}
