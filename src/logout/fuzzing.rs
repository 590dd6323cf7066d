//! The way in for the fuzz target of discovery documents: see `src/testing/fuzzing.rs`.

use crate::logout::keys::discovery::Discovery;
use crate::openid::Provider;

/// Where a document of this issuer's says that the keys are and where users sign out, if it may say
/// so.
#[must_use]
pub fn discovered(json: &[u8], issuer: &str) -> Option<(String, Option<String>)> {
    let found = Discovery::parse(json, &Provider::generic(issuer).ok()?).ok()?;
    Some((found.jwks_uri.into(), found.end_session_endpoint.map(Into::into)))
}
