//! The Secrets of Gateways.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        "secret missing",
        &[
            "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: [g.lan], tls: {mode: SIMPLE, credentialName: none}}]}",
        ],
        &["IST0101 error Gateway default/g"],
    ),
    (
        "secret empty",
        &[
            "apiVersion: v1
kind: Secret
metadata: {name: c, namespace: istio-system}
data: {}",
            "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: [g.lan], tls: {mode: SIMPLE, credentialName: c}}]}",
        ],
        &["IST0161 error Gateway default/g"],
    ),
    (
        "secret garbage",
        &[
            "apiVersion: v1
kind: Secret
metadata: {name: c, namespace: istio-system}
data: {tls.crt: YQ==, tls.key: YQ==}",
            "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: [g.lan], tls: {mode: SIMPLE, credentialName: c}}]}",
        ],
        &["IST0161 error Gateway default/g"],
    ),
    (
        "certificate twice",
        &[
            "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g1, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: [g1.lan], tls: {mode: SIMPLE, credentialName: none}}]}",
            "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g2, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: [g2.lan], tls: {mode: SIMPLE, credentialName: none}}]}",
        ],
        &[
            "IST0101 error Gateway default/g1",
            "IST0101 error Gateway default/g2",
            "IST0138 warning Gateway default/g1",
            "IST0138 warning Gateway default/g2",
        ],
    ),
];
