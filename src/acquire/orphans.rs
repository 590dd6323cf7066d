//! Tokens that a refresh got and that were not stored, on their way to the app's hook.

use super::{Hook, OrphanReason, Orphaned};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::model::id::AccountId;
use crate::model::token::Token;

/// What the hook is given once every waiter has the outcome.
pub(super) struct Orphans {
    pub(super) hook: Hook,
    pub(super) account: AccountId,
    pub(super) orphaned: Vec<(Token, OrphanReason)>,
}

impl Orphans {
    pub(super) fn hand_over(self) {
        for reason in [OrphanReason::SignedOut, OrphanReason::NotStored] {
            let of_this = self.orphaned.iter().filter(|(_, why)| *why == reason);
            let tokens: Vec<Token> = of_this.map(|(token, _)| token.clone()).collect();
            if !tokens.is_empty() {
                let orphaned = Orphaned { account: self.account.clone(), tokens, reason };
                // A panic in the hook changes nothing here.
                let _ = catch_unwind(AssertUnwindSafe(|| (self.hook)(orphaned)));
            }
        }
    }
}
