//! Destinations that exist, but not for the gateway: hidden by exportTo, or in the wrong place.
//!
//! What exists nowhere is told by the analyzers before.

use std::collections::{HashMap, HashSet};

use crate::check::Configuration;
use crate::codes;
use crate::finding::Level;
use crate::model::TransportProtocol;
use crate::resources::ObjectKey;
use crate::translate::clusters;
use crate::translate::field_path::FieldPath;
use crate::translate::memory::{Look, ReadServices};
use crate::translate::registry::Service;
use crate::translate::report::{ObjectReport, Report};
use crate::translate::suggest::did_you_mean;
use crate::translate::virtual_service::VirtualService;
use crate::translate::virtual_service::destination::DestinationTo;
use crate::translate::virtual_service::rule::RuleAction;

/// How many names a message lists before it stops.
const LISTED: usize = 8;
/// Above this, names are not compared: a hint is not worth the time.
const MOST_COMPARED: usize = 2_000;

pub(super) fn check(
    configuration: &Configuration<'_>,
    read: &mut ReadServices,
    report: &mut Report,
) {
    // Said already, of the same destination.
    let references = [codes::REFERENCE, codes::PORT_REQUIRED];
    let findings = report.findings.iter();
    let mut told: HashMap<ObjectKey, HashSet<String>> = HashMap::new();
    for finding in findings.filter(|finding| references.contains(&finding.code)) {
        if let Some(object) = &finding.object {
            let fields = told.entry(object.key.clone()).or_default();
            fields.insert(finding.field.clone());
        }
    }
    let nothing = HashSet::new();
    let mut budget = MOST_COMPARED;
    let to_look_at = read.to_look_at(Look::Reachable);
    let services = configuration.services.all.iter();
    for service in services.filter(|service| to_look_at.contains_key(&*service.key)) {
        // For sidecars alone: what they find is not known here.
        if service.gateways.is_empty() && !service.hosts.is_empty() {
            continue;
        }
        read.look(Look::Reachable, &service.object, report, |report| {
            let told = told.get(&*service.key).unwrap_or(&nothing);
            virtual_service(configuration, service, told, &mut budget, report);
        });
    }
}

fn virtual_service(
    configuration: &Configuration<'_>,
    service: &VirtualService,
    told: &HashSet<String>,
    budget: &mut usize,
    report: &mut Report,
) {
    let spec = FieldPath::root("spec");
    let (http, tcp, tls) = (spec.field("http"), spec.field("tcp"), spec.field("tls"));
    let mut report = report.on("VirtualService", &service.key);
    for rule in &service.rules {
        // A delegate's rules are looked at where they are written.
        let RuleAction::Forward(forward) = &rule.action else {
            continue;
        };
        if rule.delegate.is_some() {
            continue;
        }
        let rule_path = http.index(rule.index);
        let route = rule_path.field("route");
        for to in &forward.destinations {
            let path = route.index(to.index);
            if !told.is_empty() && is_told(told, &path.field("destination")) {
                continue;
            }
            destination(
                configuration,
                service,
                to,
                &path.field("destination"),
                budget,
                &mut report,
            );
        }
        for mirror in &forward.mirrors {
            let path = if service.has_single_mirror(rule.index) {
                rule_path.field("mirror")
            } else {
                rule_path.field("mirrors")
            };
            if is_told_below(told, &path) {
                continue;
            }
            let to = &mirror.destination;
            destination(configuration, service, to, &path, budget, &mut report);
        }
    }
    let carried = service.tcp.iter().map(|rule| &rule.destinations);
    let carried = carried.enumerate().map(|carried| (&tcp, carried));
    let by_name = service.tls.iter().map(|rule| &rule.destinations);
    let by_name = by_name.enumerate().map(|by_name| (&tls, by_name));
    for (list, (i, destinations)) in carried.chain(by_name) {
        let rule_path = list.index(i);
        let route = rule_path.field("route");
        for to in destinations {
            let path = route.index(to.index);
            let path = path.field("destination");
            destination(configuration, service, to, &path, budget, &mut report);
        }
    }
}

fn is_told(told: &HashSet<String>, destination: &FieldPath<'_>) -> bool {
    let fields = ["host", "port", "subset"].map(|field| destination.field(field).to_string());
    let mut fields = fields.into_iter().chain([destination.to_string()]);
    fields.any(|field| told.contains(&field))
}

/// Whether something was said of a field in this one.
fn is_told_below(told: &HashSet<String>, path: &FieldPath<'_>) -> bool {
    let path = path.to_string();
    told.iter().any(|field| field.starts_with(&path))
}

fn destination(
    configuration: &Configuration<'_>,
    service: &VirtualService,
    to: &DestinationTo,
    path: &FieldPath<'_>,
    budget: &mut usize,
    report: &mut ObjectReport<'_>,
) {
    let registry = configuration.registry;
    let namespace = &service.key.namespace;
    let Some(found) = registry.find(&to.host, Some(namespace)) else {
        let mut candidates: Vec<&str> = Vec::new();
        if *budget > 0 {
            candidates = registry.hosts().take(MOST_COMPARED).collect();
            *budget = budget.saturating_sub(candidates.len());
        }
        report.add(
            codes::NOT_AT_GATEWAY,
            Level::Error,
            &path.field("host"),
            format!(
                "nothing that the gateway sees has the host `{}`: requests sent there get 503.",
                to.host
            ),
            did_you_mean(&to.host, candidates),
        );
        return;
    };
    let tcp = |service: &Service<'_>| -> Vec<u16> {
        let ports = service.ports.iter();
        ports
            .filter(|port| port.transport == TransportProtocol::Tcp)
            .map(|port| port.number)
            .collect()
    };
    let ports = tcp(found);
    let only = match found.ports.as_slice() {
        [only] => Some(only.number),
        _ => None,
    };
    // Without a port that could be told: said already.
    let Some(number) = to.port.or(only) else {
        return;
    };
    let (host, number) = clusters::target(registry, &to.host, Some(number), number, namespace);
    let Some(resolved) = clusters::resolve(registry, host, number) else {
        let (field, message) = if to.port.is_some() {
            (
                path.field("port"),
                format!(
                    "`{host}` has no port {number} (it has {}): requests sent there get 503.",
                    list(&ports)
                ),
            )
        } else {
            (
                path.field("host"),
                format!("`{host}` has no TCP port {number}: requests sent there get 503."),
            )
        };
        let hint = match ports.as_slice() {
            [only] => format!("Did you mean {only}?"),
            _ => String::new(),
        };
        report.add(codes::NOT_AT_GATEWAY, Level::Error, &field, message, hint);
        return;
    };
    if to.subset.is_empty() {
        return;
    }
    let rule = configuration.rules.find(host, &resolved.service.namespace);
    if rule.is_some_and(|rule| rule.subset(&to.subset).is_some()) {
        return;
    }
    let (why, hint) = match rule {
        None => (
            format!("no DestinationRule for `{host}` applies at the gateway"),
            format!("Add a DestinationRule with `host: {host}` and the subset."),
        ),
        Some(rule) => (
            format!("DestinationRule {} has no such subset", rule.key),
            did_you_mean(
                &to.subset,
                rule.subsets().iter().map(|subset| subset.name.as_str()),
            ),
        ),
    };
    report.add(
        codes::NOT_AT_GATEWAY,
        Level::Error,
        &path.field("subset"),
        format!(
            "the subset `{}` is not defined, {why}: requests sent there get 503.",
            to.subset
        ),
        hint,
    );
}

/// Ports in a message, not too many of them.
pub(super) fn list<T: ToString>(ports: &[T]) -> String {
    let mut text: Vec<_> = ports.iter().take(LISTED).map(T::to_string).collect();
    if ports.len() > LISTED {
        text.push("…".to_owned());
    }
    if text.is_empty() {
        "none".to_owned()
    } else {
        text.join(", ")
    }
}
