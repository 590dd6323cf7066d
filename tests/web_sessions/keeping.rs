//! What an operator does to a store keeps the web sessions that live, and drops the others; and
//! what is dead leaves the disk.

use ::tower_sessions::ExpiredDeletion;

use super::*;

/// Sessions that live, and sessions that do not: signed out, deleted, expired; large ones too, and
/// of nobody's.
async fn fill(site: &WebFixture) -> (Vec<Record>, Vec<Record>) {
    let (mut live, mut dead) = (Vec::new(), Vec::new());
    for number in 0..12 {
        let handle = site.store.sign_in(sign_in(number)).unwrap();
        handle.put(access("a", "at")).unwrap();
        let bound = binding(&site.web, &handle).await;
        let large = "x".repeat(if number % 3 == 0 { 15_000 } else { 10 });
        let (mine, nobodys) =
            (site.create(Some(&bound), &large).await, site.create(None, &large).await);
        let (deleted, gone) =
            (site.create(Some(&bound), "deleted").await, site.create(None, "deleted").await);
        site.web.delete(&deleted.id).await.unwrap();
        site.web.delete(&gone.id).await.unwrap();
        dead.extend([deleted, gone]);
        if number % 4 == 0 {
            site.store.sign_out(SignOut::account(&account(number))).unwrap();
            dead.push(mine);
        } else {
            live.push(mine);
        }
        live.push(nobodys);
    }
    (live, dead)
}

async fn check(site: &WebFixture, live: &[Record], dead: &[Record]) {
    for record in live {
        assert_eq!(site.load(record.id).await.as_ref(), Some(record));
        site.web.save(record).await.unwrap();
        assert_eq!(site.load(record.id).await.as_ref(), Some(record));
    }
    for record in dead {
        site.web.save(record).await.unwrap();
        assert_eq!(site.load(record.id).await, None);
    }
    let verified = site.store.verify().unwrap();
    assert!(verified.is_sound(), "{verified:?}");
    assert_eq!(verified.web_sessions, live.len() as u64);
}

#[tokio::test]
async fn compaction_and_complete_erasure_carry_what_lives() {
    let mut site = WebFixture::new();
    let (live, dead) = fill(&site).await;
    check(&site, &live, &dead).await;
    for _ in 0..2 {
        site.store.compact().unwrap();
        check(&site, &live, &dead).await;
        site.store.complete_erasure(&KeySource::bytes([7; 32])).unwrap();
        check(&site, &live, &dead).await;
        site = site.again(|machine| machine.cut_power(1));
        check(&site, &live, &dead).await;
    }
    // The index came along: a logout takes the session, and a delete finds it.
    for number in 0..12 {
        site.store.sign_out(SignOut::account(&account(number))).unwrap();
    }
    for record in &live {
        let is_bound = record.data.contains_key(BINDING);
        assert_eq!(site.load(record.id).await.is_none(), is_bound);
        site.web.delete(&record.id).await.unwrap();
    }
    site.store.wait_reclaimed().unwrap();
    assert_eq!(site.rows(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_saved_and_deleted_beside_a_move_is_moved_as_it_was_left() {
    let site = WebFixture::new();
    let handle = site.store.sign_in(sign_in(1)).unwrap();
    let bound = binding(&site.web, &handle).await;
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let workers: Vec<_> = [None, Some(bound)]
        .into_iter()
        .map(|bound| {
            let (web, done) = (site.web.clone(), done.clone());
            tokio::spawn(async move {
                let (mut kept, mut gone, mut number) = (Vec::new(), Vec::new(), 0);
                while !done.load(std::sync::atomic::Ordering::Relaxed) || number < 50 {
                    number += 1;
                    let mut record = record(bound.as_ref(), &"x".repeat(number % 5 * 4000));
                    web.create(&mut record).await.unwrap();
                    record.data.insert("what".into(), Value::from(number));
                    web.save(&record).await.unwrap();
                    if number % 2 == 0 {
                        web.delete(&record.id).await.unwrap();
                        gone.push(record);
                    } else {
                        kept.push(record);
                    }
                }
                (kept, gone)
            })
        })
        .collect();
    let store = site.store.clone();
    let moves = tokio::task::spawn_blocking(move || {
        for _ in 0..4 {
            store.compact().unwrap();
            store.complete_erasure(&KeySource::bytes([7; 32])).unwrap();
            store.sweep(usize::MAX).unwrap();
        }
    });
    moves.await.unwrap();
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    for worker in workers {
        let (kept, gone) = worker.await.unwrap();
        for record in kept {
            assert_eq!(site.load(record.id).await, Some(record));
        }
        for record in gone {
            assert_eq!(site.load(record.id).await, None);
        }
    }
    let verified = site.store.verify().unwrap();
    assert!(verified.is_sound() && verified.dead_rows == 0, "{verified:?}");
}

#[tokio::test]
async fn a_backup_has_no_web_sessions() {
    backup_has_none(|builder| builder).await;
    #[cfg(all(unix, feature = "sqlite"))]
    backup_has_none(Builder::sqlite).await;
}

async fn backup_has_none(of_kind: fn(Builder) -> Builder) {
    let home = oubliette_testkit::disk::Home::new();
    let builder = || of_kind(home.builder().ledger_dir(home.beside("ledger")));
    let store = builder().open().unwrap();
    let web = OublietteSessions::new(store.clone());
    let live = store.sign_in(sign_in(1)).unwrap();
    let bound = binding(&web, &live).await;
    let (mut mine, mut nobodys) = (record(Some(&bound), &"x".repeat(9000)), record(None, "one"));
    web.create(&mut mine).await.unwrap();
    web.create(&mut nobodys).await.unwrap();
    store.backup(home.beside("backup")).unwrap();
    assert_eq!(web.load(&mine.id).await.unwrap().as_ref(), Some(&mine));
    web.delete(&mine.id).await.unwrap();
    drop(web);
    let id = live.id();
    drop(live);
    store.close().unwrap();
    std::fs::remove_dir_all(home.path()).unwrap();
    let store = builder().restore(home.beside("backup")).unwrap();
    let web = OublietteSessions::new(store.clone());
    assert!(store.resume(&account(1), id).unwrap().is_some(), "the sign-in is there");
    for record in [&mine, &nobodys] {
        assert_eq!(web.load(&record.id).await.unwrap(), None);
        web.save(record).await.unwrap();
        assert_eq!(web.load(&record.id).await.unwrap(), None);
    }
    assert_eq!(store.verify().unwrap().web_sessions, 0);
}

#[cfg(all(unix, feature = "sqlite"))]
#[tokio::test]
async fn a_migration_carries_web_sessions_there_and_back() {
    let home = oubliette_testkit::disk::Home::new();
    let mut store = home.builder().open().unwrap();
    let web = OublietteSessions::new(store.clone());
    let live = store.sign_in(sign_in(1)).unwrap();
    let bound = binding(&web, &live).await;
    let (mut mine, mut nobodys) = (record(Some(&bound), &"x".repeat(9000)), record(None, "one"));
    web.create(&mut mine).await.unwrap();
    web.create(&mut nobodys).await.unwrap();
    drop((web, live));
    for to in [Storage::Sqlite, Storage::Embedded] {
        store.migrate(to).unwrap();
        store.close().unwrap();
        // As others have it.
        store = home.builder().open().unwrap();
        let web = OublietteSessions::new(store.clone());
        for record in [&mine, &nobodys] {
            assert_eq!(web.load(&record.id).await.unwrap().as_ref(), Some(record), "{to:?}");
        }
        drop(web);
        assert_eq!(store.verify().unwrap().web_sessions, 2);
        store.close().unwrap();
        store = home.builder().alone().open().unwrap();
    }
}

#[tokio::test]
async fn the_sweep_takes_what_expired_and_visitors_leave_nothing() {
    let site = WebFixture::new();
    let handle = site.store.sign_in(sign_in(1)).unwrap();
    let bound = binding(&site.web, &handle).await;
    for _ in 0..3 {
        for number in 0..300 {
            let mut record = record((number % 10 == 0).then_some(&bound), "visitor");
            // As tower-sessions does without an expiry.
            record.expiry_date = at(14 * 24 * 3600);
            site.web.create(&mut record).await.unwrap();
        }
        // They are no accounts.
        assert_eq!(site.store.accounts(Page::first(1000)).unwrap().accounts.len(), 1);
        site.clock.advance(HOUR);
        let swept = site.store.sweep(usize::MAX).unwrap();
        assert!(swept.finished);
        assert_eq!((swept.web_sessions, swept.tampered), (270, 0));
    }
    assert_eq!(site.rows(), 180, "those of the user");
    site.store.sign_out(SignOut::everybody()).unwrap();
    site.store.wait_reclaimed().unwrap();
    assert_eq!(site.rows(), 0);
}

#[tokio::test]
async fn visitors_do_not_fill_the_disk() {
    let home = oubliette_testkit::disk::Home::new();
    let clock = ManualClock::new(now());
    let store = home.builder().clock(clock.clone()).open().unwrap();
    let web = OublietteSessions::new(store.clone());
    let mut largest = 0;
    for hour in 0..6 {
        for _ in 0..1500 {
            web.create(&mut Record { expiry_date: at(14 * 24 * 3600), ..record(None, "visitor") })
                .await
                .unwrap();
        }
        clock.advance(HOUR);
        assert!(store.sweep(usize::MAX).unwrap().finished);
        let rows = store.verify().unwrap();
        assert_eq!((rows.web_sessions, rows.dead_rows), (0, 0), "hour {hour}");
        largest = largest.max(store.stats().unwrap().engine_bytes);
    }
    // 9 000 came by. A row is some 400 bytes; sled's smallest folder, and what it may grow before
    // it is compacted, are most of this.
    assert!(largest < 12 << 20, "{largest}");
}

#[tokio::test]
async fn what_was_changed_on_the_disk_is_an_error_or_gone_and_the_sweep_deletes_it() {
    let site = WebFixture::new();
    let handle = site.store.sign_in(sign_in(1)).unwrap();
    let bound = binding(&site.web, &handle).await;
    for bound in [None, Some(&bound)] {
        let (one, two) =
            (site.create(bound, &"x".repeat(8000)).await, site.create(bound, "two").await);
        let rows = site.machine.rows();
        let keys: Vec<_> =
            rows.keys().filter(|key| is_web(key) && key[0] != b'W').cloned().collect();
        for key in &keys {
            let value = &rows[key];
            for at in (0..value.len()).step_by(1 + value.len() / 40) {
                let mut changed = rows.clone();
                changed.get_mut(key).unwrap()[at] ^= 1;
                site.machine.set_rows(changed);
                for record in [&one, &two] {
                    match site.web.load(&record.id).await {
                        Ok(found) => {
                            assert!(found.is_none() || found.as_ref() == Some(record), "byte {at}")
                        }
                        Err(error) => assert!(error.to_string().contains("tampered"), "{error}"),
                    }
                }
            }
            // In another's place.
            for other in &keys {
                let mut moved = rows.clone();
                moved.insert(key.clone(), rows[other].clone());
                site.machine.set_rows(moved);
                if key != other {
                    let found = [site.web.load(&one.id).await, site.web.load(&two.id).await];
                    assert!(found.iter().any(Result::is_err), "one of them has lost its row");
                }
            }
        }
        let mut changed = rows.clone();
        keys.iter().for_each(|key| *changed.get_mut(key).unwrap().last_mut().unwrap() ^= 1);
        site.machine.set_rows(changed);
        assert_eq!(site.store.verify().unwrap().tampered, 2);
        site.web.delete_expired().await.unwrap();
        assert_eq!(site.rows(), 0);
        assert_eq!((site.load(one.id).await, site.load(two.id).await), (None, None));
    }
}

/// However often a session of nobody's is saved, it lasts no longer than a sign-in does.
#[tokio::test]
async fn a_session_of_nobodys_has_an_absolute_end() {
    let site = WebFixture::new();
    let day = 24 * HOUR;
    let web = site.web.clone().unbound_for(60 * day);
    let mut record = Record { expiry_date: at(200 * 24 * 3600), ..record(None, "cart") };
    web.create(&mut record).await.unwrap();
    for _ in 0..2 {
        site.clock.advance(44 * day);
        web.save(&record).await.unwrap();
        assert!(site.load(record.id).await.is_some());
    }
    site.clock.advance(3 * day);
    web.save(&record).await.unwrap();
    assert_eq!(site.load(record.id).await, None);
}
