//! Which stored sign-ins live: the rule, asked with what the store knows.

use crate::model::id::AccountId;
use crate::model::position::Position;
use crate::model::tag::AccountTag;
use crate::model::time::{Millis, millis};
use crate::rows::sign_in::SignInBody;
use crate::rule::Life;
use crate::store::core::Core;
use crate::store::identity;

impl Core {
    /// Whether the rule and the greatest age let the sign-in live.
    pub(crate) fn is_live(&self, life: &Life, now: Millis) -> bool {
        !self.is_too_old(life, now) && !self.ledger.fences().is_dead(life)
    }

    pub(crate) fn is_too_old(&self, life: &Life, now: Millis) -> bool {
        life.time.saturating_add(millis(self.options.max_sign_in_age)) <= now
    }

    /// The part of an account's stored sign-in that the rule looks at. `other` is the account's
    /// [other tag](Self::other_tag).
    pub(crate) fn life(
        &self,
        account: AccountTag,
        other: Option<AccountTag>,
        sign_in: &SignInBody,
    ) -> Life {
        Life {
            opening: sign_in.opening,
            as_of: sign_in.as_of,
            time: sign_in.time,
            account,
            other: other.filter(|_| self.ledger.fences().is_before(&sign_in.opening, self.old_end)),
            tenant: self.tagger.tenant(&sign_in.tenant),
            session: sign_in.session.as_ref().map(|s| self.tagger.session(s)),
            subject: sign_in.subject.as_ref().map(|s| self.tagger.subject(s)),
        }
    }

    /// The other tag of the account whose rows lie under `tag`, as long as there may be sign-ins to
    /// which it matters.
    pub(crate) fn other_tag(&self, id: &AccountId, tag: &AccountTag) -> Option<AccountTag> {
        if self.knows_two_tags() { identity::other_of(&self.tagger, id, tag) } else { None }
    }

    pub(super) fn knows_two_tags(&self) -> bool {
        self.old_end > Position::ZERO && self.ledger.fences().has_opening_before(self.old_end)
    }
}
