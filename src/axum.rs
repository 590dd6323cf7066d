//! The sign-out callbacks of OpenID Connect as routes of axum.
