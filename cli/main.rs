//! The `gatehouse` binary: verbs and output; the work is done by the crates beside it.

#[allow(dead_code)] // until the verbs are wired
mod demo;
#[allow(dead_code)] // until the verbs are wired
mod get;
#[allow(dead_code)] // until the verbs are wired
mod table;

fn main() {}
