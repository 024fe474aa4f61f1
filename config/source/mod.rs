//! Where objects come from.

pub mod decode;
pub mod directory;
pub mod dns;
pub mod files;
mod last_good;
pub mod watch;
pub mod yaml;

pub use decode::{AnyObject, Kind};
pub use directory::{Directory, Loaded};
pub use dns::{Dns, DnsSettings};
pub use files::Files;
pub use last_good::{InForce, LastGood, LastGoodFiles};
pub use watch::Watch;
