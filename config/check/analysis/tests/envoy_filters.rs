//! EnvoyFilters: operations without an effect or that depend on others.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        "envoy add",
        &[
            "apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: e, namespace: default}
spec: {configPatches: [{applyTo: HTTP_ROUTE, patch: {operation: ADD, value: {name: x}}}]}",
        ],
        &[
            "IST0133 warning EnvoyFilter default/e",
            "IST0153 error EnvoyFilter default/e",
        ],
    ),
    (
        "envoy replace",
        &[
            "apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: e, namespace: default}
spec: {configPatches: [{applyTo: CLUSTER, patch: {operation: REPLACE, value: {name: x}}}]}",
        ],
        &[
            "IST0133 warning EnvoyFilter default/e",
            "IST0152 error EnvoyFilter default/e",
        ],
    ),
    (
        "envoy remove",
        &[
            "apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: e, namespace: default}
spec: {configPatches: [{applyTo: HTTP_ROUTE, patch: {operation: REMOVE, value: {name: x}}}]}",
        ],
        &[
            "IST0133 warning EnvoyFilter default/e",
            "IST0154 error EnvoyFilter default/e",
        ],
    ),
    (
        "envoy relative",
        &[
            "apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: e, namespace: default}
spec: {configPatches: [{applyTo: HTTP_FILTER, patch: {operation: INSERT_BEFORE, value: {name: x}}}]}",
        ],
        &[
            "IST0133 warning EnvoyFilter default/e",
            "IST0151 warning EnvoyFilter default/e",
        ],
    ),
    (
        "envoy priority",
        &[
            "apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: e, namespace: default}
spec: {priority: 10, configPatches: [{applyTo: HTTP_FILTER, patch: {operation: INSERT_BEFORE, value: {name: x}}}]}",
        ],
        &["IST0133 warning EnvoyFilter default/e"],
    ),
];
