//! The operators of header values that few configurations use.

use std::time::{Duration, Instant};

use gatehouse_config::model::{DurationPart, GrpcStatusForm, PathPart, ValuePiece};

use crate::exchange::grpc;
use crate::filter::headers::{Facts, cut, print};
use crate::http1::{Fields, KnownName, RequestHead};
use crate::route::query_param;
use crate::worker::random::Random;

/// Appends the value of a piece; what is not there leaves nothing.
pub(super) fn fill(
    value: &mut Vec<u8>,
    piece: &ValuePiece,
    facts: Facts<'_>,
    response: Option<&Fields>,
) {
    match piece {
        ValuePiece::UpstreamCluster { raw } => {
            if let Some(cluster) = facts.known.cluster {
                value.extend_from_slice(cluster.as_bytes());
                if !raw {
                    value.push(b';');
                }
            }
        }
        ValuePiece::UpstreamProtocol => {
            let spoken = facts.answer.and_then(|answer| answer.upstream);
            value.extend_from_slice(spoken.map_or(b"", |_| b"HTTP/1.1"));
        }
        ValuePiece::AttemptCount => print(value, facts.answer.map_or(1, |answer| answer.attempts)),
        ValuePiece::TransportFailure => {
            let text = facts.answer.map_or("", |answer| answer.transport_failure);
            put(value, text.as_bytes());
        }
        ValuePiece::TerminationDetails => {
            let text = facts.answer.map_or("", |answer| answer.termination_details);
            put(value, text.as_bytes());
        }
        ValuePiece::ResponseFlagsLong => {
            if let Some(answer) = &facts.answer {
                print(value, answer.flags.long());
            }
        }
        ValuePiece::Duration(part) => {
            if let Some(time) = duration(*part, facts) {
                print(value, time.as_millis());
            }
        }
        ValuePiece::BytesReceived => print(value, facts.answer.map_or(0, |answer| answer.received)),
        ValuePiece::BytesSent => value.push(b'0'),
        ValuePiece::Path {
            query,
            which,
            max_length,
        } => put(value, cut(path(facts.request, *query, *which), *max_length)),
        ValuePiece::QueryParam { name, max_length } => {
            let found = facts.request.query();
            let found = found.and_then(|query| query_param(query, name.as_bytes()));
            let found = found.map(decoded);
            put(value, cut(found.as_deref(), *max_length));
        }
        ValuePiece::UniqueId => value.extend_from_slice(&Random::new().uuid()),
        ValuePiece::GrpcStatus(form) => {
            if let Some(status) = grpc_status(facts, response) {
                grpc_form(value, status, *form);
            }
        }
        // The others are filled in by the caller.
        _ => {}
    }
}

/// A value may come from outside, and no line break may get into a header.
fn put(value: &mut Vec<u8>, text: &[u8]) {
    value.extend(text.iter().filter(|byte| **byte >= b' ' && **byte != 0x7f));
}

fn duration(part: DurationPart, facts: Facts<'_>) -> Option<Duration> {
    let so_far = Instant::now().saturating_duration_since(facts.known.started);
    let service_time = || facts.answer?.service_time;
    match part {
        DurationPart::SoFar => Some(so_far),
        DurationPart::Response => service_time().map(|_| so_far),
        // The response's head has just come; before it, the upstream had the request.
        DurationPart::Request => Some(so_far.saturating_sub(service_time()?)),
    }
}

fn path(request: &RequestHead, query: bool, which: PathPart) -> Option<&[u8]> {
    let original = || request.fields().get("x-envoy-original-path");
    let target = match which {
        PathPart::Now => request.target(),
        PathPart::Original => original()?,
        PathPart::Either => original().unwrap_or(request.target()),
    };
    if query {
        return Some(target);
    }
    target.split(|byte| *byte == b'?').next()
}

/// With `%41` and `+` undone, as forms have them.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let hex = |at: usize| char::from(*after.get(at)?).to_digit(16);
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// Of its answer's head; without one there, what stands for the HTTP status (Envoy:
/// `getGrpcStatus`).
fn grpc_status(facts: Facts<'_>, response: Option<&Fields>) -> Option<u8> {
    if !grpc::is_call(facts.request.fields()) {
        return None;
    }
    let said = response?.known(KnownName::GrpcStatus);
    match said {
        Some(status) => std::str::from_utf8(status).ok()?.trim().parse().ok(),
        None => Some(grpc::status_of(facts.status)),
    }
}

fn grpc_form(value: &mut Vec<u8>, status: u8, form: GrpcStatusForm) {
    const NAMES: [(&str, &str); 17] = [
        ("OK", "OK"),
        ("Canceled", "CANCELLED"),
        ("Unknown", "UNKNOWN"),
        ("InvalidArgument", "INVALID_ARGUMENT"),
        ("DeadlineExceeded", "DEADLINE_EXCEEDED"),
        ("NotFound", "NOT_FOUND"),
        ("AlreadyExists", "ALREADY_EXISTS"),
        ("PermissionDenied", "PERMISSION_DENIED"),
        ("ResourceExhausted", "RESOURCE_EXHAUSTED"),
        ("FailedPrecondition", "FAILED_PRECONDITION"),
        ("Aborted", "ABORTED"),
        ("OutOfRange", "OUT_OF_RANGE"),
        ("Unimplemented", "UNIMPLEMENTED"),
        ("Internal", "INTERNAL"),
        ("Unavailable", "UNAVAILABLE"),
        ("DataLoss", "DATA_LOSS"),
        ("Unauthenticated", "UNAUTHENTICATED"),
    ];
    match (form, NAMES.get(usize::from(status))) {
        (GrpcStatusForm::Camel, Some((camel, _))) => value.extend_from_slice(camel.as_bytes()),
        (GrpcStatusForm::Snake, Some((_, snake))) => value.extend_from_slice(snake.as_bytes()),
        _ => print(value, status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_parameter_is_decoded_and_cannot_end_a_header() {
        let mut value = Vec::new();
        put(&mut value, &decoded(b"a%20b%0d%0Ax-evil%3a1%4"));
        assert_eq!(value, b"a bx-evil:1%4");
    }

    #[test]
    fn a_grpc_status_has_three_forms() {
        let form = |status, form| {
            let mut value = Vec::new();
            grpc_form(&mut value, status, form);
            String::from_utf8(value).unwrap()
        };
        assert_eq!(form(7, GrpcStatusForm::Camel), "PermissionDenied");
        assert_eq!(form(7, GrpcStatusForm::Snake), "PERMISSION_DENIED");
        assert_eq!(form(7, GrpcStatusForm::Number), "7");
        assert_eq!(form(99, GrpcStatusForm::Camel), "99");
    }

    #[test]
    fn the_path_is_told_with_and_without_its_query_and_as_it_came() {
        let mut head = RequestHead::new(b"GET", b"/new?a=1", b"host");
        let text = |head: &RequestHead, query, which| {
            path(head, query, which).map(|path| String::from_utf8(path.to_vec()).unwrap())
        };
        assert_eq!(text(&head, true, PathPart::Original), None);
        head.fields_mut().set("x-envoy-original-path", b"/old?a=1");
        for (query, which, want) in [
            (true, PathPart::Now, "/new?a=1"),
            (false, PathPart::Now, "/new"),
            (true, PathPart::Either, "/old?a=1"),
            (false, PathPart::Original, "/old"),
        ] {
            assert_eq!(text(&head, query, which).as_deref(), Some(want));
        }
    }
}
