//! Which stored sign-ins live: the rule, asked with what the store knows.

use crate::backend::Backend;
use crate::model::error::Result;
use crate::model::id::AccountId;
use crate::model::position::Position;
use crate::model::random_id::SignInId;
use crate::model::tag::{AccountTag, TaggedScope, TenantTag};
use crate::model::time::{Interval, Millis, millis};
use crate::rows::sign_in::SignInBody;
#[cfg(feature = "logout")]
use crate::rule::Fence;
use crate::rule::Life;
use crate::store::access::Open;
use crate::store::core::Core;
use crate::store::identity;

impl Open<'_> {
    /// Whether the rule and the greatest age let the sign-in live.
    pub(crate) fn is_live(&self, life: &Life, now: Millis) -> Result<bool> {
        Ok(!life.is_too_old(now) && !self.is_dead(life)?)
    }

    /// Whether the rule lets the sign-in be dead.
    pub(crate) fn is_dead(&self, life: &Life) -> Result<bool> {
        self.rule(life.scopes(), |fences| fences.is_dead(life))
    }

    /// As [`Open::is_dead`], by the fences up to `end` alone.
    pub(crate) fn is_dead_by(&self, life: &Life, end: Position) -> Result<bool> {
        self.rule(life.scopes(), |fences| fences.is_dead_by(life, end))
    }

    /// The highest position of a fence that covers the sign-in.
    pub(crate) fn death(&self, life: &Life) -> Result<Option<Position>> {
        self.rule(life.scopes(), |fences| fences.death(life))
    }

    /// Whether a token of this tenant is dead although its sign-in may live.
    pub(crate) fn is_tenant_dead(&self, life: &Life, tenant: TenantTag) -> Result<bool> {
        self.is_tenant_dead_by(life, tenant, Position::MAX)
    }

    /// As [`Open::is_tenant_dead`], by the fences up to `end` alone.
    pub(crate) fn is_tenant_dead_by(
        &self,
        life: &Life,
        tenant: TenantTag,
        end: Position,
    ) -> Result<bool> {
        if tenant == life.tenant {
            return Ok(false);
        }
        let scopes = [TaggedScope::Tenant(tenant)];
        self.rule(scopes, |fences| fences.is_tenant_dead_by(life, tenant, end))
    }

    /// Whether tokens of this tenant are refused: those of a sign-in that lives, and, if it is
    /// continued from elsewhere, has lasted since then.
    pub(crate) fn refuses(
        &self,
        life: &Life,
        continued_since: Option<Millis>,
        tenant: TenantTag,
    ) -> Result<bool> {
        if self.is_tenant_dead(life, tenant)? {
            return Ok(true);
        }
        let Some(since) = continued_since else { return Ok(false) };
        let scopes = [TaggedScope::Tenant(tenant)];
        self.rule(scopes, |fences| fences.is_tenant_covered_since(tenant, since))
    }

    /// The newest fence of exactly this scope.
    #[cfg(feature = "logout")]
    pub(crate) fn last_fence(&self, scope: TaggedScope) -> Result<Option<Fence>> {
        self.rule([scope], |fences| fences.last(scope))
    }
}

impl Core {
    /// Whether a fence came beside a change that has just been written, and ended the sign-in. (A
    /// shared place writes the change only if none did.)
    pub(crate) fn is_overtaken(&self, life: &Life) -> bool {
        match &self.backend {
            Backend::Embedded(embedded) => {
                life.is_too_old(self.clock.now()) || embedded.ledger.fences().is_dead(life)
            }
            Backend::Remote(_) => false,
        }
    }

    /// The part of an account's stored sign-in that the rule looks at. `other` is the account's
    /// [other tag](Self::other_tag).
    pub(crate) fn life(
        &self,
        account: AccountTag,
        other: Option<AccountTag>,
        id: &SignInId,
        sign_in: &SignInBody,
    ) -> Life {
        let is_of_two_tags = || match &self.backend {
            Backend::Embedded(embedded) => {
                embedded.ledger.fences().is_before(&sign_in.opening, embedded.old_end)
            }
            Backend::Remote(_) => false,
        };
        Life {
            opening: sign_in.opening,
            as_of: sign_in.as_of,
            time: sign_in.time,
            sign_in: self.tagger.sign_in(&account, id),
            account,
            other: other.filter(|_| is_of_two_tags()),
            tenant: self.tagger.tenant(&sign_in.tenant),
            session: sign_in.session.as_ref().map(|s| self.tagger.session(s)),
            subject: sign_in.subject.as_ref().map(|s| self.tagger.subject(s)),
            ends: sign_in.time.saturating_add(self.age_of(sign_in)),
        }
    }

    /// How long the sign-in lasts.
    fn age_of(&self, sign_in: &SignInBody) -> Interval {
        let own = sign_in.age.map(|age| age.min(self.longest_age()));
        own.unwrap_or(millis(self.options.max_sign_in_age))
    }

    /// The other tag of the account whose rows lie under `tag`, as long as there may be sign-ins to
    /// which it matters.
    pub(crate) fn other_tag(&self, id: &AccountId, tag: &AccountTag) -> Option<AccountTag> {
        if self.knows_two_tags() { identity::other_of(&self.tagger, id, tag) } else { None }
    }

    /// Whether the store is of a time when accounts had two tags. (No shared one is.)
    pub(crate) fn knows_two_tags(&self) -> bool {
        match &self.backend {
            Backend::Embedded(embedded) => {
                let end = embedded.old_end;
                end > Position::ZERO && embedded.ledger.fences().has_opening_before(end)
            }
            Backend::Remote(_) => false,
        }
    }
}
