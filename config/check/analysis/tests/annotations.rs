//! Annotations: unknown, misplaced, invalid, deprecated.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        "annotation unknown",
        &[
            "apiVersion: v1
kind: Service
metadata: {name: b, namespace: default, annotations: {networking.istio.io/exprtTo: x}}
spec: {ports: [{name: http, port: 80}]}",
        ],
        &["IST0108 warning Service default/b"],
    ),
    (
        "annotation misplaced",
        &[
            r#"apiVersion: v1
kind: Service
metadata: {name: b, namespace: default, annotations: {sidecar.istio.io/proxyCPU: "1"}}
spec: {ports: [{name: http, port: 80}]}"#,
        ],
        &["IST0107 warning Service default/b"],
    ),
    (
        "annotation invalid",
        &[
            "apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default, labels: {app: a}, annotations: {traffic.sidecar.istio.io/includeInboundPorts: web}}
spec: {containers: [{name: c, image: i}]}",
        ],
        &["IST0125 warning Pod default/p"],
    ),
    (
        "annotation deprecated",
        &[
            r#"apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default, labels: {app: a}, annotations: {sidecar.istio.io/inject: "true"}}
spec: {containers: [{name: c, image: i}]}"#,
        ],
        &["IST0135 info Pod default/p"],
    ),
];
