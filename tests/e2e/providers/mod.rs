//! `examples/web_app`, as it is shown and with its other app, at providers that others have made:
//! `tests/e2e/providers/run` installs them, and `keycloak/run` that one.

mod glewlwyd;
mod keycloak;
mod lemonldap;
mod oidc_provider;
mod page;
