//! `examples/web_app`, as it is shown and with its other app, at providers that others have made: `tests/providers/run` installs them.

#[path = "../common/browser.rs"]
mod browser;
mod glewlwyd;
#[path = "../oidc_provider/node.rs"]
#[allow(dead_code, reason = "other tests restart it")]
mod node;
mod oidc_provider;
mod page;
#[path = "../../examples/web_app/main.rs"]
#[allow(dead_code, reason = "its `main`")]
mod web_app;
