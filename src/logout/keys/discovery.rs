//! The discovery document of a provider.

use openidconnect::url::Url;

use crate::logout::jose::unique_object::UniqueObject;
use crate::openid::Provider;

/// What is used of the document (OpenID Connect Discovery 1.0 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Discovery {
    /// Where the keys are.
    pub(crate) jwks_uri: Url,
    /// Where users sign out (OpenID Connect RP-Initiated Logout 1.0 §2.1).
    pub(crate) end_session_endpoint: Option<Url>,
}

/// Why a document is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("it is no discovery document")]
    NotADocument,
    /// Whoever serves it may not say what our provider's keys are (§4.3).
    #[error("it is another issuer's")]
    OtherIssuer,
    /// Whoever is on the way could give us keys.
    #[error("its jwks_uri is no https URL, or has a fragment or a user in it")]
    KeysAddress,
}

impl Discovery {
    /// Reads the document that `provider` serves.
    pub(crate) fn parse(json: &[u8], provider: &Provider) -> Result<Self, Unusable> {
        let document = UniqueObject::parse(json).ok_or(Unusable::NotADocument)?;
        let text = |name| document.text(name).ok().flatten().ok_or(Unusable::NotADocument);
        let (issuer, jwks_uri) = (text("issuer")?, text("jwks_uri")?);
        if !provider.takes_discovered_issuer(&issuer) {
            return Err(Unusable::OtherIssuer);
        }
        let is_plain_taken =
            Url::parse(provider.issuer()).is_ok_and(|issuer| issuer.scheme() == "http");
        let jwks_uri = address(&jwks_uri, is_plain_taken).ok_or(Unusable::KeysAddress)?;
        // Keys without it are better than none: then the app signs out here alone.
        let end_session_endpoint =
            text("end_session_endpoint").ok().and_then(|url| address(&url, is_plain_taken));
        Ok(Self { jwks_uri, end_session_endpoint })
    }
}

/// `url`, if that is where a document may be fetched or a user be sent. Plain HTTP only if it is
/// taken, and never leaves the machine.
pub(crate) fn address(url: &str, is_plain_taken: bool) -> Option<Url> {
    let url = Url::parse(url).ok()?;
    let is_safe = match url.scheme() {
        "https" => true,
        "http" => {
            is_plain_taken && matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
        }
        _ => false,
    };
    let is_bare = url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    Some(url).filter(|_| is_safe && is_bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Discovery, Unusable> {
        Discovery::parse(json.as_bytes(), &Provider::generic("https://op.example.com").unwrap())
    }

    #[test]
    fn a_document_is_an_object_with_each_name_once() {
        let good = r#"{"issuer": "https://op.example.com", "jwks_uri": "https://op.example.com/jwks", "other": [{}]}"#;
        let found = parse(good).unwrap();
        assert_eq!(
            (found.jwks_uri.as_str(), found.end_session_endpoint),
            ("https://op.example.com/jwks", None)
        );
        for bad in [
            r#"["https://op.example.com", "https://op.example.com/jwks"]"#,
            r#"["https://op.example.com", "https://op.example.com/jwks", null]"#,
            r#"{"issuer": "https://op.example.com", "jwks_uri": "https://op.example.com/jwks", "jwks_uri": "https://op.example.com/k"}"#,
            r#"{"issuer": "https://op.example.com", "jwks_uri": null}"#,
            r#"{"issuer": "https://op.example.com", "jwks_uri": ["https://op.example.com/jwks"]}"#,
            "null",
            "",
        ] {
            assert_eq!(parse(bad), Err(Unusable::NotADocument), "{bad}");
        }
    }
}
