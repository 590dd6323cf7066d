//! `examples/web_app` in a real browser: `tests/e2e/browser/run`.

mod buttons;
mod driver;
mod front_channel;
mod keyboard;
mod looks;
mod pages;
mod premises;
mod shown;
mod site;
mod stories;
