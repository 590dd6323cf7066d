//! How the key of an encrypted token's content is protected.

/// How a token is encrypted for a key: the key management algorithms of RFC 7518 §4 that are
/// accepted, each by its name there.
///
/// These are absent on purpose: `RSA1_5`, whose padding can be told apart by its sender (the attack
/// of Bleichenbacher); `dir`, `A128KW` and the like, and `PBES2`, for which app and provider would
/// share a secret, and the last of which lets the sender choose how much work it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyManagement {
    /// `RSA-OAEP`: with SHA-1, which is sound here (RFC 8017 §B.1).
    RsaOaep,
    /// `RSA-OAEP-256`: with SHA-256.
    RsaOaep256,
    /// `ECDH-ES`: the agreed key encrypts the content.
    EcdhEs,
    /// `ECDH-ES+A128KW`: the agreed key wraps the content's key, with AES-128.
    EcdhEsA128Kw,
    /// `ECDH-ES+A192KW`: with AES-192.
    EcdhEsA192Kw,
    /// `ECDH-ES+A256KW`: with AES-256.
    EcdhEsA256Kw,
}

impl KeyManagement {
    const ALL: [Self; 6] = [
        Self::RsaOaep,
        Self::RsaOaep256,
        Self::EcdhEs,
        Self::EcdhEsA128Kw,
        Self::EcdhEsA192Kw,
        Self::EcdhEsA256Kw,
    ];

    /// Its name, as in `id_token_encrypted_response_alg` and in the `alg` of a JWK.
    ///
    /// ```
    /// assert_eq!(oubliette::logout::KeyManagement::RsaOaep256.name(), "RSA-OAEP-256");
    /// ```
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RsaOaep => "RSA-OAEP",
            Self::RsaOaep256 => "RSA-OAEP-256",
            Self::EcdhEs => "ECDH-ES",
            Self::EcdhEsA128Kw => "ECDH-ES+A128KW",
            Self::EcdhEsA192Kw => "ECDH-ES+A192KW",
            Self::EcdhEsA256Kw => "ECDH-ES+A256KW",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Whether it needs an RSA key; the others need one to agree with.
    pub(super) fn is_rsa(self) -> bool {
        matches!(self, Self::RsaOaep | Self::RsaOaep256)
    }

    /// The length of the key that wraps the content's, where one does.
    pub(super) fn wrapping_key_bytes(self) -> Option<usize> {
        match self {
            Self::EcdhEsA128Kw => Some(16),
            Self::EcdhEsA192Kw => Some(24),
            Self::EcdhEsA256Kw => Some(32),
            Self::RsaOaep | Self::RsaOaep256 | Self::EcdhEs => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_needs_a_shared_secret_or_can_be_probed() {
        for name in [
            "",
            "none",
            "RSA1_5",
            "rsa-oaep",
            "RSA-OAEP-384",
            "RSA-OAEP-512",
            "dir",
            "A128KW",
            "A256KW",
            "A256GCMKW",
            "PBES2-HS256+A128KW",
            "PBES2-HS512+A256KW",
            "ECDH-ES+A128GCMKW",
            "RS256",
        ] {
            assert_eq!(KeyManagement::parse(name), None, "{name}");
        }
        for algorithm in KeyManagement::ALL {
            assert_eq!(KeyManagement::parse(algorithm.name()), Some(algorithm));
        }
    }
}
