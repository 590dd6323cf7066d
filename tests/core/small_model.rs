//! The rule, exhaustively in small bounds, on the real store: every history of a few verbs, with
//! crashes, and with engine rows lost, older or mixed, against the rule as it is written, kept in a
//! plain list.
//!
//! Bounds: two accounts that are signed in and have tokens; then every history of `DEPTH` of all
//! verbs (sign-ins, puts, sign-outs in every scope, reclaim, sweep, crashes of process and machine,
//! lost, older and mixed rows), and every history of `DEPTH + 2` of the most dangerous ones; and
//! every history of `DEPTH + 1` beside a clock that jumps a hundred days ahead, and back.
//! (`OUBLIETTE_MODEL_DEPTH` sets another depth.)

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::fixture::{is_on_sqlite, is_shared};

const DEPTH: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verb {
    /// Account 1 or 2 signs in; account 1 in session 1, account 2 in tenant 1 too.
    SignIn(u32),
    /// The newest (0) or the one before it (1) of all handles ever made stores tokens.
    Put(usize),
    SignOutAccount,
    SignOutSession,
    SignOutTenant,
    SignOutEverybody,
    /// The newest of all sign-ins, alone.
    SignOutOne,
    /// Only who signed in at the first instant.
    SignOutBefore,
    /// Dies after the record was written, before it was synced.
    SignOutTorn,
    Reclaim,
    Sweep,
    /// The process dies, or the machine.
    Kill,
    CutPower,
    /// The engine's rows as they were when the history began its second half, or all of them gone.
    RestoreRows,
    LoseRows,
    /// Old and new rows mixed: every second row is the old one.
    MixRows,
    /// Somebody sets the clock: a hundred days ahead, where every sign-in from before is too old,
    /// or right.
    ClockAhead,
    ClockRight,
}

/// How far ahead.
const AHEAD: std::time::Duration = std::time::Duration::from_secs(100 * 24 * 3600);

const VERBS: [Verb; 18] = [
    Verb::SignIn(1),
    Verb::SignIn(2),
    Verb::Put(0),
    Verb::Put(1),
    Verb::SignOutAccount,
    Verb::SignOutSession,
    Verb::SignOutTenant,
    Verb::SignOutEverybody,
    Verb::SignOutOne,
    Verb::SignOutBefore,
    Verb::SignOutTorn,
    Verb::Reclaim,
    Verb::Sweep,
    Verb::Kill,
    Verb::CutPower,
    Verb::RestoreRows,
    Verb::LoseRows,
    Verb::MixRows,
];

/// A sign-in as the model knows it.
struct Made {
    handle: LiveSignIn,
    account: u32,
    time: usize,
    /// Whether the clock was ahead when it was made.
    is_ahead: bool,
    /// Whether an acknowledged sign-out has covered it: then nothing of it may ever be read again.
    is_dead: bool,
    /// Whether a sign-out of unknown outcome has covered it: dead in this process, perhaps alive
    /// after the next crash.
    in_doubt: bool,
    /// What was last acknowledged as stored: must be readable while alive, unless rows were
    /// tampered with.
    stored: Option<String>,
    /// What was read of it by handles must be one of these.
    ever_put: Vec<String>,
}

struct StoreBesideModel {
    machine: Machine,
    clock: ManualClock,
    store: Option<TokenStore>,
    made: Vec<Made>,
    time: usize,
    puts: usize,
    /// Whether the engine lost or got back rows: then the living may be missing, never the dead be
    /// back.
    meddled: bool,
    /// Whether the clock is ahead now, and in how many processes it has been: by the word of two of
    /// them it is right.
    is_ahead: bool,
    ahead_in: usize,
    before: std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What all histories together met, to be sure that they met it.
#[derive(Default, Debug)]
struct Seen {
    histories: usize,
    signed_out: usize,
    stored: usize,
    read: usize,
    refused_reads: usize,
    doubtful_alive: usize,
    doubtful_dead: usize,
}

impl Seen {
    /// A search that never came to one of these would prove nothing about it.
    fn assert_it_met_everything(&self) {
        let met = [self.signed_out, self.stored, self.read, self.refused_reads, self.doubtful_dead];
        assert!(met.iter().all(|count| *count > 100), "{self:?}");
        assert!(self.doubtful_alive > 100 || is_on_sqlite(), "{self:?}");
    }
}

impl StoreBesideModel {
    /// Both accounts are signed in, and have tokens.
    fn new() -> Self {
        let (machine, clock) = (Machine::new(), ManualClock::new(now()));
        let store = Some(machine.builder().clock(clock.clone()).open().unwrap());
        let before = machine.rows();
        let mut world = Self {
            machine,
            clock,
            store,
            made: Vec::new(),
            time: 0,
            puts: 0,
            meddled: false,
            is_ahead: false,
            ahead_in: 0,
            before,
        };
        let mut seen = Seen::default();
        for verb in [Verb::SignIn(1), Verb::Put(0), Verb::SignIn(2), Verb::Put(0)] {
            world.run(verb, &mut seen);
        }
        world.before = world.machine.rows();
        world
    }

    fn store(&self) -> &TokenStore {
        self.store.as_ref().unwrap()
    }

    fn run(&mut self, verb: Verb, seen: &mut Seen) {
        self.time += 1;
        self.clock.advance(std::time::Duration::from_millis(1));
        match verb {
            Verb::SignIn(number) => {
                let request = SignIn::new(account(number), tenant(number))
                    .session(session(number))
                    .subject(subject(number));
                let handle = self.store().sign_in(request).unwrap();
                let time = self.time;
                let (is_ahead, stored, ever_put) = (self.is_ahead, None, Vec::new());
                self.made.push(Made {
                    handle,
                    account: number,
                    time,
                    is_ahead,
                    is_dead: false,
                    in_doubt: false,
                    stored,
                    ever_put,
                });
            }
            Verb::Put(back) => {
                self.puts += 1;
                let secret = format!("secret-{}", self.puts);
                let Some(made) = self.made.iter_mut().rev().nth(back) else { return };
                // Without an end: what becomes of the clock, becomes of the sign-in alone.
                let access = AccessToken { expires_at: None, ..access("a", &secret) };
                let guest = AccessToken { tenant: Some(tenant(9)), ..access.clone() };
                match made.handle.put([access.into(), refresh(&secret).into(), guest.into()]) {
                    Ok(_) => {
                        assert!(
                            !made.is_dead && !made.in_doubt,
                            "a put of a dead sign-in succeeded"
                        );
                        made.stored = Some(secret.clone());
                        made.ever_put.push(secret);
                        seen.stored += 1;
                    }
                    Err(Error::SignedOut) => {
                        let is_too_old = self.is_ahead && !made.is_ahead;
                        assert!(
                            made.is_dead || made.in_doubt || is_too_old || self.meddled,
                            "a put of a live sign-in was refused"
                        );
                        seen.signed_out += 1;
                    }
                    Err(Error::Tampered(_)) if self.meddled => {}
                    Err(Error::Closed | Error::Poisoned(_) | Error::Io { .. })
                        if self.handle_is_old(back) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            Verb::SignOutAccount => {
                self.sign_out(SignOut::account(&account(1)), |made| made.account == 1)
            }
            // A session's sign-out takes its account.
            Verb::SignOutSession => {
                self.sign_out(SignOut::session(&session(1)), |made| made.account == 1)
            }
            Verb::SignOutTenant => {
                self.sign_out(SignOut::tenant(&tenant(2)), |made| made.account == 2)
            }
            Verb::SignOutEverybody => self.sign_out(SignOut::everybody(), |_| true),
            Verb::SignOutOne => {
                let newest = self.made.last().unwrap().handle.clone();
                let request = SignOut::sign_in(newest.account(), newest.id());
                self.sign_out(request, |made| made.handle == newest);
            }
            Verb::SignOutBefore => {
                let cutoff = now() + std::time::Duration::from_millis(2);
                let is_ahead = self.is_ahead;
                // Who was signed in by a clock that was ahead of this sign-out's is older than any
                // cutoff.
                let covers = |made: &Made| {
                    made.account == 1
                        && (made.is_ahead && !is_ahead || !made.is_ahead && made.time <= 2)
                };
                self.sign_out(SignOut::account(&account(1)).signed_in_before(cutoff), covers);
            }
            Verb::ClockAhead | Verb::ClockRight => {
                let is_ahead = verb == Verb::ClockAhead;
                self.ahead_in += usize::from(is_ahead && !self.is_ahead);
                self.is_ahead = is_ahead;
                let right = now() + std::time::Duration::from_millis(self.time as u64);
                self.clock.set(if is_ahead { right + AHEAD } else { right });
                self.retake(seen);
            }
            Verb::SignOutTorn => {
                self.machine.set_failing_syncs(true);
                let result = self.store().sign_out(SignOut::account(&account(1)));
                assert!(matches!(result, Err(Error::Indeterminate(_))), "{result:?}");
                for made in self.made.iter_mut().filter(|made| made.account == 1 && !made.is_dead) {
                    made.in_doubt = true;
                }
                // Dead in this process, and the store refuses (a shared one goes on: for all its
                // instances they are dead); a crash tells what became of it.
                match self.store().account(&account(1)) {
                    Ok(living) => assert!(is_shared() && living.is_empty()),
                    refused => assert!(matches!(refused, Err(Error::Poisoned(Component::Ledger)))),
                }
                self.machine.set_failing_syncs(false);
                self.reopen(true, seen);
            }
            Verb::Reclaim => drop(self.store().wait_reclaimed().unwrap()),
            Verb::Sweep => assert!(self.store().sweep(1000).unwrap().finished),
            Verb::Kill => self.reopen(false, seen),
            Verb::CutPower => self.reopen(true, seen),
            Verb::RestoreRows | Verb::LoseRows | Verb::MixRows => {
                self.store.take().unwrap().close().unwrap();
                let rows = match verb {
                    Verb::RestoreRows => self.before.clone(),
                    Verb::LoseRows => Default::default(),
                    _ => {
                        let mut rows = self.machine.rows();
                        rows.extend(self.before.clone().into_iter().step_by(2));
                        rows
                    }
                };
                self.machine.set_rows(rows);
                self.meddled = true;
                self.reopen(false, seen);
            }
        }
    }

    fn handle_is_old(&self, back: usize) -> bool {
        let handle = &self.made[self.made.len() - 1 - back].handle;
        !matches!(handle.is_live(), Ok(_) | Err(Error::Tampered(_)))
    }

    fn sign_out(&mut self, sign_out: SignOut, covers: impl Fn(&Made) -> bool) {
        self.store().sign_out(sign_out).unwrap();
        self.made.iter_mut().filter(|made| covers(made)).for_each(|made| made.is_dead = true);
    }

    /// Crashes, and opens again.
    fn reopen(&mut self, power: bool, seen: &mut Seen) {
        let seed = self.time as u64;
        if power {
            self.machine.cut_power(seed)
        } else {
            self.machine.kill_process(seed)
        }
        self.store = None;
        self.ahead_in += usize::from(self.is_ahead);
        // What two processes say of the clock is believed: then the old may be missing.
        self.meddled |= self.ahead_in > 1;
        self.store = Some(self.machine.builder().clock(self.clock.clone()).open().unwrap());
        self.retake(seen);
    }

    /// Takes the handles anew where the store still has them.
    fn retake(&mut self, seen: &mut Seen) {
        let store = self.store.clone().unwrap();
        for made in &mut self.made {
            // (Handles of before are taken anew when the clock is right again.)
            if self.is_ahead && !made.is_ahead && !made.is_dead && !made.in_doubt {
                continue;
            }
            let found = match store.account(&account(made.account)) {
                Ok(found) => found,
                Err(Error::Tampered(_)) if self.meddled => Vec::new(),
                Err(other) => panic!("{other:?}"),
            };
            let found = found.into_iter().find(|live| *live == made.handle);
            if made.in_doubt {
                // All of the account's sign-ins are back, or none: the sign-out was one record.
                if found.is_some() {
                    seen.doubtful_alive += 1
                } else {
                    seen.doubtful_dead += 1
                }
                // With rows missing, who is not found may be back with them.
                made.is_dead = found.is_none() && !self.meddled;
                made.in_doubt = false;
            }
            match found {
                Some(handle) => {
                    assert!(!made.is_dead, "a dead sign-in is listed");
                    made.handle = handle;
                }
                None => assert!(made.is_dead || self.meddled, "a live sign-in is lost"),
            }
        }
    }

    /// Every handle reads what the model says: nothing of the dead, all of the living.
    fn check(&self, history: &[Verb], seen: &mut Seen) {
        for made in &self.made {
            // Too old to be read, by this clock; and not gone.
            if self.is_ahead && !made.is_ahead && !made.is_dead {
                assert!(
                    !matches!(made.handle.access_token(&query("a")), Ok(Some(_))),
                    "{history:?}"
                );
                continue;
            }
            let access = made.handle.access_token(&query("a"));
            let guest = made.handle.access_token(&query("a").tenant(tenant(9)));
            let refresh = made.handle.refresh_token(&client());
            let dead = made.is_dead || made.in_doubt;
            let secrets = [
                access.map(|token| token.map(|t| t.secret.expose().to_owned())),
                guest.map(|token| token.map(|t| t.secret.expose().to_owned())),
                refresh.map(|token| token.map(|t| t.secret.expose().to_owned())),
            ];
            for secret in secrets {
                match secret {
                    Ok(Some(secret)) => {
                        assert!(!dead, "{history:?}: a token of a dead sign-in was read");
                        assert!(
                            made.ever_put.contains(&secret),
                            "{history:?}: somebody else's token"
                        );
                        if !self.meddled {
                            assert_eq!(Some(&secret), made.stored.as_ref(), "{history:?}");
                        }
                        seen.read += 1;
                    }
                    Ok(None) => {
                        assert!(
                            dead || self.meddled || made.stored.is_none(),
                            "{history:?}: a token of a live sign-in is lost"
                        );
                        seen.refused_reads += usize::from(dead);
                    }
                    Err(Error::Tampered(_)) => assert!(self.meddled, "{history:?}"),
                    // Handles of a store that died.
                    Err(_) => assert!(dead || self.meddled, "{history:?}"),
                }
            }
        }
        if !self.meddled && !self.is_ahead {
            for number in [1, 2] {
                let listed = self.store().account(&account(number)).unwrap();
                let living: Vec<_> =
                    self.made.iter().rev().filter(|m| m.account == number && !m.is_dead).collect();
                assert_eq!(listed.len(), living.len(), "{history:?}");
                assert!(listed.iter().zip(living).all(|(listed, living)| *listed == living.handle));
            }
        }
    }
}

#[test]
fn every_short_history_obeys_the_rule() {
    let depth =
        std::env::var("OUBLIETTE_MODEL_DEPTH").map_or(DEPTH, |depth| depth.parse().unwrap());
    let seen = every_history(&VERBS, depth);
    seen.assert_it_met_everything();
}

/// Fewer verbs, longer: signing in again, a refresh in flight, sign-outs that are torn or not, and
/// what crashes and restored rows make of them.
#[test]
fn every_longer_history_of_the_dangerous_verbs_obeys_the_rule() {
    let depth =
        std::env::var("OUBLIETTE_MODEL_DEPTH").map_or(DEPTH, |depth| depth.parse().unwrap()) + 2;
    const DANGEROUS: [Verb; 6] = [
        Verb::SignIn(1),
        Verb::Put(1),
        Verb::SignOutAccount,
        Verb::SignOutTorn,
        Verb::CutPower,
        Verb::RestoreRows,
    ];
    let seen = every_history(&DANGEROUS, depth);
    seen.assert_it_met_everything();
}

/// A clock that jumps: nobody is deleted for good by it, and no cutoff spares whom it signed in.
#[test]
fn every_history_beside_a_clock_that_jumps_obeys_the_rule() {
    let depth =
        std::env::var("OUBLIETTE_MODEL_DEPTH").map_or(DEPTH, |depth| depth.parse().unwrap()) + 1;
    const BESIDE_A_CLOCK: [Verb; 7] = [
        Verb::SignIn(1),
        Verb::Put(0),
        Verb::SignOutBefore,
        Verb::Sweep,
        Verb::Kill,
        Verb::ClockAhead,
        Verb::ClockRight,
    ];
    let seen = every_history(&BESIDE_A_CLOCK, depth);
    let met = [seen.signed_out, seen.stored, seen.read, seen.refused_reads];
    assert!(met.iter().all(|count| *count > 100), "{seen:?}");
}

/// Every history of so many of these verbs, by two threads.
fn every_history(verbs: &'static [Verb], depth: usize) -> Seen {
    let total = verbs.len().pow(u32::try_from(depth).unwrap());
    let half = |offset: usize| {
        move || {
            let mut seen = Seen::default();
            for number in (offset..total).step_by(2) {
                let verb = |at: usize| verbs[number / verbs.len().pow(at as u32) % verbs.len()];
                let history: Vec<Verb> = (0..depth).map(verb).collect();
                let mut world = StoreBesideModel::new();
                for verb in &history {
                    world.run(*verb, &mut seen);
                    world.check(&history, &mut seen);
                }
                // Whatever happened, a clock that is right and a crash at the end change nothing.
                world.run(Verb::ClockRight, &mut seen);
                world.reopen(number % 2 == 0, &mut seen);
                world.check(&history, &mut seen);
                seen.histories += 1;
            }
            seen
        }
    };
    let [one, other] =
        [0, 1].map(|offset| std::thread::spawn(half(offset))).map(|thread| thread.join().unwrap());
    let seen = one + other;
    println!("{seen:?}");
    assert_eq!(seen.histories, total);
    seen
}

impl std::ops::Add for Seen {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            histories: self.histories + other.histories,
            signed_out: self.signed_out + other.signed_out,
            stored: self.stored + other.stored,
            read: self.read + other.read,
            refused_reads: self.refused_reads + other.refused_reads,
            doubtful_alive: self.doubtful_alive + other.doubtful_alive,
            doubtful_dead: self.doubtful_dead + other.doubtful_dead,
        }
    }
}
