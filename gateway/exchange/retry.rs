//! `retries`: which failures are tried again, and when (Envoy: `RetryStateImpl`).

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use gatehouse_config::model::{Retry, RetryOn};

use crate::exchange::ResponseFlags;
use crate::exchange::forward::{Deadlines, Failure};
use crate::exchange::serve::HttpConnection;
use crate::exchange::transfer::Transfer;
use crate::http1::{Fields, KnownName, ResponseHead};

/// What comes after a try that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Another try.
    Again,
    /// The policy would repeat it, but no try is left: flag URX.
    Exhausted,
    /// This is what the client gets.
    Final,
}

impl HttpConnection {
    /// What becomes of a try without a response.
    pub(super) fn after_failure(
        &mut self,
        failure: &Failure,
        retry: Option<&Retry>,
        request: &Transfer,
    ) -> Decision {
        let wanted = retry.filter(|retry| repeats_failure(failure, &retry.on));
        self.decide(wanted, request)
    }

    /// What becomes of the response whose head is in the exchange.
    pub(super) fn after_response(&mut self, retry: Option<&Retry>, request: &Transfer) -> Decision {
        let response = &self.exchange.response;
        let wanted = retry.filter(|retry| repeats_response(response, &retry.on));
        self.decide(wanted, request)
    }

    fn decide(&mut self, wanted: Option<&Retry>, request: &Transfer) -> Decision {
        let Some(retry) = wanted else {
            return Decision::Final;
        };
        if !request.can_restart() {
            // More of the body has gone by than is kept.
            self.worker
                .with_metrics(|metrics| metrics.limit_reached("retry_buffer"));
            return Decision::Final;
        }
        if self.exchange.attempts > retry.attempts {
            self.exchange.flags.insert(ResponseFlags::URX);
            return Decision::Exhausted;
        }
        Decision::Again
    }

    /// Waits before the next try: by chance, up to base × (2^n − 1), at most ten times the base.
    /// Breaks where the client leaves meanwhile.
    pub(super) async fn back_off(
        &mut self,
        retry: &Retry,
        deadlines: &Deadlines,
    ) -> ControlFlow<()> {
        let longest = longest_pause(retry.backoff, self.exchange.attempts);
        let micros = u32::try_from(longest.as_micros()).unwrap_or(u32::MAX);
        let pause = Duration::from_micros(self.worker.random.below(micros).into());
        let left = deadlines
            .route
            .map(|end| end.saturating_duration_since(Instant::now()));
        self.pause(left.map_or(pause, |left| left.min(pause))).await
    }
}

/// The longest pause after so many tries.
fn longest_pause(base: Duration, attempts: u32) -> Duration {
    let doublings = attempts.min(10);
    let growing = base.saturating_mul((1 << doublings) - 1);
    growing.min(base.saturating_mul(10))
}

/// Envoy: `wouldRetryFromReset`.
fn repeats_failure(failure: &Failure, on: &RetryOn) -> bool {
    let any_reset = on.reset || on.gateway_error || on.server_error;
    match failure {
        // Nothing was sent yet.
        Failure::Connect(_) => on.connect_failure || on.reset_before_request || any_reset,
        Failure::Closed { .. } | Failure::Unseen | Failure::BadResponse => any_reset,
        Failure::Reset { refused } => any_reset || (*refused && on.refused_stream),
        Failure::Timeout { per_try } => *per_try && any_reset,
        // Decided by its head.
        Failure::Status => true,
        // Where a limit is reached, more tries are the last thing that is wanted.
        Failure::Overflow
        | Failure::ClientGone
        | Failure::Stalled { .. }
        | Failure::BadRequestBody(_)
        | Failure::BadText => false,
    }
}

/// Envoy: `wouldRetryFromHeaders`.
fn repeats_response(response: &ResponseHead, on: &RetryOn) -> bool {
    let fields = response.fields();
    // An Envoy behind us limits the rate: the other conditions do not count then.
    if fields.get("x-envoy-ratelimited").is_some() {
        return on.envoy_ratelimited;
    }
    let status = response.status();
    (on.server_error && (500..600).contains(&status))
        || (on.gateway_error && matches!(status, 502..=504))
        || (on.retriable_4xx && status == 409)
        || on.status_codes.contains(&status)
        || repeats_grpc_status(fields, on)
}

/// A call that failed before it answered says so in its head.
fn repeats_grpc_status(fields: &Fields, on: &RetryOn) -> bool {
    let Some(status) = fields.known(KnownName::GrpcStatus) else {
        return false;
    };
    match status {
        b"1" => on.cancelled,
        b"4" => on.deadline_exceeded,
        b"8" => on.resource_exhausted,
        b"13" => on.internal,
        b"14" => on.unavailable,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::BodyError;

    fn on(set: impl FnOnce(&mut RetryOn)) -> RetryOn {
        let mut on = RetryOn::default();
        set(&mut on);
        on
    }

    fn response(status: u16, fields: &[(&str, &str)]) -> ResponseHead {
        let mut head = ResponseHead::new(status);
        for (name, value) in fields {
            head.fields_mut().append(name, value.as_bytes());
        }
        head
    }

    #[test]
    fn a_response_is_repeated_by_status_and_grpc_status() {
        let codes = on(|on| on.status_codes = vec![418, 503]);
        for (on, status, fields, want) in [
            (on(|on| on.server_error = true), 500, &[][..], true),
            (on(|on| on.server_error = true), 599, &[], true),
            (on(|on| on.server_error = true), 499, &[], false),
            (on(|on| on.gateway_error = true), 502, &[], true),
            (on(|on| on.gateway_error = true), 500, &[], false),
            (on(|on| on.gateway_error = true), 505, &[], false),
            (on(|on| on.retriable_4xx = true), 409, &[], true),
            (on(|on| on.retriable_4xx = true), 404, &[], false),
            (codes.clone(), 418, &[], true),
            (codes, 500, &[], false),
            (on(|on| on.connect_failure = true), 503, &[], false),
            (on(|on| on.reset = true), 503, &[], false),
            (
                on(|on| on.cancelled = true),
                200,
                &[("grpc-status", "1")],
                true,
            ),
            (
                on(|on| on.deadline_exceeded = true),
                200,
                &[("grpc-status", "4")],
                true,
            ),
            (
                on(|on| on.resource_exhausted = true),
                200,
                &[("grpc-status", "8")],
                true,
            ),
            (
                on(|on| on.internal = true),
                200,
                &[("grpc-status", "13")],
                true,
            ),
            (
                on(|on| on.unavailable = true),
                200,
                &[("grpc-status", "14")],
                true,
            ),
            (
                on(|on| on.unavailable = true),
                200,
                &[("grpc-status", "13")],
                false,
            ),
            (on(|on| on.unavailable = true), 503, &[], false),
            // Limits of the rate are a matter of their own.
            (
                on(|on| on.server_error = true),
                503,
                &[("x-envoy-ratelimited", "true")],
                false,
            ),
            (
                on(|on| on.envoy_ratelimited = true),
                429,
                &[("x-envoy-ratelimited", "true")],
                true,
            ),
            (on(|on| on.envoy_ratelimited = true), 429, &[], false),
        ] {
            let response = response(status, fields);
            assert_eq!(
                repeats_response(&response, &on),
                want,
                "{on:?} {status} {fields:?}"
            );
        }
    }

    #[test]
    fn a_failure_is_repeated_by_what_was_sent() {
        let closed = || Failure::Closed { reused: false };
        let per_try = || Failure::Timeout { per_try: true };
        for (on, failure, want) in [
            (on(|on| on.reset = true), closed(), true),
            (on(|on| on.server_error = true), closed(), true),
            (on(|on| on.gateway_error = true), closed(), true),
            (on(|on| on.reset_before_request = true), closed(), false),
            (on(|on| on.connect_failure = true), closed(), false),
            (on(|on| on.retriable_4xx = true), closed(), false),
            (
                on(|on| on.refused_stream = true),
                Failure::Reset { refused: true },
                true,
            ),
            (
                on(|on| on.refused_stream = true),
                Failure::Reset { refused: false },
                false,
            ),
            (on(|on| on.reset = true), per_try(), true),
            (on(|on| on.connect_failure = true), per_try(), false),
            (
                on(|on| on.server_error = true),
                Failure::Timeout { per_try: false },
                false,
            ),
            (on(|on| on.reset = true), Failure::ClientGone, false),
            (
                on(|on| on.reset = true),
                Failure::BadRequestBody(BodyError::Truncated),
                false,
            ),
        ] {
            assert_eq!(repeats_failure(&failure, &on), want, "{on:?} {failure:?}");
        }
    }

    #[test]
    fn pauses_grow_to_ten_times_the_base() {
        let base = Duration::from_millis(25);
        let longest = |attempts| longest_pause(base, attempts).as_millis();
        assert_eq!(
            [1, 2, 3, 4, 5, 1_000].map(longest),
            [25, 75, 175, 250, 250, 250]
        );
        assert_eq!(longest_pause(Duration::MAX, 9), Duration::MAX);
    }
}
