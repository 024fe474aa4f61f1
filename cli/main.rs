//! The `gatehouse` binary: verbs and output; the work is done by the crates beside it.

#[allow(dead_code)] // until the verbs are wired
mod demo;

fn main() {}
