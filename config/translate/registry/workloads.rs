//! WorkloadEntries, and the endpoints written inside ServiceEntries, by their labels.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::api::istio::ServiceEntry;
use crate::api::istio::WorkloadEntry;
use crate::codes;
use crate::finding::Level;
use crate::labels::Labels;
use crate::model::{EndpointAddress, WorkloadLabels};
use crate::resolved::{NameUse, ResolvedNames};
use crate::resources::{Object, ObjectKey, Resources};
use crate::translate::field_path::FieldPath;
use crate::translate::labels;
use crate::translate::locality::Locality;
use crate::translate::registry::{Backend, names};
use crate::translate::report::{ObjectReport, Report};
use crate::translate::{hosts, workload};

/// How an address begins that is a socket's path.
pub(super) const UNIX: &str = "unix://";

/// Where a workload is.
#[derive(Clone, Debug)]
enum Address {
    Ip(IpAddr),
    /// A socket of this host.
    Unix(Arc<str>),
    /// A name, in lower case.
    Name(String),
    None,
}

/// One workload outside Kubernetes.
#[derive(Debug)]
pub(crate) struct Workload<'a> {
    address: Address,
    ports: &'a BTreeMap<String, u32>,
    weight: u32,
    pub(super) labels: Labels,
    described: Arc<WorkloadLabels>,
    locality: Option<Arc<Locality>>,
}

impl<'a> Workload<'a> {
    /// A workload; `own_labels` (of the object's metadata) win over those of the spec.
    pub(super) fn new(
        entry: &'a WorkloadEntry,
        name: &str,
        namespace: &str,
        own_labels: &Labels,
    ) -> Self {
        let WorkloadEntry {
            address,
            ports,
            labels,
            network: _,
            locality,
            weight,
            service_account: _,
        } = entry;
        let all = labels.iter().chain(own_labels);
        let merged: Labels = all.map(|(k, v)| (k.clone(), v.clone())).collect();
        Self {
            address: Address::parse(address),
            ports,
            weight: *weight,
            described: Arc::new(workload::describe(name, namespace, &merged)),
            // The label wins (Istio: `getLocality`).
            locality: Locality::of_labels(&merged).or_else(|| Locality::parse(locality)),
            labels: merged,
        }
    }

    /// The name that it is reached by, if that is no address.
    pub(super) fn name(&self) -> Option<&str> {
        match &self.address {
            Address::Name(name) => Some(name),
            Address::Ip(_) | Address::Unix(_) | Address::None => None,
        }
    }

    /// The port: that of the first of `names` that the workload has one for, else `target`.
    fn port<'n>(
        &self,
        mut names: impl Iterator<Item = &'n str>,
        target: Option<u16>,
    ) -> Option<u16> {
        let named = names.find_map(|name| self.ports.get(name));
        named.and_then(|port| u16::try_from(*port).ok()).or(target)
    }

    /// The endpoint at an address or a socket; none for a name.
    pub(super) fn backend<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
        target: Option<u16>,
    ) -> Option<Backend> {
        let address = match &self.address {
            Address::Ip(ip) => SocketAddr::new(*ip, self.port(names, target)?).into(),
            Address::Unix(path) => EndpointAddress::Unix(Arc::clone(path)),
            Address::Name(_) | Address::None => return None,
        };
        Some(self.at(address))
    }

    /// The same, and the endpoints at the addresses that a name has.
    pub(super) fn resolved<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
        target: Option<u16>,
        resolved: &ResolvedNames,
        used: NameUse,
    ) -> Vec<Backend> {
        let Some(name) = self.name() else {
            return self.backend(names, target).into_iter().collect();
        };
        let Some(known) = resolved.get(name) else {
            return Vec::new();
        };
        let Some(port) = self.port(names, target) else {
            return Vec::new();
        };
        let addresses = match used {
            NameUse::All => known.addresses.as_slice(),
            NameUse::AlsoFirst => known.first.as_slice(),
        };
        addresses
            .iter()
            .map(|ip| self.at(SocketAddr::new(*ip, port).into()))
            .collect()
    }

    fn at(&self, address: EndpointAddress) -> Backend {
        Backend {
            address,
            weight: self.weight,
            labels: self.labels.clone(),
            workload: Arc::clone(&self.described),
            locality: self.locality.clone(),
        }
    }
}

impl Address {
    fn parse(text: &str) -> Self {
        if let Some(path) = text.strip_prefix(UNIX) {
            return Self::Unix(path.into());
        }
        match text.parse() {
            Ok(ip) => Self::Ip(ip),
            Err(_) if text.is_empty() => Self::None,
            Err(_) => Self::Name(text.to_ascii_lowercase()),
        }
    }
}

/// All workloads.
#[derive(Debug, Default)]
pub(super) struct Workloads<'a> {
    entries: Vec<Workload<'a>>,
    /// The WorkloadEntries that are reached by name.
    named: Vec<(&'a ObjectKey, usize)>,
    /// WorkloadEntries by namespace.
    by_namespace: HashMap<&'a str, Vec<usize>>,
    /// WorkloadEntries and endpoints of ServiceEntries, by namespace and each label.
    by_label: HashMap<(&'a str, String, String), Vec<usize>>,
}

impl<'a> Workloads<'a> {
    pub(super) fn parse(
        resources: &'a Resources,
        service_entries: &[&'a Object<ServiceEntry>],
        report: &mut Report,
    ) -> Self {
        let mut workloads = Self::default();
        for object in resources.workload_entries.values() {
            let Object { meta, body, .. } = &**object;
            let mut report = report.on("WorkloadEntry", &meta.key);
            check(body, None, &FieldPath::root("spec"), true, &mut report);
            if !report.is_valid() {
                continue;
            }
            let namespace = meta.key.namespace.as_str();
            let workload = Workload::new(body, &meta.key.name, namespace, &meta.labels);
            let list = workloads.by_namespace.entry(namespace).or_default();
            list.push(workloads.entries.len());
            if workload.name().is_some() {
                workloads.named.push((&meta.key, workloads.entries.len()));
            }
            workloads.add(namespace, workload);
        }
        for object in service_entries {
            let namespace = object.meta.key.namespace.as_str();
            for endpoint in &object.body.endpoints {
                let workload = Workload::new(endpoint, "", namespace, &Labels::default());
                workloads.add(namespace, workload);
            }
        }
        workloads
    }

    /// Says which WorkloadEntries' names cannot be resolved.
    pub(super) fn report_names(
        &self,
        wanted: &BTreeMap<String, NameUse>,
        resolved: &ResolvedNames,
        report: &mut Report,
    ) {
        for (key, index) in &self.named {
            let name = self.entries.get(*index).and_then(Workload::name);
            if let Some(name) = name.filter(|name| wanted.contains_key(*name)) {
                let path = FieldPath::root("spec");
                let mut report = report.on("WorkloadEntry", key);
                names::report(name, &path.field("address"), resolved, &mut report);
            }
        }
    }

    fn add(&mut self, namespace: &'a str, workload: Workload<'a>) {
        for (key, value) in workload.labels.iter() {
            let label = (namespace, key.clone(), value.clone());
            self.by_label
                .entry(label)
                .or_default()
                .push(self.entries.len());
        }
        self.entries.push(workload);
    }

    /// The WorkloadEntries and ServiceEntry endpoints of a namespace that have all these labels.
    pub(super) fn select<'s>(
        &'s self,
        namespace: &'s str,
        selector: impl IntoIterator<Item = (&'s String, &'s String)> + Copy + 's,
    ) -> impl Iterator<Item = &'s Workload<'a>> {
        let first = selector.into_iter().next();
        let candidates = first
            .and_then(|(key, value)| self.by_label.get(&(namespace, key.clone(), value.clone())));
        candidates
            .into_iter()
            .flatten()
            .map(|i| &self.entries[*i])
            .filter(move |workload| labels::is_subset(selector, &workload.labels))
    }

    /// The WorkloadEntries of a namespace that have all these labels; no labels means all.
    pub(super) fn select_entries<'s>(
        &'s self,
        namespace: &'s str,
        selector: &'s BTreeMap<String, String>,
    ) -> impl Iterator<Item = &'s Workload<'a>> {
        let entries = self.by_namespace.get(namespace).into_iter().flatten();
        entries
            .map(|i| &self.entries[*i])
            .filter(move |workload| labels::is_subset(selector, &workload.labels))
    }
}

/// Validates an entry; `service_ports` are the ports that may be named, if that is known.
pub(super) fn check(
    entry: &WorkloadEntry,
    service_ports: Option<&[&str]>,
    path: &FieldPath<'_>,
    names_allowed: bool,
    report: &mut ObjectReport<'_>,
) {
    let WorkloadEntry {
        address,
        ports,
        labels: own_labels,
        network,
        locality: _, // any text
        weight: _,
        service_account: _,
    } = entry;
    let address_path = path.field("address");
    if address.is_empty() {
        if network.is_empty() {
            report.invalid(
                &address_path,
                "the address is missing; the object is not used.",
                "",
            );
        } else {
            report.questionable(
                &address_path,
                "the address is missing, so nothing is sent there.",
                "",
            );
        }
    } else if let Some(socket) = address.strip_prefix(UNIX) {
        check_socket(socket, &address_path, report);
        if !ports.is_empty() {
            report.invalid(
                &path.field("ports"),
                "an endpoint at a socket path has no ports; the object is not used.",
                "",
            );
        }
        if service_ports.is_some_and(|ports| ports.len() != 1) {
            report.invalid(
                &address_path,
                "an endpoint at a socket serves one port, and the service has another number of them; the object is not used.",
                "Write a ServiceEntry for each port.",
            );
        }
    } else if !hosts::is_ip(address) {
        let wrong = if names_allowed {
            hosts::domain_error(address)
        } else {
            Some("only IP addresses may stand there with resolution STATIC".to_owned())
        };
        if let Some(wrong) = wrong {
            report.invalid(
                &address_path,
                format!("the address `{address}` is wrong: {wrong}; the object is not used."),
                if names_allowed {
                    hosts::nearest_valid(address)
                } else {
                    "Write `resolution: DNS` for names.".to_owned()
                },
            );
        }
    }
    if let Some(wrong) = labels::error(own_labels) {
        report.invalid(
            &path.field("labels"),
            format!("{wrong}; the object is not used."),
            "",
        );
    }
    let ports_path = path.field("ports");
    for (name, number) in ports {
        let path = ports_path.field(name);
        super::service_entry::check_port(*number, &path, report);
        if !hosts::is_label(name) {
            report.invalid(
                &path,
                format!("`{name}` is not a port's name; the object is not used."),
                "",
            );
        }
        if service_ports.is_some_and(|known| !known.contains(&name.as_str())) {
            report.invalid(
                &path,
                format!("the service has no port named `{name}`; the object is not used."),
                crate::translate::suggest::did_you_mean(
                    name,
                    service_ports.into_iter().flatten().copied(),
                ),
            );
        }
    }
    if !network.is_empty() {
        report.add(
            codes::NOT_SUPPORTED,
            Level::Info,
            &path.field("network"),
            "network is not supported: the address is connected to directly.",
            "",
        );
    }
}

/// Reports what cannot be the path (or, behind an `@`, the name) of a socket.
pub(crate) fn check_socket(socket: &str, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    /// `sun_path` has 108 bytes, one of which ends a path or begins a name.
    const LONGEST: usize = 107;
    let wrong = match socket.strip_prefix('@') {
        Some("") => "the name behind the `@` is missing",
        _ if socket.contains('\0') => "it holds a zero byte",
        _ if socket.len() > LONGEST => "it is longer than 107 bytes",
        Some(_) => return,
        None if socket.starts_with('/') && !socket.ends_with('/') => return,
        None => "neither a path from the root (`unix:///run/app.sock`) nor a name (`unix://@app`)",
    };
    report.invalid(
        path,
        format!("the socket `{socket}` is wrong: {wrong}; the object is not used."),
        "",
    );
}
