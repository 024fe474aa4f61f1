//! Header names, edits and value templates.

use std::fmt;

use crate::model::TlsFact;

/// A header name in lower case, valid as RFC 9110 §5.1 token (or a pseudo header, `:method`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderName(String);

impl HeaderName {
    /// Lower-cases and checks a name; none if it is not a token.
    pub fn parse(name: &str) -> Option<Self> {
        let token = name.strip_prefix(':').unwrap_or(name);
        let valid = !token.is_empty()
            && token
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        valid.then(|| Self(name.to_ascii_lowercase()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value that may contain `%REQ(x)%`-style operators; most are one literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderValueTemplate {
    /// The pieces, in order.
    pub pieces: Vec<ValuePiece>,
}

impl HeaderValueTemplate {
    /// A plain value.
    pub fn literal(value: impl Into<String>) -> Self {
        Self {
            pieces: vec![ValuePiece::Literal(value.into())],
        }
    }
}

/// A piece of a value template; what is not known where it stands leaves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValuePiece {
    /// Text as is.
    Literal(String),
    /// `%REQ(name)%`, `%REQ(name?otherwise):max_length%`.
    RequestHeader {
        /// The header.
        name: HeaderName,
        /// The one that is read where the first is missing.
        otherwise: Option<HeaderName>,
        /// How many bytes of the value are taken; none: all.
        max_length: Option<usize>,
    },
    /// `%RESP(name)%`, the same of the response; nothing in a request.
    ResponseHeader {
        /// The header.
        name: HeaderName,
        /// The one that is read where the first is missing.
        otherwise: Option<HeaderName>,
        /// How many bytes of the value are taken; none: all.
        max_length: Option<usize>,
    },
    /// `%START_TIME%`: when the request came, in UTC, and how it is written; none:
    /// `2026-01-01T00:00:00.000Z`.
    StartTime(Option<String>),
    /// `%EMIT_TIME%`: when the value is made, in UTC, written as for `StartTime`.
    EmitTime(Option<String>),
    /// `%COMMON_DURATION(from:to:unit)%`; nothing where one of the two is not reached yet.
    Span {
        /// From here.
        from: Moment,
        /// To here.
        to: Moment,
        /// In which unit.
        unit: DurationUnit,
    },
    /// `%HOSTNAME%`: of this host.
    Hostname,
    /// `%ENVIRONMENT(X)%`: of the daemon.
    Environment {
        /// The variable.
        name: String,
        /// How many bytes of the value are taken; none: all.
        max_length: Option<usize>,
    },
    /// `%ROUTE_NAME%`.
    RouteName,
    /// `%RESPONSE_FLAGS%`: Envoy's letters, or `-`; nothing in a request.
    ResponseFlags,
    /// `%RESPONSE_FLAGS_LONG%`: Envoy's names of them, or `-`; nothing in a request.
    ResponseFlagsLong,
    /// `%RESPONSE_CODE_DETAILS%`; nothing in a request.
    ResponseCodeDetails,
    /// `%UPSTREAM_HOST%` and `%UPSTREAM_REMOTE_ADDRESS%` with its parts: the endpoint; in its
    /// answers alone.
    UpstreamRemote(AddressPart),
    /// `%UPSTREAM_LOCAL_ADDRESS%` and its parts: our end; in answers of an upstream alone.
    UpstreamLocal(AddressPart),
    /// `%PROTOCOL%`: what the client speaks, `HTTP/1.1`.
    Protocol,
    /// `%RESPONSE_CODE%`; 0 in a request.
    ResponseCode,
    /// `%DOWNSTREAM_REMOTE_ADDRESS%` and its parts: the client.
    DownstreamRemote(AddressPart),
    /// `%DOWNSTREAM_LOCAL_ADDRESS%` and its parts: where the client connected to.
    DownstreamLocal(AddressPart),
    /// `%UPSTREAM_CLUSTER%` and `%UPSTREAM_CLUSTER_RAW%`: where the request goes; nothing where it
    /// goes nowhere.
    UpstreamCluster {
        /// The name itself. Without it, a `;` follows, with which Istio ends names in statistics.
        raw: bool,
    },
    /// What TLS told of the client.
    Tls(TlsFact),
    /// `%UPSTREAM_PROTOCOL%`; in answers of an upstream alone.
    UpstreamProtocol,
    /// `%UPSTREAM_REQUEST_ATTEMPT_COUNT%`: tries so far; 1 in a request.
    AttemptCount,
    /// `%UPSTREAM_TRANSPORT_FAILURE_REASON%`; nothing in a request.
    TransportFailure,
    /// `%CONNECTION_TERMINATION_DETAILS%`; nothing in a request.
    TerminationDetails,
    /// `%DURATION%`, `%REQUEST_DURATION%` and their kin, in milliseconds.
    Duration(DurationPart),
    /// `%BYTES_RECEIVED%`: of the request's body so far.
    BytesReceived,
    /// `%BYTES_SENT%`: of the response's body so far, of which there are none yet.
    BytesSent,
    /// `%PATH%`, with or without the query and as it came or as it is sent.
    Path {
        /// With the query.
        query: bool,
        /// Which path.
        which: PathPart,
        /// How many bytes of the value are taken; none: all.
        max_length: Option<usize>,
    },
    /// `%QUERY_PARAM(name)%`: the first of the name, decoded.
    QueryParam {
        /// The name.
        name: String,
        /// How many bytes of the value are taken; none: all.
        max_length: Option<usize>,
    },
    /// `%UNIQUE_ID%`: a new UUID.
    UniqueId,
    /// `%GRPC_STATUS%` and `%GRPC_STATUS_NUMBER%`; in answers to gRPC calls alone.
    GrpcStatus(GrpcStatusForm),
    /// An operator that Envoy too has nothing for at a plain-text gateway.
    Absent,
}

/// Which span of time a value holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationPart {
    /// `DURATION`: from the request's beginning to now.
    SoFar,
    /// `REQUEST_DURATION` and `REQUEST_TX_DURATION`: to the request's end; nothing in a request.
    Request,
    /// `RESPONSE_DURATION`: to the response's head; nothing in a request.
    Response,
}

/// A moment of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// `DS_RX_BEG`: the request begins to arrive.
    Start,
    /// `DS_RX_END` and `US_TX_END`: the request was read, and sent on, to its end.
    RequestEnd,
    /// `US_RX_BEG`: the response begins to arrive.
    ResponseHead,
}

/// How exact a duration is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationUnit {
    /// `ms`.
    Milliseconds,
    /// `us`.
    Microseconds,
    /// `ns`.
    Nanoseconds,
}

/// Which path a value holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathPart {
    /// As it is sent.
    Now,
    /// As it came, where it was rewritten; nothing otherwise.
    Original,
    /// As it came.
    Either,
}

/// How a gRPC status is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcStatusForm {
    /// `PermissionDenied`.
    Camel,
    /// `PERMISSION_DENIED`.
    Snake,
    /// `7`.
    Number,
}

/// What of an address a value holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressPart {
    /// `…_ADDRESS`: `192.168.8.7:4711`, `[2001:db8::7]:4711`.
    Whole,
    /// `…_ADDRESS_WITHOUT_PORT`.
    Ip,
    /// `…_PORT`.
    Port,
}

/// Edits in the order of execution: `remove`, then `set`, then `add`, each sorted by name.
///
/// Values are made after the removals and before any other edit, and a `set` or `add` whose value
/// comes out empty is left out (Envoy: `HeaderParser::evaluateHeaders`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Edits of the request.
    pub request: Vec<HeaderEdit>,
    /// Edits of the response.
    pub response: Vec<HeaderEdit>,
}

impl HeaderEdits {
    /// Whether nothing is edited.
    pub fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty()
    }
}

/// One edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderEdit {
    /// Overwrite.
    Set(HeaderName, HeaderValueTemplate),
    /// Append another field.
    Add(HeaderName, HeaderValueTemplate),
    /// Remove every field of the name.
    Remove(HeaderName),
}
