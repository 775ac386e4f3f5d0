//! Bad input gets a clear error, and nothing is lost: each kind of it through the real programs. The error has its name
//! and says what failed, on what, and what to do; the process goes on, the old version serves on, and nothing is left
//! behind on the disk or among the processes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod bundles;
mod configuration;
mod disk;
mod hostile;
mod models;
mod names;
mod recordings;
mod serving;
mod uploads;
