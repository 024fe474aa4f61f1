//! `http[].mirror` and `mirrors`: where copies of requests go.

use crate::api::istio::http_route::{HttpRoute, Mirror as Api};
use crate::model::Percent;
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;
use crate::translate::virtual_service::destination::{self, DestinationTo};
use crate::translate::virtual_service::percent;

/// A copy, before its destination is looked up.
#[derive(Clone, Debug)]
pub(crate) struct MirrorTo {
    pub(crate) destination: DestinationTo,
    pub(crate) percentage: Percent,
}

/// Reads the mirrors of a rule; those that get no request are left out.
pub(super) fn parse(
    route: &HttpRoute,
    namespace: &str,
    settings: &Settings,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Vec<MirrorTo> {
    let HttpRoute {
        mirror,
        mirrors,
        mirror_percent,
        mirror_percentage,
        ..
    } = route;
    if mirror_percent.is_some() {
        report.questionable(
            &path.field("mirrorPercent"),
            "mirrorPercent is deprecated.",
            "Write `mirrorPercentage: {value: …}`.",
        );
    }
    let whole = mirror_percent
        .map(|whole| percent::parse_whole(whole.into(), &path.field("mirrorPercent"), report));
    let exact = mirror_percentage
        .as_ref()
        .map(|exact| percent::parse(exact, &path.field("mirrorPercentage"), report));
    let mut parsed = Vec::new();
    if let Some(destination) = mirror {
        let path = path.field("mirror");
        parsed.push(MirrorTo {
            destination: destination::parse(destination, namespace, settings, &path, report),
            percentage: exact.or(whole).unwrap_or(Percent::ALL),
        });
    } else if mirrors.is_empty() && (exact.is_some() || whole.is_some()) {
        report.questionable(path, "a share is mirrored, but no mirror is named.", "");
    }
    let list = path.field("mirrors");
    for (i, entry) in mirrors.iter().enumerate() {
        let path = list.index(i);
        let Api {
            destination,
            percentage,
        } = entry;
        let share = percentage
            .as_ref()
            .map(|exact| percent::parse(exact, &path.field("percentage"), report));
        let Some(destination) = destination else {
            report.invalid(
                &path,
                "a mirror has no destination; the object is not used.",
                "Add `destination: {host: NAME}`.",
            );
            continue;
        };
        let path = path.field("destination");
        parsed.push(MirrorTo {
            destination: destination::parse(destination, namespace, settings, &path, report),
            percentage: share.unwrap_or(Percent::ALL),
        });
    }
    parsed.retain(|mirror| !mirror.percentage.is_zero());
    parsed
}
