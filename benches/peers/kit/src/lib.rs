//! What every driver shares: what a peer must be able to do, the names of accounts, the row
//! encryption, and the line protocol.

mod serve;

use std::path::Path;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Nonce, Payload};

pub use serve::serve;

/// The bytes of memory that a peer's cache may take, where it can be set: the store's own default.
pub const CACHE: usize = 64 << 20;

/// Something that keeps tokens. Every change that returns must survive a power loss.
pub trait Peer: Send + Sync + Sized {
    /// What an app keeps of a signed-in user between requests, to get at the tokens.
    type Handle: Send + Sync;

    fn open(folder: &Path) -> Self;
    /// The versions of what is measured.
    fn about(&self) -> String;
    /// Signs accounts in, with their tokens.
    fn load(&self, accounts: &[(u64, Vec<Vec<u8>>)]);
    fn handle(&self, account: u64) -> Self::Handle;
    /// Puts a token in the place of an older one.
    fn put(&self, handle: &Self::Handle, token: u32, text: Vec<u8>);
    fn get(&self, handle: &Self::Handle, token: u32) -> Option<Vec<u8>>;
    fn sign_out(&self, account: u64);
    fn sign_out_tenant(&self, tenant: u32);
    /// Waits until what calls have put off is done, durably.
    fn settle(&self) {}
    fn close(self);
    /// The processes that this one has started.
    fn servers(&self) -> Vec<u32> {
        Vec::new()
    }
}

/// An account's tenant: one of 40, or a tenant of its own for accounts numbered from
/// `tenant << 40`.
pub fn tenant(account: u64) -> u32 {
    match account >> 40 {
        0 => (account % 40) as u32,
        own => 1000 + own as u32,
    }
}

/// 16 bytes that name an account: scattered, as users' ids are.
pub fn name(account: u64) -> [u8; 16] {
    let mut random = Random(account.wrapping_mul(0x9e37_79b9));
    (u128::from(random.number()) << 64 | u128::from(random.number())).to_be_bytes()
}

/// The same in hexadecimal.
pub fn hex_name(account: u64) -> String {
    format!("{:032x}", u128::from_be_bytes(name(account)))
}

/// Random-looking numbers, the same in every run (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// Text that looks like a token: base64 of random bytes, which no store can compress much.
    pub fn text(&mut self, len: usize) -> Vec<u8> {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = Vec::with_capacity(len + 10);
        while text.len() < len {
            let number = self.number();
            text.extend((0..10).map(|n| DIGITS[(number >> (6 * n)) as usize & 63]));
        }
        text.truncate(len);
        text
    }
}

/// The row encryption that an app would add to a plain store: AES-256-GCM, one key that is ready, a
/// random nonce from the operating system, and the row's key as associated data. `Seal(None)`
/// leaves rows as they are.
pub struct Seal(Option<Aes256Gcm>);

impl Seal {
    pub fn new(is_on: bool) -> Self {
        Self(is_on.then(|| Aes256Gcm::new(&[7; 32].into())))
    }

    pub fn seal(&self, row: &[u8], text: Vec<u8>) -> Vec<u8> {
        let Some(cipher) = &self.0 else { return text };
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).unwrap();
        let sealed = cipher.encrypt(&Nonce::<Aes256Gcm>::from(nonce), Payload { msg: &text, aad: row }).unwrap();
        [nonce.as_slice(), &sealed].concat()
    }

    pub fn open(&self, row: &[u8], value: &[u8]) -> Vec<u8> {
        let Some(cipher) = &self.0 else { return value.to_vec() };
        let (nonce, sealed) = value.split_first_chunk::<12>().unwrap();
        cipher.decrypt(&Nonce::<Aes256Gcm>::from(*nonce), Payload { msg: sealed, aad: row }).unwrap()
    }
}
