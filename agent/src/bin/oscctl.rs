//! oscctl.
fn main() {}
