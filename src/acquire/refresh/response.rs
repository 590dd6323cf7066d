//! How the tokens of a response fit the request: which ones may be stored, what the provider left
//! out, and which one serves.

use super::super::token_response::{by_commas, is_stand_in};
use super::RefreshInProgress;
use std::time::Duration;

use crate::model::scopes::Scopes;
use crate::model::token::{AccessToken, Token};

impl RefreshInProgress {
    /// Whether refresh tokens that come are stored. On behalf of a user there is a partition for
    /// each assertion: with a refresh token in each, a sign-in would grow for as long as it lives.
    pub(super) fn keeps_refresh_tokens(&self) -> bool {
        self.grant.wanted.partition.is_user()
            || self.request().keeps_refresh_token
            || self.grant.refresh_token.is_some()
    }

    /// Whether the token is of the grant's partition: a token that was got on behalf of one user
    /// must not be found for another. (ID tokens name their user themselves.)
    pub(super) fn is_of_partition(&self, token: &Token) -> bool {
        match token {
            Token::Access(token) => token.partition == self.grant.wanted.partition,
            Token::Refresh(token) => token.partition == self.grant.wanted.partition,
            Token::Id(_) => true,
        }
    }

    /// Fills in what the provider left out of the token that was asked for, so that the next
    /// request finds it, and refreshes it in time.
    pub(super) fn amend(&self, token: &mut Token) {
        let Token::Access(token) = token else { return };
        if !self.is_target(token) {
            return;
        }

        // Providers do not answer in the words of the request: the case differs, there are commas,
        // and scopes that stand for something else are missing.
        let wanted = &self.grant.wanted.scopes;
        let all = |given: &Scopes| {
            let has = |asked: &str| {
                is_stand_in(asked) || given.iter().any(|given| given.eq_ignore_ascii_case(asked))
            };
            let is_given = wanted.iter().all(has);
            is_given.then(|| Scopes::new(given.iter().chain(wanted.iter())).ok()).flatten()
        };
        let apart =
            || Scopes::new(by_commas(&token.scopes.iter().collect::<Vec<_>>(), wanted)?).ok();
        if let Some(all) = all(&token.scopes).or_else(|| all(&apart()?)) {
            token.scopes = all;
        }

        // A token without an end need not be refreshed, unless the provider says so.
        let Some(end) = token.expires_at else { return };
        let life = end.duration_since(self.grant.began_at).unwrap_or(Duration::ZERO);
        if token.refresh_at.is_none_or(|at| at <= self.grant.began_at) {
            token.refresh_at =
                self.grant.began_at.checked_add(self.acquisition.refresh_after(life));
        }
    }

    /// The number of the token that serves the request: of several the one that allows least.
    pub(super) fn serving(&self, tokens: &[Token]) -> Option<usize> {
        let serves = |token: &AccessToken| self.is_target(token) && self.grant.wanted.allows(token);
        tokens
            .iter()
            .enumerate()
            .filter_map(
                |(at, token)| {
                    if let Token::Access(token) = token { Some((at, token)) } else { None }
                },
            )
            .filter(|(_, token)| serves(token))
            .min_by_key(|(_, token)| {
                (
                    token.scopes.len(),
                    std::cmp::Reverse((token.expires_at.is_none(), token.expires_at)),
                )
            })
            .map(|(at, _)| at)
    }

    /// Whether the token is the one that was asked for, whatever its scopes.
    fn is_target(&self, token: &AccessToken) -> bool {
        let wanted = crate::model::query::AccessQuery {
            scopes: Scopes::default(),
            ..self.grant.wanted.clone()
        };
        let tenant = self.live().tenant_tag(token.tenant.as_ref());
        tenant == self.acquisition.tenant && wanted.allows(token)
    }
}
