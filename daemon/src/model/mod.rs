//! Models on disk: the file a version travels in, the versions that are installed, the folder where new ones are dropped,
//! and the steps of a swap.
//!
//! Invariants:
//! - Nothing here looks inside a model: files are bytes with a digest.
//! - A version is offered only while its manifest is the one that was installed; its files are verified again each time
//!   it is loaded, and what is handed on is exactly what was verified.

pub mod bundle;
pub mod incoming;
pub mod rollout;
pub mod store;

mod hashing;

#[cfg(test)]
mod fixture;
