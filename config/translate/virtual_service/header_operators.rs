//! The operators of header values: `%REQ(name)%` and its kin (Envoy: substitution formatters).

use crate::model::{AddressPart, HeaderName, ValuePiece};

/// Why an operator gives no piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OperatorError {
    /// Envoy knows none of this name, or not with these arguments.
    Unknown,
    /// Envoy knows it, but there is nothing here that it could show.
    Nothing,
}

/// Operators that Envoy knows and that have nothing to show here: of TLS and of Envoy's own
/// filters, and figures that are known only when the exchange is over.
const NOTHING: &[&str] = &[
    "ACCESS_LOG_TYPE",
    "BYTES_RECEIVED",
    "BYTES_SENT",
    "CEL",
    "CLUSTER_METADATA",
    "COMMON_DURATION",
    "CONNECTION_ID",
    "CONNECTION_TERMINATION_DETAILS",
    "DOWNSTREAM_DETECTED_CLOSE_TYPE",
    "DOWNSTREAM_HANDSHAKE_DURATION",
    "DOWNSTREAM_LOCAL_CLOSE_REASON",
    "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
    "DURATION",
    "DYNAMIC_METADATA",
    "EMIT_TIME",
    "FILTER_CHAIN_NAME",
    "FILTER_STATE",
    "GRPC_STATUS",
    "GRPC_STATUS_NUMBER",
    "LISTENER_METADATA",
    "METADATA",
    "PATH",
    "PER_REQUEST_STATE",
    "QUERY_PARAM",
    "QUERY_PARAMS",
    "REQUESTED_SERVER_NAME",
    "REQUEST_DURATION",
    "REQUEST_HEADER_BYTES",
    "REQUEST_TX_DURATION",
    "RESPONSE_DURATION",
    "RESPONSE_FLAGS_LONG",
    "RESPONSE_HEADER_BYTES",
    "RESPONSE_TRAILER_BYTES",
    "RESPONSE_TX_DURATION",
    "ROUNDTRIP_DURATION",
    "ROUTE_METADATA",
    "STREAM_ID",
    "TRACE_ID",
    "TRAILER",
    "UNIQUE_ID",
    "UPSTREAM_CLUSTER",
    "UPSTREAM_CLUSTER_RAW",
    "UPSTREAM_CONNECTION_ID",
    "UPSTREAM_CONNECTION_POOL_READY_DURATION",
    "UPSTREAM_HEADER_BYTES_RECEIVED",
    "UPSTREAM_HEADER_BYTES_SENT",
    "UPSTREAM_METADATA",
    "UPSTREAM_PROTOCOL",
    "UPSTREAM_REQUEST_ATTEMPT_COUNT",
    "UPSTREAM_TRANSPORT_FAILURE_REASON",
    "UPSTREAM_WIRE_BYTES_RECEIVED",
    "UPSTREAM_WIRE_BYTES_SENT",
    "VIRTUAL_CLUSTER_NAME",
];

/// Families of them.
const NOTHING_LIKE: &[&str] = &[
    "DOWNSTREAM_HEADER_BYTES_",
    "DOWNSTREAM_LOCAL_",
    "DOWNSTREAM_PEER_",
    "DOWNSTREAM_TLS_",
    "DOWNSTREAM_WIRE_BYTES_",
    "TLS_",
    "UPSTREAM_LOCAL_",
    "UPSTREAM_PEER_",
    "UPSTREAM_TLS_",
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
        ("START_TIME", rest) => start_time(rest),
        ("ENVIRONMENT", rest) => environment(rest),
        ("PROTOCOL", "") => Some(ValuePiece::Protocol),
        ("RESPONSE_CODE", "") => Some(ValuePiece::ResponseCode),
        ("RESPONSE_CODE_DETAILS", "") => Some(ValuePiece::ResponseCodeDetails),
        ("RESPONSE_FLAGS", "") => Some(ValuePiece::ResponseFlags),
        ("HOSTNAME", "") => Some(ValuePiece::Hostname),
        ("ROUTE_NAME", "") => Some(ValuePiece::RouteName),
        ("UPSTREAM_HOST", "") => Some(ValuePiece::UpstreamRemote(AddressPart::Whole)),
        (name, "") => address(name),
        _ => None,
    };
    if let Some(piece) = piece {
        return Ok(piece);
    }
    let nothing =
        NOTHING.contains(&name) || NOTHING_LIKE.iter().any(|start| name.starts_with(start));
    Err(if nothing {
        OperatorError::Nothing
    } else {
        OperatorError::Unknown
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

/// Nothing, or `(format)` of strftime's conversions and Envoy's `%3f`, `%6f`, `%9f`.
fn start_time(rest: &str) -> Option<ValuePiece> {
    if rest.is_empty() {
        return Some(ValuePiece::StartTime(None));
    }
    let format = rest.strip_prefix('(')?.strip_suffix(')')?;
    if format.is_empty() {
        return Some(ValuePiece::StartTime(None));
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
    Some(ValuePiece::StartTime(Some(format.to_owned())))
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
                "DOWNSTREAM_DIRECT_REMOTE_PORT",
                ValuePiece::DownstreamRemote(AddressPart::Port),
            ),
        ] {
            assert_eq!(parse(operator), Ok(want), "{operator}");
        }
        for operator in [
            "DYNAMIC_METADATA(a:b)",
            "DOWNSTREAM_TLS_VERSION",
            "DURATION",
        ] {
            assert_eq!(parse(operator), Err(OperatorError::Nothing), "{operator}");
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
            "START_TIME(%)",
        ] {
            assert_eq!(parse(operator), Err(OperatorError::Unknown), "{operator}");
        }
    }
}
