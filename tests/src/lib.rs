//! Support for whole-system tests, the demo and the benchmark: the real programs on a private bus in a temporary folder.
//!
//! Nothing here stands in for a part of inferd: a [`Rig`] runs the programs that are installed, and what it knows it has
//! read from where users read it (the bus through `inferctl`, the outcomes socket, the metrics endpoint, the disk).

pub mod broker;
pub mod fixtures;
pub mod hold;
pub mod metrics;
pub mod onnx;
pub mod outcomes;
pub mod outside;
pub mod processes;
pub mod receiver;
pub mod rig;
pub mod service_manager;
pub mod skip;
pub mod statistics;
pub mod uhid;
pub mod variant;

pub use rig::Rig;
