//! Clients of the `openidconnect` crate, as what redeems a refresh token.

use oauth2::{ClientCredentialsTokenRequest, RefreshTokenRequest};
use openidconnect::{
    AdditionalClaims, AuthDisplay, AuthPrompt, Client, ConfigurationError, EndpointMaybeSet,
    EndpointSet, EndpointState, ErrorResponse, GenderClaim, JsonWebKey,
    JweContentEncryptionAlgorithm, JwsSigningAlgorithm, RefreshToken, RevocableToken,
    TokenIntrospectionResponse, TokenResponse,
};

use crate::oauth::TokenClient;

macro_rules! token_clients {
    ($($endpoint:ty, $wrap:expr;)+) => {$(
        impl<AC, AD, GC, JE, K, P, TE, TR, TIR, RT, TRE, A, D, I, R, U> TokenClient
            for Client<AC, AD, GC, JE, K, P, TE, TR, TIR, RT, TRE, A, D, I, R, $endpoint, U>
        where
            AC: AdditionalClaims,
            AD: AuthDisplay,
            GC: GenderClaim,
            JE: JweContentEncryptionAlgorithm<
                KeyType = <K::SigningAlgorithm as JwsSigningAlgorithm>::KeyType,
            >,
            K: JsonWebKey,
            P: AuthPrompt,
            TE: ErrorResponse + 'static,
            TR: TokenResponse<AC, GC, JE, K::SigningAlgorithm>,
            TIR: TokenIntrospectionResponse,
            RT: RevocableToken,
            TRE: ErrorResponse + 'static,
            A: EndpointState,
            D: EndpointState,
            I: EndpointState,
            R: EndpointState,
            U: EndpointState,
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
