//! `http[].directResponse`.

use crate::api::istio::http_route::{Body, DirectResponse as Api};
use crate::model::DirectResponse;
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;

/// Envoy's limit on the body of a direct response, and Istio's.
const MAX_BODY_BYTES: usize = 1 << 20;
/// Above this Istio warns.
const LARGE_BODY_BYTES: usize = 100 << 10;

/// Reads an answer that is given here.
pub(super) fn parse(
    response: &Api,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> DirectResponse {
    let Api { status, body } = response;
    let code = match u16::try_from(*status) {
        Ok(code @ 200..=599) => code,
        _ => {
            report.invalid(
                &path.field("status"),
                format!("the status {status} is not between 200 and 599; the object is not used."),
                "",
            );
            500
        }
    };
    let body_path = path.field("body");
    let body = match body {
        None => Vec::new(),
        Some(Body { string, bytes }) => {
            if string.is_some() && bytes.is_some() {
                report.invalid(
                    &body_path,
                    "only one of string and bytes may be given; the object is not used.",
                    "",
                );
            }
            match (string, bytes) {
                (Some(string), _) => string.clone().into_bytes(),
                (None, Some(bytes)) => bytes.0.clone(),
                (None, None) => Vec::new(),
            }
        }
    };
    if body.len() > MAX_BODY_BYTES {
        report.invalid(
            &body_path,
            "the body is larger than 1 MiB; the object is not used.",
            "Serve it from a web server.",
        );
    } else if body.len() > LARGE_BODY_BYTES {
        report.questionable(&body_path, "the body is larger than 100 KiB.", "");
    }
    DirectResponse { status: code, body }
}
