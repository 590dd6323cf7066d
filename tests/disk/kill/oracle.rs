//! What must be found after a death, from what the child had written down until then.
//!
//! Each line has a place in time. A verb lies between its two lines, or between its first and the
//! death. Of two verbs one is certainly before the other only if its last line is before the
//! other's first; else both orders are right. After each death everything is looked at, and what
//! was found becomes certain: whoever lives must live until signed out anew, and whoever is gone
//! must stay gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use oubliette::*;
use oubliette_testkit::accounts::{account, session, subject};
use oubliette_testkit::chance::Chance;
use oubliette_testkit::disk::builder_at;

use super::log::{Id, Line, Who, Whom};
use super::worker::{ACCOUNTS, Seen, guest_of, id_of, see};

/// A place in the log; the death is at `usize::MAX`.
type Time = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sure {
    Yes,
    No,
    Unknown,
}

/// All that is known of the store that is in the folder.
#[derive(Default)]
pub(crate) struct Oracle {
    /// Every sign-in that ever began.
    sign_ins: BTreeMap<Id, Kept>,
    /// The highest position at which a scope was certainly signed out.
    signed_out: BTreeMap<Whom, u64>,
}

#[derive(Debug)]
struct Kept {
    who: Who,
    is_dead: bool,
    began: Time,
    /// `None` if it was not acknowledged before the death.
    acknowledged: Option<Time>,
    /// The last put of the whole set that was acknowledged, and those behind it that may be there
    /// in its place.
    set: (Option<Id>, Vec<Id>),
    alone: (Option<Id>, Vec<Id>),
    /// Whether the guest's tenant was signed out since.
    guest_gone: Sure,
    /// Puts of this sign-in whose guest's token was not stored.
    without_guest: BTreeSet<Id>,
}

struct Ended {
    whom: Whom,
    began: Time,
    ended: Time,
    /// `None` until it is known; then whether it was recorded.
    stands: Option<bool>,
}

/// How much there was to check.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    must_live: u64,
    must_be_gone: u64,
    sign_outs: u64,
    unacknowledged_found: u64,
    unacknowledged_lost: u64,
    puts_found: u64,
    puts_in_doubt_found: u64,
    puts_in_doubt_lost: u64,
    deaths_that_left_dead_rows: u64,
}

impl Totals {
    /// Fails if the loop has gone by something that it is there to see.
    pub(crate) fn assert_telling(&self) {
        let both = self.unacknowledged_found > 0 && self.unacknowledged_lost > 0;
        let doubts = self.puts_in_doubt_found > 0 && self.puts_in_doubt_lost > 0;
        let certain = self.must_live > 0
            && self.must_be_gone > 0
            && self.sign_outs > 0
            && self.puts_found > 0;
        assert!(
            certain && (both || doubts) && self.deaths_that_left_dead_rows > 0,
            "too little happened: {self:?}"
        );
    }
}

macro_rules! ensure {
    ($holds:expr, $($what:tt)+) => { if !$holds { return Err(format!($($what)+)); } };
}

impl Oracle {
    /// Opens the store and compares.
    pub(crate) fn judge(
        &mut self,
        folder: &Path,
        lines: &[Line],
        chance: &mut Chance,
        totals: &mut Totals,
    ) -> Result<(), String> {
        if let Some(wrong) = lines.iter().find(|line| matches!(line, Line::Wrong(_))) {
            return Err(format!("{wrong:?}"));
        }
        let mut ended = self.read(lines, totals);
        let store = builder_at(folder)
            .max_sign_ins(64)
            .open()
            .map_err(|error| format!("open after the death: {error:?}"))?;
        self.settle_sign_outs(&store, &mut ended)?;
        let found = look(&store)?;
        self.settle_sign_ins(&found, &ended, totals)?;
        if chance.one_in(2) {
            let swept = store.sweep(100_000).map_err(|error| format!("sweep: {error:?}"))?;
            ensure!(
                swept.finished && swept.tampered == 0 && swept.expired_tokens == 0,
                "{swept:?}"
            );
            totals.deaths_that_left_dead_rows += u64::from(swept.dead_rows > 0);
            ensure!(look(&store)? == found, "the sweep took more than the dead");
        }
        if chance.one_in(3) {
            drop(store);
            return Ok(());
        }
        store.close().map_err(|error| format!("close: {error:?}"))
    }

    /// Notes what the child began and what it was told; gives the sign-outs.
    fn read(&mut self, lines: &[Line], totals: &mut Totals) -> Vec<Ended> {
        let told = |id: Id| {
            let of = |(_, line): &(Time, &Line)| matches!(line, Line::Done(of, _) | Line::Refused(of) if *of == id);
            lines.iter().enumerate().find(of)
        };
        let mut ended = Vec::new();
        for (began, line) in lines.iter().enumerate() {
            match (line, line.id().and_then(told)) {
                (Line::SignIn(id, who), told) => {
                    let acknowledged = told
                        .filter(|(_, line)| matches!(line, Line::Done(..)))
                        .map(|(time, _)| time);
                    let is_dead = acknowledged.is_none() && told.is_some();
                    let kept = Kept { who: *who, is_dead, began, acknowledged, ..Kept::new(*who) };
                    self.sign_ins.insert(*id, kept);
                }
                (Line::Put(id, of, whole), told) => {
                    let kept = self.sign_ins.get_mut(of).expect("the sign-in of a put");
                    let last = if *whole { &mut kept.set } else { &mut kept.alone };
                    match told {
                        Some((_, Line::Done(_, has_guest))) => {
                            *last = (Some(*id), Vec::new());
                            if *has_guest == 0 {
                                kept.without_guest.insert(*id);
                            }
                        }
                        // Overtaken by a sign-out that perhaps did not survive: the put may have.
                        _ => last.1.push(*id),
                    }
                }
                (Line::SignOut(_, whom), told) => {
                    let position =
                        told.and_then(
                            |(_, line)| if let Line::Done(_, at) = line { Some(*at) } else { None },
                        );
                    if let Some(position) = position {
                        totals.sign_outs += 1;
                        // The receipt has the last record's position; a session's has its account's
                        // behind it.
                        let certain =
                            if matches!(whom, Whom::Session(_)) { position - 1 } else { position };
                        let last = self.signed_out.entry(*whom).or_default();
                        *last = certain.max(*last);
                    }
                    let ends = told.map_or(Time::MAX, |(time, _)| time);
                    ended.push(Ended {
                        whom: *whom,
                        began,
                        ended: ends,
                        stands: position.map(|_| true),
                    });
                }
                _ => {}
            }
        }
        ended
    }

    /// `last_sign_out` answers for each that was acknowledged, and says of the others whether they
    /// were recorded.
    fn settle_sign_outs(&mut self, store: &TokenStore, ended: &mut [Ended]) -> Result<(), String> {
        let mut positions = BTreeSet::new();
        // A session's sign-out is recorded under its account too.
        let by_session: BTreeSet<Whom> =
            ended.iter().filter_map(|one| one.whom.account_of_session()).collect();
        let accounts = (0..ACCOUNTS).map(Whom::Account);
        let all =
            self.signed_out.keys().copied().chain(ended.iter().map(|one| one.whom)).chain(accounts);
        for whom in all.collect::<BTreeSet<_>>() {
            let last = store
                .last_sign_out(&whom.scope())
                .map_err(|error| format!("last_sign_out: {error:?}"))?;
            let position = last.exact.map(|record| record.position);
            let known = self.signed_out.get(&whom).copied();
            ensure!(
                position >= known,
                "{whom:?} was signed out at {known:?}, and the ledger says {position:?}"
            );
            ensure!(
                position.is_none_or(|position| positions.insert(position)),
                "{position:?} is there twice"
            );
            let is_only = ended.iter().filter(|one| one.whom == whom).count() == 1
                && !by_session.contains(&whom);
            let slack = u64::from(matches!(whom, Whom::Session(_)));
            let is_newer = position > known.map(|known| known + slack);
            let mut doubtful: Vec<&mut Ended> =
                ended.iter_mut().filter(|one| one.whom == whom && one.stands.is_none()).collect();
            match doubtful.as_mut_slice() {
                unrecorded if position.is_none() => {
                    unrecorded.iter_mut().for_each(|one| one.stands = Some(false))
                }
                [one] if is_only => one.stands = Some(position > known),
                [one] if is_newer && !by_session.contains(&whom) => one.stands = Some(true),
                // Its record, if there is one, may hide behind the newest, or the newest may be
                // another's.
                _ => {}
            }
            if let Some(position) = position {
                self.signed_out.insert(whom, position);
            }
        }
        Ok(())
    }

    /// Who was signed in is there with all tokens or gone with all, as it must be; and stays so
    /// from now on.
    fn settle_sign_ins(
        &mut self,
        found: &BTreeMap<Id, Seen>,
        ended: &[Ended],
        totals: &mut Totals,
    ) -> Result<(), String> {
        ensure!(
            found.keys().all(|id| self.sign_ins.contains_key(id)),
            "a sign-in that nobody began"
        );
        let fates: BTreeMap<Id, Sure> =
            self.sign_ins.keys().map(|id| (*id, self.is_gone(*id, ended))).collect();
        let guests: BTreeMap<Id, Sure> =
            self.sign_ins.iter().map(|(id, kept)| (*id, guest_gone(kept, ended))).collect();
        for (id, kept) in &mut self.sign_ins {
            let (is_found, fate) = (found.get(id), fates[id]);
            match (fate, is_found, kept.acknowledged) {
                (Sure::Yes, Some(seen), _) => {
                    return Err(format!("sign-in {id} came back: {kept:?} {seen:?}"));
                }
                (Sure::No, None, Some(_)) => return Err(format!("sign-in {id} is lost: {kept:?}")),
                (Sure::Yes, None, Some(_)) => totals.must_be_gone += 1,
                (Sure::No, Some(_), Some(_)) => totals.must_live += 1,
                (_, Some(_), None) => totals.unacknowledged_found += 1,
                (_, None, None) => totals.unacknowledged_lost += u64::from(!kept.is_dead),
                _ => {}
            }
            kept.guest_gone = guests[id];
            if let Some(seen) = is_found {
                kept.check_tokens(*id, seen, totals)?;
            }
            kept.is_dead = is_found.is_none();
            (kept.began, kept.acknowledged) = (0, Some(0));
        }
        Ok(())
    }

    /// Whether a sign-in must be gone, must not be, or may be either.
    fn is_gone(&self, id: Id, ended: &[Ended]) -> Sure {
        let kept = &self.sign_ins[&id];
        if kept.is_dead {
            return Sure::Yes;
        }
        any(ended.iter().map(|one| self.covers(one, kept, ended)))
    }

    fn covers(&self, one: &Ended, kept: &Kept, ended: &[Ended]) -> Sure {
        if is_in_scope(one.whom, &kept.who) {
            return one.certainty(kept);
        }
        // A session's sign-out takes the accounts of its sign-ins, if it finds one.
        let Whom::Session(session) = one.whom else { return Sure::No };
        let others = self
            .sign_ins
            .values()
            .filter(|o| o.who.account == kept.who.account && o.who.session == Some(session));
        let found = any(others.map(|other| {
            let may_be_gone = |before: &Ended| {
                let is_its_own = std::ptr::eq(before, one);
                !is_its_own
                    && before.began < one.ended
                    && before.may_take(other)
                    && before.certainty(other) != Sure::No
            };
            match one.certainty(other) {
                Sure::Yes if !other.is_dead && !ended.iter().any(may_be_gone) => Sure::Yes,
                Sure::No => Sure::No,
                _ => Sure::Unknown,
            }
        }));
        match (found, one.certainty(kept)) {
            (Sure::No, _) | (_, Sure::No) => Sure::No,
            (Sure::Yes, Sure::Yes) => Sure::Yes,
            _ => Sure::Unknown,
        }
    }
}

impl Kept {
    fn new(who: Who) -> Self {
        let nothing = || (None, Vec::new());
        let (set, alone, without_guest) = (nothing(), nothing(), BTreeSet::new());
        Self {
            who,
            is_dead: false,
            began: 0,
            acknowledged: None,
            set,
            alone,
            guest_gone: Sure::No,
            without_guest,
        }
    }

    /// All of the tokens of the last put, or, if that was not acknowledged, of the one before.
    fn check_tokens(&mut self, id: Id, seen: &Seen, totals: &mut Totals) -> Result<(), String> {
        ensure!(
            seen.access == seen.refresh && seen.access == seen.id,
            "sign-in {id} has parts of two puts: {seen:?} {self:?}"
        );
        // A sign-out of the guest's tenant that did not survive the death may have kept that one
        // token out of the put.
        let without_guest = seen
            .access
            .is_some_and(|put| self.without_guest.contains(&put) || self.set.1.contains(&put));
        for (put, last) in [(seen.access, &mut self.set), (seen.alone, &mut self.alone)] {
            let in_doubt = put.is_some_and(|put| last.1.contains(&put));
            ensure!(put == last.0 || in_doubt, "sign-in {id} should have {last:?} and has {put:?}");
            totals.puts_found += u64::from(put.is_some() && !in_doubt);
            totals.puts_in_doubt_found += u64::from(in_doubt);
            totals.puts_in_doubt_lost += u64::from(!last.1.is_empty() && !in_doubt);
            *last = (put, Vec::new());
        }
        match (seen.guest, self.guest_gone) {
            (Some(_), Sure::Yes) => {
                Err(format!("sign-in {id} has a token of a tenant that was signed out: {seen:?}"))
            }
            (put, Sure::No) if put != seen.access && !without_guest => {
                Err(format!("sign-in {id} lost the guest's token: {seen:?}"))
            }
            (Some(put), _) if Some(put) > seen.access => {
                Err(format!("sign-in {id}: the guest's token is of another put: {seen:?}"))
            }
            _ => Ok(()),
        }
    }
}

impl Ended {
    /// Whether it takes a sign-in that is in its scope.
    fn certainty(&self, kept: &Kept) -> Sure {
        if self.stands == Some(false) || self.ended < kept.began {
            Sure::No
        } else if self.stands == Some(true) && kept.acknowledged.is_some_and(|at| at <= self.began)
        {
            Sure::Yes
        } else {
            Sure::Unknown
        }
    }

    /// Whether this sign-in can be in its scope, through its account's sessions too.
    fn may_take(&self, kept: &Kept) -> bool {
        is_in_scope(self.whom, &kept.who)
            || matches!(self.whom, Whom::Session(n) if n / 2 == kept.who.account)
    }
}

fn is_in_scope(whom: Whom, who: &Who) -> bool {
    match whom {
        Whom::Account(n) => n == who.account,
        Whom::Session(n) => Some(n) == who.session,
        Whom::Subject(n) => n == who.subject,
        Whom::Tenant(n) => n == who.tenant,
        Whom::Everybody => true,
    }
}

fn guest_gone(kept: &Kept, ended: &[Ended]) -> Sure {
    let of_guest = ended.iter().filter(|one| one.whom == Whom::Tenant(guest_of(kept.who.tenant)));
    any(of_guest.map(|one| one.certainty(kept)).chain([kept.guest_gone]))
}

fn any(all: impl Iterator<Item = Sure>) -> Sure {
    all.fold(Sure::No, |so_far, one| match (so_far, one) {
        (Sure::Yes, _) | (_, Sure::Yes) => Sure::Yes,
        (Sure::No, Sure::No) => Sure::No,
        _ => Sure::Unknown,
    })
}

/// Every sign-in that can be found in any way, with its tokens. All ways must find the same.
fn look(store: &TokenStore) -> Result<BTreeMap<Id, Seen>, String> {
    let text = |error: Error| format!("reading: {error:?}");
    let mut found = BTreeMap::new();
    let mut listed = store.accounts(Page::first(1000)).map_err(text)?.accounts;
    for number in 0..ACCOUNTS {
        let lives = store.account(&account(number)).map_err(text)?;
        let place = listed.iter().position(|one| one.id == account(number));
        ensure!(
            place.map(|place| listed.remove(place).sign_ins).unwrap_or_default() == lives,
            "account {number} is listed otherwise"
        );
        for live in &lives {
            let others = [
                live.session().map_or(Ok(Vec::new()), |id| store.accounts_of_session(id)),
                store.accounts_of_subject(&subject(number)),
                store.accounts_of_alias(&live.aliases()[0]),
                store.accounts_in(live.tenant(), Page::first(1000)).map(|page| page.accounts),
            ];
            for (way, accounts) in others.into_iter().enumerate() {
                let is_there =
                    accounts.map_err(text)?.iter().any(|one| one.sign_ins.contains(live));
                let has_way = way > 0 || live.session().is_some();
                ensure!(is_there == has_way, "sign-in {} is not found by index {way}", id_of(live));
            }
            ensure!(
                found.insert(id_of(live), see(live)?).is_none(),
                "sign-in {} is there twice",
                id_of(live)
            );
        }
        for number in [2 * number, 2 * number + 1] {
            let by_session = store.accounts_of_session(&session(number)).map_err(text)?;
            ensure!(
                by_session.iter().all(|one| one.sign_ins.iter().any(|s| lives.contains(s))),
                "session {number} finds strangers"
            );
        }
    }
    ensure!(listed.is_empty(), "accounts that nobody signed in to");
    Ok(found)
}
