//! What a sign-in holds, and the end of one client's part of it.

use std::cell::Cell;
use std::time::SystemTime;

use crate::backend::Ask;
use crate::clock::lasting::Lasting;
use crate::engine::{Batch, Durability};
use crate::model::error::{Error, Result};
use crate::model::held::HeldToken;
use crate::model::id::ClientId;
use crate::model::time::to_millis;
use crate::observe;
use crate::rows::header::Header;
use crate::rows::parts::parts_of;
use crate::rows::row_key::{self, AccountRow};
use crate::store::access::Open;
use crate::store::handle::LiveSignIn;
use crate::store::plan::{Guards, Held, Plan};

impl LiveSignIn {
    /// The tokens that this sign-in holds, without their secrets, in no order. Access and refresh
    /// tokens that have expired are left out. Empty if the sign-in is not live.
    ///
    /// # Errors
    /// As every read: [`Error::Closed`], [`Error::Poisoned`], [`Error::Tampered`].
    ///
    /// # Examples
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # use oubliette::*;
    /// # let store = TokenStore::in_memory()?;
    /// # let account = AccountId::new("login.example.com", "uid.utid")?;
    /// let sign_in = SignIn::new(account, TenantId::new("contoso")?).label("Firefox on Linux");
    /// let live = store.sign_in_with(sign_in, RefreshToken::new(ClientId::new("web")?, "rt-1"))?.0;
    /// assert_eq!(live.label(), Some("Firefox on Linux"));
    /// let held = live.tokens()?;
    /// assert_eq!((held.len(), held[0].kind), (1, TokenKind::Refresh));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn tokens(&self) -> Result<Vec<HeldToken>> {
        observe::verb("tokens", || self.core().read(|| self.ask_for_all(), |open| self.held(open)))
    }

    /// Deletes the tokens of one client, such as one integration that the user disconnects, and
    /// returns how many those were. The sign-in and the other clients' tokens stay. A refresh token
    /// of a family goes with the client that it was issued to.
    ///
    /// `Ok` means that they are gone for every reader, also after a power loss. **It is no
    /// sign-out**: nothing is recorded. An older copy of the engine's folder has them, and a login
    /// in progress can bring new ones. (A refresh that is in flight cannot: what it gets goes to
    /// [`Acquirer::on_orphaned`](crate::Acquirer::on_orphaned).) Revoke them at the provider too; or
    /// end the [sign-in](crate::SignOut::sign_in), which nothing undoes.
    ///
    /// # Errors
    /// As [`put`](Self::put), but for a sign-in that has ended: it holds no tokens.
    pub fn remove_client(&self, client: &ClientId) -> Result<usize> {
        let account = [self.life().account];
        let held = Held { accounts: &account, session: None };
        observe::verb("remove_client", || {
            let (ask, planned) = (|| self.ask_for_all(), Cell::new(0));
            self.core().change(held, ask, |open| self.plan_removal(open, client, &planned))
        })
    }

    /// What both look at.
    fn ask_for_all(&self) -> Ask {
        self.ask().all(self.all_tokens())
    }

    fn all_tokens(&self) -> Vec<u8> {
        row_key::tokens(&self.life().account, self.id_bytes())
    }

    pub(crate) fn held(&self, open: &Open<'_>) -> Result<Vec<HeldToken>> {
        let (at, mut held) = (open.core.clock.moment(), Vec::new());
        open.for_each_row(&self.all_tokens(), |(key, _)| {
            if let Some(AccountRow::Token { tenant, slot, part: 0, .. }) = row_key::parse(&key)
                // Read it again by its place, so that all of its parts are of one write.
                && let Some(Lasting { token, .. }) = self.read(open, &at, tenant, slot)?
            {
                held.push(HeldToken::of(token, self.tenant()));
            }
            Ok(true)
        })?;
        let is_valid = |end: SystemTime| to_millis(end) > at.shown;
        held.retain(|token| token.expires_at.is_none_or(is_valid));
        Ok(held)
    }

    /// `planned` is how many an earlier try has removed, if there was one.
    fn plan_removal(
        &self,
        open: &Open<'_>,
        client: &ClientId,
        planned: &Cell<usize>,
    ) -> Result<Plan<usize>> {
        let Some((value, header)) = self.live_header(open)? else {
            // That may be a sign-out's doing, which must be durable before the caller is told.
            open.settle()?;
            return Ok(Plan::nothing(0));
        };
        let mut batch = Batch {
            guard: Some((row_key::header(&self.life().account), Some(value))),
            changes: Vec::new(),
        };
        let (mut guards, mut removed) = (Guards::on(open), 0);
        open.for_each_row(&self.all_tokens(), |(key, value)| {
            let Some(AccountRow::Token { tenant, slot, part: 0, .. }) = row_key::parse(&key) else {
                return Ok(true);
            };
            let place =
                |part| row_key::token(&self.life().account, self.id_bytes(), &tenant, &slot, part);
            let parts = parts_of(&value);
            let is_its = self.is_of(open, &header, client, (key, value.clone()))?;
            if is_its != Some(false) {
                guards.row(&place(0), Some(&value));
                (0..parts).for_each(|part| batch.delete(place(part)));
                removed += usize::from(is_its == Some(true));
            }
            Ok(true)
        })?;
        if batch.changes.is_empty() {
            // Durable even so: another caller may have deleted them, and not be told yet.
            return Ok(Plan::nothing(planned.get()).durable(Durability::PowerLoss));
        }
        planned.set(removed);
        let plan = Plan::nothing(removed).commit(batch).only_if(guards);
        Ok(plan.durable(Durability::PowerLoss))
    }

    /// Whether the token in this row is the client's; `None` if it does not open: it may be, and
    /// nobody can read it.
    fn is_of(
        &self,
        open: &Open<'_>,
        header: &Header,
        client: &ClientId,
        (key, value): (Vec<u8>, Vec<u8>),
    ) -> Result<Option<bool>> {
        match open.token(header, key, value) {
            Ok(Some(token)) => Ok(Some(token.client() == client)),
            Ok(None) | Err(Error::Tampered(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
