//! The services that routes may lead to: Kubernetes Services and ServiceEntries, by host.

mod kubernetes;
mod names;
mod service_entry;
mod workloads;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::api::core;
use crate::api::istio;
use crate::api::istio::service_entry::Resolution;
use crate::labels::Labels;
use crate::model::{
    DynamicDns, Endpoint, EndpointAddress, TransportProtocol, UpstreamProtocol, WorkloadLabels,
};
use crate::resolved::{NameUse, ResolvedNames};
use crate::resources::{Object, ObjectKey, Resources};
use crate::translate::Settings;
use crate::translate::locality::Locality;
use crate::translate::report::Report;
use crate::translate::visibility::Visibility;
use kubernetes::Slices;
pub(crate) use kubernetes::port;
use workloads::Workloads;
pub(crate) use workloads::check_socket;

/// A service.
#[derive(Debug)]
pub(crate) struct Service<'a> {
    /// `reviews.default.svc.cluster.local`, or a ServiceEntry's host.
    pub(crate) host: String,
    /// Where it lies.
    pub(crate) namespace: String,
    /// `destination_service_name` of the metrics.
    pub(crate) name: String,
    pub(crate) ports: Vec<ServicePort>,
    pub(crate) visibility: Visibility,
    /// `spec.externalName`: this host stands for another one.
    pub(crate) alias: Option<String>,
    created: Option<i64>,
    source: Source<'a>,
}

impl Service<'_> {
    /// The names that the certificates of its endpoints carry, as a ServiceEntry says them.
    pub(crate) fn subject_alt_names(&self) -> &[String] {
        match &self.source {
            Source::Entry(object) => &object.body.subject_alt_names,
            Source::Kubernetes(_) => &[],
        }
    }

    /// How the endpoints of single requests are looked up, if they are.
    pub(crate) fn dynamic_dns(&self, port: &ServicePort) -> Option<DynamicDns> {
        let Source::Entry(object) = &self.source else {
            return None;
        };
        let is_dynamic = object.body.resolution == Resolution::DynamicDns;
        is_dynamic.then_some(DynamicDns {
            suffix: self.host.strip_prefix('*')?.to_ascii_lowercase(),
            port: port.target_number()?,
        })
    }
}

/// A service's port.
#[derive(Clone, Debug)]
pub(crate) struct ServicePort {
    pub(crate) number: u16,
    pub(crate) name: String,
    pub(crate) transport: TransportProtocol,
    pub(crate) protocol: UpstreamProtocol,
    /// Its protocol is GRPC-WEB.
    pub(crate) is_grpc_web: bool,
    /// Its protocol was given, and is a kind of HTTP.
    pub(crate) is_http: bool,
    target: Target,
}

impl ServicePort {
    /// The port at the endpoints, if it is a number.
    pub(crate) fn target_number(&self) -> Option<u16> {
        match self.target {
            Target::Number(number) => Some(number),
            Target::Name(_) => None,
        }
    }
}

/// The port at the endpoints.
#[derive(Clone, Debug)]
enum Target {
    Number(u16),
    Name(String),
}

#[derive(Debug)]
enum Source<'a> {
    Kubernetes(&'a Object<core::Service>),
    Entry(&'a Object<istio::ServiceEntry>),
}

/// An endpoint with the labels that subsets select by.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    pub(crate) address: EndpointAddress,
    pub(crate) weight: u32,
    pub(crate) labels: Labels,
    pub(crate) workload: Arc<WorkloadLabels>,
    /// Where it stands; none: not known.
    pub(crate) locality: Option<Arc<Locality>>,
}

impl Backend {
    /// As the model has it.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint {
            address: self.address.clone(),
            weight: self.weight.max(1),
            workload: Arc::clone(&self.workload),
        }
    }
}

/// All services.
pub(crate) struct Registry<'a> {
    services: Vec<Service<'a>>,
    by_host: HashMap<String, Vec<usize>>,
    workloads: Workloads<'a>,
    slices: Slices<'a>,
    namespace: String,
    names: Arc<ResolvedNames>,
}

impl<'a> Registry<'a> {
    /// Reads every Service, ServiceEntry and WorkloadEntry.
    pub(crate) fn new(resources: &'a Resources, settings: &Settings, report: &mut Report) -> Self {
        let mut services: Vec<Service<'a>> = Vec::new();
        for object in resources.services.values() {
            services.push(kubernetes::service(object, settings));
        }
        let mut entries = Vec::new();
        for object in resources.service_entries.values() {
            entries.extend(service_entry::parse(object, report));
        }
        let workloads = Workloads::parse(resources, &entries, report);
        services.extend(
            entries
                .iter()
                .flat_map(|entry| service_entry::services(entry, settings)),
        );
        services.sort_by(|a, b| (a.created, &a.namespace).cmp(&(b.created, &b.namespace)));
        let mut by_host: HashMap<String, Vec<usize>> = HashMap::new();
        for (i, service) in services.iter().enumerate() {
            by_host.entry(service.host.clone()).or_default().push(i);
        }
        Self {
            services,
            by_host,
            workloads,
            slices: Slices::new(resources),
            namespace: settings.namespace.clone(),
            names: Arc::clone(&settings.names),
        }
    }

    /// The service of a host: one of `namespace` first, else the oldest that the gateway sees.
    pub(crate) fn find(&self, host: &str, namespace: Option<&str>) -> Option<&Service<'a>> {
        let visible = || {
            let of_host = self.by_host.get(host).into_iter().flatten();
            of_host
                .map(|i| &self.services[*i])
                .filter(|service| service.visibility.sees(&self.namespace))
        };
        let own = visible().find(|service| Some(service.namespace.as_str()) == namespace);
        own.or_else(|| visible().next())
    }

    /// The services of a host, whoever sees them.
    pub(crate) fn all(&self, host: &str) -> impl Iterator<Item = &Service<'a>> {
        let of_host = self.by_host.get(host).into_iter().flatten();
        of_host.map(|i| &self.services[*i])
    }

    /// Every host that the gateway sees.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        let services = self.services.iter();
        services
            .filter(|service| service.visibility.sees(&self.namespace))
            .map(|service| service.host.as_str())
    }

    /// The endpoints of a service's port; a Service and a ServiceEntry of one host and namespace
    /// share theirs.
    pub(crate) fn backends(&self, service: &Service<'a>, port: &ServicePort) -> Vec<Backend> {
        let mut backends = Vec::new();
        for i in self.by_host.get(&service.host).into_iter().flatten() {
            let other = &self.services[*i];
            if other.namespace != service.namespace {
                continue;
            }
            let same = |p: &&ServicePort| p.number == port.number && p.transport == port.transport;
            let Some(port) = other.ports.iter().find(same) else {
                continue;
            };
            match other.source {
                Source::Kubernetes(object) => {
                    backends.extend(self.kubernetes_backends(object, port));
                }
                Source::Entry(object) => {
                    backends.extend(service_entry::backends(
                        object,
                        other,
                        port,
                        &self.workloads,
                        &self.names,
                    ));
                }
            }
        }
        backends
    }

    /// Adds the names by which a service's endpoints are reached.
    pub(crate) fn names(&self, service: &Service<'a>, names: &mut BTreeMap<String, NameUse>) {
        for i in self.by_host.get(&service.host).into_iter().flatten() {
            let other = &self.services[*i];
            if other.namespace != service.namespace {
                continue;
            }
            if let Source::Entry(object) = other.source {
                service_entry::names(object, other, &self.workloads, names);
            }
        }
    }

    /// Says which of the names cannot be resolved, where they are written.
    pub(crate) fn report_names(&self, wanted: &BTreeMap<String, NameUse>, report: &mut Report) {
        if wanted.is_empty() {
            return;
        }
        for service in &self.services {
            if let Source::Entry(object) = service.source {
                service_entry::report_names(object, service, wanted, &self.names, report);
            }
        }
        self.workloads.report_names(wanted, &self.names, report);
    }

    /// The endpoints of a Kubernetes Service's port.
    pub(crate) fn kubernetes_backends(
        &self,
        service: &Object<core::Service>,
        port: &ServicePort,
    ) -> Vec<Backend> {
        kubernetes::backends(service, port, &self.slices, &self.workloads)
    }

    /// The nodes that a Kubernetes Service has endpoints on, whatever their ports.
    pub(crate) fn endpoint_nodes(&self, service: &ObjectKey) -> BTreeSet<String> {
        self.slices.nodes(service)
    }

    /// An EndpointSlice of a Kubernetes Service.
    pub(crate) fn slice(&self, service: &ObjectKey) -> Option<&ObjectKey> {
        self.slices.first(service)
    }
}

/// Whether a protocol's name or a port name's prefix is a kind of HTTP (Istio: `IsHTTP`).
fn is_http(name: &str) -> bool {
    let prefix = name.split('-').next().unwrap_or_default();
    let known = ["http", "http2", "grpc", "kubernetes.io/h2c"];
    known.iter().any(|kind| prefix.eq_ignore_ascii_case(kind))
}

/// Whether a protocol's name or a port's is grpc-web.
fn is_grpc_web(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let rest = name.strip_prefix("grpc-web");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// What is spoken to a port, by a protocol's name or a port name's prefix (Istio:
/// `ConvertProtocol`).
fn upstream_protocol(name: &str) -> UpstreamProtocol {
    let name = name.to_ascii_lowercase();
    let prefix = name.split('-').next().unwrap_or_default();
    match (name.as_str(), prefix) {
        ("kubernetes.io/h2c", _) | (_, "http2" | "grpc") => UpstreamProtocol::H2c,
        _ => UpstreamProtocol::Http1,
    }
}
