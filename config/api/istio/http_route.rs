//! HTTP routes of a VirtualService.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;

use crate::api::istio::destination::Destination;
use crate::api::jsonpb::{Duration, enumeration, message};
use crate::api::rare::Rare;

message! {
    /// One rule of `spec.http`.
    pub struct HttpRoute {
        /// Its name in logs.
        pub name: Rare<String>,
        /// Any of them must match; none matches all.
        #[serde(rename = "match")]
        pub matches: Vec<HttpMatch>,
        /// Where to, by weight.
        pub route: Vec<HttpRouteDestination>,
        /// Answer with a redirect.
        pub redirect: Option<Box<Redirect>>,
        /// Answer here.
        #[serde(alias = "direct_response")]
        pub direct_response: Option<Box<DirectResponse>>,
        /// Another VirtualService that holds the routes.
        pub delegate: Option<Box<Delegate>>,
        /// Changes to path and Host.
        pub rewrite: Option<Box<Rewrite>>,
        /// Limit of the whole exchange; none or zero: unlimited.
        pub timeout: Option<Duration>,
        /// When to try again.
        pub retries: Option<Box<Retries>>,
        /// Delays and aborts injected on purpose.
        pub fault: Option<Box<Fault>>,
        /// Where a copy of each request goes.
        pub mirror: Option<Box<Destination>>,
        /// Deprecated: the share that is copied, in percent.
        #[serde(alias = "mirror_percent")]
        pub mirror_percent: Option<u32>,
        /// The share that is copied.
        #[serde(alias = "mirror_percentage")]
        pub mirror_percentage: Option<Box<Percent>>,
        /// Several copies.
        pub mirrors: Rare<Vec<Mirror>>,
        /// Answers to browsers about other origins.
        #[serde(alias = "cors_policy")]
        pub cors_policy: Option<Box<CorsPolicy>>,
        /// Header edits.
        pub headers: Option<Box<Headers>>,
    }
}

message! {
    /// When a rule applies; all conditions must hold.
    pub struct HttpMatch {
        /// A name, appended to the rule's in logs.
        pub name: Rare<String>,
        /// On the path.
        pub uri: Option<Box<StringMatch>>,
        /// On the scheme.
        pub scheme: Option<Box<StringMatch>>,
        /// On the method.
        pub method: Option<Box<StringMatch>>,
        /// On the Host as sent.
        pub authority: Option<Box<StringMatch>>,
        /// On headers; an empty condition means present.
        pub headers: Rare<BTreeMap<String, Box<StringMatch>>>,
        /// The listener's port as written.
        pub port: u32,
        /// Compared with the gateway's own labels.
        #[serde(alias = "source_labels")]
        pub source_labels: Rare<BTreeMap<String, String>>,
        /// The Gateways, in place of the VirtualService's.
        pub gateways: Rare<Vec<String>>,
        /// On query parameters; an empty condition means present.
        #[serde(alias = "query_params")]
        pub query_params: Rare<BTreeMap<String, Box<StringMatch>>>,
        /// Compare exact and prefix paths without case.
        #[serde(alias = "ignore_uri_case")]
        pub ignore_uri_case: bool,
        /// Headers that must not match.
        #[serde(alias = "without_headers")]
        pub without_headers: Rare<BTreeMap<String, Box<StringMatch>>>,
        /// Compared with the gateway's own namespace.
        #[serde(alias = "source_namespace")]
        pub source_namespace: Rare<String>,
        /// A prefix for statistics of this route.
        #[serde(alias = "stat_prefix")]
        pub stat_prefix: Rare<String>,
    }
}

message! {
    /// A condition on a string; at most one is set.
    pub struct StringMatch {
        /// Equal.
        pub exact: Option<Box<str>>,
        /// Begins with.
        pub prefix: Option<Box<str>>,
        /// Matches as a whole, RE2.
        pub regex: Option<Box<str>>,
    }
}

message! {
    /// A weighted destination.
    pub struct HttpRouteDestination {
        /// Where to.
        pub destination: Option<Box<Destination>>,
        /// The share; ignored where there is one destination.
        pub weight: i32,
        /// Header edits of this destination alone.
        pub headers: Option<Box<Headers>>,
    }
}

message! {
    /// A redirect.
    pub struct Redirect {
        /// The new path; the query stays.
        pub uri: Option<String>,
        /// The new value of the matched prefix.
        #[serde(alias = "prefix_rewrite")]
        pub prefix_rewrite: Option<String>,
        /// The new Host.
        pub authority: String,
        /// The new port.
        pub port: Option<u32>,
        /// Where the new port comes from.
        #[serde(alias = "derive_port")]
        pub derive_port: Option<DerivePort>,
        /// The new scheme.
        pub scheme: String,
        /// The status; 301 when not set.
        #[serde(alias = "redirect_code")]
        pub redirect_code: u32,
    }
}

enumeration! {
    /// Where a redirect's port comes from.
    pub enum DerivePort {
        /// The scheme's default.
        FromProtocolDefault = 0 "FROM_PROTOCOL_DEFAULT",
        /// The listener.
        FromRequestPort = 1 "FROM_REQUEST_PORT",
    }
}

message! {
    /// An answer given by the gateway.
    pub struct DirectResponse {
        /// 200 to 599.
        pub status: u32,
        /// The body.
        pub body: Option<Body>,
    }
}

message! {
    /// A body; at most one is set.
    pub struct Body {
        /// As text.
        pub string: Option<String>,
        /// As bytes, base64.
        pub bytes: Option<ByteString>,
    }
}

message! {
    /// Another VirtualService that holds the routes.
    pub struct Delegate {
        /// Its name.
        pub name: String,
        /// Its namespace; empty means the same.
        pub namespace: String,
    }
}

message! {
    /// Changes to path and Host.
    pub struct Rewrite {
        /// The new value of what the match covered.
        pub uri: String,
        /// The new Host.
        pub authority: String,
        /// A substitution in the path.
        #[serde(alias = "uri_regex_rewrite")]
        pub uri_regex_rewrite: Option<RegexRewrite>,
    }
}

message! {
    /// A substitution.
    pub struct RegexRewrite {
        /// What is replaced, RE2.
        #[serde(rename = "match")]
        pub pattern: String,
        /// By what; `\1` is the first group.
        pub rewrite: String,
    }
}

message! {
    /// When a failed request is tried again.
    pub struct Retries {
        /// Tries after the first; 0 disables.
        pub attempts: i32,
        /// Limit of one try.
        #[serde(alias = "per_try_timeout")]
        pub per_try_timeout: Option<Duration>,
        /// Envoy's conditions and bare status codes, by comma.
        #[serde(alias = "retry_on")]
        pub retry_on: String,
        /// Whether other localities may be tried.
        #[serde(alias = "retry_remote_localities")]
        pub retry_remote_localities: Option<bool>,
        /// Whether endpoints that failed are avoided.
        #[serde(alias = "retry_ignore_previous_hosts")]
        pub retry_ignore_previous_hosts: Option<bool>,
        /// The first pause.
        pub backoff: Option<Duration>,
    }
}

message! {
    /// Faults injected on purpose.
    pub struct Fault {
        /// A pause before the request goes on.
        pub delay: Option<Delay>,
        /// An error in place of an answer.
        pub abort: Option<Abort>,
    }
}

message! {
    /// An injected pause.
    pub struct Delay {
        /// How long.
        #[serde(alias = "fixed_delay")]
        pub fixed_delay: Option<Duration>,
        /// Not supported by Istio.
        #[serde(alias = "exponential_delay")]
        pub exponential_delay: Option<Duration>,
        /// Deprecated: the share, in percent.
        pub percent: i32,
        /// The share; none when not set.
        pub percentage: Option<Percent>,
    }
}

message! {
    /// An injected error.
    pub struct Abort {
        /// As an HTTP status.
        #[serde(alias = "http_status")]
        pub http_status: Option<i32>,
        /// As a gRPC status.
        #[serde(alias = "grpc_status")]
        pub grpc_status: Option<String>,
        /// Not supported by Istio.
        #[serde(alias = "http2_error")]
        pub http2_error: Option<String>,
        /// The share; none when not set.
        pub percentage: Option<Percent>,
    }
}

message! {
    /// A share.
    pub struct Percent {
        /// 0 to 100.
        pub value: f64,
    }
}

message! {
    /// A copy of each request.
    pub struct Mirror {
        /// Where to.
        pub destination: Option<Box<Destination>>,
        /// The share; all when not set.
        pub percentage: Option<Percent>,
    }
}

message! {
    /// What browsers are told about other origins.
    pub struct CorsPolicy {
        /// Deprecated: origins, exactly.
        #[serde(alias = "allow_origin")]
        pub allow_origin: Vec<String>,
        /// The origins that may ask.
        #[serde(alias = "allow_origins")]
        pub allow_origins: Vec<StringMatch>,
        /// The methods they may use.
        #[serde(alias = "allow_methods")]
        pub allow_methods: Vec<String>,
        /// The headers they may send.
        #[serde(alias = "allow_headers")]
        pub allow_headers: Vec<String>,
        /// The headers they may read.
        #[serde(alias = "expose_headers")]
        pub expose_headers: Vec<String>,
        /// How long a preflight's answer holds.
        #[serde(alias = "max_age")]
        pub max_age: Option<Duration>,
        /// Whether cookies may be sent.
        #[serde(alias = "allow_credentials")]
        pub allow_credentials: Option<bool>,
        /// What happens to preflights of other origins.
        #[serde(alias = "unmatched_preflights")]
        pub unmatched_preflights: UnmatchedPreflights,
    }
}

enumeration! {
    /// What happens to a preflight whose origin is not allowed.
    pub enum UnmatchedPreflights {
        /// As `FORWARD`.
        Unspecified = 0 "UNSPECIFIED",
        /// Sent on.
        Forward = 1 "FORWARD",
        /// Answered here, without CORS headers.
        Ignore = 2 "IGNORE",
    }
}

message! {
    /// Header edits.
    pub struct Headers {
        /// Of the request.
        pub request: Option<HeaderOperations>,
        /// Of the response.
        pub response: Option<HeaderOperations>,
    }
}

message! {
    /// Edits of one side.
    pub struct HeaderOperations {
        /// Overwrite.
        pub set: BTreeMap<String, String>,
        /// Append.
        pub add: BTreeMap<String, String>,
        /// Remove.
        pub remove: Vec<String>,
    }
}
