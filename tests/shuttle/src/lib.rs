//! The store on a pretended machine, under a model checker that decides at every lock, wait and atomic who runs next. README.md says how to
//! run it, and what a failure looks like.
//!
//! Schedules are of two kinds: wholly random ones, and such as find what needs few but particular changes of thread (PCT: Burckhardt et al.,
//! "A randomized scheduler with probabilistic guarantees of finding bugs", ASPLOS 2010).
#![cfg(all(test, oubliette_shuttle))]

mod acquire;
mod closing;
mod moving;
mod reclaim;
mod sign_in;
mod sign_out;
mod web;

use std::time::{Duration, SystemTime};

use oubliette::*;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

pub(crate) use std::sync::Arc;
// Flags that only the assertions look at: no place for the checker to change threads.
pub(crate) use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

pub(crate) use shuttle::thread::spawn;

/// Runs a model under so many schedules of each kind, or as many as `OUBLIETTE_SHUTTLE_ROUNDS` says.
pub(crate) fn check(rounds: usize, model: impl Fn() + Send + Sync + 'static) {
    let rounds = std::env::var("OUBLIETTE_SHUTTLE_ROUNDS").map_or(rounds, |rounds| rounds.parse().expect("a number"));
    let seed = std::env::var("OUBLIETTE_SHUTTLE_SEED").map_or(0x5eed, |seed| seed.parse().expect("a number"));
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    let model = Arc::new(model);
    let other = model.clone();
    Runner::new(RandomScheduler::new_from_seed(seed, rounds), config.clone()).run(move || model());
    Runner::new(PctScheduler::new_from_seed(seed, 3, rounds), config).run(move || other());
}

pub(crate) fn open(machine: &Machine) -> TokenStore {
    machine.builder().open().expect("opens")
}

/// The store as the next process finds it after a power loss. What the old one has in memory is forgotten.
pub(crate) fn reopen_after_power_cut(machine: &Machine, store: TokenStore) -> TokenStore {
    machine.cut_power(1);
    drop(store);
    open(machine)
}

pub(crate) fn account(number: u32) -> AccountId {
    AccountId::new("login.example.com", format!("user-{number}")).expect("an id")
}

pub(crate) fn tenant(number: u32) -> TenantId {
    TenantId::new(format!("tenant-{number}")).expect("an id")
}

pub(crate) fn session(number: u32) -> SessionId {
    SessionId::new("https://login.example.com", format!("session-{number}")).expect("an id")
}

pub(crate) fn request(number: u32) -> SignIn {
    SignIn::new(account(number), tenant(number)).session(session(number))
}

pub(crate) fn client() -> ClientId {
    ClientId::new("client").expect("an id")
}

pub(crate) fn query() -> AccessQuery {
    AccessQuery::new(client()).scopes(Scopes::parse("a").expect("scopes"))
}

/// An access and a refresh token that say whose they are.
pub(crate) fn tokens(secret: &str) -> Vec<Token> {
    let in_an_hour = SystemTime::now() + Duration::from_secs(3600);
    let access = AccessToken::new(client(), Scopes::parse("a").expect("scopes"), secret, in_an_hour);
    vec![access.into(), RefreshToken::new(client(), secret).into()]
}

/// What can be read of a sign-in: both tokens, of one put, or none of them.
pub(crate) fn read(live: &LiveSignIn) -> Option<String> {
    live.access_token(&query()).expect("reads").map(|token| token.secret.expose().to_owned())
}

/// Whatever anybody can still find of an account.
pub(crate) fn readable(store: &TokenStore, number: u32) -> Vec<String> {
    store.account(&account(number)).expect("reads").iter().filter_map(read).collect()
}
