//! The clusters that routes use, each built once.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    Cluster, ClusterIndex, ClusterPolicy, Destination, DestinationLabels, Forward, Http2,
    TransportProtocol, UpstreamProtocol, UpstreamTls,
};
use crate::resolved::NameUse;
use crate::resources::Resources;
use crate::translate::certificates::Credentials;
use crate::translate::destination_rule::{
    CONNECT_TIMEOUT, DestinationRules, EffectivePolicy, TlsSettings,
};
use crate::translate::locality::Nearness;
use crate::translate::registry::{Registry, Service, ServicePort};
use crate::translate::report::Report;
use crate::translate::upstream_tls::{self, Asked};
use crate::translate::{Settings, labels};

/// Clusters and their numbers, kept from one translation to the next: a route that did not change
/// still means the right one.
#[derive(Debug, Default)]
pub(crate) struct KnownClusters {
    list: Vec<Arc<Cluster>>,
    /// What each was built of.
    of: Vec<Of>,
    /// Those that the newest translation leads to.
    used: Vec<bool>,
    by_name: HashMap<String, Destination>,
    /// What sends requests plainly to one of them, by cluster and timeout.
    plain: HashMap<(ClusterIndex, Option<Duration>), Arc<Forward>>,
}

#[derive(Debug)]
struct Of {
    host: String,
    subset: String,
    port: u16,
    tls: Option<Arc<TlsSettings>>,
}

impl KnownClusters {
    /// Whether most of them serve nobody any more.
    pub(crate) fn is_wasteful(&self) -> bool {
        const FEW: usize = 64;
        let used = self.used.iter().filter(|used| **used).count();
        self.list.len() > 2 * used + FEW
    }

    /// Nothing leads to them yet.
    pub(crate) fn begin(&mut self) {
        self.used.fill(false);
    }

    /// All of them; the place is the number.
    pub(crate) fn list(&self) -> Vec<Arc<Cluster>> {
        self.list.clone()
    }
}

/// Builds clusters on demand.
pub(crate) struct Clusters<'a> {
    registry: &'a Registry<'a>,
    rules: &'a DestinationRules,
    nearness: Nearness,
    settings: &'a Settings,
    known: &'a mut KnownClusters,
    led_to: Vec<u32>,
    /// Of the cluster that was built last.
    last_policy: RefCell<Arc<ClusterPolicy>>,
}

/// A destination that leads somewhere.
pub(crate) struct Resolved<'s, 'a> {
    pub(crate) service: &'s Service<'a>,
    pub(crate) port: &'s ServicePort,
}

impl<'a> Clusters<'a> {
    /// The settings of the translation.
    pub(crate) fn settings(&self) -> &'a Settings {
        self.settings
    }

    /// Those that are known already get their endpoints of now.
    pub(crate) fn new(
        registry: &'a Registry<'a>,
        rules: &'a DestinationRules,
        resources: &Resources,
        settings: &'a Settings,
        known: &'a mut KnownClusters,
    ) -> Self {
        let mut clusters = Self {
            registry,
            rules,
            nearness: Nearness::new(resources, settings),
            settings,
            known,
            led_to: Vec::new(),
            last_policy: RefCell::default(),
        };
        clusters.refresh();
        clusters
    }

    fn refresh(&mut self) {
        for i in 0..self.known.list.len() {
            let (Some(of), Some(before)) = (self.known.of.get(i), self.known.list.get(i)) else {
                continue;
            };
            let fresh = self.build(&before.name, &of.host, &of.subset, of.port);
            // It is still defined: otherwise nothing would be known.
            if let (Some((fresh, tls)), Some(place), Some(of)) =
                (fresh, self.known.list.get_mut(i), self.known.of.get_mut(i))
            {
                // What is as it was stays: generations share it.
                if **place != fresh {
                    *place = Arc::new(fresh);
                }
                of.tls = tls;
            }
        }
    }

    /// The clusters that were asked for since the last call.
    pub(crate) fn led_to(&mut self) -> Box<[u32]> {
        self.led_to.sort_unstable();
        self.led_to.dedup();
        std::mem::take(&mut self.led_to).into()
    }

    /// The same for all routes that do the same: most do nothing but send requests to one cluster,
    /// and there may be tens of thousands of them.
    pub(crate) fn shared(&mut self, forward: Forward) -> Arc<Forward> {
        let Some(cluster) = forward.plainly_to() else {
            return Arc::new(forward);
        };
        match self.known.plain.entry((cluster, forward.timeout)) {
            Entry::Occupied(known) if known.get().retry == forward.retry => Arc::clone(known.get()),
            entry => Arc::clone(entry.insert_entry(Arc::new(forward)).get()),
        }
    }

    /// Routes that were built before lead to these.
    pub(crate) fn use_again(&mut self, clusters: &[u32]) {
        for cluster in clusters {
            if let Some(used) = self.known.used.get_mut(*cluster as usize) {
                *used = true;
            }
        }
    }

    /// The names that the endpoints of those in use are reached by.
    pub(crate) fn names(&self) -> BTreeMap<String, NameUse> {
        let mut names = BTreeMap::new();
        for (of, used) in self.known.of.iter().zip(&self.known.used) {
            if let (true, Some(resolved)) = (*used, resolve(self.registry, &of.host, of.port)) {
                self.registry.names(resolved.service, &mut names);
            }
        }
        names
    }

    /// Where a route leads; `namespace` is the VirtualService's.
    pub(crate) fn destination(
        &mut self,
        host: &str,
        subset: &str,
        port: Option<u16>,
        listener_port: u16,
        namespace: &str,
    ) -> Destination {
        let (host, port) = target(self.registry, host, port, listener_port, namespace);
        let name = format!("outbound|{port}|{subset}|{host}");
        let known = self.known.by_name.get(&name).cloned();
        let destination = known.unwrap_or_else(|| self.add(name, host, subset, port));
        if let Destination::Cluster(ClusterIndex(index)) = destination {
            self.use_again(&[index]);
            self.led_to.push(index);
        }
        destination
    }

    fn add(&mut self, name: String, host: &str, subset: &str, port: u16) -> Destination {
        let destination = match self.build(&name, host, subset, port) {
            Some((cluster, tls)) => {
                let index = u32::try_from(self.known.list.len())
                    .expect("there are fewer clusters than bytes of memory");
                self.known.list.push(Arc::new(cluster));
                self.known.used.push(true);
                self.known.of.push(Of {
                    host: host.to_owned(),
                    subset: subset.to_owned(),
                    port,
                    tls,
                });
                Destination::Cluster(ClusterIndex(index))
            }
            None => Destination::Unknown { name: name.clone() },
        };
        self.known.by_name.insert(name, destination.clone());
        destination
    }

    /// What is spoken to the endpoints (Istio: `shouldH2Upgrade`, `useClientProtocol`).
    fn protocol(&self, port: &ServicePort, http2: &Http2) -> UpstreamProtocol {
        if http2.use_client_protocol {
            return UpstreamProtocol::Client;
        }
        // A rule is taken at its word; the mesh's own is for ports that say that they are HTTP.
        let upgrade = http2
            .upgrade
            .unwrap_or(self.settings.mesh.upgrade_to_http2 && port.is_http);
        if upgrade {
            UpstreamProtocol::H2c
        } else {
            port.protocol
        }
    }

    /// Finds out what TLS comes to for those in use that ask for it. Of the others nothing is
    /// said: their Secrets and files may well lie elsewhere.
    pub(crate) fn secure(&mut self, credentials: &mut Credentials<'_>, report: &mut Report) {
        let mut known: HashMap<_, UpstreamTls> = HashMap::new();
        for (i, of) in self.known.of.iter().enumerate() {
            let (Some(tls), Some(true)) = (&of.tls, self.known.used.get(i)) else {
                continue;
            };
            let Some(Resolved { service, port }) = resolve(self.registry, &of.host, of.port) else {
                continue;
            };
            let asked = Asked {
                names: service.subject_alt_names(),
                is_dynamic: service.dynamic_dns(port).is_some(),
            };
            let spoken = known
                .entry((Arc::as_ptr(tls), asked))
                .or_insert_with(|| upstream_tls::build(tls, asked, credentials, report));
            if let Some(cluster) = self.known.list.get_mut(i) {
                let cluster = Arc::make_mut(cluster);
                Arc::make_mut(&mut cluster.policy).tls = spoken.clone();
            }
        }
    }

    /// The same for clusters one after the other that have the same: most have no rule.
    fn shared_policy(&self, policy: ClusterPolicy) -> Arc<ClusterPolicy> {
        let mut last = self.last_policy.borrow_mut();
        if **last != policy {
            *last = Arc::new(policy);
        }
        Arc::clone(&last)
    }

    /// A cluster, and the TLS that it asks for, which is [found out](Self::secure) at the end.
    fn build(
        &self,
        name: &str,
        host: &str,
        subset: &str,
        port: u16,
    ) -> Option<(Cluster, Option<Arc<TlsSettings>>)> {
        let Resolved { service, port } = resolve(self.registry, host, port)?;
        let rule = self.rules.find(host, &service.namespace);
        let subset = if subset.is_empty() {
            None
        } else {
            Some(rule?.subset(subset)?)
        };
        let EffectivePolicy {
            balancing,
            hash,
            locality,
            warmup,
            connect_timeout,
            limits,
            connections,
            http2,
            outlier_detection,
            proxy_protocol,
            tls,
            tunnel,
        } = self.rules.policy(rule, port.number, subset);
        let backends = self.registry.backends(service, port);
        let in_subset = |backend: &&crate::translate::registry::Backend| {
            subset.is_none_or(|subset| labels::is_subset(&subset.labels, &backend.labels))
        };
        let chosen = backends.iter().filter(in_subset).collect();
        let has_outliers = outlier_detection.is_some();
        let (chosen, localities) = self.nearness.group(chosen, locality.as_ref(), has_outliers);
        let cluster = Cluster {
            name: name.to_owned(),
            labels: Arc::new(DestinationLabels {
                service: service.host.clone(),
                service_name: service.name.clone(),
                service_namespace: service.namespace.clone(),
            }),
            endpoints: chosen.iter().map(|backend| backend.endpoint()).collect(),
            balancing,
            protocol: self.protocol(port, &http2),
            grpc_web: port.is_grpc_web,
            connect_timeout: connect_timeout
                .or(self.settings.mesh.connect_timeout)
                .unwrap_or(CONNECT_TIMEOUT),
            policy: self.shared_policy(ClusterPolicy {
                hash,
                localities,
                warmup,
                limits,
                connections,
                outlier_detection,
                proxy_protocol,
                http2,
                tunnel,
                dynamic_dns: service.dynamic_dns(port),
                tls: match &tls {
                    None => UpstreamTls::Plain,
                    Some(_) => UpstreamTls::Impossible("no route leads there".into()),
                },
            }),
        };
        Some((cluster, tls))
    }
}

/// The host and port that a destination means: aliases are followed, and a missing port is the
/// service's only one, else the listener's (Istio: `GetDestinationCluster`).
pub(crate) fn target<'t>(
    registry: &'t Registry<'_>,
    host: &'t str,
    port: Option<u16>,
    listener_port: u16,
    namespace: &str,
) -> (&'t str, u16) {
    let service = registry.find(host, Some(namespace));
    let port = port.unwrap_or_else(|| match service.map(|service| service.ports.as_slice()) {
        Some([only]) => only.number,
        _ => listener_port,
    });
    let alias = service.and_then(|service| service.alias.as_deref());
    (alias.unwrap_or(host), port)
}

/// The service and port of a cluster; none if nothing defines them.
pub(crate) fn resolve<'s, 'a>(
    registry: &'s Registry<'a>,
    host: &str,
    port: u16,
) -> Option<Resolved<'s, 'a>> {
    let service = registry.find(host, None)?;
    let mut ports = service.ports.iter();
    let port = ports.find(|p| p.number == port && p.transport == TransportProtocol::Tcp)?;
    Some(Resolved { service, port })
}
