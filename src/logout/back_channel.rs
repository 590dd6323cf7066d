//! OpenID Connect Back-Channel Logout 1.0.
