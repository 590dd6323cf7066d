//! The ledger's file.

use super::*;
use crate::ledger::{Growth, Ledger};
use crate::model::position::Position;
use crate::model::tag::{AccountTag, TaggedScope};
use crate::rule::{Fence, NO_CUTOFF};
use crate::store::location::Place;
use crate::testing::machine::Machine;

const GROWTH: Growth = Growth { chunk: 4, reserve: 4 };

/// The scopes that are signed out in the known ledgers.
fn scopes() -> [TaggedScope; 4] {
    let (_, tagger) = rows();
    [
        TaggedScope::Tenant(tagger.tenant(&tenant("contoso"))),
        TaggedScope::Account(tagger.account(&user())),
        TaggedScope::Session(tagger.session(&session())),
        TaggedScope::Subject(tagger.subject(&subject())),
    ]
}

/// Opens the ledger in this file, or a new one.
fn ledger(machine: &Machine, file: Option<Vec<u8>>) -> Ledger {
    let secrets = keyring().0.secrets;
    match file {
        Some(file) => machine.set_files([(Ledger::file_name(&secrets.ledger_id), file)].into()),
        None => Ledger::create(
            &*machine.disk().unwrap(),
            secrets.ledger_id,
            &secrets.ledger_key,
            GROWTH,
            NOW,
        )
        .unwrap(),
    }
    Ledger::read(machine.disk().unwrap(), secrets.ledger_id, &secrets.ledger_key, GROWTH)
        .unwrap()
        .settle()
        .unwrap()
}

fn file_of(machine: &Machine) -> Vec<u8> {
    machine.files().remove(&Ledger::file_name(&keyring().0.secrets.ledger_id)).unwrap()
}

fn sign_out(ledger: &Ledger, scopes: &[TaggedScope], cutoff: Millis, time: Millis) {
    ledger.wait(ledger.stand(scopes, cutoff, time).unwrap().last).unwrap();
}

/// Records of every kind: two openings, a call of four sign-outs with a cutoff, a torn call that
/// was voided, everybody.
#[test]
fn golden_ledger() {
    let made = seeded("ledger", || {
        let machine = Machine::new();
        let first = ledger(&machine, None);
        sign_out(&first, &scopes(), EARLIER, after(1));
        let before = file_of(&machine);
        sign_out(
            &first,
            &[
                TaggedScope::Account(AccountTag::filled(1)),
                TaggedScope::Account(AccountTag::filled(2)),
            ],
            NO_CUTOFF,
            after(2),
        );
        // Of the last call only the first record came to the disk, in slot 5.
        let torn = [&file_of(&machine)[..512 + 6 * 64], &before[512 + 6 * 64..]].concat();
        let second = ledger(&machine, Some(torn));
        sign_out(&second, &[TaggedScope::Everybody], NO_CUTOFF, after(3));
        file_of(&machine)
    });
    let found = ledger(&Machine::new(), Some(golden("ledger", &[&made]).remove(0)));
    assert_eq!((found.synced(), found.horizon()), (Position::new(8), (Position::ZERO, NOW)));
    let last = |scope| found.fences().last(scope);
    for (scope, position) in scopes().into_iter().zip((2..).map(Position::new)) {
        assert_eq!(last(scope), Some(Fence { position, cutoff: EARLIER, time: after(1) }));
    }
    assert_eq!(
        last(TaggedScope::Everybody),
        Some(Fence { position: Position::new(8), cutoff: NO_CUTOFF, time: after(3) })
    );
    assert!(
        last(TaggedScope::Account(AccountTag::filled(1))).is_none()
            && last(TaggedScope::Account(AccountTag::filled(2))).is_none()
    );
    assert_eq!(
        found.fences().openings().iter().map(|(position, ..)| *position).collect::<Vec<_>>(),
        [1, 7].map(Position::new)
    );
}

/// A ledger that was compacted: with a floor, kept records, and one behind them.
#[test]
fn golden_compacted_ledger() {
    let made = seeded("compacted ledger", || {
        let machine = Machine::new();
        let ledger = ledger(&machine, None);
        sign_out(&ledger, &[TaggedScope::Account(AccountTag::filled(1))], NO_CUTOFF, after(1));
        for time in 2..20 {
            sign_out(&ledger, &scopes()[..2], NO_CUTOFF, after(time));
        }
        assert!(ledger.compact(after(2)).unwrap());
        sign_out(&ledger, &[TaggedScope::Account(AccountTag::filled(2))], NO_CUTOFF, after(20));
        file_of(&machine)
    });
    let found = ledger(&Machine::new(), Some(golden("ledger-compacted", &[&made]).remove(0)));
    assert_eq!(
        (found.synced(), found.horizon()),
        (Position::new(39), (Position::new(2), after(1)))
    );
    let last = |scope| found.fences().last(scope).map(|fence| (fence.position.get(), fence.time));
    assert_eq!(
        [last(scopes()[0]), last(scopes()[1])],
        [Some((37, after(19))), Some((38, after(19)))]
    );
    assert_eq!(
        [last(TaggedScope::Everybody), last(TaggedScope::Account(AccountTag::filled(2)))],
        [Some((2, after(1))), Some((39, after(20)))]
    );
    assert_eq!(last(TaggedScope::Account(AccountTag::filled(1))), None);
}
