//! Shares: the exact one, and the whole percent that came before it.

use crate::api::istio::http_route::Percent as Api;
use crate::model::Percent;
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;

/// The least share that is more than none, in percent.
const LEAST: f64 = 0.0001;

/// Reads `percentage`: 0, or 0.0001 to 100.
pub(super) fn parse(percent: &Api, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) -> Percent {
    let Api { value } = percent;
    if *value != 0.0 && !(LEAST..=100.0).contains(value) {
        report.invalid(
            &path.field("value"),
            format!("{value} is neither 0 nor between 0.0001 and 100; the object is not used."),
            "The share is in percent: 100 is every request.",
        );
    }
    Percent::new(*value)
}

/// Reads a deprecated share in whole percent.
pub(super) fn parse_whole(
    percent: i64,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Percent {
    match u8::try_from(percent).ok().filter(|percent| *percent <= 100) {
        Some(percent) => Percent::new(percent.into()),
        None => {
            report.invalid(
                path,
                format!("{percent} is not between 0 and 100; the object is not used."),
                "",
            );
            Percent::new(0.0)
        }
    }
}
