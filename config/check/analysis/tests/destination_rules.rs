//! DestinationRules: their host, their subsets, TLS that nobody verifies.

use super::{Case, POD, SERVICE};

pub(super) const CASES: &[Case] = &[
    (
        "subset without pods",
        &[
            SERVICE,
            POD,
            "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: default}
spec: {host: a, subsets: [{name: v2, labels: {version: v2}}]}",
        ],
        &["IST0173 error DestinationRule default/d"],
    ),
    (
        "subset by zone",
        &[
            SERVICE,
            "apiVersion: v1
kind: Node
metadata: {name: node, labels: {topology.kubernetes.io/zone: z}}",
            "apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default, labels: {app: a}}
spec: {nodeName: node, containers: [{name: c, image: i}]}",
            "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: default}
spec: {host: a, subsets: [{name: z, labels: {topology.kubernetes.io/zone: z}}]}",
        ],
        &[],
    ),
    (
        "rule host missing",
        &[
            "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: default}
spec: {host: b, trafficPolicy: {loadBalancer: {simple: RANDOM}}}",
        ],
        &["IST0174 warning DestinationRule default/d"],
    ),
    (
        "tls unverified",
        &[
            SERVICE,
            "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: default}
spec: {host: a, trafficPolicy: {tls: {mode: SIMPLE}}}",
        ],
        &["IST0128 warning DestinationRule default/d"],
    ),
    (
        "tls verified",
        &[
            SERVICE,
            "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: default}
spec: {host: a, trafficPolicy: {tls: {mode: SIMPLE, caCertificates: /ca.pem}}}",
        ],
        &[],
    ),
    (
        "tls unverified port",
        &[
            SERVICE,
            "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: default}
spec: {host: a, trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: MUTUAL, clientCertificate: /c, privateKey: /k}}]}}",
        ],
        &["IST0129 warning DestinationRule default/d"],
    ),
];
