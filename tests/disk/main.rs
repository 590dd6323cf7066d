//! What only real folders and processes show. Many of these start this binary again as a child,
//! with one test of it, to kill it, to limit it, or to look at what it does.

mod churn;
mod damage_on_disk;
mod folder;
mod kill;
mod privacy;
mod stress;
