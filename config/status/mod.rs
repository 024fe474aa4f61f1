//! Where decisions go back to, so that they outlive the process.

pub mod directory;
#[expect(
    clippy::disallowed_methods,
    reason = "of the control plane, which may use the runtime's timeouts"
)]
pub mod kubernetes;

pub use directory::{Allocations, Recorded, StateError, StateFile};
