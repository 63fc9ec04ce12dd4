//! oscd.
fn main() {}
