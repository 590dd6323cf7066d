//! The examples' own sources. Examples are programs, which cargo lets nobody depend on, and `examples/web_app` must stay something
//! that users can copy: so its files are compiled in here, once for all of these tests.

#[path = "../../examples/axum_login.rs"]
#[allow(dead_code, reason = "its `main`")]
pub(crate) mod axum_login;
#[path = "../../examples/web_app/main.rs"]
#[allow(dead_code, reason = "what its command line alone uses")]
pub(crate) mod web_app;
