//! Everything at once on a real folder, for some seconds: sign-ins, puts, acquires, reads, web
//! sessions, sign-outs in every scope, sweeps, compactions, each thread by a seed. Whoever was
//! signed out with `Ok` is never served a token from before, by this process or the next.
//!
//! `OUBLIETTE_STRESS_SECONDS=600 cargo test --release --all-features --test disk stress:: -- --nocapture`;
//! `OUBLIETTE_STRESS_SEED` for a printed seed.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use ::tower_sessions::session::{Id, Record};
use ::tower_sessions::{Session, SessionStore};
use oubliette::*;
use oubliette_testkit::accounts::{account, client, query, scopes, session, subject, tenant};
use oubliette_testkit::chance::Chance;
use oubliette_tower_sessions::{BINDING, OublietteSessions, bind};
use tokio::runtime::Runtime;

const ACCOUNTS: u32 = 12;
const TENANTS: u32 = 6;
const THREADS: u64 = 4;

/// How often each thing was done.
type Counts = BTreeMap<&'static str, u64>;

/// A common order of events, and which sign-outs have returned.
struct Stress {
    store: TokenStore,
    ticks: AtomicU64,
    /// By account: the tick at which the newest sign-out that covers it *began*, of those that have
    /// returned.
    over: Mutex<HashMap<u32, u64>>,
    handles: Mutex<Vec<Handle>>,
    web: OublietteSessions,
    /// Web sessions as some request has loaded them, and whose they are.
    records: Mutex<Vec<(Record, u32)>>,
    stop: AtomicBool,
}

#[derive(Clone)]
struct Handle {
    live: LiveSignIn,
    number: u32,
    /// A tick from after its sign-in.
    returned: u64,
}

impl Stress {
    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    /// Up to which tick everything of the account is certainly over.
    fn over(&self, number: u32) -> u64 {
        self.over.lock().unwrap().get(&number).copied().unwrap_or(0)
    }

    fn handle(&self, chance: &mut Chance) -> Option<Handle> {
        let handles = self.handles.lock().unwrap();
        (!handles.is_empty()).then(|| handles[chance.below(handles.len() as u64) as usize].clone())
    }

    /// One chance thing; what it was.
    fn act(&self, chance: &mut Chance, runtime: &Runtime) -> &'static str {
        match chance.below(100) {
            0..15 => self.sign_in(chance),
            15..30 => self.with_handle(chance, Self::put),
            30..45 => self.with_handle(chance, Self::acquire),
            45..65 => self.with_handle(chance, Self::read),
            65..70 => {
                self.with_handle(chance, |me, handle, _| runtime.block_on(me.web_create(handle)))
            }
            70..79 => runtime.block_on(self.web_use(chance)),
            79..84 => self.list(chance),
            84..89 => self.sign_out(chance),
            89..98 => {
                self.store.sweep(1 + chance.below(20) as usize).unwrap();
                "sweep"
            }
            98 => {
                self.store.wait_reclaimed().unwrap();
                "wait_reclaimed"
            }
            _ => {
                self.store.compact().unwrap();
                "compact"
            }
        }
    }

    fn sign_in(&self, chance: &mut Chance) -> &'static str {
        let number = chance.below(ACCOUNTS.into()) as u32;
        let over = self.over(number);
        match self.store.sign_in(request(number)) {
            Ok(live) => {
                let handle = Handle { live, number, returned: self.tick() };
                assert!(handle.returned > over);
                self.put(&handle, chance);
                let mut handles = self.handles.lock().unwrap();
                handles.push(handle);
                if handles.len() > 40 {
                    handles.remove(0);
                }
                "sign_in"
            }
            // Sign-outs came faster than they could be synced.
            Err(Error::Overtaken { .. }) => "sign_in refused",
            Err(other) => panic!("{other:?}"),
        }
    }

    fn with_handle(
        &self,
        chance: &mut Chance,
        act: impl Fn(&Self, &Handle, &mut Chance) -> &'static str,
    ) -> &'static str {
        match self.handle(chance) {
            Some(handle) => act(self, &handle, chance),
            None => "nothing",
        }
    }

    /// Tokens say whose they are, and a tick from after their sign-in: who reads one knows how old
    /// its sign-in is at most.
    fn put(&self, handle: &Handle, chance: &mut Chance) -> &'static str {
        let over = self.over(handle.number);
        let secret = format!("{}:{}", handle.number, handle.returned);
        let mut tokens: Vec<Token> = vec![access("a", &secret).into()];
        if chance.below(2) == 0 {
            tokens.push(RefreshToken::new(client(), secret.clone()).into());
        }
        if chance.below(4) == 0 {
            tokens.push(access("large", &format!("{secret}:{}", "x".repeat(9000))).into());
        }
        match handle.live.put(tokens) {
            Ok(_) => {
                assert!(handle.returned > over, "stored after the sign-out");
                "put"
            }
            Err(Error::SignedOut) => "put refused",
            Err(other) => panic!("{other:?}"),
        }
    }

    /// The provider gives what says the same as a put.
    fn acquire(&self, handle: &Handle, chance: &mut Chance) -> &'static str {
        let over = self.over(handle.number);
        let secret = format!("{}:{}", handle.number, handle.returned);
        let mut request = AccessRequest::from(&query("a"));
        if chance.below(2) == 0 {
            request = request.force_refresh();
        }
        let acquired = Acquirer::new().acquire(&handle.live, request, |grant| {
            let access = grant.access_token(None, secret.clone(), Duration::from_secs(3600));
            Ok(Tokens::from([access.into(), grant.next_refresh_token(secret).into()]))
        });
        match acquired {
            Ok(token) => {
                check(token.secret.expose(), handle.number, over);
                "acquire"
            }
            Err(AcquireError::SignedOut) => "acquire refused",
            // It has not got a refresh token.
            Err(AcquireError::InteractionRequired { .. }) => "acquire in vain",
            Err(other) => panic!("{other:?}"),
        }
    }

    /// As at a login.
    async fn web_create(&self, handle: &Handle) -> &'static str {
        let session = Session::new(None, Arc::new(self.web.clone()), None);
        bind(&session, &handle.live).await.unwrap();
        let secret = format!("{}:{}", handle.number, handle.returned);
        let data = [
            ("secret", secret.into()),
            (BINDING, session.get_value(BINDING).await.unwrap().unwrap()),
        ];
        let data = data.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let expiry_date = (SystemTime::now() + Duration::from_secs(3600)).into();
        let mut record = Record { id: Id::default(), data, expiry_date };
        self.web.create(&mut record).await.unwrap();
        let mut records = self.records.lock().unwrap();
        records.push((record, handle.number));
        if records.len() > 40 {
            records.remove(0);
        }
        "web create"
    }

    /// As a request does: loads one, saves what some request has loaded long ago, changes its id,
    /// or deletes it.
    async fn web_use(&self, chance: &mut Chance) -> &'static str {
        let picked = {
            let records = self.records.lock().unwrap();
            (!records.is_empty())
                .then(|| records[chance.below(records.len() as u64) as usize].clone())
        };
        let Some((mut record, number)) = picked else { return "nothing" };
        match chance.below(8) {
            0..4 => {
                let over = self.over(number);
                let Some(record) = self.web.load(&record.id).await.unwrap() else {
                    return "web load of nothing";
                };
                check(record.data["secret"].as_str().unwrap(), number, over);
                "web load"
            }
            4..6 => {
                self.web.save(&record).await.unwrap();
                "web save"
            }
            6 => {
                self.web.delete(&record.id).await.unwrap();
                self.web.create(&mut record).await.unwrap();
                self.records.lock().unwrap().push((record, number));
                "web cycle"
            }
            _ => {
                self.web.delete(&record.id).await.unwrap();
                "web delete"
            }
        }
    }

    fn read(&self, handle: &Handle, _: &mut Chance) -> &'static str {
        let over = self.over(handle.number);
        let secrets = secrets(&handle.live);
        secrets.iter().for_each(|secret| check(secret, handle.number, over));
        if secrets.is_empty() { "read nothing" } else { "read" }
    }

    /// As an operator or another request finds an account, by any of its names.
    fn list(&self, chance: &mut Chance) -> &'static str {
        let number = chance.below(ACCOUNTS.into()) as u32;
        let over = self.over(number);
        let lives = match chance.below(3) {
            0 => self.store.account(&account(number)).unwrap(),
            1 => all(self.store.accounts_of_session(&session(number)).unwrap()),
            _ => all(self.store.accounts_of_subject(&subject(number)).unwrap()),
        };
        lives.iter().flat_map(secrets).for_each(|secret| check(&secret, number, over));
        "list"
    }

    fn sign_out(&self, chance: &mut Chance) -> &'static str {
        let number = chance.below(ACCOUNTS.into()) as u32;
        let of_tenant = (0..ACCOUNTS).filter(|other| other % TENANTS == number % TENANTS).collect();
        let (request, covered, what) = match chance.below(21) {
            0..7 => (SignOut::account(&account(number)), vec![number], "sign_out account"),
            7..11 => (SignOut::session(&session(number)), vec![number], "sign_out session"),
            11..15 => (SignOut::subject(&subject(number)), vec![number], "sign_out subject"),
            15..18 => (
                SignOut::account(&account(number)).taking_refresh_tokens(),
                vec![number],
                "sign_out taking",
            ),
            18..20 => (SignOut::tenant(&tenant(number % TENANTS)), of_tenant, "sign_out tenant"),
            _ => (SignOut::everybody(), (0..ACCOUNTS).collect(), "sign_out everybody"),
        };
        let began = self.tick();
        let receipt = self.store.sign_out(request).unwrap();
        assert!(
            receipt
                .refresh_tokens
                .iter()
                .all(|token| token.secret.expose().starts_with(&format!("{number}:")))
        );
        let mut over = self.over.lock().unwrap();
        for number in covered {
            let newest = over.entry(number).or_default();
            *newest = began.max(*newest);
        }
        what
    }
}

fn request(number: u32) -> SignIn {
    SignIn::new(account(number), tenant(number % TENANTS))
        .session(session(number))
        .subject(subject(number))
}

fn access(scope: &str, secret: &str) -> AccessToken {
    AccessToken::new(client(), scopes(scope), secret, SystemTime::now() + Duration::from_secs(3600))
}

fn all(accounts: Vec<Account>) -> Vec<LiveSignIn> {
    accounts.into_iter().flat_map(|account| account.sign_ins).collect()
}

/// All that can be read of a sign-in.
fn secrets(live: &LiveSignIn) -> Vec<String> {
    let access = ["a", "large"]
        .map(|scope| live.access_token(&query(scope)).unwrap().map(|token| token.secret));
    let refresh = live.refresh_token(&client()).unwrap().map(|token| token.secret);
    access.into_iter().chain([refresh]).flatten().map(|secret| secret.expose().to_owned()).collect()
}

fn check(secret: &str, number: u32, over: u64) {
    let mut parts = secret.split(':');
    assert_eq!(parts.next(), Some(&*number.to_string()), "somebody else's token");
    let returned: u64 = parts.next().unwrap().parse().unwrap();
    assert!(returned > over, "a token of {returned}, served after a sign-out of {over} returned");
}

#[test]
fn nobody_who_was_signed_out_is_served() {
    let number =
        |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let seconds = number("OUBLIETTE_STRESS_SECONDS").unwrap_or(3);
    let seed = number("OUBLIETTE_STRESS_SEED")
        .unwrap_or_else(|| SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64);
    println!("OUBLIETTE_STRESS_SEED={seed} OUBLIETTE_STRESS_SECONDS={seconds}");

    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let open = || {
        TokenStore::builder(folder.path().join("tokens"))
            .key(KeySource::bytes([7; 32]))
            .open()
            .unwrap()
    };
    let store = open();
    let world = Stress {
        web: OublietteSessions::new(store.clone()),
        records: Mutex::default(),
        store,
        ticks: AtomicU64::new(1),
        over: Mutex::default(),
        handles: Mutex::default(),
        stop: AtomicBool::new(false),
    };
    let counts = std::thread::scope(|scope| {
        let world = &world;
        let work = |seed: u64| {
            let mut chance = Chance(seed);
            let mut counts = Counts::new();
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            while !world.stop.load(Ordering::Relaxed) {
                *counts.entry(world.act(&mut chance, &runtime)).or_default() += 1;
            }
            counts
        };
        // A thread that panics ends the others.
        let work = move |seed| {
            struct Stop<'a>(&'a AtomicBool);
            impl Drop for Stop<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
            let _stop = Stop(&world.stop);
            work(seed)
        };
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || work(seed ^ (thread << 56)))).collect();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(seconds) && !world.stop.load(Ordering::Relaxed)
        {
            std::thread::park_timeout(Duration::from_millis(50));
        }
        world.stop.store(true, Ordering::Relaxed);
        let mut all = Counts::new();
        for counts in threads.into_iter().map(|thread| thread.join().unwrap()) {
            counts.into_iter().for_each(|(what, count)| *all.entry(what).or_default() += count);
        }
        all
    });
    println!("{counts:?}");
    for handle in world.handles.lock().unwrap().iter() {
        world.read(handle, &mut Chance(seed));
    }
    // The next process.
    world.handles.lock().unwrap().clear();
    let records = world.records.into_inner().unwrap();
    drop(world.web);
    let over = world.over.into_inner().unwrap();
    world.store.close().unwrap();
    let store = open();
    for number in 0..ACCOUNTS {
        let lives = store.account(&account(number)).unwrap();
        lives
            .iter()
            .flat_map(secrets)
            .for_each(|secret| check(&secret, number, over.get(&number).copied().unwrap_or(0)));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let web = OublietteSessions::new(store.clone());
    for (record, number) in records {
        if let Some(record) = runtime.block_on(web.load(&record.id)).unwrap() {
            check(
                record.data["secret"].as_str().unwrap(),
                number,
                over.get(&number).copied().unwrap_or(0),
            );
        }
    }
    assert_eq!(store.verify().unwrap().tampered, 0);
    store.close().unwrap();
}
