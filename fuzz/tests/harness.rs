//! The harness itself: what it reads, what it counts.

use arbitrary::{Arbitrary, Unstructured};
use oubliette_fuzz::bounds::within;
use oubliette_fuzz::input::Encode;

oubliette_fuzz::plans! {
    pub enum Plan {
        Nothing {},
        Numbers { a: u8, b: u16, c: u64 },
        Lists { list: Vec<u16>, maybe: Option<u8>, flag: bool },
        Within { one: Box<Plan>, two: Box<Plan> },
    }
}

#[test]
fn what_is_written_is_read() {
    let plans = vec![
        Plan::Nothing {},
        Plan::Numbers { a: 1, b: 515, c: u64::MAX - 7 },
        Plan::Lists { list: vec![1, 2, 300], maybe: Some(9), flag: true },
        Plan::Lists { list: vec![], maybe: None, flag: false },
        Plan::Within {
            one: Plan::Nothing {}.into(),
            two: Plan::Numbers { a: 0, b: 0, c: 0 }.into(),
        },
    ];
    let mut bytes = Vec::new();
    plans.encode(&mut bytes);
    assert_eq!(Vec::<Plan>::arbitrary(&mut Unstructured::new(&bytes)).unwrap(), plans);
    assert_eq!(Vec::<Plan>::arbitrary_take_rest(Unstructured::new(&bytes)).unwrap(), plans);
}

#[test]
fn what_is_taken_is_counted() {
    within(3000, || drop(vec![0u8; 2000]));
    let caught = std::panic::catch_unwind(|| within(1000, || drop(vec![0u8; 2000])));
    assert!(caught.is_err());
}
