//! Makes tokens of a token response and the time at which it was requested.

use std::time::{Duration, SystemTime};
use std::{fmt, io};

use oauth2::TokenResponse;
use serde::Serialize;

use super::life::Life;
use super::members::Members;
use crate::acquire::token_response::{by_commas, is_blank, is_default, is_of_openid};
use crate::model::error::{Error, Result};
use crate::model::id::{ClientId, MAX_ID_BYTES, TenantId, check};
use crate::model::query::AccessQuery;
use crate::model::scopes::{Partition, Scopes};
use crate::model::token::{AccessToken, IdToken, RefreshToken, Token, Tokens};
use crate::platform::wipe::Wiped;

/// A longer time is an error of the provider: it counts as not given.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// What was known when a token response arrived: which client asked, when, and for what. It makes
/// [`Tokens`] of the response.
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
    /// The token type that a refresh asked for.
    token_type: Option<String>,
    /// The family of the refresh token that was redeemed.
    family: Option<String>,
    lasting: Option<Duration>,
}

impl Received {
    /// A response to this client. The relative times of the response count from `at`. Best is the
    /// time just *before* the request was sent, so that no token is believed to last longer than it
    /// does.
    pub fn new(client: ClientId, at: SystemTime) -> Self {
        let (scopes, partition) = (Scopes::default(), Partition::user());
        Self {
            client,
            at,
            scopes,
            tenant: None,
            resource: None,
            partition,
            token_type: None,
            family: None,
            lasting: None,
        }
    }

    /// The scopes that were asked for. They are the scopes of the token if the response names none
    /// (RFC 6749 §5.1). If it names some, only those count, whether they are fewer or more, with
    /// two exceptions. Entra ID never names `openid`, `profile`, `offline_access` and a lone
    /// `.../.default`: these count as given. And a scope that the response names in another case is
    /// stored in both spellings.
    ///
    /// GitHub, Slack and others separate scopes by commas. But RFC 6749 §3.3 allows commas in the
    /// name of a scope. So commas separate only if there is a comma at every space in the list, and
    /// if no requested scope has a comma. (If one has, they separate only if the list does not have
    /// that scope, but has all the scopes that commas would separate in the request.)
    pub fn requested_scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// The tenant that was asked for a token, if it is not that of the sign-in.
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

    /// How long an access token lasts if the response has no `expires_in`, as the provider
    /// documents it (RFC 6749 §5.1).
    ///
    /// By default such a token does not expire, like those of GitHub and Slack; it ends with its
    /// sign-in. If an API refuses it earlier, report that with
    /// [`AccessRequest::instead_of`](crate::AccessRequest::instead_of).
    pub fn lasting(mut self, life: Duration) -> Self {
        self.lasting = Some(life);
        self
    }

    /// Sets what was asked for, and the refresh token that was redeemed, which the new one
    /// replaces.
    pub(super) fn in_place_of(
        mut self,
        asked: &AccessQuery,
        redeemed: Option<&RefreshToken>,
    ) -> Self {
        (self.tenant, self.resource) = (asked.tenant.clone(), asked.resource.clone());
        self.token_type = Some(asked.token_type.clone());
        self.family = redeemed.and_then(|redeemed| redeemed.family_id.clone());
        self
    }

    /// Makes the tokens of the response: an access token, a refresh token if there is one, and the
    /// ID token if the response's type has one.
    ///
    /// If the response has no refresh token, or an empty one, the stored one stays valid (RFC 6749
    /// §6). The ID token is kept as it was received, to serve as `id_token_hint`: verify it before
    /// you act on what it says. The fields that providers add are taken from
    /// [`ProviderFields`](super::ProviderFields), wherever these are in the response's type. A
    /// value that is not a scope (RFC 6749 §3.3) is left out. Slack's token types `bot` and `user`
    /// become `Bearer`, because its API takes both as [bearer
    /// tokens](https://datatracker.ietf.org/doc/html/rfc6750).
    ///
    /// A token that cannot be read does not cost the others: an access token that cannot be read is
    /// left out, and the other tokens are returned.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the response has no token that can be read.
    pub fn tokens<R: TokenResponse>(&self, response: &R) -> Result<Tokens> {
        let further = further(response);
        let refresh = response
            .refresh_token()
            .map(|token| token.secret().as_str())
            .filter(|text| !is_blank(text));
        // A family that cannot be stored must not cost the token.
        let family = further
            .fields
            .family_id()
            .filter(|family| check("family id", family, MAX_ID_BYTES).is_ok());
        let refresh = refresh.map(|text| RefreshToken {
            family_id: family.map(Into::into).or_else(|| self.family.clone()),
            expires_at: self.ends(further.fields.refresh_token_expires_in()),
            partition: self.partition.clone(),
            ..RefreshToken::new(self.client.clone(), text)
        });
        let id = further.id_token.clone().map(|token| IdToken {
            tenant: self.tenant.clone(),
            partition: self.partition.clone(),
            ..IdToken::new(self.client.clone(), token)
        });
        let tokens = [
            self.access(response, &further).map(Token::from),
            refresh.map(Into::into),
            id.map(Into::into),
        ];
        let tokens: Vec<Token> = tokens.into_iter().flatten().collect();
        if tokens.is_empty() {
            return Err(Error::invalid(
                "token response",
                "there is no token in it that can be read",
            ));
        }
        Ok(tokens.into())
    }

    /// The access token. `None` if there is none that can be read, or its type cannot be stored.
    fn access<R: TokenResponse>(&self, response: &R, further: &Members) -> Option<AccessToken> {
        let text =
            Some(response.access_token().secret().as_str()).filter(|text| !is_blank(text))?;
        let token_type = self.token_type(response.token_type())?;
        // A response type of the app's own may hold more than its methods return, or less.
        let said = response.expires_in().map_or(Life::Unsaid, |life| Life::Given(life.as_secs()));
        let lifetime = said.and(further.life).believed(self.lasting);
        // An end too late for any clock counts as already past.
        let expires_at = lifetime.map(|life| self.at.checked_add(life).unwrap_or(self.at));
        let due = self
            .ends(further.fields.refresh_in())
            .filter(|at| *at > self.at && expires_at.is_none_or(|end| *at < end));
        let extended = self
            .ends(further.fields.ext_expires_in())
            .filter(|at| expires_at.is_some_and(|end| *at > end));
        Some(AccessToken {
            tenant: self.tenant.clone(),
            resource: self.resource.clone(),
            token_type,
            lifetime,
            refresh_at: due,
            extended_expires_at: extended,
            partition: self.partition.clone(),
            ..AccessToken::new(self.client.clone(), self.scopes(response), text, expires_at)
        })
    }

    fn scopes<R: TokenResponse>(&self, response: &R) -> Scopes {
        let Some(given) = response.scopes() else { return self.scopes.clone() };
        let given: Vec<&str> = given.iter().map(|scope| scope.as_str()).collect();
        let given = by_commas(&given, &self.scopes).unwrap_or(given);
        // The crate turns an empty list into one empty scope.
        let given = given.iter().copied().filter(|scope| Scopes::new([*scope]).is_ok());
        Scopes::new(given.clone().chain(self.given_otherwise(given.clone()))).unwrap_or_else(|_| {
            // These are too many to be stored, so only those are kept that the app has asked for.
            let asked =
                self.scopes.iter().filter(|asked| given.clone().any(|given| given == *asked));
            Scopes::new(asked).unwrap_or_default()
        })
    }

    /// The requested scopes that Entra ID grants, but names in another case or not at all: those of
    /// tokens that come beside the access token (`openid` and so on), and `.default`, which stands
    /// for all that the app has been granted. The app will ask for them again, so the token must be
    /// found under them.
    fn given_otherwise<'a>(
        &'a self,
        given: impl Iterator<Item = &'a str> + Clone,
    ) -> impl Iterator<Item = &'a str> {
        let is_only = self.scopes.len() == 1;
        self.scopes.iter().filter(move |scope| {
            is_of_openid(scope)
                || (is_only && is_default(scope))
                || given.clone().any(|given| given.eq_ignore_ascii_case(scope))
        })
    }

    /// The token type in its registered spelling, if it has one: some resource servers compare it
    /// with regard to case. (The crate makes every type lower case.) `None` if it is not a token
    /// type.
    fn token_type(&self, given: &impl Serialize) -> Option<String> {
        let Ok(serde_json::Value::String(given)) = serde_json::to_value(given) else { return None };
        if self.token_type.as_ref().is_some_and(|asked| asked.eq_ignore_ascii_case(&given)) {
            return self.token_type.clone();
        }
        // At Slack these say whose the token is. All of its tokens are presented as bearer tokens.
        if ["bot", "user"].contains(&given.as_str()) {
            return Some("Bearer".into());
        }
        let registered = ["Bearer", "DPoP", "PoP", "N_A"]
            .into_iter()
            .find(|name| name.eq_ignore_ascii_case(&given));
        let given = registered.map_or(given, Into::into);
        check("token type", &given, 64).is_ok().then_some(given)
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

/// Reads what the trait [`TokenResponse`] does not give from the response's JSON, whatever its
/// type: the fields that RFC 6749 does not name, and whether `expires_in` was there but could not
/// be read.
fn further(response: &impl Serialize) -> Members {
    json_of(response).and_then(|json| Members::of_bytes(&json)).unwrap_or_default()
}

/// The response as JSON, in a buffer that never grows and is wiped.
fn json_of(response: &impl Serialize) -> Option<Wiped> {
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
    let mut count = Count(0);
    serde_json::to_writer(&mut count, response).ok()?;
    let mut json = Wiped(vec![0; count.0]);
    serde_json::to_writer(json.as_mut_slice(), response).ok()?;
    Some(json)
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
