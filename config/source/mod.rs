//! Where objects come from.

pub mod decode;
mod last_good;
pub mod yaml;

pub use decode::{AnyObject, Kind};
pub use last_good::{InForce, LastGood};
