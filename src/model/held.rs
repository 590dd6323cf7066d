//! What is held for a user, without the secrets.

use std::time::SystemTime;

use crate::model::id::{ClientId, TenantId, hidden_debug};
use crate::model::scopes::{Partition, Scopes};
use crate::model::token::Token;

/// A token that a sign-in holds, without its secret: for a page that shows users what the app may
/// do in their name.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldToken {
    /// What it is.
    pub kind: TokenKind,
    /// The client it was issued to.
    pub client_id: ClientId,
    /// The tenant it was issued in.
    pub tenant: TenantId,
    /// What an access token allows; empty for others.
    pub scopes: Scopes,
    /// The resource that an access token is for, if it names one.
    pub resource: Option<String>,
    /// When it expires, if that is known. ID tokens are kept beyond their expiry.
    pub expires_at: Option<SystemTime>,
    /// On whose behalf it was obtained.
    pub partition: Partition,
}

/// The kinds of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TokenKind {
    /// An access token.
    Access,
    /// A refresh token.
    Refresh,
    /// An ID token.
    Id,
}

hidden_debug!(HeldToken);

impl HeldToken {
    /// Of this token, in a sign-in to `tenant`.
    pub(crate) fn of(token: Token, tenant: &TenantId) -> Self {
        let tenant = token.tenant().unwrap_or(tenant).clone();
        let of = |kind, client_id, partition| Self {
            kind,
            client_id,
            tenant,
            scopes: Scopes::default(),
            resource: None,
            expires_at: None,
            partition,
        };
        match token {
            Token::Access(token) => Self {
                scopes: token.scopes,
                resource: token.resource,
                expires_at: token.expires_at,
                ..of(TokenKind::Access, token.client_id, token.partition)
            },
            Token::Refresh(token) => Self {
                expires_at: token.expires_at,
                ..of(TokenKind::Refresh, token.client_id, token.partition)
            },
            Token::Id(token) => of(TokenKind::Id, token.client_id, token.partition),
        }
    }
}
