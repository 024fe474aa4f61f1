//! Traffic policies of a DestinationRule.

use std::collections::BTreeMap;

use crate::api::istio::destination::PortSelector;
use crate::api::jsonpb::{Duration, enumeration, message};

message! {
    /// How requests are sent.
    pub struct TrafficPolicy {
        /// Which endpoint gets a request.
        #[serde(alias = "load_balancer")]
        pub load_balancer: Option<LoadBalancer>,
        /// Limits of connections and requests.
        #[serde(alias = "connection_pool")]
        pub connection_pool: Option<ConnectionPool>,
        /// When an endpoint is left out for a while.
        #[serde(alias = "outlier_detection")]
        pub outlier_detection: Option<OutlierDetection>,
        /// TLS towards the endpoints.
        pub tls: Option<ClientTls>,
        /// Policies that replace this one for a port.
        #[serde(alias = "port_level_settings")]
        pub port_level_settings: Vec<PortTrafficPolicy>,
        /// Connections through an HTTP proxy.
        pub tunnel: Option<Tunnel>,
        /// A PROXY header towards the endpoints.
        #[serde(alias = "proxy_protocol")]
        pub proxy_protocol: Option<ProxyProtocol>,
        /// The share of requests that may be retries.
        #[serde(alias = "retry_budget")]
        pub retry_budget: Option<RetryBudget>,
    }
}

message! {
    /// The policy of one port.
    pub struct PortTrafficPolicy {
        /// The port.
        pub port: Option<PortSelector>,
        /// Which endpoint gets a request.
        #[serde(alias = "load_balancer")]
        pub load_balancer: Option<LoadBalancer>,
        /// Limits of connections and requests.
        #[serde(alias = "connection_pool")]
        pub connection_pool: Option<ConnectionPool>,
        /// When an endpoint is left out for a while.
        #[serde(alias = "outlier_detection")]
        pub outlier_detection: Option<OutlierDetection>,
        /// TLS towards the endpoints.
        pub tls: Option<ClientTls>,
    }
}

message! {
    /// Which endpoint gets a request.
    pub struct LoadBalancer {
        /// One of the plain ways.
        pub simple: Option<SimpleBalancer>,
        /// The same client to the same endpoint.
        #[serde(alias = "consistent_hash")]
        pub consistent_hash: Option<ConsistentHash>,
        /// Near endpoints first.
        #[serde(alias = "locality_lb_setting")]
        pub locality_lb_setting: Option<LocalityBalancing>,
        /// Near zones first.
        #[serde(alias = "zone_aware_lb_setting")]
        pub zone_aware_lb_setting: Option<ZoneAwareBalancing>,
        /// Deprecated: how long a new endpoint is spared.
        #[serde(alias = "warmup_duration_secs")]
        pub warmup_duration_secs: Option<Duration>,
        /// How a new endpoint is spared.
        pub warmup: Option<Warmup>,
        /// By the load that endpoints report.
        #[serde(alias = "backend_utilization")]
        pub backend_utilization: Option<BackendUtilization>,
    }
}

enumeration! {
    /// The plain ways of balancing.
    pub enum SimpleBalancer {
        /// Istio's choice: least requests.
        Unspecified = 0 "UNSPECIFIED",
        /// Deprecated name of least requests.
        LeastConn = 1 "LEAST_CONN",
        /// By chance.
        Random = 2 "RANDOM",
        /// The client's own destination; nothing at a gateway.
        Passthrough = 3 "PASSTHROUGH",
        /// In turn.
        RoundRobin = 4 "ROUND_ROBIN",
        /// The less busy of two.
        LeastRequest = 5 "LEAST_REQUEST",
    }
}

message! {
    /// The same client to the same endpoint.
    pub struct ConsistentHash {
        /// By a header.
        #[serde(alias = "http_header_name")]
        pub http_header_name: Option<String>,
        /// By a cookie.
        #[serde(alias = "http_cookie")]
        pub http_cookie: Option<HttpCookie>,
        /// By the client's address.
        #[serde(alias = "use_source_ip")]
        pub use_source_ip: Option<bool>,
        /// By a query parameter.
        #[serde(alias = "http_query_parameter_name")]
        pub http_query_parameter_name: Option<String>,
        /// With a hash ring.
        #[serde(alias = "ring_hash")]
        pub ring_hash: Option<RingHash>,
        /// With a Maglev table.
        pub maglev: Option<Maglev>,
        /// Deprecated: the ring's size.
        #[serde(alias = "minimum_ring_size")]
        pub minimum_ring_size: Option<u32>,
    }
}

message! {
    /// A cookie to hash by.
    pub struct HttpCookie {
        /// Its name.
        pub name: String,
        /// Its path.
        pub path: String,
        /// Its life; none: it is never set here. 0: for the session.
        pub ttl: Option<Duration>,
        /// Further attributes.
        pub attributes: Vec<CookieAttribute>,
    }
}

message! {
    /// A cookie's attribute.
    pub struct CookieAttribute {
        /// Its name.
        pub name: String,
        /// Its value.
        pub value: String,
    }
}

message! {
    /// A hash ring.
    pub struct RingHash {
        /// At least so many places.
        #[serde(alias = "minimum_ring_size")]
        pub minimum_ring_size: Option<u32>,
    }
}

message! {
    /// A Maglev table.
    pub struct Maglev {
        /// Its size, a prime.
        #[serde(alias = "table_size")]
        pub table_size: Option<u32>,
    }
}

message! {
    /// Near endpoints first.
    pub struct LocalityBalancing {
        /// Shares by locality.
        pub distribute: Vec<Distribute>,
        /// Where to go when a region fails.
        pub failover: Vec<Failover>,
        /// Labels that order the endpoints.
        #[serde(alias = "failover_priority")]
        pub failover_priority: Vec<String>,
        /// Whether it is on.
        pub enabled: Option<bool>,
    }
}

message! {
    /// Shares of one locality's traffic.
    pub struct Distribute {
        /// The client's locality.
        pub from: String,
        /// Percent by the endpoints' locality.
        pub to: BTreeMap<String, u32>,
    }
}

message! {
    /// Where to go when a region fails.
    pub struct Failover {
        /// The region that failed.
        pub from: String,
        /// The region in its place.
        pub to: String,
    }
}

message! {
    /// Near zones first.
    pub struct ZoneAwareBalancing {
        /// Whether it is on.
        pub enabled: Option<bool>,
        /// Where to go when a region fails.
        pub failover: Vec<Failover>,
        /// Labels that order the endpoints.
        #[serde(alias = "failover_priority")]
        pub failover_priority: Vec<String>,
        /// Off below so many endpoints.
        #[serde(alias = "min_cluster_size")]
        pub min_cluster_size: Option<u32>,
    }
}

message! {
    /// How a new endpoint is spared.
    pub struct Warmup {
        /// For how long.
        pub duration: Option<Duration>,
        /// The share it starts with, in percent.
        #[serde(alias = "minimum_percent")]
        pub minimum_percent: Option<f64>,
        /// How fast the share grows.
        pub aggression: Option<f64>,
    }
}

message! {
    /// By the load that endpoints report.
    pub struct BackendUtilization {
        /// Reports that are younger do not count yet.
        #[serde(alias = "weight_stabilization_period")]
        pub weight_stabilization_period: Option<Duration>,
        /// Weights older than this lapse.
        #[serde(alias = "weight_expiration_period")]
        pub weight_expiration_period: Option<Duration>,
        /// How often weights change.
        #[serde(alias = "weight_update_period")]
        pub weight_update_period: Option<Duration>,
        /// How much errors count.
        #[serde(alias = "error_utilization_penalty_percent")]
        pub error_utilization_penalty_percent: Option<u32>,
        /// The reports that count.
        #[serde(alias = "metric_names_for_computing_utilization")]
        pub metric_names_for_computing_utilization: Vec<String>,
    }
}

message! {
    /// Limits of connections and requests.
    pub struct ConnectionPool {
        /// Of connections.
        pub tcp: Option<TcpSettings>,
        /// Of requests.
        pub http: Option<HttpSettings>,
    }
}

message! {
    /// Limits of connections.
    pub struct TcpSettings {
        /// At most so many.
        #[serde(alias = "max_connections")]
        pub max_connections: i32,
        /// How long a connect may take; 10 s when not set.
        #[serde(alias = "connect_timeout")]
        pub connect_timeout: Option<Duration>,
        /// Keep-alive probes of the system.
        #[serde(alias = "tcp_keepalive")]
        pub tcp_keepalive: Option<TcpKeepalive>,
        /// How old one may become.
        #[serde(alias = "max_connection_duration")]
        pub max_connection_duration: Option<Duration>,
        /// How long one may be silent.
        #[serde(alias = "idle_timeout")]
        pub idle_timeout: Option<Duration>,
    }
}

message! {
    /// Keep-alive probes of the system.
    pub struct TcpKeepalive {
        /// How many before it is given up.
        pub probes: u32,
        /// The silence before the first.
        pub time: Option<Duration>,
        /// Between them.
        pub interval: Option<Duration>,
    }
}

message! {
    /// Limits of requests.
    pub struct HttpSettings {
        /// Requests that may wait for a connection.
        #[serde(alias = "http1_max_pending_requests")]
        pub http1_max_pending_requests: i32,
        /// Requests at one time.
        #[serde(alias = "http2_max_requests")]
        pub http2_max_requests: i32,
        /// Requests before a connection is closed; 0: no limit.
        #[serde(alias = "max_requests_per_connection")]
        pub max_requests_per_connection: i32,
        /// Retries at one time.
        #[serde(alias = "max_retries")]
        pub max_retries: i32,
        /// How long a connection may be unused.
        #[serde(alias = "idle_timeout")]
        pub idle_timeout: Option<Duration>,
        /// Whether HTTP/1.1 ports are spoken to in HTTP/2.
        #[serde(alias = "h2_upgrade_policy")]
        pub h2_upgrade_policy: H2Upgrade,
        /// The client's own version.
        #[serde(alias = "use_client_protocol")]
        pub use_client_protocol: bool,
        /// Streams of one HTTP/2 connection.
        #[serde(alias = "max_concurrent_streams")]
        pub max_concurrent_streams: i32,
        /// HTTP/2 pings.
        #[serde(rename = "http2KeepAlive", alias = "http2_keep_alive")]
        pub http2_keep_alive: Option<Http2KeepAlive>,
    }
}

message! {
    /// HTTP/2 pings.
    pub struct Http2KeepAlive {
        /// Between them.
        pub interval: Option<Duration>,
        /// Without an answer, the connection is closed.
        pub timeout: Option<Duration>,
    }
}

enumeration! {
    /// Whether HTTP/1.1 ports are spoken to in HTTP/2.
    pub enum H2Upgrade {
        /// As the mesh has it: no.
        Default = 0 "DEFAULT",
        /// No.
        DoNotUpgrade = 1 "DO_NOT_UPGRADE",
        /// Yes.
        Upgrade = 2 "UPGRADE",
    }
}

message! {
    /// When an endpoint is left out for a while.
    pub struct OutlierDetection {
        /// Deprecated.
        #[serde(alias = "consecutive_errors")]
        pub consecutive_errors: i32,
        /// Count local failures apart.
        #[serde(alias = "split_external_local_origin_errors")]
        pub split_external_local_origin_errors: bool,
        /// After so many local failures.
        #[serde(alias = "consecutive_local_origin_failures")]
        pub consecutive_local_origin_failures: Option<u32>,
        /// After so many 502, 503 or 504.
        #[serde(alias = "consecutive_gateway_errors")]
        pub consecutive_gateway_errors: Option<u32>,
        /// After so many 5xx.
        #[serde(rename = "consecutive5xxErrors", alias = "consecutive_5xx_errors")]
        pub consecutive_5xx_errors: Option<u32>,
        /// How often it is looked at.
        pub interval: Option<Duration>,
        /// For how long, the first time.
        #[serde(alias = "base_ejection_time")]
        pub base_ejection_time: Option<Duration>,
        /// At most so many at once, in percent.
        #[serde(alias = "max_ejection_percent")]
        pub max_ejection_percent: i32,
        /// Not while fewer are well, in percent.
        #[serde(alias = "min_health_percent")]
        pub min_health_percent: i32,
        /// The codes that count as errors.
        #[serde(alias = "outlier_detection_http_error_codes")]
        pub outlier_detection_http_error_codes: Vec<u32>,
    }
}

message! {
    /// TLS towards the endpoints.
    pub struct ClientTls {
        /// Whether, and with which certificate.
        pub mode: ClientTlsMode,
        /// File of our certificate.
        #[serde(alias = "client_certificate")]
        pub client_certificate: String,
        /// File of our key.
        #[serde(alias = "private_key")]
        pub private_key: String,
        /// File of the CAs to trust.
        #[serde(alias = "ca_certificates")]
        pub ca_certificates: String,
        /// File of revoked certificates.
        #[serde(alias = "ca_crl")]
        pub ca_crl: String,
        /// The Secret with certificate, key and CAs.
        #[serde(alias = "credential_name")]
        pub credential_name: String,
        /// Names of which the certificate must carry one.
        #[serde(alias = "subject_alt_names")]
        pub subject_alt_names: Vec<String>,
        /// The SNI to send.
        pub sni: String,
        /// Do not verify.
        #[serde(alias = "insecure_skip_verify")]
        pub insecure_skip_verify: Option<bool>,
    }
}

enumeration! {
    /// Whether TLS is spoken to the endpoints.
    pub enum ClientTlsMode {
        /// No.
        Disable = 0 "DISABLE",
        /// Yes.
        Simple = 1 "SIMPLE",
        /// Yes, with a certificate of our own.
        Mutual = 2 "MUTUAL",
        /// Yes, with the mesh's certificates.
        IstioMutual = 3 "ISTIO_MUTUAL",
    }
}

message! {
    /// Connections through an HTTP proxy.
    pub struct Tunnel {
        /// CONNECT or POST.
        pub protocol: String,
        /// The host asked for.
        #[serde(alias = "target_host")]
        pub target_host: String,
        /// The port asked for.
        #[serde(alias = "target_port")]
        pub target_port: u32,
    }
}

message! {
    /// A PROXY header towards the endpoints.
    pub struct ProxyProtocol {
        /// Its version.
        pub version: ProxyVersion,
    }
}

enumeration! {
    /// A version of the PROXY protocol.
    pub enum ProxyVersion {
        /// Text.
        V1 = 0 "V1",
        /// Binary.
        V2 = 1 "V2",
    }
}

message! {
    /// The share of requests that may be retries.
    pub struct RetryBudget {
        /// In percent; 20 when not set.
        pub percent: Option<f64>,
        /// Always allowed; 3 when not set.
        #[serde(alias = "min_retry_concurrency")]
        pub min_retry_concurrency: u32,
        /// The time over which the share is taken.
        #[serde(alias = "budget_interval")]
        pub budget_interval: Option<Duration>,
    }
}
