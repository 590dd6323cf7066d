//! Where a provider's keys come from: given, or fetched and cached.

use super::jws::{Algorithm, Jws};
use super::key_set::{KeySet, KeysError};
use super::rejected::Rejected;
use crate::openid::Provider;

/// The keys of a provider.
#[derive(Clone, Debug)]
#[must_use]
pub struct Keys(KeySet);

impl Keys {
    /// These.
    ///
    /// # Errors
    /// [`KeysError`] if there are none that can be used.
    pub fn fixed(jwks: &[u8]) -> Result<Self, KeysError> {
        KeySet::parse(jwks).map(Self)
    }

    pub(super) fn cache(&self, _: &Provider) -> Cache {
        Cache(self.0.clone())
    }
}

#[derive(Clone, Debug)]
pub(super) struct Cache(KeySet);

impl Cache {
    pub(super) async fn verify(
        &self,
        jws: &Jws<'_>,
        algorithms: &[Algorithm],
        iss: &str,
        tid: Option<&str>,
    ) -> Result<(), Rejected> {
        std::future::ready(self.0.verify(jws, algorithms, iss, tid)).await
    }
}
