//! A token response and the time of its receipt, as tokens.

use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

use oauth2::TokenResponse;
use serde::{Deserialize, Serialize};

use super::ProviderFields;
use crate::error::{Error, Result};
use crate::id::{ClientId, TenantId};
use crate::token::{AccessToken, IdToken, Partition, RefreshToken, Scopes, Secret, Token, Tokens};
use crate::wipe::Wiped;

/// How long an access token is kept whose response does not say (and nobody [said](Received::lasting) otherwise).
const LASTING: Duration = Duration::from_secs(60 * 60);
/// A longer life is an error of the provider's (as MSAL.NET holds too): it counts as not said.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// What was known when a token response arrived: who asked, when, and for what. Makes the response into [`Tokens`].
///
/// See the [module](super) for an example.
#[derive(Clone)]
#[must_use]
pub struct Received {
    client: ClientId,
    at: SystemTime,
    scopes: Scopes,
    tenant: Option<TenantId>,
    resource: Option<String>,
    partition: Partition,
    /// Of the refresh token that was redeemed.
    family: Option<String>,
    lasting: Duration,
}

impl Received {
    /// A response to this client. `at` is where the relative times of the response are counted from: best the time just *before* the
    /// request was sent, so that no token is believed to last longer than it does.
    pub fn new(client: ClientId, at: SystemTime) -> Self {
        let (scopes, partition) = (Scopes::default(), Partition::user());
        Self { client, at, scopes, tenant: None, resource: None, partition, family: None, lasting: LASTING }
    }

    /// The scopes that were asked for: those of the token, if the response names none (RFC 6749 §5.1). If it names some, those count
    /// alone, be they fewer or more; but for what Entra ID never names: `openid`, `profile`, `offline_access`, and a lone
    /// `.../.default`, which count as given; and a scope that it names in another case is stored in both.
    pub fn requested_scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// The tenant that was asked for a token, if not that of the sign-in.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// The resource that was asked for (RFC 8707).
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.resource = Some(resource.into());
        self
    }

    /// On whose behalf the tokens were got.
    pub fn partition(mut self, partition: Partition) -> Self {
        self.partition = partition;
        self
    }

    /// How long an access token lasts whose response has no `expires_in`: what the provider's documentation says (RFC 6749 §5.1).
    /// Default: one hour.
    pub fn lasting(mut self, life: Duration) -> Self {
        self.lasting = life;
        self
    }

    /// What was asked for, and what was redeemed: the new refresh token comes in its place.
    pub(super) fn in_place_of(
        mut self,
        tenant: Option<TenantId>,
        resource: Option<String>,
        redeemed: Option<&RefreshToken>,
    ) -> Self {
        (self.tenant, self.resource) = (tenant, resource);
        self.family = redeemed.and_then(|redeemed| redeemed.family_id.clone());
        self
    }

    /// The tokens of the response: an access token, a refresh token if there is one, and the ID token if the response's type
    /// has one.
    ///
    /// Without a refresh token in the response, the one that is stored stays the valid one (RFC 6749 §6). The ID token is kept as it
    /// was received, as `id_token_hint`: verify it before you act on what it says. What else providers say is taken from
    /// [`ProviderFields`], wherever in the response's type they are. What is no scope (RFC 6749 §3.3) is left out of the scopes.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the scopes are too long, the token type is not a text, or the response cannot be serialized as JSON:
    /// that is how what RFC 6749 does not name is found in it, whatever its type.
    pub fn tokens<R: TokenResponse>(&self, response: &R) -> Result<Tokens> {
        let json = json_of(response)?;
        let Further { id_token, fields } = Further::read(&json)?;
        let scopes = match response.scopes() {
            // An empty list comes out of the crate as one empty scope.
            Some(given) => {
                let given = given.iter().map(|scope| scope.as_str()).filter(|scope| Scopes::new([*scope]).is_ok());
                Scopes::new(given.clone().chain(self.given_otherwise(given)))?
            }
            None => self.scopes.clone(),
        };
        let expires_at = self.ends(response.expires_in()).or_else(|| self.ends(Some(self.lasting))).unwrap_or(self.at);
        let access = AccessToken {
            tenant: self.tenant.clone(),
            resource: self.resource.clone(),
            token_type: token_type(response.token_type())?,
            refresh_at: self.ends(fields.refresh_in()).filter(|at| *at < expires_at),
            extended_expires_at: self.ends(fields.ext_expires_in()).filter(|at| *at > expires_at),
            partition: self.partition.clone(),
            ..AccessToken::new(self.client.clone(), scopes, response.access_token().secret().as_str(), expires_at)
        };
        let refresh = response.refresh_token().map(|token| RefreshToken {
            family_id: fields.family_id().map(Into::into).or_else(|| self.family.clone()),
            expires_at: self.ends(fields.refresh_token_expires_in()),
            partition: self.partition.clone(),
            ..RefreshToken::new(self.client.clone(), token.secret().as_str())
        });
        let id = id_token.map(|token| IdToken {
            tenant: self.tenant.clone(),
            partition: self.partition.clone(),
            ..IdToken::new(self.client.clone(), token)
        });
        let tokens = [Some(Token::from(access)), refresh.map(Into::into), id.map(Into::into)];
        Ok(tokens.into_iter().flatten().collect::<Vec<_>>().into())
    }

    /// Those of the requested scopes that Entra ID gives, and names in another case or not at all: what comes beside the access token,
    /// and what stands for all that the app has been granted. Asked for again, the token must be found under them.
    fn given_otherwise<'a>(&'a self, given: impl Iterator<Item = &'a str> + Clone) -> impl Iterator<Item = &'a str> {
        let is_only = self.scopes.len() == 1;
        self.scopes.iter().filter(move |scope| {
            matches!(*scope, "openid" | "profile" | "offline_access")
                || (is_only && scope.ends_with("/.default"))
                || given.clone().any(|given| given.eq_ignore_ascii_case(scope))
        })
    }

    fn ends(&self, life: Option<Duration>) -> Option<SystemTime> {
        life.filter(|life| *life <= LONGEST).and_then(|life| self.at.checked_add(life))
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Received(..)")
    }
}

/// What the trait [`TokenResponse`] does not give. Borrowed, so that reading it makes no copy of a secret.
struct Further {
    id_token: Option<Secret>,
    fields: ProviderFields,
}

impl Further {
    fn read(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct HasIdToken<'a> {
            id_token: Option<&'a str>,
        }
        // A JWT (RFC 7519 §3) is base64url and points: JSON never escapes it.
        let id = serde_json::from_slice::<HasIdToken<'_>>(json)
            .map_err(|_| Error::invalid("token response", "its ID token is no JWT, or it is no JSON object"))?;
        let fields = serde_json::from_slice(json).unwrap_or_default();
        Ok(Self { id_token: id.id_token.filter(|token| !token.is_empty()).map(Secret::from), fields })
    }
}

/// The response as JSON, in a buffer that never grows and is wiped.
fn json_of(response: &impl Serialize) -> Result<Wiped> {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let unserializable = |_| Error::invalid("token response", "it cannot be serialized as JSON");
    let mut count = Count(0);
    serde_json::to_writer(&mut count, response).map_err(unserializable)?;
    let mut json = Wiped(vec![0; count.0]);
    serde_json::to_writer(json.as_mut_slice(), response).map_err(unserializable)?;
    Ok(json)
}

/// The token type by its registered spelling, where it has one: some resource servers compare it with regard to case. (The crate
/// makes every type lower case.)
fn token_type(given: &impl Serialize) -> Result<String> {
    let Ok(serde_json::Value::String(given)) = serde_json::to_value(given) else {
        return Err(Error::invalid("token type", "it is not a text"));
    };
    let registered = ["Bearer", "DPoP", "PoP", "N_A"].into_iter().find(|name| name.eq_ignore_ascii_case(&given));
    Ok(registered.map_or(given, Into::into))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_of_a_response_lies_in_a_buffer_of_its_size() {
        let json = json_of(&["a", "b"]).unwrap();
        assert_eq!((json.as_slice(), json.capacity()), (br#"["a","b"]"#.as_slice(), 9));
    }
}
