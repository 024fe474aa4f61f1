//! Clusters and endpoints as a worker sees them: choosing one, and keeping connections to it.

pub mod balance;
pub mod endpoint;
pub mod pool;

pub use balance::{Choice, choose};
pub use endpoint::EndpointState;
pub use pool::Upstream;
