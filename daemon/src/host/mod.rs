//! What the machine gives: time, durable files, the service manager. Everything here can be replaced in a test.

pub mod clock;
pub mod durable;
