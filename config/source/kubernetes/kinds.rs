//! Which kinds are watched, and where.

use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher;

use crate::source::decode::Kind;

/// Where objects of a kind are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everywhere.
    Cluster,
    /// In the gateway's own namespace, as Istio does: nobody else's secrets are read.
    Gateway,
}

/// Every kind that is watched. Not among them: MeshConfig, which in a cluster is a ConfigMap;
/// Endpoints, which every Service has as EndpointSlices; and kinds that only `check` looks at.
const WATCHED: &[Kind] = &[
    Kind::Gateway,
    Kind::VirtualService,
    Kind::DestinationRule,
    Kind::ServiceEntry,
    Kind::WorkloadEntry,
    Kind::Telemetry,
    Kind::AuthorizationPolicy,
    Kind::RequestAuthentication,
    Kind::PeerAuthentication,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Namespace,
    Kind::Node,
    Kind::Pod,
    Kind::Secret,
    Kind::ConfigMap,
    Kind::IPAddressPool,
    Kind::L2Advertisement,
    Kind::EnvoyFilter,
    Kind::WasmPlugin,
];

/// The same where nobody serves, and addresses are dealt and announced only.
const FOR_ADDRESSES: &[Kind] = &[
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Namespace,
    Kind::Node,
    Kind::IPAddressPool,
    Kind::L2Advertisement,
];

/// The kinds that are watched.
pub(super) fn watched(addresses_only: bool) -> &'static [Kind] {
    if addresses_only {
        FOR_ADDRESSES
    } else {
        WATCHED
    }
}

/// What must be known before an address is dealt: else one that is held could be dealt again.
pub(super) const FOR_ALLOCATION: &[Kind] = &[Kind::Service, Kind::IPAddressPool, Kind::Namespace];

/// What must be known before it is told what is announced, and what is wrong with pools.
pub(super) const FOR_ANNOUNCING: &[Kind] = FOR_ADDRESSES;

/// Kinds that nothing is said of other objects by: where they cannot be listed, what is said of
/// others is as right as ever.
pub(super) const APART: &[Kind] = &[
    Kind::Telemetry,
    Kind::AuthorizationPolicy,
    Kind::PeerAuthentication,
    Kind::EnvoyFilter,
    Kind::WasmPlugin,
];

impl Scope {
    pub(super) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Secret | Kind::ConfigMap => Self::Gateway,
            _ => Self::Cluster,
        }
    }
}

/// The resource of a kind in one of its versions.
pub(super) fn resource(kind: Kind, version: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(kind.group(), version, kind.name()))
}

/// `virtualservices.networking.istio.io`, the name of its CustomResourceDefinition.
pub(super) fn crd(kind: Kind) -> String {
    format!("{}.{}", resource(kind, "").plural, kind.group())
}

/// Objects in one answer to a list. All of them are in memory as text and as JSON at once, of every
/// kind at the same time, and what was needed once is not given back at once.
const PAGE: u32 = 100;

/// How a kind is watched.
pub(super) fn config(kind: Kind) -> watcher::Config {
    let config = watcher::Config::default().page_size(PAGE);
    match kind {
        // Helm's releases and Pods' tokens are most of what secrets there are, and never a
        // certificate.
        Kind::Secret => config.fields(
            "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token,\
             type!=kubernetes.io/dockerconfigjson",
        ),
        // Of what has ended nothing is needed.
        Kind::Pod => config.fields("status.phase!=Succeeded,status.phase!=Failed"),
        _ => config,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plural_names_are_those_of_the_manifests() {
        let crds = WATCHED
            .iter()
            .filter(|kind| kind.group().contains("istio") || kind.group() == "metallb.io");
        let names: Vec<_> = crds.map(|kind| crd(*kind)).collect();
        assert_eq!(
            names,
            [
                "gateways.networking.istio.io",
                "virtualservices.networking.istio.io",
                "destinationrules.networking.istio.io",
                "serviceentries.networking.istio.io",
                "workloadentries.networking.istio.io",
                "telemetries.telemetry.istio.io",
                "authorizationpolicies.security.istio.io",
                "requestauthentications.security.istio.io",
                "peerauthentications.security.istio.io",
                "ipaddresspools.metallb.io",
                "l2advertisements.metallb.io",
                "envoyfilters.networking.istio.io",
                "wasmplugins.extensions.istio.io",
            ]
        );
    }
}
