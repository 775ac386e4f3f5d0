//! inferctl

fn main() {}
