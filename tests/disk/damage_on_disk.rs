//! Damage of every kind to the files of a real folder, and full disks: a typed error or a correct
//! state, never a token that is gone or somebody else's, never a panic that escapes, never a hang.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::chance::Chance;
use oubliette_testkit::disk::*;

/// For the child that examines a damaged store: its folder.
const EXAMINE: &str = "OUBLIETTE_TEST_EXAMINE";
/// For the child that works until the disk is full.
const FILL_UP: &str = "OUBLIETTE_TEST_FILL_UP";
/// Accounts of the sample; the odd ones have been signed out.
const SAMPLE: u32 = 8;

/// What account `number` may ever have read as its token of this scope, the newest last.
fn secrets(number: u32, scope: &str) -> [String; 2] {
    let size = if scope == "large" { 20_000 } else { 30 };
    ["old", "new"]
        .map(|age| format!("{number}.{scope}.{age}.").chars().cycle().take(size).collect())
}

/// A store whose rows take `bulk` large tokens more. Gives two copies of it: as a killed process
/// leaves it, and closed.
fn sample(home: &Home, bulk: u32) -> [PathBuf; 2] {
    let store = home.open();
    let put = |number: u32, age: usize| {
        for live in store.account(&account(number)).unwrap() {
            let tokens =
                ["small", "large"].map(|scope| access(scope, &secrets(number, scope)[age]).into());
            live.put(tokens).unwrap();
        }
    };
    for number in 1..=SAMPLE {
        store.sign_in(sign_in(number).session(session(number)).subject(subject(number))).unwrap();
        put(number, 0);
    }
    for number in (1..=SAMPLE).step_by(2) {
        store.sign_out(SignOut::account(&account(number))).unwrap();
    }
    store.wait_reclaimed().unwrap();
    let live = store.sign_in(sign_in(100)).unwrap();
    (0..bulk)
        .for_each(|n| drop(live.put(access(&format!("bulk{n}"), &"x".repeat(30_000))).unwrap()));
    (1..=SAMPLE).for_each(|number| put(number, 1));
    // Nothing is held back in memory.
    store.wait_reclaimed().unwrap();
    copy(&home.path(), &home.beside("killed"));
    store.close().unwrap();
    copy(&home.path(), &home.beside("closed"));
    ["killed", "closed"].map(|name| home.beside(name))
}

/// What there is to say about a damaged store. `Err` if it breaks a promise.
fn examine(folder: &Path) -> Result<&'static str, String> {
    let store = match builder_at(folder).open() {
        Ok(store) => store,
        Err(Error::Damaged { part: Component::Engine, .. }) => return Ok("engine refused"),
        Err(Error::Damaged { .. }) => return Ok("other part refused"),
        Err(Error::Tampered(_)) => return Ok("checkpoint refused"),
        Err(error) => return Err(format!("open: {error:?}")),
    };
    let mut all = true;
    let mut failed = false;
    for number in 1..=SAMPLE {
        let Ok(lives) = store.account(&account(number)) else {
            failed = true;
            continue;
        };
        if number % 2 == 1 && !lives.is_empty() {
            return Err(format!("account {number} came back"));
        }
        all &= lives.len() == usize::from(number % 2 == 0);
        for (live, scope) in
            lives.iter().flat_map(|live| ["small", "large"].map(|scope| (live, scope)))
        {
            match live.access_token(&query(scope)) {
                Ok(Some(token))
                    if secrets(number, scope).contains(&token.secret.expose().to_owned()) =>
                {
                    all &= token.secret.expose() == secrets(number, scope)[1];
                }
                Ok(Some(_)) => return Err(format!("account {number} has a wrong token")),
                Ok(None) => all = false,
                Err(Error::Tampered(_) | Error::Poisoned(_) | Error::Io { .. }) => failed = true,
                Err(error) => return Err(format!("get: {error:?}")),
            }
        }
    }
    // A damaged engine must not stop a sign-out, and it must hold.
    let _ = store.sweep(1000);
    store
        .sign_out(SignOut::account(&account(2)))
        .map_err(|error| format!("sign_out: {error:?}"))?;
    let _ = store.wait_reclaimed();
    let _ = store.sign_in(sign_in(3));
    let _ = store.close();
    if let Ok(store) = builder_at(folder).open() {
        if store.account(&account(2)).is_ok_and(|lives| !lives.is_empty()) {
            return Err("account 2 came back".into());
        }
        if store
            .last_sign_out(&SignOutScope::Account(account(2)))
            .map_err(|error| format!("{error:?}"))?
            .record
            .is_none()
        {
            return Err("the sign-out of account 2 is forgotten".into());
        }
    }
    Ok(if failed {
        "errors when reading"
    } else if all {
        "whole"
    } else {
        "older or less"
    })
}

/// Not a test but a child: sled's threads may be beyond use after a trial.
#[test]
fn examining_child() {
    let Ok(folder) = std::env::var(EXAMINE) else { return };
    std::panic::set_hook(Box::new(|_| {}));
    let said = std::panic::catch_unwind(|| examine(Path::new(&folder)));
    let said = said.unwrap_or_else(|_| Err("a panic escaped".into()));
    fs::write(
        format!("{folder}.said"),
        said.map_or_else(|wrong| format!("WRONG {wrong}"), str::to_owned),
    )
    .unwrap();
    std::process::exit(0);
}

fn examine_in_child(folder: &Path) -> String {
    let mut child = again("damage_on_disk::examining_child")
        .env(EXAMINE, folder)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    match wait(&mut child, Duration::from_secs(30)) {
        None => "WRONG it hangs".into(),
        Some(_) => fs::read_to_string(format!("{}.said", folder.display()))
            .unwrap_or_else(|_| "WRONG the child died".into()),
    }
}

#[test]
fn a_damaged_database_gives_an_error_or_a_correct_state() {
    let mut chance = Chance::seeded("OUBLIETTE_DAMAGE_SEED", 8_005);
    let homes = [0, 60].map(|bulk| (Home::new(), bulk));
    let bases: Vec<PathBuf> = homes.iter().flat_map(|(home, bulk)| sample(home, *bulk)).collect();
    let mut seen = std::collections::BTreeMap::<(usize, String), u32>::new();
    for base in &bases {
        let home = Home::new();
        copy(base, &home.path());
        assert_eq!(examine_in_child(&home.path()), "whole", "undamaged: {base:?}");
    }
    for trial in 0..156_usize {
        let home = Home::new();
        copy(&bases[trial % bases.len()], &home.path());
        let db = entry(&home.path(), "engine-").join("db");
        let mut bytes = fs::read(&db).unwrap();
        // Beyond the last byte that is not zero nothing is kept.
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
        let place = usize::try_from(chance.below(used)).unwrap();
        let how = trial / bases.len() % 3;
        match how {
            0 => bytes[place] ^= 1 << chance.below(8),
            1 => bytes[place & !4095..].iter_mut().take(4096).for_each(|byte| *byte = 0),
            _ => bytes.truncate(place),
        }
        fs::write(&db, bytes).unwrap();
        let said = examine_in_child(&home.path());
        if said.starts_with("WRONG") {
            panic!("trial {trial}, kind {how}, at {place}: {said}; kept in {:?}", home.keep());
        }
        *seen.entry((how, said)).or_default() += 1;
    }
    say(&format!("damaged databases (0 a bit, 1 a page, 2 cut off): {seen:?}"));
    let count = |what: &str| {
        seen.iter().filter(|((_, said), _)| said == what).map(|(_, count)| count).sum::<u32>()
    };
    assert!(
        count("engine refused") > 0 && count("older or less") > 0 && count("whole") < 100,
        "the damage shows: {seen:?}"
    );
}

#[test]
fn every_flipped_bit_of_the_keyring_is_an_error() {
    let home = Home::new();
    sample(&home, 0);
    let path = home.path().join("keyring");
    let good = fs::read(&path).unwrap();
    let mut kinds = std::collections::BTreeMap::<String, u32>::new();
    for (place, bit) in (0..good.len()).flat_map(|place| (0..8).map(move |bit| (place, bit))) {
        let mut bad = good.clone();
        bad[place] ^= 1 << bit;
        fs::write(&path, &bad).unwrap();
        let kind = kind(home.builder().open());
        assert!(
            ["damaged keyring", "key rejected", "unsupported keyring"].contains(&&*kind),
            "byte {place}: {kind}"
        );
        *kinds.entry(kind).or_default() += 1;
        assert!(fs::read(&path).unwrap() == bad);
    }
    for len in 0..good.len() {
        fs::write(&path, &good[..len]).unwrap();
        let kind = kind(home.builder().open());
        assert!(kind == "damaged keyring" || kind == "key rejected", "cut off at {len}: {kind}");
    }
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    fs::write(&path, [good.as_slice(), &[0]].concat()).unwrap();
    assert_eq!(kind(home.builder().open()), "damaged keyring");
    fs::write(&path, &good).unwrap();
    assert_eq!(home.open().account(&account(2)).unwrap().len(), 1);
}

#[test]
fn a_flipped_bit_of_the_ledger_is_damage_or_changes_nothing() {
    let mut chance = Chance::seeded("OUBLIETTE_DAMAGE_SEED", 8_005);
    let home = Home::new();
    sample(&home, 0);
    let path = entry(&home.path(), "ledger-");
    let good = fs::read(&path).unwrap();
    let (dense, end) = (1000, good.len() as u64);
    let places = (0..dense)
        .chain(std::iter::repeat_with(|| dense + chance.below(end - dense)).take(400))
        .collect::<Vec<_>>();
    let (mut refused, mut healed) = (0, 0);
    for place in places {
        let mut bad = good.clone();
        bad[usize::try_from(place).unwrap()] ^= 1 << chance.below(8);
        fs::write(&path, &bad).unwrap();
        match home.builder().open() {
            Ok(store) => {
                let gone = |number| store.account(&account(number)).unwrap().is_empty();
                assert!(
                    (1..=SAMPLE).all(|number| gone(number) == (number % 2 == 1)),
                    "byte {place}"
                );
                let known = |n| {
                    store
                        .last_sign_out(&SignOutScope::Account(account(n)))
                        .unwrap()
                        .record
                        .is_some()
                };
                assert!((1..=SAMPLE).step_by(2).all(known), "byte {place}");
                drop(store);
                assert!(fs::read(&path).unwrap() == good, "byte {place} is mended");
                healed += 1;
            }
            Err(
                Error::Damaged { part: Component::Ledger, .. }
                | Error::UnsupportedFormat { part: Component::Ledger, .. },
            ) => {
                assert!(
                    fs::read(&path).unwrap() == bad,
                    "byte {place}: what is damaged is left as it is"
                );
                refused += 1;
            }
            Err(error) => panic!("byte {place}: {error:?}"),
        }
    }
    assert!(refused > 1000 && healed > 10, "{refused} refused, {healed} healed");
}

#[test]
fn a_ledger_that_was_cut_off_is_damage_or_changes_nothing() {
    let home = Home::new();
    sample(&home, 0);
    let path = entry(&home.path(), "ledger-");
    let good = fs::read(&path).unwrap();
    for len in (0..1000).chain((1000..good.len()).step_by(10_007)) {
        fs::write(&path, &good[..len]).unwrap();
        match home.builder().open() {
            Ok(store) => {
                let gone = |number| store.account(&account(number)).unwrap().is_empty();
                assert!(
                    (1..=SAMPLE).all(|number| gone(number) == (number % 2 == 1)),
                    "cut off at {len}"
                );
            }
            Err(Error::Damaged { part: Component::Ledger, .. }) => {}
            Err(error) => panic!("cut off at {len}: {error:?}"),
        }
    }
}

#[test]
fn large_tokens_never_go_to_blob_files() {
    let home = Home::new();
    let store = home.open();
    let large = "x".repeat(MAX_TOKEN_BYTES);
    for number in 0..4 {
        let live = store.sign_in(sign_in(number)).unwrap();
        for scope in 0..20 {
            let mut token = access(&format!("s{scope}"), &large);
            token.extra = vec![7; MAX_EXTRA_BYTES];
            live.put(token).unwrap();
        }
    }
    store.sign_out(SignOut::account(&account(0))).unwrap();
    store.close().unwrap();
    let store = home.open();
    assert_eq!(
        store.account(&account(1)).unwrap()[0]
            .access_token(&query("s7"))
            .unwrap()
            .unwrap()
            .secret
            .expose(),
        large
    );
    store.close().unwrap();
    let blobs = entry(&home.path(), "engine-").join("blobs");
    assert!(blobs.is_dir() && contents(&blobs).is_empty(), "{:?}", contents(&blobs).keys());
}

/// Not a test but a child, under a limit of file size that acts like a full disk. It says what was
/// acknowledged.
#[test]
fn filling_child() {
    let Ok(folder) = std::env::var(FILL_UP) else { return };
    let say = |line: String| say(&line);
    let typed = |error: &Error| match error {
        Error::Full(_) | Error::Poisoned(Component::Engine) => {}
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::FileTooLarge => {}
        error => say(format!("wrong {error:?}")),
    };
    let store = match builder_at(Path::new(&folder)).open() {
        Ok(store) => store,
        Err(error) => {
            typed(&error);
            return say("refused".into());
        }
    };
    let mut signed_in = 0;
    for number in 1..=60 {
        let result = store.sign_in(sign_in(number)).and_then(|live| {
            say(format!("in {number}"));
            live.put([
                access("a", &secrets(number, "large")[0]).into(),
                refresh(&secrets(number, "small")[0]).into(),
            ])
        });
        match result {
            Ok(_) => say(format!("put {number}")),
            Err(error) => {
                typed(&error);
                say(format!("full {number}"));
                break;
            }
        }
        signed_in = number;
    }
    // The reserve was kept for this.
    for number in (1..=signed_in.max(20)).step_by(2) {
        match store.sign_out(SignOut::account(&account(number))) {
            Ok(_) => say(format!("out {number}")),
            Err(error) => say(format!("wrong sign_out {error:?} {:?}", store.stats())),
        }
    }
    for number in 1..=60 {
        match store.account(&account(number)) {
            Ok(lives) if number % 2 == 1 && number <= signed_in.max(20) && !lives.is_empty() => {
                say(format!("wrong: {number} lives"))
            }
            Ok(_) => {}
            Err(error) => typed(&error),
        }
    }
    store.wait_reclaimed().err().iter().for_each(typed);
    store.close().err().iter().for_each(typed);
    say("closed".into());
}

/// Runs a test of this binary as a child that cannot make a file larger than `kib`. (POSIX counts
/// 512 bytes.)
#[cfg(unix)]
fn run_limited(test: &str, kib: u64, folder: &Path) -> Vec<String> {
    let binary = std::env::current_exe().unwrap();
    let mut child = std::process::Command::new("sh")
        .args(["-c", &format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" {test} --exact --nocapture --test-threads=1", 2 * kib)])
        .arg(binary)
        .env(FILL_UP, folder)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let said = child.stderr.take().unwrap();
    let said = std::thread::spawn(move || std::io::read_to_string(said).unwrap());
    let status = wait(&mut child, Duration::from_secs(60));
    let lines: Vec<String> = said.join().unwrap().lines().map(str::to_owned).collect();
    assert!(status.is_some_and(|status| status.success()), "{kib} KiB: {status:?} {lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("wrong")), "{kib} KiB: {lines:?}");
    lines
}

#[cfg(unix)]
fn numbers_of(lines: &[String], what: &str) -> Vec<u32> {
    lines
        .iter()
        .filter_map(|line| line.strip_prefix(what)?.strip_prefix(' ')?.parse().ok())
        .collect()
}

#[cfg(unix)]
#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged_and_still_signs_out() {
    let (mut refused, mut filled, mut roomy) = (0, 0, 0);
    let limits = [
        0, 1, 2, 8, 64, 128, 256, 319, 320, 321, 328, 384, 448, 500, 511, 512, 513, 520, 576, 640,
        700, 800, 1000, 1100,
    ];
    for kib in limits.into_iter().chain([1200, 1400, 1600, 100_000]) {
        let home = Home::new();
        let lines = run_limited("damage_on_disk::filling_child", kib, &home.path());
        let store = home
            .builder()
            .open()
            .unwrap_or_else(|error| panic!("{kib} KiB: reopen: {error:?} {lines:?}"));
        let (signed_in, put, out) =
            (numbers_of(&lines, "in"), numbers_of(&lines, "put"), numbers_of(&lines, "out"));
        for number in 1..=60 {
            let lives = store.account(&account(number)).unwrap();
            let is_gone = out.contains(&number);
            assert!(!is_gone || lives.is_empty(), "{kib} KiB: {number} came back");
            assert!(
                is_gone || !lives.is_empty() || !signed_in.contains(&number),
                "{kib} KiB: {number} is lost"
            );
            for live in lives {
                let access = live
                    .access_token(&query("a"))
                    .unwrap()
                    .map(|token| token.secret.expose().to_owned());
                let refresh = live
                    .refresh_token(&client())
                    .unwrap()
                    .map(|token| token.secret.expose().to_owned());
                let both = [access, refresh].map(|secret| secret.is_some());
                assert!(
                    both == [true; 2] || (both == [false; 2] && !put.contains(&number)),
                    "{kib} KiB: {number} {both:?}"
                );
            }
        }
        for number in out {
            assert!(
                store
                    .last_sign_out(&SignOutScope::Account(account(number)))
                    .unwrap()
                    .record
                    .is_some()
            );
        }
        store.sign_in(sign_in(99)).unwrap().put(refresh("rt")).unwrap();
        store.close().unwrap();
        refused += u32::from(lines.iter().any(|line| line == "refused"));
        filled += u32::from(lines.iter().any(|line| line.starts_with("full")));
        roomy += u32::from(lines.last().is_some_and(|line| line == "closed") && put.len() == 60);
    }
    say(&format!("full disks: {refused} refused to open, {filled} filled up, {roomy} had room"));
    assert!(refused > 3 && filled > 3 && roomy > 0);
}

/// Not a test but a child: it signs out until the reserve is used up.
#[test]
fn exhausting_child() {
    let Ok(folder) = std::env::var(FILL_UP) else { return };
    let say = |line: String| say(&line);
    let store = builder_at(Path::new(&folder)).open().unwrap();
    say(format!("reserve {}", store.stats().unwrap().ledger_reserve));
    for number in 1..20_000 {
        match store.sign_out(SignOut::account(&account(number))) {
            Ok(_) => say(format!("out {number}")),
            Err(Error::Full(Component::Ledger)) => {
                say(format!("full {number}"));
                // Nothing was done, and nothing is broken.
                let nothing = store
                    .last_sign_out(&SignOutScope::Account(account(number)))
                    .unwrap()
                    .record
                    .is_none();
                return say(if nothing && store.stats().is_ok() {
                    "closed".into()
                } else {
                    "wrong".into()
                });
            }
            Err(error) => return say(format!("wrong {error:?}")),
        }
    }
}

#[cfg(unix)]
#[test]
fn the_reserve_is_used_to_the_end_and_no_further() {
    let home = Home::new();
    home.open().close().unwrap();
    // Room for the engine, whose file is larger than the ledger's at first, and so for some growth
    // of the ledger.
    let kib = 1088;
    let lines = run_limited("damage_on_disk::exhausting_child", kib, &home.path());
    let (reserve, out) = (numbers_of(&lines, "reserve")[0], numbers_of(&lines, "out"));
    assert!(
        reserve >= 4096 && out.len() >= reserve as usize,
        "{} of {reserve}; {:?}",
        out.len(),
        lines.last()
    );
    let ledger = fs::metadata(entry(&home.path(), "ledger-")).unwrap().len();
    // All but the header's eight slots, the opening's record, and the filler at the end.
    assert!(
        ledger <= kib * 1024 && out.len() as u64 == ledger / 64 - 10,
        "{} in {ledger} bytes",
        out.len()
    );
    assert_eq!(lines.last().map(String::as_str), Some("closed"));
    let store = home.open();
    assert!(out.iter().all(|n| {
        store.last_sign_out(&SignOutScope::Account(account(*n))).unwrap().record.is_some()
    }));
    store.sign_out(SignOut::everybody()).unwrap();
    store.close().unwrap();
}

/// Files that claim to be larger than any memory, as a broken copy can leave them.
#[test]
fn a_file_of_a_tebibyte_is_damage_and_is_not_read_whole() {
    let home = Home::new();
    let store = home.open();
    store.sign_in(sign_in(1)).unwrap();
    store.close().unwrap();
    let ledger = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path());
    let ledger = ledger
        .filter(|path| path.extension().is_none())
        .find(|path| path.to_string_lossy().contains("ledger-"));
    for (part, path) in
        [(Component::Keyring, home.path().join("keyring")), (Component::Ledger, ledger.unwrap())]
    {
        let file = fs::File::options().write(true).open(&path).unwrap();
        let len = file.metadata().unwrap().len();
        file.set_len(1 << 40).unwrap();
        assert!(matches!(home.builder().open(), Err(Error::Damaged { part: p, .. }) if p == part));
        assert!(
            matches!(home.builder().history(), Err(Error::Damaged { part: p, .. }) if p == part)
        );
        file.set_len(len).unwrap();
        assert_eq!(home.open().account(&account(1)).unwrap().len(), 1, "nothing else was touched");
    }
}
