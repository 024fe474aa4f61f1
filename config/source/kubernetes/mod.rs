//! A Kubernetes API server as a source of objects.
//!
//! ```text
//! a thread of its own: one watch for each kind ──► Store ──► load(): Resources, findings
//!                                                       └──► what statuses say
//! ```
//!
//! Objects go through the decoder that reads files, so that one that is wrong is told in the same
//! words, keeps its last good version, and stops nothing. A kind that the cluster has not got is
//! waited for; while the API server is away, what is known stays. Where it lets a kind be listed and
//! not be watched, a finding says so, and lists bring changes.

mod backoff;
mod changes;
mod client;
mod kinds;
pub mod peers;
#[cfg(test)]
mod scripted;
mod seen;
mod slim;
mod store;
#[cfg(test)]
mod tests;
mod trouble;
mod watch;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Client;
use kube::core::{ApiResource, DynamicObject};
use thiserror::Error;
use tokio::sync::watch as channel;
use tokio::time::timeout;

pub use backoff::Backoff;
pub use seen::{Ingress, PoolCounters, SeenPool, SeenReport, SeenService, is_reported, is_verdict};
pub(crate) use seen::{seen_pool, seen_service};
pub use store::{Changed, Store};
pub use trouble::Trouble;

use changes::Changes;
use client::Connections;

use crate::finding::Finding;
use crate::resources::{ObjectKey, Resources};
use crate::source::decode::Kind;

/// A server that does not take a connection in this time is away.
const CONNECT: Duration = Duration::from_secs(5);

/// What of the cluster is of interest.
#[derive(Clone, Debug)]
pub struct KubernetesSettings {
    /// The gateway's namespace: its Secrets and ConfigMaps are read, and nobody else's.
    pub namespace: String,
    /// Nobody serves: only what addresses are dealt and announced by is of interest.
    pub addresses_only: bool,
}

/// Why there is no cluster to ask.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// None is named anywhere.
    #[error(
        "no cluster is named: neither KUBECONFIG nor ~/.kube/config can be used, and this is no \
         Pod with an account of its own ({0})"
    )]
    NotNamed(#[from] kube::config::InferConfigError),
    /// What is named cannot be used.
    #[error("the cluster that the kubeconfig names cannot be asked: {0}")]
    Unusable(kube::Error),
    /// The operating system refused a thread.
    #[error("no thread for Kubernetes: {0}")]
    Thread(#[from] std::io::Error),
}

/// A cluster that is being watched. Copies are of the same one.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    in_time: Client,
    default_namespace: String,
    runtime: tokio::runtime::Handle,
    shared: Shared,
    server: Option<IpAddr>,
    watched: &'static [Kind],
}

/// What the watches and their readers share.
#[derive(Clone, Debug)]
pub struct Shared {
    store: Arc<Mutex<Store>>,
    changes: Arc<Changes>,
    status_changed: channel::Sender<u64>,
    reports_changed: channel::Sender<u64>,
    /// How often each CustomResourceDefinition was seen to change.
    crds: channel::Sender<BTreeMap<String, u64>>,
}

/// What a cluster holds now.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Every object: its newest version that can be read.
    pub resources: Resources,
    /// What is wrong with them, and with seeing them.
    pub findings: Vec<Finding>,
    /// What the statuses of Services say.
    pub services: Arc<BTreeMap<ObjectKey, SeenService>>,
    /// Whether everything is known that addresses are dealt by.
    pub may_allocate: bool,
    /// Whether everything was seen once that addresses are announced by.
    pub knows_addresses: bool,
    /// Whether everything was seen once that other objects are judged by, and all else was asked for.
    pub is_complete: bool,
    /// Differs from the number before if anything changed.
    pub changes: u64,
    /// Differs from the number before if more changed than what allocators write.
    pub object_changes: u64,
    /// Whether all Pods were seen once.
    pub knows_pods: bool,
    /// Why Pods cannot be seen now.
    pub pods_trouble: Option<String>,
}

impl Cluster {
    /// Finds the cluster as kubectl does (KUBECONFIG, ~/.kube/config, or the Pod's own account) and
    /// begins to watch it. Whether it answers is not waited for.
    ///
    /// # Errors
    ///
    /// When no cluster is named, or what is named makes no sense.
    pub fn connect(settings: &KubernetesSettings) -> Result<Self, ConnectError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (settings, handle) = (settings.clone(), runtime.handle().clone());
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::Builder::new()
            .name("kubernetes".to_owned())
            .spawn(move || {
                let begun = runtime.block_on(Self::begin(&settings, handle));
                let goes_on = begun.is_ok();
                // Who asked waits for it.
                let _ = tell.send(begun);
                if goes_on {
                    // Until the process ends: there is nothing here to bring to an end.
                    runtime.block_on(std::future::pending::<()>());
                }
            })?;
        told.recv()
            .unwrap_or_else(|_| Err(std::io::Error::other("it ended").into()))
    }

    /// Begins to watch; runs on the thread of the watches.
    async fn begin(
        settings: &KubernetesSettings,
        runtime: tokio::runtime::Handle,
    ) -> Result<Self, ConnectError> {
        let mut config = kube::Config::infer().await?;
        config.connect_timeout = Some(CONNECT);
        let default_namespace = config.default_namespace.clone();
        let host = config.cluster_url.host().unwrap_or_default();
        let server = host.trim_matches(['[', ']']).parse().ok();
        let in_time = client::client(config.clone(), Connections::Each);
        let in_time = in_time.map_err(ConnectError::Unusable)?;
        let client = client::client(config, Connections::Shared);
        let client = client.map_err(ConnectError::Unusable)?;
        let shared = Shared::new();
        let watched = kinds::watched(settings.addresses_only);
        for kind in watched {
            let (client, settings) = (client.clone(), settings.clone());
            runtime.spawn(watch::watch(client, *kind, settings, shared.clone()));
        }
        runtime.spawn(watch::watch_crds(client.clone(), shared.clone()));
        Ok(Self {
            client,
            in_time,
            default_namespace,
            runtime,
            shared,
            server,
            watched,
        })
    }

    /// Waits until every kind is known, or known not to be seen now; not longer than `patience`.
    pub async fn wait_until_seen(&self, patience: Duration) {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        let all_tried = async {
            while !self.shared.store().has_tried(self.watched) {
                tick.tick().await;
            }
        };
        if timeout(patience, all_tried).await.is_err() {
            tracing::warn!(
                "the API server has not told everything yet; going on with what is known"
            );
        }
        let store = self.shared.store();
        let absent: Vec<_> = store.absent(self.watched).into_iter().collect();
        if !absent.is_empty() {
            let names: Vec<_> = absent.iter().map(|kind| kind.name()).collect();
            tracing::info!(
                "kinds that the cluster has not got yet, which are waited for: {}",
                names.join(", ")
            );
        }
    }

    /// What the cluster holds now.
    pub fn load(&self) -> Seen {
        let store = self.shared.store();
        let mut resources = store.resources().clone();
        resources.refused_pools = store.refused_pools();
        Seen {
            resources,
            findings: store.findings(),
            services: Arc::clone(store.services()),
            may_allocate: store.knows(kinds::FOR_ALLOCATION),
            knows_addresses: store.knows(kinds::FOR_ANNOUNCING),
            is_complete: store.knows_but(self.watched, kinds::APART),
            changes: store.changes(),
            object_changes: store.object_changes(),
            knows_pods: store.knows(&[Kind::Pod]),
            pods_trouble: store
                .trouble(Kind::Pod)
                .map(|trouble| trouble.why().to_owned()),
        }
    }

    /// Waits until something changed, and who changed it has probably finished: 8 ms after the last
    /// change, 100 ms after the first at the latest. One may wait at a time.
    ///
    /// May be dropped while it waits and called again: no change is lost.
    pub async fn changed(&self) {
        self.shared.changes.settled().await;
    }

    /// For what is written back: the way to the server, and what is seen of it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// For Leases and what goes with them, which are lost if they are not renewed within seconds.
    pub fn in_time(&self) -> &Client {
        &self.in_time
    }

    /// What is seen, shared with the watches.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The thread that all of it runs on.
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }

    /// The API server's address, where the cluster is named by one.
    pub fn server(&self) -> Option<IpAddr> {
        self.server
    }

    /// The namespace of the kubeconfig's context, or the Pod's own.
    pub fn default_namespace(&self) -> &str {
        &self.default_namespace
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Shared {
    fn new() -> Self {
        Self {
            store: Arc::default(),
            changes: Arc::default(),
            status_changed: channel::Sender::new(0),
            reports_changed: channel::Sender::new(0),
            crds: channel::Sender::default(),
        }
    }

    /// What is known. Held for moments only.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        // A panic in the midst of a change leaves a store that the next list puts right.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told of each change of what allocators write.
    pub fn status_changes(&self) -> channel::Receiver<u64> {
        self.status_changed.subscribe()
    }

    /// Told of each change of what analysis or allocators write.
    pub fn report_changes(&self) -> channel::Receiver<u64> {
        self.reports_changed.subscribe()
    }

    /// Changes the store and tells who waits for that.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Store) -> Changed) {
        let changed = change(&mut self.store());
        if changed.objects || changed.status {
            self.changes.note();
        }
        if changed.status {
            self.status_changed.send_modify(|count| *count += 1);
        }
        if changed.reports || changed.status {
            self.reports_changed.send_modify(|count| *count += 1);
        }
    }

    /// The resource of a kind, in the version that its objects are read in: a cluster with older
    /// CustomResourceDefinitions has no other. Before they were read, in the preferred one.
    pub(crate) fn resource_of(&self, kind: Kind) -> ApiResource {
        let version = self.store().version(kind);
        let preferred = || kind.versions().first().copied().unwrap_or_default();
        kinds::resource(kind, version.unwrap_or_else(preferred))
    }

    fn crd_is_there(&self, name: String) {
        self.crds
            .send_modify(|crds| *crds.entry(name).or_default() += 1);
    }

    /// How often a CustomResourceDefinition was seen to change.
    pub(crate) fn crd_changes(&self, name: &str) -> u64 {
        self.crds.borrow().get(name).copied().unwrap_or_default()
    }

    /// Waits until it was seen to change once more; not longer than `most`.
    pub(crate) async fn wait_for_crd(&self, name: &str, seen: u64, most: Duration) {
        let mut crds = self.crds.subscribe();
        let more = crds.wait_for(|crds| crds.get(name).is_some_and(|count| *count > seen));
        // That the wait is over is all there is to know.
        let _ = timeout(most, more).await;
    }
}

/// Whether this is how an API server answers where it has no such kind.
pub(crate) fn is_absent(error: &kube::runtime::watcher::Error) -> bool {
    trouble::is_absent(error)
}

/// Whether a watch was answered with something else than one.
pub(crate) fn is_refused(error: &kube::runtime::watcher::Error) -> bool {
    trouble::is_refused(error)
}

/// Why a watch fails, in one line.
pub(crate) fn watch_error_text(error: &kube::runtime::watcher::Error) -> String {
    trouble::reason(error)
}

/// An object as JSON, without what is long and says nothing.
pub(crate) fn object_json(object: DynamicObject) -> serde_json::Value {
    watch::json(object)
}

/// An error and its causes in one line.
pub fn error_text(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return match status.message.is_empty() {
            true => format!("HTTP {}", status.code),
            false => status.message.clone(),
        };
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
