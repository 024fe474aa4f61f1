//! Services that want an address.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::labels::Labels;
use crate::model::{Endpoint, TransportProtocol};
use crate::resources::ObjectKey;

/// A Service of type LoadBalancer.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Namespace and name.
    pub key: ObjectKey,
    /// Its labels, for pools and advertisements that select by them.
    pub labels: Labels,
    /// The labels of its namespace.
    pub namespace_labels: Labels,
    /// Which address it asks for.
    pub request: AddressRequest,
    /// `spec.externalTrafficPolicy`.
    pub traffic_policy: TrafficPolicy,
    /// `spec.selector`, canonical (`k=v,k2=v2`): MetalLB's backend key with `Local`.
    pub selector: String,
    /// Whether it selects this gateway: then the Gateway's servers listen at its address,
    /// otherwise its ports are carried to the endpoints.
    pub is_gateway: bool,
    /// A gateway behind it listens at its servers' own numbers, whatever the target ports are (Istio's
    /// label `experimental.istio.io/disable-gateway-port-translation`).
    pub keeps_ports: bool,
    /// Its ports; names and numbers are unique per protocol.
    pub ports: Vec<Port>,
    /// The nodes that have an endpoint which serves (ready, or ending but still serving): those that
    /// may own its address with `Local`. Endpoints that name no node are not among them.
    pub endpoint_nodes: BTreeSet<String>,
    /// `spec.loadBalancerSourceRanges`: who may connect, of both families; none: everybody. An empty
    /// list lets nobody in.
    pub sources: Option<Arc<[IpNet]>>,
    /// The address that `status.loadBalancer` or the spec already showed when it was read;
    /// columns of `get services`.
    pub cluster_ip: Option<String>,
    /// `metadata.creationTimestamp`, seconds since 1970.
    pub created: Option<i64>,
}

/// A Service that selects this gateway and gets no address from us: others lead to its endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayService {
    /// Namespace and name.
    pub key: ObjectKey,
    /// A gateway behind it listens at its servers' own numbers, whatever the target ports are (Istio's
    /// label `experimental.istio.io/disable-gateway-port-translation`).
    pub keeps_ports: bool,
    /// Its ports; names and numbers are unique per protocol.
    pub ports: Vec<Port>,
    /// `metadata.creationTimestamp`, seconds since 1970.
    pub created: Option<i64>,
}

/// A Service's port.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Its name; empty where a single port has none.
    pub name: String,
    /// TCP or UDP.
    pub protocol: TransportProtocol,
    /// The port at the Service's address.
    pub port: u16,
    /// The numeric target port (the port itself where none was written, none where it is a name).
    pub target_port: Option<u16>,
    /// `nodePort`, for the columns of `get services`.
    pub node_port: Option<u16>,
    /// Ready endpoints of this port.
    pub endpoints: Vec<Endpoint>,
}

/// Which address a Service asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRequest {
    /// `ipFamilies`/`ipFamilyPolicy`.
    pub families: AddressFamilies,
    /// `metallb.io/loadBalancerIPs` or `spec.loadBalancerIP`: at most one per family.
    pub addresses: Vec<IpAddr>,
    /// `metallb.io/address-pool`.
    pub pool: Option<String>,
    /// `metallb.io/allow-shared-ip`; empty means none.
    pub sharing_key: String,
    /// Its ports of SCTP. Nothing is carried for them here, but two Services that share an address
    /// must not have the same one.
    pub sctp_ports: BTreeSet<u16>,
    /// The request itself is wrong (unparsable address, two of one family, both ways of asking):
    /// the Service keeps what it has and gets nothing new.
    pub invalid: Option<String>,
}

/// Which families a Service wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressFamilies {
    /// IPv4 alone (what a Service without `ipFamilies` gets).
    #[default]
    V4,
    /// IPv6 alone.
    V6,
    /// Both or nothing.
    RequireDual,
    /// Both where there are both, otherwise the primary one.
    PreferDual {
        /// `ipFamilies[0]` is IPv6.
        primary_v6: bool,
    },
}

/// `externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrafficPolicy {
    /// Any node may carry it.
    #[default]
    Cluster,
    /// Only nodes with an endpoint.
    Local,
}
