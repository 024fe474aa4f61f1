//! Settings of the proxy as a whole: what a MeshConfig, Telemetries and policies say of it.

use std::fmt;
use std::time::Duration;

use crate::model::{AccessLog, MetricRules};

/// Settings that hold for every listener and host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proxy {
    /// `pathNormalization`.
    pub path_normalization: PathNormalization,
    /// `gatewayTopology.numTrustedProxies`: proxies in front whose `x-forwarded-for` is believed.
    pub trusted_proxies: u32,
    /// `gatewayTopology.proxyProtocol`: connections to Gateways' servers begin with a PROXY header,
    /// if they come from where such a header is believed.
    pub proxy_protocol: bool,
    /// `gatewayTopology.forwardClientCertDetails`.
    pub client_certificates: ForwardClientCert,
    /// `proxyHeaders`.
    pub headers: ProxyHeaders,
    /// `connectionSettings`.
    pub connections: ConnectionSettings,
    /// Where access log lines go.
    pub access_logs: Vec<AccessLog>,
    /// Connections to ports of TLS that no server takes get no line (`disableEnvoyListenerLog`).
    pub no_listener_log: bool,
    /// Changes to metrics.
    pub metrics: MetricRules,
    /// Hosts that must not be served, for nobody enforces the policies that guard them.
    pub guards: Vec<Guard>,
}

/// What becomes of `x-forwarded-client-cert`, which tells endpoints of a client's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardClientCert {
    /// It is removed.
    Sanitize,
    /// Clients that have shown a certificate may send it; that of others is removed.
    ForwardOnly,
    /// The same, and what such a client's certificate says is added.
    AppendForward,
    /// It is replaced by what the client's certificate says (Istio's choice at a gateway).
    #[default]
    SanitizeSet,
    /// Whoever sends it is believed.
    AlwaysForwardOnly,
}

/// How far paths are normalised (reference: Istio §2.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathNormalization {
    /// Not at all.
    None,
    /// RFC 3986: unreserved characters are decoded and dot segments removed; `\` becomes `/`.
    #[default]
    Base,
    /// And several slashes become one.
    MergeSlashes,
    /// And `%2f` and `%5c` are decoded before that.
    DecodeAndMergeSlashes,
}

/// Headers that the proxy adds to requests and responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyHeaders {
    /// `server` in responses, where the MeshConfig says something of it.
    pub server: Option<ServerHeader>,
    /// `x-request-id` is made.
    pub request_id: bool,
    /// `x-envoy-attempt-count` is sent to the endpoint.
    pub attempt_count: bool,
    /// `x-envoy-upstream-service-time` is sent to the client, `x-envoy-original-path` to the
    /// endpoint, and their like.
    pub debug: bool,
    /// `x-forwarded-host` is sent to the endpoint.
    pub forwarded_host: bool,
    /// `x-forwarded-port` is sent to the endpoint.
    pub forwarded_port: bool,
    /// Names of headers are sent on in the case in which they came, and not in lower case.
    pub preserve_case: bool,
}

impl Default for ProxyHeaders {
    fn default() -> Self {
        Self {
            server: None,
            request_id: true,
            attempt_count: true,
            debug: true,
            forwarded_host: false,
            forwarded_port: false,
            preserve_case: false,
        }
    }
}

/// What `server` says in responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerHeader {
    /// What the endpoint said.
    Upstream,
    /// This.
    Value(String),
}

/// Limits of clients' connections; none: the daemon's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// How long a connection may wait for a request.
    pub idle_timeout: Option<Duration>,
    /// How long a request's head may take.
    pub head_timeout: Option<Duration>,
    /// How long a request may be silent, both ways, from its head to the end of its answer; none:
    /// as long as its route allows.
    pub stream_idle_timeout: Option<Duration>,
    /// Requests at once on one connection of HTTP/2.
    pub max_streams: Option<u32>,
    /// How much of a request's body may be on its way unread, in bytes.
    pub stream_window: Option<u32>,
    /// How much of all bodies of one connection may be so, in bytes.
    pub connection_window: Option<u32>,
    /// What becomes of requests with an underscore in a header's name.
    pub underscores: Underscores,
    /// What becomes of paths with `%2f` or `%5c`.
    pub escaped_slashes: EscapedSlashes,
}

/// What becomes of header names with an underscore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Underscores {
    /// They are passed on.
    #[default]
    Allow,
    /// The request is refused (400).
    Reject,
    /// The header is removed.
    Drop,
}

/// What becomes of paths with an escaped slash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EscapedSlashes {
    /// They stay.
    #[default]
    Keep,
    /// The request is refused (400).
    Reject,
    /// The client is sent to the decoded path (307).
    Redirect,
    /// They are decoded.
    Decode,
}

/// Hosts that a policy guards which nobody enforces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// `AuthorizationPolicy default/deny-all`.
    pub policy: String,
    /// What it guards.
    pub hosts: GuardedHosts,
}

/// Which hosts a policy guards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardedHosts {
    /// All.
    Every,
    /// Those that fit one of these: `name`, `prefix*`, `*suffix`; in lower case.
    Only(Vec<String>),
}

impl fmt::Display for GuardedHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => f.write_str("every host"),
            Self::Only(hosts) => f.write_str(&hosts.join(", ")),
        }
    }
}
