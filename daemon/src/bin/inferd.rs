//! inferd
fn main(){}
