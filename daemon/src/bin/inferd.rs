//! inferd

fn main() {}
