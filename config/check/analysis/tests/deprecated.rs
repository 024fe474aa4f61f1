//! Deprecated fields and old definitions.

use super::{Case, GATEWAY, SERVICE};

pub(super) const CASES: &[Case] = &[
    (
        "deprecated delay",
        &[
            SERVICE,
            GATEWAY,
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec: {hosts: [x.lan], gateways: [g], http: [{fault: {delay: {percent: 5, fixedDelay: 1s}}, route: [{destination: {host: a}}]}]}",
        ],
        &["IST0002 warning VirtualService default/v"],
    ),
    (
        "old gateway api",
        &[
            "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: tlsroutes.gateway.networking.k8s.io, annotations: {gateway.networking.k8s.io/bundle-version: v1.4.1}}
spec: {group: gateway.networking.k8s.io, names: {kind: TLSRoute, plural: tlsroutes}, scope: Namespaced, versions: []}",
        ],
        &["IST0176 warning CustomResourceDefinition tlsroutes.gateway.networking.k8s.io"],
    ),
];
