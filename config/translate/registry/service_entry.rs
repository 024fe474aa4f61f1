//! ServiceEntries.

use std::collections::BTreeMap;

use crate::api::istio::service_entry::{Resolution, ServicePort as ApiPort, WorkloadSelector};
use crate::api::istio::{ServiceEntry, WorkloadEntry};
use crate::codes;
use crate::finding::Level;
use crate::labels::Labels;
use crate::model::{TransportProtocol, UpstreamProtocol};
use crate::resolved::{NameUse, ResolvedNames};
use crate::resources::Object;
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::hosts;
use crate::translate::labels;
use crate::translate::registry::names;
use crate::translate::registry::workloads::{self, Workload, Workloads};
use crate::translate::registry::{
    Backend, Service, ServicePort, Source, Target, is_grpc_web, is_http, upstream_protocol,
};
use crate::translate::report::{ObjectReport, Report};
use crate::translate::visibility::Visibility;

/// Validates a ServiceEntry; none if it is refused.
pub(super) fn parse<'a>(
    object: &'a Object<ServiceEntry>,
    report: &mut Report,
) -> Option<&'a Object<ServiceEntry>> {
    let ServiceEntry {
        hosts: names,
        addresses,
        ports,
        location: _, // says whether sidecars use mTLS
        resolution,
        endpoints,
        workload_selector,
        export_to,
        subject_alt_names: _, // any text; read with the tls of a DestinationRule
    } = &object.body;
    let mut report = report.on("ServiceEntry", &object.meta.key);
    let report = &mut report;
    let spec = FieldPath::root("spec");
    check_hosts(names, *resolution, &spec.field("hosts"), report);
    check_addresses(addresses, *resolution, &spec.field("addresses"), report);
    check_ports(ports, &spec.field("ports"), report);
    let namespace = &object.meta.key.namespace;
    Visibility::parse(export_to, namespace, true, &spec.field("exportTo"), report);
    if let Some(WorkloadSelector { labels }) = workload_selector {
        let path = spec.field("workloadSelector");
        if !endpoints.is_empty() {
            report.invalid(
                &path,
                "only one of workloadSelector and endpoints may be given; the object is not used.",
                "",
            );
        }
        if let Some(wrong) = labels::wrong_selector(labels) {
            report.invalid(&path, format!("{wrong}; the object is not used."), "");
        }
        if labels.is_empty() {
            report.questionable(
                &path,
                "it has no labels, so it selects every WorkloadEntry of the namespace.",
                "",
            );
        }
    }
    check_endpoints(&object.body, &spec, report);
    if *resolution != Resolution::None && names.len() > 1 {
        let carries_names = |port: &ApiPort| {
            matches!(
                port.protocol.to_ascii_uppercase().as_str(),
                "HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB" | "HTTPS" | "TLS"
            )
        };
        if let Some(i) = ports.iter().position(|port| !carries_names(port)) {
            report.invalid(
                &spec.field("ports").index(i),
                "a port that is neither HTTP nor TLS cannot tell several hosts apart; the object is not used.",
                "Write one ServiceEntry for each host.",
            );
        }
    }
    report.is_valid().then_some(object)
}

fn check_hosts(
    names: &[String],
    resolution: Resolution,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) {
    if names.is_empty() {
        report.invalid(path, "it has no hosts; the object is not used.", "");
    }
    for (i, host) in names.iter().enumerate() {
        let wrong = if host == "*" {
            Some("`*` alone is not allowed here".to_owned())
        } else {
            hosts::wildcard_domain_error(host)
        };
        if let Some(wrong) = wrong {
            report.invalid(
                &path.index(i),
                format!("the host `{host}` is wrong: {wrong}; the object is not used."),
                hosts::nearest_valid(host),
            );
        } else if host.starts_with('*')
            && !host.starts_with("*.")
            && resolution != Resolution::DynamicDns
        {
            report.questionable(
                &path.index(i),
                format!("in `{host}` the `*` stands for a part of a label only."),
                "Write `*.example.com`.",
            );
        }
    }
}

/// Virtual addresses; only sidecars look at them.
fn check_addresses(
    addresses: &[String],
    resolution: Resolution,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) {
    for (i, address) in addresses.iter().enumerate() {
        let wrong = if !hosts::is_subnet(address) {
            format!("`{address}` is neither an address nor a subnet")
        } else if address.contains('/')
            && !matches!(resolution, Resolution::None | Resolution::Static)
        {
            format!("`{address}` is a subnet, which only the resolutions NONE and STATIC allow")
        } else {
            continue;
        };
        report.invalid(
            &path.index(i),
            format!("{wrong}; the object is not used."),
            "",
        );
    }
}

fn check_ports(ports: &[ApiPort], path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        let ApiPort {
            number,
            protocol,
            name,
            target_port,
        } = port;
        check_port(*number, &path.field("number"), report);
        if *target_port != 0 {
            check_port(*target_port, &path.field("targetPort"), report);
        }
        if !hosts::is_label(name) {
            report.invalid(
                &path.field("name"),
                format!("`{name}` is not a port's name; the object is not used."),
                "",
            );
        }
        const PROTOCOLS: &[&str] = &[
            "", "HTTP", "HTTPS", "HTTP2", "GRPC", "GRPC-WEB", "TCP", "TLS", "UDP", "MONGO",
            "REDIS", "MYSQL",
        ];
        if !PROTOCOLS.contains(&protocol.to_ascii_uppercase().as_str()) {
            report.invalid(
                &path.field("protocol"),
                format!("`{protocol}` is not a protocol that is known; the object is not used."),
                "Use HTTP, HTTP2, GRPC, HTTPS, TLS or TCP.",
            );
        }
        let mut before = ports.iter().take(i);
        if before.any(|other| other.number == *number || other.name == *name) {
            report.invalid(
                &path,
                format!("the port {number} `{name}` is defined before; the object is not used."),
                "Numbers and names must be unique.",
            );
        }
    }
}

/// Reports a port that is not from 1 to 65535.
pub(super) fn check_port(number: u32, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    crate::translate::scalars::port(number, path, report);
}

fn check_endpoints(entry: &ServiceEntry, spec: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    let path = spec.field("endpoints");
    let names: Vec<_> = entry.ports.iter().map(|port| port.name.as_str()).collect();
    let check = |names_allowed: bool, report: &mut ObjectReport<'_>| {
        for (i, endpoint) in entry.endpoints.iter().enumerate() {
            workloads::check(
                endpoint,
                Some(&names),
                &path.index(i),
                names_allowed,
                report,
            );
        }
    };
    match entry.resolution {
        Resolution::None => {
            if !entry.endpoints.is_empty() {
                report.invalid(
                    &path,
                    "with resolution NONE (or none written) there are no endpoints; the object is not used.",
                    "Write `resolution: STATIC`.",
                );
            } else if entry.workload_selector.is_some() {
                report.questionable(
                    &spec.field("workloadSelector"),
                    "with resolution NONE (or none written) no workload is selected.",
                    "Write `resolution: STATIC`.",
                );
            } else {
                report.add(
                    codes::EMPTY_SERVICE,
                    Level::Info,
                    &spec.field("resolution"),
                    "resolution NONE has no endpoints at a gateway: routes to it answer 503.",
                    "Write `resolution: STATIC` with endpoints.",
                );
            }
        }
        Resolution::Static => {
            check(false, report);
            if entry.endpoints.is_empty() && entry.workload_selector.is_none() {
                report.add(
                    codes::EMPTY_SERVICE,
                    Level::Warning,
                    &spec.field("endpoints"),
                    "with resolution STATIC the endpoints stand in the entry, and it has neither `endpoints` nor a `workloadSelector`: requests to it get 503.",
                    "Add `endpoints: [{address: IP}]`, or write `resolution: DNS` to look the hosts up.",
                );
            }
        }
        Resolution::Dns | Resolution::DnsRoundRobin => {
            check(true, report);
            check_names(entry, spec, report);
        }
        Resolution::DynamicDns => check_dynamic(entry, spec, report),
    }
}

/// What DNS and DNS_ROUND_ROBIN allow.
fn check_names(entry: &ServiceEntry, spec: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    let path = spec.field("endpoints");
    if entry.resolution == Resolution::DnsRoundRobin && entry.endpoints.len() > 1 {
        report.invalid(
            &path,
            "DNS_ROUND_ROBIN takes at most one endpoint; the object is not used.",
            "Write `resolution: DNS`.",
        );
    }
    for (i, endpoint) in entry.endpoints.iter().enumerate() {
        if endpoint.address.starts_with(workloads::UNIX) {
            report.invalid(
                &path.index(i).field("address"),
                "a socket is nothing that DNS could find; the object is not used.",
                "Write `resolution: STATIC`.",
            );
        }
    }
    let path = spec.field("hosts");
    for (i, host) in entry.hosts.iter().enumerate() {
        if entry.endpoints.is_empty()
            && let Some(wrong) = hosts::domain_error(host)
        {
            report.invalid(
                &path.index(i),
                format!("`{host}` cannot be looked up ({wrong}), and there are no endpoints; the object is not used."),
                "Add endpoints, or write the name in full.",
            );
        }
    }
    let is_tcp =
        |port: &ApiPort| protocol_is(port, &["TCP", "HTTPS", "TLS", "MONGO", "REDIS", "MYSQL"]);
    if !entry.addresses.is_empty() && entry.hosts.len() > 1 && entry.ports.iter().any(is_tcp) {
        report.questionable(
            &path,
            "several hosts share the addresses, and a TCP port cannot tell them apart.",
            "Write one ServiceEntry for each host.",
        );
    }
}

/// What DYNAMIC_DNS allows: the names are those that requests ask for.
fn check_dynamic(entry: &ServiceEntry, spec: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    let path = spec.field("hosts");
    for (i, host) in entry.hosts.iter().enumerate() {
        if !hosts::is_wildcard(host) {
            report.invalid(
                &path.index(i),
                format!("with DYNAMIC_DNS the host must be a wildcard, which `{host}` is not; the object is not used."),
                "Write `resolution: DNS` for a single name.",
            );
        }
    }
    for (field, is_set) in [
        ("addresses", !entry.addresses.is_empty()),
        ("endpoints", !entry.endpoints.is_empty()),
    ] {
        if is_set {
            report.invalid(
                &spec.field(field),
                format!("with DYNAMIC_DNS there are no {field}: the request's host is looked up; the object is not used."),
                format!("Remove `{field}`."),
            );
        }
    }
    let path = spec.field("ports");
    for (i, port) in entry.ports.iter().enumerate() {
        if !protocol_is(port, &["HTTP", "HTTP2", "GRPC", "TLS"]) {
            report.invalid(
                &path.index(i).field("protocol"),
                format!("with DYNAMIC_DNS a port is HTTP, HTTP2, GRPC or TLS, not `{}`; the object is not used.", port.protocol),
                "",
            );
        }
    }
}

fn protocol_is(port: &ApiPort, names: &[&str]) -> bool {
    names
        .iter()
        .any(|name| port.protocol.eq_ignore_ascii_case(name))
}

/// One service for each host.
pub(super) fn services<'a>(
    object: &'a Object<ServiceEntry>,
    settings: &Settings,
) -> impl Iterator<Item = Service<'a>> {
    let key = &object.meta.key;
    let entry = &object.body;
    // Reported when it was validated.
    let export_to = match entry.export_to.as_slice() {
        [] => &settings.mesh.service_export_to,
        named => named,
    };
    let visibility = Visibility::of(export_to, &key.namespace);
    entry.hosts.iter().map(move |host| Service {
        host: host.clone(),
        namespace: key.namespace.clone(),
        name: name(host),
        ports: entry.ports.iter().filter_map(port).collect(),
        visibility: visibility.clone(),
        alias: None,
        created: object.meta.created,
        source: Source::Entry(object),
    })
}

/// `destination_service_name`: the first label of a cluster's own host, else the host.
fn name(host: &str) -> String {
    match host.split_once('.') {
        Some((first, rest)) if rest.contains(".svc.") => first.to_owned(),
        _ => host.to_owned(),
    }
}

fn port(port: &ApiPort) -> Option<ServicePort> {
    let number = u16::try_from(port.number).ok()?;
    let is_udp = port.protocol.eq_ignore_ascii_case("UDP");
    Some(ServicePort {
        number,
        name: port.name.clone(),
        transport: if is_udp {
            TransportProtocol::Udp
        } else {
            TransportProtocol::Tcp
        },
        is_grpc_web: !is_udp && is_grpc_web(&port.protocol),
        is_http: !is_udp && is_http(&port.protocol),
        protocol: if is_udp {
            UpstreamProtocol::Http1
        } else {
            upstream_protocol(&port.protocol)
        },
        target: Target::Number(match u16::try_from(port.target_port) {
            Ok(target) if target != 0 => target,
            _ => number,
        }),
    })
}

/// How the names of a ServiceEntry's endpoints are used; none: it has addresses only.
fn name_use(entry: &ServiceEntry) -> Option<NameUse> {
    match entry.resolution {
        Resolution::Dns => Some(NameUse::All),
        Resolution::DnsRoundRobin => Some(NameUse::AlsoFirst),
        Resolution::None | Resolution::Static | Resolution::DynamicDns => None,
    }
}

/// Whether the host itself is looked up: DNS without endpoints.
fn is_own_endpoint(entry: &ServiceEntry) -> bool {
    name_use(entry).is_some() && entry.endpoints.is_empty() && entry.workload_selector.is_none()
}

/// The endpoints of one port: those written, the WorkloadEntries selected, or where DNS says that
/// the host is.
pub(super) fn backends(
    object: &Object<ServiceEntry>,
    service: &Service<'_>,
    port: &ServicePort,
    workloads: &Workloads<'_>,
    resolved: &ResolvedNames,
) -> Vec<Backend> {
    let entry = &object.body;
    if matches!(entry.resolution, Resolution::None | Resolution::DynamicDns) {
        return Vec::new();
    }
    let Target::Number(target) = port.target else {
        return Vec::new();
    };
    let at = |workload: &Workload<'_>| {
        let names = std::iter::once(port.name.as_str());
        match name_use(entry) {
            Some(used) => workload.resolved(names, Some(target), resolved, used),
            None => workload.backend(names, Some(target)).into_iter().collect(),
        }
    };
    let namespace = &object.meta.key.namespace;
    if let Some(WorkloadSelector { labels }) = &entry.workload_selector {
        let selected = workloads.select_entries(namespace, labels);
        return selected.flat_map(at).collect();
    }
    let empty = Labels::default();
    if is_own_endpoint(entry) {
        let own = WorkloadEntry {
            address: service.host.clone(),
            ..WorkloadEntry::default()
        };
        return at(&Workload::new(
            &own,
            first_label(&service.host),
            namespace,
            &empty,
        ));
    }
    let inline = entry.endpoints.iter().flat_map(|endpoint| {
        let has_app = endpoint.labels.contains_key("app");
        let name = match endpoint.labels.get("version") {
            _ if has_app => String::new(),
            Some(version) => format!("{}-{version}", first_label(&service.host)),
            None => first_label(&service.host).to_owned(),
        };
        at(&Workload::new(endpoint, &name, namespace, &empty))
    });
    inline.collect()
}

/// Adds the names by which the endpoints of a service are reached.
pub(super) fn names(
    object: &Object<ServiceEntry>,
    service: &Service<'_>,
    workloads: &Workloads<'_>,
    names: &mut BTreeMap<String, NameUse>,
) {
    let entry = &object.body;
    let Some(used) = name_use(entry) else { return };
    let mut add = |name: &str| {
        let entry = names.entry(name.to_ascii_lowercase()).or_insert(used);
        *entry = used.max(*entry);
    };
    if let Some(WorkloadSelector { labels }) = &entry.workload_selector {
        let selected = workloads.select_entries(&object.meta.key.namespace, labels);
        selected.filter_map(Workload::name).for_each(add);
    } else if is_own_endpoint(entry) {
        add(&service.host);
    } else {
        let written = entry
            .endpoints
            .iter()
            .map(|endpoint| endpoint.address.as_str());
        written
            .filter(|address| !hosts::is_ip(address))
            .for_each(add);
    }
}

/// Says which names of a service cannot be resolved.
pub(super) fn report_names(
    object: &Object<ServiceEntry>,
    service: &Service<'_>,
    wanted: &BTreeMap<String, NameUse>,
    resolved: &ResolvedNames,
    report: &mut Report,
) {
    let entry = &object.body;
    if name_use(entry).is_none() {
        return;
    }
    let mut report = report.on("ServiceEntry", &object.meta.key);
    let spec = FieldPath::root("spec");
    let mut tell = |name: &str, path: &FieldPath<'_>| {
        let name = name.to_ascii_lowercase();
        if wanted.contains_key(&name) {
            names::report(&name, path, resolved, &mut report);
        }
    };
    if is_own_endpoint(entry) {
        let path = spec.field("hosts");
        let place = entry.hosts.iter().position(|host| *host == service.host);
        tell(&service.host, &path.index(place.unwrap_or_default()));
    } else if entry.hosts.first() == Some(&service.host) {
        // Once, though the entry is a service for each of its hosts.
        let path = spec.field("endpoints");
        for (i, endpoint) in entry.endpoints.iter().enumerate() {
            tell(&endpoint.address, &path.index(i).field("address"));
        }
    }
}

fn first_label(host: &str) -> &str {
    host.trim_start_matches(['*', '.', '-'])
        .split('.')
        .next()
        .unwrap_or(host)
}
