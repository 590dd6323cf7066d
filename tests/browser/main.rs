//! `examples/web_app` in a real browser: `tests/browser/run`.

#[path = "../../examples/web_app/main.rs"]
#[allow(dead_code, reason = "what its command line alone uses")]
mod web_app;

mod buttons;
mod driver;
mod front_channel;
mod keyboard;
mod looks;
mod pages;
mod premises;
mod shown;
mod site;
