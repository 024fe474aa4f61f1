//! The `gatehouse` binary: verbs and output; the work is done by the crates beside it.

fn main() {}
