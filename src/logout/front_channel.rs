//! OpenID Connect Front-Channel Logout 1.0.
