//! What only a real folder shows: who may open it, how it is born, and what happens when a part is
//! missing or older.

use std::fs;
use std::path::{Path, PathBuf};

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::disk::*;

/// Signs these accounts in, each with the tokens `at-N` and `rt-N`.
fn fill(store: &TokenStore, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        let live = store
            .sign_in(sign_in(number).session(session(number)).subject(subject(number)))
            .unwrap();
        let tokens =
            [access("a", &format!("at-{number}")).into(), refresh(&format!("rt-{number}")).into()];
        live.put(tokens).unwrap();
    }
}

/// Which of these accounts are signed in. Their tokens must be those that [`fill`] gave them.
fn signed_in(store: &TokenStore, numbers: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let is_in = |number: &u32| {
        let lives = store.account(&account(*number)).unwrap();
        for live in &lives {
            let access = live.access_token(&query("a")).unwrap().unwrap();
            let refresh = live.refresh_token(&client()).unwrap().unwrap();
            assert_eq!(
                (access.secret.expose(), refresh.secret.expose()),
                (&*format!("at-{number}"), &*format!("rt-{number}"))
            );
        }
        !lives.is_empty()
    };
    numbers.into_iter().filter(is_in).collect()
}

/// A closed store with accounts 1 to 3, of which 3 has been signed out.
fn closed() -> Home {
    let home = Home::new();
    let store = home.open();
    fill(&store, 1..=3);
    store.sign_out(SignOut::account(&account(3))).unwrap();
    store.close().unwrap();
    home
}

fn forget_everyone(path: &Path) -> TokenStore {
    builder_at(path).on_damage(OnDamage::ForgetEveryone).open().unwrap()
}

#[test]
fn a_wrong_key_is_rejected_and_changes_nothing_but_the_lock() {
    let home = closed();
    // What an open with the right key would clean away.
    let engine = entry(&home.path(), "engine-");
    fs::write(engine.join("snap.00000000000003E8.generating"), "half").unwrap();
    fs::write(home.path().join("keyring.new"), "half").unwrap();
    let before = contents(&home.path());
    for on_damage in [OnDamage::Refuse, OnDamage::ForgetEveryone] {
        let wrong = KeySource::bytes([8; 32]).previous(KeySource::bytes([9; 32]));
        assert_eq!(kind(home.builder().on_damage(on_damage).key(wrong).open()), "key rejected");
        let mut after = contents(&home.path());
        let lock = PathBuf::from("lock");
        assert!(after.insert(lock.clone(), before[&lock].clone()).is_some());
        assert!(after == before, "{:?}", after.keys());
    }
    assert_eq!(signed_in(&home.open(), 1..=3), [1, 2]);
}

#[test]
fn no_key_changes_nothing_but_the_lock_either() {
    let home = Home::new();
    let missing = || KeySource::file(home.beside("no-such-key"));
    assert!(matches!(home.builder().key(missing()).open(), Err(Error::KeyUnavailable { .. })));
    assert!(
        contents(&home.path()).into_keys().eq([PathBuf::from("lock")]),
        "no store is born without a key"
    );
    fill(&home.open(), [1]);
    let before = contents(&home.path());
    assert!(matches!(home.builder().key(missing()).open(), Err(Error::KeyUnavailable { .. })));
    assert!(
        contents(&home.path())
            .into_iter()
            .all(|file| file.0 == Path::new("lock") || before[&file.0] == file.1)
    );
}

#[test]
fn a_previous_key_opens_the_store() {
    let home = closed();
    let newer = KeySource::bytes([8; 32])
        .previous(KeySource::bytes([9; 32]))
        .previous(KeySource::bytes(KEY));
    let store = home.builder().key(newer).open().unwrap();
    assert_eq!(signed_in(&store, 1..=3), [1, 2]);
    assert!(store.stats().unwrap().opened_by_previous_key);
    drop(store);
    assert!(!home.open().stats().unwrap().opened_by_previous_key);
}

const HOLD: &str = "OUBLIETTE_TEST_HOLD";

/// Not a test but a child: it opens the store, says so, and waits to be killed.
#[test]
fn holding_child() {
    if let Ok(path) = std::env::var(HOLD) {
        let _store = builder_at(Path::new(&path)).open().unwrap();
        fs::write(format!("{path}.held"), "").unwrap();
        std::thread::sleep(std::time::Duration::from_secs(30));
    }
}

#[test]
fn a_second_process_is_told_who_has_the_store() {
    let home = closed();
    let mut child = again("folder::holding_child").env(HOLD, home.path()).spawn().unwrap();
    while !home.beside("tokens.held").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the child ended");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let before = contents(&home.path());
    assert_eq!(kind(home.builder().open()), format!("already open by {:?}", Some(child.id())));
    assert_eq!(
        kind(home.builder().key(KeySource::bytes([8; 32])).open()),
        format!("already open by {:?}", Some(child.id()))
    );
    assert!(contents(&home.path()) == before, "who is refused changes nothing");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(signed_in(&home.open(), 1..=3), [1, 2], "the lock dies with its process");
}

/// A lock that another process holds, as far as the store can tell: it is not this store's.
fn stranger(lock: &Path) -> fs::File {
    let file = fs::File::options().read(true).open(lock).unwrap();
    file.lock().unwrap();
    file
}

const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

#[test]
fn an_opening_waits_for_another_process_and_never_for_its_own() {
    let home = closed();
    let mut child = again("folder::holding_child").env(HOLD, home.path()).spawn().unwrap();
    while !home.beside("tokens.held").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the child ended");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let Err(Error::AlreadyOpen { lock, in_this_process: false, .. }) = home.builder().open() else {
        panic!()
    };
    assert_eq!(lock, Some(home.path().join("lock")));
    let store = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| home.builder().wait_for_lock(MINUTE).open());
        child.kill().unwrap();
        child.wait().unwrap();
        waiting.join().unwrap().unwrap()
    });
    assert_eq!(signed_in(&store, 1..=3), [1, 2]);

    // By another spelling and by a link too. If one of these waited, it would be for a minute each.
    let mut names = vec![home.path(), home.path().join("../tokens/.")];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(home.path(), home.beside("link")).unwrap();
        names.push(home.beside("link"));
    }
    let start = std::time::Instant::now();
    for name in names {
        let refused = builder_at(&name).wait_for_lock(MINUTE).open().unwrap_err();
        assert!(matches!(refused, Error::AlreadyOpen { in_this_process: true, .. }), "{refused:?}");
        let refused = builder_at(&name).wait_for_lock(MINUTE).verify().unwrap_err();
        assert!(matches!(refused, Error::AlreadyOpen { in_this_process: true, .. }), "{refused:?}");
    }
    assert!(start.elapsed() < MINUTE);
}

/// The order is the folder's lock, then the ledger's. What waits in vain for the second gives the
/// first back.
#[test]
fn who_waits_in_vain_keeps_no_lock() {
    let home = Home::new();
    let ledgers = home.beside("ledgers");
    let builder = || home.builder().ledger_dir(&ledgers);
    builder().open().unwrap().close().unwrap();
    let lock = fs::read_dir(&ledgers)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "lock"))
        .unwrap();
    let held = stranger(&lock);
    let short = std::time::Duration::from_millis(30);
    for verb in
        [|builder: Builder| builder.open().map(drop), |builder: Builder| builder.verify().map(drop)]
    {
        let refused = verb(builder().wait_for_lock(short)).unwrap_err();
        let Error::AlreadyOpen { lock: Some(named), in_this_process: false, .. } = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(named, lock);
        stranger(&home.path().join("lock")).unlock().unwrap();
    }
    let store = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| builder().wait_for_lock(MINUTE).open());
        held.unlock().unwrap();
        waiting.join().unwrap().unwrap()
    });
    store.close().unwrap();
}

#[test]
fn an_error_of_the_system_names_the_file() {
    let home = closed();
    let ledger = entry(&home.path(), "ledger-");
    fs::rename(&ledger, home.beside("away")).unwrap();
    fs::create_dir(&ledger).unwrap();
    let error = home.builder().open().unwrap_err();
    let Error::Io { path: Some(path), .. } = &error else { panic!("{error:?}") };
    assert!(*path == ledger && error.to_string().contains(&format!("{ledger:?}")), "{error}");
}

/// Between fork and exec a child has its parent's open files, and with them their locks.
#[test]
fn a_process_that_starts_others_can_reopen_its_store() {
    let home = closed();
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                    again("no-such-test").status().unwrap();
                }
            });
        }
        let results: Vec<_> =
            (0..150).map(|_| home.builder().open().and_then(TokenStore::close)).collect();
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        let failed: Vec<_> = results.into_iter().filter_map(Result::err).collect();
        assert!(failed.is_empty(), "{} of 150: {:?}", failed.len(), failed.first());
    });
}

#[test]
fn a_ledger_folder_is_for_one_store_and_a_copy_of_it_is_the_same_store() {
    let home = Home::new();
    let ledgers = home.beside("ledgers");
    let builder = |name: &str| builder_at(&home.beside(name)).ledger_dir(&ledgers);
    let one = builder("one").open().unwrap();
    fill(&one, [1]);
    // A new store beside that ledger would be a store that has forgotten it: a backup of the old
    // one could come back.
    assert_eq!(kind(builder("other").open()), "damaged keyring");
    // A copy of a store is the same store: not both at a time, and nobody takes its ledger away
    // from it.
    copy(&home.beside("one"), &home.beside("copy"));
    assert_eq!(
        kind(builder("copy").open()),
        format!("already open by {:?}", Some(std::process::id()))
    );
    fs::write(home.beside("copy").join("keyring"), b"torn").unwrap();
    let forgetting = builder("copy").on_damage(OnDamage::ForgetEveryone).open();
    assert_eq!(kind(forgetting), format!("already open by {:?}", Some(std::process::id())));
    one.sign_out(SignOut::account(&account(9))).unwrap();
    drop(one);
    assert_eq!(signed_in(&builder("one").open().unwrap(), [1]), [1]);
}

#[test]
fn a_store_that_lost_its_folder_is_not_born_again_beside_its_ledger() {
    let home = Home::new();
    let ledgers = home.beside("ledgers");
    let builder = || home.builder().ledger_dir(&ledgers);
    fill(&builder().open().unwrap(), [1, 2]);
    copy(&home.path(), &home.beside("backup"));
    // The data volume is lost, and the app starts on an empty one.
    fs::remove_dir_all(home.path()).unwrap();
    assert_eq!(kind(builder().open()), "damaged keyring");
    let store = builder().on_damage(OnDamage::ForgetEveryone).open().unwrap();
    store.sign_out(SignOut::account(&account(1))).unwrap();
    store.close().unwrap();
    // The backup that is found later is of a store whose ledger was given up.
    replace(&home.beside("backup"), &home.path());
    assert_eq!(kind(builder().open()), "damaged ledger");
}

/// The files of a creation, in the order in which they appear, and what each is while it is being
/// made.
#[test]
fn a_creation_that_died_at_any_stage_is_taken_up_again() {
    let made = Home::new();
    made.open().close().unwrap();
    let name = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let (ledger, engine) =
        (name(entry(&made.path(), "ledger-")), name(entry(&made.path(), "engine-")));
    let conf = fs::read(made.path().join(&engine).join("conf")).unwrap();
    type Stage = Box<dyn Fn(&Path)>;
    let take = |names: &[&str]| -> Stage {
        let (from, names) =
            (made.path(), names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        Box::new(move |to: &Path| {
            names.iter().for_each(|name| assert!(fs::copy(from.join(name), to.join(name)).is_ok()))
        })
    };
    let and = |first: Stage, then: Stage| -> Stage {
        Box::new(move |to: &Path| [&first, &then].iter().for_each(|stage| stage(to)))
    };
    let write = |name: String, bytes: Vec<u8>| -> Stage {
        Box::new(move |to: &Path| fs::write(to.join(&name), &bytes).unwrap())
    };
    let half_engine = |conf: Vec<u8>, db: Option<Vec<u8>>| -> Stage {
        let name = format!("{engine}.new");
        Box::new(move |to: &Path| {
            fs::create_dir_all(to.join(&name).join("blobs")).unwrap();
            fs::write(to.join(&name).join("conf"), &conf).unwrap();
            db.iter().for_each(|db| fs::write(to.join(&name).join("db"), db).unwrap());
        })
    };
    let born = || take(&["lock", &ledger, "keyring"]);
    let birth = || write("birth".into(), ledger.clone().into_bytes());
    let mut stages: Vec<(String, Stage)> = vec![
        ("an empty folder".into(), take(&[])),
        ("only the lock".into(), take(&["lock"])),
        ("an empty lock".into(), write("lock".into(), Vec::new())),
        (
            "half a ledger".into(),
            and(take(&["lock"]), write(format!("{ledger}.new"), vec![1; 700])),
        ),
        (
            "a birth's mark".into(),
            and(take(&["lock"]), write("birth".into(), b"ledger-of-nobody".to_vec())),
        ),
        ("a ledger without keyring".into(), and(take(&["lock", &ledger]), birth())),
        (
            "half a keyring".into(),
            and(and(take(&["lock", &ledger]), birth()), write("keyring.new".into(), vec![1; 100])),
        ),
        ("a keyring and still the mark".into(), and(born(), birth())),
        ("a keyring without engine".into(), born()),
        ("an engine's empty folder".into(), {
            let name = format!("{engine}.new");
            and(born(), Box::new(move |to: &Path| fs::create_dir(to.join(&name)).unwrap()))
        }),
        ("a half database".into(), and(born(), half_engine(conf.clone(), Some(vec![0xaa; 5000])))),
    ];
    for len in 0..=conf.len() {
        stages.push((
            format!("{len} bytes of conf"),
            and(born(), half_engine(conf[..len].to_vec(), None)),
        ));
    }
    for (what, stage) in stages {
        let home = Home::new();
        fs::create_dir(home.path()).unwrap();
        stage(&home.path());
        let store = home.builder().open().unwrap_or_else(|error| panic!("{what}: {error:?}"));
        fill(&store, [1]);
        store.close().unwrap();
        assert_eq!(signed_in(&home.open(), 1..=3), [1], "{what}");
        let left = entries(&home.path(), "engine-");
        assert_eq!(left.len(), 1, "{what}: {left:?}");
    }
}

#[test]
fn a_half_snapshot_of_sled_is_cleaned_away() {
    let home = closed();
    let engine = entry(&home.path(), "engine-");
    for (number, garbage) in [vec![], vec![0; 8], vec![0xff; 3000]].into_iter().enumerate() {
        for name in [
            "snap.00000000000003E8.generating",
            "snap.FFFFFFFFFFFFFFFF.generating",
            "snap.FFFFFFFFFFFFFFFE.in___motion",
        ] {
            fs::write(engine.join(name), &garbage).unwrap();
        }
        let store = home.builder().open().unwrap_or_else(|error| panic!("{number}: {error:?}"));
        assert_eq!(signed_in(&store, 1..=3), [1, 2]);
        store.close().unwrap();
        assert!(
            !contents(&engine).keys().any(|name| name
                .extension()
                .is_some_and(|e| e == "generating" || e == "in___motion"))
        );
    }
}

#[test]
fn left_overs_beside_a_whole_store_do_no_harm() {
    let home = closed();
    let (ledger, engine) = (entry(&home.path(), "ledger-"), entry(&home.path(), "engine-"));
    fs::write(ledger.with_extension("new"), "half").unwrap();
    fs::write(home.path().join("keyring.new"), "half").unwrap();
    copy(&engine, &engine.with_extension("new"));
    assert_eq!(signed_in(&home.open(), 1..=3), [1, 2]);
    assert_eq!(entry(&home.path(), "engine-"), engine);
}

#[test]
fn a_missing_keyring_beside_an_engine_is_damage_and_never_made_anew() {
    let home = closed();
    fs::remove_file(home.path().join("keyring")).unwrap();
    let before = contents(&home.path());
    for key in [KEY, [8; 32]] {
        assert_eq!(kind(home.builder().key(KeySource::bytes(key)).open()), "damaged keyring");
    }
    assert!(contents(&home.path()).keys().eq(before.keys()));
    let store = forget_everyone(&home.path());
    assert_eq!(signed_in(&store, 1..=3), [0_u32; 0]);
    fill(&store, [4]);
    store.close().unwrap();
    assert_eq!(signed_in(&home.open(), 1..=4), [4]);
    entry(&home.path(), "engine-");
}

#[test]
fn a_missing_ledger_is_damage() {
    let home = closed();
    fs::remove_file(entry(&home.path(), "ledger-")).unwrap();
    assert_eq!(kind(home.builder().open()), "damaged ledger");
    assert!(entries(&home.path(), "ledger-").is_empty(), "no new one was made");
    let store = forget_everyone(&home.path());
    assert_eq!(signed_in(&store, 1..=3), [0_u32; 0]);
    fill(&store, [4]);
    store.close().unwrap();
    assert_eq!(signed_in(&home.open(), 1..=4), [4]);
}

#[test]
fn a_missing_engine_means_that_everybody_is_gone() {
    let home = closed();
    fs::remove_dir_all(entry(&home.path(), "engine-")).unwrap();
    let store = home.open();
    assert_eq!(signed_in(&store, 1..=3), [0_u32; 0]);
    assert!(
        store.last_sign_out(&SignOutScope::Account(account(3))).unwrap().record.is_some(),
        "the ledger still answers"
    );
    fill(&store, [2]);
    store.close().unwrap();
    assert_eq!(signed_in(&home.open(), 1..=3), [2]);
}

#[test]
fn another_stores_parts_are_damage() {
    let (home, other) = (closed(), closed());
    let mine = |name: &str| entry(&home.path(), name);
    let (ledger, engine) = (mine("ledger-"), mine("engine-"));
    let (my_ledger, my_engine) = (fs::read(&ledger).unwrap(), home.beside("my-engine"));
    copy(&engine, &my_engine);
    fs::copy(entry(&other.path(), "ledger-"), &ledger).unwrap();
    assert_eq!(kind(home.builder().open()), "damaged ledger");
    fs::write(&ledger, my_ledger).unwrap();
    // Another store's rows do not open, nor does its checkpoint.
    replace(&entry(&other.path(), "engine-"), &engine);
    assert!(home.builder().open().is_err());
    replace(&my_engine, &engine);
    assert_eq!(signed_in(&home.open(), 1..=3), [1, 2]);
    // With its keyring, it would be the other store: whose ledger is not here.
    fs::copy(other.path().join("keyring"), home.path().join("keyring")).unwrap();
    assert_eq!(kind(home.builder().open()), "damaged ledger");
}

/// Makes copies of the engine's folder at several ages, the oldest first, while accounts 1 to 5
/// sign out in all scopes; gives the copies, and leaves the store closed with only accounts 6 and 7
/// signed in.
fn age(home: &Home, open: &dyn Fn() -> TokenStore) -> Vec<PathBuf> {
    let sign_outs = [
        SignOut::account(&account(1)),
        SignOut::session(&session(2)),
        SignOut::subject(&subject(3)),
        SignOut::tenant(&tenant(4)),
        SignOut::account(&account(5)),
    ];
    let store = open();
    fill(&store, 1..=6);
    store.close().unwrap();
    let mut copies = Vec::new();
    for (age, sign_out) in sign_outs.into_iter().enumerate() {
        let to = home.beside(&format!("age-{age}"));
        copy(&entry(&home.path(), "engine-"), &to);
        copies.push(to);
        let store = open();
        store.sign_out(sign_out).unwrap();
        if age % 2 == 0 { store.close().unwrap() } else { drop(store) }
    }
    let store = open();
    fill(&store, [7]);
    store.close().unwrap();
    copies
}

#[test]
fn an_older_engine_brings_nobody_back() {
    for ledger_apart in [false, true] {
        let home = Home::new();
        let ledgers = home.beside("ledgers");
        let open = || {
            let builder = home.builder();
            if ledger_apart { builder.ledger_dir(&ledgers) } else { builder }.open().unwrap()
        };
        for copy in age(&home, &open) {
            replace(&copy, &entry(&home.path(), "engine-"));
            let store = open();
            assert_eq!(
                signed_in(&store, 1..=7),
                [6],
                "{copy:?}: who came later is lost, who signed out stays out"
            );
            let listed = store.accounts(Page::first(100)).unwrap().accounts;
            assert_eq!(listed.into_iter().map(|one| one.id).collect::<Vec<_>>(), [account(6)]);
            fill(&store, [1]);
            store.close().unwrap();
            let store = open();
            assert_eq!(
                signed_in(&store, 1..=7),
                [1, 6],
                "signing in again works on the older engine too"
            );
            store.sign_out(SignOut::account(&account(1))).unwrap();
            store.close().unwrap();
        }
        assert_eq!(ledgers.exists(), ledger_apart);
    }
}

#[test]
fn an_older_copy_of_the_whole_folder_brings_nobody_back_if_the_ledger_is_elsewhere() {
    let home = Home::new();
    let ledgers = home.beside("ledgers");
    let open = || home.builder().ledger_dir(&ledgers).open().unwrap();
    let store = open();
    fill(&store, 1..=3);
    store.close().unwrap();
    copy(&home.path(), &home.beside("backup"));
    let store = open();
    store.sign_out(SignOut::account(&account(1))).unwrap();
    store.sign_out(SignOut::tenant(&tenant(2))).unwrap();
    store.close().unwrap();
    assert!(entries(&home.path(), "ledger-").is_empty());
    replace(&home.beside("backup"), &home.path());
    assert_eq!(signed_in(&open(), 1..=3), [3]);
    // Without its ledger the backup is worth nothing.
    fs::remove_dir_all(&ledgers).unwrap();
    assert_eq!(kind(home.builder().ledger_dir(&ledgers).open()), "damaged ledger");
}

#[test]
fn an_older_ledger_is_damage_once_the_engine_has_seen_the_newer() {
    let home = closed();
    let ledger = entry(&home.path(), "ledger-");
    let older = fs::read(&ledger).unwrap();
    let store = home.open();
    store.sign_out(SignOut::account(&account(1))).unwrap();
    store.wait_reclaimed().unwrap();
    store.close().unwrap();
    let newer = fs::read(&ledger).unwrap();
    fs::write(&ledger, &older).unwrap();
    assert_eq!(kind(home.builder().open()), "damaged ledger");
    assert!(fs::read(&ledger).unwrap() == older, "it is left for whoever looks into it");
    fs::write(&ledger, &newer).unwrap();
    assert_eq!(signed_in(&home.open(), 1..=3), [2]);
    fs::write(&ledger, older).unwrap();
    assert_eq!(signed_in(&forget_everyone(&home.path()), 1..=3), [0_u32; 0]);
}
