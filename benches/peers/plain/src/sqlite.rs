//! SQLite, and SQLCipher in its place: WAL and `synchronous=FULL`, one connection that writes, one
//! per thread that reads. A sign-out is one transaction with two `DELETE`s, each on an index.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use peers_kit::{CACHE, Peer, Seal, name, tenant};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

pub(crate) struct Sqlite<const SEALED: bool> {
    path: PathBuf,
    seal: Seal,
    writer: Mutex<Connection>,
    /// Those that nobody uses just now.
    readers: Mutex<Vec<Connection>>,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS tokens (account BLOB NOT NULL, token INTEGER NOT NULL, value BLOB NOT NULL);
    CREATE UNIQUE INDEX IF NOT EXISTS tokens_of ON tokens (account, token);
    CREATE TABLE IF NOT EXISTS accounts (tenant INTEGER NOT NULL, account BLOB NOT NULL, PRIMARY KEY (tenant, account)) WITHOUT ROWID;";
const PUT: &str = "INSERT INTO tokens VALUES (?1, ?2, ?3) ON CONFLICT (account, token) DO UPDATE SET value = excluded.value";

fn connect(path: &Path) -> Connection {
    let db = Connection::open(path).unwrap();
    if let Some(key) = crate::SQLCIPHER_KEY {
        // A raw key: nothing is derived from a password at open.
        db.pragma_update(None, "key", key).unwrap();
    }
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    db.pragma_update(None, "synchronous", "FULL").unwrap();
    db.pragma_update(None, "cache_size", -((CACHE >> 10) as i64)).unwrap();
    db
}

fn aad(account: &[u8], token: u32) -> Vec<u8> {
    [account, &token.to_be_bytes()].concat()
}

impl<const SEALED: bool> Sqlite<SEALED> {
    fn write(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<()>) {
        let mut db = self.writer.lock().unwrap();
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        work(&transaction).unwrap();
        transaction.commit().unwrap();
    }
}

impl<const SEALED: bool> Peer for Sqlite<SEALED> {
    type Handle = [u8; 16];

    fn open(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let path = folder.join("tokens.db");
        let writer = connect(&path);
        writer.execute_batch(SCHEMA).unwrap();
        Self { path, seal: Seal::new(SEALED), writer: Mutex::new(writer), readers: Mutex::default() }
    }

    fn about(&self) -> String {
        let cipher = self.writer.lock().unwrap().query_row("PRAGMA cipher_version", [], |row| row.get::<_, String>(0)).optional();
        let sqlite = format!("SQLite {}", rusqlite::version());
        cipher.unwrap().map_or(sqlite.clone(), |cipher| format!("SQLCipher {cipher} ({sqlite})"))
    }

    fn load(&self, accounts: &[(u64, Vec<Vec<u8>>)]) {
        self.write(|db| {
            let mut put = db.prepare_cached(PUT)?;
            let mut add = db.prepare_cached("INSERT INTO accounts VALUES (?1, ?2)")?;
            for (account, texts) in accounts {
                let name = name(*account);
                add.execute(params![tenant(*account), name])?;
                for (token, text) in (0u32..).zip(texts) {
                    put.execute(params![name, token, self.seal.seal(&aad(&name, token), text.clone())])?;
                }
            }
            Ok(())
        });
    }

    fn handle(&self, account: u64) -> [u8; 16] {
        name(account)
    }

    fn put(&self, handle: &[u8; 16], token: u32, text: Vec<u8>) {
        let value = self.seal.seal(&aad(handle, token), text);
        self.write(|db| db.prepare_cached(PUT)?.execute(params![handle, token, value]).map(drop));
    }

    fn get(&self, handle: &[u8; 16], token: u32) -> Option<Vec<u8>> {
        let free = self.readers.lock().unwrap().pop();
        let db = free.unwrap_or_else(|| connect(&self.path));
        let mut select = db.prepare_cached("SELECT value FROM tokens WHERE account = ?1 AND token = ?2").unwrap();
        let value: Option<Vec<u8>> = select.query_row(params![handle, token], |row| row.get(0)).optional().unwrap();
        drop(select);
        self.readers.lock().unwrap().push(db);
        value.map(|value| if SEALED { self.seal.open(&aad(handle, token), &value) } else { value })
    }

    fn sign_out(&self, account: u64) {
        self.write(|db| {
            let name = name(account);
            db.prepare_cached("DELETE FROM tokens WHERE account = ?1")?.execute([name])?;
            let mut delete = db.prepare_cached("DELETE FROM accounts WHERE tenant = ?1 AND account = ?2")?;
            delete.execute(params![tenant(account), name]).map(drop)
        });
    }

    fn sign_out_tenant(&self, tenant: u32) {
        self.write(|db| {
            db.execute("DELETE FROM tokens WHERE account IN (SELECT account FROM accounts WHERE tenant = ?1)", [tenant])?;
            db.execute("DELETE FROM accounts WHERE tenant = ?1", [tenant]).map(drop)
        });
    }

    fn close(self) {
        self.readers.into_inner().unwrap().into_iter().for_each(|db| db.close().unwrap());
        self.writer.into_inner().unwrap().close().unwrap();
    }
}
