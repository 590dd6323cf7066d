//! Clocks that are wrong, in either direction, and are corrected: no token lasts longer, nobody is
//! deleted for good, and no sign-out spares anybody because of it.

use std::time::Duration;

use oubliette::openid::{Provider, ProviderIdTokenClaims};
use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::fixture::{Fixture, open_at};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A store, and whoever sets its clock.
struct ClockFixture {
    fixture: Fixture,
}

impl std::ops::Deref for ClockFixture {
    type Target = Fixture;

    fn deref(&self) -> &Fixture {
        &self.fixture
    }
}

impl ClockFixture {
    fn new() -> Self {
        Self { fixture: Fixture::new() }
    }

    /// Somebody sets the clock.
    fn ahead(&self, by: Duration) {
        self.clock.set(self.clock.now() + by);
    }

    fn back(&self, by: Duration) {
        self.clock.set(self.clock.now() - by);
    }

    fn reopen(&mut self) {
        self.store.clone().close().unwrap();
        self.fixture.store = open_at(&self.machine, &self.clock);
    }

    /// A token that a provider says lasts for so long, as a response says it.
    fn token(&self, scope: &str, lasts: Duration) -> AccessToken {
        AccessToken {
            lifetime: Some(lasts),
            ..AccessToken::new(client(), scopes(scope), scope, self.clock.now() + lasts)
        }
    }

    fn live(&self) -> LiveSignIn {
        self.store.account(&account(1)).unwrap().remove(0)
    }

    fn has(&self, scope: &str) -> bool {
        self.live().access_token(&query(scope)).unwrap().is_some()
    }

    fn sweep(&self) -> SweepReport {
        let swept = self.store.sweep(1000).unwrap();
        assert!(swept.finished);
        swept
    }

    fn is_held(&self) -> bool {
        self.store.stats().unwrap().clock_ahead_by.is_some()
    }

    /// Somebody signs in by a verified ID token of this provider's clock.
    fn login(&self, number: u32, iat: std::time::SystemTime) -> Result<LiveSignIn> {
        let iat = iat.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let json = serde_json::json!({"iss": "https://idp.example.com", "sub": format!("user-{number}"), "aud": "a", "exp": 4e9, "iat": iat});
        let claims: ProviderIdTokenClaims = serde_json::from_value(json).unwrap();
        self.store.sign_in(
            Provider::generic("https://idp.example.com").unwrap().sign_in(&claims).unwrap(),
        )
    }
}

#[test]
fn a_jump_ahead_and_back_adds_no_life_to_a_token() {
    let mut world = ClockFixture::new();
    world.store.sign_in(sign_in(1)).unwrap();
    world.ahead(DAY);
    world.live().put([world.token("a", HOUR).into(), refresh("rt").into()]).unwrap();
    let by_hand = AccessToken::new(client(), scopes("b"), "b", world.clock.now() + HOUR);
    world.live().put(by_hand).unwrap();
    world.back(DAY);
    world.clock.advance(HOUR / 2);
    assert!(world.has("a") && world.has("b"), "half an hour later it is good");
    let ends = world.live().access_token(&query("a")).unwrap().unwrap().expires_at.unwrap();
    assert_eq!(ends, now() + HOUR, "and says when it ends, by the clock as it is now");
    world.clock.advance(HOUR / 2);
    assert!(!world.has("a") && !world.has("b"), "an hour later it is not");
    for _ in 0..2 {
        world.reopen();
        assert!(!world.has("a") && !world.has("b"), "nor after a restart");
        world.clock.advance(HOUR);
    }
    assert_eq!(world.live().refresh_token(&client()).unwrap(), Some(refresh("rt")));
}

#[test]
fn a_token_that_is_stored_when_the_clock_is_right_again_is_readable_at_once() {
    let mut world = ClockFixture::new();
    world.store.sign_in(sign_in(1)).unwrap();
    world.ahead(DAY);
    world.live().put(world.token("a", HOUR)).unwrap();
    world.back(DAY);
    world.live().put(world.token("b", HOUR)).unwrap();
    assert!(world.has("b"), "without a restart");
    world.reopen();
    assert!(world.has("b") && !world.has("a"), "and after one");
    // Set back by hand: what was stored before is no older for it.
    world.back(DAY);
    world.live().put(world.token("c", HOUR)).unwrap();
    assert!(world.has("c"));
    world.clock.advance(HOUR);
    assert!(!world.has("c"));
}

/// A refresh that is asked for by a clock that is ahead, and comes when it is right.
#[test]
fn a_refresh_across_a_jump_is_believed_for_as_long_as_its_response_said() {
    let world = ClockFixture::new();
    world.store.sign_in(sign_in(1)).unwrap().put(refresh("rt")).unwrap();
    world.ahead(DAY);
    let live = world.live();
    let token = Acquirer::new().acquire(&live, query("a"), |grant| {
        world.back(DAY);
        Ok(grant.access_token(None, "at", HOUR).into())
    });
    assert!(token.is_ok());
    assert!(world.has("a"));
    world.clock.advance(HOUR);
    assert!(!world.has("a"), "not for a day more");
}

#[test]
fn a_token_of_five_minutes_can_be_read() {
    let world = ClockFixture::new();
    world
        .store
        .sign_in(sign_in(1))
        .unwrap()
        .put(world.token("a", Duration::from_secs(300)))
        .unwrap();
    assert!(world.has("a"));
    world.clock.advance(Duration::from_secs(269));
    assert!(world.has("a"));
    world.clock.advance(Duration::from_secs(1));
    assert!(!world.has("a"), "a tenth of its life before its end");
    // A long one as ever: five minutes before.
    world.live().put(world.token("b", HOUR)).unwrap();
    world.clock.advance(HOUR - Duration::from_secs(301));
    assert!(world.has("b"));
    world.clock.advance(Duration::from_secs(1));
    assert!(!world.has("b"));
    // What was set, counts.
    let machine = Machine::new();
    let store =
        machine.builder().clock(world.clock.clone()).skew(Duration::from_secs(300)).open().unwrap();
    let live = store.sign_in(sign_in(1)).unwrap();
    live.put(world.token("a", Duration::from_secs(300))).unwrap();
    assert!(live.access_token(&query("a")).unwrap().is_none());
}

#[test]
fn a_token_without_an_end_ends_with_its_sign_in() {
    let mut world = ClockFixture::new();
    let endless = AccessToken::new(client(), scopes("a"), "a", None);
    world.store.sign_in(sign_in(1)).unwrap().put(endless.clone()).unwrap();
    world.clock.advance(80 * DAY);
    assert_eq!(world.live().access_token(&query("a")).unwrap(), Some(endless.clone()));
    world.store.trust_clock().unwrap();
    assert_eq!(world.sweep().expired_tokens, 0);
    world.reopen();
    assert_eq!(world.live().access_token(&query("a")).unwrap(), Some(endless));
    let live = world.live();
    world.store.sign_out(SignOut::account(&account(1))).unwrap();
    assert_eq!(live.access_token(&query("a")).unwrap(), None);
}

/// Without a provider's time it carries the future: a logout token's cutoff must not spare it for a
/// day.
#[test]
fn a_sign_in_by_a_clock_that_was_ahead_is_older_than_a_later_sign_outs_cutoff() {
    let mut world = ClockFixture::new();
    world.ahead(DAY);
    world.store.sign_in(sign_in(1).session(session(1)).subject(subject(1))).unwrap();
    world.back(DAY);
    world.clock.advance(HOUR);
    // Of a logout token that came late, so that its cutoff lies before now.
    let cutoff = world.clock.now() - Duration::from_secs(300);
    let told = || SignOut::subject(&subject(1)).signed_in_before(cutoff);
    let ended = world.store.sign_out(told().counted()).unwrap().counted.unwrap();
    assert_eq!((ended.accounts, ended.sign_ins), (1, 1));
    assert!(world.store.account(&account(1)).unwrap().is_empty());
    world.reopen();
    assert!(world.store.account(&account(1)).unwrap().is_empty());
    // One from between cutoff and sign-out is newer than the signal.
    world.store.sign_in(sign_in(1).subject(subject(1))).unwrap();
    world.clock.advance(Duration::from_secs(60));
    world.store.sign_out(told()).unwrap();
    assert_eq!(world.store.account(&account(1)).unwrap().len(), 1);
}

#[test]
fn a_sweep_by_a_clock_that_is_ahead_deletes_nobody() {
    let mut world = ClockFixture::new();
    for number in 1..=3 {
        let live = world.store.sign_in(sign_in(number)).unwrap();
        let lasting = RefreshToken { expires_at: Some(now() + 30 * DAY), ..refresh("rt") };
        live.put([world.token("a", HOUR).into(), lasting.into()]).unwrap();
    }
    world.store.sign_out(SignOut::account(&account(3))).unwrap();
    world.store.wait_reclaimed().unwrap();
    world.ahead(100 * DAY);
    assert!(world.store.account(&account(1)).unwrap().is_empty(), "too old, by this clock");
    let held = world.store.stats().unwrap().clock_ahead_by.unwrap();
    assert_eq!(held, 100 * DAY);
    for _ in 0..3 {
        let swept = world.sweep();
        assert_eq!((swept.dead_rows, swept.expired_tokens), (0, 0));
        world.store.compact().unwrap();
        // Somebody signs in meanwhile: beside the others.
        world.store.sign_in(sign_in(1)).unwrap();
    }
    // Another process, by the same clock, once: it has nobody else's word either.
    world.store.clone().close().unwrap();
    world.back(100 * DAY);
    world.fixture.store = world.machine.builder().clock(world.clock.clone()).open().unwrap();
    assert!(!world.is_held());
    let live: Vec<usize> =
        (1..=3).map(|number| world.store.account(&account(number)).unwrap().len()).collect();
    assert_eq!(live, [4, 1, 0], "all are there again, but who has signed out");
    assert!(
        world.store.account(&account(2)).unwrap()[0].refresh_token(&client()).unwrap().is_some()
    );
    assert!(world.store.last_sign_out(&SignOutScope::Account(account(3))).unwrap().exact.is_some());
}

/// Time that has really gone by needs nobody's word, in a process that was there all along.
#[test]
fn what_is_too_old_goes_as_time_goes_by() {
    let world = ClockFixture::new();
    world.store.sign_in(sign_in(1)).unwrap().put(world.token("a", HOUR)).unwrap();
    world.clock.advance(2 * HOUR);
    assert_eq!(world.sweep().expired_tokens, 1);
    world.clock.advance(91 * DAY);
    assert!(!world.is_held() && world.sweep().dead_rows > 0);
}

#[test]
fn what_ends_a_hold_and_what_does_not() {
    let begin = || {
        let world = ClockFixture::new();
        world.store.sign_in(sign_in(1)).unwrap();
        world.ahead(100 * DAY);
        assert!(world.is_held());
        world
    };
    let ended = |world: &ClockFixture| !world.is_held() && world.sweep().dead_rows > 0;

    // The same clock, however often, in the same process; and a login whose ID token nobody has
    // verified.
    let world = begin();
    for _ in 0..5 {
        world.clock.advance(HOUR);
        world.store.sign_in(sign_in(2).signed_in_at(world.clock.now())).unwrap();
        assert!(world.is_held());
    }
    // A verified ID token of that time; not one of before, nor one that is far ahead.
    assert!(world.login(3, now()).is_err(), "too old, by this clock");
    assert!(world.is_held());
    world.login(3, world.clock.now() + 300 * DAY).unwrap();
    assert!(world.is_held(), "a provider's clock that is ahead says nothing");
    world.login(3, world.clock.now()).unwrap();
    assert!(ended(&world));

    // An operator.
    let world = begin();
    world.store.trust_clock().unwrap();
    assert!(ended(&world));

    // A restart alone: who looks after the app may only wonder what is wrong with it.
    let mut world = begin();
    world.reopen();
    assert!(world.is_held());
    world.clock.advance(HOUR - Duration::from_secs(1));
    assert!(world.is_held() && world.sweep().dead_rows == 0);
    // Two openings that have shown no less, for an hour.
    world.clock.advance(Duration::from_secs(1));
    assert!(ended(&world));
}

#[test]
fn two_openings_that_agree_end_a_hold() {
    let mut world = ClockFixture::new();
    world.store.sign_in(sign_in(1)).unwrap();
    // The process was off for long, and comes back: nothing tells that from a jump.
    world.store.clone().close().unwrap();
    world.clock.set(now() + 100 * DAY);
    world.fixture.store = world.machine.builder().clock(world.clock.clone()).open().unwrap();
    assert!(world.is_held());
    assert_eq!(world.sweep().dead_rows, 0);
    world.clock.advance(HOUR);
    assert!(world.is_held(), "nobody else has shown that time");
    world.reopen();
    world.clock.advance(HOUR);
    assert!(!world.is_held(), "the opening before showed about the same");
    assert!(world.sweep().dead_rows > 0);
}

#[test]
fn an_opening_that_shows_less_speaks_against_the_one_before() {
    let mut world = ClockFixture::new();
    world.store.sign_in(sign_in(1)).unwrap();
    world.store.clone().close().unwrap();
    world.ahead(100 * DAY);
    world.fixture.store = world.machine.builder().clock(world.clock.clone()).open().unwrap();
    world.store.clone().close().unwrap();
    // The clock is corrected, and jumps once more.
    world.back(100 * DAY);
    world.fixture.store = world.machine.builder().clock(world.clock.clone()).open().unwrap();
    world.store.clone().close().unwrap();
    world.ahead(100 * DAY);
    world.fixture.store = world.machine.builder().clock(world.clock.clone()).open().unwrap();
    world.clock.advance(HOUR);
    assert!(world.is_held(), "the reading was contradicted");
    assert_eq!(world.sweep().dead_rows, 0);
}

#[test]
fn how_far_a_clock_may_jump_can_be_set() {
    for (bound, is_held) in [(HOUR, true), (3 * HOUR, false)] {
        let (machine, clock) = (Machine::new(), ManualClock::new(now()));
        let store =
            machine.builder().clock(clock.clone()).longest_clock_jump(bound).open().unwrap();
        clock.set(now() + 2 * HOUR);
        assert_eq!(store.stats().unwrap().clock_ahead_by.is_some(), is_held);
    }
}

/// Many small jumps do not add up to a large one that nobody would have believed.
#[test]
fn a_clock_that_creeps_ahead_is_not_followed() {
    let world = ClockFixture::new();
    world.store.sign_in(sign_in(1)).unwrap();
    for _ in 0..3000 {
        world.ahead(Duration::from_secs(3000));
        world.store.sweep(1000).unwrap();
    }
    assert!(world.is_held());
    world.clock.set(now() + HOUR / 60);
    assert_eq!(world.store.account(&account(1)).unwrap().len(), 1);
}
