//! Where objects come from.

pub mod decode;
pub mod directory;
pub mod dns;
pub mod files;
#[expect(
    clippy::disallowed_methods,
    reason = "of the control plane, which may use the runtime's timeouts"
)]
pub mod kubernetes;
mod last_good;
pub mod sources;
pub mod watch;
pub mod yaml;

pub use decode::{AnyObject, Kind};
pub use directory::{Directory, Loaded};
pub use dns::{Dns, DnsSettings};
pub use files::Files;
pub use last_good::{InForce, LastGood, LastGoodFiles};
pub use sources::{Gathered, Sources};
pub use watch::Watch;
