//! Where VirtualServices lead: hosts, ports and subsets that nothing defines (IST0101), a port
//! that must be chosen (IST0112), subsets that an ingress route leaves out (IST0140).

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Analysis;
use super::hosts::{Known, full_name, service_name};
use crate::api::istio::VirtualService;
use crate::api::istio::destination::Destination;
use crate::check::destinations::list;
use crate::codes;
use crate::finding::Level;
use crate::resources::ObjectKey;
use crate::translate::field_path::FieldPath;
use crate::translate::memory::{Look, ReadServices, Trait};
use crate::translate::report::{ObjectReport, Report};
use crate::translate::suggest::did_you_mean;

/// Above this, names are not compared: a hint is not worth the time.
const MOST_COMPARED: usize = 2_000;

/// What there is to lead to.
struct Targets<'a> {
    analysis: &'a Analysis<'a>,
    /// Namespace and name of a host, and the subset.
    subsets: HashSet<(&'a str, &'a str, &'a str)>,
    subset_names: BTreeMap<(&'a str, &'a str), Vec<&'a str>>,
    /// The first DestinationRule with a subset of a host's full name, wherever it is.
    anywhere: HashMap<(String, &'a str), &'a ObjectKey>,
    /// Names that may still be compared for hints.
    budget: usize,
}

pub(super) fn check(analysis: &Analysis<'_>, read: &mut ReadServices, report: &mut Report) {
    let mut targets = Targets {
        analysis,
        subsets: HashSet::new(),
        subset_names: BTreeMap::new(),
        anywhere: HashMap::new(),
        budget: MOST_COMPARED * 8,
    };
    for (key, object) in &analysis.resources.destination_rules {
        let (namespace, name) = service_name(&object.body.host, &key.namespace);
        for subset in &object.body.subsets {
            targets.subsets.insert((namespace, name, &subset.name));
            let names = targets.subset_names.entry((namespace, name)).or_default();
            names.push(&subset.name);
            let host = full_name(&object.body.host, &key.namespace);
            targets.anywhere.entry((host, &subset.name)).or_insert(key);
        }
    }
    for (key, object) in &read.to_look_at(Look::Destinations) {
        // For sidecars alone: what they find is not a gateway's business.
        let service = &object.body;
        if !analysis.settings.offline && service.gateways.is_empty() && !service.hosts.is_empty() {
            continue;
        }
        read.look(Look::Destinations, object, report, |report| {
            let mut report = report.on("VirtualService", key);
            each(service, &mut |destination, path| {
                targets.destination(service, key, destination, path, &mut report);
            });
        });
    }
    if !read.any(Trait::Subset) {
        return;
    }
    let with_subsets = hosts_with_subsets(analysis);
    for (key, object) in &analysis.resources.virtual_services {
        let mut report = report.on("VirtualService", key);
        no_subset(&object.body, key, &with_subsets, &mut report);
    }
}

/// Every destination of a VirtualService, with its place.
fn each(service: &VirtualService, visit: &mut dyn FnMut(&Destination, &FieldPath<'_>)) {
    let spec = FieldPath::root("spec");
    let l4 = [
        (
            "tcp",
            service
                .tcp
                .iter()
                .map(|rule| &rule.route)
                .collect::<Vec<_>>(),
        ),
        ("tls", service.tls.iter().map(|rule| &rule.route).collect()),
    ];
    for (field, rules) in l4 {
        let list = spec.field(field);
        for (i, routes) in rules.into_iter().enumerate() {
            let rule = list.index(i);
            let list = rule.field("route");
            for (j, route) in routes.iter().enumerate() {
                if let Some(destination) = &route.destination {
                    visit(destination, &list.index(j).field("destination"));
                }
            }
        }
    }
    let list = spec.field("http");
    for (i, route) in service.http.iter().enumerate() {
        let rule = list.index(i);
        let list = rule.field("route");
        for (j, to) in route.route.iter().enumerate() {
            if let Some(destination) = &to.destination {
                visit(destination, &list.index(j).field("destination"));
            }
        }
        if let Some(mirror) = &route.mirror {
            visit(mirror, &rule.field("mirror"));
        }
        let list = rule.field("mirrors");
        for (j, mirror) in route.mirrors.iter().enumerate() {
            if let Some(destination) = &mirror.destination {
                visit(destination, &list.index(j).field("destination"));
            }
        }
    }
}

impl Targets<'_> {
    fn destination(
        &mut self,
        service: &VirtualService,
        key: &ObjectKey,
        to: &Destination,
        path: &FieldPath<'_>,
        report: &mut ObjectReport<'_>,
    ) {
        let namespace = key.namespace.as_str();
        match self
            .analysis
            .hosts
            .find(&to.host, namespace, &service.export_to)
        {
            Some(known) => ports(known, to, namespace, path, report),
            None => self.no_host(to, namespace, path, report),
        }
        if to.subset.is_empty() {
            return;
        }
        let (service_namespace, name) = service_name(&to.host, namespace);
        if self
            .subsets
            .contains(&(service_namespace, name, to.subset.as_str()))
        {
            return;
        }
        let host = full_name(&to.host, namespace);
        let (why, hint) = match self.subset_names.get(&(service_namespace, name)) {
            Some(names) => (
                "no DestinationRule of the host has it",
                did_you_mean(&to.subset, names.iter().copied()),
            ),
            None => (
                "no DestinationRule for the host has subsets",
                format!("Add a DestinationRule with `host: {host}` and the subset."),
            ),
        };
        // Istio's analyzer looks in one namespace only; traffic finds a rule of the host's too.
        let elsewhere = self.anywhere.get(&(host.clone(), to.subset.as_str()));
        let (message, hint) = match elsewhere {
            Some(rule) => (
                format!(
                    "the subset `{}` of `{host}` is not defined in the namespace {service_namespace}, where Istio's analyzer looks for it: it is in DestinationRule {rule}, which counts only where that is exported to.",
                    to.subset
                ),
                "Write the DestinationRule where the host's Service or ServiceEntry is.".to_owned(),
            ),
            None => (
                format!(
                    "the subset `{}` of `{host}` is not defined, {why}: requests sent there get 503.",
                    to.subset
                ),
                hint,
            ),
        };
        report.add(
            codes::REFERENCE,
            Level::Error,
            &path.field("subset"),
            message,
            hint,
        );
    }

    fn no_host(
        &mut self,
        to: &Destination,
        namespace: &str,
        path: &FieldPath<'_>,
        report: &mut ObjectReport<'_>,
    ) {
        let host = full_name(&to.host, namespace);
        let mut candidates: Vec<&str> = Vec::new();
        if self.budget > 0 {
            candidates = self.analysis.hosts.names().take(MOST_COMPARED).collect();
            // Maps have no order; the same hint every time.
            candidates.sort_unstable();
            self.budget = self.budget.saturating_sub(candidates.len());
        }
        report.add(
            codes::REFERENCE,
            Level::Error,
            &path.field("host"),
            format!(
                "no Service and no ServiceEntry has the host `{host}`: requests sent there get 503."
            ),
            did_you_mean(&host, candidates),
        );
    }
}

fn ports(
    known: &Known<'_>,
    to: &Destination,
    namespace: &str,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) {
    let Some(port) = &to.port else {
        if known.ports.len() > 1 {
            report.add(
                codes::PORT_REQUIRED,
                Level::Error,
                path,
                format!(
                    "`{}` has the ports {} and none is chosen: the listener's number is taken, and requests get 503 unless it is one of them.",
                    full_name(&to.host, namespace),
                    list(&known.ports)
                ),
                format!(
                    "Add `port: {{number: {}}}`.",
                    known.ports.first().copied().unwrap_or(80)
                ),
            );
        }
        return;
    };
    if known.ports.contains(&port.number) {
        return;
    }
    let hint = match known.ports.as_slice() {
        [only] => format!("Did you mean {only}?"),
        _ => String::new(),
    };
    report.add(
        codes::REFERENCE,
        Level::Error,
        &path.field("port"),
        format!(
            "`{}` has no port {} (it has {}): requests sent there get 503.",
            full_name(&to.host, namespace),
            port.number,
            list(&known.ports)
        ),
        hint,
    );
}

/// The hosts, as written, whose own VirtualService sends them to a subset.
fn hosts_with_subsets<'a>(analysis: &Analysis<'a>) -> HashMap<&'a str, &'a ObjectKey> {
    let mut found = HashMap::new();
    for (key, object) in &analysis.resources.virtual_services {
        let routes = object.body.http.iter().flat_map(|rule| &rule.route);
        for to in routes.filter_map(|to| to.destination.as_ref()) {
            if !to.subset.is_empty() && object.body.hosts.contains(&to.host) {
                found.entry(to.host.as_str()).or_insert(key);
            }
        }
    }
    found
}

/// An ingress route to a host whose subsets another VirtualService chooses between: that choice
/// is made by sidecars, not at the gateway.
fn no_subset(
    service: &VirtualService,
    key: &ObjectKey,
    with_subsets: &HashMap<&str, &ObjectKey>,
    report: &mut ObjectReport<'_>,
) {
    if service.gateways.is_empty() || with_subsets.is_empty() {
        return;
    }
    let spec = FieldPath::root("spec");
    let list = spec.field("http");
    for (i, rule) in service.http.iter().enumerate() {
        let rule_path = list.index(i);
        let routes = rule_path.field("route");
        for (j, to) in rule.route.iter().enumerate() {
            let Some(to) = to.destination.as_ref().filter(|to| to.subset.is_empty()) else {
                continue;
            };
            let Some(other) = with_subsets.get(to.host.as_str()) else {
                continue;
            };
            report.add(
                codes::SUBSET_NOT_AT_INGRESS,
                Level::Warning,
                &routes.index(j).field("destination"),
                format!(
                    "VirtualService {other} divides `{}` into subsets, but not for what comes through the gateway: this route of {key} goes to all endpoints.",
                    to.host
                ),
                "Name the subset here too.",
            );
        }
    }
}
