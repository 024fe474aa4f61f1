//! What the admin API shows: rows that the daemon publishes as a whole.
//!
//! The rows are data for people and programs: `/api/v1/…` sends them as they are, `gatehouse get`
//! reads them back. Fields may be added, never renamed.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use gatehouse_config::Finding;
use serde::{Deserialize, Serialize, Serializer};

use crate::snapshot::Snapshot;

/// Everything the admin API knows about the configuration, published by the daemon.
#[derive(Clone, Debug, Serialize)]
pub struct View {
    /// How often a configuration was put in force; 0: none yet.
    pub generation: u64,
    /// When that was, in seconds since 1970.
    pub loaded_at: Option<i64>,
    /// Why the gateway is not ready; none: it serves a configuration.
    pub not_ready: Option<String>,
    /// Services of type LoadBalancer, and others worth showing.
    pub services: Rows<ServiceRow>,
    /// Addresses that were dealt.
    pub addresses: Rows<AddressRow>,
    /// Sockets that accept.
    pub listeners: Rows<ListenerRow>,
    /// Routes, in the order in which they are tried.
    pub routes: Rows<RouteRow>,
    /// Findings about the configuration, worst first.
    pub findings: Vec<Finding>,
    /// What is served: endpoints are shown, and `why` is answered, from it.
    #[serde(skip)]
    pub snapshot: Arc<Snapshot>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            generation: 0,
            loaded_at: None,
            not_ready: Some("no configuration has been loaded yet".to_owned()),
            services: Rows::default(),
            addresses: Rows::default(),
            listeners: Rows::default(),
            routes: Rows::default(),
            findings: Vec::new(),
            snapshot: Arc::default(),
        }
    }
}

/// Rows that are made when somebody first asks for them: there may be tens of thousands, and most
/// configurations come and go without being looked at.
#[derive(Clone)]
pub struct Rows<T>(Arc<LazyLock<Vec<T>, Make<T>>>);

type Make<T> = Box<dyn FnOnce() -> Vec<T> + Send>;

impl<T> Rows<T> {
    /// Rows that `make` will make.
    pub fn new(make: impl FnOnce() -> Vec<T> + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(make))))
    }
}

impl<T: 'static> Default for Rows<T> {
    fn default() -> Self {
        Self::new(Vec::new)
    }
}

impl<T: Send + 'static> From<Vec<T>> for Rows<T> {
    fn from(rows: Vec<T>) -> Self {
        Self::new(move || rows)
    }
}

impl<T> Deref for Rows<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Rows<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self[..].fmt(f)
    }
}

impl<T: Serialize> Serialize for Rows<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self[..].serialize(serializer)
    }
}

/// A Service: the columns of `kubectl get svc`, and why it waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceRow {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `LoadBalancer`, `ClusterIP`, ….
    #[serde(rename = "type")]
    pub kind: String,
    /// `spec.clusterIP`; none where there is none.
    pub cluster_ip: Option<String>,
    /// The addresses it has; a LoadBalancer without any is pending.
    pub external_ip: Vec<String>,
    /// Each as `kubectl` prints it: `80:30080/TCP`, or `80/TCP` without a node port.
    pub ports: Vec<String>,
    /// `metadata.creationTimestamp`, or when it was first seen; seconds since 1970.
    pub created: Option<i64>,
    /// Why it has no address.
    pub pending_reason: Option<String>,
    /// The pool its address came from.
    pub pool: Option<String>,
}

/// An address and who answers for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AddressRow {
    /// The address.
    pub address: String,
    /// The Services that share it: `namespace/name`.
    pub services: Vec<String>,
    /// The pool it came from.
    pub pool: String,
    /// `announced`, `probing`, `conflict`, `standby`, `not announced`, ….
    pub state: String,
    /// The node that answers.
    pub owner: Option<String>,
    /// Where it is announced.
    pub interfaces: Vec<InterfaceRow>,
    /// Why it is in that state, if it is not announced.
    pub reason: Option<String>,
}

/// An interface that announces an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InterfaceRow {
    /// Its name.
    pub name: String,
    /// The MAC address that is answered with.
    pub mac: String,
}

/// A socket that accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenerRow {
    /// The name: Envoy's `0.0.0.0_8080`, or the Service's for carried ports.
    pub name: String,
    /// Address and port.
    pub address: String,
    /// `HTTP`, `TCP`, `UDP`.
    pub protocol: String,
    /// `listening`, or why not.
    pub state: String,
    /// The Gateways or the Service it belongs to.
    pub origins: Vec<String>,
}

/// A route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteRow {
    /// The listeners that serve it: `192.168.8.151:80`.
    pub listeners: Vec<String>,
    /// The host: `*`, `*.example.com`, `example.com`.
    pub host: String,
    /// When it applies: `exact /productpage, method GET`.
    pub matches: String,
    /// `forward`, `redirect 301 https://…`, `respond 404`.
    pub action: String,
    /// Where it leads: `productpage.default.svc.cluster.local:9080 (90%)`.
    pub destinations: Vec<String>,
    /// `file:line` of the rule, or empty.
    pub origin: String,
    /// The VirtualService: `default/bookinfo`.
    pub virtual_service: String,
    /// Its name; empty when unnamed.
    pub name: String,
}

/// An endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointRow {
    /// `outbound|9080||productpage.default.svc.cluster.local`.
    pub cluster: String,
    /// Address and port.
    pub address: String,
    /// `healthy`, or why it is left out.
    pub health: String,
    /// The workload behind it; empty when unknown.
    pub workload: String,
    /// Its share.
    pub weight: u32,
    /// Requests it is working on, where known.
    pub active: Option<u64>,
    /// Requests it was given, where known.
    pub requests: Option<u64>,
}
