//! The ways on which a sign-out arrives: the back channel, the front channel, and the user in this
//! app. Each reads its request, and asks the receiver to carry it out.

mod back_channel;
pub(crate) mod end_session;
mod end_session_url;
mod form;
mod front_channel;
#[cfg(feature = "axum")]
pub(crate) mod routes;
mod rp_initiated;
