//! The development provider of `examples/web_app`, its other app and its API: what is demonstrated with them is what the specifications say. The app
//! here is `examples/axum_login.rs`.

#[path = "../../examples/web_app/api.rs"]
mod api;
#[path = "../../examples/axum_login.rs"]
#[allow(dead_code, reason = "its `main`")]
mod axum_login;
#[path = "../common/browser.rs"]
mod browser;
#[path = "../../examples/web_app/other_app.rs"]
mod other_app;
#[path = "../../examples/web_app/provider/mod.rs"]
mod provider;
mod sign_in;
mod sign_out;
mod site;
mod tokens;
