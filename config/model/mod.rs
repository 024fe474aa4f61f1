//! Validated meaning: what the gateway serves and which addresses are wanted.
//!
//! No I/O, no Kubernetes types, nothing that could be wrong: whatever was wrong became a
//! [`Finding`](crate::Finding) on the way here. References between parts are indices
//! ([`ClusterIndex`]), so nothing is looked up by name later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use crate::resolved::NameUse;
use crate::resources::UnreadServices;

pub mod access_log;
pub mod address;
pub mod cluster;
pub mod cluster_policy;
pub mod cors_policy;
pub mod expression;
pub mod fault;
pub mod headers;
pub mod metric_rules;
pub mod pattern;
pub mod percent;
pub mod proxy;
pub mod route;
pub mod server;
pub mod service;
pub mod tls;

pub use access_log::{
    AccessLog, LogFormat, LogJson, LogOperator, LogPiece, LogTarget, LogTemplate,
};
pub use address::{
    AddressRange, L2Advertisement, LabelRequirement, LabelSelector, Node, Pool, Preference,
    RefusedPool, ServiceAllocation,
};
pub use cluster::{
    Balancing, Cluster, ClusterIndex, Destination, DestinationLabels, Endpoint, EndpointAddress,
    TransportProtocol, UpstreamProtocol, WorkloadLabels,
};
pub use cluster_policy::{
    ClusterPolicy, Connections, DynamicDns, HashCookie, HashPolicy, Http2, Limits, LocalityGroup,
    OutlierDetection, ProxyVersion, RetryBudget, TcpKeepalive, Tunnel, Warmup,
};
pub use cors_policy::CorsPolicy;
pub use expression::{Attribute, Expression};
pub use fault::{Abort, AbortStatus, Delay, Fault};
pub use headers::{
    AddressPart, DurationPart, DurationUnit, GrpcStatusForm, HeaderEdit, HeaderEdits, HeaderName,
    HeaderValueTemplate, Moment, PathPart, ValuePiece,
};
pub use metric_rules::{MetricRule, MetricRules, TagRule};
pub use pattern::{Domain, FullMatch, Pattern};
pub use percent::Percent;
pub use proxy::{
    ConnectionSettings, EscapedSlashes, ForwardClientCert, Guard, GuardedHosts, PathNormalization,
    Proxy, ProxyHeaders, ServerHeader, Underscores,
};
pub use route::{
    Action, Conditions, DelegateOrigin, DirectResponse, Forward, HeaderMatch, Line, MatchedPath,
    Mirror, Redirect, Retry, RetryOn, Rewrite, Route, RouteMatch, RouteOrigin, UriRewrite,
    WeightedDestination,
};
pub use server::{
    ChainContent, FilterChain, Server, ServerContent, ServerOrigin, TcpDestination, TcpRoute,
    VirtualHost, socket_stand_in,
};
pub use service::{AddressFamilies, AddressRequest, GatewayService, Port, Service, TrafficPolicy};
pub use tls::{
    Authorities, Certificate, ClientCertificates, ClientSni, ClientTls, ServerTls, TlsFact,
    TlsParameters, TlsVersion, UpstreamTls, Verification,
};

/// Everything that is in force.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Servers of the Gateways that select this daemon, merged per port.
    pub servers: Vec<Server>,
    /// Groups of endpoints; [`ClusterIndex`] points into it. Some may serve no route any more.
    pub clusters: Vec<Arc<Cluster>>,
    /// Services of type LoadBalancer, in the order in which they are allocated
    /// (oldest first, then namespace and name).
    pub services: Arc<Vec<Service>>,
    /// Services of other types and classes that select the gateway: a ClusterIP or a NodePort leads
    /// to it as well.
    pub gateway_services: Vec<GatewayService>,
    /// Address pools, sorted by name; they do not overlap.
    pub pools: Vec<Pool>,
    /// Pools that exist, of which no version is in force, sorted by name; none is among `pools`.
    pub refused_pools: Vec<RefusedPool>,
    /// Services that exist, of which no version is in force; none is among `services`.
    pub unread_services: UnreadServices,
    /// Who may announce what, and where; sorted by name.
    pub advertisements: Vec<L2Advertisement>,
    /// The nodes that were described; empty in most directories.
    pub nodes: Vec<Node>,
    /// Settings of the proxy as a whole.
    pub proxy: Proxy,
    /// The names that clusters are reached by: to be looked up, and translated again with the
    /// answers ([`Settings::names`](crate::translate::Settings::names)).
    pub names: BTreeMap<String, NameUse>,
    /// The files that certificates and keys come from: to be read and watched, and translated
    /// again with what they hold ([`Settings::files`](crate::translate::Settings::files)).
    pub files: BTreeSet<String>,
    /// When to translate again though nothing changed: a certificate expires then, say.
    pub look_again: Option<SystemTime>,
}
