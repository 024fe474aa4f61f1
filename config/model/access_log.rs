//! Access logs: where lines go, how they look, and which requests get one.

use std::path::PathBuf;

use crate::model::{AddressPart, Expression, HeaderName, TlsFact};

/// One access log.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// Where its lines go.
    pub target: LogTarget,
    /// How they look.
    pub format: LogFormat,
    /// What is missing is left out, not written as `-` or null.
    pub omit_empty: bool,
    /// Lines are written for requests for which it is true; none: for all.
    pub filter: Option<Expression>,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file; made if missing, appended to.
    File(PathBuf),
}

impl LogTarget {
    /// As Istio names it: `/dev/stdout`, `/dev/stderr`, or a file.
    pub fn of_path(path: &str) -> Self {
        match path {
            "" | "/dev/stdout" => Self::Stdout,
            "/dev/stderr" => Self::Stderr,
            path => Self::File(path.into()),
        }
    }
}

/// How a line looks.
#[derive(Clone, Debug, PartialEq)]
pub enum LogFormat {
    /// Text, with its line feed.
    Text(LogTemplate),
    /// A JSON value, in a line of its own.
    Json(LogJson),
}

/// JSON whose texts have operators.
#[derive(Clone, Debug, PartialEq)]
pub enum LogJson {
    /// An object, its keys in the order in which they are written.
    Object(Vec<(String, LogJson)>),
    /// A list.
    List(Vec<LogJson>),
    /// Text; a single operator gives a number where its value is one.
    Text(LogTemplate),
    /// A value as it is.
    Fixed(serde_json::Value),
}

/// Text with operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogTemplate {
    /// The pieces, in order.
    pub pieces: Vec<LogPiece>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPiece {
    /// Text as is.
    Literal(String),
    /// `%OPERATOR%`, or `%OPERATOR:length%`.
    Operator {
        /// What is written.
        operator: LogOperator,
        /// How many bytes of it at most.
        max_length: Option<usize>,
    },
}

/// What an operator stands for, as Envoy names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOperator {
    /// `%START_TIME%`, with a format of strftime where one is given.
    StartTime(Option<String>),
    /// `%REQ(name?otherwise)%`.
    Request {
        /// The header.
        name: HeaderName,
        /// The one that is read where the first is missing.
        otherwise: Option<HeaderName>,
    },
    /// `%RESP(name?otherwise)%`.
    Response {
        /// The header.
        name: HeaderName,
        /// The one that is read where the first is missing.
        otherwise: Option<HeaderName>,
    },
    /// `%PROTOCOL%`.
    Protocol,
    /// `%RESPONSE_CODE%`.
    ResponseCode,
    /// `%RESPONSE_CODE_DETAILS%`.
    ResponseCodeDetails,
    /// `%RESPONSE_FLAGS%`.
    ResponseFlags,
    /// `%CONNECTION_TERMINATION_DETAILS%`.
    TerminationDetails,
    /// `%UPSTREAM_TRANSPORT_FAILURE_REASON%`.
    TransportFailure,
    /// `%DOWNSTREAM_TRANSPORT_FAILURE_REASON%`, of connections that no server took.
    DownstreamTransportFailure,
    /// `%BYTES_RECEIVED%`.
    BytesReceived,
    /// `%BYTES_SENT%`.
    BytesSent,
    /// `%DURATION%`.
    Duration,
    /// `%UPSTREAM_HOST%`.
    UpstreamHost,
    /// `%UPSTREAM_CLUSTER%` and `%UPSTREAM_CLUSTER_RAW%`.
    UpstreamCluster {
        /// The name itself. Without it, a `;` follows, with which Istio ends names in statistics.
        raw: bool,
    },
    /// `%UPSTREAM_LOCAL_ADDRESS%` and its parts.
    UpstreamLocal(AddressPart),
    /// `%DOWNSTREAM_LOCAL_ADDRESS%` and its parts.
    DownstreamLocal(AddressPart),
    /// `%DOWNSTREAM_REMOTE_ADDRESS%` and its parts.
    DownstreamRemote(AddressPart),
    /// `%ROUTE_NAME%`.
    RouteName,
    /// `%UPSTREAM_REQUEST_ATTEMPT_COUNT%`.
    AttemptCount,
    /// What TLS told of the client.
    Tls(TlsFact),
    /// An operator of Envoy's that has no value here.
    Absent,
}
