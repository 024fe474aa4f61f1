//! What routes go to: hosts, ports and subsets.

use super::{Case, GATEWAY, POD, SERVICE, VIRTUAL_SERVICE};

pub(super) const CASES: &[Case] = &[
    (
        "host missing",
        &[
            SERVICE,
            GATEWAY,
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec: {hosts: [x.lan], gateways: [g], http: [{route: [{destination: {host: b}}]}]}",
        ],
        &["IST0101 error VirtualService default/v"],
    ),
    (
        "host short of other namespace",
        &[
            SERVICE,
            GATEWAY,
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec: {hosts: [x.lan], gateways: [g], http: [{route: [{destination: {host: a.default}}]}]}",
        ],
        &["IST0101 error VirtualService default/v"],
    ),
    (
        "host wildcard entry",
        &[
            GATEWAY,
            r#"apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e, namespace: default}
spec: {hosts: ["*.w.lan"], ports: [{number: 80, name: http, protocol: HTTP}]}"#,
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec: {hosts: [x.lan], gateways: [g], http: [{route: [{destination: {host: b.w.lan}}]}]}",
        ],
        &[],
    ),
    (
        "host hidden",
        &[
            GATEWAY,
            r#"apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e, namespace: other}
spec: {hosts: [b.lan], exportTo: ["."], ports: [{number: 80, name: http, protocol: HTTP}]}"#,
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec: {hosts: [x.lan], gateways: [g], http: [{route: [{destination: {host: b.lan}}]}]}",
        ],
        &["IST0101 error VirtualService default/v"],
    ),
    (
        "host mirror",
        &[
            SERVICE,
            GATEWAY,
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec: {hosts: [x.lan], gateways: [g], http: [{route: [{destination: {host: a}}], mirror: {host: b}}]}",
        ],
        &["IST0101 error VirtualService default/v"],
    ),
    (
        "host tcp",
        &[
            SERVICE,
            GATEWAY,
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec: {hosts: [x.lan], gateways: [g], tcp: [{route: [{destination: {host: b}}]}]}",
        ],
        &["IST0101 error VirtualService default/v"],
    ),
    (
        "port missing",
        &[
            SERVICE,
            GATEWAY,
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec: {hosts: [x.lan], gateways: [g], http: [{route: [{destination: {host: a, port: {number: 81}}}]}]}",
        ],
        &["IST0101 error VirtualService default/v"],
    ),
    (
        "port needed",
        &[
            "apiVersion: v1
kind: Service
metadata: {name: a, namespace: default}
spec: {ports: [{name: http, port: 80}, {name: http-b, port: 81}]}",
            GATEWAY,
            VIRTUAL_SERVICE,
        ],
        &["IST0112 error VirtualService default/v"],
    ),
    (
        "subset missing",
        &[
            SERVICE,
            GATEWAY,
            POD,
            "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: default}
spec: {host: a, subsets: [{name: v1, labels: {version: v1}}]}",
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec: {hosts: [x.lan], gateways: [g], http: [{route: [{destination: {host: a, subset: v2}}]}]}",
        ],
        &["IST0101 error VirtualService default/v"],
    ),
    (
        "subset there",
        &[
            SERVICE,
            GATEWAY,
            POD,
            "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: default}
spec: {host: a.default.svc.cluster.local, subsets: [{name: v1, labels: {version: v1}}]}",
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec: {hosts: [x.lan], gateways: [g], http: [{route: [{destination: {host: a, subset: v1}}]}]}",
        ],
        &[],
    ),
    (
        "subset not at ingress",
        &[
            SERVICE,
            GATEWAY,
            POD,
            "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: default}
spec: {host: a, subsets: [{name: v1, labels: {version: v1}}]}",
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: m, namespace: default}
spec: {hosts: [a], http: [{route: [{destination: {host: a, subset: v1}}]}]}",
            VIRTUAL_SERVICE,
        ],
        &["IST0140 warning VirtualService default/v"],
    ),
];
