//! Rows that are no tokens.

use super::*;
use crate::clock::trust::Known;
use crate::model::id::{Alias, AliasKind};
use crate::model::position::{Opening, Position};
use crate::model::sign_in::Label;
use crate::rows::row_key::{self, CHECKPOINT, FRESH, KNOWN, LONGEST_AGE};
use crate::rows::sign_in::SignInBody;
use crate::rows::store_rows::Fresh;

#[test]
fn golden_headers() {
    let (rows, tagger) = rows();
    let app = AccountId::app(tenant("contoso"), client());
    let accounts = [user(), AccountId::of_subject(subject()), app];
    let seal = |account: &AccountId| {
        let key = row_key::header(&tagger.account(account));
        let value = rows.seal_header(&key, &header(), account).unwrap();
        (key, value)
    };
    let made = seeded("headers", || accounts.each_ref().map(seal));
    for ((key, value), account) in golden_rows("header", &made).into_iter().zip(accounts) {
        let opened = rows.open_header(&key, &value).unwrap();
        assert_eq!(
            (opened.generation, &opened.sign_ins),
            (Generation::filled(0xa1), &header().sign_ins)
        );
        assert_eq!(opened.account_key.bytes(), &[0xa2; 32]);
        assert_eq!(rows.open_account(&key, &value, &opened).unwrap(), account);
    }
    // Version 1 had two kinds of users, and so two tags; which are of one account today.
    let [by_name, by_subject, of_app] = rows_of_version_1("header").try_into().unwrap();
    for ((key, value), account, tag) in [
        (by_name, user(), tagger.account(&user())),
        (
            by_subject,
            AccountId::of_subject(subject()),
            tagger.account_by_subject(subject().issuer(), subject().sub()),
        ),
        (
            of_app,
            AccountId::app(tenant("contoso"), client()),
            tagger.account(&AccountId::app(tenant("contoso"), client())),
        ),
    ] {
        assert_eq!(key, row_key::header(&tag));
        let opened = rows.open_header(&key, &value).unwrap();
        assert_eq!(rows.open_account(&key, &value, &opened).unwrap(), account);
    }
}

#[test]
fn golden_sign_ins() {
    let (rows, tagger) = rows();
    let least = SignInBody {
        tenant: tenant("contoso"),
        session: None,
        subject: None,
        aliases: Vec::new(),
        time: NOW,
        opening: Opening::filled(0xa5),
        as_of: Position::new(7),
        label: None,
        age: None,
    };
    let names = [(AliasKind::Email, "somebody@example.com"), (AliasKind::Opaque, "ümläut")];
    let aliases = names.map(|(kind, name)| Alias::new(kind, name).unwrap()).to_vec();
    let most = SignInBody {
        session: Some(session()),
        subject: Some(subject()),
        aliases,
        as_of: Position::MAX,
        label: Some(Label("Firefox, Linux".into())),
        age: Some(Interval::new(86_400_000)),
        ..least.clone()
    };
    let bodies = [least, most];
    let made = seeded("sign-ins", || {
        let seal = |number: usize| {
            let key = row_key::sign_in(&tagger.account(&user()), &header().sign_ins[number]);
            let value = rows.seal_sign_in(&key, &header(), &bodies[number]).unwrap();
            (key, value)
        };
        [seal(0), seal(1)]
    });
    for ((key, value), body) in golden_rows("sign-in", &made).iter().zip(&bodies) {
        assert!(rows.open_sign_in(key, value, &header()).unwrap() == *body);
    }
    // Version 1 had no labels, and no ages.
    for ((key, value), body) in rows_of_version_1("sign-in").iter().zip(&bodies) {
        let body = SignInBody { label: None, age: None, ..body.clone() };
        assert!(rows.open_sign_in(key, value, &header()).unwrap() == body);
    }
}

/// A ticket, and the tag under which the ledger has the sign-out of the sign-in that it is for.
#[test]
fn golden_tickets() {
    let (rows, tagger) = rows();
    let (account, [_, id]) = (tagger.account(&user()), [0xa3, 0xa4].map(SignInId::filled));
    let ticket = seeded("ticket", || rows.seal_ticket(&account, &id).unwrap());
    let tag = tagger.sign_in(&account, &id);
    let found = golden("ticket", &[ticket.expose().as_bytes(), tag.as_bytes()]);
    let text = str::from_utf8(&found[0]).unwrap();
    assert!(rows.open_ticket(text) == Some((account, id)));
}

#[test]
fn golden_known_time() {
    let (rows, _) = rows();
    let known = Known { known: EARLIER, shown: NOW };
    let made = seeded("known-time", || rows.seal_known(KNOWN, &known).unwrap());
    let found = golden_rows("known-time", &[(KNOWN.to_vec(), made)]);
    assert_eq!(rows.open_known(KNOWN, &found[0].1), Some(known));
    assert_eq!(rows.open_known(CHECKPOINT, &found[0].1), None);
}

#[test]
fn golden_longest_age() {
    let (rows, _) = rows();
    let age = Interval::new(0x0102_0304_0506_0708);
    let made = seeded("longest-age", || rows.seal_longest_age(LONGEST_AGE, age).unwrap());
    let found = golden_rows("longest-age", &[(LONGEST_AGE.to_vec(), made)]);
    assert_eq!(rows.open_longest_age(LONGEST_AGE, &found[0].1), Some(age));
    assert_eq!(rows.open_longest_age(KNOWN, &found[0].1), None);
}

#[test]
fn golden_fresh_engine() {
    let (rows, _) = rows();
    let fresh = Fresh { live_bytes: 0x0102_0304_0506_0708, engine_bytes: 0x1112_1314_1516_1718 };
    let made = seeded("fresh-engine", || rows.seal_fresh(FRESH, &fresh).unwrap());
    let found = golden_rows("fresh-engine", &[(FRESH.to_vec(), made)]);
    assert_eq!(rows.open_fresh(FRESH, &found[0].1), Some(fresh));
    assert_eq!(
        (rows.open_fresh(KNOWN, &found[0].1), rows.open_known(FRESH, &found[0].1)),
        (None, None)
    );
}

#[test]
fn golden_checkpoint() {
    let ((rows, _), position) = (rows(), Position::new(0x0102_0304_0506_0708));
    let made = seeded("checkpoint", || rows.seal_checkpoint(CHECKPOINT, position).unwrap());
    let found = golden_rows("checkpoint", &[(CHECKPOINT.to_vec(), made)]);
    assert_eq!(rows.open_checkpoint(CHECKPOINT, &found[0].1).unwrap(), position);
}
