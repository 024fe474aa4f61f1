//! ProxyConfig, as `defaultConfig` of a MeshConfig holds it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::api::jsonpb::{Duration, enumeration, message};

message! {
    /// Settings of a proxy (`defaultConfig` of a MeshConfig).
    pub struct ProxyConfig {
        /// Where the agent keeps Envoy's configuration.
        #[serde(alias = "config_path")]
        pub config_path: String,
        /// Where Envoy is.
        #[serde(alias = "binary_path")]
        pub binary_path: String,
        /// Envoy's own name.
        #[serde(alias = "service_cluster")]
        pub service_cluster: String,
        /// The proxy's name in spans.
        #[serde(alias = "tracing_service_name")]
        pub tracing_service_name: Value,
        /// How long Envoy drains a listener.
        #[serde(alias = "drain_duration")]
        pub drain_duration: Option<Duration>,
        /// Where istiod is.
        #[serde(alias = "discovery_address")]
        pub discovery_address: String,
        /// Deprecated: how often istiod is asked.
        #[serde(alias = "discovery_refresh_delay")]
        pub discovery_refresh_delay: Option<Duration>,
        /// Deprecated: where Zipkin is.
        #[serde(alias = "zipkin_address")]
        pub zipkin_address: String,
        /// Where statistics are sent to.
        #[serde(alias = "statsd_udp_address")]
        pub statsd_udp_address: String,
        /// Deprecated: where metrics are sent to.
        #[serde(alias = "envoy_metrics_service_address")]
        pub envoy_metrics_service_address: String,
        /// Where Envoy's admin API listens.
        #[serde(alias = "proxy_admin_port")]
        pub proxy_admin_port: i32,
        /// Deprecated: the zone.
        #[serde(alias = "availability_zone")]
        pub availability_zone: String,
        /// How istiod is spoken to.
        #[serde(alias = "control_plane_auth_policy")]
        pub control_plane_auth_policy: Value,
        /// Another bootstrap file for Envoy.
        #[serde(alias = "custom_config_file")]
        pub custom_config_file: String,
        /// The longest name in Envoy's statistics.
        #[serde(alias = "stat_name_length")]
        pub stat_name_length: i32,
        /// Envoy's worker threads.
        pub concurrency: Option<i32>,
        /// Another template of the bootstrap file.
        #[serde(alias = "proxy_bootstrap_template_path")]
        pub proxy_bootstrap_template_path: String,
        /// How sidecars intercept.
        #[serde(alias = "interception_mode")]
        pub interception_mode: Value,
        /// How spans are made and where they go.
        pub tracing: Value,
        /// Deprecated: certificates from the agent.
        pub sds: Value,
        /// A gRPC service for access logs.
        #[serde(alias = "envoy_access_log_service")]
        pub envoy_access_log_service: Value,
        /// A gRPC service for metrics.
        #[serde(alias = "envoy_metrics_service")]
        pub envoy_metrics_service: Value,
        /// Environment of the proxy.
        #[serde(alias = "proxy_metadata")]
        pub proxy_metadata: BTreeMap<String, String>,
        /// Envoy's runtime flags.
        #[serde(alias = "runtime_values")]
        pub runtime_values: BTreeMap<String, String>,
        /// Where the agent answers probes.
        #[serde(alias = "status_port")]
        pub status_port: i32,
        /// Further tags of Envoy's statistics.
        #[serde(alias = "extra_stat_tags")]
        pub extra_stat_tags: Vec<String>,
        /// What stands in front of the gateway.
        #[serde(alias = "gateway_topology")]
        pub gateway_topology: Option<Topology>,
        /// How long requests may finish at the end.
        #[serde(alias = "termination_drain_duration")]
        pub termination_drain_duration: Option<Duration>,
        /// The mesh's name.
        #[serde(alias = "mesh_id")]
        pub mesh_id: String,
        /// How the agent probes the application.
        #[serde(alias = "readiness_probe")]
        pub readiness_probe: Value,
        /// Which of Envoy's statistics are kept.
        #[serde(alias = "proxy_stats_matcher")]
        pub proxy_stats_matcher: Value,
        /// Whether the application waits for its sidecar.
        #[serde(alias = "hold_application_until_proxy_starts")]
        pub hold_application_until_proxy_starts: Option<bool>,
        /// Further roots of trust for istiod's certificate.
        #[serde(alias = "ca_certificates_pem")]
        pub ca_certificates_pem: Vec<String>,
        /// The proxy's image.
        pub image: Value,
        /// Hardware that holds private keys.
        #[serde(alias = "private_key_provider")]
        pub private_key_provider: Value,
        /// Headers that the proxy adds.
        #[serde(alias = "proxy_headers")]
        pub proxy_headers: Option<ProxyHeaders>,
        /// How often access logs are written.
        #[serde(alias = "file_flush_interval")]
        pub file_flush_interval: Option<Duration>,
        /// How much of an access log is collected before it is written.
        #[serde(alias = "file_flush_min_size_kb")]
        pub file_flush_min_size_kb: u32,
        /// Whether statistics are compressed.
        #[serde(alias = "stats_compression")]
        pub stats_compression: Option<bool>,
        /// Limits of clients' connections.
        #[serde(alias = "connection_settings")]
        pub connection_settings: Option<ConnectionSettings>,
    }
}

message! {
    /// What stands in front of the gateway.
    pub struct Topology {
        /// How many proxies in front of this one are trusted.
        #[serde(alias = "num_trusted_proxies")]
        pub num_trusted_proxies: u32,
        /// What becomes of x-forwarded-client-cert.
        #[serde(alias = "forward_client_cert_details")]
        pub forward_client_cert_details: ForwardClientCert,
        /// Clients' connections begin with a PROXY header.
        #[serde(alias = "proxy_protocol")]
        pub proxy_protocol: Option<ProxyProtocolSettings>,
    }
}

message! {
    /// Clients' connections begin with a PROXY header; there is nothing to say of it.
    pub struct ProxyProtocolSettings {
    }
}

message! {
    /// Headers that the proxy adds.
    pub struct ProxyHeaders {
        /// What becomes of x-forwarded-client-cert.
        #[serde(alias = "forwarded_client_cert")]
        pub forwarded_client_cert: ForwardClientCert,
        /// What x-forwarded-client-cert says of the client.
        #[serde(alias = "set_current_client_cert_details")]
        pub set_current_client_cert_details: Option<ClientCertDetails>,
        /// x-request-id.
        #[serde(alias = "request_id")]
        pub request_id: Option<Disabled>,
        /// `server` in responses.
        pub server: Option<ServerHeader>,
        /// x-envoy-attempt-count.
        #[serde(alias = "attempt_count")]
        pub attempt_count: Option<Disabled>,
        /// x-envoy-upstream-service-time and its like.
        #[serde(alias = "envoy_debug_headers")]
        pub envoy_debug_headers: Option<Disabled>,
        /// x-envoy-peer-metadata.
        #[serde(alias = "metadata_exchange_headers")]
        pub metadata_exchange_headers: Option<MetadataExchange>,
        /// Header names keep their case.
        #[serde(alias = "preserve_http1_header_case")]
        pub preserve_http1_header_case: Option<bool>,
        /// x-forwarded-host.
        #[serde(alias = "x_forwarded_host")]
        pub x_forwarded_host: Option<Enabled>,
        /// x-forwarded-port.
        #[serde(alias = "x_forwarded_port")]
        pub x_forwarded_port: Option<Enabled>,
    }
}

message! {
    /// A header that can be left out.
    pub struct Disabled {
        /// It is left out.
        pub disabled: Option<bool>,
    }
}

message! {
    /// A header that can be added.
    pub struct Enabled {
        /// It is added.
        pub enabled: Option<bool>,
    }
}

message! {
    /// `server` in responses.
    pub struct ServerHeader {
        /// The upstream's own is left alone.
        pub disabled: Option<bool>,
        /// Another value.
        pub value: String,
    }
}

message! {
    /// x-envoy-peer-metadata.
    pub struct MetadataExchange {
        /// Where it is sent.
        pub mode: MetadataExchangeMode,
    }
}

message! {
    /// What x-forwarded-client-cert says of the client.
    pub struct ClientCertDetails {
        /// The subject.
        pub subject: Option<bool>,
        /// The certificate.
        pub cert: Option<bool>,
        /// The chain.
        pub chain: Option<bool>,
        /// The DNS names.
        pub dns: Option<bool>,
        /// The URI.
        pub uri: Option<bool>,
    }
}

message! {
    /// Limits of clients' connections; nothing is limited by what is not set.
    pub struct ConnectionSettings {
        /// A set of limits at once.
        pub profile: ConnectionProfile,
        /// Bytes that may wait for a client.
        #[serde(alias = "listener_per_connection_buffer_limit_bytes")]
        pub listener_per_connection_buffer_limit_bytes: Option<i32>,
        /// Bytes that may wait for an endpoint.
        #[serde(alias = "cluster_per_connection_buffer_limit_bytes")]
        pub cluster_per_connection_buffer_limit_bytes: Option<i32>,
        /// How long a connection may wait for a request.
        #[serde(alias = "http_idle_timeout")]
        pub http_idle_timeout: Option<Duration>,
        /// How long a connection may live.
        #[serde(alias = "http_max_connection_duration")]
        pub http_max_connection_duration: Option<Duration>,
        /// How long a connection drains.
        #[serde(alias = "http_drain_timeout")]
        pub http_drain_timeout: Option<Duration>,
        /// How long a client may take for a whole request.
        #[serde(alias = "http_request_timeout")]
        pub http_request_timeout: Option<Duration>,
        /// How long a client may take for a request's head.
        #[serde(alias = "http_request_headers_timeout")]
        pub http_request_headers_timeout: Option<Duration>,
        /// How long a request may be silent.
        #[serde(alias = "http_stream_idle_timeout")]
        pub http_stream_idle_timeout: Option<Duration>,
        /// How long a request may take.
        #[serde(alias = "http_max_stream_duration")]
        pub http_max_stream_duration: Option<Duration>,
        /// Requests at once on one HTTP/2 connection.
        #[serde(alias = "http_max_concurrent_streams")]
        pub http_max_concurrent_streams: Option<i32>,
        /// HTTP/2's window of a request.
        #[serde(alias = "http2_initial_stream_window_size")]
        pub http2_initial_stream_window_size: Option<i32>,
        /// HTTP/2's window of a connection.
        #[serde(alias = "http2_initial_connection_window_size")]
        pub http2_initial_connection_window_size: Option<i32>,
        /// What becomes of header names with an underscore.
        #[serde(alias = "http_headers_with_underscores_action")]
        pub http_headers_with_underscores_action: UnderscoreAction,
        /// Several slashes in a path become one.
        #[serde(alias = "http_merge_slashes")]
        pub http_merge_slashes: Option<bool>,
        /// What becomes of paths with an escaped slash.
        #[serde(alias = "http_path_with_escaped_slashes_action")]
        pub http_path_with_escaped_slashes_action: EscapedSlashAction,
        /// Connections of one listener.
        #[serde(alias = "listener_connection_limit")]
        pub listener_connection_limit: Option<i32>,
        /// Connections of all listeners.
        #[serde(alias = "global_downstream_connection_limit")]
        pub global_downstream_connection_limit: Option<i32>,
    }
}

enumeration! {
    /// What becomes of x-forwarded-client-cert.
    pub enum ForwardClientCert {
        /// Istio's choice: SANITIZE_SET at a gateway.
        Undefined = 0 "UNDEFINED",
        /// It is removed.
        Sanitize = 1 "SANITIZE",
        /// It is passed on over mutual TLS.
        ForwardOnly = 2 "FORWARD_ONLY",
        /// The client's certificate is added.
        AppendForward = 3 "APPEND_FORWARD",
        /// It is replaced by the client's certificate.
        SanitizeSet = 4 "SANITIZE_SET",
        /// It is passed on.
        AlwaysForwardOnly = 5 "ALWAYS_FORWARD_ONLY",
    }
}

enumeration! {
    /// Where x-envoy-peer-metadata is sent.
    pub enum MetadataExchangeMode {
        /// Istio's choice.
        Undefined = 0 "UNDEFINED",
        /// Within the mesh.
        InMesh = 1 "IN_MESH",
    }
}

enumeration! {
    /// A set of limits at once.
    pub enum ConnectionProfile {
        /// None.
        Sidecar = 0 "SIDECAR",
        /// Those that Envoy advises for the edge.
        Edge = 1 "EDGE",
    }
}

enumeration! {
    /// What becomes of header names with an underscore.
    pub enum UnderscoreAction {
        /// Allowed, unless the profile says otherwise.
        Unspecified = 0 "HEADERS_WITH_UNDERSCORES_UNSPECIFIED",
        /// Allowed.
        Allow = 1 "HEADERS_WITH_UNDERSCORES_ALLOW",
        /// The request is refused.
        RejectRequest = 2 "HEADERS_WITH_UNDERSCORES_REJECT_REQUEST",
        /// The header is removed.
        DropHeader = 3 "HEADERS_WITH_UNDERSCORES_DROP_HEADER",
    }
}

enumeration! {
    /// What becomes of paths with an escaped slash.
    pub enum EscapedSlashAction {
        /// As pathNormalization says.
        Unspecified = 0 "PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED",
        /// They are left as they are.
        KeepUnchanged = 1 "KEEP_UNCHANGED",
        /// The request is refused.
        RejectRequest = 2 "REJECT_REQUEST",
        /// The client is sent to the decoded path.
        UnescapeAndRedirect = 3 "UNESCAPE_AND_REDIRECT",
        /// They are decoded.
        UnescapeAndForward = 4 "UNESCAPE_AND_FORWARD",
    }
}
