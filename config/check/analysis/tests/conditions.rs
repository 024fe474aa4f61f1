//! Conditions that say no.

use super::Case;

pub(super) const CASES: &[Case] = &[(
    "condition",
    &[r#"apiVersion: v1
kind: Service
metadata: {name: b, namespace: default}
spec: {ports: [{name: http, port: 80}]}
status: {conditions: [{type: istio.io/WaypointBound, status: "False", reason: R, message: M, lastTransitionTime: "2026-01-01T00:00:00Z"}]}"#],
    &["IST0171 warning Service default/b"],
)];
