//! A control socket beside a running app: its operator asks for sign-outs, figures, upkeep and
//! backups while the app has its [Oubliette](oubliette) store open.
//!
//! The app starts a [`ControlSocket`], which is off unless it is asked for. The program `oubliette`
//! finds it in the store's folder, as a [`Client`]. Both sides have the same [`Request`]s and
//! [`Answer`]s, and [`Request::perform`] carries a request out in either.
//!
//! # Features
//! - `tracing`: an event of the target `oubliette_control` for each request, without names.
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod answer;
#[cfg_attr(not(unix), allow(dead_code, reason = "nothing is served there"))]
mod backups;
mod client;
#[cfg(unix)]
mod connection;
#[cfg(unix)]
mod door;
#[cfg(unix)]
mod peer;
mod perform;
#[cfg(unix)]
mod place;
#[cfg_attr(not(unix), allow(dead_code, reason = "nothing is sent there"))]
mod protocol;
mod request;
#[cfg_attr(not(unix), allow(dead_code, reason = "nothing is served there"))]
mod served;
mod socket;

pub use answer::{Answer, Estimate, Fault, ListedAccount, ListedId, OfDay, OnRecord, Part, kind};
pub use client::Client;
pub use protocol::VERSION;
pub use request::{Request, Whom};
pub use served::Served;
pub use socket::{ControlSocket, ControlSocketBuilder, StartError};
