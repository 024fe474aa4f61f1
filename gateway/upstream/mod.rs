//! Clusters and endpoints as a worker sees them: choosing one, and keeping connections to it.

pub(crate) mod algorithm;
pub mod balance;
pub mod circuit_breaker;
mod connecting;
pub mod dynamic_dns;
mod edf;
pub mod endpoint;
pub mod hash_policy;
pub mod hash_table;
mod locality;
mod maglev;
pub mod outlier_detection;
pub mod pool;
mod ring_hash;
pub mod selection;
mod warmup;

pub use algorithm::Turns;
pub use balance::{Choice, choose, choose_elsewhere};
pub use circuit_breaker::CircuitBreaker;
pub use connecting::connect_options;
pub use endpoint::EndpointState;
pub use outlier_detection::{Outcome, Outliers};
pub use pool::Upstream;
pub use selection::Selection;
