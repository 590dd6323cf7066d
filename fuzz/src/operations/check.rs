//! What the store gives is what the model says: nothing of the dead, all of the living, nothing of anybody else.

use oubliette::*;

use super::cast::*;
use super::model::{Fate, Made, Place, Who};
use super::world::World;

impl World {
    /// Looks at the sign-ins that the last verb was about, or at all.
    pub(super) fn check(&mut self, all: bool) {
        for index in 0..self.made.len() {
            if all || self.touched.contains(&index) {
                self.check_one(index);
            } else if self.made[index].handle.is_some() && self.is_covered(&self.made[index]) {
                self.check_dead(index);
            }
        }
        if all && !self.has_failed {
            self.check_lists();
            self.verify();
        }
    }

    /// What a read may say if something fails.
    fn may_fail(&self, error: &Error, made: &Made) -> bool {
        match error {
            Error::Tampered(_) => made.is_shaky,
            Error::Poisoned(_) | Error::Io { .. } => self.is_armed,
            _ => false,
        }
    }

    fn check_dead(&self, index: usize) {
        let made = &self.made[index];
        let Some(handle) = &made.handle else { return };
        let read = handle.refresh_token(&client()).map(|token| token.is_some());
        assert!(!matches!(read, Ok(true)), "a token of a dead sign-in was read");
        assert!(read.is_ok() || read.is_err_and(|error| self.may_fail(&error, made)));
    }

    fn check_one(&mut self, index: usize) {
        let Some(handle) = self.made[index].handle.clone() else { return };
        let (may, must) =
            (self.may_be_live(&self.made[index]), self.is_surely_live(&self.made[index]));
        match handle.is_live() {
            Ok(is_live) => {
                assert!(!self.has_failed, "a store whose ledger has failed says who lives");
                assert!(!is_live || may, "a dead sign-in lives");
                assert!(is_live || !must, "a live sign-in is dead");
                if may && !self.made[index].is_shaky {
                    self.made[index].fate = if is_live { Fate::Here } else { Fate::Collected };
                }
            }
            Err(error) => assert!(self.may_fail(&error, &self.made[index]), "{error:?}"),
        }
        let wanted = |number: u8, of: u8| {
            AccessQuery::new(client()).scopes(scopes(number)).tenant(tenant(of))
        };
        for of in 0..TENANTS {
            // First the token of all scopes, which serves who finds no other.
            for number in [2, 0, 1] {
                let read = handle
                    .access_token(&wanted(number, of))
                    .map(|token| token.map(|t| t.secret.expose().to_owned()));
                let mut places = vec![Place::Access { scopes: number, tenant: of }];
                if number < 2 {
                    places.push(Place::Access { scopes: 2, tenant: of });
                }
                self.check_read(index, &places, of, read);
            }
            let read = handle.id_token(IdQuery::client(client()).tenant(tenant(of)));
            self.check_read(
                index,
                &[Place::Id { tenant: of }],
                of,
                read.map(|token| token.map(|t| t.secret.expose().to_owned())),
            );
        }
        let own = self.made[index].tenant;
        let read = handle
            .refresh_token(&client())
            .map(|token| token.map(|t| t.secret.expose().to_owned()));
        self.check_read(index, &[Place::Refresh], own, read);
    }

    /// What was read at the first of these places, or for want of a token there, at the next.
    fn check_read(&mut self, index: usize, places: &[Place], of: u8, read: Result<Option<String>>) {
        let moment = self.clock.moment();
        let made = &self.made[index];
        let is_tenant_out =
            of != made.tenant && self.fences.iter().any(|fence| fence.covers_tenant(of, made));
        let may = self.may_be_live(made) && !is_tenant_out;
        let must = self.is_surely_live(made) && !is_tenant_out;
        let read = match read {
            Ok(read) => read,
            Err(error) => return assert!(self.may_fail(&error, made), "{error:?}"),
        };
        assert!(!self.has_failed, "a store whose ledger has failed is read");
        if let Some(secret) = &read {
            assert!(may, "a token of a dead sign-in was read");
            let is_ever =
                |place: &&Place| made.ever.get(place).is_some_and(|ever| ever.contains(secret));
            assert!(places.iter().any(|place| is_ever(&place)), "a wrong token was read");
        }
        if !must {
            return;
        }
        let [first, others @ ..] = places else { return };
        let nothing = super::model::Slot::default();
        let visible = |place: &Place| -> Vec<Option<String>> {
            let slot = made.tokens.get(place).unwrap_or(&nothing);
            slot.now
                .iter()
                .map(|kept| {
                    kept.as_ref()
                        .filter(|kept| kept.is_visible(moment))
                        .map(|kept| kept.secret.clone())
                })
                .collect()
        };
        let mut possible = visible(first);
        let is_missing_possible = possible.contains(&None);
        for other in others.iter().filter(|_| is_missing_possible) {
            possible.retain(Option::is_some);
            possible.extend(visible(other));
        }
        assert!(possible.contains(&read), "a token is lost, or an older one is back");
        // Now it is known what is there.
        let first = *first;
        if let Some(slot) = self.made[index].tokens.get_mut(&first) {
            let is_here = |kept: &Option<super::model::Kept>| {
                let visible =
                    kept.as_ref().filter(|kept| kept.is_visible(moment)).map(|kept| &kept.secret);
                visible == read.as_ref()
                    || (visible.is_none() && (read.is_none() || !others.is_empty()))
            };
            let is_exact = slot
                .now
                .iter()
                .flatten()
                .any(|kept| kept.is_visible(moment) && Some(&kept.secret) == read.as_ref());
            slot.now.retain(|kept| {
                is_here(kept)
                    && (!is_exact || kept.as_ref().map(|kept| &kept.secret) == read.as_ref())
            });
            assert!(!slot.now.is_empty());
        }
    }

    /// The lists give just the living, each under its names.
    pub(super) fn check_lists(&mut self) {
        if self.is_armed || self.has_failed {
            return;
        }
        let is_shaky = self.made.iter().any(|made| made.is_shaky);
        let is_fitting = |found: &[Account], who: Who, is_under: &dyn Fn(&Made) -> bool| {
            for account in found {
                for live in &account.sign_ins {
                    let made = self.made.iter().find(|made| made.id == live.id());
                    assert!(
                        made.is_none_or(|made| self.may_be_live(made)),
                        "a dead sign-in is listed under {who:?}"
                    );
                }
            }
            for number in (0..ACCOUNTS).filter(|_| !is_shaky) {
                let is_listed = found.iter().any(|found| found.id == account(number));
                let of_account = |made: &&Made| made.account == number && is_under(made);
                let must =
                    self.made.iter().filter(of_account).any(|made| self.is_surely_live(made));
                let may = self.made.iter().filter(of_account).any(|made| self.may_be_live(made));
                assert!(is_listed || !must, "an account is missing under {who:?}");
                assert!(
                    !is_listed || may || !self.is_told(number),
                    "an account is listed under {who:?}"
                );
            }
        };
        let store = self.store();
        let all = store.accounts(Page::first(100)).expect("nothing has failed");
        assert!(all.tampered == 0 || is_shaky, "rows do not open");
        is_fitting(&all.accounts, Who::Everybody, &|_| true);
        for number in 0..SESSIONS {
            let found = store.accounts_of_session(&session(number)).expect("nothing has failed");
            is_fitting(&found, Who::Session(number), &|made| made.session == Some(number));
        }
        for number in 0..SUBJECTS {
            let found = store.accounts_of_subject(&subject(number)).expect("nothing has failed");
            is_fitting(&found, Who::Subject(number), &|made| made.subject == Some(number));
        }
        for number in 0..TENANTS {
            let found =
                store.accounts_in(&tenant(number), Page::first(100)).expect("nothing has failed");
            // Guests' tokens count too, expired ones as well.
            let has_tokens = |made: &Made| {
                let is_of = |place: &Place| matches!(place, Place::Access { tenant, .. } | Place::Id { tenant } if *tenant == number);
                made.tokens
                    .iter()
                    .any(|(place, slot)| is_of(place) && slot.now.iter().any(Option::is_some))
            };
            for account in &found.accounts {
                for live in &account.sign_ins {
                    let made = self.made.iter().find(|made| made.id == live.id());
                    assert!(
                        made.is_none_or(|made| self.may_be_live(made)),
                        "a dead sign-in is listed in a tenant"
                    );
                }
            }
            for account_number in (0..ACCOUNTS).filter(|_| !is_shaky) {
                let is_listed =
                    found.accounts.iter().any(|found| found.id == account(account_number));
                let of_account = |made: &&Made| made.account == account_number;
                let is_own = |made: &&Made| of_account(made) && made.tenant == number;
                assert!(
                    is_listed
                        || !self.made.iter().filter(is_own).any(|made| self.is_surely_live(made)),
                    "an account is missing in its tenant"
                );
                let may = self
                    .made
                    .iter()
                    .filter(of_account)
                    .any(|m| self.may_be_live(m) && (m.tenant == number || has_tokens(m)));
                assert!(
                    !is_listed || may || !self.is_told(account_number),
                    "an account is listed in a tenant"
                );
            }
        }
    }

    /// Whether every sign-in of the account is known.
    fn is_told(&self, account: u8) -> bool {
        self.made.iter().any(|made| made.account == account)
    }
}
