//! What the benchmarks share: a store full of accounts, and the yardsticks on the same disk.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each benchmark uses a part of it; none must go on after an error"
)]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use aes_gcm::aead::{AeadInOut, KeyInit, inout::InOutBuf};
use aes_gcm::{Aes256Gcm, Nonce};
use oubliette::*;
use oubliette_testkit::chance::Chance;

/// How long a token is.
pub const TOKEN_BYTES: usize = 1600;
/// How many tokens an account has.
pub const TOKENS: usize = 10;
/// What an AES-256-GCM open authenticates beside a token: about what the store does.
const AAD_BYTES: usize = 160;

/// Whether to be done in well under a minute: `OUBLIETTE_BENCH=short`.
pub fn is_short() -> bool {
    std::env::var_os("OUBLIETTE_BENCH").is_some_and(|value| value == "short")
}

/// Whether this is `cargo bench`, and not `cargo test`, which only wants to see that it runs.
pub fn is_bench() -> bool {
    std::env::args().any(|arg| arg == "--bench")
}

/// How many accounts the stores have.
pub fn sizes() -> &'static [u32] {
    match (is_bench(), is_short()) {
        (false, _) => &[50],
        (true, true) => &[2_000],
        (true, false) => &[2_000, 20_000],
    }
}

/// A folder on the disk that is built on: the system's own temporary folder is often memory only,
/// where a sync costs nothing.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Random-looking numbers, the same in every run: the testkit's chance, for places in slices and
/// for texts.
pub struct Random(pub u64);

impl Random {
    pub fn number(&mut self) -> u64 {
        let mut chance = Chance(self.0);
        let number = chance.next();
        *self = Self(chance.0);
        number
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    pub fn text(&mut self, len: usize) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        (0..len).map(|_| char::from(DIGITS[self.below(64)])).collect()
    }
}

pub fn account(number: u32) -> AccountId {
    AccountId::new("login.example.com", format!("{number:032x}.{:032x}", number % 40)).unwrap()
}

pub fn sign_in(number: u32) -> SignIn {
    let issuer = "https://login.example.com";
    SignIn::new(account(number), TenantId::new(format!("tenant-{}", number % 40)).unwrap())
        .session(SessionId::new(issuer, format!("session-{number}")).unwrap())
        .subject(Subject::new(issuer, format!("subject-{number}")).unwrap())
}

pub fn client() -> ClientId {
    ClientId::new("web").unwrap()
}

pub fn scopes(number: usize) -> Scopes {
    Scopes::parse(&format!("openid profile api://service-{number}/Files.Read")).unwrap()
}

pub fn query(number: usize) -> AccessQuery {
    AccessQuery::new(client()).scopes(scopes(number))
}

pub fn access_token(number: usize, random: &mut Random) -> AccessToken {
    let in_a_month = SystemTime::now() + Duration::from_secs(30 * 24 * 3600);
    AccessToken::new(client(), scopes(number), random.text(TOKEN_BYTES), in_a_month)
}

pub fn refresh_token(random: &mut Random) -> RefreshToken {
    RefreshToken::new(client(), random.text(TOKEN_BYTES))
}

/// Signs one user in and gives it tokens, some at a time.
pub fn add_account(
    store: &TokenStore,
    number: u32,
    tokens: usize,
    random: &mut Random,
) -> LiveSignIn {
    let live = store.sign_in(sign_in(number)).unwrap();
    let numbers: Vec<usize> = (0..tokens).collect();
    for some in numbers.chunks(250) {
        let tokens: Vec<Token> = some.iter().map(|n| access_token(*n, random).into()).collect();
        live.put(tokens).unwrap();
    }
    live
}

/// A store on the disk, the same rows in a bare sled database, and a file to append to.
pub struct Bench {
    folder: tempfile::TempDir,
    store: Option<TokenStore>,
    pub bare: Bare,
    pub limit: Limit,
    /// A second one, to see how far two equal things differ.
    pub control: Limit,
    pub random: Random,
    accounts: u32,
    next: u32,
}

impl Bench {
    /// Signs so many accounts in, with [`TOKENS`] tokens each.
    pub fn new(accounts: u32) -> Self {
        let folder = folder();
        let store = open(folder.path());
        let numbers: Vec<u32> = (0..accounts).collect();
        std::thread::scope(|scope| {
            for share in numbers.chunks(numbers.len().div_ceil(8)) {
                let store = &store;
                scope.spawn(move || {
                    let mut random = Random(share[0].into());
                    share
                        .iter()
                        .for_each(|number| drop(add_account(store, *number, TOKENS, &mut random)));
                });
            }
        });
        store.close().unwrap();
        let bare = Bare::copy_of_store(&folder.path().join("tokens"), folder.path().join("bare"));
        let limit = Limit::new(&folder.path().join("limit"));
        let control = Limit::new(&folder.path().join("control"));
        let store = Some(open(folder.path()));
        Self {
            folder,
            store,
            bare,
            limit,
            control,
            random: Random(u64::MAX),
            accounts,
            next: accounts,
        }
    }

    pub fn store(&self) -> &TokenStore {
        self.store.as_ref().unwrap()
    }

    /// Closes the store and opens it; the time is that of opening.
    pub fn reopen(&mut self) -> Duration {
        self.store.take().unwrap().close().unwrap();
        let start = Instant::now();
        self.store = Some(open(self.folder.path()));
        start.elapsed()
    }

    /// A live account that was not there before, for signing it out.
    pub fn new_account(&mut self, tokens: usize) -> AccountId {
        self.next += 1;
        let store = self.store.as_ref().unwrap();
        drop(add_account(store, self.next, tokens, &mut self.random));
        account(self.next)
    }

    /// Handles of up to `count` accounts, spread over the store, and the places of these accounts
    /// in the bare database.
    pub fn some(&mut self, count: usize) -> (Vec<LiveSignIn>, Vec<Pair>) {
        let all = self.accounts;
        let count = count.min(all as usize);
        let step = all as usize / count;
        let live = |n| self.store().account(&account(n as u32)).unwrap().remove(0);
        let lives = (0..count).map(|n| live(n * step)).collect();
        let pairs = self.bare.pairs();
        (lives, (0..count).map(|n| pairs[n * step].clone()).collect())
    }
}

fn open(folder: &Path) -> TokenStore {
    let key = std::array::from_fn(|n| n as u8);
    TokenStore::builder(folder.join("tokens")).key(KeySource::bytes(key)).open().unwrap()
}

/// The least that a durable sign-out can cost: 64 bytes written to space that is there already, and
/// `fdatasync`.
pub struct Limit {
    file: File,
    offset: u64,
}

impl Limit {
    const SPACE: u64 = 1 << 20;

    pub fn new(path: &Path) -> Self {
        let mut file = File::options().create_new(true).read(true).write(true).open(path).unwrap();
        file.write_all(&vec![0xaa; Self::SPACE as usize]).unwrap();
        file.sync_all().unwrap();
        Self { file, offset: 0 }
    }

    pub fn append(&mut self) -> Duration {
        let start = Instant::now();
        self.file.seek(SeekFrom::Start(self.offset)).unwrap();
        self.file.write_all(&[0x55; 64]).unwrap();
        self.file.sync_data().unwrap();
        self.offset = (self.offset + 64) % Self::SPACE;
        start.elapsed()
    }
}

/// Where a bare database has an account's header and its tokens.
#[derive(Clone)]
pub struct Pair {
    pub header: Vec<u8>,
    pub tokens: Vec<Vec<u8>>,
}

/// sled with the store's own rows, but without the store: a copy of its engine's folder.
pub struct Bare {
    path: PathBuf,
    db: Option<sled::Db>,
    log: File,
    cipher: Aes256Gcm,
    sealed: Vec<u8>,
    buffer: Vec<u8>,
}

impl Bare {
    fn copy_of_store(store: &Path, path: PathBuf) -> Self {
        let is_engine = |path: &PathBuf| path.join("db").is_file();
        let engine = fs::read_dir(store)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(is_engine)
            .unwrap();
        copy(&engine, &path);
        let db = Some(bare(&path));
        let log = File::options().read(true).write(true).open(path.join("db")).unwrap();
        let cipher = Aes256Gcm::new(&[7; 32].into());
        let mut this = Self { path, db, log, cipher, sealed: Vec::new(), buffer: Vec::new() };
        let key = this.pairs()[0].tokens[0].clone();
        this.sealed = vec![b'x'; this.db().get(key).unwrap().unwrap().len() - 16];
        let buffer = InOutBuf::from(this.sealed.as_mut_slice());
        let tag = this
            .cipher
            .encrypt_inout_detached(&Nonce::from([1; 12]), &[2; AAD_BYTES], buffer)
            .unwrap();
        this.sealed.extend_from_slice(&tag);
        this.buffer = this.sealed.clone();
        this
    }

    pub fn db(&self) -> &sled::Db {
        self.db.as_ref().unwrap()
    }

    /// The same database, for another thread.
    pub fn share(&self) -> Self {
        let (sealed, buffer) = (self.sealed.clone(), self.buffer.clone());
        let log = self.log.try_clone().unwrap();
        Self {
            path: self.path.clone(),
            db: self.db.clone(),
            log,
            cipher: self.cipher.clone(),
            sealed,
            buffer,
        }
    }

    pub fn reopen(&mut self) -> Duration {
        self.db = None;
        let start = Instant::now();
        self.db = Some(bare(&self.path));
        start.elapsed()
    }

    /// Account by account: a header has the shortest key of its account's range, a token the
    /// longest.
    pub fn pairs(&self) -> Vec<Pair> {
        let mut pairs: Vec<Pair> = Vec::new();
        for key in self.db().scan_prefix(b"A").keys() {
            let key = key.unwrap().to_vec();
            match (key.len(), pairs.last_mut()) {
                (18, _) => pairs.push(Pair { header: key, tokens: Vec::new() }),
                (67, Some(pair)) => pair.tokens.push(key),
                _ => {}
            }
        }
        pairs
    }

    /// Two bare gets and one AES-256-GCM open of a token's size: the least that reading a sealed
    /// token under a guard can cost. With the cipher at hand, or made anew from its key, as it must
    /// be where every account has its own.
    pub fn get(&mut self, pair: &Pair, number: usize, is_cipher_ready: bool) {
        black_box(self.db().get(&pair.header).unwrap().unwrap());
        black_box(self.db().get(&pair.tokens[number]).unwrap().unwrap());
        self.buffer.copy_from_slice(&self.sealed);
        let (text, tag) = self.buffer.split_last_chunk_mut::<16>().unwrap();
        let made;
        let cipher = if is_cipher_ready {
            &self.cipher
        } else {
            made = Aes256Gcm::new(black_box(&[7; 32].into()));
            &made
        };
        cipher
            .decrypt_inout_detached(
                &Nonce::from([1; 12]),
                &[2; AAD_BYTES],
                text.into(),
                (&*tag).into(),
            )
            .unwrap();
        black_box(&self.buffer);
    }

    /// Puts new bytes in the place of tokens. Durable against power loss, or only against the death
    /// of the process.
    pub fn put(&self, pair: &Pair, tokens: &[usize], survives_power_loss: bool) -> Duration {
        let rows: Vec<_> = tokens
            .iter()
            .map(|number| (pair.tokens[*number].clone(), self.sealed.clone()))
            .collect();
        let start = Instant::now();
        let mut batch = sled::Batch::default();
        rows.into_iter().for_each(|(key, value)| batch.insert(key, value));
        self.db().apply_batch(batch).unwrap();
        self.db().flush().unwrap();
        if survives_power_loss {
            self.log.sync_all().unwrap();
        }
        start.elapsed()
    }
}

/// Runs both in turn, now one first and now the other, and prints their medians. The last column is
/// the ratio of the lower quartiles: where it is far from that of the medians, something else was
/// using the machine.
pub fn compare<S>(
    figure: &str,
    rounds: usize,
    at_most: Option<f64>,
    bench: &mut S,
    mut ours: impl FnMut(&mut S) -> Duration,
    mut yardstick: impl FnMut(&mut S) -> Duration,
) {
    let (mut our_times, mut yardstick_times) = (Vec::new(), Vec::new());
    // The first round warms both up.
    for round in 0..=rounds {
        let (our_time, yardstick_time) = if round % 2 == 0 {
            let first = ours(bench);
            (first, yardstick(bench))
        } else {
            let first = yardstick(bench);
            (ours(bench), first)
        };
        if round > 0 {
            our_times.push(our_time);
            yardstick_times.push(yardstick_time);
        }
    }
    our_times.sort_unstable();
    yardstick_times.sort_unstable();
    let at = |part: f64| (quantile(&our_times, part), quantile(&yardstick_times, part));
    let ((ours, yardstick), (our_best, yardstick_best)) = (at(0.5), at(0.25));
    let (ratio, best) = (ours / yardstick, our_best / yardstick_best);
    let at_most = at_most.map(|limit| format!("{limit:.1}")).unwrap_or_default();
    println!(
        "{figure:<62} {:>12} {:>12} {ratio:>7.2} {at_most:>7} {best:>9.2}",
        micros(ours),
        micros(yardstick)
    );
}

/// In seconds.
fn quantile(sorted: &[Duration], part: f64) -> f64 {
    sorted[(sorted.len() as f64 * part) as usize].as_secs_f64()
}

pub fn micros(seconds: f64) -> String {
    format!("{:.2} us", seconds * 1e6)
}

/// Opened as the store opens its engine.
fn bare(path: &Path) -> sled::Db {
    sled::Config::new().path(path).cache_capacity(64 << 20).flush_every_ms(None).open().unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).and_then(|_| File::open(&to)?.sync_all()).unwrap();
        }
    }
}
