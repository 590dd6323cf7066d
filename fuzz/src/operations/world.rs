//! The store under test, the machine it lives on, and the model beside it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use oubliette::fuzzing::open_keyring;
use oubliette::*;

use super::Verb;
use super::cast::*;
use super::model::{Fate, Fence, Kept, Made, Place, Who};

pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) clock: Time,
    pub(super) store: Option<TokenStore>,
    pub(super) made: Vec<Made>,
    pub(super) fences: Vec<Fence>,
    /// Everybody before this has been forgotten, and what the ledger knew.
    forgotten: u64,
    order: u64,
    /// When sign-ins and sign-outs were recorded.
    events: Vec<(u64, u64)>,
    secrets: usize,
    settled: bool,
    /// Something will fail, or has failed: every verb may, until the store is opened again.
    pub(super) is_armed: bool,
    /// The ledger has failed, as a verb said: no verb may do anything.
    pub(super) has_failed: bool,
    is_full: bool,
    /// A move could not be cleared away: until the store is opened again there is no other.
    is_move_stuck: bool,
    /// Which keys open the store: those of the first, or if a change of keys failed perhaps those of another.
    keys: Vec<Vec<u8>>,
    /// Sign-ins and sign-outs of which nobody knows whether they happened.
    attempts: Vec<Attempt>,
    doubts: Vec<Doubt>,
    copied: Option<BTreeMap<Vec<u8>, Vec<u8>>>,
    /// Somebody has meddled with the rows.
    is_meddled: bool,
    /// A checkpoint of the store as it is, to be put back if somebody has meddled with it.
    checkpoint: Option<Vec<u8>>,
    /// Which sign-ins the last verb was about.
    pub(super) touched: Vec<usize>,
}

struct Attempt {
    account: u8,
    tenant: u8,
    session: Option<u8>,
    subject: Option<u8>,
    time: u64,
    order: u64,
}

struct Doubt {
    /// Each is there if its newest record is beyond `known`.
    fences: Vec<Fence>,
    known: u64,
    /// If the first is there (or this is known), so are those of these accounts.
    surely: Vec<u8>,
    is_known: bool,
}

fn secret_key(number: u8) -> [u8; 32] {
    [number; 32]
}

impl World {
    pub(super) fn new(settled: bool) -> Self {
        let (machine, clock) = (Machine::new(), Time::default());
        clock.set(10_000);
        let mut world = Self {
            machine,
            clock,
            store: None,
            made: Vec::new(),
            fences: Vec::new(),
            forgotten: 0,
            order: 0,
            events: Vec::new(),
            secrets: 0,
            settled,
            is_armed: false,
            has_failed: false,
            is_full: false,
            is_move_stuck: false,
            keys: vec![vec![7]],
            attempts: Vec::new(),
            doubts: Vec::new(),
            copied: None,
            is_meddled: false,
            checkpoint: None,
            touched: Vec::new(),
        };
        world.store = Some(world.builder(&world.machine).open().expect("a new store"));
        world
    }

    fn key(&self) -> KeySource {
        let keys = self.keys.iter().flatten().map(|key| KeySource::bytes(secret_key(*key)));
        keys.reduce(KeySource::previous).expect("there is a key")
    }

    pub(super) fn builder(&self, machine: &Machine) -> Builder {
        let builder =
            machine.builder().key(self.key()).clock(self.clock.clone()).skew(Duration::ZERO);
        builder.max_sign_ins(MAX_SIGN_INS as u8).max_sign_in_age(Duration::from_secs(MAX_AGE))
    }

    pub(super) fn store(&self) -> &TokenStore {
        self.store.as_ref().expect("it is open between verbs")
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Whether somebody has signed it out.
    pub(super) fn is_covered(&self, made: &Made) -> bool {
        self.fences.iter().any(|fence| fence.covers(made))
    }

    /// Whether it must be live.
    pub(super) fn is_surely_live(&self, made: &Made) -> bool {
        made.fate == Fate::Here
            && !made.is_shaky
            && !self.is_covered(made)
            && !made.is_too_old(self.now())
    }

    /// Whether it can be live.
    pub(super) fn may_be_live(&self, made: &Made) -> bool {
        let is_there = made.is_shaky || matches!(made.fate, Fate::Here | Fate::Perhaps);
        is_there && !self.is_covered(made) && !made.is_too_old(self.now())
    }

    /// What a verb that failed says about the store.
    pub(super) fn failed(&mut self, error: &Error) {
        match error {
            Error::Full(Component::Ledger) if self.is_full => {}
            Error::Indeterminate(_) | Error::Poisoned(Component::Ledger) if self.is_armed => {
                self.has_failed = true
            }
            Error::Io { .. } | Error::Poisoned(_) | Error::Full(_) => {
                assert!(self.is_armed || self.is_full, "{error:?}")
            }
            error => panic!("{error:?}"),
        }
    }

    fn event(&mut self) -> u64 {
        self.order += 1;
        self.events.push((self.order, self.now()));
        self.order
    }

    pub(super) fn run(&mut self, verb: &Verb) {
        self.touched.clear();
        match verb {
            Verb::SignIn { account, tenant, session, subject, ago, continued } => {
                let of = |number: &Option<u8>, count| number.map(|number| number % count);
                let names = (
                    account % ACCOUNTS,
                    tenant % TENANTS,
                    of(session, SESSIONS),
                    of(subject, SUBJECTS),
                );
                self.sign_in(names, (*ago).into(), *continued);
            }
            Verb::Put { handle, what, tenant, size, lifetime } if !self.made.is_empty() => {
                let index = usize::from(*handle) % self.made.len();
                self.put(
                    index,
                    *what,
                    tenant.map(|tenant| tenant % TENANTS),
                    *size,
                    (*lifetime).into(),
                );
            }
            Verb::Put { .. } => {}
            Verb::SignOut { scope, number, ago, taking, only_session } => {
                let who = match scope % 8 {
                    0 | 5 => Who::Account(number % ACCOUNTS),
                    1 => Who::Tenant(number % TENANTS),
                    2 | 6 => Who::Session(number % SESSIONS),
                    3 | 7 => Who::Subject(number % SUBJECTS),
                    _ => Who::Everybody,
                };
                self.sign_out(who, ago.map(u64::from), *taking, *only_session);
            }
            Verb::Clock { by, back } => {
                let (wall, by) = (self.clock.now(), u64::from(*by));
                self.clock.set(if *back { wall.saturating_sub(by).max(2_000) } else { wall + by });
            }
            Verb::Sweep { budget } => self.sweep((*budget).into()),
            Verb::WaitReclaimed {} => match self.store().wait_reclaimed() {
                Ok(_) => self.synced(),
                Err(error) => self.failed(&error),
            },
            Verb::Close {} => {
                match self.store.take().expect("it is open").close() {
                    Ok(()) => self.synced(),
                    Err(error) => self.failed(&error),
                }
                let stale = self.made.iter().filter_map(|made| made.handle.as_ref()).next();
                assert!(
                    stale.is_none_or(|handle| matches!(handle.is_live(), Err(Error::Closed))),
                    "a handle outlives its store"
                );
                if self.is_armed || self.is_full {
                    self.machine.kill_process(1);
                }
                self.reopen(None);
            }
            Verb::Crash { power, seed, again } => {
                self.crash(*power, *seed);
                self.reopen(*again);
            }
            Verb::DieAfter { calls } => {
                self.machine.die_after(u64::from(calls % 64));
                self.is_armed = true;
            }
            Verb::FailSyncs {} => {
                self.machine.set_failing_syncs(true);
                self.is_armed = true;
            }
            Verb::FailEngine {} => {
                self.machine.set_failing_engine(true);
                self.is_armed = true;
            }
            Verb::Full { is_full } => {
                self.machine.set_full(*is_full);
                self.is_full |= *is_full;
            }
            Verb::Tamper { how, row, other, at, mask, live } => {
                self.tamper(*how, [*row, *other, *at], *mask, *live)
            }
            Verb::CopyRows {} => self.copied = Some(self.machine.rows()),
            Verb::PutBackRows { every, seed, live } => {
                let Some(copied) = self.copied.clone() else { return };
                let every = usize::from(every % 4) + 1;
                let chosen = copied
                    .into_iter()
                    .enumerate()
                    .filter(|(i, _)| (i + usize::from(*seed)) % every == 0);
                let chosen: Vec<_> = chosen.map(|(_, row)| row).collect();
                // All of them instead of what is there, or some of them beside it.
                let mut rows = if every == 1 { BTreeMap::new() } else { self.machine.rows() };
                rows.extend(chosen);
                self.meddle(rows, *live);
            }
            Verb::TamperFile { file, how, at, mask } => self.tamper_file(*file, *how, *at, *mask),
            Verb::Forget { at, mask } => self.forget(*at, *mask),
            Verb::List {} => self.check_lists(),
            Verb::Move { kind, keys } => self.move_rows(*kind, *keys),
            Verb::Verify {} => self.verify(),
        }
        self.age();
        if self.settled && !self.has_failed {
            while self.store().stats().is_ok_and(|stats| stats.backlog > 0 && !stats.engine_failed)
            {
                std::thread::yield_now();
            }
        }
    }

    /// Whoever is too old may be deleted from now on, and live on if the clock goes back before.
    fn age(&mut self) {
        let now = self.now();
        let old =
            self.made.iter_mut().filter(|made| made.fate == Fate::Here && made.is_too_old(now));
        old.for_each(|made| made.fate = Fate::Perhaps);
    }

    /// All that was written is durable.
    fn synced(&mut self) {
        self.made.iter_mut().for_each(|made| made.is_durable = true);
        self.made
            .iter_mut()
            .flat_map(|made| made.tokens.values_mut())
            .for_each(|slot| slot.synced());
    }

    fn sign_in(&mut self, names: (u8, u8, Option<u8>, Option<u8>), ago: u64, continued: bool) {
        let (number, tenant_number, session_number, subject_number) = names;
        if self.made.len() >= 14 {
            return;
        }
        let asked = self.now() - ago;
        let time = asked;
        let mut request = SignIn::new(account(number), tenant(tenant_number));
        request = session_number
            .into_iter()
            .fold(request, |request, number| request.session(session(number)));
        request = subject_number
            .into_iter()
            .fold(request, |request, number| request.subject(subject(number)));
        request = if continued {
            request.imported_from(at(asked))
        } else {
            request.signed_in_at(at(asked))
        };
        let order = self.event();
        let result = self.store().sign_in(request);
        let mut made = Made {
            handle: None,
            id: [0; 16],
            account: number,
            tenant: tenant_number,
            session: session_number,
            subject: subject_number,
            time,
            order,
            continued,
            fate: Fate::Here,
            is_durable: true,
            is_shaky: false,
            tokens: HashMap::new(),
            ever: HashMap::new(),
        };
        // For an import, every sign-out of its scopes at its time or since.
        let known = || {
            self.fences.iter().filter(|fence| fence.order > self.forgotten && made.is_of(fence.who))
        };
        let brings_back =
            continued && known().any(|fence| fence.time >= time && time <= fence.cutoff);
        // For every sign-in, a sign-out of its session that says by when users had signed in, unless a later one without that hides it.
        let told: Vec<_> =
            known().filter(|fence| matches!(fence.who, Who::Session(_))).copied().collect();
        let is_hidden =
            |order| told.iter().any(|fence| fence.cutoff == u64::MAX && fence.order > order);
        let may_be_late = told.iter().any(|fence| fence.cutoff != u64::MAX && time <= fence.cutoff);
        let is_late =
            told.iter().any(|f| f.cutoff != u64::MAX && time <= f.cutoff && !is_hidden(f.order));
        let must_be_refused = brings_back || is_late;
        match result {
            Ok(handle) => {
                assert!(!must_be_refused, "a sign-in brought back who was signed out");
                assert!(
                    *handle.account() == account(number)
                        && *handle.tenant() == tenant(tenant_number)
                );
                assert_eq!(
                    (handle.session().cloned(), handle.signed_in_at()),
                    (session_number.map(session), at(time))
                );
                (made.id, made.handle) = (handle.id(), Some(handle));
                self.touched.push(self.made.len());
                self.made.push(made);
                self.push_out(number, true);
                self.synced();
            }
            Err(Error::SignedOut | Error::Overtaken { .. }) => {
                // Also two sign-outs of which each is half of what would refuse it.
                let may_be_refused = continued
                    && (known().any(|fence| fence.time >= time && time <= fence.cutoff)
                        || (known().any(|fence| fence.time >= time) && known().any(|fence| time <= fence.cutoff))
                        // What was dropped for its age stands for everybody.
                        || self.events.iter().any(|(_, when)| when + MAX_AGE < self.now()));
                assert!(may_be_refused || may_be_late, "a sign-in is refused");
            }
            Err(error) => {
                self.failed(&error);
                let (account, tenant, session, subject) = names;
                self.attempts.push(Attempt { account, tenant, session, subject, time, order });
                self.push_out(number, false);
            }
        }
    }

    /// A sign-in of the account has pushed out the oldest ones that are too many, and taken out those that have ended; or may have.
    fn push_out(&mut self, account: u8, surely: bool) {
        let now = self.now();
        let of_account: Vec<usize> =
            (0..self.made.len()).filter(|i| self.made[*i].account == account).collect();
        let newest = of_account.last().copied().filter(|_| surely);
        for (place, index) in of_account.iter().enumerate() {
            let newer = &of_account[place + 1..];
            let sure = newer
                .iter()
                .filter(|i| Some(**i) == newest || self.is_surely_live(&self.made[**i]))
                .count();
            let possible = newer
                .iter()
                .filter(|i| Some(**i) == newest || self.may_be_live(&self.made[**i]))
                .count();
            let possible = possible + usize::from(!surely);
            let made = &mut self.made[*index];
            let is_there = matches!(made.fate, Fate::Here | Fate::Perhaps);
            if Some(*index) == newest || !is_there {
                continue;
            }
            // (Whoever is too old by a clock that only this process speaks for is kept.)
            if surely && sure >= MAX_SIGN_INS && !made.is_too_old(now) {
                made.fate = Fate::PushedOut;
                self.touched.push(*index);
            } else if possible >= MAX_SIGN_INS || made.is_too_old(now) {
                made.fate = Fate::Perhaps;
            }
        }
    }

    fn put(&mut self, index: usize, what: u8, own: Option<u8>, size: u8, lifetime: u64) {
        let Some(handle) = self.made[index].handle.clone() else { return };
        let (time, made_in) = (self.now(), self.made[index].tenant);
        let tenant_of = own.unwrap_or(made_in);
        let mut tokens: Vec<(Place, Kept, Token)> = Vec::new();
        for bit in (0..5).filter(|bit| what >> bit & 1 == 1) {
            self.secrets += 1;
            let padding = [0, 0, 200, 6_500, 14_000][usize::from(size % 5)];
            let secret = format!("secret-{}{}", self.secrets, "x".repeat(padding));
            let expires = time + lifetime;
            let (place, token): (_, Token) = match bit {
                3 => (Place::Refresh, RefreshToken::new(client(), secret.as_str()).into()),
                4 => {
                    let token = IdToken {
                        tenant: own.map(tenant),
                        ..IdToken::new(client(), secret.as_str())
                    };
                    (Place::Id { tenant: tenant_of }, token.into())
                }
                _ => {
                    let token =
                        AccessToken::new(client(), scopes(bit), secret.as_str(), at(expires));
                    let token = AccessToken { tenant: own.map(tenant), ..token };
                    (Place::Access { scopes: bit, tenant: tenant_of }, token.into())
                }
            };
            let expires = if bit < 3 { expires } else { u64::MAX };
            tokens.push((place, Kept { secret, expires, put: self.clock.moment() }, token));
        }
        for (place, kept, _) in &tokens {
            self.made[index].ever.entry(*place).or_default().push(kept.secret.clone());
        }
        let result =
            handle.put(tokens.iter().map(|(_, _, token)| token.clone()).collect::<Vec<_>>());
        let made = &self.made[index];
        // Of another tenant's tokens, those are left out whose tenant has been signed out.
        let is_foreign = |place: &Place| match place {
            Place::Access { tenant, .. } | Place::Id { tenant } => *tenant != made_in,
            Place::Refresh => false,
        };
        let is_tenant_out = is_foreign(&Place::Id { tenant: tenant_of })
            && self.fences.iter().any(|fence| {
                let since = fence.who == Who::Tenant(tenant_of)
                    && fence.time >= made.time
                    && made.time <= fence.cutoff;
                fence.covers_tenant(tenant_of, made)
                    || (made.continued && since && fence.order > self.forgotten)
            });
        let (may_be_live, surely) = (self.may_be_live(made), self.is_surely_live(made));
        match result {
            Ok(stored) => {
                assert!(may_be_live, "a dead sign-in took tokens");
                let refused: Vec<usize> = (0..tokens.len())
                    .filter(|i| is_tenant_out && is_foreign(&tokens[*i].0))
                    .collect();
                // (An import's tokens may be refused for a mixture of two sign-outs.)
                if !made.continued {
                    assert_eq!(stored.refused, refused, "other tokens are left out");
                }
                assert!(
                    refused.iter().all(|number| stored.refused.contains(number)),
                    "a token of a tenant that is out is kept"
                );
                assert_eq!(stored.stored + stored.refused.len(), tokens.len());
                let is_refresh = what >> 3 & 1 == 1;
                let made = &mut self.made[index];
                if made.fate == Fate::Perhaps {
                    made.fate = Fate::Here;
                }
                for (number, (place, kept, _)) in tokens.into_iter().enumerate() {
                    if !stored.refused.contains(&number) {
                        made.tokens.entry(place).or_default().put(kept);
                    }
                }
                if is_refresh {
                    self.synced();
                }
            }
            Err(Error::SignedOut) => {
                assert!(!surely, "a live sign-in took no tokens");
                let may_be_live = self.may_be_live(&self.made[index]);
                if may_be_live && !self.made[index].is_shaky {
                    self.made[index].fate = Fate::Collected;
                }
            }
            Err(Error::Tampered(_)) if self.made[index].is_shaky => {}
            Err(error) => {
                self.failed(&error);
                for (place, kept, _) in tokens {
                    self.made[index].tokens.entry(place).or_default().perhaps(Some(kept));
                }
            }
        }
        self.touched.push(index);
    }

    fn scope(who: Who) -> SignOutScope {
        match who {
            Who::Everybody => SignOutScope::Everybody,
            Who::Account(number) => SignOutScope::Account(account(number)),
            Who::Tenant(number) => SignOutScope::Tenant(tenant(number)),
            Who::Session(number) => SignOutScope::Session(session(number)),
            Who::Subject(number) => SignOutScope::Subject(subject(number)),
        }
    }

    fn sign_out(&mut self, who: Who, ago: Option<u64>, taking: bool, only_session: bool) {
        let scope = Self::scope(who);
        let mut request = SignOut::of(scope.clone());
        let cutoff = ago.map_or(u64::MAX, |ago| self.now() - ago);
        if ago.is_some() {
            request = request.signed_in_before(at(cutoff));
        }
        let taking = taking && !matches!(who, Who::Tenant(_) | Who::Everybody);
        if taking {
            request = request.taking_refresh_tokens();
        }
        if only_session {
            request = request.policy(SessionPolicy::OnlySession);
        }
        let takes_accounts = matches!(who, Who::Session(_)) && !only_session;
        // Without figures nothing was possible any more.
        let stats = self.store().stats();
        // (An engine that has failed tells of nobody.)
        let is_engine_failed = stats.as_ref().is_ok_and(|stats| stats.engine_failed);
        let known = stats.map_or(u64::MAX, |stats| stats.synced);
        let order = self.event();
        let fence = Fence { who, order, cutoff, time: self.now() };
        // A session's accounts: those that surely are taken, and those that may be.
        let (mut surely, mut perhaps) = (Vec::new(), Vec::new());
        for number in (0..ACCOUNTS).filter(|_| takes_accounts) {
            let of_session = |made: &&Made| made.account == number && made.is_of(who);
            if !is_engine_failed
                && self.made.iter().filter(of_session).any(|made| self.is_surely_live(made))
            {
                surely.push(number);
            }
            if self.made.iter().any(|made| of_session(&made))
                || self.attempts.iter().any(|a| a.account == number)
            {
                perhaps.push(number);
            }
        }
        let live_before: Vec<usize> =
            (0..self.made.len()).filter(|i| self.is_surely_live(&self.made[*i])).collect();
        let result = self.store().sign_out(request);
        self.touched.extend((0..self.made.len()).filter(|i| self.made[*i].is_of(who)));
        match result {
            Ok(receipt) => {
                assert_eq!(receipt.at, at(fence.time));
                self.fences.push(fence);
                let mut taken = Vec::new();
                let mut unknown = Vec::new();
                for number in perhaps {
                    match self.store().last_sign_out(&SignOutScope::Account(account(number))) {
                        Ok(last) if last.exact.is_some_and(|record| record.position > known) => {
                            taken.push(number)
                        }
                        Ok(_) => {}
                        // The disk died behind the sign-out.
                        Err(error) => {
                            self.failed(&error);
                            unknown.push(number);
                        }
                    }
                }
                assert!(
                    surely.iter().all(|n| taken.contains(n) || unknown.contains(n)),
                    "a session's account was not taken"
                );
                assert!(
                    !unknown.is_empty()
                        || receipt.accounts == takes_accounts.then_some(taken.len()),
                    "others were taken"
                );
                self.fences.extend(
                    taken.iter().map(|number| Fence { who: Who::Account(*number), ..fence }),
                );
                if !unknown.is_empty() {
                    let surely = surely.iter().copied().filter(|n| unknown.contains(n)).collect();
                    let fences = unknown
                        .iter()
                        .map(|number| Fence { who: Who::Account(*number), ..fence })
                        .collect();
                    self.doubts.push(Doubt { fences, known, surely, is_known: true });
                }
                if taking {
                    self.check_taken(&receipt, &live_before);
                } else {
                    assert!(receipt.refresh_tokens.is_empty() && !receipt.refresh_tokens_missed);
                }
                match self.store().last_sign_out(&scope) {
                    Ok(last) => {
                        let record = last.exact.expect("it is on record");
                        assert_eq!(record.signed_in_before, ago.map(|_| at(cutoff)));
                        assert!(record.position > known && record.position <= receipt.position);
                        assert_eq!(record.at, at(fence.time));
                    }
                    Err(error) => self.failed(&error),
                }
            }
            Err(Error::OnlySessionEnded { .. }) => {
                assert!(takes_accounts && self.is_armed, "the engine has not failed");
                self.fences.push(fence);
            }
            Err(Error::Full(_)) => assert!(self.is_full, "there was space"),
            Err(error) => {
                self.failed(&error);
                assert!(self.has_failed, "a sign-out fails only with its ledger: {error:?}");
                let accounts =
                    perhaps.iter().map(|number| Fence { who: Who::Account(*number), ..fence });
                let fences = std::iter::once(fence).chain(accounts).collect();
                self.doubts.push(Doubt { fences, known, surely, is_known: false });
            }
        }
    }

    /// The refresh tokens that a sign-out gave: all of whom it ended, and nobody else's.
    fn check_taken(&self, receipt: &Receipt, live_before: &[usize]) {
        let given: Vec<&str> =
            receipt.refresh_tokens.iter().map(|token| token.secret.expose()).collect();
        let dead = || self.made.iter().filter(|made| self.is_covered(made));
        let is_theirs = |secret: &str| {
            dead().any(|made| {
                made.ever
                    .get(&Place::Refresh)
                    .is_some_and(|ever| ever.iter().any(|one| one == secret))
            })
        };
        assert!(
            given.iter().all(|secret| is_theirs(secret)),
            "a refresh token of somebody who lives"
        );
        if receipt.refresh_tokens_missed || self.is_armed {
            let is_excused = self.is_armed || self.made.iter().any(|made| made.is_shaky);
            return assert!(is_excused, "a refresh token is missed");
        }
        for made in
            live_before.iter().map(|index| &self.made[*index]).filter(|made| self.is_covered(made))
        {
            let slot = made.tokens.get(&Place::Refresh).map(|slot| slot.now.as_slice());
            if let Some([Some(kept)]) = slot {
                // (Of a sign-in that tampering has hidden, nothing is known.)
                assert!(given.contains(&kept.secret.as_str()), "a refresh token is not given");
            }
        }
    }

    fn sweep(&mut self, budget: usize) {
        let (now, moment) = (self.now(), self.clock.moment());
        match self.store().sweep(budget) {
            Ok(swept) => assert!(
                swept.tampered == 0 || self.made.iter().any(|made| made.is_shaky),
                "rows do not open"
            ),
            Err(error) => self.failed(&error),
        }
        for made in &mut self.made {
            for slot in made.tokens.values_mut() {
                if slot
                    .now
                    .iter()
                    .flatten()
                    .any(|kept| kept.expires < now || !kept.is_visible(moment))
                {
                    slot.perhaps(None);
                }
            }
        }
        self.ledger_compacted();
    }

    fn ledger_compacted(&mut self) {
        let now = self.now();
        // Compaction lets the oldest sign-outs stand for everybody who came before, which shows only if the clock has gone back.
        let old = self
            .events
            .iter()
            .filter(|(_, time)| time + MAX_AGE < now)
            .map(|(order, _)| *order)
            .max()
            .unwrap_or(0);
        let made = self.made.iter_mut().filter(|made| made.order < old && made.fate == Fate::Here);
        made.for_each(|made| made.fate = Fate::Perhaps);
    }

    /// An operator changes keys, has the rows moved to a fresh engine, or everything sealed anew. Nothing of what is live changes.
    fn move_rows(&mut self, kind: u8, keys: u8) {
        let new: Vec<u8> = if keys.is_multiple_of(4) {
            vec![keys / 4 % 3 + 7]
        } else {
            vec![keys / 4 % 3 + 7, keys % 4 + 9]
        };
        let source = new
            .iter()
            .map(|key| KeySource::bytes(secret_key(*key)))
            .reduce(KeySource::also)
            .expect("there is a key");
        let is_shaky = self.made.iter().any(|made| made.is_shaky);
        let known = self.store().stats().map(|stats| stats.synced);
        let kind = kind % 3;
        let moved = match kind {
            0 => self.store().rotate_key(&source),
            1 => self
                .store()
                .compact()
                .map(|done| assert!(done.tampered == 0 || is_shaky, "rows do not open")),
            _ => {
                let erased = self.store().complete_erasure(&source);
                erased.map(|done| assert!(done.tampered == 0 || is_shaky, "rows do not open"))
            }
        };
        let has_keys = kind != 1;
        match moved {
            Ok(()) => {
                if has_keys {
                    self.keys = vec![new];
                    self.check_keys();
                }
                if kind > 0 {
                    self.synced();
                    self.checkpoint = self.machine.rows().remove(b"C".as_slice());
                }
                if let (Ok(before), Ok(after)) = (known, self.store().stats()) {
                    assert_eq!(before, after.synced, "the ledger's end has moved");
                }
            }
            Err(Error::InvalidInput { field: "store", .. }) => {
                assert!(self.is_move_stuck, "an earlier move is in the way")
            }
            Err(error) => {
                self.is_move_stuck |= kind > 0;
                match error {
                    // There must be space for a copy.
                    Error::Full(Component::Engine) if self.is_full => {}
                    Error::Io { .. } if self.is_full => {}
                    error => self.failed(&error),
                }
                if has_keys && !self.keys.contains(&new) {
                    self.keys.push(new);
                }
            }
        }
        if kind == 1 {
            self.ledger_compacted();
        }
        self.touched = (0..self.made.len()).collect();
    }

    /// Each of the keys opens a copy of the store, and no other does.
    fn check_keys(&self) {
        for key in 7..13 {
            let opened = self
                .machine
                .copy()
                .builder()
                .key(KeySource::bytes(secret_key(key)))
                .clock(self.clock.apart())
                .open();
            let is_key = self.keys[0].contains(&key);
            match opened {
                Ok(_) => assert!(is_key, "a retired key opens the store"),
                Err(Error::KeyRejected) => assert!(!is_key, "a key does not open the store"),
                // (Its checkpoint, perhaps.)
                Err(error) => assert!(self.is_meddled || self.is_armed, "{error:?}"),
            }
        }
    }

    /// Every row opens, and they are as many as there must be.
    pub(super) fn verify(&mut self) {
        let is_shaky = self.made.iter().any(|made| made.is_shaky);
        match self.store().verify() {
            Ok(verified) => {
                let counts = |is_in: &dyn Fn(&Made) -> bool| {
                    let accounts = (0..ACCOUNTS)
                        .filter(|n| self.made.iter().any(|made| made.account == *n && is_in(made)));
                    (
                        accounts.count() as u64,
                        self.made.iter().filter(|made| is_in(made)).count() as u64,
                    )
                };
                // (Whoever is too old by a clock that only this process speaks for is kept.)
                let may_be_there = |made: &Made| {
                    matches!(made.fate, Fate::Here | Fate::Perhaps) && !self.is_covered(made)
                };
                let (sure, possible) =
                    (counts(&|made| self.is_surely_live(made)), counts(&may_be_there));
                if !is_shaky {
                    assert!(verified.is_sound(), "{verified:?}");
                    assert!(
                        (sure.0..=possible.0).contains(&verified.accounts),
                        "{verified:?}, {sure:?} to {possible:?}"
                    );
                    assert!(
                        (sure.1..=possible.1).contains(&verified.sign_ins),
                        "{verified:?}, {sure:?} to {possible:?}"
                    );
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    fn crash(&mut self, power: bool, seed: u64) {
        if power {
            self.machine.cut_power(seed);
        } else {
            self.machine.kill_process(seed);
        }
        for made in &mut self.made {
            // What was deleted without a sync may be back.
            if made.fate == Fate::Collected {
                made.fate = Fate::Perhaps;
            }
            if power {
                if made.fate == Fate::Here && !made.is_durable {
                    made.fate = Fate::Perhaps;
                }
                made.tokens.values_mut().for_each(|slot| slot.power_cut());
            }
        }
    }

    /// Opens the store again, finds out what was in doubt, and takes the handles anew.
    fn reopen(&mut self, dies_after: Option<u8>) {
        self.store = None;
        self.clock.forget();
        if let Some(calls) = dies_after {
            self.machine.die_after(u64::from(calls % 24));
            match self.builder(&self.machine).open() {
                Ok(store) => drop(store),
                Err(Error::Io { .. } | Error::Poisoned(_)) => {}
                Err(Error::Damaged { part: Component::Engine, .. }) if self.is_meddled => {}
                Err(error) => panic!("{error:?}"),
            }
            self.crash(true, 11);
            self.clock.forget();
        }
        let store = match self.builder(&self.machine).open() {
            Ok(store) => store,
            // The checkpoint was changed: with one from before the store opens.
            Err(Error::Damaged { part: Component::Engine, .. }) if self.is_meddled => {
                let mut rows = self.machine.rows();
                rows.remove(b"C".as_slice());
                rows.extend(self.checkpoint.clone().map(|checkpoint| (b"C".to_vec(), checkpoint)));
                self.machine.set_rows(rows);
                self.builder(&self.machine).open().expect("a store with its checkpoint")
            }
            Err(error) => panic!("{error:?}"),
        };
        self.opened(store);
    }

    fn opened(&mut self, store: TokenStore) {
        (self.is_armed, self.has_failed, self.is_full, self.is_move_stuck) =
            (false, false, false, false);
        self.checkpoint = self.machine.rows().remove(b"C".as_slice());
        for doubt in std::mem::take(&mut self.doubts) {
            let is_there = |fence: &Fence| {
                let last =
                    store.last_sign_out(&Self::scope(fence.who)).expect("nothing has failed");
                last.exact.is_some_and(|record| record.position > doubt.known)
            };
            let is_first = doubt.fences.first().is_some_and(is_there);
            let there: Vec<Fence> =
                doubt.fences.iter().filter(|fence| is_there(fence)).copied().collect();
            if doubt.is_known || is_first {
                let is_taken =
                    |number: &u8| there.iter().any(|fence| fence.who == Who::Account(*number));
                assert!(doubt.surely.iter().all(is_taken), "a session's sign-out is there in part");
            } else {
                assert!(there.is_empty(), "a sign-out is there in part");
            }
            self.fences.extend(there);
        }
        self.take_handles(&store);
        self.attempts.clear();
        self.store = Some(store);
        self.age();
        self.touched = (0..self.made.len()).collect();
    }

    /// Finds the sign-ins in the store that was opened: just those that live.
    fn take_handles(&mut self, store: &TokenStore) {
        for number in 0..ACCOUNTS {
            let is_shaky = self.made.iter().any(|made| made.account == number && made.is_shaky);
            let listed = match store.account(&account(number)) {
                Ok(listed) => listed,
                Err(Error::Tampered(_)) if is_shaky => {
                    // Nobody of this account can be found.
                    for made in self.made.iter_mut().filter(|made| made.account == number) {
                        (made.is_shaky, made.handle) = (true, None);
                    }
                    continue;
                }
                Err(error) => panic!("{error:?}"),
            };
            for live in &listed {
                if self.made.iter().any(|made| made.id == live.id()) {
                    continue;
                }
                // Nobody was told of this one: it died while it was being made.
                let time = seconds(live.signed_in_at());
                let attempt = self.attempts.iter().position(|a| {
                    (account(a.account), tenant(a.tenant), a.time)
                        == (account(number), live.tenant().clone(), time)
                        && (a.session.map(session).as_ref(), a.subject.map(subject).as_ref())
                            == (live.session(), live.subject())
                });
                let attempt =
                    self.attempts.remove(attempt.expect("a sign-in that nobody asked for"));
                let Attempt { account, tenant, session, subject, time, order } = attempt;
                self.made.push(Made {
                    handle: None,
                    id: live.id(),
                    account,
                    tenant,
                    session,
                    subject,
                    time,
                    order,
                    continued: false,
                    fate: Fate::Here,
                    is_durable: false,
                    is_shaky,
                    tokens: HashMap::new(),
                    ever: HashMap::new(),
                });
            }
            for index in 0..self.made.len() {
                if self.made[index].account != number {
                    continue;
                }
                let stale = self.made[index].handle.take();
                if let Some(stale) = stale {
                    assert!(
                        stale.put(RefreshToken::new(client(), "late")).is_err(),
                        "a handle outlives its process"
                    );
                }
                let found = listed.iter().find(|live| live.id() == self.made[index].id).cloned();
                let (may, must) =
                    (self.may_be_live(&self.made[index]), self.is_surely_live(&self.made[index]));
                assert!(found.is_none() || may, "a dead sign-in is listed");
                assert!(
                    found.is_some() || !must,
                    "a live sign-in is lost: {index} of {}, {} listed",
                    self.made.len(),
                    listed.len()
                );
                let made = &mut self.made[index];
                if found.is_some() {
                    made.fate = Fate::Here;
                } else if may && !made.is_shaky {
                    made.fate = Fate::Collected;
                }
                (made.handle, made.continued) = (found, false);
            }
        }
    }

    fn tamper(&mut self, how: u8, [row, other, at]: [u16; 3], mask: u8, live: bool) {
        let mut rows = self.machine.rows();
        let key = |number: u16| rows.keys().nth(usize::from(number) % rows.len().max(1)).cloned();
        let (Some(key), Some(other)) = (key(row), key(other)) else { return };
        let mut value = rows[&key].clone();
        let place = usize::from(at) % value.len().max(1);
        match how % 7 {
            0 => drop(rows.remove(&key)),
            1 => drop(rows.insert(other, value)),
            2 => {
                value.truncate(place);
                rows.insert(key, value);
            }
            3 => {
                value.push(mask);
                rows.insert(key, value);
            }
            // Another key, of the same length.
            4 => {
                let mut key = key.clone();
                let place = usize::from(at) % key.len();
                key[place] ^= mask;
                rows.insert(key, value);
            }
            _ if value.is_empty() => {}
            _ => {
                value[place] ^= mask.max(1);
                rows.insert(key, value);
            }
        }
        self.meddle(rows, live);
    }

    /// Puts rows in the place of all; of a store that works on, or of one that has died.
    fn meddle(&mut self, rows: BTreeMap<Vec<u8>, Vec<u8>>, live: bool) {
        if !live {
            self.crash(false, 13);
        }
        self.machine.set_rows(rows);
        self.is_meddled = true;
        self.made.iter_mut().for_each(|made| made.is_shaky = true);
        if !live {
            self.reopen(None);
        }
    }

    /// A file of a copy of the machine is changed. The copy opens, with nobody who is dead, or says why not.
    fn tamper_file(&mut self, file: u8, how: u8, at: u16, mask: u8) {
        let copy = self.machine.copy();
        let mut files = copy.files();
        let Some(name) = files.keys().nth(usize::from(file) % files.len().max(1)).cloned() else {
            return;
        };
        let bytes = files.get_mut(&name).expect("a file by its name");
        let place = usize::from(at) % bytes.len().max(1);
        match how % 5 {
            0 => drop(files.remove(&name)),
            1 => bytes.truncate(place),
            2 => bytes.extend_from_slice(&[mask; 64]),
            _ if bytes.is_empty() => {}
            _ => bytes[place] ^= mask,
        }
        copy.set_files(files);
        let store = match self.builder(&copy).clock(self.clock.apart()).open() {
            Ok(store) => store,
            Err(Error::Damaged { .. } | Error::KeyRejected | Error::UnsupportedFormat { .. }) => {
                return;
            }
            Err(error) => panic!("{error:?}"),
        };
        for number in 0..ACCOUNTS {
            for live in store.account(&account(number)).unwrap_or_default() {
                let made = self.made.iter().find(|made| made.id == live.id());
                assert!(
                    made.is_none_or(|made| !self.is_covered(made)),
                    "a changed file brought somebody back"
                );
            }
        }
    }

    /// The name of the ledger that the keyring names. Replacing the keyring is the only switch: every other ledger counts for nothing.
    fn ledger_name(&self, files: &BTreeMap<String, Vec<u8>>) -> String {
        let keyring = files.get("keyring").expect("there is a keyring");
        let id = open_keyring(keyring, &self.key()).expect("the keyring is sound").ledger_id;
        id.iter().fold(String::from("ledger-"), |name, byte| format!("{name}{byte:02x}"))
    }

    /// Damages the ledger, or one that an unfinished move has left beside it, and has everybody forgotten if that is damage to the store.
    fn forget(&mut self, at: u16, mask: u8) {
        self.crash(false, 17);
        self.store = None;
        self.clock.forget();
        let mut files = self.machine.files();
        let own = self.ledger_name(&files);
        // `at` counts through the bytes of all of them, the store's own first.
        let mut names: Vec<String> =
            files.keys().filter(|name| name.starts_with("ledger-")).cloned().collect();
        names.sort_by_key(|name| *name != own);
        assert_eq!(names.first(), Some(&own), "the ledger is missing");
        let mut place = usize::from(at) % names.iter().map(|name| files[name].len()).sum::<usize>();
        let mut changed = names.iter();
        let name = loop {
            let name = changed.next().expect("a place in one of them");
            match place.checked_sub(files[name].len()) {
                Some(behind) => place = behind,
                None => break name,
            }
        };
        files.get_mut(name).expect("a file by its name")[place] ^= mask.max(1);
        self.machine.set_files(files);
        // A copy says whether it is damage; if not (a chunk that had never been used, a ledger that does not count), nobody is forgotten.
        let is_damaged = match self.builder(&self.machine.copy()).clock(self.clock.apart()).open() {
            Ok(_) => false,
            Err(Error::Damaged { part: Component::Ledger, .. }) => {
                assert_eq!(*name, own, "a ledger that does not count is damage");
                true
            }
            // Its checkpoint.
            Err(Error::Damaged { part: Component::Engine, .. }) if self.is_meddled => true,
            Err(error) => panic!("{error:?}"),
        };
        let opened = self
            .builder(&self.machine)
            .on_damage(OnDamage::ForgetEveryone)
            .open()
            .expect("everybody is forgotten");
        let is_forgotten = self.ledger_name(&self.machine.files()) != own;
        assert_eq!(is_forgotten, is_damaged, "everybody is forgotten just if something is damaged");
        if is_forgotten {
            let order = self.event();
            self.forgotten = order;
            self.fences.push(Fence {
                who: Who::Everybody,
                order,
                cutoff: u64::MAX,
                time: self.now(),
            });
            (self.doubts, self.attempts) = (Vec::new(), Vec::new());
        }
        self.opened(opened);
    }
}
