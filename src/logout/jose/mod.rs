//! JSON Web Signatures, keys and claims (RFC 7515, RFC 7517, RFC 7519), read strictly. Nothing here
//! knows an issuer, a request or the store.

pub(crate) mod claims;
pub(crate) mod jws;
pub(crate) mod key_set;
pub(crate) mod unique_object;
