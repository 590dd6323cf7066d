//! JSON Web Signatures, encryption, keys and claims (RFC 7515 to RFC 7519), read strictly. Nothing
//! here knows an issuer's settings, a request or the store.

pub(crate) mod algorithm;
pub(crate) mod claims;
#[cfg(feature = "jwe")]
pub(crate) mod jwe;
pub(crate) mod jws;
pub(crate) mod key;
pub(crate) mod key_set;
pub(crate) mod unique_object;
