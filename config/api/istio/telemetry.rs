//! Telemetry: access logs, metrics and spans of workloads.

use std::collections::BTreeMap;

use crate::api::istio::policy_target::{TargetReference, WorkloadSelector};
use crate::api::jsonpb::{Duration, enumeration, message};

message! {
    /// `spec` of a Telemetry.
    pub struct Telemetry {
        /// The workloads that it is for; none: all of the namespace.
        pub selector: Option<WorkloadSelector>,
        /// Deprecated: the object that it is attached to.
        #[serde(alias = "target_ref")]
        pub target_ref: Option<TargetReference>,
        /// The objects that it is attached to.
        #[serde(alias = "target_refs")]
        pub target_refs: Vec<TargetReference>,
        /// Spans.
        pub tracing: Vec<Tracing>,
        /// Metrics.
        pub metrics: Vec<Metrics>,
        /// Access logs.
        #[serde(alias = "access_logging")]
        pub access_logging: Vec<AccessLogging>,
    }
}

message! {
    /// How spans are made and where they go.
    pub struct Tracing {
        /// On which side.
        #[serde(rename = "match")]
        pub matches: Option<ModeSelector>,
        /// Where they go; the first counts.
        pub providers: Vec<ProviderRef>,
        /// The share of requests that is traced.
        #[serde(alias = "random_sampling_percentage")]
        pub random_sampling_percentage: Option<f64>,
        /// Spans are made and not sent.
        #[serde(alias = "disable_span_reporting")]
        pub disable_span_reporting: Option<bool>,
        /// Further tags.
        #[serde(alias = "custom_tags")]
        pub custom_tags: BTreeMap<String, CustomTag>,
        /// Whether x-request-id decides.
        #[serde(alias = "use_request_id_for_trace_sampling")]
        pub use_request_id_for_trace_sampling: Option<bool>,
        /// Whether Istio's tags are added.
        #[serde(alias = "enable_istio_tags")]
        pub enable_istio_tags: Option<bool>,
        /// Whether trace headers are passed on.
        #[serde(alias = "disable_context_propagation")]
        pub disable_context_propagation: Option<bool>,
    }
}

message! {
    /// A tag, by the one source that is set.
    pub struct CustomTag {
        /// A fixed value.
        pub literal: Option<LiteralTag>,
        /// From the proxy's environment.
        pub environment: Option<SourceTag>,
        /// From a request header.
        pub header: Option<SourceTag>,
        /// From access log operators.
        pub formatter: Option<LiteralTag>,
    }
}

message! {
    /// A value.
    pub struct LiteralTag {
        /// The value.
        pub value: String,
    }
}

message! {
    /// Where a value is taken from.
    pub struct SourceTag {
        /// The name.
        pub name: String,
        /// The value where it is missing.
        #[serde(alias = "default_value")]
        pub default_value: String,
    }
}

message! {
    /// On which side.
    pub struct ModeSelector {
        /// A gateway is a client.
        pub mode: WorkloadMode,
    }
}

message! {
    /// A provider of the MeshConfig.
    pub struct ProviderRef {
        /// Its name.
        pub name: String,
    }
}

message! {
    /// Metrics.
    pub struct Metrics {
        /// Which providers it is for; none: the default ones.
        pub providers: Vec<ProviderRef>,
        /// Changes, in order.
        pub overrides: Vec<MetricsOverride>,
        /// How often TCP metrics are counted.
        #[serde(alias = "reporting_interval")]
        pub reporting_interval: Option<Duration>,
    }
}

message! {
    /// A change to metrics.
    pub struct MetricsOverride {
        /// Which metrics; none: all.
        #[serde(rename = "match")]
        pub matches: Option<MetricSelector>,
        /// They are not counted.
        pub disabled: Option<bool>,
        /// Changes to their labels.
        #[serde(alias = "tag_overrides")]
        pub tag_overrides: BTreeMap<String, TagOverride>,
    }
}

message! {
    /// Which metrics.
    pub struct MetricSelector {
        /// One of Istio's.
        pub metric: Option<IstioMetric>,
        /// One of another name.
        #[serde(alias = "custom_metric")]
        pub custom_metric: Option<String>,
        /// A gateway is a client.
        pub mode: WorkloadMode,
    }
}

message! {
    /// A change to a label.
    pub struct TagOverride {
        /// What is done.
        pub operation: TagOperation,
        /// For UPSERT: a CEL expression.
        pub value: String,
    }
}

message! {
    /// Access logs.
    pub struct AccessLogging {
        /// On which side.
        #[serde(rename = "match")]
        pub matches: Option<ModeSelector>,
        /// Where lines go; none: the default ones.
        pub providers: Vec<ProviderRef>,
        /// No lines.
        pub disabled: Option<bool>,
        /// Which requests are logged.
        pub filter: Option<LogFilter>,
    }
}

message! {
    /// Which requests are logged.
    pub struct LogFilter {
        /// A CEL expression; lines for which it is true are written.
        pub expression: String,
    }
}

enumeration! {
    /// A side of a connection.
    pub enum WorkloadMode {
        /// Both.
        ClientAndServer = 0 "CLIENT_AND_SERVER",
        /// The client's; a gateway counts as one.
        Client = 1 "CLIENT",
        /// The server's.
        Server = 2 "SERVER",
    }
}

enumeration! {
    /// What is done to a label.
    pub enum TagOperation {
        /// It is set.
        Upsert = 0 "UPSERT",
        /// It is removed.
        Remove = 1 "REMOVE",
    }
}

enumeration! {
    /// One of Istio's metrics.
    pub enum IstioMetric {
        /// All.
        AllMetrics = 0 "ALL_METRICS",
        /// istio_requests_total.
        RequestCount = 1 "REQUEST_COUNT",
        /// istio_request_duration_milliseconds.
        RequestDuration = 2 "REQUEST_DURATION",
        /// istio_request_bytes.
        RequestSize = 3 "REQUEST_SIZE",
        /// istio_response_bytes.
        ResponseSize = 4 "RESPONSE_SIZE",
        /// istio_tcp_connections_opened_total.
        TcpOpenedConnections = 5 "TCP_OPENED_CONNECTIONS",
        /// istio_tcp_connections_closed_total.
        TcpClosedConnections = 6 "TCP_CLOSED_CONNECTIONS",
        /// istio_tcp_sent_bytes_total.
        TcpSentBytes = 7 "TCP_SENT_BYTES",
        /// istio_tcp_received_bytes_total.
        TcpReceivedBytes = 8 "TCP_RECEIVED_BYTES",
        /// istio_request_messages_total.
        GrpcRequestMessages = 9 "GRPC_REQUEST_MESSAGES",
        /// istio_response_messages_total.
        GrpcResponseMessages = 10 "GRPC_RESPONSE_MESSAGES",
    }
}
