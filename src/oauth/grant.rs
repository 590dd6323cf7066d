//! Converts the `oauth2` crate's answers and errors in a refresh closure of
//! [`Acquirer::acquire`](crate::Acquirer::acquire).

use std::error::Error as StdError;

use oauth2::TokenResponse;

use super::{Received, TokenRequestError};
use crate::acquire::{Grant, RefreshError};
use crate::model::error::Result;
use crate::model::token::Tokens;

#[cfg_attr(docsrs, doc(cfg(feature = "oauth2")))]
impl Grant {
    /// Makes tokens of the response to this refresh, as [`Received`] does: their times count from
    /// [`began_at`](Self::began_at), and they are for what the caller asked for. If the response
    /// has no access token that can be read, the refresh has
    /// [failed](crate::AcquireError::Refresh), but the other tokens are stored.
    ///
    /// # Errors
    /// As [`Received::tokens`].
    ///
    /// # Examples
    /// ```
    /// use oauth2::{RefreshToken, TokenUrl, basic::BasicClient};
    /// use oubliette::*;
    /// # struct Http;
    /// # impl oauth2::SyncHttpClient for Http {
    /// #     type Error = std::io::Error;
    /// #     fn call(&self, _: oauth2::HttpRequest) -> std::io::Result<oauth2::HttpResponse> {
    /// #         let body = br#"{"access_token": "at-2", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "rt-2"}"#;
    /// #         Ok(oauth2::http::Response::new(body.to_vec()))
    /// #     }
    /// # }
    /// # let http = Http;
    /// # let store = TokenStore::in_memory()?;
    /// # let live = store.sign_in(SignIn::new(AccountId::new("login.example.com", "uid")?, TenantId::new("contoso")?))?;
    /// # live.put(oubliette::RefreshToken::new(oubliette::ClientId::new("web")?, "rt-1"))?;
    /// let oauth = BasicClient::new(oauth2::ClientId::new("web".into()))
    ///     .set_token_uri(TokenUrl::new("https://login.example.com/token".into())?);
    /// let wanted = AccessQuery::new(ClientId::new("web")?).scopes(Scopes::parse("mail.read")?);
    /// let token = Acquirer::new().acquire(&live, wanted, |grant| {
    ///     let token = grant.refresh_token().ok_or_else(|| RefreshError::failed("no refresh token"))?;
    ///     let token = RefreshToken::new(token.secret.expose().to_owned());
    ///     // Not `?` alone: `from_oauth2` knows which refusal is final, and which the user can
    ///     // resolve.
    ///     let response = oauth.exchange_refresh_token(&token).request(&http).map_err(RefreshError::from_oauth2)?;
    ///     Ok(grant.tokens(&response)?)
    /// })?;
    /// assert_eq!(token.secret.expose(), "at-2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tokens<R: TokenResponse>(&self, response: &R) -> Result<Tokens> {
        let asked = self.asked();
        let received = Received::new(asked.client_id.clone(), self.began_at())
            .requested_scopes(asked.scopes.clone())
            .partition(asked.partition.clone())
            .in_place_of(asked, self.refresh_token());
        received.tokens(response)
    }

    /// The tokens that could be read of the answer, if this error or one of its sources holds it.
    pub(crate) fn read_after_all(&self, error: &(dyn StdError + 'static)) -> Option<Tokens> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(TokenRequestError::Partly { answer, .. }) = error.downcast_ref() {
                return self.tokens(&**answer).ok();
            }
            cause = error.source();
        }
        None
    }
}

#[cfg_attr(docsrs, doc(cfg(feature = "oauth2")))]
impl RefreshError {
    /// Converts an error of a token request by its meaning: the refresh token is [no longer
    /// valid](super::Refusal::is_final), the user [has to be
    /// asked](super::Refusal::is_interaction_required), or the request just failed. The source is a
    /// [`TokenRequestError`]. If the response's type could not read the answer, but there are
    /// [tokens in it](TokenRequestError::Partly), those are stored all the same.
    ///
    /// Entra ID adds a `suberror` or a claims challenge to some `invalid_grant` errors. They count
    /// only if the client's error type keeps them: use [`Refusal`](super::Refusal) for it. (Another
    /// type keeps the description, and the code in it tells the usual cases.)
    pub fn from_oauth2(error: impl Into<TokenRequestError>) -> Self {
        let error = error.into();
        match &error {
            TokenRequestError::Refused(refusal) if refusal.is_final() => Self::invalid_grant(error),
            // More than the user has granted (RFC 6749 §5.2): asking once more does not help.
            TokenRequestError::Refused(refusal)
                if refusal.is_interaction_required() || refusal.error() == "invalid_scope" =>
            {
                Self::interaction_required(refusal.claims().map(Into::into), error)
            }
            _ => Self::failed(error),
        }
    }
}
