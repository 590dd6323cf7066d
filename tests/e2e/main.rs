//! The examples end to end: apps, browsers and providers, on ports of this machine.
//!
//! What needs a browser, a provider of others, or much time is ignored, and driven by a script: `tests/e2e/browser/run`,
//! `tests/e2e/oidc_provider/run`, `tests/e2e/providers/run`, `tests/e2e/providers/keycloak/run`.

mod axum_login;
mod browser;
mod development_provider;
mod examples;
mod oidc_provider;
mod providers;
#[cfg(target_os = "linux")]
mod soak;
mod user_agent;
mod web_app;
