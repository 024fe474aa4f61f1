//! Sidecars: whom they are for, and two for one workload.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        "sidecar nobody",
        &[r#"apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: s, namespace: default}
spec: {workloadSelector: {labels: {app: x}}, egress: [{hosts: ["./*"]}]}"#],
        &["IST0101 error Sidecar default/s"],
    ),
    (
        "sidecar twice",
        &[
            r#"apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: s, namespace: default}
spec: {egress: [{hosts: ["./*"]}]}"#,
            r#"apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: t, namespace: default}
spec: {egress: [{hosts: ["./*"]}]}"#,
        ],
        &[
            "IST0111 error Sidecar default/s",
            "IST0111 error Sidecar default/t",
        ],
    ),
    (
        "sidecar same pod",
        &[
            "apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default, labels: {app: x}}
spec: {containers: [{name: c, image: i}]}",
            r#"apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: s, namespace: default}
spec: {workloadSelector: {labels: {app: x}}, egress: [{hosts: ["./*"]}]}"#,
            r#"apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: t, namespace: default}
spec: {workloadSelector: {labels: {app: x}}, egress: [{hosts: ["./*"]}]}"#,
        ],
        &[
            "IST0110 error Sidecar default/s",
            "IST0110 error Sidecar default/t",
        ],
    ),
    (
        "sidecar ambient",
        &[
            "apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {istio.io/dataplane-mode: ambient}}",
            r#"apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: s, namespace: default}
spec: {egress: [{hosts: ["./*"]}]}"#,
        ],
        &["IST0167 warning Sidecar default/s"],
    ),
    (
        "sidecar egress proxy",
        &["apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: s, namespace: default}
spec: {outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.lan, port: {number: 80}}}}"],
        &["IST0002 warning Sidecar default/s"],
    ),
];
