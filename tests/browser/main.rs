//! `examples/web_app` in a real browser: `tests/browser/run`.

mod driver;
mod premises;
