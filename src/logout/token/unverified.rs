//! A token before its signature is checked.

use super::profile::Profile;
use crate::logout::jose::claims::Claims;
#[cfg(feature = "jwe")]
use crate::logout::jose::jwe::{public_key::Thumbprint, sealed_token::OpenedToken};
use crate::logout::jose::jws::Jws;
use crate::logout::jose::unique_object::UniqueObject;
use crate::logout::rejected::Rejected;

/// A token that has the form of its kind. Anybody can make one: nothing in it is trusted.
pub(crate) struct Unverified {
    jws: Jws,
    claims: Claims,
    profile: &'static Profile,
    #[cfg(feature = "jwe")]
    opened_by: Option<Thumbprint>,
}

impl Unverified {
    pub(crate) fn parse(compact: &str, profile: &'static Profile) -> Result<Self, Rejected> {
        #[cfg(test)]
        crate::logout::once::PARSED.set(crate::logout::once::PARSED.get() + 1);
        let jws = Jws::parse(compact)?;
        profile.check_type(jws.header(), false)?;
        let members = UniqueObject::parse(jws.payload());
        let members = members.ok_or(Rejected::Malformed(
            "the token's claims are no JSON object with each name once",
        ))?;
        let claims = Claims::read(&members)?;
        profile.check_claims(&claims, &members)?;
        Ok(Self {
            jws,
            claims,
            profile,
            #[cfg(feature = "jwe")]
            opened_by: None,
        })
    }

    /// A token that was encrypted.
    #[cfg(feature = "jwe")]
    pub(crate) fn opened(token: &OpenedToken, profile: &'static Profile) -> Result<Self, Rejected> {
        let inner = Self::parse(token.compact.expose(), profile)?;
        Ok(Self { opened_by: Some(token.key), ..inner })
    }

    /// The key that decrypted it, if it was encrypted.
    #[cfg(feature = "jwe")]
    pub(crate) fn opened_by(&self) -> Option<&Thumbprint> {
        self.opened_by.as_ref()
    }

    /// The issuer that the token names: used only to find it among those that are configured.
    pub(crate) fn iss(&self) -> &str {
        &self.claims.iss
    }

    pub(crate) fn tid(&self) -> Option<&str> {
        self.claims.tid.as_deref()
    }

    pub(crate) fn jws(&self) -> &Jws {
        &self.jws
    }

    pub(crate) fn claims(&self) -> &Claims {
        &self.claims
    }

    pub(crate) fn profile(&self) -> &'static Profile {
        self.profile
    }
}
