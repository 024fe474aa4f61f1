//! Deployments and the Services in front of them.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        "user 1337",
        &["apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default, labels: {app: a}}
spec: {securityContext: {runAsUser: 1337}, containers: [{name: c, image: i}]}"],
        &["IST0144 warning Pod default/p"],
    ),
    (
        "deployment protocols",
        &[
            r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: d, namespace: default}
spec: {template: {metadata: {labels: {app: a, sidecar.istio.io/inject: "true"}}, spec: {containers: [{name: c, image: i}]}}}"#,
            "apiVersion: v1
kind: Service
metadata: {name: a, namespace: default}
spec: {selector: {app: a}, ports: [{name: tcp, port: 80}]}",
            "apiVersion: v1
kind: Service
metadata: {name: b, namespace: default}
spec: {selector: {app: a}, ports: [{name: udp, port: 80, protocol: UDP}]}",
        ],
        &["IST0116 warning Deployment default/d"],
    ),
    (
        "deployment ports",
        &[
            r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: d, namespace: default}
spec: {template: {metadata: {labels: {app: a, sidecar.istio.io/inject: "true"}}, spec: {containers: [{name: c, image: i}]}}}"#,
            "apiVersion: v1
kind: Service
metadata: {name: a, namespace: default}
spec: {selector: {app: a}, ports: [{name: tcp, port: 80, targetPort: 8080}]}",
            "apiVersion: v1
kind: Service
metadata: {name: b, namespace: default}
spec: {selector: {app: a}, ports: [{name: tcp, port: 81, targetPort: 8080}]}",
        ],
        &["IST0137 warning Deployment default/d"],
    ),
];
