//! Gateways: who takes them, their ports, and two for one host.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        "gateway for nobody",
        &[r#"apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: default}
spec: {selector: {istio: nobody}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}"#],
        &["IST0101 error Gateway default/g"],
    ),
    (
        "gateway for pod",
        &[
            "apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default, labels: {istio: mine}}
spec: {containers: [{name: c, image: i}]}",
            "apiVersion: v1
kind: Service
metadata: {name: s, namespace: default}
spec: {selector: {istio: mine}, ports: [{name: http, port: 80, targetPort: 8080}]}",
            r#"apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: default}
spec: {selector: {istio: mine}, servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]}"#,
        ],
        &[],
    ),
    (
        "gateway port elsewhere",
        &[
            "apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default, labels: {istio: mine}}
spec: {containers: [{name: c, image: i}]}",
            "apiVersion: v1
kind: Service
metadata: {name: s, namespace: default}
spec: {selector: {istio: mine}, ports: [{name: http, port: 80}]}",
            r#"apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: default}
spec: {selector: {istio: mine}, servers: [{port: {number: 81, name: http, protocol: HTTP}, hosts: ["*"]}]}"#,
        ],
        &["IST0162 warning Gateway default/g"],
    ),
    (
        "gateways in conflict",
        &[
            r#"apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g1, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["a.lan"]}]}"#,
            r#"apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g2, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["a.lan"]}]}"#,
        ],
        &[
            "IST0145 error Gateway default/g1",
            "IST0145 error Gateway default/g2",
        ],
    ),
    (
        "gateways of other hosts",
        &[
            r#"apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g1, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["a.lan"]}]}"#,
            r#"apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g2, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["b.lan"]}]}"#,
        ],
        &[],
    ),
    (
        "gateways of other selectors",
        &[
            "apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default, labels: {istio: a}}
spec: {containers: [{name: c, image: i}]}",
            "apiVersion: v1
kind: Pod
metadata: {name: q, namespace: default, labels: {istio: b}}
spec: {containers: [{name: c, image: i}]}",
            r#"apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g1, namespace: default}
spec: {selector: {istio: a}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["a.lan"]}]}"#,
            r#"apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g2, namespace: default}
spec: {selector: {istio: b}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["a.lan"]}]}"#,
        ],
        &[],
    ),
    (
        "gateways meet at a pod",
        &[
            "apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default, labels: {app: x, istio: a}}
spec: {containers: [{name: c, image: i}]}",
            r#"apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g1, namespace: default}
spec: {selector: {istio: a}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["a.lan"]}]}"#,
            r#"apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g2, namespace: default}
spec: {selector: {app: x, istio: a}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["a.lan"]}]}"#,
        ],
        &[
            "IST0145 error Gateway default/g1",
            "IST0145 error Gateway default/g2",
        ],
    ),
];
