//! The kinds that are used, and access to [`Resources`] by kind at run time.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::api::{core, gateway_api, istio, metallb, webhook, workload};
use crate::resources::{Metadata, Object, ObjectKey, ObjectRef, Origin, Resources};

/// The versions of `networking.istio.io`; their schema is the same (reference: Istio API).
pub(crate) const ISTIO_VERSIONS: &[&str] = &["v1", "v1beta1", "v1alpha3"];
const V1: &[&str] = &["v1"];
const V1BETA1: &[&str] = &["v1beta1"];
const V1ALPHA1: &[&str] = &["v1alpha1"];
const TELEMETRY_VERSIONS: &[&str] = &["v1", "v1alpha1"];
const SECURITY_VERSIONS: &[&str] = &["v1", "v1beta1"];

macro_rules! kinds {
    ($($variant:ident => $field:ident: $body:ty, $group:literal, $versions:expr, $namespaced:literal;)*) => {
        /// A kind that gatehouse uses.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)] // the API's names
        pub enum Kind { $($variant,)* }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Kind] = &[$(Kind::$variant,)*];

            fn variant(self) -> &'static str {
                match self { $(Kind::$variant => stringify!($variant),)* }
            }

            /// The API group; empty for the core group.
            pub fn group(self) -> &'static str {
                match self { $(Kind::$variant => $group,)* }
            }

            /// The versions that are read, the preferred one first.
            pub fn versions(self) -> &'static [&'static str] {
                match self { $(Kind::$variant => $versions,)* }
            }

            /// Whether objects of this kind live in a namespace.
            pub fn namespaced(self) -> bool {
                match self { $(Kind::$variant => $namespaced,)* }
            }
        }

        /// An object of any kind.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)] // the API's names
        pub enum AnyObject { $($variant(Arc<Object<$body>>),)* }

        impl AnyObject {
            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self { $(AnyObject::$variant(_) => Kind::$variant,)* }
            }

            /// Namespace and name.
            pub fn key(&self) -> &ObjectKey {
                match self { $(AnyObject::$variant(object) => &object.meta.key,)* }
            }

            /// Where it stands.
            pub fn origin(&self) -> &Origin {
                match self { $(AnyObject::$variant(object) => &object.origin,)* }
            }

            /// Whether both are one and the same version, not merely equal.
            pub fn same_version(&self, other: &AnyObject) -> bool {
                match (self, other) {
                    $((AnyObject::$variant(a), AnyObject::$variant(b)) => Arc::ptr_eq(a, b),)*
                    _ => false,
                }
            }
        }

        impl AnyObject {
            /// Whether both say the same, wherever they stand.
            pub fn same_content(&self, other: &AnyObject) -> bool {
                match (self, other) {
                    $((AnyObject::$variant(a), AnyObject::$variant(b)) => {
                        a.meta == b.meta && a.body == b.body
                    })*
                    _ => false,
                }
            }
        }

        impl Resources {
            /// Adds the objects of another source. What both have stays as it is here, and is
            /// returned in the other's version.
            pub fn add_all(&mut self, other: &Resources) -> Vec<AnyObject> {
                let mut twice = Vec::new();
                self.refused_pools.join(&other.refused_pools);
                self.unread_services.join(&other.unread_services);
                $(
                    if self.$field.is_empty() {
                        self.$field = other.$field.clone();
                    } else if !other.$field.is_empty() {
                        for (key, object) in &other.$field {
                            match self.$field.contains_key(key) {
                                true => twice.push(AnyObject::$variant(Arc::clone(object))),
                                false => {
                                    self.$field.insert(key.clone(), Arc::clone(object));
                                }
                            }
                        }
                    }
                )*
                twice
            }

            /// The object of this kind and key.
            pub fn object(&self, kind: Kind, key: &ObjectKey) -> Option<AnyObject> {
                match kind {
                    $(Kind::$variant => self.$field.get(key).cloned().map(AnyObject::$variant),)*
                }
            }

            /// The metadata of the object of this kind and key.
            pub fn metadata(&self, kind: Kind, key: &ObjectKey) -> Option<&Metadata> {
                match kind {
                    $(Kind::$variant => self.$field.get(key).map(|object| &object.meta),)*
                }
            }

            /// Puts an object in, in the place of one with the same kind and key.
            pub fn insert(&mut self, object: AnyObject) {
                match object {
                    $(AnyObject::$variant(object) => {
                        self.$field.insert(object.meta.key.clone(), object);
                    })*
                }
            }

            /// Puts an object in, unless there is one of this kind and key: that one is given back.
            pub fn add(&mut self, object: AnyObject) -> Option<AnyObject> {
                match object {
                    $(AnyObject::$variant(object) => {
                        match self.$field.entry(object.meta.key.clone()) {
                            Entry::Vacant(place) => {
                                place.insert(object);
                                None
                            }
                            Entry::Occupied(first) => {
                                Some(AnyObject::$variant(Arc::clone(first.get())))
                            }
                        }
                    })*
                }
            }

            /// Takes an object out; tells whether it was there.
            pub fn remove(&mut self, kind: Kind, key: &ObjectKey) -> bool {
                match kind { $(Kind::$variant => self.$field.remove(key).is_some(),)* }
            }

            /// The names of all objects of a kind.
            pub fn keys(&self, kind: Kind) -> Vec<ObjectKey> {
                match kind { $(Kind::$variant => self.$field.keys().cloned().collect(),)* }
            }

            /// Whether both have the very same versions of the objects of a kind.
            pub fn same_objects(&self, other: &Self, kind: Kind) -> bool {
                match kind { $(Kind::$variant => self.$field.same(&other.$field),)* }
            }

            /// How many objects there are, of all kinds.
            pub fn len(&self) -> usize {
                0 $(+ self.$field.len())*
            }

            /// Whether there is no object at all.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }
        }
    };
}

kinds! {
    Gateway => gateways: istio::Gateway, "networking.istio.io", ISTIO_VERSIONS, true;
    VirtualService => virtual_services: istio::VirtualService, "networking.istio.io", ISTIO_VERSIONS, true;
    DestinationRule => destination_rules: istio::DestinationRule, "networking.istio.io", ISTIO_VERSIONS, true;
    ServiceEntry => service_entries: istio::ServiceEntry, "networking.istio.io", ISTIO_VERSIONS, true;
    WorkloadEntry => workload_entries: istio::WorkloadEntry, "networking.istio.io", ISTIO_VERSIONS, true;
    Telemetry => telemetries: istio::Telemetry, "telemetry.istio.io", TELEMETRY_VERSIONS, true;
    AuthorizationPolicy => authorization_policies: istio::AuthorizationPolicy, "security.istio.io", SECURITY_VERSIONS, true;
    RequestAuthentication => request_authentications: istio::RequestAuthentication, "security.istio.io", SECURITY_VERSIONS, true;
    PeerAuthentication => peer_authentications: istio::PeerAuthentication, "security.istio.io", SECURITY_VERSIONS, true;
    MeshConfig => mesh_configs: istio::MeshConfig, "mesh.istio.io", V1ALPHA1, false;
    Service => services: core::Service, "", V1, true;
    Endpoints => endpoints: core::Endpoints, "", V1, true;
    EndpointSlice => endpoint_slices: core::EndpointSlice, "discovery.k8s.io", V1, true;
    Namespace => namespaces: core::Namespace, "", V1, false;
    Node => nodes: core::Node, "", V1, false;
    Secret => secrets: core::Secret, "", V1, true;
    ConfigMap => config_maps: core::ConfigMap, "", V1, true;
    IPAddressPool => ip_address_pools: metallb::IPAddressPool, "metallb.io", V1BETA1, true;
    L2Advertisement => l2_advertisements: metallb::L2Advertisement, "metallb.io", V1BETA1, true;
    // Kinds that do nothing here, and that findings about others need.
    Sidecar => sidecars: istio::Sidecar, "networking.istio.io", ISTIO_VERSIONS, true;
    EnvoyFilter => envoy_filters: istio::EnvoyFilter, "networking.istio.io", &["v1alpha3"], true;
    WasmPlugin => wasm_plugins: istio::WasmPlugin, "extensions.istio.io", &["v1alpha1"], true;
    Pod => pods: workload::Pod, "", V1, true;
    Deployment => deployments: workload::Deployment, "apps", V1, true;
    KubernetesGateway => kubernetes_gateways: gateway_api::Gateway, "gateway.networking.k8s.io", &["v1", "v1beta1", "v1alpha2"], true;
    HTTPRoute => http_routes: gateway_api::Route, "gateway.networking.k8s.io", &["v1", "v1beta1", "v1alpha2"], true;
    GRPCRoute => grpc_routes: gateway_api::Route, "gateway.networking.k8s.io", &["v1", "v1alpha2"], true;
    MutatingWebhookConfiguration => mutating_webhooks: webhook::WebhookConfiguration, "admissionregistration.k8s.io", &["v1", "v1beta1"], false;
    ValidatingWebhookConfiguration => validating_webhooks: webhook::WebhookConfiguration, "admissionregistration.k8s.io", &["v1", "v1beta1"], false;
    CustomResourceDefinition => custom_resource_definitions: webhook::CustomResourceDefinition, "apiextensions.k8s.io", &["v1", "v1beta1"], false;
}

impl Kind {
    /// The name as the API spells it.
    pub fn name(self) -> &'static str {
        match self {
            // Two APIs have a Gateway.
            Kind::KubernetesGateway => "Gateway",
            kind => kind.variant(),
        }
    }

    /// The kind with this name, if it is one that is read; of those with one name the first.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// The kind with this name, in this group if there is one.
    pub fn of_group(group: &str, name: &str) -> Option<Kind> {
        let mut named = Kind::ALL.iter().copied().filter(|kind| kind.name() == name);
        named
            .clone()
            .find(|kind| kind.group() == group)
            .or_else(|| named.next())
    }

    /// Whether objects of this kind change what gatehouse does. All others are read in part, for
    /// findings about those that do.
    pub fn acts(self) -> bool {
        !matches!(
            self,
            Kind::Sidecar
                | Kind::EnvoyFilter
                | Kind::WasmPlugin
                | Kind::Pod
                | Kind::Deployment
                | Kind::KubernetesGateway
                | Kind::HTTPRoute
                | Kind::GRPCRoute
                | Kind::MutatingWebhookConfiguration
                | Kind::ValidatingWebhookConfiguration
                | Kind::CustomResourceDefinition
        )
    }

    /// The preferred `apiVersion`: `v1`, `networking.istio.io/v1`.
    pub fn api_version(self) -> String {
        let version = self.versions().first().copied().unwrap_or_default();
        match self.group() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }

    /// An object of this kind, named as findings name it.
    pub fn reference(self, key: &ObjectKey) -> ObjectRef {
        ObjectRef {
            kind: self.name().to_owned(),
            key: key.clone(),
        }
    }
}

impl AnyObject {
    /// The object, named as findings name it.
    pub fn reference(&self) -> ObjectRef {
        self.kind().reference(self.key())
    }
}
