//! The callbacks end to end, but for the provider: what comes in, what is answered, and who is
//! signed in afterwards.

mod back_channel;
mod clock;
mod conformance;
mod encrypted;
mod end_session;
mod external_id;
mod failures;
mod figures;
mod front_channel;
mod hook;
mod in_flight;
mod names;
mod routes;
mod turns;
mod world;
