//! Kubernetes Services and where their endpoints come from.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::api::core::{self, EndpointSlice, IntOrString};
use crate::labels::Labels;
use crate::model::{TransportProtocol, UpstreamProtocol};
use crate::resources::{Object, ObjectKey, Resources};
use crate::translate::Settings;
use crate::translate::locality::Locality;
use crate::translate::registry::workloads::Workloads;
use crate::translate::registry::{
    Backend, Service, ServicePort, Source, Target, is_grpc_web, is_http, upstream_protocol,
};
use crate::translate::visibility::Visibility;
use crate::translate::workload;

/// The label that ties an EndpointSlice to its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Istio's `exportTo` of a Kubernetes Service.
const EXPORT_TO: &str = "networking.istio.io/exportTo";

/// EndpointSlices and Endpoints by Service.
pub(super) struct Slices<'a> {
    slices: HashMap<(&'a str, &'a str), Vec<&'a Object<EndpointSlice>>>,
    resources: &'a Resources,
}

impl<'a> Slices<'a> {
    pub(super) fn new(resources: &'a Resources) -> Self {
        let mut slices: HashMap<_, Vec<_>> = HashMap::new();
        for object in resources.endpoint_slices.values() {
            if let Some(service) = object.meta.labels.get(SERVICE_NAME) {
                let key = (object.meta.key.namespace.as_str(), service.as_str());
                slices.entry(key).or_default().push(&**object);
            }
        }
        Self { slices, resources }
    }

    /// The first slice of a Service.
    pub(super) fn first(&self, service: &ObjectKey) -> Option<&'a ObjectKey> {
        let key = (service.namespace.as_str(), service.name.as_str());
        let slices = self.slices.get(&key)?;
        slices.first().map(|slice| &slice.meta.key)
    }

    /// The nodes that a Service has endpoints on which are ready, or end but still serve.
    pub(super) fn nodes(&self, service: &ObjectKey) -> BTreeSet<String> {
        let key = (service.namespace.as_str(), service.name.as_str());
        let Some(slices) = self.slices.get(&key) else {
            let endpoints = self.resources.endpoints.get(service);
            return endpoints
                .into_iter()
                .flat_map(|object| &object.body.subsets)
                .flat_map(|subset| &subset.addresses)
                .filter_map(|address| address.node_name.clone())
                .collect();
        };
        slices
            .iter()
            .flat_map(|slice| &slice.body.endpoints)
            .filter(|endpoint| {
                let conditions = &endpoint.conditions;
                conditions.ready.unwrap_or(true) || conditions.serving == Some(true)
            })
            .filter_map(|endpoint| endpoint.node_name.clone())
            .collect()
    }
}

/// Reads a Service's host and ports.
pub(super) fn service<'a>(object: &'a Object<core::Service>, settings: &Settings) -> Service<'a> {
    let key = &object.meta.key;
    let spec = object.body.spec.as_ref();
    let external = spec.filter(|spec| spec.type_.as_deref() == Some("ExternalName"));
    let export_to = object.meta.annotations.get(EXPORT_TO);
    Service {
        host: format!(
            "{}.{}.svc.{}",
            key.name, key.namespace, settings.cluster_domain
        ),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        ports: spec
            .and_then(|spec| spec.ports.as_ref())
            .map(|ports| ports.iter().filter_map(port).collect())
            .unwrap_or_default(),
        visibility: match export_to {
            Some(list) => export(list, &key.namespace),
            None => Visibility::of(&settings.mesh.service_export_to, &key.namespace),
        },
        alias: external.and_then(|spec| spec.external_name.clone()),
        created: object.meta.created,
        source: Source::Kubernetes(object),
    }
}

fn export(list: &str, namespace: &str) -> Visibility {
    let names = list.split(',').map(str::trim);
    if names.clone().any(|name| name == "*") {
        return Visibility::Public;
    }
    Visibility::Namespaces(
        names
            .filter(|name| *name != "~")
            .map(|name| if name == "." { namespace } else { name })
            .map(str::to_owned)
            .collect(),
    )
}

/// Reads a port; none for a protocol that nothing here carries, or a number that is none.
pub(crate) fn port(port: &core::ServicePort) -> Option<ServicePort> {
    let number = u16::try_from(port.port)
        .ok()
        .filter(|number| *number != 0)?;
    let transport = match port.protocol.as_deref() {
        None | Some("TCP") => TransportProtocol::Tcp,
        Some("UDP") => TransportProtocol::Udp,
        Some(_) => return None,
    };
    let name = port.name.clone().unwrap_or_default();
    Some(ServicePort {
        number,
        transport,
        is_grpc_web: transport == TransportProtocol::Tcp
            && is_grpc_web(port.app_protocol.as_deref().unwrap_or(&name)),
        is_http: transport == TransportProtocol::Tcp
            && is_http(port.app_protocol.as_deref().unwrap_or(&name)),
        protocol: match transport {
            TransportProtocol::Tcp => {
                upstream_protocol(port.app_protocol.as_deref().unwrap_or(&name))
            }
            TransportProtocol::Udp => UpstreamProtocol::Http1,
        },
        name,
        target: match &port.target_port {
            Some(IntOrString::Int(target)) => match u16::try_from(*target) {
                Ok(target) if target != 0 => Target::Number(target),
                _ => Target::Number(number),
            },
            Some(IntOrString::String(target)) => match target.parse() {
                Ok(target) => Target::Number(target),
                Err(_) => Target::Name(target.clone()),
            },
            None => Target::Number(number),
        },
    })
}

/// The ready endpoints: from EndpointSlices, else Endpoints, else workloads that the selector
/// matches.
pub(super) fn backends(
    service: &Object<core::Service>,
    port: &ServicePort,
    slices: &Slices<'_>,
    workloads: &Workloads<'_>,
) -> Vec<Backend> {
    let key = &service.meta.key;
    let all = slices.resources;
    if let Some(slices) = slices
        .slices
        .get(&(key.namespace.as_str(), key.name.as_str()))
    {
        return from_slices(slices, port, all);
    }
    if let Some(endpoints) = slices.resources.endpoints.get(key) {
        return from_endpoints(endpoints, port, all);
    }
    let selector = service
        .body
        .spec
        .as_ref()
        .and_then(|spec| spec.selector.as_ref());
    let Some(selector) = selector.filter(|selector| !selector.is_empty()) else {
        return Vec::new();
    };
    let selected = workloads.select(&key.namespace, selector);
    selected
        .filter_map(|workload| {
            let (target_name, target) = match &port.target {
                Target::Number(number) => (None, Some(*number)),
                Target::Name(name) => (Some(name.as_str()), None),
            };
            let names = [Some(port.name.as_str()), target_name];
            workload.backend(names.into_iter().flatten(), target)
        })
        .collect()
}

/// Where an endpoint stands: what its Node says, with the zone that the endpoint itself names.
fn locality(all: &Resources, node: Option<&str>, zone: Option<&str>) -> Option<Arc<Locality>> {
    let node = node.and_then(|node| all.nodes.get(&ObjectKey::new("", node)));
    let of_node = node.and_then(|node| Locality::of_labels(&node.meta.labels));
    match zone.filter(|zone| !zone.is_empty()) {
        Some(zone)
            if of_node
                .as_ref()
                .is_none_or(|of_node| of_node.zone.is_empty()) =>
        {
            let mut locality = of_node
                .map(|of_node| (*of_node).clone())
                .unwrap_or_default();
            locality.zone = zone.to_owned();
            Some(Arc::new(locality))
        }
        _ => of_node,
    }
}

fn from_slices(
    slices: &[&Object<EndpointSlice>],
    port: &ServicePort,
    all: &Resources,
) -> Vec<Backend> {
    let mut ready = Vec::new();
    let mut serving = Vec::new();
    for slice in slices {
        let body = &slice.body;
        let same = |p: &&core::EndpointPort| {
            p.name.as_deref().unwrap_or_default() == port.name
                && transport(p.protocol.as_deref()) == Some(port.transport)
        };
        let number = body.ports.iter().flatten().find(same).and_then(|p| p.port);
        let Some(number) = number.and_then(|number| u16::try_from(number).ok()) else {
            continue;
        };
        // Labels of the slice, its Service's name left out, stand for the Pods' own where those are
        // not known.
        let mut of_slice = slice.meta.labels.clone();
        of_slice.remove(SERVICE_NAME);
        for endpoint in &body.endpoints {
            let conditions = &endpoint.conditions;
            let list = if conditions.ready.unwrap_or(true) {
                &mut ready
            } else if conditions.serving == Some(true) {
                &mut serving
            } else {
                continue;
            };
            let pod = endpoint.pod.as_deref();
            let labels = pod
                .and_then(|pod| labels_of_pod(all, &slice.meta.key, pod))
                .unwrap_or_else(|| of_slice.clone());
            let pod = pod.map(workload::of_pod);
            let described = Arc::new(workload::describe(
                pod.unwrap_or_default(),
                &slice.meta.key.namespace,
                &labels,
            ));
            let addresses = endpoint
                .addresses
                .iter()
                .filter_map(|text| text.parse().ok());
            list.extend(addresses.take(1).map(|address: IpAddr| Backend {
                address: SocketAddr::new(address, number).into(),
                weight: 1,
                labels: labels.clone(),
                workload: Arc::clone(&described),
                locality: locality(all, endpoint.node_name.as_deref(), endpoint.zone.as_deref()),
            }));
        }
    }
    // Endpoints that end but still serve are used only when nothing else is there.
    if ready.is_empty() { serving } else { ready }
}

/// The labels of a Pod in the namespace of its Service, which subsets select by.
fn labels_of_pod(all: &Resources, service: &ObjectKey, pod: &str) -> Option<Labels> {
    let key = ObjectKey::new(service.namespace.as_str(), pod);
    let pod = all.pods.get(&key)?;
    Some(pod.meta.labels.clone())
}

fn from_endpoints(
    object: &Object<core::Endpoints>,
    port: &ServicePort,
    all: &Resources,
) -> Vec<Backend> {
    let labels = object.meta.labels.clone();
    let mut backends = Vec::new();
    for subset in &object.body.subsets {
        let same = |p: &&core::PortOfEndpoints| {
            p.name.as_deref().unwrap_or_default() == port.name
                && transport(p.protocol.as_deref()) == Some(port.transport)
        };
        let number = subset.ports.iter().find(same).map(|p| p.port);
        let Some(number) = number.and_then(|number| u16::try_from(number).ok()) else {
            continue;
        };
        for address in &subset.addresses {
            let Ok(ip) = address.ip.parse::<IpAddr>() else {
                continue;
            };
            let pod = address.pod.as_deref();
            let own = pod.and_then(|pod| labels_of_pod(all, &object.meta.key, pod));
            let pod = pod.map(workload::of_pod);
            backends.push(Backend {
                address: SocketAddr::new(ip, number).into(),
                weight: 1,
                labels: own.unwrap_or_else(|| labels.clone()),
                workload: Arc::new(workload::describe(
                    pod.unwrap_or_default(),
                    &object.meta.key.namespace,
                    &Labels::default(),
                )),
                locality: locality(all, address.node_name.as_deref(), None),
            });
        }
    }
    backends
}

fn transport(protocol: Option<&str>) -> Option<TransportProtocol> {
    match protocol {
        None | Some("TCP") => Some(TransportProtocol::Tcp),
        Some("UDP") => Some(TransportProtocol::Udp),
        Some(_) => None,
    }
}
