//! `retries`, and Istio's default policy.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::api::istio::http_route::Retries;
use crate::model::{Retry, RetryOn};
use crate::translate::field_path::FieldPath;
use crate::translate::mesh::{DefaultRetry, MeshDefaults};
use crate::translate::report::ObjectReport;
use crate::translate::scalars::duration;

/// Envoy's base interval where none is given.
const BACKOFF: Duration = Duration::from_millis(25);

/// What is done for a route without a policy.
pub(crate) fn default_for(mesh: &MeshDefaults) -> Option<Arc<Retry>> {
    // Most routes have this one: they share it.
    static DEFAULT: LazyLock<Arc<Retry>> = LazyLock::new(|| Arc::new(default_policy()));
    match &mesh.retry {
        Some(DefaultRetry::Never) => None,
        Some(DefaultRetry::Policy(policy)) => Some(Arc::clone(policy)),
        None => Some(Arc::clone(&DEFAULT)),
    }
}

/// What Istio does without a policy: two more tries when the request cannot have been served.
fn default_policy() -> Retry {
    Retry {
        attempts: 2,
        per_try_timeout: None,
        on: default_conditions(),
        backoff: BACKOFF,
        ignore_previous_hosts: true,
        remote_localities: false,
    }
}

/// Istio: `connect-failure,refused-stream,unavailable,cancelled`, and no status codes.
fn default_conditions() -> RetryOn {
    RetryOn {
        connect_failure: true,
        refused_stream: true,
        unavailable: true,
        cancelled: true,
        ..RetryOn::default()
    }
}

/// Reads a policy; none if retries are off.
pub(crate) fn parse(
    retries: &Retries,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<Arc<Retry>> {
    let Retries {
        attempts,
        per_try_timeout,
        retry_on,
        retry_remote_localities,
        retry_ignore_previous_hosts,
        backoff,
    } = retries;
    if *attempts < 0 {
        report.invalid(
            &path.field("attempts"),
            format!("attempts is {attempts}, below zero; the object is not used."),
            "0 turns retries off.",
        );
    }
    let configured =
        per_try_timeout.is_some() || !retry_on.is_empty() || retry_remote_localities.is_some();
    if *attempts == 0 && configured {
        report.invalid(
            &path.field("attempts"),
            "attempts is 0 (or missing), which turns retries off, but conditions are given; the object is not used.",
            "Set `attempts: 2`, or remove the other fields.",
        );
    }
    let per_try_timeout =
        per_try_timeout.and_then(|timeout| duration(timeout, &path.field("perTryTimeout"), report));
    let backoff = backoff.and_then(|pause| duration(pause, &path.field("backoff"), report));
    let on = if retry_on.is_empty() {
        default_conditions()
    } else {
        parse_conditions(retry_on, &path.field("retryOn"), report)
    };
    let attempts = u32::try_from(*attempts).unwrap_or(0);
    (attempts > 0).then(|| {
        Arc::new(Retry {
            attempts,
            per_try_timeout,
            on,
            backoff: backoff.unwrap_or(BACKOFF),
            ignore_previous_hosts: retry_ignore_previous_hosts.unwrap_or(true),
            remote_localities: retry_remote_localities.unwrap_or(false),
        })
    })
}

fn parse_conditions(text: &str, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) -> RetryOn {
    let mut on = RetryOn::default();
    for condition in text.split(',') {
        match condition {
            "5xx" => on.server_error = true,
            "gateway-error" => on.gateway_error = true,
            "reset" => on.reset = true,
            "reset-before-request" => on.reset_before_request = true,
            "connect-failure" => on.connect_failure = true,
            "retriable-4xx" => on.retriable_4xx = true,
            "refused-stream" => on.refused_stream = true,
            "cancelled" => on.cancelled = true,
            "deadline-exceeded" => on.deadline_exceeded = true,
            "internal" => on.internal = true,
            "resource-exhausted" => on.resource_exhausted = true,
            "unavailable" => on.unavailable = true,
            // Says only that the codes beside it count.
            "retriable-status-codes" => {}
            "envoy-ratelimited" => on.envoy_ratelimited = true,
            // Which headers is said by `x-envoy-retriable-header-names`, and that is not taken
            // from clients; Istio has no field for it.
            "retriable-headers" => report.questionable(
                path,
                "the retry condition `retriable-headers` has no effect: no header is named anywhere.",
                "Remove it, or name status codes.",
            ),
            "http3-post-connect-failure" => report.questionable(
                path,
                "the retry condition `http3-post-connect-failure` has no effect: no upstream is spoken to in HTTP/3.",
                "Remove it.",
            ),
            other => match other.parse::<u16>() {
                Ok(code) if is_known_status(code) => on.status_codes.push(code),
                _ => {
                    let hint = if other.contains(' ') {
                        "Conditions are divided by commas, without spaces.".to_owned()
                    } else {
                        crate::translate::suggest::did_you_mean(other, CONDITIONS.iter().copied())
                    };
                    report.invalid(
                        path,
                        format!("`{other}` is no retry condition; the object is not used."),
                        hint,
                    );
                }
            },
        }
    }
    on
}

const CONDITIONS: &[&str] = &[
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
    "retriable-status-codes",
    "envoy-ratelimited",
    "retriable-headers",
    "http3-post-connect-failure",
];

/// The status codes that have a name (Go's `http.StatusText`, which Istio asks).
fn is_known_status(code: u16) -> bool {
    matches!(
        code,
        100..=103
            | 200..=208
            | 226
            | 300..=305
            | 307..=308
            | 400..=418
            | 421..=426
            | 428..=429
            | 431
            | 451
            | 500..=508
            | 510..=511
    )
}
