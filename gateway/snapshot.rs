//! The immutable tables that workers serve from.
//!
//! Everything is linked by index; nothing is parsed or compared as text later that could be
//! compiled now. Built by [`compile`](crate::compile), shared as `Arc<Snapshot>`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_config::model::{Balancing, DestinationLabels, UpstreamProtocol, WorkloadLabels};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// As an index.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        })*
    };
}

ids! {
    /// A route, in [`Snapshot::routes`].
    RouteId;
    /// A cluster, in [`Snapshot::clusters`].
    ClusterId;
    /// An endpoint, in [`Snapshot::endpoints`].
    EndpointId;
    /// A set of destination labels, numbered for the life of the process by
    /// [`LabelTable`](crate::observe::LabelTable).
    LabelsId;
}

/// A cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Istio's name: `outbound|<port>|<subset>|<host>`.
    pub name: Arc<str>,
    /// The destination side of its metrics as far as the service gives it.
    pub labels: Arc<DestinationLabels>,
    /// The labels of a request that reached no endpoint.
    pub no_endpoint_labels: LabelsId,
    /// Its endpoints: a contiguous run of [`Snapshot::endpoints`].
    pub endpoints: std::ops::Range<u32>,
    /// How an endpoint is chosen.
    pub balancing: Balancing,
    /// What is spoken to them.
    pub protocol: UpstreamProtocol,
    /// How long a connect may take.
    pub connect_timeout: Duration,
}

/// An endpoint of one cluster.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where.
    pub address: SocketAddr,
    /// Its share; at least 1.
    pub weight: u32,
    /// The destination side of its metrics.
    pub labels: LabelsId,
    /// The workload behind it.
    pub workload: Arc<WorkloadLabels>,
}
