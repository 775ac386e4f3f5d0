//! The shared words of inferd as plain values: what a model's manifest says, what travels between the daemon and a
//! runner, and what an inference came to.
//!
//! Invariants:
//! - No files, no threads, no bus, no clock: values and pure functions only, so that both processes may trust them.
//! - Everything that enters from outside (a manifest's text, a message's bytes) is checked here once; the types behind
//!   it cannot hold what was refused.

pub mod digest;
pub mod frame;
pub mod labelled;
pub mod manifest;
pub mod model;
pub mod name;
pub mod outcome;
pub mod prediction;
pub mod recorded;
pub mod shape;
pub mod text;
pub mod wire;

pub use digest::Digest;
pub use model::ModelId;
pub use name::Name;
pub use shape::Shape;
