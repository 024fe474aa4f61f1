//! What a DestinationRule says about the way to a cluster, beyond who is chosen.
//!
//! A limit that is not set is `None`: the data plane then does not even count.

use std::time::Duration;

use crate::model::UpstreamTls;

/// The way to a cluster. The default is that of a cluster without a DestinationRule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterPolicy {
    /// What a request is hashed by (`consistentHash`); none: the cluster gives nothing to hash.
    pub hash: Option<HashPolicy>,
    /// Endpoints by preference, in the order of the cluster's; empty: all are alike.
    pub localities: Vec<LocalityGroup>,
    /// How a new endpoint is spared; only for round robin and least requests.
    pub warmup: Option<Warmup>,
    /// Limits of connections and requests.
    pub limits: Limits,
    /// How long connections live.
    pub connections: Connections,
    /// When an endpoint is left out for a while.
    pub outlier_detection: Option<OutlierDetection>,
    /// A PROXY header at the start of each connection.
    pub proxy_protocol: Option<ProxyVersion>,
    /// HTTP/2 towards the endpoints.
    pub http2: Http2,
    /// Carried connections go through an HTTP proxy; requests never do.
    pub tunnel: Option<Tunnel>,
    /// The endpoint is looked up for each request's Host; the cluster has no others.
    pub dynamic_dns: Option<DynamicDns>,
    /// TLS towards the endpoints.
    pub tls: UpstreamTls,
}

/// A carried connection within a request to an HTTP proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Where the proxy is to connect to: `host:port`.
    pub target: String,
    /// With POST, and not with CONNECT.
    pub post: bool,
}

/// `resolution: DYNAMIC_DNS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicDns {
    /// What a Host must end with to be looked up: `.example.com` for `*.example.com`; lower case.
    pub suffix: String,
    /// The port that is connected to, whatever the Host says: the client does not choose it.
    pub port: u16,
}

/// What a request is hashed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashPolicy {
    /// A header's value.
    Header(String),
    /// A cookie's value.
    Cookie(HashCookie),
    /// The client's address.
    SourceAddress,
    /// A query parameter's value.
    QueryParameter(String),
}

/// A cookie to hash by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashCookie {
    /// Its name.
    pub name: String,
    /// Its path; empty: none is said.
    pub path: String,
    /// How long it lives; zero: for the session; none: it is never made here.
    pub ttl: Option<Duration>,
    /// Further attributes, name and value.
    pub attributes: Vec<(String, String)>,
}

/// A run of a cluster's endpoints that are equally near.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalityGroup {
    /// How many endpoints; together all of the cluster's.
    pub endpoints: u32,
    /// 0 is used first; ascending, without a gap.
    pub priority: u32,
    /// The share among the groups of its priority; none: the endpoints of a priority are one group.
    pub weight: Option<u32>,
}

/// Slow start (Envoy: `SlowStartConfig`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warmup {
    /// How long an endpoint is new.
    pub duration: Duration,
    /// The share it begins with, 0 to 100 percent.
    pub minimum_percent: f64,
    /// 1: the share grows evenly; more: faster at first. Above zero.
    pub aggression: f64,
}

/// Limits for the whole process (Envoy: circuit breakers). None: unlimited.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Connections.
    pub max_connections: Option<u32>,
    /// Requests that wait for a connection.
    pub max_pending_requests: Option<u32>,
    /// Requests under way.
    pub max_requests: Option<u32>,
    /// Retries under way.
    pub max_retries: Option<u32>,
    /// The share of requests that may be retries; replaces `max_retries`.
    pub retry_budget: Option<RetryBudget>,
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

/// The share of requests that may be retries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// Of the requests that are active or wait, in percent.
    pub percent: f64,
    /// In place of those: of the requests that came within this time.
    pub interval: Option<Duration>,
    /// So many retries are always allowed.
    pub minimum: u32,
}

/// How long connections live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Requests of one connection; none: any number.
    pub max_requests: Option<u32>,
    /// How long an HTTP connection may be unused; zero: for ever; none: the default (1 h).
    pub idle_timeout: Option<Duration>,
    /// How long a carried TCP connection may be silent; zero: for ever; none: the default (1 h).
    pub tcp_idle_timeout: Option<Duration>,
    /// How old a connection may become.
    pub max_duration: Option<Duration>,
    /// Keep-alive probes; none: the daemon's own.
    pub keepalive: Option<TcpKeepalive>,
}

/// Keep-alive probes. None: the system's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpKeepalive {
    /// How many before the connection is given up.
    pub probes: Option<u32>,
    /// The silence before the first, in whole seconds.
    pub time: Option<Duration>,
    /// Between two, in whole seconds.
    pub interval: Option<Duration>,
}

/// When an endpoint is left out for a while. A count of zero switches a detector off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierDetection {
    /// After so many 5xx in a row; failed connects count where they are not split off.
    pub consecutive_5xx: u32,
    /// After so many 502, 503 or 504 in a row.
    pub consecutive_gateway_errors: u32,
    /// Whether failures of the connection are counted apart from answers.
    pub split_local_origin: bool,
    /// After so many failures of the connection in a row; only where they are split off.
    pub consecutive_local_origin_failures: u32,
    /// How often endpoints are let in again.
    pub interval: Duration,
    /// For how long, times the ejections so far.
    pub base_ejection_time: Duration,
    /// At most so many endpoints at once, in percent; one is always allowed.
    pub max_ejection_percent: u32,
    /// With fewer endpoints in health than this percentage, all are used; 0: never.
    pub min_health_percent: u32,
    /// The statuses that count as errors in place of 5xx; empty: 5xx.
    pub error_codes: Vec<u16>,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// HTTP/2 towards the endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http2 {
    /// `h2UpgradePolicy: UPGRADE`; none: as the mesh has it.
    pub upgrade: Option<bool>,
    /// The version that the client speaks.
    pub use_client_protocol: bool,
    /// Streams of one connection; none: 2^31 - 1.
    pub max_concurrent_streams: Option<u32>,
    /// Pings: how often, and how long an answer may take.
    pub keepalive: Option<(Duration, Duration)>,
}
