//! The development provider of `examples/web_app`, its other app and its API: what is demonstrated with them is what the specifications say. The app
//! here is `examples/axum_login.rs`.

mod sign_in;
mod sign_out;
mod site;
mod tokens;
