//! The operators of header values: `%REQ(name)%` and its kin (Envoy: substitution formatters).

use crate::model::{
    AddressPart, DurationPart, DurationUnit, GrpcStatusForm, HeaderName, Moment, PathPart, TlsFact,
    ValuePiece,
};

/// Why an operator gives no piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OperatorError {
    /// Envoy knows none of this name, or not with these arguments.
    Unknown,
    /// Envoy knows it, but there is nothing here that it could show, and why.
    Nothing(&'static str),
}

/// Operators for which Envoy has nothing either in plain text and without filters of its own: they
/// speak of sessions of TLS, of tracing, of metadata, of trailers and of the end of an exchange.
const ABSENT: &[&str] = &[
    "CEL",
    "CUSTOM_FLAGS",
    "DOWNSTREAM_DETECTED_CLOSE_TYPE",
    "DOWNSTREAM_HANDSHAKE_DURATION",
    "DOWNSTREAM_LOCAL_CLOSE_REASON",
    "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
    "DYNAMIC_METADATA",
    "FILTER_STATE",
    "LISTENER_METADATA",
    "PER_REQUEST_STATE",
    "RESPONSE_TX_DURATION",
    "ROUNDTRIP_DURATION",
    "TRACE_ID",
    "TRAILER",
    "UPSTREAM_FILTER_STATE",
    "VIRTUAL_CLUSTER_NAME",
];

/// Families of them.
const ABSENT_LIKE: &[&str] = &[
    "DOWNSTREAM_LOCAL_",
    "DOWNSTREAM_PEER_",
    "DOWNSTREAM_TLS_",
    "TLS_",
    "UPSTREAM_PEER_",
    "UPSTREAM_TLS_",
];

const OF_CONNECTIONS: &str = "connections have no numbers here";
const OF_BYTES: &str = "it counts bytes as Envoy's codec does, which are others here";
const OF_METADATA: &str = "istiod makes up this metadata for Envoy, and there is none here";
const OF_CONNECTING: &str = "the times of single connections are not kept";

/// Operators that tell of Envoy's own insides, and why that is not here.
const NOTHING: &[(&str, &str)] = &[
    ("ACCESS_LOG_TYPE", "a header is no line of an access log"),
    ("CLUSTER_METADATA", OF_METADATA),
    ("COMMON_DURATION", OF_CONNECTING),
    ("CONNECTION_ID", OF_CONNECTIONS),
    (
        "FILTER_CHAIN_NAME",
        "it is a name that istiod makes up for a part of Envoy's listener",
    ),
    ("METADATA", OF_METADATA),
    (
        "QUERY_PARAMS",
        "only single parameters are known, as `QUERY_PARAM(name)`",
    ),
    ("REQUEST_HEADER_BYTES", OF_BYTES),
    ("RESPONSE_HEADER_BYTES", OF_BYTES),
    ("RESPONSE_TRAILER_BYTES", OF_BYTES),
    ("ROUTE_METADATA", OF_METADATA),
    ("UPSTREAM_CONNECTION_ID", OF_CONNECTIONS),
    ("UPSTREAM_CONNECTION_POOL_READY_DURATION", OF_CONNECTING),
    ("UPSTREAM_METADATA", OF_METADATA),
];

/// Families of them; all count bytes.
const NOTHING_LIKE: &[&str] = &[
    "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_",
    "DOWNSTREAM_HEADER_BYTES_",
    "DOWNSTREAM_WIRE_BYTES_",
    "UPSTREAM_DECOMPRESSED_HEADER_BYTES_",
    "UPSTREAM_HEADER_BYTES_",
    "UPSTREAM_WIRE_BYTES_",
];

/// Reads what stands between two `%`.
pub(super) fn parse(operator: &str) -> Result<ValuePiece, OperatorError> {
    let (name, rest) = match operator.find(['(', ':']) {
        Some(at) => operator.split_at(at),
        None => (operator, ""),
    };
    let piece = match (name, rest) {
        ("REQ", rest) => request_header(rest),
        ("RESP", rest) => response_header(rest),
        ("START_TIME", rest) => time_format(rest).map(ValuePiece::StartTime),
        ("EMIT_TIME", rest) => time_format(rest).map(ValuePiece::EmitTime),
        ("COMMON_DURATION", rest) => return common_duration(rest),
        // What filters of their own leave for others.
        ("METADATA", rest) if rest.starts_with("(DYNAMIC:") => Some(ValuePiece::Absent),
        ("ENVIRONMENT", rest) => environment(rest),
        ("PROTOCOL", "") => Some(ValuePiece::Protocol),
        ("RESPONSE_CODE", "") => Some(ValuePiece::ResponseCode),
        ("RESPONSE_CODE_DETAILS", "") => Some(ValuePiece::ResponseCodeDetails),
        ("RESPONSE_FLAGS", "") => Some(ValuePiece::ResponseFlags),
        ("HOSTNAME", "") => Some(ValuePiece::Hostname),
        ("ROUTE_NAME", "") => Some(ValuePiece::RouteName),
        // Endpoints have no other name than their address.
        ("UPSTREAM_HOST" | "UPSTREAM_HOST_NAME", "") => {
            Some(ValuePiece::UpstreamRemote(AddressPart::Whole))
        }
        ("UPSTREAM_HOST_NAME_WITHOUT_PORT", "") => {
            Some(ValuePiece::UpstreamRemote(AddressPart::Ip))
        }
        ("UPSTREAM_CLUSTER", "") => Some(ValuePiece::UpstreamCluster { raw: false }),
        ("UPSTREAM_CLUSTER_RAW", "") => Some(ValuePiece::UpstreamCluster { raw: true }),
        ("UPSTREAM_PROTOCOL", "") => Some(ValuePiece::UpstreamProtocol),
        ("UPSTREAM_REQUEST_ATTEMPT_COUNT", "") => Some(ValuePiece::AttemptCount),
        ("UPSTREAM_TRANSPORT_FAILURE_REASON", "") => Some(ValuePiece::TransportFailure),
        ("CONNECTION_TERMINATION_DETAILS", "") => Some(ValuePiece::TerminationDetails),
        ("RESPONSE_FLAGS_LONG", "") => Some(ValuePiece::ResponseFlagsLong),
        ("DURATION", "") => Some(ValuePiece::Duration(DurationPart::SoFar)),
        ("REQUEST_DURATION" | "REQUEST_TX_DURATION", "") => {
            Some(ValuePiece::Duration(DurationPart::Request))
        }
        ("RESPONSE_DURATION", "") => Some(ValuePiece::Duration(DurationPart::Response)),
        ("BYTES_RECEIVED", "") => Some(ValuePiece::BytesReceived),
        ("BYTES_SENT", "") => Some(ValuePiece::BytesSent),
        ("PATH", rest) => path(rest),
        ("QUERY_PARAM", rest) => query_param(rest),
        ("UNIQUE_ID", "") => Some(ValuePiece::UniqueId),
        // The number that Envoy calls a request by is its x-request-id.
        ("STREAM_ID", "") => request_header("(x-request-id)"),
        ("GRPC_STATUS", rest) => grpc_status(rest),
        ("GRPC_STATUS_NUMBER", "") => Some(ValuePiece::GrpcStatus(GrpcStatusForm::Number)),
        (name, "") => match TlsFact::of_operator(name) {
            Some(fact) => Some(ValuePiece::Tls(fact)),
            None => address(name),
        },
        _ => None,
    };
    if let Some(piece) = piece {
        return Ok(piece);
    }
    let is_like = |families: &[&str]| families.iter().any(|start| name.starts_with(start));
    if ABSENT.contains(&name) || is_like(ABSENT_LIKE) {
        return Ok(ValuePiece::Absent);
    }
    if let Some((_, why)) = NOTHING.iter().find(|(known, _)| *known == name) {
        return Err(OperatorError::Nothing(why));
    }
    Err(if is_like(NOTHING_LIKE) {
        OperatorError::Nothing(OF_BYTES)
    } else {
        OperatorError::Unknown
    })
}

/// `(from:to:unit)` (Envoy: `CommonDurationFormatter`).
fn common_duration(rest: &str) -> Result<ValuePiece, OperatorError> {
    let words = rest
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    let words: Vec<_> = words.unwrap_or_default().split(':').collect();
    let &[from, to, unit] = words.as_slice() else {
        return Err(OperatorError::Unknown);
    };
    let unit = match unit {
        "ms" => DurationUnit::Milliseconds,
        "us" => DurationUnit::Microseconds,
        "ns" => DurationUnit::Nanoseconds,
        _ => return Err(OperatorError::Unknown),
    };
    let moment = |name: &str| match name {
        "" => Err(OperatorError::Unknown),
        "DS_RX_BEG" => Ok(Some(Moment::Start)),
        "DS_RX_END" | "US_TX_END" => Ok(Some(Moment::RequestEnd)),
        "US_RX_BEG" => Ok(Some(Moment::ResponseHead)),
        "US_CX_BEG" | "US_CX_END" | "US_TX_BEG" => Err(OperatorError::Nothing(OF_CONNECTING)),
        // Not reached when headers are made, or set by a filter that is not here.
        _ => Ok(None),
    };
    Ok(match (moment(from)?, moment(to)?) {
        (Some(from), Some(to)) => ValuePiece::Span { from, to, unit },
        _ => ValuePiece::Absent,
    })
}

fn address(name: &str) -> Option<ValuePiece> {
    type Make = fn(AddressPart) -> ValuePiece;
    // The peer itself is the client: no proxy protocol is read before.
    let sides: [(&str, Make); 5] = [
        ("DOWNSTREAM_REMOTE_", ValuePiece::DownstreamRemote),
        ("DOWNSTREAM_DIRECT_REMOTE_", ValuePiece::DownstreamRemote),
        ("DOWNSTREAM_LOCAL_", ValuePiece::DownstreamLocal),
        ("UPSTREAM_REMOTE_", ValuePiece::UpstreamRemote),
        ("UPSTREAM_LOCAL_", ValuePiece::UpstreamLocal),
    ];
    sides.iter().find_map(|(side, make)| {
        let part = match name.strip_prefix(side)? {
            "ADDRESS" => AddressPart::Whole,
            "ADDRESS_WITHOUT_PORT" => AddressPart::Ip,
            "PORT" => AddressPart::Port,
            _ => return None,
        };
        Some(make(part))
    })
}

fn request_header(rest: &str) -> Option<ValuePiece> {
    let (name, otherwise, max_length) = header(rest)?;
    Some(ValuePiece::RequestHeader {
        name,
        otherwise,
        max_length,
    })
}

fn response_header(rest: &str) -> Option<ValuePiece> {
    let (name, otherwise, max_length) = header(rest)?;
    Some(ValuePiece::ResponseHeader {
        name,
        otherwise,
        max_length,
    })
}

/// `(name?otherwise):max_length`.
fn header(rest: &str) -> Option<(HeaderName, Option<HeaderName>, Option<usize>)> {
    let (names, max_length) = arguments(rest)?;
    let (name, otherwise) = match names.split_once('?') {
        Some((name, otherwise)) => (name, Some(HeaderName::parse(otherwise)?)),
        None => (names, None),
    };
    Some((HeaderName::parse(name)?, otherwise, max_length))
}

/// `(X):max_length`.
fn environment(rest: &str) -> Option<ValuePiece> {
    let (name, max_length) = arguments(rest)?;
    (!name.is_empty()).then(|| ValuePiece::Environment {
        name: name.to_owned(),
        max_length,
    })
}

/// `(…):length`, the length being left out mostly.
fn arguments(rest: &str) -> Option<(&str, Option<usize>)> {
    let (inner, length) = rest.strip_prefix('(')?.split_once(')')?;
    match length {
        "" => Some((inner, None)),
        length => Some((inner, Some(length.strip_prefix(':')?.parse().ok()?))),
    }
}

/// Nothing, or `(query:which):max_length`; both words may be left out (Envoy: `PathFormatter`).
fn path(rest: &str) -> Option<ValuePiece> {
    let (words, max_length) = match rest {
        "" => ("", None),
        rest => arguments(rest)?,
    };
    let (query, which) = words.split_once(':').unwrap_or((words, ""));
    Some(ValuePiece::Path {
        query: match query {
            "" | "WQ" => true,
            "NQ" => false,
            _ => return None,
        },
        which: match which {
            "PATH" => PathPart::Now,
            "ORIG" => PathPart::Original,
            "" | "ORIG_OR_PATH" => PathPart::Either,
            _ => return None,
        },
        max_length,
    })
}

/// `(name):max_length`.
fn query_param(rest: &str) -> Option<ValuePiece> {
    let (name, max_length) = arguments(rest)?;
    (!name.is_empty()).then(|| ValuePiece::QueryParam {
        name: name.to_owned(),
        max_length,
    })
}

/// Nothing, or `(form)`.
fn grpc_status(rest: &str) -> Option<ValuePiece> {
    let form = match rest {
        "" | "()" | "(CAMEL_STRING)" => GrpcStatusForm::Camel,
        "(SNAKE_STRING)" => GrpcStatusForm::Snake,
        "(NUMBER)" => GrpcStatusForm::Number,
        _ => return None,
    };
    Some(ValuePiece::GrpcStatus(form))
}

/// Nothing, or `(format)` of strftime's conversions and Envoy's `%3f`, `%6f`, `%9f`.
fn time_format(rest: &str) -> Option<Option<String>> {
    if rest.is_empty() {
        return Some(None);
    }
    let format = rest.strip_prefix('(')?.strip_suffix(')')?;
    if format.is_empty() {
        return Some(None);
    }
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c == '%' {
            let conversion = match chars.next()? {
                '1'..='9' => chars.next().filter(|c| *c == 'f')?,
                conversion => conversion,
            };
            if !"aAbBdDeFfHIjkmMnpPrRsStTuUwyYzZ%".contains(conversion) {
                return None;
            }
        }
    }
    Some(Some(format.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_told_apart() {
        let name = |name: &str| HeaderName::parse(name).unwrap();
        for (operator, want) in [
            ("PROTOCOL", ValuePiece::Protocol),
            ("START_TIME", ValuePiece::StartTime(None)),
            ("EMIT_TIME(%s)", ValuePiece::EmitTime(Some("%s".to_owned()))),
            (
                "COMMON_DURATION(DS_RX_END:US_RX_BEG:us)",
                ValuePiece::Span {
                    from: Moment::RequestEnd,
                    to: Moment::ResponseHead,
                    unit: DurationUnit::Microseconds,
                },
            ),
            (
                "START_TIME(%Y-%m-%d %H:%M:%S.%3f)",
                ValuePiece::StartTime(Some("%Y-%m-%d %H:%M:%S.%3f".to_owned())),
            ),
            (
                "RESP(x-a?x-b):7",
                ValuePiece::ResponseHeader {
                    name: name("x-a"),
                    otherwise: Some(name("x-b")),
                    max_length: Some(7),
                },
            ),
            (
                "ENVIRONMENT(HOME)",
                ValuePiece::Environment {
                    name: "HOME".to_owned(),
                    max_length: None,
                },
            ),
            (
                "UPSTREAM_HOST",
                ValuePiece::UpstreamRemote(AddressPart::Whole),
            ),
            (
                "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
                ValuePiece::UpstreamLocal(AddressPart::Ip),
            ),
            (
                "UPSTREAM_CLUSTER",
                ValuePiece::UpstreamCluster { raw: false },
            ),
            ("DURATION", ValuePiece::Duration(DurationPart::SoFar)),
            (
                "PATH",
                ValuePiece::Path {
                    query: true,
                    which: PathPart::Either,
                    max_length: None,
                },
            ),
            (
                "PATH(NQ:ORIG):9",
                ValuePiece::Path {
                    query: false,
                    which: PathPart::Original,
                    max_length: Some(9),
                },
            ),
            (
                "QUERY_PARAM(user):4",
                ValuePiece::QueryParam {
                    name: "user".to_owned(),
                    max_length: Some(4),
                },
            ),
            (
                "REQUESTED_SERVER_NAME",
                ValuePiece::Tls(TlsFact::ServerName),
            ),
            (
                "DOWNSTREAM_PEER_SUBJECT",
                ValuePiece::Tls(TlsFact::PeerSubject),
            ),
            (
                "DOWNSTREAM_DIRECT_REMOTE_PORT",
                ValuePiece::DownstreamRemote(AddressPart::Port),
            ),
        ] {
            assert_eq!(parse(operator), Ok(want), "{operator}");
        }
        for operator in [
            "DYNAMIC_METADATA(a:b)",
            "DOWNSTREAM_TLS_SESSION_ID",
            "METADATA(DYNAMIC:a:b)",
            "COMMON_DURATION(DS_RX_BEG:DS_TX_END:ms)",
        ] {
            assert_eq!(parse(operator), Ok(ValuePiece::Absent), "{operator}");
        }
        for (operator, why) in [
            ("CONNECTION_ID", OF_CONNECTIONS),
            ("UPSTREAM_WIRE_BYTES_SENT", OF_BYTES),
            ("METADATA(ROUTE:istio:config)", OF_METADATA),
            ("COMMON_DURATION(US_CX_BEG:US_CX_END:us)", OF_CONNECTING),
        ] {
            let got = parse(operator);
            assert_eq!(got, Err(OperatorError::Nothing(why)), "{operator}");
        }
        for operator in [
            "",
            "NOPE",
            "PROTOCOL(x)",
            "REQ",
            "REQ(a b)",
            "REQ(a):b",
            "RESP()",
            "ENVIRONMENT()",
            "START_TIME(%Q)",
            "EMIT_TIME(%Q)",
            "COMMON_DURATION",
            "COMMON_DURATION(DS_RX_BEG:US_RX_BEG)",
            "COMMON_DURATION(DS_RX_BEG:US_RX_BEG:s)",
            "START_TIME(%)",
            "PATH(X)",
            "PATH(NQ:X)",
            "QUERY_PARAM",
            "QUERY_PARAM()",
            "GRPC_STATUS(x)",
            "UPSTREAM_CLUSTER(x)",
        ] {
            assert_eq!(parse(operator), Err(OperatorError::Unknown), "{operator}");
        }
    }
}
