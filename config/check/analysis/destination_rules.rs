//! DestinationRules: hosts that nothing defines (IST0174), subsets that select nobody (IST0173),
//! TLS that verifies nobody (IST0128, IST0129).

use std::collections::{BTreeMap, HashMap};

use super::{Analysis, selects};
use crate::api::istio::DestinationRule;
use crate::api::istio::traffic_policy::{ClientTls, ClientTlsMode};
use crate::codes;
use crate::finding::Level;
use crate::labels::Labels;
use crate::resources::ObjectKey;
use crate::translate::field_path::FieldPath;
use crate::translate::hosts;
use crate::translate::labels;
use crate::translate::registry::Registry;
use crate::translate::report::{ObjectReport, Report};
use crate::translate::suggest::did_you_mean;

/// Above this, names are not compared: a hint is not worth the time.
const MOST_COMPARED: usize = 2_000;

pub(super) fn check(analysis: &Analysis<'_>, registry: &Registry<'_>, report: &mut Report) {
    let pods = pods(analysis);
    let mut budget = MOST_COMPARED * 8;
    for (key, object) in &analysis.resources.destination_rules {
        let mut report = report.on("DestinationRule", key);
        let rule = &object.body;
        verification(rule, &mut report);
        let found = analysis
            .hosts
            .find(&rule.host, &key.namespace, &rule.export_to);
        match found {
            Some(known) => subsets(
                analysis,
                registry,
                &pods,
                rule,
                key,
                known.selector,
                &mut report,
            ),
            None => no_host(analysis, rule, key, &mut budget, &mut report),
        }
    }
}

fn no_host(
    analysis: &Analysis<'_>,
    rule: &DestinationRule,
    key: &ObjectKey,
    budget: &mut usize,
    report: &mut ObjectReport<'_>,
) {
    // `*.local` stands for all of them: it is about no host only where there is none.
    if hosts::is_wildcard(&rule.host) && analysis.hosts.has_one_below(&rule.host) {
        return;
    }
    let host = super::hosts::full_name(&rule.host, &key.namespace);
    let mut candidates: Vec<&str> = Vec::new();
    if *budget > 0 {
        candidates = analysis.hosts.names().take(MOST_COMPARED).collect();
        candidates.sort_unstable();
        *budget = budget.saturating_sub(candidates.len());
    }
    report.add(
        codes::UNKNOWN_RULE_HOST,
        Level::Warning,
        &FieldPath::root("spec").field("host"),
        format!("no Service and no ServiceEntry has the host `{host}`, so the rule has no effect."),
        did_you_mean(&host, candidates),
    );
}

/// The labels of every Pod, with those of its node's place (Istio: `AugmentLabels`).
fn pods(analysis: &Analysis<'_>) -> Vec<Labels> {
    const PLACE: [&str; 3] = [
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "topology.istio.io/subzone",
    ];
    let nodes: HashMap<&str, _> = analysis
        .resources
        .nodes
        .iter()
        .map(|(key, node)| (key.name.as_str(), &node.meta.labels))
        .collect();
    let pods = analysis.resources.pods.values();
    pods.map(|pod| {
        let mut labels = pod.meta.labels.clone();
        let node = pod.body.node_name.as_str();
        if !node.is_empty() {
            labels.insert("kubernetes.io/hostname".to_owned(), node.to_owned());
        }
        let places = nodes.get(node).into_iter().flat_map(|node| {
            let places = PLACE.iter();
            places.filter_map(|place| Some((*place, node.get(*place)?)))
        });
        for (place, value) in places.filter(|(_, value)| !value.is_empty()) {
            labels.insert(place.to_owned(), value.clone());
        }
        labels
    })
    .collect()
}

fn subsets(
    analysis: &Analysis<'_>,
    registry: &Registry<'_>,
    pods: &[Labels],
    rule: &DestinationRule,
    key: &ObjectKey,
    selector: Option<&BTreeMap<String, String>>,
    report: &mut ObjectReport<'_>,
) {
    if rule.subsets.is_empty() {
        return;
    }
    let domain = &analysis.settings.cluster_domain;
    let host = hosts::qualify(&rule.host, &key.namespace, domain);
    // A rule of a wildcard has the subsets of every host below it.
    if hosts::is_wildcard(&host) {
        return;
    }
    let mut backends = Vec::new();
    for service in registry.all(&host) {
        for port in &service.ports {
            backends.extend(registry.backends(service, port));
        }
    }
    let spec = FieldPath::root("spec");
    let list = spec.field("subsets");
    for (i, subset) in rule.subsets.iter().enumerate() {
        let reached = backends
            .iter()
            .any(|backend| selects(&subset.labels, &backend.labels));
        let mut wanted = subset.labels.clone();
        for (name, value) in selector.into_iter().flatten() {
            wanted.entry(name.clone()).or_insert_with(|| value.clone());
        }
        if reached || pods.iter().any(|labels| selects(&wanted, labels)) {
            continue;
        }
        // Where nothing runs yet, that is no mistake of the rule: a daemon says it more quietly.
        let level = if analysis.settings.offline {
            Level::Error
        } else {
            Level::Warning
        };
        let field = list.index(i);
        report.add(
            codes::SUBSET_WITHOUT_ENDPOINTS,
            level,
            &field.field("labels"),
            format!(
                "no endpoint of `{host}` has the labels {}: requests to the subset `{}` get 503.",
                labels::display(&subset.labels),
                subset.name
            ),
            "Give the endpoints these labels, or change the subset's.",
        );
    }
}

/// TLS to upstreams without a CA takes any certificate.
fn verification(rule: &DestinationRule, report: &mut ObjectReport<'_>) {
    let Some(policy) = &rule.traffic_policy else {
        return;
    };
    let selected = rule.workload_selector.is_some();
    let spec = FieldPath::root("spec");
    let path = spec.field("trafficPolicy");
    if let Some(tls) = policy
        .tls
        .as_ref()
        .filter(|tls| trusts_anyone(tls, selected))
    {
        report.add(
            codes::UNVERIFIED_UPSTREAM,
            Level::Warning,
            &path.field("tls"),
            format!(
                "TLS of mode {} to `{}` names no CA: whoever answers there is believed.",
                tls.mode, rule.host
            ),
            "Set caCertificates.",
        );
    }
    let list = path.field("portLevelSettings");
    for (i, port) in policy.port_level_settings.iter().enumerate() {
        let Some(tls) = port.tls.as_ref().filter(|tls| trusts_anyone(tls, selected)) else {
            continue;
        };
        let number = port.port.as_ref().map_or(0, |port| port.number);
        let path = list.index(i);
        report.add(
            codes::UNVERIFIED_UPSTREAM_PORT,
            Level::Warning,
            &path.field("tls"),
            format!(
                "TLS of mode {} to `{}` at port {number} names no CA: whoever answers there is believed.",
                tls.mode, rule.host
            ),
            "Set caCertificates.",
        );
    }
}

fn trusts_anyone(tls: &ClientTls, selected: bool) -> bool {
    let mode = matches!(tls.mode, ClientTlsMode::Simple | ClientTlsMode::Mutual);
    // The Secret brings the CA, and only a rule for selected workloads may name one.
    let has_secret = !tls.credential_name.is_empty() && selected;
    mode && tls.ca_certificates.is_empty() && !has_secret
}
