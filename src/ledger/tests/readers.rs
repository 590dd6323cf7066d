//! What reads the file beside the ledger that is open: the check and the look.

use super::*;

#[test]
fn a_check_sees_a_changed_byte_wherever_it_is() {
    let machine = new_machine();
    let (ledger, _) = busy(&machine);
    let decides = ledger.check().unwrap();
    assert_eq!(decides, ledger.stats().fences as u64);
    let whole = machine.files();
    let name = Ledger::file_name(&ID);
    let mut damaged = 0;
    for at in (0..file(&machine).len()).step_by(13) {
        let mut files = whole.clone();
        if let Some(byte) = files.get_mut(&name).and_then(|bytes| bytes.get_mut(at)) {
            *byte ^= 4;
        }
        machine.put_bytes(&name, &files[&name]);
        assert!(
            matches!(ledger.check(), Err(Error::Damaged { part: Component::Ledger, .. })),
            "byte {at}"
        );
        damaged += 1;
    }
    machine.put_bytes(&name, &whole[&name]);
    assert_eq!(ledger.check().unwrap(), decides);
    assert!(damaged > 200);
}

#[test]
fn a_look_sees_what_opening_would_and_changes_nothing() {
    let whole = three_groups();
    for written in 0u32..1 << 5 {
        let mut bytes = whole.clone();
        for slot in (6..11).filter(|slot| written & (1 << (slot - 6)) == 0) {
            bytes[slot_range(slot)].copy_from_slice(&filler(slot));
        }
        let machine = with_file(&bytes);
        let seen = Ledger::look(&*machine.disk().unwrap(), ID, &key(), |_| true).unwrap();
        assert_eq!(file(&machine), bytes);
        let ledger =
            Ledger::read(machine.disk().unwrap(), ID, &key(), GROWTH).unwrap().settle().unwrap();
        assert_eq!(
            seen.sign_outs,
            ledger.fences().in_order(),
            "{written:05b}: openings and voided records are no sign-outs"
        );
        assert_eq!((seen.end, seen.known_since), (ledger.synced(), at(5)));
    }
    let mut bytes = whole;
    bytes[slot_range(3)].copy_from_slice(&filler(3));
    let torn = Ledger::look(&*with_file(&bytes).disk().unwrap(), ID, &key(), |_| true);
    assert!(matches!(torn, Err(Error::Damaged { part: Component::Ledger, .. })));
    let missing = Ledger::look(&*Machine::new().disk().unwrap(), ID, &key(), |_| true);
    assert!(matches!(missing, Err(Error::Damaged { part: Component::Ledger, .. })));
}
