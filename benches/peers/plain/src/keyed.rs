//! The key-value stores: sled, redb and fjall, with one layout and one way to sign out.
//!
//! `A | account 16 | token 4` is a token, `T | tenant 4 | account 16` finds the accounts of a
//! tenant. A sign-out removes an account's range and its place in the index, in one atomic, synced
//! step.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use peers_kit::{CACHE, Peer, Seal, name, tenant};
use redb::{ReadableDatabase, TableDefinition};

type Row = (Vec<u8>, Vec<u8>);

/// A key-value store, made durable. `put` and `remove` are atomic, and survive a power loss.
pub(crate) trait Engine: Send + Sync + Sized {
    const ABOUT: &str;
    fn open(folder: &Path) -> Self;
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;
    fn put(&self, rows: Vec<Row>);
    /// Removes all that begins with these prefixes, and these keys.
    fn remove(&self, prefixes: &[Vec<u8>], keys: &[Vec<u8>]);
    fn keys(&self, prefix: &[u8]) -> Vec<Vec<u8>>;
}

/// An engine with the layout above, and with or without encryption of each row.
pub(crate) struct Keyed<E, const SEALED: bool> {
    engine: E,
    seal: Seal,
}

fn range(account: u64) -> Vec<u8> {
    [b"A".as_slice(), &name(account)].concat()
}

fn row(range: &[u8], token: u32) -> Vec<u8> {
    [range, &token.to_be_bytes()].concat()
}

fn accounts_of(tenant: u32) -> Vec<u8> {
    [b"T".as_slice(), &tenant.to_be_bytes()].concat()
}

fn index(account: u64) -> Vec<u8> {
    [accounts_of(tenant(account)).as_slice(), &name(account)].concat()
}

impl<E: Engine, const SEALED: bool> Peer for Keyed<E, SEALED> {
    type Handle = Vec<u8>;

    fn open(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        Self { engine: E::open(folder), seal: Seal::new(SEALED) }
    }

    fn about(&self) -> String {
        E::ABOUT.into()
    }

    fn load(&self, accounts: &[(u64, Vec<Vec<u8>>)]) {
        let mut rows = Vec::new();
        for (account, texts) in accounts {
            rows.push((index(*account), Vec::new()));
            for (token, text) in (0..).zip(texts) {
                let key = row(&range(*account), token);
                let value = self.seal.seal(&key, text.clone());
                rows.push((key, value));
            }
        }
        self.engine.put(rows);
    }

    fn handle(&self, account: u64) -> Vec<u8> {
        range(account)
    }

    fn put(&self, handle: &Vec<u8>, token: u32, text: Vec<u8>) {
        let key = row(handle, token);
        let value = self.seal.seal(&key, text);
        self.engine.put(vec![(key, value)]);
    }

    fn get(&self, handle: &Vec<u8>, token: u32) -> Option<Vec<u8>> {
        let key = row(handle, token);
        let value = self.engine.get(&key)?;
        Some(if SEALED { self.seal.open(&key, &value) } else { value })
    }

    fn sign_out(&self, account: u64) {
        self.engine.remove(&[range(account)], &[index(account)]);
    }

    fn sign_out_tenant(&self, tenant: u32) {
        let index = self.engine.keys(&accounts_of(tenant));
        let ranges: Vec<Vec<u8>> = index.iter().map(|key| [b"A", &key[5..]].concat()).collect();
        self.engine.remove(&ranges, &index);
    }

    fn close(self) {}
}

/// A batch, `flush`, and `fdatasync` of our own: `flush` alone does not survive a power loss.
pub(crate) struct Sled(sled::Db, std::fs::File);

impl Sled {
    fn apply(&self, batch: sled::Batch) {
        self.0.apply_batch(batch).unwrap();
        self.0.flush().unwrap();
        self.1.sync_data().unwrap();
    }
}

impl Engine for Sled {
    const ABOUT: &str = "sled";

    fn open(folder: &Path) -> Self {
        let db = sled::Config::new().path(folder).cache_capacity(CACHE as u64).flush_every_ms(None).open().unwrap();
        let log = std::fs::File::options().read(true).write(true).open(folder.join("db")).unwrap();
        log.sync_all().unwrap();
        Self(db, log)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key).unwrap().map(|value| value.to_vec())
    }

    fn put(&self, rows: Vec<Row>) {
        let mut batch = sled::Batch::default();
        rows.into_iter().for_each(|(key, value)| batch.insert(key, value));
        self.apply(batch);
    }

    fn remove(&self, prefixes: &[Vec<u8>], keys: &[Vec<u8>]) {
        let mut batch = sled::Batch::default();
        keys.iter().for_each(|key| batch.remove(key.as_slice()));
        for prefix in prefixes {
            self.0.scan_prefix(prefix).keys().for_each(|key| batch.remove(key.unwrap()));
        }
        self.apply(batch);
    }

    fn keys(&self, prefix: &[u8]) -> Vec<Vec<u8>> {
        self.0.scan_prefix(prefix).keys().map(|key| key.unwrap().to_vec()).collect()
    }
}

/// A write transaction of `Durability::Immediate`, which is the default, with `retain_in` over the
/// range.
pub(crate) struct Redb(redb::Database);

const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("tokens");

/// The first key behind all that begin with the prefix.
fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 255 {
            end.push(last + 1);
            break;
        }
    }
    end
}

impl Engine for Redb {
    const ABOUT: &str = "redb";

    fn open(folder: &Path) -> Self {
        let db = redb::Builder::new().set_cache_size(CACHE).create(folder.join("redb")).unwrap();
        let write = db.begin_write().unwrap();
        write.open_table(TABLE).unwrap();
        write.commit().unwrap();
        Self(db)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let table = self.0.begin_read().unwrap().open_table(TABLE).unwrap();
        table.get(key).unwrap().map(|value| value.value().to_vec())
    }

    fn put(&self, rows: Vec<Row>) {
        let write = self.0.begin_write().unwrap();
        let mut table = write.open_table(TABLE).unwrap();
        for (key, value) in &rows {
            table.insert(key.as_slice(), value.as_slice()).unwrap();
        }
        drop(table);
        write.commit().unwrap();
    }

    fn remove(&self, prefixes: &[Vec<u8>], keys: &[Vec<u8>]) {
        let write = self.0.begin_write().unwrap();
        let mut table = write.open_table(TABLE).unwrap();
        for prefix in prefixes {
            table.retain_in(prefix.as_slice()..behind(prefix).as_slice(), |_, _| false).unwrap();
        }
        for key in keys {
            table.remove(key.as_slice()).unwrap();
        }
        drop(table);
        write.commit().unwrap();
    }

    fn keys(&self, prefix: &[u8]) -> Vec<Vec<u8>> {
        let table = self.0.begin_read().unwrap().open_table(TABLE).unwrap();
        let range = table.range(prefix..behind(prefix).as_slice()).unwrap();
        range.map(|row| row.unwrap().0.value().to_vec()).collect()
    }
}

/// A write batch of one tombstone for each row, with `PersistMode::SyncData`.
pub(crate) struct Fjall(Database, Keyspace);

impl Engine for Fjall {
    const ABOUT: &str = "fjall";

    fn open(folder: &Path) -> Self {
        let db = Database::builder(folder).cache_size(CACHE as u64).open().unwrap();
        let tokens = db.keyspace("tokens", KeyspaceCreateOptions::default).unwrap();
        Self(db, tokens)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.1.get(key).unwrap().map(|value| value.to_vec())
    }

    fn put(&self, rows: Vec<Row>) {
        let mut batch = self.0.batch().durability(Some(PersistMode::SyncData));
        rows.into_iter().for_each(|(key, value)| batch.insert(&self.1, key, value));
        batch.commit().unwrap();
    }

    fn remove(&self, prefixes: &[Vec<u8>], keys: &[Vec<u8>]) {
        let mut batch = self.0.batch().durability(Some(PersistMode::SyncData));
        keys.iter().for_each(|key| batch.remove(&self.1, key.as_slice()));
        for prefix in prefixes {
            self.1.prefix(prefix).for_each(|row| batch.remove(&self.1, row.key().unwrap()));
        }
        batch.commit().unwrap();
    }

    fn keys(&self, prefix: &[u8]) -> Vec<Vec<u8>> {
        self.1.prefix(prefix).map(|row| row.key().unwrap().to_vec()).collect()
    }
}
