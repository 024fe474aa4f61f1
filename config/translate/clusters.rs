//! The clusters that routes use, each built once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::model::{
    Cluster, ClusterIndex, ClusterPolicy, Destination, DestinationLabels, TransportProtocol,
};
use crate::resolved::NameUse;
use crate::resources::Resources;
use crate::translate::destination_rule::{CONNECT_TIMEOUT, DestinationRules, EffectivePolicy};
use crate::translate::locality::Nearness;
use crate::translate::registry::{Registry, Service, ServicePort};
use crate::translate::{Settings, labels};

/// Builds clusters on demand.
pub(crate) struct Clusters<'a> {
    registry: &'a Registry<'a>,
    rules: &'a DestinationRules,
    nearness: Nearness,
    settings: &'a Settings,
    pub(crate) list: Vec<Cluster>,
    /// The names that their endpoints are reached by.
    pub(crate) names: BTreeMap<String, NameUse>,
    known: HashMap<String, Destination>,
}

/// A destination that leads somewhere.
pub(crate) struct Resolved<'s, 'a> {
    pub(crate) service: &'s Service<'a>,
    pub(crate) port: &'s ServicePort,
}

impl<'a> Clusters<'a> {
    /// None yet.
    pub(crate) fn new(
        registry: &'a Registry<'a>,
        rules: &'a DestinationRules,
        resources: &Resources,
        settings: &'a Settings,
    ) -> Self {
        Self {
            registry,
            rules,
            nearness: Nearness::new(resources, settings),
            settings,
            list: Vec::new(),
            names: BTreeMap::new(),
            known: HashMap::new(),
        }
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
        if let Some(known) = self.known.get(&name) {
            return known.clone();
        }
        let destination = match self.build(&name, host, subset, port) {
            Some(cluster) => {
                let index = u32::try_from(self.list.len())
                    .expect("there are fewer clusters than bytes of memory");
                self.list.push(cluster);
                Destination::Cluster(ClusterIndex(index))
            }
            None => Destination::Unknown { name: name.clone() },
        };
        self.known.insert(name, destination.clone());
        destination
    }

    fn build(&mut self, name: &str, host: &str, subset: &str, port: u16) -> Option<Cluster> {
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
        } = self.rules.policy(rule, port.number, subset);
        let backends = self.registry.backends(service, port);
        self.registry.names(service, &mut self.names);
        let in_subset = |backend: &&crate::translate::registry::Backend| {
            subset.is_none_or(|subset| labels::is_subset(&subset.labels, &backend.labels))
        };
        let chosen = backends.iter().filter(in_subset).collect();
        let has_outliers = outlier_detection.is_some();
        let (chosen, localities) = self.nearness.group(chosen, locality.as_ref(), has_outliers);
        Some(Cluster {
            name: name.to_owned(),
            labels: Arc::new(DestinationLabels {
                service: service.host.clone(),
                service_name: service.name.clone(),
                service_namespace: service.namespace.clone(),
            }),
            endpoints: chosen.iter().map(|backend| backend.endpoint()).collect(),
            balancing,
            protocol: port.protocol,
            connect_timeout: connect_timeout
                .or(self.settings.mesh.connect_timeout)
                .unwrap_or(CONNECT_TIMEOUT),
            policy: ClusterPolicy {
                hash,
                localities,
                warmup,
                limits,
                connections,
                outlier_detection,
                proxy_protocol,
                http2,
            },
        })
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
