//! Service and its annotations: what of Kubernetes' own type is read.

use std::fmt::Write as _;

use crate::reference::support::Support::{self, Ignored, Note, Supported};
use crate::reference::{GENERATED, Page, cell, shown};

/// What the index says of it.
pub(super) const ABOUT: &str = "A destination of routes, and with type LoadBalancer a wish for an \
                                address";

/// Fields and annotations, what they mean, and whether they are honoured; the rest of a Service is
/// for the cluster's own network.
pub(super) const FIELDS: &[(&str, &str, Support)] = &[
    (
        "metadata.labels",
        "Pools and advertisements select by them",
        Supported,
    ),
    (
        "metadata.annotations[\"metallb.io/loadBalancerIPs\"]",
        "The addresses that it asks for, at most one of each family",
        Supported,
    ),
    (
        "metadata.annotations[\"metallb.io/address-pool\"]",
        "The pool that it asks for",
        Supported,
    ),
    (
        "metadata.annotations[\"metallb.io/allow-shared-ip\"]",
        "Services with the same key may share an address",
        Supported,
    ),
    (
        "metadata.annotations[\"metallb.universe.tf/…\"]",
        "The older prefix of these three",
        Note("deprecated"),
    ),
    (
        "metadata.annotations[\"networking.istio.io/exportTo\"]",
        "The namespaces that see it",
        Supported,
    ),
    (
        "spec.type",
        "LoadBalancer asks for an address, ExternalName is another name of a host",
        Supported,
    ),
    (
        "spec.loadBalancerClass",
        "A Service with one is left to the load balancer of that class",
        Note("`--lb-class` names the one to serve, and then Services without it are left alone"),
    ),
    (
        "spec.loadBalancerIP",
        "The address that it asks for",
        Note("deprecated by Kubernetes: the annotation"),
    ),
    (
        "spec.ipFamilies",
        "Which families of addresses it wants",
        Supported,
    ),
    (
        "spec.ipFamilyPolicy",
        "One family or two",
        Note(
            "PreferDualStack that asks for one address gets that one, where MetalLB gives it \
             nothing",
        ),
    ),
    (
        "spec.externalTrafficPolicy",
        "Local: announced where there is an endpoint",
        Supported,
    ),
    (
        "spec.selector",
        "Whether it selects this gateway, whose servers then listen at its address",
        Supported,
    ),
    ("spec.ports", "TCP and UDP; SCTP is not carried", Supported),
    (
        "spec.ports[].appProtocol",
        "What is spoken to the endpoints, before the port's name",
        Supported,
    ),
    (
        "spec.ports[].name",
        "What is spoken to the endpoints: `http-…`, `http2-…`, `grpc-…`, `tcp-…`",
        Supported,
    ),
    ("spec.externalName", "The other name", Supported),
    (
        "spec.clusterIP",
        "A column of `gatehouse get services`",
        Note("shown only"),
    ),
    (
        "spec.sessionAffinity",
        "The same client to the same endpoint",
        Ignored("write `consistentHash.useSourceIp` in a DestinationRule"),
    ),
    (
        "spec.loadBalancerSourceRanges",
        "Who may connect; clients of a family without a range may not",
        Note(
            "of what kube-proxy carries it asks; without the field the annotation `service.beta.kubernetes.io/load-balancer-source-ranges`, separated by commas",
        ),
    ),
    (
        "spec.externalIPs",
        "Further addresses",
        Ignored("addresses come from pools"),
    ),
    (
        "status.loadBalancer",
        "Addresses that it has",
        Note("in a cluster what it has, and where its address is written"),
    ),
];

pub(super) fn page() -> Page {
    let mut text = format!(
        "{GENERATED}# Service\n\n`apiVersion: v1`\n\n{ABOUT}. These fields are read; all others \
         are for the cluster's own network.\n\n| field | | |\n|---|---|---|\n"
    );
    for (field, about, support) in FIELDS {
        let _ = writeln!(
            text,
            "| `{field}` | {} | {} |",
            cell(about),
            shown(*support)
        );
    }
    Page {
        kind: "Service",
        text,
    }
}
