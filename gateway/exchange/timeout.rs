//! How long an exchange may take, and what the upstream is told of it (Envoy:
//! `FilterUtility::finalTimeout`).

use std::time::Duration;

use crate::exchange::grpc;
use crate::http1::{Fields, RequestHead};

/// The limit of an exchange. A gRPC call brings one of its own, which the route's caps.
pub(super) fn limit(route: Option<Duration>, fields: &Fields) -> Option<Duration> {
    if !grpc::is_call(fields) {
        return route;
    }
    let own = grpc::timeout(fields).filter(|own| !own.is_zero());
    match (own, route) {
        (Some(own), Some(most)) => Some(own.min(most)),
        (own, most) => own.or(most),
    }
}

/// Tells the upstream how long its answer is waited for: `x-envoy-expected-rq-timeout-ms`, and a
/// gRPC call's `grpc-timeout`. `elapsed` is what earlier tries took.
pub(super) fn announce(
    head: &mut RequestHead,
    limit: Option<Duration>,
    per_try: Option<Duration>,
    elapsed: Duration,
) {
    let Some(expected) = per_try.or(limit) else {
        return;
    };
    // Nothing left is not the same as no limit.
    let left = |limit: Duration| {
        limit
            .checked_sub(elapsed)
            .filter(|left| left.as_millis() > 0)
            .unwrap_or(Duration::from_millis(1))
    };
    let expected = limit.map_or(expected, |limit| expected.min(left(limit)));
    let mut millis = itoa::Buffer::new();
    let millis = millis.format(expected.as_millis());
    let fields = head.fields_mut();
    fields.set("x-envoy-expected-rq-timeout-ms", millis.as_bytes());
    if grpc::is_call(fields) {
        fields.set("grpc-timeout", grpc::timeout_text(expected).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn call(timeout: Option<&str>) -> RequestHead {
        let mut head = RequestHead::new(b"POST", b"/a.B/C", b"a.lan");
        head.fields_mut()
            .append("content-type", b"application/grpc");
        if let Some(timeout) = timeout {
            head.fields_mut().append("grpc-timeout", timeout.as_bytes());
        }
        head
    }

    #[test]
    fn a_calls_own_timeout_counts_up_to_the_routes() {
        for (own, route, want) in [
            (None, None, None),
            (Some("50m"), None, Some(ms(50))),
            (Some("50m"), Some(ms(20)), Some(ms(20))),
            (Some("50m"), Some(ms(80)), Some(ms(50))),
            (Some("0m"), Some(ms(80)), Some(ms(80))),
            (None, Some(ms(80)), Some(ms(80))),
        ] {
            assert_eq!(limit(route, call(own).fields()), want, "{own:?} {route:?}");
        }
        let mut plain = RequestHead::new(b"GET", b"/", b"a.lan");
        plain.fields_mut().append("grpc-timeout", b"1m");
        assert_eq!(limit(None, plain.fields()), None);
    }

    #[test]
    fn the_upstream_is_told_the_shorter_time() {
        for (limit, per_try, elapsed, want) in [
            (None, None, 0, None),
            (Some(ms(200)), None, 0, Some("200")),
            (Some(ms(200)), Some(ms(50)), 0, Some("50")),
            (Some(ms(200)), Some(ms(50)), 180, Some("20")),
            (Some(ms(200)), None, 500, Some("1")),
            (None, Some(ms(50)), 500, Some("50")),
        ] {
            let mut head = call(Some("9S"));
            announce(&mut head, limit, per_try, ms(elapsed));
            let told = head.fields().get("x-envoy-expected-rq-timeout-ms");
            assert_eq!(told, want.map(str::as_bytes));
            let grpc = want.map_or("9S".to_owned(), |want| format!("{want}m"));
            assert_eq!(head.fields().get("grpc-timeout"), Some(grpc.as_bytes()));
        }
    }
}
