//! `http[].fault`: delays and aborts on purpose (Istio: `TranslateFault`).

use crate::api::istio::http_route::{Abort as ApiAbort, Delay as ApiDelay, Fault as Api};
use crate::model::{Abort, AbortStatus, Delay, Fault, Percent};
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;
use crate::translate::scalars::duration;
use crate::translate::suggest::did_you_mean;
use crate::translate::virtual_service::percent;

/// The names of gRPC's status codes, each at the place of its number.
const GRPC_STATUS: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Reads a fault; none where no request gets one.
pub(super) fn parse(
    fault: &Api,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<Fault> {
    let Api { delay, abort } = fault;
    if delay.is_none() && abort.is_none() {
        report.invalid(
            path,
            "the fault has neither a delay nor an abort; the object is not used.",
            "Add one of them, or remove the fault.",
        );
    }
    let delay = delay
        .as_ref()
        .and_then(|delay| parse_delay(delay, &path.field("delay"), report))
        .filter(|delay| !delay.percentage.is_zero());
    let abort = abort
        .as_ref()
        .and_then(|abort| parse_abort(abort, &path.field("abort"), report))
        .filter(|abort| !abort.percentage.is_zero());
    (delay.is_some() || abort.is_some()).then_some(Fault { delay, abort })
}

fn parse_delay(
    delay: &ApiDelay,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<Delay> {
    let ApiDelay {
        fixed_delay,
        exponential_delay,
        percent: whole,
        percentage,
    } = delay;
    if exponential_delay.is_some() {
        report.invalid(
            &path.field("exponentialDelay"),
            "exponentialDelay is supported neither by Istio nor here; the object is not used.",
            "Write `fixedDelay`.",
        );
    }
    let whole_percent = percent::parse_whole((*whole).into(), &path.field("percent"), report);
    let share = match percentage {
        Some(exact) => percent::parse(exact, &path.field("percentage"), report),
        // Deprecated, which the checks say (IST0002).
        None if *whole != 0 => whole_percent,
        None => {
            // Istio takes a share that is not written for none at all.
            no_share(path, "delay", report);
            whole_percent
        }
    };
    let Some(fixed) = fixed_delay else {
        if exponential_delay.is_none() {
            report.no_effect(
                path,
                "the delay says not how long: no request is delayed.",
                "Add `fixedDelay: 5s`.",
            );
        }
        return None;
    };
    Some(Delay {
        duration: duration(*fixed, &path.field("fixedDelay"), report)?,
        percentage: share,
    })
}

fn parse_abort(
    abort: &ApiAbort,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<Abort> {
    let ApiAbort {
        http_status,
        grpc_status,
        http2_error,
        percentage,
    } = abort;
    let given = [
        http_status.is_some(),
        grpc_status.is_some(),
        http2_error.is_some(),
    ];
    if given.iter().filter(|given| **given).count() > 1 {
        report.invalid(
            path,
            "only one of httpStatus, grpcStatus and http2Error may be given; the object is not used.",
            "",
        );
    }
    if http2_error.is_some() {
        report.invalid(
            &path.field("http2Error"),
            "http2Error is supported neither by Istio nor here; the object is not used.",
            "Write `httpStatus` or `grpcStatus`.",
        );
    }
    let percentage = match percentage {
        Some(exact) => percent::parse(exact, &path.field("percentage"), report),
        None => {
            no_share(path, "abort", report);
            Percent::new(0.0)
        }
    };
    let status = if let Some(name) = grpc_status {
        parse_grpc_status(name, &path.field("grpcStatus"), report)
    } else if http2_error.is_some() {
        None
    } else {
        parse_http_status(*http_status, &path.field("httpStatus"), report)
    };
    Some(Abort {
        status: status?,
        percentage,
    })
}

fn parse_http_status(
    status: Option<i32>,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<AbortStatus> {
    match status.map(u16::try_from) {
        Some(Ok(status @ 200..=599)) => Some(AbortStatus::Http(status)),
        None => {
            report.invalid(
                path,
                "the abort says not what to answer; the object is not used.",
                "Add `httpStatus: 503`.",
            );
            None
        }
        Some(_) => {
            report.invalid(
                path,
                format!(
                    "the status {} is not between 200 and 599; the object is not used.",
                    status.unwrap_or_default()
                ),
                "",
            );
            None
        }
    }
}

fn parse_grpc_status(
    name: &str,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<AbortStatus> {
    let number = GRPC_STATUS.iter().position(|known| *known == name);
    let number = number.and_then(|number| u8::try_from(number).ok());
    if number.is_none() {
        report.invalid(
            path,
            format!("`{name}` is no gRPC status; the object is not used."),
            did_you_mean(name, GRPC_STATUS),
        );
    }
    number.map(AbortStatus::Grpc)
}

fn no_share(path: &FieldPath<'_>, what: &str, report: &mut ObjectReport<'_>) {
    report.no_effect(
        path,
        format!("the {what} has no percentage, which means 0: no request gets it."),
        "Add `percentage: {value: 100}`.",
    );
}
