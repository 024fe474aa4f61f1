//! Gateways whose selector selects nobody (IST0101), whose ports no Service leads to (IST0162),
//! that serve the same host on the same port (IST0145), and their Secrets (IST0101, IST0161).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Analysis, selects};
use crate::api::core::IntOrString;
use crate::api::istio::Gateway;
use crate::api::istio::gateway::Server;
use crate::codes;
use crate::finding::Level;
use crate::labels::Labels;
use crate::nearest::nearest;
use crate::resources::{Object, ObjectKey};
use crate::translate::field_path::FieldPath;
use crate::translate::labels;
use crate::translate::report::{ObjectReport, Report};

pub(super) fn check(analysis: &Analysis<'_>, report: &mut Report) {
    let conflicts = Conflicts::new(analysis);
    for (key, object) in &analysis.resources.gateways {
        let mut report = report.on("Gateway", key);
        let selector = &object.body.selector;
        let mut selected = analysis.workloads.selected(selector);
        let Some(first) = selected.next() else {
            nobody(analysis, selector, &mut report);
            if analysis.settings.offline {
                conflicts.of(key, object, &mut report);
            }
            continue;
        };
        if analysis.settings.offline {
            conflicts.of(key, object, &mut report);
            ports(analysis, &object.body, &mut report);
            super::certificates::secrets(analysis, &object.body, first.namespace, &mut report);
        }
    }
}

/// No Pod has the labels, nor has the gateway.
fn nobody(
    analysis: &Analysis<'_>,
    selector: &BTreeMap<String, String>,
    report: &mut ObjectReport<'_>,
) {
    let own = &analysis.settings.labels;
    let mut wrong = selector.iter().filter(|(k, v)| own.get(*k) != Some(v));
    let hint = wrong.find_map(|(key, value)| match own.get(key) {
        Some(have) => {
            nearest(value, [have.as_str()]).map(|have| format!("Did you mean `{key}: {have}`?"))
        }
        None => nearest(key, own.keys().map(String::as_str))
            .map(|key| format!("Did you mean the label `{key}`?")),
    });
    // A daemon without a cluster knows no Pods; another gateway may well run elsewhere.
    let level = if analysis.settings.offline {
        Level::Error
    } else {
        Level::Warning
    };
    report.add(
        codes::REFERENCE,
        level,
        &FieldPath::root("spec").field("selector"),
        format!(
            "it selects the labels {}, but this gateway carries {}: its servers do not listen here.",
            labels::display(selector),
            labels::display(own)
        ),
        hint.unwrap_or_else(|| {
            format!(
                "If it is meant for gatehouse, select `{}`, or start with --labels.",
                labels::display(own)
            )
        }),
    );
}

/// Ports that no Service of the selected workloads leads to. Where no Service selects them, the
/// gateway listens at the host's own addresses, and every port can be reached.
fn ports(analysis: &Analysis<'_>, gateway: &Gateway, report: &mut ObjectReport<'_>) {
    let mut reachable = BTreeSet::new();
    let mut any = false;
    for workload in analysis.workloads.selected(&gateway.selector) {
        if workload.is_gateway {
            // The usual ones, where its Service is not among what is checked.
            reachable.extend([80, 443, 15443, 31400]);
        }
        let services = analysis.resources.services.values();
        for service in services.filter(|s| s.meta.key.namespace == workload.namespace) {
            let Some(spec) = &service.body.spec else {
                continue;
            };
            let none = Labels::default();
            let selector = spec.selector.as_ref().unwrap_or(&none);
            // A Service without a selector has no say in who is behind it.
            if workload.is_gateway && selector.is_empty() {
                continue;
            }
            if !selects(selector, workload.labels) {
                continue;
            }
            any = true;
            for port in spec.ports.iter().flatten() {
                if port
                    .protocol
                    .as_deref()
                    .is_some_and(|protocol| protocol != "TCP")
                {
                    continue;
                }
                reachable.insert(port.port);
                if let Some(IntOrString::Int(target)) = port.target_port {
                    reachable.insert(target);
                }
            }
        }
    }
    if !any {
        return;
    }
    let spec = FieldPath::root("spec");
    let servers = spec.field("servers");
    for (i, server) in gateway.servers.iter().enumerate() {
        let Some(port) = &server.port else { continue };
        if i32::try_from(port.number).is_ok_and(|number| reachable.contains(&number)) {
            continue;
        }
        report.add(
            codes::PORT_NOT_ON_SERVICE,
            Level::Warning,
            &servers.index(i).field("port"),
            format!(
                "no Service of the workloads that this Gateway selects ({}) leads to its port {}: nobody reaches it through a Service.",
                labels::display(&gateway.selector),
                port.number
            ),
            "Add the port to the gateway's Service.",
        );
    }
}

/// Who serves a host on a port: the Gateway, and the bind address.
type Open<'a> = (&'a ObjectKey, &'a Gateway, &'a str);

/// The servers of all Gateways, for finding two of the same hosts.
struct Conflicts<'a> {
    analysis: &'a Analysis<'a>,
    by_place: HashMap<(u32, &'a str), Vec<Open<'a>>>,
}

impl<'a> Conflicts<'a> {
    fn new(analysis: &'a Analysis<'a>) -> Self {
        let mut by_place: HashMap<(u32, &str), Vec<Open<'_>>> = HashMap::new();
        for (key, object) in &analysis.resources.gateways {
            // Of several servers with one port Istio's analyzer looks at the last, and it compares
            // hosts as they are written.
            let servers = object.body.servers.iter();
            let last: BTreeMap<u32, &Server> =
                servers.map(|server| (number(server), server)).collect();
            for (port, server) in last {
                for host in &server.hosts {
                    let place = (port, host.as_str());
                    let of_place = by_place.entry(place).or_default();
                    of_place.push((key, &object.body, &server.bind));
                }
            }
        }
        Self { analysis, by_place }
    }

    fn of(&self, key: &ObjectKey, object: &Object<Gateway>, report: &mut ObjectReport<'_>) {
        let spec = FieldPath::root("spec");
        let servers = spec.field("servers");
        for (i, server) in object.body.servers.iter().enumerate() {
            let hosts = server.hosts.iter();
            let others: BTreeSet<_> = hosts
                .filter_map(|host| self.by_place.get(&(number(server), host.as_str())))
                .flatten()
                .filter(|(other, gateway, bind)| {
                    *other != key
                        && *bind == server.bind
                        && self.meet(&object.body.selector, &gateway.selector)
                })
                .map(|(other, _, _)| *other)
                .collect();
            let others: Vec<_> = others.into_iter().map(ToString::to_string).collect();
            if others.is_empty() {
                continue;
            }
            report.add(
                codes::CONFLICTING_GATEWAYS,
                Level::Error,
                &servers.index(i).field("hosts"),
                format!(
                    "Gateway {} serves the same hosts ({}) on port {} at the same workloads: which routes answer depends on which of them is older.",
                    others.join(", "),
                    server.hosts.join(", "),
                    number(server)
                ),
                "Keep the hosts in one of them.",
            );
        }
    }

    /// Whether a workload may be selected by both (Istio's analyzer compares the selectors as
    /// text, and looks for a Pod only where one is a part of the other).
    fn meet(&self, a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> bool {
        if a == b {
            return true;
        }
        let (a_text, b_text) = (labels::display(a), labels::display(b));
        (a_text.contains(&b_text) || b_text.contains(&a_text))
            && self
                .analysis
                .workloads
                .selected(a)
                .any(|workload| selects(b, workload.labels))
    }
}

fn number(server: &Server) -> u32 {
    server.port.as_ref().map_or(0, |port| port.number)
}
