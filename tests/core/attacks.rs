//! Holes that an attack found, each as the sequence that went through it. One test, one hole.

use std::collections::BTreeMap;
use std::time::Duration;

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::fixture::open;

fn try_open(machine: &Machine) -> Result<TokenStore> {
    machine.builder().clock(ManualClock::new(now())).open()
}

fn ledger_of(files: &BTreeMap<String, Vec<u8>>) -> String {
    files.keys().find(|name| name.starts_with("ledger-")).unwrap().clone()
}

/// The only row of this kind.
fn rows_of(machine: &Machine, kind: u8) -> Vec<Vec<u8>> {
    machine.rows().into_keys().filter(|key| key[0] == kind).collect()
}

/// An account in two browsers, of which one has session 1.
fn two_browsers(store: &TokenStore) -> [LiveSignIn; 2] {
    let one = store.sign_in(sign_in(1).session(session(1))).unwrap();
    let other = store.sign_in(sign_in(1)).unwrap();
    for live in [&one, &other] {
        live.put([access("a", "at").into(), refresh("rt").into()]).unwrap();
    }
    [one, other]
}

#[test]
fn an_older_ledger_beside_a_lost_checkpoint_cannot_make_sign_outs_void() {
    let machine = Machine::new();
    let store = open(&machine);
    store.sign_out(SignOut::account(&account(9))).unwrap();
    let older = machine.files();
    for _ in 0..5 {
        store.sign_out(SignOut::account(&account(9))).unwrap();
    }
    store.sign_in(sign_in(1)).unwrap().put(access("a", "at")).unwrap();
    store.close().unwrap();
    machine.set_files(older);
    let mut rows = machine.rows();
    rows.retain(|key, _| key[0] != b'C');
    machine.set_rows(rows);
    // The sign-in's as-of is a place where this ledger never was: new records would get positions
    // below it.
    for _ in 0..2 {
        let store = open(&machine);
        assert!(store.account(&account(1)).unwrap().is_empty());
        for _ in 0..10 {
            store.sign_out(SignOut::account(&account(9))).unwrap();
            assert!(
                store.account(&account(1)).unwrap().is_empty(),
                "nor does it live once the ledger has passed its as-of"
            );
        }
        store.close().unwrap();
    }
}

/// The same within one opening, where the next processes sign out only, and so might record no
/// opening of their own.
#[test]
fn an_older_ledger_of_the_same_opening_cannot_make_sign_outs_void_either() {
    let machine = Machine::new();
    let store = open(&machine);
    store.sign_in(sign_in(2)).unwrap();
    let older = machine.files();
    for _ in 0..5 {
        store.sign_out(SignOut::account(&account(9))).unwrap();
    }
    store.sign_in(sign_in(1)).unwrap().put(access("a", "at")).unwrap();
    store.close().unwrap();
    machine.set_files(older);
    let mut rows = machine.rows();
    rows.retain(|key, _| key[0] != b'C');
    machine.set_rows(rows);
    for process in 0..4 {
        let store = open(&machine);
        assert!(
            store.account(&account(1)).unwrap().is_empty(),
            "its as-of is beyond this ledger's end"
        );
        for _ in 0..3 {
            // Signed out by the first process; the later ones only take the ledger past its as-of.
            store.sign_out(SignOut::account(&account(if process == 0 { 1 } else { 9 }))).unwrap();
            assert!(store.account(&account(1)).unwrap().is_empty());
        }
        assert_eq!(store.account(&account(2)).unwrap().len(), 1);
        store.sweep(0).unwrap();
        // Not closed: the checkpoint stays behind.
        drop(store);
        machine.kill_process(1);
    }
}

#[test]
fn ledger_damage_is_reported_at_every_open_not_only_the_first() {
    let machine = Machine::new();
    let store = open(&machine);
    let before = machine.files();
    let [one, other] = two_browsers(&store);
    let rows = machine.rows();
    store.sign_out(SignOut::session(&session(1))).unwrap();
    store.wait_reclaimed().unwrap();
    store.close().unwrap();
    drop((one, other));
    // One sector of the last group is as it was before: the first record of the call is filler
    // again.
    let (mut files, name) = (machine.files(), ledger_of(&machine.files()));
    let slot = 512 + 64..512 + 128;
    files.get_mut(&name).unwrap()[slot.clone()].copy_from_slice(&before[&name][slot]);
    machine.set_files(files);
    let checkpoint = machine.rows().remove(b"C".as_slice()).unwrap();
    machine.set_rows(rows.into_iter().chain([(b"C".to_vec(), checkpoint)]).collect());
    for _ in 0..3 {
        assert!(matches!(try_open(&machine), Err(Error::Damaged { part: Component::Ledger, .. })));
    }
}

#[test]
fn a_compaction_whose_rename_was_not_durable_loses_no_later_sign_out() {
    let mut met = 0;
    for (calls, seed) in (0..16).flat_map(|calls| (0..8).map(move |seed| (calls, seed))) {
        let machine = Machine::new();
        let store = open(&machine);
        for _ in 0..40 {
            store.sign_out(SignOut::account(&account(9))).unwrap();
        }
        store.sign_in(sign_in(1)).unwrap();
        machine.die_after(calls);
        met += usize::from(store.sweep(1000).is_err());
        machine.kill_process(seed);
        drop(store);
        // The process starts again on what the system has in memory; the machine has not died yet.
        let store = open(&machine);
        store.sign_out(SignOut::account(&account(1))).unwrap();
        drop(store);
        machine.cut_power(seed);
        assert!(
            open(&machine).account(&account(1)).unwrap().is_empty(),
            "died after {calls} calls, seed {seed}"
        );
    }
    assert!(met >= 8, "{met}");
}

#[test]
fn a_backup_from_before_everyone_was_forgotten_brings_nobody_back() {
    let machine = Machine::new();
    let store = open(&machine);
    store.sign_in(sign_in(1)).unwrap().put(refresh("rt")).unwrap();
    store.close().unwrap();
    let backup = machine.files();
    // The engine breaks (its checkpoint does not open), and the operator gives up.
    let mut rows = machine.rows();
    rows.insert(b"C".to_vec(), vec![1; 38]);
    machine.set_rows(rows);
    assert!(matches!(try_open(&machine), Err(Error::Damaged { part: Component::Engine, .. })));
    let store = machine.builder().on_damage(OnDamage::ForgetEveryone).open().unwrap();
    store.sign_out(SignOut::account(&account(1))).unwrap();
    store.close().unwrap();
    // Later the old keyring and engine are put back, beside the ledgers that are there.
    let mut files = machine.files();
    files.insert("keyring".into(), backup["keyring"].clone());
    machine.set_files(files);
    assert!(matches!(try_open(&machine), Err(Error::Damaged { part: Component::Ledger, .. })));
}

#[test]
fn a_tenant_is_not_half_gone_after_its_sign_out_was_lost() {
    for seed in 0..16 {
        let machine = Machine::new();
        let store = open(&machine);
        for number in [1, 2] {
            store
                .sign_in(SignIn::new(account(number), tenant(1)))
                .unwrap()
                .put(refresh("rt"))
                .unwrap();
        }
        machine.set_holding_syncs(true);
        let spawn = |work: Box<dyn FnOnce(TokenStore) -> bool + Send>| {
            let store = store.clone();
            std::thread::spawn(move || work(store))
        };
        let signing_out =
            spawn(Box::new(|store| store.sign_out(SignOut::tenant(&tenant(1))).is_ok()));
        machine.wait_held();
        // The same account signs in to another tenant meanwhile: it must not throw out what is not
        // yet certainly dead.
        let signing_in =
            spawn(Box::new(|store| store.sign_in(SignIn::new(account(1), tenant(2))).is_ok()));
        for _ in 0..50 {
            std::thread::yield_now();
        }
        machine.cut_power(seed);
        assert!(!signing_out.join().unwrap());
        signing_in.join().unwrap();
        drop(store);
        let store = open(&machine);
        let found = store.accounts_in(&tenant(1), Page::first(10)).unwrap().accounts.len();
        assert!(found == 0 || found == 2, "{found} of 2, seed {seed}");
    }
}

#[test]
fn planted_keys_hang_nothing_and_hide_nobody() {
    let machine = Machine::new();
    let store = open(&machine);
    for number in 0..5 {
        store.sign_in(sign_in(number)).unwrap();
    }
    let mut rows = machine.rows();
    let header = rows.keys().find(|key| key[0] == b'A').unwrap().clone();
    for planted in [
        &[b'A', 0][..],
        b"A",
        &[&header[..17], &[0xff, 0]].concat(),
        &[&header[..17], &[0xff; 200]].concat(),
    ] {
        rows.insert(planted.to_vec(), vec![1]);
    }
    rows.insert([&[b'A'][..], &[0xff; 17]].concat(), vec![1]);
    rows.insert([&b"S"[..], &[0; 40]].concat(), vec![1]);
    machine.set_rows(rows);
    let mut listed = 0;
    let mut page = Some(Page::first(2));
    while let Some(next) = page {
        let found = store.accounts(next).unwrap();
        listed += found.accounts.len();
        page = found.next;
    }
    assert_eq!(listed, 5);
    assert!(store.sweep(1000).unwrap().finished);
    store.sign_out(SignOut::everybody()).unwrap();
    store.wait_reclaimed().unwrap();
    store.close().unwrap();
}

#[test]
fn one_changed_row_stops_neither_reclaim_nor_sweep_nor_listing() {
    for at in [0, 1, 30, 380] {
        let machine = Machine::new();
        let store = open(&machine);
        for number in 0..6 {
            let live = store.sign_in(sign_in(number).session(session(number))).unwrap();
            live.put(access("a", "at")).unwrap();
        }
        let header =
            machine.rows().into_iter().find(|(key, _)| key[0] == b'A' && key.len() == 18).unwrap();
        let mut rows = machine.rows();
        rows.get_mut(&header.0).unwrap()[at] ^= 2;
        machine.set_rows(rows);
        let found = store.accounts(Page::first(100)).unwrap();
        assert_eq!((found.accounts.len(), found.tampered), (5, 1), "byte {at}");
        let swept = store.sweep(1000).unwrap();
        assert!(swept.finished && swept.tampered > 0, "byte {at}");
        assert!(store.sweep(1000).unwrap().finished);
        assert_eq!(
            store.accounts(Page::first(100)).unwrap().tampered,
            0,
            "what nobody can read is deleted"
        );
        for number in 0..6 {
            store.sign_out(SignOut::session(&session(number))).unwrap();
            // Its user signs in again as if nothing had been.
            store.sign_in(sign_in(number)).unwrap().put(access("a", "new")).unwrap();
        }
        store.sign_out(SignOut::everybody()).unwrap();
        store.wait_reclaimed().unwrap();
        store.sweep(1000).unwrap();
        assert_eq!(machine.rows().len(), 1, "only the checkpoint is left");
    }
}

#[test]
fn an_alias_that_grows_in_lower_case_is_refused_not_stored() {
    let grows = "\u{130}".repeat(MAX_ID_BYTES / 2);
    assert!(matches!(
        Alias::new(AliasKind::Email, grows),
        Err(Error::InvalidInput { field: "alias", .. })
    ));
}

#[test]
fn index_rows_do_not_pile_up_beside_a_live_account() {
    let machine = Machine::new();
    let store = machine.builder().clock(ManualClock::new(now())).max_sign_ins(2).open().unwrap();
    let alias = |n: u32| Alias::new(AliasKind::Opaque, format!("alias-{n}")).unwrap();
    for number in 0..50 {
        store
            .sign_in(
                sign_in(1).session(session(number)).subject(subject(number)).alias(alias(number)),
            )
            .unwrap();
    }
    store.wait_reclaimed().unwrap();
    assert_eq!([b'S', b'U', b'L', b'T'].map(|kind| rows_of(&machine, kind).len()), [2, 2, 2, 1]);
    for number in 0..50 {
        store
            .sign_out(SignOut::session(&session(number)).policy(SessionPolicy::OnlySession))
            .unwrap();
        store.sign_in(sign_in(1).session(session(number + 1))).unwrap();
    }
    store.wait_reclaimed().unwrap();
    store.sweep(1000).unwrap();
    assert_eq!([b'S', b'T'].map(|kind| rows_of(&machine, kind).len()), [1, 1]);
}

#[test]
fn a_guest_stays_listed_when_another_sign_in_of_that_tenant_ends() {
    let store = open(&Machine::new());
    let home = store.sign_in(SignIn::new(account(1), tenant(1)).session(session(1))).unwrap();
    let guest = store.sign_in(SignIn::new(account(1), tenant(2))).unwrap();
    guest.put(AccessToken { tenant: Some(tenant(1)), ..access("a", "guest") }).unwrap();
    store.sign_out(SignOut::session(&session(1)).policy(SessionPolicy::OnlySession)).unwrap();
    store.wait_reclaimed().unwrap();
    store.sweep(1000).unwrap();
    assert!(!home.is_live().unwrap());
    assert_eq!(store.accounts_in(&tenant(1), Page::first(9)).unwrap().accounts.len(), 1);
    // So a sign-out of that tenant also finds the rows to delete.
    let before = store.stats().unwrap().reclaimed.rows;
    store.sign_out(SignOut::tenant(&tenant(1))).unwrap();
    assert!(store.wait_reclaimed().unwrap().rows > before);
}

#[test]
fn refresh_tokens_that_cannot_be_read_are_reported_and_the_others_taken() {
    for (kind, length) in [("token", 67), ("sign-in", 34)] {
        for lost in [false, true] {
            let machine = Machine::new();
            let store = open(&machine);
            for number in 0..3 {
                store.sign_in(sign_in(1)).unwrap().put(refresh(&format!("rt-{number}"))).unwrap();
            }
            let mut rows = machine.rows();
            let key =
                rows.keys().find(|key| key[0] == b'A' && key.len() == length).unwrap().clone();
            match lost {
                true => drop(rows.remove(&key)),
                // The count of parts of a token; the seal of a sign-in.
                false => rows.get_mut(&key).unwrap()[2] ^= 3,
            }
            machine.set_rows(rows);
            let receipt =
                store.sign_out(SignOut::account(&account(1)).taking_refresh_tokens()).unwrap();
            assert_eq!(receipt.refresh_tokens.len(), 2, "{kind} {lost}");
            // A token's row that is gone leaves no trace; everything else is told.
            assert_eq!(receipt.refresh_tokens_missed, !(lost && kind == "token"), "{kind} {lost}");
        }
    }
}

#[test]
fn a_changed_index_row_or_a_lost_sign_in_does_not_spare_a_sessions_account() {
    type Change = fn(&mut BTreeMap<Vec<u8>, Vec<u8>>);
    let changes: [Change; 3] = [
        |rows| {
            rows.iter_mut().filter(|(key, _)| key[0] == b'S').for_each(|(_, value)| value.push(1))
        },
        // The sweep puts back an index row that is missing.
        |rows| rows.retain(|key, _| key[0] != b'S'),
        // Which of the two sign-ins was the session's cannot be told without its row.
        |rows| {
            let first = rows.keys().find(|key| key[0] == b'A' && key.len() == 34).unwrap().clone();
            rows.remove(&first);
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let machine = Machine::new();
        let store = open(&machine);
        two_browsers(&store);
        let mut rows = machine.rows();
        change(&mut rows);
        machine.set_rows(rows);
        if number < 2 {
            store.sweep(1000).unwrap();
        }
        let receipt = store.sign_out(SignOut::session(&session(1))).unwrap();
        assert_eq!(receipt.accounts, Some(1), "change {number}");
        assert!(store.account(&account(1)).unwrap().is_empty(), "change {number}");
    }
}

#[test]
fn importing_the_same_cache_again_revives_nobody() {
    let (machine, clock) = (Machine::new(), ManualClock::new(now()));
    let store = machine.builder().clock(clock.clone()).open().unwrap();
    let import = |number: u32| {
        SignIn::new(account(number), tenant(1)).imported_from(now() - Duration::from_secs(60))
    };
    for number in [1, 2] {
        store.sign_in(import(number)).unwrap().put(refresh("rt")).unwrap();
    }
    store.sign_out(SignOut::account(&account(1))).unwrap();
    assert!(matches!(store.sign_in(import(1)), Err(Error::SignedOut)));
    store.sign_in(import(2)).unwrap();
    // A cutoff before it leaves it alone; a new sign-in is none of this.
    store
        .sign_out(SignOut::account(&account(2)).signed_in_before(now() - Duration::from_secs(90)))
        .unwrap();
    store.sign_in(import(2)).unwrap();
    store.sign_in(sign_in(1)).unwrap();
    store.sign_out(SignOut::tenant(&tenant(1))).unwrap();
    assert!(matches!(store.sign_in(import(2)), Err(Error::SignedOut)));
    // Also when the record has been dropped for its age: what is older has ended for good.
    for _ in 0..40 {
        store.sign_out(SignOut::account(&account(8))).unwrap();
    }
    drop(store);
    let store = machine
        .builder()
        .clock(clock.clone())
        .max_sign_in_age(Duration::from_secs(3600))
        .open()
        .unwrap();
    clock.advance(Duration::from_secs(3700));
    store.sign_out(SignOut::account(&account(9))).unwrap();
    assert!(store.sweep(1000).unwrap().finished);
    drop(store);
    let store = machine.builder().clock(clock.clone()).open().unwrap();
    assert!(matches!(store.sign_in(import(2)), Err(Error::SignedOut)));
    let last = store.last_sign_out(&SignOutScope::Everybody).unwrap();
    assert_eq!(
        (last.record, last.exact),
        (None, None),
        "what stands for dropped records is nobody's sign-out"
    );
    assert!(last.known_since >= now());
}

#[test]
fn an_apps_account_belongs_to_its_tenant() {
    let store = open(&Machine::new());
    let app = AccountId::app(tenant(1), client());
    assert!(matches!(
        store.sign_in(SignIn::new(app, tenant(2))),
        Err(Error::InvalidInput { field: "tenant", .. })
    ));
}

#[test]
fn a_browser_finds_its_own_sign_in_again() {
    let machine = Machine::new();
    let store = open(&machine);
    let [one, other] = two_browsers(&store);
    let ids = (one.id(), other.id());
    drop((one, other));
    store.close().unwrap();
    let store = open(&machine);
    assert_eq!(store.resume(&account(1), ids.0).unwrap().unwrap().id(), ids.0);
    assert!(store.resume(&account(2), ids.1).unwrap().is_none());
    store.sign_out(SignOut::session(&session(1)).policy(SessionPolicy::OnlySession)).unwrap();
    assert!(store.resume(&account(1), ids.0).unwrap().is_none());
    assert!(store.resume(&account(1), ids.1).unwrap().is_some());
}

#[test]
fn importing_again_revives_no_token_of_a_guests_tenant_either() {
    let store = open(&Machine::new());
    let import = || {
        let live =
            store.sign_in(sign_in(1).imported_from(now() - Duration::from_secs(60))).unwrap();
        let guest = AccessToken { tenant: Some(tenant(2)), ..access("a", "guest") };
        (live.put([access("a", "home").into(), guest.into()]).unwrap().refused, live)
    };
    assert_eq!(import().0, [0; 0]);
    store.sign_out(SignOut::tenant(&tenant(2))).unwrap();
    let (refused, live) = import();
    assert_eq!(refused, [1]);
    assert_eq!(live.access_token(&query("a").tenant(tenant(2))).unwrap(), None);
    assert!(live.access_token(&query("a")).unwrap().is_some());
}

#[test]
#[cfg(feature = "msal")]
fn an_import_without_times_is_refused_after_a_sign_out_with_a_cutoff() {
    use oubliette::msal::MsalCache;
    let clock = ManualClock::new(now());
    let store = Machine::new().builder().clock(clock.clone()).open().unwrap();
    let file =
        br#"{"AccessToken": {"k": {"home_account_id": "uid.utid", "environment": "login.example.com", "client_id": "client",
        "realm": "utid", "target": "a", "expires_on": "1800003600", "secret": "at"}},
        "Account": {"k": {"home_account_id": "uid.utid", "environment": "login.example.com", "realm": "utid"}}}"#;
    let import = || store.sign_in(MsalCache::read(file).unwrap().sign_ins.remove(0).sign_in);
    let live = import().unwrap();
    clock.advance(Duration::from_secs(10));
    store
        .sign_out(SignOut::account(live.account()).signed_in_before(now() + Duration::from_secs(5)))
        .unwrap();
    assert!(!live.is_live().unwrap());
    assert!(matches!(import(), Err(Error::SignedOut)));
}

#[test]
fn an_import_is_refused_though_the_clock_went_back_between_two_sign_outs() {
    let machine = Machine::new();
    let at = |seconds: u64| now() + Duration::from_secs(seconds);
    let open = |seconds| machine.builder().clock(ManualClock::new(at(seconds))).open().unwrap();
    for seconds in [1000, 880] {
        let store = open(seconds);
        store.sign_out(SignOut::account(&account(1))).unwrap();
        store.close().unwrap();
    }
    assert!(matches!(open(900).sign_in(sign_in(1).imported_from(at(890))), Err(Error::SignedOut)));
}

#[test]
fn restarts_on_a_full_disk_do_not_use_up_the_reserve() {
    let machine = Machine::new();
    let store = open(&machine);
    store.sign_in(sign_in(1)).unwrap();
    store.close().unwrap();
    machine.set_full(true);
    let reserve = open(&machine).stats().unwrap().ledger_reserve;
    for _ in 0..100 {
        open(&machine).close().unwrap();
    }
    let store = open(&machine);
    assert_eq!(store.stats().unwrap().ledger_reserve, reserve);
    store.sign_out(SignOut::account(&account(1))).unwrap();
    // Also when the machine died while the ledger grew, just because the disk was full.
    store.close().unwrap();
    let mut files = machine.files();
    let name = ledger_of(&files);
    files.get_mut(&name).unwrap().extend_from_slice(&[0; 100]);
    machine.set_files(files);
    assert!(open(&machine).account(&account(1)).unwrap().is_empty());
}

#[test]
fn openings_do_not_pile_up() {
    let (machine, clock) = (Machine::new(), ManualClock::new(now()));
    let day = Duration::from_secs(24 * 3600);
    let mut largest = 0;
    for _ in 0..400 {
        let store = machine.builder().clock(clock.clone()).max_sign_in_age(3 * day).open().unwrap();
        let live = store.sign_in(sign_in(1)).unwrap();
        clock.advance(day);
        assert!(store.sweep(1000).unwrap().finished);
        assert!(live.is_live().unwrap(), "none is dropped that somebody lives by");
        largest = largest.max(store.stats().unwrap().ledger_bytes);
    }
    assert!(largest < 8 * 1024, "{largest} bytes");
}

/// A key management service that can be away.
struct Service(std::sync::Arc<std::sync::atomic::AtomicBool>);

type ServiceResult<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

impl KeyProvider for Service {
    fn wrap(&self, key: &[u8; 32], _: &WrapContext<'_>) -> ServiceResult<WrappedKey> {
        if self.0.load(std::sync::atomic::Ordering::SeqCst) {
            return Err("it is away".into());
        }
        Ok(WrappedKey { key_id: [1; 16], blob: key.iter().map(|byte| byte ^ 0x55).collect() })
    }

    fn unwrap(
        &self,
        wrapped: &WrappedKey,
        _: &WrapContext<'_>,
    ) -> ServiceResult<Option<Zeroizing<[u8; 32]>>> {
        let key: Vec<u8> = wrapped.blob.iter().map(|byte| byte ^ 0x55).collect();
        Ok(key.try_into().ok().map(Zeroizing::new))
    }
}

#[test]
fn forgetting_everyone_gives_nothing_up_before_it_has_the_new_key() {
    let machine = Machine::new();
    let away = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let builder = || {
        machine
            .builder()
            .clock(ManualClock::new(now()))
            .key(KeySource::provider(Service(away.clone())))
    };
    let store = builder().open().unwrap();
    store.sign_in(sign_in(1)).unwrap();
    store.close().unwrap();
    let good = machine.rows();
    let mut rows = good.clone();
    rows.insert(b"C".to_vec(), vec![1; 38]);
    machine.set_rows(rows);
    away.store(true, std::sync::atomic::Ordering::SeqCst);
    let forgetting = builder().on_damage(OnDamage::ForgetEveryone).open();
    assert!(matches!(forgetting, Err(Error::KeyUnavailable { .. })));
    // The operator restores the engine instead.
    machine.set_rows(good);
    assert_eq!(builder().open().unwrap().account(&account(1)).unwrap().len(), 1);
}
