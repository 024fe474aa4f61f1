//! Where objects come from.

pub mod decode;
pub mod directory;
mod last_good;
pub mod watch;
pub mod yaml;

pub use decode::{AnyObject, Kind};
pub use directory::{Directory, Loaded};
pub use last_good::{InForce, LastGood};
pub use watch::Watch;
