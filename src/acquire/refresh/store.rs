//! Storing what a refresh got, and the outcome for all callers that wait for it.

use super::super::token_response::is_none;
use super::{
    AcquireError, Conclusion, InteractionReason, OrphanReason, RefreshFailed, RefreshInProgress,
    RefreshOutcome, Source,
};
use crate::model::error::Error;
use crate::model::sign_in::PutOutcome;
use crate::model::time::from_millis;
use crate::model::token::{AccessToken, RefreshToken, Token};
use crate::observe::Refresh;

/// What [`RefreshInProgress::salvage`] has stored.
#[derive(Default)]
struct Salvaged {
    kept: Vec<Token>,
    orphaned: Vec<(Token, OrphanReason)>,
}

impl RefreshInProgress {
    /// Stores these tokens. `failed` is the closure's error, if it failed and these could be read
    /// all the same.
    pub(super) fn store(&self, mut tokens: Vec<Token>, failed: Option<Source>) -> Conclusion {
        // Before all else, so that a blank token neither costs the tokens beside it nor replaces
        // one.
        tokens.retain(|token| !is_none(token));
        if tokens.iter().any(|token| !self.is_of_partition(token)) {
            let error = Error::invalid(
                "partition",
                "a refresh brings tokens of its grant's partition only",
            );
            return self.salvage(tokens, error);
        }
        if !self.keeps_refresh_tokens() {
            tokens.retain(|token| !matches!(token, Token::Refresh(_)));
        }
        tokens.iter_mut().for_each(|token| self.amend(token));
        let serving = self.serving(&tokens);
        let token = serving.and_then(|at| {
            if let Some(Token::Access(token)) = tokens.get(at) { Some(token.clone()) } else { None }
        });
        // If these cannot be read, at worst an older token is found for as long as it lasts; the
        // new ones are stored in any case.
        let older = token
            .as_ref()
            .and_then(|token| self.live().found_instead_of(&self.grant.wanted, token).ok())
            .unwrap_or_default();

        match self.live().put_refreshed(&tokens, self.grant.refresh_token.as_ref(), &older) {
            Ok((stored, left_out)) => {
                let (outcome, how) = self.outcome_of(token, &tokens, failed);
                let orphaned = tokens
                    .into_iter()
                    .enumerate()
                    .filter_map(|(at, token)| {
                        not_stored(at, &stored, &left_out).map(|why| (token, why))
                    })
                    .collect();
                Conclusion { outcome, orphaned, how }
            }
            Err(Error::SignedOut) => Conclusion::signed_out(tokens),
            Err(error @ Error::InvalidInput { .. }) => self.salvage(tokens, error),
            Err(error) => Conclusion {
                outcome: Err(error.into()),
                orphaned: all(tokens, OrphanReason::NotStored),
                how: Refresh::Failed,
            },
        }
    }

    /// The outcome when these tokens are stored: the one that serves, or why there is none.
    fn outcome_of(
        &self,
        serving: Option<AccessToken>,
        stored: &[Token],
        failed: Option<Source>,
    ) -> (RefreshOutcome, Refresh) {
        let now = from_millis(self.live().core().clock.now());
        let (outcome, how) = match serving {
            Some(token) if token.expires_at.is_some_and(|end| end <= now) => {
                let error = RefreshFailed::new("the provider's access token has expired already");
                (Err(AcquireError::Refresh(error)), Refresh::Stored)
            }
            // (`SignedOut` if the token was refused for its tenant.)
            Some(token) => (self.acquisition.if_open(token), Refresh::Stored),
            None if stored.iter().any(|token| matches!(token, Token::Access(_))) => {
                let error =
                    self.interaction_required(InteractionReason::ConsentRequired, None, None);
                (self.acquisition.if_open(()).and(Err(error)), Refresh::InteractionRequired)
            }
            // The provider said nothing that the user could mend: there is no readable text where
            // the access token should be.
            None => {
                let source = failed.unwrap_or_else(|| {
                    "the provider's answer has no access token that can be read".into()
                });
                let failed = AcquireError::Refresh(RefreshFailed::new(source));
                (self.acquisition.if_open(()).and(Err(failed)), Refresh::Failed)
            }
        };
        let how =
            if matches!(outcome, Err(AcquireError::SignedOut)) { Refresh::SignedOut } else { how };
        (outcome, how)
    }

    /// Saves the new refresh token of a response that cannot be stored.
    ///
    /// The redeemed one is spent: redeemed once more, it would have the provider revoke the whole
    /// family. So it is removed, even if the new one cannot be stored either. A response without a
    /// new one leaves it as it is (RFC 6749 §6).
    fn salvage(&self, tokens: Vec<Token>, error: Error) -> Conclusion {
        let is_rotated = tokens.iter().any(|token| matches!(token, Token::Refresh(_)));
        let redeemed = self.grant.refresh_token.as_ref().filter(|_| is_rotated);
        let salvaged = match redeemed {
            Some(redeemed) => self.replace_redeemed(&tokens, redeemed),
            None => Some(Salvaged::default()),
        };
        let Some(Salvaged { kept, mut orphaned }) = salvaged else {
            return Conclusion::signed_out(tokens);
        };
        let is_lost = |token: &Token| kept.is_empty() || !self.can_keep(token);
        orphaned.extend(
            tokens.into_iter().filter(is_lost).map(|token| (token, OrphanReason::NotStored)),
        );
        Conclusion { outcome: Err(error.into()), orphaned, how: Refresh::Failed }
    }

    /// Stores the new refresh tokens in place of the redeemed one, or only removes that. `None` if
    /// the sign-in has ended.
    fn replace_redeemed(&self, tokens: &[Token], redeemed: &RefreshToken) -> Option<Salvaged> {
        let kept: Vec<Token> =
            tokens.iter().filter(|token| self.can_keep(token)).cloned().collect();
        let stored = match kept.is_empty() {
            true => None,
            false => Some(self.live().put_refreshed(&kept, Some(redeemed), &[])),
        };
        match stored {
            Some(Ok((stored, left_out))) => {
                let orphaned = kept
                    .iter()
                    .enumerate()
                    .filter_map(|(at, token)| {
                        not_stored(at, &stored, &left_out).map(|why| (token.clone(), why))
                    })
                    .collect();
                Some(Salvaged { kept, orphaned })
            }
            Some(Err(Error::SignedOut)) => None,
            // (A token that passes its own check may be too long together with its ids.)
            None | Some(Err(Error::InvalidInput { .. })) => {
                match self.live().remove_refresh_token(redeemed) {
                    Err(Error::SignedOut) => None,
                    _ => Some(Salvaged::default()),
                }
            }
            Some(Err(_)) => Some(Salvaged::default()),
        }
    }

    /// Whether it is a refresh token that can be stored by itself.
    fn can_keep(&self, token: &Token) -> bool {
        matches!(token, Token::Refresh(_)) && self.is_of_partition(token) && token.check().is_ok()
    }
}

impl Conclusion {
    /// The sign-in ended meanwhile: none of these tokens is stored.
    fn signed_out(tokens: Vec<Token>) -> Self {
        Self {
            outcome: Err(AcquireError::SignedOut),
            orphaned: all(tokens, OrphanReason::SignedOut),
            how: Refresh::SignedOut,
        }
    }
}

fn all(tokens: Vec<Token>, why: OrphanReason) -> Vec<(Token, OrphanReason)> {
    tokens.into_iter().map(|token| (token, why)).collect()
}

/// Why the token with this number was not stored; `None` if it was.
fn not_stored(at: usize, stored: &PutOutcome, left_out: &[usize]) -> Option<OrphanReason> {
    match at {
        at if stored.refused.contains(&at) => Some(OrphanReason::SignedOut),
        at if left_out.contains(&at) => Some(OrphanReason::NotStored),
        _ => None,
    }
}
