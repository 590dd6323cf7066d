//! The callbacks end to end, but for the provider: what comes in, what is answered, and who is signed in afterwards.

mod back_channel;
mod clock;
#[path = "../common/mod.rs"]
mod common;
mod conformance;
mod end_session;
mod external_id;
mod failures;
mod figures;
mod front_channel;
mod hook;
mod in_flight;
mod names;
mod routes;
#[path = "../logout/signer.rs"]
#[allow(dead_code, reason = "each test binary uses a part of it")]
mod signer;
#[path = "../logout/stub.rs"]
mod stub;
mod turns;
mod world;
