//! The operators of header values that few configurations use.

use std::time::{Duration, Instant};

use gatehouse_config::model::{
    DurationPart, DurationUnit, GrpcStatusForm, Moment, PathPart, ValuePiece,
};

use crate::exchange::{Protocol, grpc};
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
        ValuePiece::Tls(fact) => {
            if let Some(tls) = &facts.known.connection.tls {
                put(value, tls.fact(*fact).as_bytes());
            }
        }
        ValuePiece::UpstreamProtocol => {
            let spoken = facts.answer.and_then(|answer| answer.upstream_protocol);
            put(value, spoken.map_or("", Protocol::as_str).as_bytes());
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
        ValuePiece::Span { from, to, unit } => {
            if let Some(nanoseconds) = span(*from, *to, facts) {
                let one = match unit {
                    DurationUnit::Milliseconds => 1_000_000,
                    DurationUnit::Microseconds => 1_000,
                    DurationUnit::Nanoseconds => 1,
                };
                print(value, nanoseconds / one);
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

/// In nanoseconds; below zero where the end comes first.
fn span(from: Moment, to: Moment, facts: Facts<'_>) -> Option<i128> {
    let so_far = Instant::now().saturating_duration_since(facts.known.started);
    let service_time = facts.answer.and_then(|answer| answer.service_time);
    let at = |moment: Moment| {
        let since = match moment {
            Moment::Start => Some(Duration::ZERO),
            Moment::RequestEnd => Some(so_far.saturating_sub(service_time?)),
            Moment::ResponseHead => service_time.map(|_| so_far),
        };
        i128::try_from(since?.as_nanos()).ok()
    };
    Some(at(to)? - at(from)?)
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
    use std::net::SocketAddr;

    use super::*;
    use crate::exchange::{Connection, ResponseFlags};
    use crate::filter::headers::{Answer, Known};

    #[test]
    fn spans_are_those_between_moments_that_were_reached() {
        let head = RequestHead::new(b"GET", b"/", b"host");
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let connection = Connection {
            peer: address,
            local: address,
            tls: None,
        };
        let known = Known {
            connection: &connection,
            protocol: Protocol::Http11,
            started: Instant::now()
                .checked_sub(Duration::from_secs(3))
                .expect("the clock runs for longer"),
            cluster: None,
        };
        let facts = |answer| Facts {
            request: &head,
            known,
            status: 0,
            answer,
        };
        let answer = Answer {
            started_at: std::time::SystemTime::UNIX_EPOCH,
            flags: ResponseFlags::default(),
            details: "",
            upstream: None,
            upstream_protocol: None,
            upstream_local: None,
            service_time: Some(Duration::from_secs(1)),
            received: 0,
            attempts: 1,
            transport_failure: "",
            termination_details: "",
        };
        let seconds = |from, to, answer| span(from, to, facts(answer)).map(|ns| ns / 1_000_000_000);
        let (start, end, head) = (Moment::Start, Moment::RequestEnd, Moment::ResponseHead);
        assert_eq!(seconds(start, end, None), None, "not reached in a request");
        assert_eq!(seconds(start, end, Some(answer)), Some(2));
        assert_eq!(seconds(start, head, Some(answer)), Some(3));
        assert_eq!(seconds(start, start, None), Some(0));
    }

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
