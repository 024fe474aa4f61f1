//! MeshConfig: the settings of a mesh, and which of them reach a gateway.
//!
//! Every field of the mesh is known by name; what lies under one that no gateway reads is not
//! looked at.

use serde_json::Value;

use crate::api::istio::http_route::Retries;
use crate::api::istio::proxy_config::ProxyConfig;
use crate::api::istio::traffic_policy::{
    ConnectionPool, LocalityBalancing, OutlierDetection, TcpKeepalive, ZoneAwareBalancing,
};
use crate::api::jsonpb::{Duration, enumeration, message};

message! {
    /// The settings of a mesh, as far as a gateway has to know them.
    pub struct MeshConfig {
        /// Where sidecars take outbound connections.
        #[serde(alias = "proxy_listen_port")]
        pub proxy_listen_port: i32,
        /// Where sidecars take inbound connections.
        #[serde(alias = "proxy_inbound_listen_port")]
        pub proxy_inbound_listen_port: i32,
        /// Where sidecars offer an HTTP proxy.
        #[serde(alias = "proxy_http_port")]
        pub proxy_http_port: i32,
        /// How long a connect to an endpoint may take; Istio: 10s.
        #[serde(alias = "connect_timeout")]
        pub connect_timeout: Option<Duration>,
        /// Idle time of ambient tunnels.
        #[serde(alias = "hbone_idle_timeout")]
        pub hbone_idle_timeout: Option<Duration>,
        /// How long sidecars wait to see a protocol.
        #[serde(alias = "protocol_detection_timeout")]
        pub protocol_detection_timeout: Option<Duration>,
        /// Keepalive of connections to endpoints.
        #[serde(alias = "tcp_keepalive")]
        pub tcp_keepalive: Option<TcpKeepalive>,
        /// The class of Ingress objects.
        #[serde(alias = "ingress_class")]
        pub ingress_class: String,
        /// The Service whose address Ingress objects show.
        #[serde(alias = "ingress_service")]
        pub ingress_service: String,
        /// Which Ingress objects are read.
        #[serde(alias = "ingress_controller_mode")]
        pub ingress_controller_mode: IngressControllerMode,
        /// The gateway that serves Ingress objects.
        #[serde(alias = "ingress_selector")]
        pub ingress_selector: String,
        /// Whether spans are sent to a provider.
        #[serde(alias = "enable_tracing")]
        pub enable_tracing: bool,
        /// Where access log lines go: a file, /dev/stdout; empty: nowhere.
        #[serde(alias = "access_log_file")]
        pub access_log_file: String,
        /// How lines look; empty: Istio's format.
        #[serde(alias = "access_log_format")]
        pub access_log_format: String,
        /// Text or JSON.
        #[serde(alias = "access_log_encoding")]
        pub access_log_encoding: AccessLogEncoding,
        /// Sends log entries to a gRPC service.
        #[serde(alias = "enable_envoy_access_log_service")]
        pub enable_envoy_access_log_service: bool,
        /// No lines for connections that no chain takes.
        #[serde(alias = "disable_envoy_listener_log")]
        pub disable_envoy_listener_log: bool,
        /// Settings of every proxy.
        #[serde(alias = "default_config")]
        pub default_config: ProxyConfig,
        /// What sidecars do with unknown destinations.
        #[serde(alias = "outbound_traffic_policy")]
        pub outbound_traffic_policy: Value,
        /// What sidecars do with inbound connections.
        #[serde(alias = "inbound_traffic_policy")]
        pub inbound_traffic_policy: Value,
        /// Where istiod reads its objects from.
        #[serde(alias = "config_sources")]
        pub config_sources: Vec<Value>,
        /// Whether sidecars choose mutual TLS by themselves.
        #[serde(alias = "enable_auto_mtls")]
        pub enable_auto_mtls: Option<bool>,
        /// The mesh's part of SPIFFE identities.
        #[serde(alias = "trust_domain")]
        pub trust_domain: String,
        /// Other names of the trust domain.
        #[serde(alias = "trust_domain_aliases")]
        pub trust_domain_aliases: Vec<String>,
        /// Further roots of trust for sidecars.
        #[serde(alias = "ca_certificates")]
        pub ca_certificates: Vec<Value>,
        /// For ServiceEntries and Services that say nothing.
        #[serde(alias = "default_service_export_to")]
        pub default_service_export_to: Vec<String>,
        /// For VirtualServices that say nothing.
        #[serde(alias = "default_virtual_service_export_to")]
        pub default_virtual_service_export_to: Vec<String>,
        /// For DestinationRules that say nothing.
        #[serde(alias = "default_destination_rule_export_to")]
        pub default_destination_rule_export_to: Vec<String>,
        /// The namespace whose objects are for every namespace.
        #[serde(alias = "root_namespace")]
        pub root_namespace: String,
        /// Near endpoints first, where no DestinationRule says more.
        #[serde(alias = "locality_lb_setting")]
        pub locality_lb_setting: Option<LocalityBalancing>,
        /// Near zones first, where no DestinationRule says more.
        #[serde(alias = "zone_aware_lb_setting")]
        pub zone_aware_lb_setting: Option<ZoneAwareBalancing>,
        /// How often DNS is asked where the answer names no time; Istio: 60s.
        #[serde(alias = "dns_refresh_rate")]
        pub dns_refresh_rate: Option<Duration>,
        /// Whether HTTP/1.1 is carried as HTTP/2 to the endpoints.
        #[serde(alias = "h2_upgrade_policy")]
        pub h2_upgrade_policy: H2UpgradePolicy,
        /// Name of inbound clusters in Envoy's statistics.
        #[serde(alias = "inbound_cluster_stat_name")]
        pub inbound_cluster_stat_name: String,
        /// Name of outbound clusters in Envoy's statistics.
        #[serde(alias = "outbound_cluster_stat_name")]
        pub outbound_cluster_stat_name: String,
        /// Deprecated: certificates that istiod makes.
        pub certificates: Vec<Value>,
        /// Services that stay within their cluster.
        #[serde(alias = "service_settings")]
        pub service_settings: Vec<Value>,
        /// Services of several clusters.
        #[serde(alias = "service_scope_configs")]
        pub service_scope_configs: Vec<Value>,
        /// Whether the agent merges the application's metrics with its own.
        #[serde(alias = "enable_prometheus_merge")]
        pub enable_prometheus_merge: Option<bool>,
        /// Deprecated: whether servers are verified without a CA.
        #[serde(alias = "verify_certificate_at_client")]
        pub verify_certificate_at_client: Option<bool>,
        /// Another certificate authority.
        pub ca: Value,
        /// Providers that Telemetry and AuthorizationPolicy name.
        #[serde(alias = "extension_providers")]
        pub extension_providers: Vec<ExtensionProvider>,
        /// Providers of Telemetry objects that name none.
        #[serde(alias = "default_providers")]
        pub default_providers: Option<DefaultProviders>,
        /// The namespaces that istiod reads.
        #[serde(alias = "discovery_selectors")]
        pub discovery_selectors: Vec<Value>,
        /// How paths are normalised before anything looks at them.
        #[serde(alias = "path_normalization")]
        pub path_normalization: Option<PathNormalization>,
        /// For routes that say nothing of retries.
        #[serde(alias = "default_http_retry_policy")]
        pub default_http_retry_policy: Option<Retries>,
        /// TLS between sidecars.
        #[serde(rename = "meshMTLS", alias = "mesh_mTLS")]
        pub mesh_mtls: Option<MeshTls>,
        /// TLS of everything else: Gateways and destinations.
        #[serde(alias = "tls_defaults")]
        pub tls_defaults: Option<MeshTls>,
        /// For destinations whose DestinationRule says nothing.
        #[serde(alias = "default_traffic_policy")]
        pub default_traffic_policy: Option<DefaultTrafficPolicy>,
        /// Which ServiceEntries are seen where.
        #[serde(alias = "service_entry_visibility")]
        pub service_entry_visibility: Value,
    }
}

message! {
    /// A provider, by the one kind that is set.
    pub struct ExtensionProvider {
        /// Its name.
        pub name: String,
        /// Asks an HTTP service for permission.
        #[serde(alias = "envoy_ext_authz_http")]
        pub envoy_ext_authz_http: Value,
        /// Asks a gRPC service for permission.
        #[serde(alias = "envoy_ext_authz_grpc")]
        pub envoy_ext_authz_grpc: Value,
        /// Spans to Zipkin.
        pub zipkin: Value,
        /// Deprecated: spans to Lightstep.
        pub lightstep: Value,
        /// Spans to Datadog.
        pub datadog: Value,
        /// Spans and logs to Stackdriver.
        pub stackdriver: Value,
        /// Deprecated: spans to OpenCensus.
        pub opencensus: Value,
        /// Spans to SkyWalking.
        pub skywalking: Value,
        /// Spans to OpenTelemetry.
        pub opentelemetry: Value,
        /// Metrics for Prometheus.
        pub prometheus: Option<PrometheusProvider>,
        /// Access log lines to a file.
        #[serde(alias = "envoy_file_access_log")]
        pub envoy_file_access_log: Option<FileAccessLog>,
        /// Access log entries of HTTP to a gRPC service.
        #[serde(alias = "envoy_http_als")]
        pub envoy_http_als: Value,
        /// Access log entries of TCP to a gRPC service.
        #[serde(alias = "envoy_tcp_als")]
        pub envoy_tcp_als: Value,
        /// Access log entries to OpenTelemetry.
        #[serde(alias = "envoy_otel_als")]
        pub envoy_otel_als: Value,
        /// Certificates from another server.
        pub sds: Value,
    }
}

message! {
    /// Metrics for Prometheus; there is nothing to say of it.
    pub struct PrometheusProvider {
    }
}

message! {
    /// Access log lines to a file.
    pub struct FileAccessLog {
        /// The file; empty: /dev/stdout.
        pub path: String,
        /// How lines look; none: Istio's text.
        #[serde(alias = "log_format")]
        pub log_format: Option<LogFormat>,
        /// What is missing is left out, not written as `-` or null.
        #[serde(alias = "omit_empty_values")]
        pub omit_empty_values: bool,
    }
}

message! {
    /// How lines look; one of the two.
    pub struct LogFormat {
        /// One line of text with operators.
        pub text: Option<String>,
        /// A JSON object whose values have operators.
        pub labels: Value,
    }
}

message! {
    /// Providers of Telemetry objects that name none.
    pub struct DefaultProviders {
        /// For spans.
        pub tracing: Vec<String>,
        /// For metrics.
        pub metrics: Vec<String>,
        /// For access logs.
        #[serde(alias = "access_logging")]
        pub access_logging: Vec<String>,
    }
}

message! {
    /// How paths are normalised.
    pub struct PathNormalization {
        /// How far.
        pub normalization: NormalizationType,
    }
}

message! {
    /// Limits of TLS.
    pub struct MeshTls {
        /// The lowest version.
        #[serde(alias = "min_protocol_version")]
        pub min_protocol_version: MeshTlsProtocol,
        /// The key exchanges.
        #[serde(alias = "ecdh_curves")]
        pub ecdh_curves: Vec<String>,
        /// The ciphers of TLS 1.2.
        #[serde(alias = "cipher_suites")]
        pub cipher_suites: Vec<String>,
    }
}

message! {
    /// For destinations whose DestinationRule says nothing.
    pub struct DefaultTrafficPolicy {
        /// Limits of connections and requests.
        #[serde(alias = "connection_pool")]
        pub connection_pool: Option<ConnectionPool>,
        /// When an endpoint is left out for a while.
        #[serde(alias = "outlier_detection")]
        pub outlier_detection: Option<OutlierDetection>,
    }
}

enumeration! {
    /// Which Ingress objects are read.
    pub enum IngressControllerMode {
        /// Istio's choice.
        Unspecified = 0 "UNSPECIFIED",
        /// None.
        Off = 1 "OFF",
        /// Those of the class, and those without one.
        Default = 2 "DEFAULT",
        /// Those of the class.
        Strict = 3 "STRICT",
    }
}

enumeration! {
    /// Text or JSON.
    pub enum AccessLogEncoding {
        /// A line of text.
        Text = 0 "TEXT",
        /// A line of JSON.
        Json = 1 "JSON",
    }
}

enumeration! {
    /// Whether HTTP/1.1 is carried as HTTP/2 to the endpoints.
    pub enum H2UpgradePolicy {
        /// As it came.
        DoNotUpgrade = 0 "DO_NOT_UPGRADE",
        /// As HTTP/2.
        Upgrade = 1 "UPGRADE",
    }
}

enumeration! {
    /// How far paths are normalised.
    pub enum NormalizationType {
        /// As BASE.
        Default = 0 "DEFAULT",
        /// Not at all.
        None = 1 "NONE",
        /// RFC 3986: dot segments, unreserved characters; a backslash becomes a slash.
        Base = 2 "BASE",
        /// And several slashes become one.
        MergeSlashes = 3 "MERGE_SLASHES",
        /// And escaped slashes are decoded first.
        DecodeAndMergeSlashes = 4 "DECODE_AND_MERGE_SLASHES",
    }
}

enumeration! {
    /// A version of TLS.
    pub enum MeshTlsProtocol {
        /// 1.2 and higher.
        TlsAuto = 0 "TLS_AUTO",
        /// 1.2.
        Tls12 = 1 "TLSV1_2",
        /// 1.3.
        Tls13 = 2 "TLSV1_3",
    }
}
