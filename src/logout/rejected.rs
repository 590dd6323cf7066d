//! Why a callback is refused.

/// Why a callback, or the token in it, is refused: nobody was signed out by it.
///
/// `Display` is what the sender is told (`error_description`). It never says a value of the token,
/// nor what of it is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// It is not of the form that the specification asks for.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// The token is encrypted, and no issuer here has a key to decrypt one:
    /// `Issuer::decryption_keys`, with the feature `jwe`.
    #[error("encrypted tokens are not taken here")]
    Encrypted,
    /// The token is encrypted with an algorithm that is not supported.
    #[error("this encryption algorithm is not accepted")]
    WrongEncryption,
    /// The token is encrypted for a key that is not known here, or not as one of its issuer's. The
    /// provider may have an old key set of the app's.
    #[error("the key that the token is encrypted for is not known here")]
    UnknownDecryptionKey,
    /// The token cannot be decrypted: it was encrypted for another key, or was changed.
    #[error("the token cannot be decrypted")]
    Undecryptable,
    /// The token is encrypted, but what is inside is not signed: it proves nothing, as anybody can
    /// encrypt.
    #[error("the token is encrypted but not signed")]
    OnlyEncrypted,
    /// Too many encrypted tokens wait to be decrypted.
    #[error("too many encrypted tokens came at a time; send it again")]
    Busy,
    /// The token's `typ` is that of another kind of token, or there is none where one is required.
    #[error("this type of token is not taken here")]
    WrongType,
    /// The token is signed with an algorithm that this issuer does not use, or not at all.
    #[error("this signature algorithm is not accepted")]
    WrongAlgorithm,
    /// The token, or the callback, is of no issuer whose sign-outs are taken here.
    #[error("this issuer is not known here")]
    UnknownIssuer,
    /// The token is for another client.
    #[error("the token is for another audience")]
    WrongAudience,
    /// The token has expired, or is too old.
    #[error("the token has expired")]
    Expired,
    /// The token is from the future. Compare the clocks.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// A claim is missing, forbidden, or not what it should be.
    #[error("the claim {claim} is wrong: {problem}")]
    Claim {
        /// The claim.
        claim: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// None of the issuer's keys is the one that the token names; a fresher set of them may have
    /// it.
    #[error("the signing key is not known")]
    UnknownKey,
    /// The signature is not that of the issuer's key.
    #[error("the signature is wrong")]
    BadSignature,
    /// There are no keys to check the signature with: they could not be fetched so far.
    #[error("the keys of the issuer are not available")]
    KeysUnavailable,
}

impl Rejected {
    pub(crate) fn claim(claim: &'static str, problem: &'static str) -> Self {
        Self::Claim { claim, problem }
    }
}
