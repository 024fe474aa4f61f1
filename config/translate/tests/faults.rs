//! `fault`: what is injected, and what is refused.

use std::time::Duration;

use super::*;
use crate::model::{Abort, AbortStatus, Delay, Fault, Percent};

#[test]
fn delays_and_aborts_are_read() {
    let delay = |percent| Delay {
        duration: Duration::from_secs(5),
        percentage: Percent::new(percent),
    };
    let abort = |status| Abort {
        status,
        percentage: Percent::new(12.5),
    };
    for (text, want_delay, want_abort) in [
        (
            "delay: {fixedDelay: 5s, percentage: {value: 0.0001}}",
            Some(delay(0.0001)),
            None,
        ),
        (
            "delay: {fixedDelay: 5s, percent: 7}",
            Some(delay(7.0)),
            None,
        ),
        (
            "abort: {httpStatus: 418, percentage: {value: 12.5}}",
            None,
            Some(abort(AbortStatus::Http(418))),
        ),
        (
            "abort: {grpcStatus: UNAVAILABLE, percentage: {value: 12.5}}",
            None,
            Some(abort(AbortStatus::Grpc(14))),
        ),
        (
            "delay: {fixedDelay: 5s, percentage: {value: 100}}, abort: {httpStatus: 503, percentage: {value: 12.5}}",
            Some(delay(100.0)),
            Some(abort(AbortStatus::Http(503))),
        ),
    ] {
        let (route, _) = only_route(&format!("fault: {{{text}}}"));
        let want = Fault {
            delay: want_delay,
            abort: want_abort,
        };
        assert_eq!(route.fault.as_deref(), Some(&want), "{text}");
    }
}

#[test]
fn a_share_that_is_not_written_is_none_and_said() {
    for (text, what) in [
        ("delay: {fixedDelay: 5s}", "delay"),
        ("abort: {httpStatus: 503}", "abort"),
    ] {
        let (route, found) = only_route(&format!("fault: {{{text}}}"));
        assert_eq!(route.fault, None, "{text}");
        let want = format!("GH0120 spec.http[0].fault.{what}: the {what} has no percentage");
        assert!(found[0].starts_with(&want), "{found:#?}");
    }
    let (route, found) = only_route("fault: {delay: {percentage: {value: 100}}}");
    assert_eq!(route.fault, None);
    assert!(found[0].contains("says not how long"), "{found:#?}");
    let (route, _) = only_route("fault: {abort: {httpStatus: 503, percentage: {value: 0}}}");
    assert_eq!(route.fault, None);
}

#[test]
fn wrong_faults_are_refused_with_the_field() {
    for (text, expected) in [
        ("", "fault: the fault has neither a delay nor an abort"),
        (
            "delay: {fixedDelay: 100us, percentage: {value: 1}}",
            "fault.delay.fixedDelay: 0.0001s is not a whole number of milliseconds",
        ),
        (
            "delay: {fixedDelay: 0s, percentage: {value: 1}}",
            "fault.delay.fixedDelay: 0s is not a whole number of milliseconds",
        ),
        (
            "delay: {exponentialDelay: 1s}",
            "fault.delay.exponentialDelay: exponentialDelay is supported neither",
        ),
        (
            "delay: {fixedDelay: 1s, percent: 101}",
            "fault.delay.percent: 101 is not between 0 and 100",
        ),
        (
            "delay: {fixedDelay: 1s, percentage: {value: 100.1}}",
            "fault.delay.percentage.value: 100.1 is neither 0 nor between",
        ),
        (
            "abort: {httpStatus: 503, percentage: {value: 0.00001}}",
            "fault.abort.percentage.value: 0.00001 is neither 0 nor between",
        ),
        (
            "abort: {httpStatus: 199, percentage: {value: 1}}",
            "fault.abort.httpStatus: the status 199 is not between 200 and 599",
        ),
        (
            "abort: {httpStatus: 600, percentage: {value: 1}}",
            "fault.abort.httpStatus: the status 600 is not between 200 and 599",
        ),
        (
            "abort: {percentage: {value: 1}}",
            "fault.abort.httpStatus: the abort says not what to answer",
        ),
        (
            "abort: {grpcStatus: UNAVAILABEL, percentage: {value: 1}}",
            "fault.abort.grpcStatus: `UNAVAILABEL` is no gRPC status; the object is not used. Did you mean `UNAVAILABLE`?",
        ),
        (
            "abort: {http2Error: CANCEL, percentage: {value: 1}}",
            "fault.abort.http2Error: http2Error is supported neither",
        ),
        (
            "abort: {httpStatus: 503, grpcStatus: OK, percentage: {value: 1}}",
            "fault.abort: only one of",
        ),
    ] {
        let found = refusal(&format!("fault: {{{text}}}"));
        let want = format!("IST0106 spec.http[0].{expected}");
        assert!(found.starts_with(&want), "{text}: {found}");
    }
}
