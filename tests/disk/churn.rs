//! An hour of a busy app in fast forward: the disk follows what is live.

use std::time::Duration;

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::disk::*;

const ACCOUNTS: u32 = 1000;

/// Ten tokens of 1.6 kB, and a refresh token.
fn put(live: &LiveSignIn, round: u32, expires: std::time::SystemTime) {
    let tokens = (0..10).map(|number| {
        let secret = format!("at-{round}-{number}-{}", "x".repeat(1600));
        AccessToken::new(client(), scopes(&format!("scope{number}")), secret, expires).into()
    });
    live.put(tokens.chain([refresh(&format!("rt-{round}")).into()]).collect::<Vec<Token>>())
        .unwrap();
}

/// Every minute a fifth of the users get all their tokens anew, some sign out, some sign in, and
/// the sweep goes on.
#[test]
fn the_disk_follows_the_live_data() {
    let home = Home::new();
    let clock = ManualClock::new(now());
    let store = home
        .builder()
        .clock(clock.clone())
        .refresh_token_durability(Durability::ProcessCrash)
        .open()
        .unwrap();
    let sign_in = |number: u32, round| {
        let live = store.sign_in(SignIn::new(account(number), tenant(number % 7))).unwrap();
        put(&live, round, now() + Duration::from_secs(u64::from(round) * 60 + 600));
        live
    };
    let mut lives: Vec<LiveSignIn> = (0..ACCOUNTS).map(|number| sign_in(number, 0)).collect();
    let (mut compactions, mut highest) = (0, 0);
    for minute in 1..=60u32 {
        clock.advance(Duration::from_secs(60));
        for number in (0..ACCOUNTS).filter(|number| number % 5 == minute % 5) {
            let live = &mut lives[number as usize];
            if (number / 5 + minute) % 10 == 0 {
                store.sign_out(SignOut::account(&account(number))).unwrap();
                *live = sign_in(number, minute);
            } else {
                put(live, minute, now() + Duration::from_secs(u64::from(minute) * 60 + 600));
            }
        }
        // A budget that comes round every four minutes.
        compactions += u32::from(store.sweep(ACCOUNTS as usize / 4 + 10).unwrap().compacted);
        highest = highest.max(store.stats().unwrap().engine_bytes);
    }
    store.wait_reclaimed().unwrap();
    let live = store.verify().unwrap();
    assert!(live.is_sound() && live.accounts == u64::from(ACCOUNTS), "{live:?}");
    let after = store.stats().unwrap().engine_bytes;
    // What is live, measured by a copy of nothing else.
    let live = store.backup(home.beside("backup")).unwrap().live_bytes;
    let copied: u64 = contents(&home.beside("backup"))
        .into_values()
        .flatten()
        .map(|file| file.len() as u64)
        .sum();
    let ratio = |bytes: u64| bytes as f64 / live as f64;
    say(&format!(
        "live {live}, after an hour {after} ({:.2}), at most {highest} ({:.2}), {compactions} compactions, a fresh copy {copied} ({:.2})",
        ratio(after),
        ratio(highest),
        ratio(copied)
    ));
    assert!(compactions > 0);
    assert!(ratio(after) <= 2.5, "{:.2}", ratio(after));
    // And when everybody has gone, so has what they took.
    store.sign_out(SignOut::everybody()).unwrap();
    store.wait_reclaimed().unwrap();
    while !store.sweep(1000).unwrap().finished {}
    assert!(store.stats().unwrap().engine_bytes < 9 << 20);
    for live in lives {
        assert!(!live.is_live().unwrap());
    }
}
