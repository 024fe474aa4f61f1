//! What is seen of the traffic: metrics and the access log.
//!
//! A worker counts into its own [`WorkerMetrics`] and copies log fields into an owned record;
//! everything that formats text runs on another thread. Label sets are numbered by the control
//! thread ([`LabelTable`]), so that a worker never handles a label as text.

pub mod access_log;
pub mod clusters;
pub mod exposition;
pub mod histogram;
pub mod labels;
pub mod metrics;
pub mod process;
pub mod render;
pub mod route_stats;
mod series;

pub use access_log::{AccessLog, AccessLogger, Drops, LogPlan, Resolved};
pub use labels::{Identity, LabelSet, LabelTable, Labels};
pub use metrics::{MetricsSnapshot, WorkerMetrics};
pub use render::{GatewayState, RenderOptions, render};

#[cfg(test)]
pub(crate) mod sample;
