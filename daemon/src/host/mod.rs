//! What the machine gives: time, durable files, memory for frames, wake-ups, the service manager, its heat. What would make a test
//! wait or guess can be replaced in it.

pub mod attendance;
pub mod backoff;
pub mod child;
pub mod clock;
pub mod durable;
pub mod error;
pub mod frames;
pub mod groups;
pub mod log;
pub mod permission;
pub mod service;
pub mod thermal;
pub mod v4l2;
pub mod wake;
