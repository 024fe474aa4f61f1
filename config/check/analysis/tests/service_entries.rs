//! ServiceEntries: addresses, and two for one host.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        "entry needs addresses",
        &[
            "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e, namespace: default}
spec: {hosts: [b.lan], resolution: STATIC, endpoints: [{address: 10.0.0.1}], ports: [{number: 80, name: t, protocol: TCP}]}",
        ],
        &["IST0134 warning ServiceEntry default/e"],
    ),
    (
        "entries disagree",
        &[
            "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e, namespace: default}
spec: {hosts: [b.lan], resolution: DNS, ports: [{number: 80, name: h, protocol: HTTP}]}",
            "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: f, namespace: default}
spec: {hosts: [b.lan], resolution: DNS, ports: [{number: 80, name: h, protocol: HTTPS}]}",
        ],
        &[
            "IST0177 warning ServiceEntry default/e",
            "IST0177 warning ServiceEntry default/f",
        ],
    ),
    (
        "entries for others",
        &[
            "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e, namespace: default}
spec: {hosts: [b.lan], exportTo: [x], resolution: DNS, ports: [{number: 80, name: h, protocol: HTTP}]}",
            "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: f, namespace: default}
spec: {hosts: [b.lan], exportTo: [z], resolution: DNS, ports: [{number: 80, name: h, protocol: HTTPS}]}",
        ],
        &[],
    ),
];
