//! inferd, the daemon, as a library: the rooms that a frame travels through, in that order. Begin with [`pipeline`].
//!
//! Who may import whom: `bin -> app -> rooms -> host -> core`. Rooms do not import rooms, but for the pairs that
//! `ARCHITECTURE.md` lists; `tests/layering.rs` checks the table.

pub mod bus;
pub mod capture;
pub mod config;
pub mod control;
pub mod engine;
pub mod host;
pub mod judge;
pub mod metrics;
pub mod model;
pub mod pipeline;
pub mod publish;
pub mod sampling;
pub mod spool;
pub mod upload;

pub mod app;
