//! Instances of one store, whose verbs come in between one another: every interleaving in small
//! bounds, checked against what a store would say that does one verb after the other.

mod explore;
mod history;
mod named;
mod world;
