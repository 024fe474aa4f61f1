//! Policies and Telemetries: whom they are for, and which keys.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        "policy for nobody",
        &[
            "apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {istio-injection: disabled}}",
            "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: default}
spec: {selector: {matchLabels: {app: x}}, rules: [{}]}",
        ],
        &["IST0127 warning AuthorizationPolicy default/p"],
    ),
    (
        "policy namespace missing",
        &[
            "apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {istio-injection: enabled}}",
            "apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default, labels: {app: a}}
spec: {containers: [{name: istio-proxy, image: i}]}",
            "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: default}
spec: {rules: [{from: [{source: {namespaces: [nope]}}]}]}",
        ],
        &["IST0101 error AuthorizationPolicy default/p"],
    ),
    (
        "open keys",
        &[
            r#"apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: r, namespace: default}
spec: {jwtRules: [{issuer: i, jwksUri: "https://i.lan/keys"}]}"#,
            "apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system, labels: {app: istiod}}
spec: {template: {spec: {containers: [{name: discovery, image: i}]}}}",
        ],
        &["IST0175 warning Deployment istio-system/istiod"],
    ),
    (
        "keys limited",
        &[
            r#"apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: r, namespace: default}
spec: {jwtRules: [{issuer: i, jwksUri: "https://i.lan/keys"}]}"#,
            "apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system, labels: {app: istiod}}
spec: {template: {spec: {containers: [{name: discovery, image: i, env: [{name: BLOCKED_CIDRS_IN_JWKS_URIS, value: 10.0.0.0/8}]}]}}}",
        ],
        &[],
    ),
    (
        "idle selector",
        &[
            "apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default, labels: {app: x, gateway.networking.k8s.io/gateway-name: kg}}
spec: {containers: [{name: c, image: i}]}",
            r#"apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: w, namespace: default}
spec: {selector: {matchLabels: {app: x}}, url: "oci://x"}"#,
        ],
        &["IST0166 warning WasmPlugin default/w"],
    ),
    (
        "telemetry nobody",
        &[
            "apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: t, namespace: default}
spec: {selector: {matchLabels: {app: x}}, tracing: [{}]}",
        ],
        &["IST0101 error Telemetry default/t"],
    ),
    (
        "telemetry twice",
        &[
            "apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: t, namespace: default}
spec: {tracing: [{}]}",
            "apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: u, namespace: default}
spec: {tracing: [{}]}",
        ],
        &[
            "IST0160 error Telemetry default/t",
            "IST0160 error Telemetry default/u",
        ],
    ),
    (
        "telemetry same pod",
        &[
            "apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default, labels: {app: x}}
spec: {containers: [{name: c, image: i}]}",
            "apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: t, namespace: default}
spec: {selector: {matchLabels: {app: x}}, tracing: [{}]}",
            "apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: u, namespace: default}
spec: {selector: {matchLabels: {app: x}}, tracing: [{}]}",
        ],
        &[
            "IST0159 error Telemetry default/t",
            "IST0159 error Telemetry default/u",
        ],
    ),
    (
        "telemetry no provider",
        &[
            "apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: t, namespace: default}
spec: {accessLogging: [{}]}",
        ],
        &["IST0157 warning Telemetry default/t"],
    ),
];
