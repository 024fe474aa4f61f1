//! Injection of sidecars into namespaces and Pods.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        "namespace plain",
        &["apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {a: b}}"],
        &["IST0102 info Namespace shop"],
    ),
    (
        "namespace two",
        &["apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled, istio.io/rev: x}}"],
        &["IST0123 warning Namespace shop"],
    ),
    (
        "pod without proxy",
        &[
            "apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}",
            "apiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop, labels: {app: a}}
spec: {containers: [{name: c, image: i}]}",
        ],
        &["IST0103 warning Pod shop/p"],
    ),
    (
        "image auto",
        &[
            "apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default, labels: {app: a}}
spec: {containers: [{name: istio-proxy, image: auto}]}",
            "apiVersion: apps/v1
kind: Deployment
metadata: {name: d, namespace: default}
spec: {template: {spec: {containers: [{name: istio-proxy, image: auto}]}}}",
        ],
        &[
            "IST0146 warning Deployment default/d",
            "IST0147 error Pod default/p",
        ],
    ),
];
