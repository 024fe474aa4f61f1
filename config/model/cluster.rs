//! Clusters: a group of endpoints behind one destination, port and subset.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::model::ClusterPolicy;

/// An index into [`Model::clusters`](crate::model::Model::clusters).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterIndex(pub u32);

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A cluster; it may be empty (503 UH).
    Cluster(ClusterIndex),
    /// A host, port or subset that nothing defines: 503 NC, `cluster_not_found`.
    Unknown {
        /// `outbound|9080|v1|reviews.default.svc.cluster.local`, as written.
        name: String,
    },
}

/// A group of endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Istio's name: `outbound|<port>|<subset>|<host>`.
    pub name: String,
    /// What the metrics say of it.
    pub labels: Arc<DestinationLabels>,
    /// Ready endpoints; empty is legal.
    pub endpoints: Vec<Endpoint>,
    /// How an endpoint is chosen.
    pub balancing: Balancing,
    /// What is spoken to the endpoints.
    pub protocol: UpstreamProtocol,
    /// Calls of grpc-web are turned into gRPC for them (a port named `grpc-web`).
    pub grpc_web: bool,
    /// How long a connect may take (Istio: 10 s).
    pub connect_timeout: Duration,
    /// What else a DestinationRule says.
    pub policy: Arc<ClusterPolicy>,
}

/// One place to send to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where.
    pub address: EndpointAddress,
    /// Its share; at least 1.
    pub weight: u32,
    /// What the metrics say of it.
    pub workload: Arc<WorkloadLabels>,
}

/// Where an endpoint is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointAddress {
    /// At an IP address and port.
    Inet(SocketAddr),
    /// At a socket of this host: its path, or `@` and its name for an abstract one.
    Unix(Arc<str>),
}

impl EndpointAddress {
    /// The IP address and port, if it has them.
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for EndpointAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(path) => f.write_str(path),
        }
    }
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balancing {
    /// The less busy of two picked by chance (Istio's default).
    #[default]
    LeastRequest,
    /// In turn.
    RoundRobin,
    /// By chance.
    Random,
    /// By the request's hash, on a ring.
    RingHash {
        /// At least so many places; 1 to 8,388,608.
        minimum_size: u32,
    },
    /// By the request's hash, in a Maglev table.
    Maglev {
        /// A prime below 5,000,011.
        table_size: u32,
    },
}

/// What is spoken to an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: in plain text by prior knowledge, over TLS by ALPN.
    H2c,
    /// The version that the client speaks (`useClientProtocol`).
    Client,
}

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransportProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// The destination side of a metric, as far as the service gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DestinationLabels {
    /// `destination_service`: the host, `productpage.default.svc.cluster.local`.
    pub service: String,
    /// `destination_service_name`: `productpage`.
    pub service_name: String,
    /// `destination_service_namespace`.
    pub service_namespace: String,
}

/// The destination side of a metric, as far as the endpoint gives it; `unknown` where it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WorkloadLabels {
    /// `destination_workload`.
    pub workload: String,
    /// `destination_workload_namespace`.
    pub namespace: String,
    /// `destination_app`.
    pub app: String,
    /// `destination_version`.
    pub version: String,
    /// `destination_canonical_service`.
    pub canonical_service: String,
    /// `destination_canonical_revision`; `latest` when the labels do not say.
    pub canonical_revision: String,
}
