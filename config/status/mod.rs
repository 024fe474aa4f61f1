//! Where decisions go back to, so that they outlive the process.

pub mod directory;

pub use directory::{Allocations, Recorded, StateError, StateFile};
