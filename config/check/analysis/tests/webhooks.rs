//! The webhooks of the control plane.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        "webhooks overlap",
        &[
            "apiVersion: v1
kind: Service
metadata: {name: istiod, namespace: istio-system}
spec: {ports: [{name: https, port: 443}]}",
            "apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: istio-a}
webhooks: [{name: rev.istio.io, clientConfig: {service: {name: istiod, namespace: istio-system}}}]",
            "apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: istio-b}
webhooks: [{name: rev.istio.io, clientConfig: {service: {name: istiod, namespace: istio-system}}}]",
        ],
        &[
            "IST0139 error MutatingWebhookConfiguration istio-a",
            "IST0139 error MutatingWebhookConfiguration istio-b",
        ],
    ),
    (
        "webhook service missing",
        &[
            "apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: istio-a}
webhooks: [{name: rev.istio.io, clientConfig: {service: {name: istiod, namespace: istio-system}}}]",
        ],
        &["IST0139 error MutatingWebhookConfiguration istio-a"],
    ),
    (
        "webhook address",
        &[r#"apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: istio-sidecar-injector}
webhooks: [{name: rev.istio.io, clientConfig: {url: "https://10.0.0.1/inject"}}]"#],
        &["IST0164 info MutatingWebhookConfiguration istio-sidecar-injector"],
    ),
];
