//! VirtualService: how requests for a host are routed.

use std::collections::BTreeMap;

use crate::api::istio::destination::Destination;
use crate::api::istio::http_route::HttpRoute;
use crate::api::jsonpb::message;
use crate::api::rare::Rare;

message! {
    /// `spec` of a VirtualService.
    pub struct VirtualService {
        /// The hosts; empty for a delegate.
        pub hosts: Vec<String>,
        /// The Gateways it applies to; empty means the mesh alone, which is nothing here.
        pub gateways: Vec<String>,
        /// HTTP routes; the first that matches wins.
        pub http: Vec<HttpRoute>,
        /// Routes of TLS that is passed through, by SNI.
        pub tls: Rare<Vec<TlsRoute>>,
        /// Routes of plain TCP.
        pub tcp: Rare<Vec<TcpRoute>>,
        /// The namespaces that see it: `.`, `*` or names; empty means all.
        #[serde(alias = "export_to")]
        pub export_to: Rare<Vec<String>>,
    }
}

message! {
    /// A route of passed-through TLS.
    pub struct TlsRoute {
        /// Any of them must match.
        #[serde(rename = "match")]
        pub matches: Vec<TlsMatch>,
        /// Where to, by weight.
        pub route: Vec<RouteDestination>,
    }
}

message! {
    /// When a TLS route applies.
    pub struct TlsMatch {
        /// The SNI names.
        #[serde(alias = "sni_hosts")]
        pub sni_hosts: Vec<String>,
        /// Not evaluated at a gateway.
        #[serde(alias = "destination_subnets")]
        pub destination_subnets: Vec<String>,
        /// The listener's port as written.
        pub port: u32,
        /// Not evaluated at a gateway.
        #[serde(alias = "source_labels")]
        pub source_labels: BTreeMap<String, String>,
        /// The Gateways, in place of the VirtualService's.
        pub gateways: Vec<String>,
        /// Not evaluated at a gateway.
        #[serde(alias = "source_namespace")]
        pub source_namespace: String,
    }
}

message! {
    /// A route of plain TCP.
    pub struct TcpRoute {
        /// Any of them must match; none matches all.
        #[serde(rename = "match")]
        pub matches: Vec<L4Match>,
        /// Where to, by weight.
        pub route: Vec<RouteDestination>,
    }
}

message! {
    /// When a TCP route applies.
    pub struct L4Match {
        /// Not evaluated at a gateway.
        #[serde(alias = "destination_subnets")]
        pub destination_subnets: Vec<String>,
        /// The listener's port as written.
        pub port: u32,
        /// Not evaluated at a gateway.
        #[serde(alias = "source_subnet")]
        pub source_subnet: String,
        /// Not evaluated at a gateway.
        #[serde(alias = "source_labels")]
        pub source_labels: BTreeMap<String, String>,
        /// The Gateways, in place of the VirtualService's.
        pub gateways: Vec<String>,
        /// Not evaluated at a gateway.
        #[serde(alias = "source_namespace")]
        pub source_namespace: String,
    }
}

message! {
    /// A weighted destination of TLS and TCP routes.
    pub struct RouteDestination {
        /// Where to.
        pub destination: Option<Destination>,
        /// The share of the connections.
        pub weight: i32,
    }
}
