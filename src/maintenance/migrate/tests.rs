//! What the mover may not do: make batches too long, or lose what it puts off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::mover::Mover;
use super::*;
use crate::engine::{Batch, Commit, EngineError, Limits, MemoryEngine, MemoryRows, Row};
use crate::model::tag::AccountTag;
use crate::rows::row_key;
use crate::{AccountId, Machine, SignIn, TenantId};

/// Keeps count of the largest batch.
#[derive(Debug)]
struct Measured(MemoryEngine, Arc<AtomicUsize>);

impl Engine for Measured {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.0.get(key)
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, EngineError> {
        self.0.scan(prefix, after, limit)
    }

    fn commit(&self, account: &AccountTag, batch: Batch) -> Result<Commit, EngineError> {
        self.1.fetch_max(batch.changes.len(), Ordering::Relaxed);
        self.0.commit(account, batch)
    }

    fn discard(&self, keys: Vec<Vec<u8>>) -> Result<(), EngineError> {
        self.0.discard(keys)
    }

    fn limits(&self) -> Limits {
        self.0.limits()
    }

    fn sync(&self, durability: Durability) -> Result<(), EngineError> {
        self.0.sync(durability)
    }

    fn size(&self) -> Result<u64, EngineError> {
        self.0.size()
    }
}

// Without it: accounts without tokens all go in one batch, which takes the memory of all of them,
// and holds up all readers of the process.
#[test]
fn no_batch_is_much_longer_than_a_slice() {
    let store = Machine::new().builder().open().unwrap();
    for number in 0..200 {
        let account = AccountId::new("login.example.com", number.to_string()).unwrap();
        store.sign_in(SignIn::new(account, TenantId::new("contoso").unwrap())).unwrap();
    }
    let longest = Arc::new(AtomicUsize::new(0));
    let target = Measured(MemoryEngine(MemoryRows::default()), longest.clone());
    copy_live(store.core(), Box::new(target)).unwrap();
    assert!((SLICE..SLICE + 8).contains(&longest.load(Ordering::Relaxed)));
}

// Without it: what another thread had locked when the mover came by is not carried, and is lost
// with the old engine.
#[test]
fn what_is_put_off_is_carried_later() {
    let store = Machine::new().builder().open().unwrap();
    let account = AccountId::new("login.example.com", "uid.utid").unwrap();
    store.sign_in(SignIn::new(account.clone(), TenantId::new("contoso").unwrap())).unwrap();
    let core = store.core();
    let tag = core.tagger.account(&account);
    let rows = MemoryRows::default();
    let _watch = core.embedded().unwrap().watch_changes().unwrap();
    let mut mover =
        Mover { puts_off: true, ..Mover::new(Box::new(MemoryEngine(rows.clone())), None) };
    let at_work = core.embedded().unwrap().lock_account(&tag);
    mover.carry_all(core).unwrap();
    mover.commit().unwrap();
    assert!(rows.all().is_empty());
    assert!(core.embedded().unwrap().take_changed().contains(&tag));
    mover.carry_again(&core.enter().unwrap(), &tag).unwrap();
    assert!(core.embedded().unwrap().take_changed().contains(&tag), "put off once more");
    drop(at_work);
    mover.carry_again(&core.enter().unwrap(), &tag).unwrap();
    mover.commit().unwrap();
    assert_eq!((mover.moved.accounts, core.embedded().unwrap().count_changed()), (1, 0));
    assert!(rows.all().iter().any(|(key, _)| *key == row_key::header(&tag)));
}
