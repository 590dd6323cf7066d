//! Redeems the refresh token of a [`Grant`] with a client of the `oauth2` or `openidconnect` crate.

use std::error::Error as StdError;

use oauth2::{
    AsyncHttpClient, Client, ClientCredentialsTokenRequest, ConfigurationError, EndpointMaybeSet,
    EndpointSet, EndpointState, ErrorResponse, RefreshToken, RefreshTokenRequest,
    RequestTokenError, RevocableToken, Scope, SyncHttpClient, TokenIntrospectionResponse,
    TokenResponse,
};

use super::TokenRequestError;
#[cfg(feature = "tokio")]
use crate::acquire::{Acquirer, AsyncAcquirer};
use crate::acquire::{Grant, RefreshError};
use crate::model::token::Tokens;
use crate::platform::wipe::Wiped;

/// A client of the `oauth2` or `openidconnect` crate that knows its token endpoint.
///
/// If the endpoint may be missing, as for a client that was made of a discovery document, that is
/// found out when a token is redeemed.
pub trait TokenClient {
    /// The client's type of an error response. [`Refusal`](super::Refusal) drops nothing.
    type Refusal: ErrorResponse + 'static;
    /// The client's type of a token response. [`TokenAnswer`](super::TokenAnswer) drops nothing.
    type Response: TokenResponse;

    /// The client's id at the provider.
    fn client_id(&self) -> &oauth2::ClientId;

    /// Whether a refresh asks for scopes. [`WithoutScopes`] does not.
    fn sends_scopes(&self) -> bool {
        true
    }

    /// A refresh (RFC 6749 §6).
    ///
    /// # Errors
    /// If there is no token endpoint.
    fn refresh<'a>(
        &'a self,
        token: &'a RefreshToken,
    ) -> Result<RefreshTokenRequest<'a, Self::Refusal, Self::Response>, ConfigurationError>;

    /// A token for the client itself (RFC 6749 §4.4).
    ///
    /// # Errors
    /// If there is no token endpoint.
    fn client_credentials(
        &self,
    ) -> Result<ClientCredentialsTokenRequest<'_, Self::Refusal, Self::Response>, ConfigurationError>;
}

#[cfg_attr(docsrs, doc(cfg(feature = "oauth2")))]
impl Grant {
    /// Redeems this grant with the app's client, and makes tokens of the answer, as
    /// [`tokens`](Self::tokens) does: by the refresh token, or, of the app's own account, by client
    /// credentials. It asks for the scopes, the resource and the claims that the caller wants. (A
    /// provider that takes no scopes with a refresh: [`WithoutScopes`](crate::oauth::WithoutScopes).)
    /// A refusal becomes what it means: see [`RefreshError::from_oauth2`].
    ///
    /// The client's token endpoint must be that of the grant's [tenant](Self::tenant).
    ///
    /// # Errors
    /// [`RefreshError`], as an [`Acquirer`](crate::Acquirer) needs it. `Failed`, with nothing sent,
    /// if the grant is of another client than this one; and for one on behalf of a user without a
    /// refresh token: redeem the user's assertion yourself.
    ///
    /// # Examples
    /// ```
    /// use oauth2::{TokenUrl, basic::BasicClient};
    /// use oubliette::*;
    /// # struct Http;
    /// # impl oauth2::SyncHttpClient for Http {
    /// #     type Error = std::io::Error;
    /// #     fn call(&self, _: oauth2::HttpRequest) -> std::io::Result<oauth2::HttpResponse> {
    /// #         let body = br#"{"access_token": "at-2", "token_type": "Bearer", "expires_in": 3600}"#;
    /// #         Ok(oauth2::http::Response::new(body.to_vec()))
    /// #     }
    /// # }
    /// # let http = Http;
    /// # let store = TokenStore::in_memory()?;
    /// # let live = store.sign_in(SignIn::new(AccountId::new("login.example.com", "uid")?, TenantId::new("contoso")?))?;
    /// # live.put(RefreshToken::new(ClientId::new("web")?, "rt-1"))?;
    /// let oauth = BasicClient::new(oauth2::ClientId::new("web".into()))
    ///     .set_token_uri(TokenUrl::new("https://login.example.com/token".into())?);
    /// let wanted = AccessQuery::new(ClientId::new("web")?).scopes(Scopes::parse("mail.read")?);
    /// let token = Acquirer::new().acquire(&live, &wanted, |grant| grant.redeem(&oauth, &http))?;
    /// assert_eq!(token.secret.expose(), "at-2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn redeem<C, H>(&self, client: &C, http: &H) -> Result<Tokens, RefreshError>
    where
        C: TokenClient + ?Sized,
        H: SyncHttpClient<Error: Send + Sync>,
    {
        self.check_is_of(client)?;
        let response = match self.refresh_token() {
            Some(token) => {
                let token = Lent::new(token.secret.expose());
                let scopes = self.scopes_asked().filter(|_| client.sends_scopes());
                let request = client.refresh(&token.0)?.add_scopes(scopes);
                extended(request, self, |request, (name, value)| {
                    request.add_extra_param(name, value)
                })
                .request(http)?
            }
            None => {
                self.check_is_of_app()?;
                let request = client.client_credentials()?.add_scopes(self.scopes_asked());
                extended(request, self, |request, (name, value)| {
                    request.add_extra_param(name, value)
                })
                .request(http)?
            }
        };
        Ok(self.tokens(&response)?)
    }

    /// As [`redeem`](Self::redeem), without blocking.
    ///
    /// # Errors
    /// As [`redeem`](Self::redeem).
    pub async fn redeem_async<C, H, E>(&self, client: &C, http: &H) -> Result<Tokens, RefreshError>
    where
        C: TokenClient + ?Sized,
        H: for<'c> AsyncHttpClient<'c, Error = E>,
        E: StdError + Send + Sync + 'static,
    {
        self.check_is_of(client)?;
        let response = match self.refresh_token() {
            Some(token) => {
                let token = Lent::new(token.secret.expose());
                let scopes = self.scopes_asked().filter(|_| client.sends_scopes());
                let request = client.refresh(&token.0)?.add_scopes(scopes);
                extended(request, self, |request, (name, value)| {
                    request.add_extra_param(name, value)
                })
                .request_async(http)
                .await?
            }
            None => {
                self.check_is_of_app()?;
                let request = client.client_credentials()?.add_scopes(self.scopes_asked());
                extended(request, self, |request, (name, value)| {
                    request.add_extra_param(name, value)
                })
                .request_async(http)
                .await?
            }
        };
        Ok(self.tokens(&response)?)
    }

    fn scopes_asked(&self) -> impl Iterator<Item = Scope> {
        self.scopes().iter().map(|scope| Scope::new(scope.to_owned()))
    }

    /// A secret goes to the provider that it is of, and to no other.
    fn check_is_of(&self, client: &(impl TokenClient + ?Sized)) -> Result<(), RefreshError> {
        if client.client_id().as_str() == self.client_id().as_str() {
            return Ok(());
        }
        Err(RefreshError::failed("the token is of another client than the one that redeems it"))
    }

    fn check_is_of_app(&self) -> Result<(), RefreshError> {
        if self.account().as_app().is_some() && self.partition().is_user() {
            return Ok(());
        }
        Err(RefreshError::failed("there is no refresh token: redeem the user's assertion instead"))
    }
}

/// With the resource (RFC 8707) and the claims (OpenID Connect Core 1.0 §5.5) that are asked for.
fn extended<R>(request: R, grant: &Grant, add: impl Fn(R, (&'static str, String)) -> R) -> R {
    let resource = grant.resource().map(|resource| ("resource", resource.to_owned()));
    let claims = grant.claims().map(|claims| ("claims", claims.to_owned()));
    resource.into_iter().chain(claims).fold(request, add)
}

#[cfg(feature = "tokio")]
#[cfg_attr(docsrs, doc(cfg(all(feature = "oauth2", feature = "tokio"))))]
impl Acquirer {
    /// Refreshes with this client of the `oauth2` or `openidconnect` crate, over this HTTP client:
    /// see [`Grant::redeem`]. A refusal ends what it ends, and asks the user where that helps; the
    /// rest can be tried again.
    ///
    /// It is for tokens of one client, in the tenant of its token endpoint: of a sign-in it redeems
    /// for the sign-in's own tenant alone. For several, choose the client by the grant, in a closure
    /// for [`refreshing`](Self::refreshing).
    ///
    /// # Examples
    /// ```
    /// use oauth2::{TokenUrl, basic::BasicClient};
    /// use oubliette::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let http = |_| std::future::ready(Ok::<_, std::io::Error>(oauth2::http::Response::new(
    /// #     br#"{"access_token": "at-2", "token_type": "Bearer", "expires_in": 3600}"#.to_vec())));
    /// # let store = AsyncTokenStore::new(TokenStore::in_memory()?);
    /// # let user = SignIn::new(AccountId::new("login.example.com", "uid")?, TenantId::new("contoso")?);
    /// # let (live, _) = store.sign_in_with(user, RefreshToken::new(ClientId::new("web")?, "rt-1")).await?;
    /// let oauth = BasicClient::new(oauth2::ClientId::new("web".into()))
    ///     .set_token_uri(TokenUrl::new("https://login.example.com/token".into())?);
    /// // let http = reqwest::Client::builder().redirect(Policy::none()).timeout(...).build()?;
    /// let acquirer = Acquirer::new().with_client(oauth, http);
    ///
    /// let wanted = AccessQuery::new(ClientId::new("web")?).scopes(Scopes::parse("mail.read")?);
    /// let token = acquirer.acquire(&live, &wanted).await?;
    /// assert_eq!(token.secret.expose(), "at-2");
    /// # Ok(()) }
    /// ```
    pub fn with_client<C, H, E>(self, client: C, http: H) -> AsyncAcquirer
    where
        C: TokenClient<Refusal: Send, Response: Send> + Send + Sync + 'static,
        H: for<'c> AsyncHttpClient<'c, Error = E, Future: Send> + Send + Sync + 'static,
        E: StdError + Send + Sync + 'static,
    {
        let both = std::sync::Arc::new((client, http));
        self.refreshing(move |grant| {
            let both = both.clone();
            async move {
                if grant.is_of_another_tenant() {
                    let problem = "the token is wanted in another tenant than the sign-in's";
                    return Err(RefreshError::failed(problem));
                }
                grant.redeem_async(&both.0, &both.1).await
            }
        })
    }
}

/// The copy of a refresh token that a request borrows: wiped behind it.
struct Lent(RefreshToken);

impl Lent {
    fn new(secret: &str) -> Self {
        Self(RefreshToken::new(secret.to_owned()))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let token = std::mem::replace(&mut self.0, RefreshToken::new(String::new()));
        drop(Wiped(token.into_secret().into_bytes()));
    }
}

/// A client whose provider takes no `scope` with a refresh, such as Salesforce: the tokens that it
/// gives are for what was granted first (RFC 6749 §6).
#[derive(Clone, Debug)]
pub struct WithoutScopes<C>(pub C);

impl<C: TokenClient> TokenClient for WithoutScopes<C> {
    type Refusal = C::Refusal;
    type Response = C::Response;

    fn client_id(&self) -> &oauth2::ClientId {
        self.0.client_id()
    }

    fn sends_scopes(&self) -> bool {
        false
    }

    fn refresh<'a>(
        &'a self,
        token: &'a RefreshToken,
    ) -> Result<RefreshTokenRequest<'a, C::Refusal, C::Response>, ConfigurationError> {
        self.0.refresh(token)
    }

    fn client_credentials(
        &self,
    ) -> Result<ClientCredentialsTokenRequest<'_, C::Refusal, C::Response>, ConfigurationError>
    {
        self.0.client_credentials()
    }
}

/// By its meaning, as [`RefreshError::from_oauth2`].
#[cfg_attr(docsrs, doc(cfg(feature = "oauth2")))]
impl<RE, TE> From<RequestTokenError<RE, TE>> for RefreshError
where
    RE: StdError + Send + Sync + 'static,
    TE: ErrorResponse + 'static,
{
    fn from(error: RequestTokenError<RE, TE>) -> Self {
        Self::from_oauth2(error)
    }
}

/// By its meaning, as [`RefreshError::from_oauth2`].
#[cfg_attr(docsrs, doc(cfg(feature = "oauth2")))]
impl From<TokenRequestError> for RefreshError {
    fn from(error: TokenRequestError) -> Self {
        Self::from_oauth2(error)
    }
}

#[cfg_attr(docsrs, doc(cfg(feature = "oauth2")))]
impl From<ConfigurationError> for RefreshError {
    fn from(error: ConfigurationError) -> Self {
        Self::failed(error)
    }
}

impl<C: TokenClient> TokenClient for std::sync::Arc<C> {
    type Refusal = C::Refusal;
    type Response = C::Response;

    fn client_id(&self) -> &oauth2::ClientId {
        C::client_id(self)
    }

    fn sends_scopes(&self) -> bool {
        C::sends_scopes(self)
    }

    fn refresh<'a>(
        &'a self,
        token: &'a RefreshToken,
    ) -> Result<RefreshTokenRequest<'a, C::Refusal, C::Response>, ConfigurationError> {
        C::refresh(self, token)
    }

    fn client_credentials(
        &self,
    ) -> Result<ClientCredentialsTokenRequest<'_, C::Refusal, C::Response>, ConfigurationError>
    {
        C::client_credentials(self)
    }
}

/// Both crates' clients, with an endpoint (whose requests cannot fail) or perhaps.
macro_rules! token_clients {
    ($($endpoint:ty, $wrap:expr;)+) => {$(
        impl<TE, TR, TIR, RT, TRE, A, D, I, R> TokenClient
            for Client<TE, TR, TIR, RT, TRE, A, D, I, R, $endpoint>
        where
            TE: ErrorResponse + 'static,
            TR: TokenResponse,
            TIR: TokenIntrospectionResponse,
            RT: RevocableToken,
            TRE: ErrorResponse + 'static,
            A: EndpointState,
            D: EndpointState,
            I: EndpointState,
            R: EndpointState,
        {
            type Refusal = TE;
            type Response = TR;

            fn client_id(&self) -> &oauth2::ClientId {
                self.client_id()
            }

            fn refresh<'a>(
                &'a self,
                token: &'a RefreshToken,
            ) -> Result<RefreshTokenRequest<'a, TE, TR>, ConfigurationError> {
                $wrap(self.exchange_refresh_token(token))
            }

            fn client_credentials(
                &self,
            ) -> Result<ClientCredentialsTokenRequest<'_, TE, TR>, ConfigurationError> {
                $wrap(self.exchange_client_credentials())
            }
        }

    )+};
}

token_clients! {
    EndpointSet, Ok;
    EndpointMaybeSet, std::convert::identity;
}
