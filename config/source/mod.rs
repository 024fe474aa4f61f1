//! Where objects come from.

pub mod decode;
pub mod directory;
pub mod dns;
mod last_good;
pub mod watch;
pub mod yaml;

pub use decode::{AnyObject, Kind};
pub use directory::{Directory, Loaded};
pub use dns::{Dns, DnsSettings};
pub use last_good::{InForce, LastGood};
pub use watch::Watch;
