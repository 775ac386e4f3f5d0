//! inferd-runner

fn main() {}
