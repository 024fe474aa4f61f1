//! Two VirtualServices of the mesh for one host.

use super::{Case, SERVICE};

pub(super) const CASES: &[Case] = &[
    (
        "mesh hosts",
        &[
            SERVICE,
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec: {hosts: [a], http: [{route: [{destination: {host: a}}]}]}",
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: w, namespace: default}
spec: {hosts: [a], http: [{route: [{destination: {host: a}}]}]}",
        ],
        &[
            "IST0109 error VirtualService default/v",
            "IST0109 error VirtualService default/w",
        ],
    ),
    (
        "mesh hosts apart",
        &[
            SERVICE,
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec: {hosts: [a], exportTo: [x], http: [{route: [{destination: {host: a}}]}]}",
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: w, namespace: default}
spec: {hosts: [a], exportTo: [z], http: [{route: [{destination: {host: a}}]}]}",
        ],
        &[],
    ),
];
