//! Values that mean the same wherever they are written.

use std::time::Duration;

use crate::api::jsonpb;
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;

/// A duration that Istio accepts: at least 1 ms, and whole milliseconds.
pub(crate) fn duration(
    value: jsonpb::Duration,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<Duration> {
    const MILLISECOND: i64 = 1_000_000;
    if value.as_nanos() < MILLISECOND || value.as_nanos() % MILLISECOND != 0 {
        report.invalid(
            path,
            format!("{value} is not a whole number of milliseconds of at least 1; the object is not used."),
            "",
        );
        return None;
    }
    Some(value.to_std())
}

/// A port from 1 to 65535.
pub(crate) fn port(
    number: u32,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<u16> {
    let port = u16::try_from(number).ok().filter(|port| *port != 0);
    if port.is_none() {
        report.invalid(
            path,
            format!("{number} is not a port from 1 to 65535; the object is not used."),
            "",
        );
    }
    port
}
