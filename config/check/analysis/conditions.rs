//! What a controller wrote to an object's status and is bad news (IST0171).

use super::Analysis;
use crate::codes;
use crate::finding::Level;
use crate::resources::{Condition, Objects};
use crate::translate::field_path::FieldPath;
use crate::translate::report::Report;

const WAYPOINT: &[&str] = &["istio.io/WaypointBound"];
const ROUTE: &[&str] = &["Accepted", "Programmed", "ResolvedRefs"];
const POLICY: &[&str] = &["ZtunnelAccepted", "WaypointAccepted"];

pub(super) fn check(analysis: &Analysis<'_>, report: &mut Report) {
    let resources = analysis.resources;
    of("Service", &resources.services, WAYPOINT, report);
    of("ServiceEntry", &resources.service_entries, WAYPOINT, report);
    of(
        "WorkloadEntry",
        &resources.workload_entries,
        WAYPOINT,
        report,
    );
    of(
        "AuthorizationPolicy",
        &resources.authorization_policies,
        POLICY,
        report,
    );
    of("Gateway", &resources.kubernetes_gateways, ROUTE, report);
    of("HTTPRoute", &resources.http_routes, ROUTE, report);
    of("GRPCRoute", &resources.grpc_routes, ROUTE, report);
}

fn of<T>(kind: &'static str, objects: &Objects<T>, about: &[&str], report: &mut Report) {
    for (key, object) in objects {
        let Some(status) = &object.meta.status else {
            continue;
        };
        for condition in &status.conditions {
            let negative = condition.status == "False" && about.contains(&&*condition.about);
            if !negative && !is_partial(kind, condition) {
                continue;
            }
            let Condition {
                about,
                reason,
                message,
                ..
            } = condition;
            report.on(kind, key).add(
                codes::NEGATIVE_CONDITION,
                Level::Warning,
                &FieldPath::root("status").field("conditions"),
                format!("the controller that wrote its status says it is not {about}: {reason}: {message}"),
                "Ask the controller that wrote it; gatehouse goes by the spec alone.",
            );
        }
    }
}

/// A waypoint that took a part of a policy says so with status `True`.
fn is_partial(kind: &str, condition: &Condition) -> bool {
    kind == "AuthorizationPolicy"
        && condition.about == "WaypointAccepted"
        && condition.reason == "PartiallyInvalid"
}
