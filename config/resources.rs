//! Every object as written, by kind, namespace and name, with the place it came from.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::api::{core, gateway_api, istio, metallb, webhook, workload};
use crate::labels::Labels;

/// Namespace and name; cluster-scoped objects have an empty namespace. A copy shares them: dozens of
/// tables know each object by its key.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(Arc<Names>);

/// What an [`ObjectKey`] is made of.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Names {
    /// The namespace, `default` where none was written.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectKey {
    /// A key from its two parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self(Arc::new(Names {
            namespace: namespace.into(),
            name: name.into(),
        }))
    }
}

impl Serialize for ObjectKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Names::serialize(self, serializer)
    }
}

impl Deref for ObjectKey {
    type Target = Names;

    fn deref(&self) -> &Names {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// An object named in a finding: `VirtualService default/reviews`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// The kind, as the API spells it.
    pub kind: String,
    /// Namespace and name.
    pub key: ObjectKey,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}

impl Serialize for ObjectRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where an object came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A document of a file.
    File {
        /// The path as the user named it (`--config DIR` joined with the path below it).
        path: Arc<str>,
        /// The line of the document's first key, from 1.
        line: u32,
        /// Which document of the file, from 0; items of a `List` share it.
        document: u32,
        /// Which item, where the document is a `kind: List`.
        item: Option<u32>,
        /// The lines of `spec.http[]`, each from 1; empty for all but VirtualServices.
        rules: Arc<[u32]>,
    },
    /// A Kubernetes API server.
    Api {
        /// The resource version that was read.
        resource_version: String,
    },
}

impl Origin {
    /// The folder of the object's file; relative paths in the object begin there.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } => Path::new(&**path).parent(),
            Self::Api { .. } => None,
        }
    }
}

/// The metadata that translation needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Namespace and name.
    pub key: ObjectKey,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `metadata.annotations`.
    pub annotations: Labels,
    /// `metadata.creationTimestamp` in seconds since 1970; none in most files.
    pub created: Option<i64>,
    /// What controllers wrote of it; none in most files.
    pub status: Option<Box<Status>>,
}

/// The parts of an object's `status` that findings need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// `conditions`; of routes those of every parent.
    pub conditions: Vec<Condition>,
    /// Whether a ServiceEntry was given addresses.
    pub has_addresses: bool,
}

/// A condition, as Kubernetes' controllers write it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub about: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in one word.
    pub reason: String,
    /// Why, for people.
    pub message: String,
}

/// An object as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Object<T> {
    /// Name, labels, annotations, age.
    pub meta: Metadata,
    /// The rest of the object (`spec` of custom resources; the whole object of core kinds).
    pub body: T,
    /// Where it stands.
    pub origin: Origin,
}

/// All objects of one kind. A copy shares the map until one of the two changes: the source, the
/// translator and the daemon each keep what they last saw.
#[derive(Debug)]
pub struct Objects<T>(Arc<BTreeMap<ObjectKey, Arc<Object<T>>>>);

impl<T> Clone for Objects<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// Whether they have the same objects in the same versions.
impl<T> PartialEq for Objects<T> {
    fn eq(&self, other: &Self) -> bool {
        self.same(other)
    }
}

impl<T> Deref for Objects<T> {
    type Target = BTreeMap<ObjectKey, Arc<Object<T>>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> DerefMut for Objects<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(&mut self.0)
    }
}

impl<'a, T> IntoIterator for &'a Objects<T> {
    type Item = (&'a ObjectKey, &'a Arc<Object<T>>);
    type IntoIter = btree_map::Iter<'a, ObjectKey, Arc<Object<T>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T> Objects<T> {
    /// Whether these are the same objects in the same versions.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.len() == other.len()
                && self
                    .iter()
                    .zip(other.iter())
                    .all(|((_, one), (_, other))| Arc::ptr_eq(one, other)))
    }
}

/// Pools that exist and of which no version can be used. Nobody may conclude from their absence that
/// an address belongs to no pool: whoever holds one keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusedPools {
    /// Their labels by name; no labels where those cannot be read either.
    pub named: BTreeMap<String, Labels>,
    /// Something was never read, so that pools may exist whose very names are unknown.
    pub others: bool,
}

impl RefusedPools {
    /// Adds what another source cannot tell of.
    pub fn join(&mut self, other: &Self) {
        let named = other.named.iter();
        self.named
            .extend(named.map(|(name, labels)| (name.clone(), labels.clone())));
        self.others |= other.others;
    }
}

/// Services that exist and of which no version can be used. Nobody may conclude from their absence
/// that they are gone: what they hold is kept for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnreadServices {
    /// Those that are known by name.
    pub named: BTreeSet<ObjectKey>,
    /// Something was never read, so that others may exist.
    pub others: bool,
}

impl UnreadServices {
    /// Whether a Service that is not among those that were read may exist all the same.
    pub fn may_exist(&self, service: &ObjectKey) -> bool {
        self.others || self.named.contains(service)
    }

    /// Adds what another source cannot tell of.
    pub fn join(&mut self, other: &Self) {
        self.named.extend(other.named.iter().cloned());
        self.others |= other.others;
    }
}

/// Every object that was read, as written: it may be wrong, and is kept whole for status.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)] // the fields are the API's kinds
pub struct Resources {
    pub gateways: Objects<istio::Gateway>,
    pub virtual_services: Objects<istio::VirtualService>,
    pub destination_rules: Objects<istio::DestinationRule>,
    pub service_entries: Objects<istio::ServiceEntry>,
    pub workload_entries: Objects<istio::WorkloadEntry>,
    pub telemetries: Objects<istio::Telemetry>,
    pub authorization_policies: Objects<istio::AuthorizationPolicy>,
    pub request_authentications: Objects<istio::RequestAuthentication>,
    pub peer_authentications: Objects<istio::PeerAuthentication>,
    pub mesh_configs: Objects<istio::MeshConfig>,
    pub services: Objects<core::Service>,
    pub endpoints: Objects<core::Endpoints>,
    pub endpoint_slices: Objects<core::EndpointSlice>,
    pub namespaces: Objects<core::Namespace>,
    pub nodes: Objects<core::Node>,
    pub secrets: Objects<core::Secret>,
    pub config_maps: Objects<core::ConfigMap>,
    pub ip_address_pools: Objects<metallb::IPAddressPool>,
    pub l2_advertisements: Objects<metallb::L2Advertisement>,
    pub sidecars: Objects<istio::Sidecar>,
    pub envoy_filters: Objects<istio::EnvoyFilter>,
    pub wasm_plugins: Objects<istio::WasmPlugin>,
    pub pods: Objects<workload::Pod>,
    pub deployments: Objects<workload::Deployment>,
    pub kubernetes_gateways: Objects<gateway_api::Gateway>,
    pub http_routes: Objects<gateway_api::Route>,
    pub grpc_routes: Objects<gateway_api::Route>,
    pub mutating_webhooks: Objects<webhook::WebhookConfiguration>,
    pub validating_webhooks: Objects<webhook::WebhookConfiguration>,
    pub custom_resource_definitions: Objects<webhook::CustomResourceDefinition>,
    /// What is known of pools that no version can be used of.
    pub refused_pools: RefusedPools,
    /// What is known of Services that no version can be used of.
    pub unread_services: UnreadServices,
}
