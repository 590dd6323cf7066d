//! What users see of their own sign-ins, and end: one sign-in alone, one client's tokens, labels,
//! ages, and the tickets that browsers carry. On every engine and backend.

use std::time::Duration;

use oubliette::*;
use oubliette_testkit::accounts::*;

use crate::verbs::{Engine, EngineFixture, on_every_engine};

const DAY: Duration = Duration::from_secs(24 * 3600);

on_every_engine!(
    one_sign_in_ends_alone,
    the_id_of_somebody_elses_sign_in_ends_none,
    refresh_tokens_of_one_sign_in_are_taken,
    the_sign_out_of_one_sign_in_is_on_record,
    rows_of_one_ended_sign_in_are_deleted,
    a_ticket_finds_its_sign_in_and_ends_with_it,
    what_is_held_is_shown_without_secrets,
    one_clients_tokens_go_for_good,
    a_label_comes_back_and_is_bounded,
    a_shorter_age_is_free,
    a_longer_age_needs_the_stores_leave,
    the_longest_age_stays_and_keeps_sign_outs,
);

fn two(store: &TokenStore) -> [LiveSignIn; 2] {
    ["phone", "laptop"].map(|label| {
        let live = store.sign_in(sign_in(1).session(session(1)).label(label)).unwrap();
        live.put([access("a", label).into(), refresh(label).into()]).unwrap();
        live
    })
}

fn one_sign_in_ends_alone<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let [phone, laptop] = two(&at.store);
    at.store.sign_out(SignOut::sign_in(phone.account(), phone.id())).unwrap();
    let expect = |store: &TokenStore, when: &str| {
        let live = store.account(&account(1)).unwrap();
        let ids: Vec<_> = live.iter().map(LiveSignIn::id).collect();
        assert_eq!(ids, [laptop.id()], "{when}");
        assert!(live[0].access_token(&query("a")).unwrap().is_some(), "{when}");
        assert_eq!(store.resume(&account(1), phone.id()).unwrap(), None, "{when}");
        assert!(store.access_token(&account(1), phone.id(), &query("a")).unwrap().is_none());
    };
    assert!(!phone.is_live().unwrap() && phone.refresh_token(&client()).unwrap().is_none());
    assert!(matches!(phone.put(refresh("late")), Err(Error::SignedOut)));
    expect(&at.store, "at once");
    at.store.wait_reclaimed().unwrap();
    expect(&at.store, "after reclaim");
    let at = at.reopen();
    expect(&at.store, "after a restart");
    // The account signs in beside the other, as ever.
    assert!(at.store.sign_in(sign_in(1)).unwrap().is_live().unwrap());
}

/// Ids are no secrets, and a form brings one: with the account of who sends it, it names nobody.
fn the_id_of_somebody_elses_sign_in_ends_none<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let [phone, _] = two(&at.store);
    at.store.sign_in(sign_in(2)).unwrap();
    let receipt = at.store.sign_out(SignOut::sign_in(&account(2), phone.id()).counted()).unwrap();
    assert_eq!(receipt.counted.map(|counted| counted.sign_ins), Some(0));
    assert!(phone.is_live().unwrap());
    assert_eq!(at.store.account(&account(2)).unwrap().len(), 1);
    let receipt = at.store.sign_out(SignOut::sign_in(&account(1), phone.id()).counted()).unwrap();
    let counted = receipt.counted.unwrap();
    assert_eq!((counted.accounts, counted.sign_ins), (1, 1));
}

fn refresh_tokens_of_one_sign_in_are_taken<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let [phone, laptop] = two(&at.store);
    let sign_out = SignOut::sign_in(&account(1), phone.id()).taking_refresh_tokens();
    let receipt = at.store.sign_out(sign_out).unwrap();
    let taken: Vec<_> = receipt.refresh_tokens.iter().map(|token| token.secret.expose()).collect();
    assert_eq!((taken, receipt.refresh_tokens_missed), (vec!["phone"], false));
    assert!(laptop.refresh_token(&client()).unwrap().is_some());
}

fn the_sign_out_of_one_sign_in_is_on_record<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let [phone, laptop] = two(&at.store);
    let scope = |live: &LiveSignIn| SignOutScope::SignIn(account(1), live.id());
    assert_eq!(at.store.last_sign_out(&scope(&phone)).unwrap().record, None);
    let receipt = at.store.sign_out(SignOut::of(scope(&phone))).unwrap();
    let last = at.store.last_sign_out(&scope(&phone)).unwrap();
    let record = last.record.unwrap();
    assert_eq!((record.position, record.kind), (receipt.position, SignOutScopeKind::SignIn));
    assert_eq!((last.exact, record.kind.as_str()), (Some(record), "sign_in"));
    assert_eq!(at.store.last_sign_out(&scope(&laptop)).unwrap().record, None);
    // What ended the account, or the session that the rows name, ended the sign-in.
    let session = SignOut::session(&session(1)).policy(SessionPolicy::OnlySession);
    let receipt = at.store.sign_out(session).unwrap();
    let last = at.store.last_sign_out(&scope(&laptop)).unwrap();
    assert_eq!(last.exact, None);
    // The row says which session it was. Once that is reclaimed, the answer says so.
    if last.not_looked_at.is_empty() {
        assert_eq!(last.record.map(|record| record.position), Some(receipt.position));
    } else {
        assert!(last.not_looked_at.contains(&SignOutScopeKind::Session));
    }
    at.store.sign_out(SignOut::account(&account(1))).unwrap();
    let last = at.store.last_sign_out(&scope(&laptop)).unwrap();
    assert_eq!(last.record.map(|record| record.kind), Some(SignOutScopeKind::Account));
    if E::IS_OF_ONE_PROCESS {
        at.store.close().unwrap();
        let history = at.place.builder().history().unwrap();
        assert_eq!(history.of(&scope(&phone)).count(), 1);
        assert_eq!(history.of(&scope(&laptop)).count(), 0);
        assert_eq!(history.covering(&[scope(&laptop)]).count(), 1);
        let history = at.place.builder().history_of(&[scope(&phone)]).unwrap();
        assert_eq!(history.records.len(), 2);
    }
}

fn rows_of_one_ended_sign_in_are_deleted<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let [phone, _] = two(&at.store);
    at.store.sign_out(SignOut::sign_in(&account(1), phone.id())).unwrap();
    // The sign-in, and its two tokens.
    assert_eq!(at.store.wait_reclaimed().unwrap().rows, 3);
    assert_eq!(at.store.sweep(1000).unwrap().dead_rows, 0);
}

fn a_ticket_finds_its_sign_in_and_ends_with_it<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let [phone, laptop] = two(&at.store);
    let [first, second] = [&phone, &laptop].map(|live| live.ticket().unwrap());
    let at = at.reopen();
    let found = |ticket: &Ticket| {
        let found = at.store.resume_ticket(ticket.expose()).unwrap();
        found.map(|live| (live.account().clone(), live.id()))
    };
    assert_eq!(found(&first), Some((account(1), phone.id())));
    assert_eq!(found(&second), Some((account(1), laptop.id())));
    let live = at.store.resume_ticket(first.expose()).unwrap().unwrap();
    assert_eq!(live.access_token(&query("a")).unwrap().unwrap().secret.expose(), "phone");
    live.put(access("b", "by ticket")).unwrap();

    // Whatever a browser may send besides.
    let other = EngineFixture::<E>::new();
    let foreign = other.store.sign_in(sign_in(1)).unwrap().ticket().unwrap();
    let text = first.expose();
    for bad in ["", "x", &text[1..], &format!("{text}="), foreign.expose(), &"A".repeat(108)] {
        assert_eq!(at.store.resume_ticket(bad).unwrap(), None, "{bad}");
    }
    assert!(!format!("{first:?}").contains(text));

    if E::IS_OF_ONE_PROCESS {
        at.store.rotate_key(&KeySource::bytes([7; 32])).unwrap();
        assert!(found(&first).is_some(), "it survives another key");
    }
    at.store.sign_out(SignOut::sign_in(&account(1), phone.id())).unwrap();
    assert!(found(&first).is_none() && found(&second).is_some());
    if E::IS_OF_ONE_PROCESS {
        at.store.complete_erasure(&KeySource::bytes([7; 32])).unwrap();
        assert!(found(&second).is_none(), "an erasure ends all tickets");
        let again = at.store.resume(&account(1), laptop.id()).unwrap().unwrap();
        assert!(found(&again.ticket().unwrap()).is_some());
    }
}

fn what_is_held_is_shown_without_secrets<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let live = at.store.sign_in(sign_in(1)).unwrap();
    let resource = "https://api.example.com";
    let guest = AccessToken {
        tenant: Some(tenant(2)),
        resource: Some(resource.into()),
        ..access("b c", &"long".repeat(4000))
    };
    let long = AccessToken { expires_at: None, ..access("d", "at-2") };
    live.put([guest.into(), long.into(), access("a", "at").into(), refresh("rt").into()]).unwrap();
    live.put(IdToken::new(client(), "id")).unwrap();
    let held = || {
        let mut held = live.tokens().unwrap();
        held.sort_by_key(|token| (token.kind, token.scopes.iter().collect::<Vec<_>>().join(" ")));
        held
    };
    let all = held();
    let kinds: Vec<_> = all.iter().map(|token| token.kind).collect();
    use TokenKind::{Access, Id, Refresh};
    assert_eq!(kinds, [Access, Access, Access, Refresh, Id]);
    assert!(all.iter().all(|token| token.client_id == client()));
    let [a, guest, ..] = all.as_slice() else { panic!("five") };
    assert_eq!((&a.tenant, a.expires_at), (&tenant(1), Some(now() + Duration::from_secs(3600))));
    assert_eq!((&guest.tenant, guest.resource.as_deref()), (&tenant(2), Some(resource)));
    assert_eq!(guest.scopes, Scopes::parse("b c").unwrap());
    assert!(!format!("{all:?}").contains("example.com"));
    // What has expired, or is signed out, is not held.
    at.clock.advance(Duration::from_secs(3600));
    assert_eq!(held().len(), 3);
    at.store.sign_out(SignOut::tenant(&tenant(2))).unwrap();
    assert_eq!(held().len(), 3);
    at.store.sign_out(SignOut::account(&account(1))).unwrap();
    assert!(held().is_empty());
}

fn one_clients_tokens_go_for_good<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let live = at.store.sign_in(sign_in(1)).unwrap();
    let other = ClientId::new("calendar").unwrap();
    let theirs = RefreshToken::new(other.clone(), "calendar's ".repeat(1000));
    let guest = AccessToken {
        client_id: other.clone(),
        tenant: Some(tenant(2)),
        ..access("cal", "calendar's")
    };
    live.put([access("a", "at").into(), refresh("rt").into(), theirs.into(), guest.into()])
        .unwrap();
    assert_eq!(live.remove_client(&other).unwrap(), 2);
    let expect = |live: &LiveSignIn| {
        assert_eq!(live.tokens().unwrap().len(), 2);
        assert!(live.refresh_token(&other).unwrap().is_none());
        assert!(live.refresh_token(&client()).unwrap().is_some());
    };
    expect(&live);
    assert_eq!(live.remove_client(&other).unwrap(), 0);
    let at = at.reopen();
    let live = at.store.account(&account(1)).unwrap().remove(0);
    expect(&live);
    assert_eq!(at.store.stats().unwrap().synced, u64::from(E::IS_OF_ONE_PROCESS), "no record");
    at.store.sign_out(SignOut::account(&account(1))).unwrap();
    assert_eq!(live.remove_client(&client()).unwrap(), 0);
}

fn a_label_comes_back_and_is_bounded<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let longest = "ü".repeat(MAX_LABEL_BYTES / 2);
    let request = sign_in(1).label(longest.clone());
    assert!(!format!("{request:?}").contains('ü'));
    at.store.sign_in(request).unwrap();
    // A browser's name of itself is longer: the login goes on, and the label is cut.
    at.store.sign_in(sign_in(1).label(format!("x{longest}x"))).unwrap();
    at.store.sign_in(sign_in(1)).unwrap();
    let at = at.reopen();
    let live = at.store.account(&account(1)).unwrap();
    let labels: Vec<_> = live.iter().map(LiveSignIn::label).collect();
    let cut = format!("x{}", "ü".repeat(MAX_LABEL_BYTES / 2 - 1));
    assert_eq!(labels, [None, Some(cut.as_str()), Some(longest.as_str())]);
}

fn a_shorter_age_is_free<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let short = at.store.sign_in(sign_in(1).lasts_for(DAY)).unwrap();
    let usual = at.store.sign_in(sign_in(1)).unwrap();
    short.put(AccessToken { expires_at: None, ..access("a", "at") }).unwrap();
    assert_eq!((short.ends_at(), usual.ends_at()), (now() + DAY, now() + 90 * DAY));
    at.clock.advance(DAY - Duration::from_millis(1));
    let at = at.reopen();
    let resume = |id| at.store.resume(&account(1), id).unwrap();
    let again = resume(short.id()).unwrap();
    assert!(again.access_token(&query("a")).unwrap().is_some());
    at.clock.advance(Duration::from_millis(1));
    assert!(again.access_token(&query("a")).unwrap().is_none());
    assert!(matches!(again.put(refresh("late")), Err(Error::SignedOut)));
    assert!(resume(short.id()).is_none() && resume(usual.id()).is_some());
    let refused = |request| at.store.sign_in(request);
    assert!(matches!(
        refused(sign_in(1).lasts_for(Duration::ZERO)),
        Err(Error::InvalidInput { field: "lasts_for", .. })
    ));
    let long_ago = sign_in(1).lasts_for(DAY).signed_in_at(now() - 2 * DAY);
    assert!(matches!(refused(long_ago), Err(Error::InvalidInput { field: "signed_in_at", .. })));
}

fn a_longer_age_needs_the_stores_leave<E: Engine>() {
    let at = EngineFixture::<E>::new();
    let year = || sign_in(1).lasts_for(365 * DAY);
    let refused = at.store.sign_in(year());
    assert!(matches!(refused, Err(Error::InvalidInput { field: "lasts_for", .. })));
    let builder = || at.place.builder().clock(at.clock.clone());
    at.store.close().unwrap();
    let refused = builder().longest_sign_in_age(89 * DAY).open();
    assert!(matches!(refused, Err(Error::InvalidInput { field: "longest_sign_in_age", .. })));
    let store = builder().longest_sign_in_age(365 * DAY).open().unwrap();
    let live = store.sign_in(year()).unwrap();
    let usual = store.sign_in(sign_in(1)).unwrap();
    at.clock.advance(364 * DAY);
    assert!(live.is_live().unwrap() && !usual.is_live().unwrap());
    store.close().unwrap();

    // A process that does not know of it lets it be; one that makes it shorter ends it.
    let store = builder().open().unwrap();
    assert!(store.resume(&account(1), live.id()).unwrap().is_some());
    store.close().unwrap();
    let store = builder().longest_sign_in_age(363 * DAY).open().unwrap();
    assert!(store.resume(&account(1), live.id()).unwrap().is_none());
    store.close().unwrap();
    let store = builder().open().unwrap();
    assert!(store.resume(&account(1), live.id()).unwrap().is_none(), "it stays so");
}

/// What ended a long-lived sign-in is kept for as long as it could live; and that setting survives
/// where all rows move.
fn the_longest_age_stays_and_keeps_sign_outs<E: Engine>() {
    let at = EngineFixture::<E>::with(|builder| builder.longest_sign_in_age(365 * DAY));
    let live = at.store.sign_in(sign_in(1).lasts_for(365 * DAY)).unwrap();
    at.store.sign_out(SignOut::sign_in(&account(1), live.id())).unwrap();
    // So many that a ledger without them is worth its while.
    for hundred in 0..50 {
        let others = (0..100).map(|n| SignOutScope::Account(account(1000 + 100 * hundred + n)));
        let sign_out = others.fold(SignOut::session(&session(9)), SignOut::and);
        at.store.sign_out(sign_out).unwrap();
    }
    let spared = at.store.sign_in(sign_in(2).lasts_for(365 * DAY)).unwrap();
    // (Without the setting.)
    let at = at.reopen();
    if E::IS_OF_ONE_PROCESS {
        at.store.compact().unwrap();
        at.store.complete_erasure(&KeySource::bytes([7; 32])).unwrap();
    }
    let at = at.reopen();
    at.clock.advance(364 * DAY);
    at.store.trust_clock().unwrap();
    assert!(at.store.sweep(1000).unwrap().finished);
    let last = at.store.last_sign_out(&SignOutScope::SignIn(account(1), live.id())).unwrap();
    assert!(last.exact.is_some(), "it is still on record");
    assert!(at.store.resume(&account(2), spared.id()).unwrap().is_some());
    at.clock.advance(2 * DAY);
    at.store.trust_clock().unwrap();
    assert!(at.store.sweep(1000).unwrap().finished);
    let last = at.store.last_sign_out(&SignOutScope::SignIn(account(1), live.id())).unwrap();
    assert_eq!(last.exact, None, "it is needed no more");
}
