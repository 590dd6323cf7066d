//! The least that a durable change can cost: 64 bytes written to space that is there already, and
//! `fdatasync`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

use peers_kit::Peer;

pub(crate) struct Limit(Mutex<(File, u64)>);

const SPACE: u64 = 1 << 20;

impl Limit {
    fn append(&self) {
        let mut file = self.0.lock().unwrap();
        let (file, offset) = &mut *file;
        file.write_all_at(&[0x55; 64], *offset).unwrap();
        file.sync_data().unwrap();
        *offset = (*offset + 64) % SPACE;
    }
}

impl Peer for Limit {
    type Handle = ();

    fn open(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let file = File::create(folder.join("limit")).unwrap();
        file.write_all_at(&vec![0xaa; SPACE as usize], 0).unwrap();
        file.sync_all().unwrap();
        Self(Mutex::new((file, 0)))
    }

    fn about(&self) -> String {
        "64-byte append to existing space and fdatasync".into()
    }

    fn load(&self, _: &[(u64, Vec<Vec<u8>>)]) {}

    fn handle(&self, _: u64) {}

    fn put(&self, _: &(), _: u32, _: Vec<u8>) {
        self.append();
    }

    fn get(&self, _: &(), _: u32) -> Option<Vec<u8>> {
        None
    }

    fn sign_out(&self, _: u64) {
        self.append();
    }

    fn sign_out_tenant(&self, _: u32) {
        self.append();
    }

    fn close(self) {}
}
