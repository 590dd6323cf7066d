//! A real ledger on a machine that dies, fills up and is rolled back, against a list of sign-ins and a list of sign-outs.

use oubliette::fuzzing::{LedgerFile, LedgerOn, SignedIn};
use oubliette::{Error, Machine};

crate::plans! {
    /// A call of the ledger, or what happens to its machine.
    pub enum Verb {
        /// Of account, tenant, session and subject 0 to 3, two bits each. Its own tag is that of every fourth.
        SignIn { who: u8, ago: u8 },
        /// One call. A scope is a kind and a number.
        SignOut { scopes: Vec<u8>, ago: Option<u8>, wait: bool },
        Wait {},
        Clock { by: u16, back: bool },
        Compact { age: u16 },
        Full { is_full: bool },
        Reopen { chunk: u8, reserve: u8 },
        Kill { seed: u64 },
        CutPower { seed: u64 },
        DieAfter { calls: u8 },
        /// Somebody copies the file, or puts the copy back.
        Copy {},
        PutBack {},
    }
}

struct Made {
    signed_in: SignedIn,
    who: [u8; 5],
    /// Its place among all events.
    order: u64,
    /// It may have ended otherwise: by the age of what came after it, or because the ledger has lost what it was made beside.
    may_be_dead: bool,
}

#[derive(Clone)]
struct Out {
    scopes: Vec<(u8, u8)>,
    cutoff: u64,
    time: u64,
    order: u64,
    /// The positions of its records.
    first: u64,
    last: u64,
    is_acked: bool,
}

impl Out {
    fn is_of(&self, who: [u8; 5]) -> bool {
        let [account, tenant, session, subject, sign_in] = who;
        let mine = [(1, 0), (2, tenant), (3, account), (4, session), (5, subject), (8, sign_in)];
        self.scopes.iter().any(|scope| mine.contains(scope))
    }

    fn covers(&self, made: &Made) -> bool {
        self.order > made.order && self.takes(made.signed_in.time()) && self.is_of(made.who)
    }

    /// By its cutoff; or because the sign-in is from its future, by a clock that was ahead.
    fn takes(&self, time: u64) -> bool {
        time <= self.cutoff || time > self.time
    }
}

struct World {
    machine: Machine,
    growth: (u32, u64),
    ledger: Option<LedgerOn>,
    /// The disk has failed: only a crash and a reopening help.
    has_failed: bool,
    is_full: bool,
    made: Vec<Made>,
    outs: Vec<Out>,
    /// When openings were recorded, in order, also those that a crash may have lost: their places among all events, and times.
    openings: Vec<(u64, u64)>,
    /// This process has recorded its opening: with the first that it appended.
    has_begun: bool,
    order: u64,
    clock: u64,
    /// The clock as a process sees it.
    now: u64,
    /// What the engine may have seen.
    checkpoint: u64,
    copy: Option<(Vec<u8>, Vec<Out>, u64)>,
}

pub(super) fn run(chunk: u8, reserve: u8, verbs: &[Verb]) {
    let machine = Machine::new();
    let growth = growth(chunk, reserve);
    LedgerOn::create(&machine, growth.0, growth.1, 1000).expect("a new ledger");
    let mut world = World {
        machine,
        growth,
        ledger: None,
        has_failed: false,
        is_full: false,
        made: Vec::new(),
        outs: Vec::new(),
        openings: Vec::new(),
        has_begun: false,
        order: 0,
        clock: 1000,
        now: 1000,
        checkpoint: 0,
        copy: None,
    };
    world.open();
    for verb in verbs.iter().take(200) {
        world.run(verb);
        world.check();
    }
    world.machine.cut_power(3);
    world.open();
    world.check();
}

fn growth(chunk: u8, reserve: u8) -> (u32, u64) {
    (u32::from(chunk % 24) + 2, u64::from(reserve % 40))
}

fn tag(number: u8) -> [u8; 16] {
    [number; 16]
}

impl World {
    fn open(&mut self) {
        self.ledger = None;
        let (chunk, reserve) = self.growth;
        let opened =
            LedgerOn::open(&self.machine, chunk, reserve, self.checkpoint).or_else(|error| {
                assert!(matches!(error, Error::Io { .. } | Error::Poisoned(_)), "{error:?}");
                // The machine died while it was being opened.
                self.machine.cut_power(5);
                LedgerOn::open(&self.machine, chunk, reserve, self.checkpoint)
            });
        let ledger = opened.expect("no damage").expect("what the engine has seen is there");
        (self.has_begun, self.has_failed, self.is_full, self.now) =
            (false, false, false, self.clock);
        self.resolve(&ledger);
        self.ledger = Some(ledger);
    }

    /// Finds out which sign-outs that were not acknowledged are there: whole, or not at all.
    fn resolve(&mut self, ledger: &LedgerOn) {
        let standing = ledger.standing();
        let is_there = |out: &Out| {
            let (mut there, mut missing) = (false, false);
            for ((kind, number), position) in out.scopes.iter().zip(out.first..) {
                let number = if *kind == 1 { 0 } else { *number };
                let same = || {
                    standing.iter().filter(|fence| (fence.kind, fence.tag) == (*kind, tag(number)))
                };
                let is_hidden =
                    || same().any(|fence| fence.position > position && fence.cutoff >= out.cutoff);
                match same().any(|fence| fence.position == position) {
                    true => there = true,
                    false if !is_hidden() => missing = true,
                    false => {}
                }
            }
            assert!(!(there && missing), "half a call is there");
            there
        };
        let end = ledger.synced();
        self.outs.retain_mut(|out| {
            out.is_acked = out.is_acked || (out.last <= end && is_there(out));
            out.is_acked
        });
        self.checkpoint = self.checkpoint.max(end);
    }

    fn event(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    /// The event appended something: the first time in each process, its opening comes before it.
    fn appended(&mut self, order: u64) {
        if !self.has_begun {
            self.openings.push((order, self.now));
            self.has_begun = true;
        }
    }

    fn ledger(&self) -> &LedgerOn {
        self.ledger.as_ref().expect("it is open between verbs")
    }

    fn failed(&mut self, error: &Error) {
        match error {
            Error::Full(_) => assert!(self.is_full, "there was space"),
            Error::Indeterminate(_) | Error::Poisoned(_) | Error::Io { .. } => {
                self.has_failed = true
            }
            error => panic!("{error:?}"),
        }
    }

    fn crash(&mut self, power: bool, seed: u64) {
        if power {
            self.machine.cut_power(seed);
        } else {
            self.machine.kill_process(seed);
        }
        self.open();
    }

    fn run(&mut self, verb: &Verb) {
        match verb {
            Verb::SignIn { who, ago } => {
                let [account, tenant, session, subject] = [0, 2, 4, 6].map(|bit| who >> bit & 3);
                let who = [account, tenant, session, subject, (self.made.len() % 4) as u8];
                let (now, time) = (self.now, self.now - u64::from(*ago));
                // As signing in does: a sign-out that is still being written, and covers it, comes first.
                if self.outs.iter().any(|out| !out.is_acked && out.is_of(who) && out.takes(time)) {
                    self.wait();
                }
                // (The store lets nobody in once the ledger has failed.)
                if self.has_failed {
                    return;
                }
                let order = self.event();
                let result = self.ledger().sign_in(now, time, who.map(tag));
                if matches!(result, Ok(_) | Err(Error::Indeterminate(_))) {
                    self.appended(order);
                }
                match result {
                    Ok(signed_in) => {
                        self.made.push(Made { signed_in, who, order, may_be_dead: false })
                    }
                    Err(error) => self.failed(&error),
                }
            }
            Verb::SignOut { scopes, ago, wait } => {
                let scopes = scopes.iter().take(12).map(|scope| match scope % 6 {
                    0 => (1, 0),
                    5 => (8, scope / 6 % 4),
                    kind => (1 + kind, scope / 6 % 4),
                });
                let scopes: Vec<(u8, u8)> = scopes.collect();
                if scopes.is_empty() {
                    return;
                }
                let (now, order) = (self.now, self.event());
                let cutoff = ago.map_or(u64::MAX, |ago| now - u64::from(ago));
                let tagged: Vec<_> =
                    scopes.iter().map(|(kind, number)| (*kind, tag(*number))).collect();
                match self.ledger().stand(&tagged, cutoff, now) {
                    Ok(last) => {
                        // (A crash may lose the sign-out and leave the opening.)
                        self.appended(order);
                        let first = last + 1 - scopes.len() as u64;
                        self.outs.push(Out {
                            scopes,
                            cutoff,
                            time: now,
                            order,
                            first,
                            last,
                            is_acked: false,
                        });
                    }
                    Err(error) => self.failed(&error),
                }
                if *wait {
                    self.wait();
                }
            }
            Verb::Wait {} => self.wait(),
            Verb::Clock { by, back } => {
                self.clock = if *back {
                    self.clock.saturating_sub(u64::from(*by)).max(300)
                } else {
                    self.clock + u64::from(*by)
                };
                self.now = self.now.max(self.clock);
            }
            Verb::Compact { age } => {
                let oldest = self.now.saturating_sub(u64::from(*age));
                let result = self.ledger().compact(oldest);
                match &result {
                    Ok(_) => self.acked(),
                    Err(Error::Io { .. }) => {}
                    Err(error) => self.failed(error),
                }
                if !matches!(result, Ok(false) | Err(Error::Io { .. })) {
                    self.forget(oldest);
                }
            }
            Verb::Full { is_full } => {
                self.machine.set_full(*is_full);
                self.is_full = *is_full;
            }
            Verb::Reopen { chunk, reserve } => {
                self.growth = growth(*chunk, *reserve);
                self.crash(false, 1);
            }
            Verb::Kill { seed } => self.crash(false, *seed),
            Verb::CutPower { seed } => self.crash(true, *seed),
            Verb::DieAfter { calls } => self.machine.die_after(u64::from(calls % 8)),
            Verb::Copy {} => {
                let acked: Vec<Out> =
                    self.outs.iter().filter(|out| out.is_acked).cloned().collect();
                self.copy = self
                    .machine
                    .files()
                    .remove(&LedgerFile::name())
                    .map(|file| (file, acked, self.ledger().synced()));
            }
            Verb::PutBack {} => self.put_back(),
        }
    }

    /// What is older than this may have been dropped. A sign-out then ends everybody's sign-ins with as-ofs below it: by its position,
    /// since a sign-in that it does not cover, made while it was still being written, has one too. An opening ends those made before it.
    fn forget(&mut self, oldest: u64) {
        let floor =
            self.outs.iter().filter(|out| out.time < oldest).map(|out| out.last).max().unwrap_or(0);
        let opened = self
            .openings
            .iter()
            .filter(|(_, time)| *time < oldest)
            .map(|(order, _)| *order)
            .max()
            .unwrap_or(0);
        for made in &mut self.made {
            made.may_be_dead |= made.signed_in.as_of() < floor || made.order < opened;
        }
    }

    fn wait(&mut self) {
        let Some(last) = self.outs.iter().map(|out| out.last).max() else { return };
        match self.ledger().wait(last) {
            Ok(()) => self.acked(),
            Err(error) => self.failed(&error),
        }
    }

    /// What is synced is acknowledged.
    fn acked(&mut self) {
        let synced = self.ledger().synced();
        self.outs.iter_mut().for_each(|out| out.is_acked |= out.last <= synced);
        self.checkpoint = self.checkpoint.max(synced);
    }

    /// An older copy of the ledger: refused beside an engine that has seen more. Beside one that has not, whoever was signed out
    /// since may be back, but every new sign-out must count.
    fn put_back(&mut self) {
        let Some((file, outs, synced)) = self.copy.clone() else { return };
        self.machine.kill_process(2);
        self.machine.set_files([(LedgerFile::name(), file)].into());
        let (chunk, reserve) = self.growth;
        if synced < self.checkpoint {
            // It may have been copied in the middle of a write: what was written is more than what was synced.
            let opened = LedgerOn::open(&self.machine, chunk, reserve, self.checkpoint)
                .expect("it is no damage in itself");
            assert!(
                opened.is_none_or(|ledger| ledger.synced() >= self.checkpoint),
                "an older ledger is taken for the newest"
            );
        }
        self.checkpoint = 0;
        self.outs = outs;
        self.made.iter_mut().for_each(|made| made.may_be_dead = true);
        self.open();
        // Records that were written when it was copied, and acknowledged later, may be there or not.
    }

    fn check(&self) {
        let ledger = self.ledger();
        for made in &self.made {
            let covering = self.outs.iter().any(|out| out.covers(made));
            let is_dead = ledger.is_dead(&made.signed_in);
            assert!(is_dead || !covering, "a sign-out does not count");
            assert!(!is_dead || covering || made.may_be_dead, "a sign-in has ended by itself");
            let since = made.signed_in.time();
            let came = self
                .outs
                .iter()
                .any(|out| out.is_of(made.who) && out.time >= since && since <= out.cutoff);
            assert!(
                !came || ledger.is_covered_since(&made.signed_in, since),
                "a sign-out since is forgotten"
            );
        }
    }
}
