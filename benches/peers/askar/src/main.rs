//! Speaks the line protocol for askar-storage in an SQLite file, as it comes (WAL,
//! `synchronous=FULL`, its own encryption of names, values and tags). A token is an item with two
//! encrypted tags, its account and its tenant; a sign-out is `remove_all` by a tag.

use std::path::Path;

use askar_storage::backend::sqlite::{SqliteBackend, SqliteStoreOptions};
use askar_storage::backend::{Backend, BackendSession, ManageBackend};
use askar_storage::entry::{EntryKind, EntryOperation, EntryTag, TagFilter};
use askar_storage::future::block_on;
use askar_storage::{Error, PassKey, StoreKeyMethod, generate_raw_store_key};
use peers_kit::{Peer, hex_name, serve, tenant};

fn main() {
    serve::<Askar>();
}

struct Askar(SqliteBackend);

/// What an item is named by, and what it is found by.
struct Handle {
    name: String,
    tags: [EntryTag; 2],
}

type Session = <SqliteBackend as Backend>::Session;

const ITEM: EntryKind = EntryKind::Item;
const CATEGORY: &str = "token";

async fn write(session: &mut Session, how: EntryOperation, handle: &Handle, token: u32, text: &[u8]) -> Result<(), Error> {
    session.update(ITEM, how, CATEGORY, &format!("{}.{token}", handle.name), Some(text), Some(&handle.tags), None).await
}

impl Askar {
    fn session(&self, is_transaction: bool) -> Session {
        self.0.session(None, is_transaction).unwrap()
    }

    fn remove_all(&self, tag: &str, value: String) {
        block_on(async {
            // A session ends inside the runtime.
            let mut session = self.session(false);
            session.remove_all(Some(ITEM), Some(CATEGORY), Some(TagFilter::is_eq(tag, value))).await.unwrap();
        });
    }
}

impl Peer for Askar {
    type Handle = Handle;

    fn open(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let path = folder.join("tokens.db");
        let options = || SqliteStoreOptions::new(format!("sqlite://{}", path.display()).as_str()).unwrap();
        // A raw key: nothing is derived from a password at open.
        let key: PassKey<'static> = generate_raw_store_key(Some(&[7; 32])).unwrap();
        Self(block_on(async {
            if path.exists() {
                options().open_backend(Some(StoreKeyMethod::RawKey), key, None).await.unwrap()
            } else {
                options().provision_backend(StoreKeyMethod::RawKey, key, None, false).await.unwrap()
            }
        }))
    }

    fn about(&self) -> String {
        "askar-storage".into()
    }

    fn load(&self, accounts: &[(u64, Vec<Vec<u8>>)]) {
        block_on(async {
            let mut session = self.session(true);
            for (account, texts) in accounts {
                let handle = self.handle(*account);
                for (token, text) in (0..).zip(texts) {
                    write(&mut session, EntryOperation::Insert, &handle, token, text).await.unwrap();
                }
            }
            session.close(true).await.unwrap();
        });
    }

    fn handle(&self, account: u64) -> Handle {
        let tag = |name: &str, value| EntryTag::Encrypted(name.into(), value);
        let name = hex_name(account);
        Handle { tags: [tag("account", name.clone()), tag("tenant", tenant(account).to_string())], name }
    }

    fn put(&self, handle: &Handle, token: u32, text: Vec<u8>) {
        block_on(async {
            let mut session = self.session(true);
            write(&mut session, EntryOperation::Replace, handle, token, &text).await.unwrap();
            session.close(true).await.unwrap();
        });
    }

    fn get(&self, handle: &Handle, token: u32) -> Option<Vec<u8>> {
        let name = format!("{}.{token}", handle.name);
        let entry = block_on(async {
            let mut session = self.session(false);
            session.fetch(ITEM, CATEGORY, &name, false).await.unwrap()
        });
        Some(entry?.value.to_vec())
    }

    fn sign_out(&self, account: u64) {
        self.remove_all("account", hex_name(account));
    }

    fn sign_out_tenant(&self, tenant: u32) {
        self.remove_all("tenant", tenant.to_string());
    }

    fn close(self) {
        block_on(self.0.close()).unwrap();
    }
}
