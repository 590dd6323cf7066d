//! Somebody changes the engine's rows: every byte, every row over every other, rows of another
//! life, account and store. What is read is an error or what was stored, never a wrong token, never
//! somebody else's, never a panic.

use std::collections::{BTreeMap, BTreeSet};

use oubliette::*;
use oubliette_testkit::accounts::*;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Two accounts, one with two sign-ins, small and large tokens, a guest's token; and what is
/// stored.
fn filled() -> (Machine, Vec<(u32, String)>) {
    let machine = Machine::new();
    let store = open(&machine).unwrap();
    let mut secrets = Vec::new();
    for (number, name) in [(1, "first"), (1, "second"), (2, "other")] {
        let request = sign_in(number).session(session(number)).subject(subject(number));
        let live = store.sign_in(request).unwrap();
        let large = format!("{name}-{}", "x".repeat(7000));
        let guest =
            AccessToken { tenant: Some(tenant(9)), ..access("guest", &format!("{name}-guest")) };
        let tokens: [Token; 4] = [
            access("small", &format!("{name}-small")).into(),
            access("large", &large).into(),
            refresh(&format!("{name}-refresh")).into(),
            guest.into(),
        ];
        live.put(tokens).unwrap();
        secrets.extend([
            (number, format!("{name}-small")),
            (number, large),
            (number, format!("{name}-refresh")),
        ]);
        secrets.push((number, format!("{name}-guest")));
    }
    store.close().unwrap();
    (machine, secrets)
}

fn open(machine: &Machine) -> Result<TokenStore> {
    machine.builder().clock(ManualClock::new(now())).open()
}

/// Everything that can be read, by account, and how many errors there were.
fn read_all(machine: &Machine) -> (BTreeSet<(u32, String)>, usize) {
    let mut found = BTreeSet::new();
    let store = match open(machine) {
        Ok(store) => store,
        Err(Error::Damaged { .. } | Error::UnsupportedFormat { .. }) => return (found, 1),
        Err(other) => panic!("{other:?}"),
    };
    let mut errors = 0;
    for number in [1, 2] {
        let lives = match store.account(&account(number)) {
            Ok(lives) => lives,
            Err(Error::Tampered(_) | Error::UnsupportedFormat { .. }) => {
                errors += 1;
                continue;
            }
            Err(other) => panic!("{other:?}"),
        };
        for live in lives {
            assert_eq!(live.account(), &account(number));
            let reads = [
                live.access_token(&query("small")).map(|t| t.map(|t| t.secret)),
                live.access_token(&query("large")).map(|t| t.map(|t| t.secret)),
                live.access_token(&query("guest").tenant(tenant(9))).map(|t| t.map(|t| t.secret)),
                live.refresh_token(&client()).map(|t| t.map(|t| t.secret)),
            ];
            for read in reads {
                match read {
                    Ok(secret) => {
                        found.extend(secret.map(|secret| (number, secret.expose().to_owned())))
                    }
                    Err(Error::Tampered(_) | Error::UnsupportedFormat { .. }) => errors += 1,
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
    }
    // Listing and sweeping such a store must not panic either.
    let _ = (store.accounts(Page::first(10)), store.accounts_in(&tenant(1), Page::first(10)));
    let _ = (store.accounts_of_session(&session(1)), store.sweep(100));
    (found, errors)
}

/// Reads a machine whose rows were changed: nothing wrong is found, and what is missing was
/// reported, unless whole rows are gone.
fn assert_harmless(
    machine: &Machine,
    rows: Rows,
    secrets: &[(u32, String)],
    what: &str,
    may_lose: bool,
) -> bool {
    let changed = machine.copy();
    changed.set_rows(rows);
    let (found, errors) = read_all(&changed);
    assert!(found.iter().all(|secret| secrets.contains(secret)), "{what}: a wrong token");
    let is_whole = found.len() == secrets.len();
    assert!(
        is_whole || errors > 0 || may_lose,
        "{what}: {} of {} and no error",
        found.len(),
        secrets.len()
    );
    !is_whole || errors > 0
}

#[test]
fn an_untouched_store_reads_whole() {
    let (machine, secrets) = filled();
    let (found, errors) = read_all(&machine);
    assert_eq!((found, errors), (secrets.into_iter().collect(), 0));
}

#[test]
fn every_flipped_byte_of_every_row_is_an_error_or_harmless() {
    let (machine, secrets) = filled();
    let rows = machine.rows();
    let (mut flips, mut noticed) = (0, 0);
    for (key, value) in &rows {
        if key == b"K" {
            // What was known of the time: if it is not whole, the ledger tells it.
            continue;
        }
        // Each byte of the front, and of long sealed parts every few: GCM treats them alike.
        for at in (0..value.len()).filter(|at| *at < 200 || at % 61 == 0 || *at + 20 > value.len())
        {
            let mut rows = rows.clone();
            rows.get_mut(key).unwrap()[at] ^= 1 << (at % 8);
            flips += 1;
            noticed += usize::from(assert_harmless(
                &machine,
                rows,
                &secrets,
                &format!("{:x?} byte {at}", &key[..1]),
                false,
            ));
        }
    }
    assert_eq!(noticed, flips, "every byte is watched");
}

#[test]
fn every_row_cut_or_extended_is_an_error_or_harmless() {
    let (machine, secrets) = filled();
    let rows = machine.rows();
    for (key, value) in &rows {
        for len in (0..value.len())
            .filter(|len| [0, 1, 2, 3, 10, 19, 31].contains(len) || len + 17 > value.len())
        {
            let mut rows = rows.clone();
            rows.get_mut(key).unwrap().truncate(len);
            assert_harmless(&machine, rows, &secrets, "cut", false);
        }
        let mut rows = rows.clone();
        rows.get_mut(key).unwrap().push(0);
        assert_harmless(&machine, rows, &secrets, "extended", false);
    }
}

#[test]
fn every_row_copied_over_every_other_is_an_error() {
    let (machine, secrets) = filled();
    let rows = machine.rows();
    let mut noticed = 0;
    for (to, old) in &rows {
        for (from, new) in rows.iter().filter(|(from, new)| *from != to && *new != old) {
            let mut rows = rows.clone();
            rows.insert(to.clone(), new.clone());
            let what = format!("{:x?} over {:x?}", &from[..1], &to[..1]);
            noticed += usize::from(assert_harmless(&machine, rows, &secrets, &what, false));
        }
    }
    assert!(noticed > 400, "{noticed}");
}

#[test]
fn every_row_removed_or_moved_loses_at_worst_what_it_held() {
    let (machine, secrets) = filled();
    let rows = machine.rows();
    for key in rows.keys() {
        let mut fewer = rows.clone();
        let value = fewer.remove(key).unwrap();
        assert_harmless(&machine, fewer.clone(), &secrets, "removed", true);
        for at in 1..key.len() {
            // Also to keys that no row has: of another account, sign-in, tenant, slot or part.
            let mut other = key.clone();
            other[at] ^= 1;
            let mut rows = fewer.clone();
            rows.entry(other).or_insert(value.clone());
            assert_harmless(&machine, rows, &secrets, "moved", true);
        }
    }
}

#[test]
fn rows_of_another_store_with_the_same_key_and_ids_do_not_open() {
    let (machine, secrets) = filled();
    let (other, _) = filled();
    let foreign: Vec<_> = other.rows().into_iter().collect();
    let rows = machine.rows();
    let mut noticed = 0;
    for key in rows.keys() {
        // Every row of the same kind: which belongs to which cannot be told, since the index keys
        // differ.
        for (_, value) in
            foreign.iter().filter(|(from, _)| (from[0], from.len()) == (key[0], key.len()))
        {
            let mut rows = rows.clone();
            rows.insert(key.clone(), value.clone());
            noticed += usize::from(assert_harmless(&machine, rows, &secrets, "foreign", false));
        }
    }
    assert!(noticed > 200, "{noticed}");
    assert!(rows.keys().filter(|key| key[0] == b'A').all(|key| !other.rows().contains_key(key)));
}

#[test]
fn rows_of_an_earlier_life_do_not_open_in_a_later_one() {
    let (machine, _) = filled();
    let before = machine.rows();
    let store = open(&machine).unwrap();
    store.sign_out(SignOut::everybody()).unwrap();
    let mut secrets = Vec::new();
    for number in [1, 2] {
        let live = store.sign_in(sign_in(number)).unwrap();
        for (scope, tenant) in [("small", number), ("large", number), ("guest", 9)] {
            let secret = format!("new-{scope}-{number}");
            live.put(AccessToken {
                tenant: Some(oubliette_testkit::accounts::tenant(tenant)),
                ..access(scope, &secret)
            })
            .unwrap();
            secrets.push((number, secret));
        }
    }
    store.close().unwrap();
    let rows = machine.rows();
    // All old rows beside the new ones: nothing of the old is found.
    let mixed: Rows = before.clone().into_iter().chain(rows.clone()).collect();
    assert_harmless(&machine, mixed, &secrets, "beside", false);
    // Old rows in the place of new ones, each by itself: headers, sign-ins, tokens.
    for (key, value) in &before {
        let mut rows = rows.clone();
        rows.insert(key.clone(), value.clone());
        assert_harmless(&machine, rows, &secrets, "an old row", true);
    }
    // The whole engine from before: nobody is back.
    let restored = machine.copy();
    restored.set_rows(before);
    let (found, _) = read_all(&restored);
    assert!(found.is_empty(), "{} tokens came back", found.len());
}

#[test]
fn parts_of_a_large_token_from_two_writes_never_mix() {
    let machine = Machine::new();
    let store = open(&machine).unwrap();
    let live = store.sign_in(sign_in(1)).unwrap();
    let write = |byte: &str| {
        live.put([access("a", &byte.repeat(20_000)).into(), refresh("rt").into()]).unwrap();
        machine.rows()
    };
    let (first, second) = (write("1"), write("2"));
    let parts: Vec<_> =
        first.iter().filter(|(key, value)| second[*key] != **value && value.len() > 1000).collect();
    assert!(parts.len() >= 4, "{} parts", parts.len());
    for mask in 1u32..(1 << parts.len()) - 1 {
        let mut rows = second.clone();
        for (number, (key, value)) in
            parts.iter().enumerate().filter(|(number, _)| mask & (1 << number) != 0)
        {
            assert!(number < 32);
            rows.insert((*key).clone(), (*value).clone());
        }
        machine.set_rows(rows);
        assert!(matches!(live.access_token(&query("a")), Err(Error::Tampered(_))), "{mask:b}");
    }
    // Put back whole, the older write of the same live sign-in opens: the stated limit.
    let mut rows = second;
    parts.iter().for_each(|(key, value)| drop(rows.insert((*key).clone(), (*value).clone())));
    machine.set_rows(rows);
    assert_eq!(
        live.access_token(&query("a")).unwrap().unwrap().secret.expose(),
        "1".repeat(20_000)
    );
}

#[test]
fn a_tampered_index_hides_at_most_the_way_to_an_account() {
    let (machine, _) = filled();
    let rows = machine.rows();
    for key in rows.keys().filter(|key| key[0] == b'S') {
        for change in [Some(vec![0; 16]), Some(Vec::new()), None] {
            let machine = machine.copy();
            let mut rows = rows.clone();
            match &change {
                Some(value) => drop(rows.insert(key.clone(), value.clone())),
                None => drop(rows.remove(key)),
            }
            machine.set_rows(rows);
            let store = open(&machine).unwrap();
            let before: usize =
                [1, 2].iter().map(|n| store.account(&account(*n)).unwrap().len()).sum();
            assert_eq!(before, 3);
            for number in [1, 2] {
                store.sign_out(SignOut::session(&session(number))).unwrap();
                // The session's own sign-ins end by the rule, whatever the index says.
                assert!(store.account(&account(number)).unwrap().is_empty());
            }
        }
    }
}

#[test]
fn a_new_sign_in_makes_a_tampered_account_usable_again() {
    let (machine, _) = filled();
    let header = machine.rows().into_keys().find(|key| key[0] == b'A' && key.len() == 18).unwrap();
    let mut rows = machine.rows();
    rows.get_mut(&header).unwrap()[30] ^= 1;
    machine.set_rows(rows);
    let store = open(&machine).unwrap();
    let broken = [1, 2].into_iter().find(|n| store.account(&account(*n)).is_err()).unwrap();
    assert_eq!(store.sweep(100).unwrap().tampered, 1);
    let live = store.sign_in(sign_in(broken)).unwrap();
    live.put(access("small", "new")).unwrap();
    assert_eq!(store.account(&account(broken)).unwrap(), std::slice::from_ref(&live));
    assert_eq!(live.access_token(&query("small")).unwrap().unwrap().secret.expose(), "new");
}
