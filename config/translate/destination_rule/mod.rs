//! DestinationRules: which one applies to a service, and what it says for a port and subset.

mod client_tls;
mod connection_pool;
mod load_balancer;
mod locality_setting;
mod outlier_detection;
mod policy;
mod tunnel;

use std::collections::{BTreeMap, HashMap};

use crate::api::istio::DestinationRule as Api;
use crate::api::istio::destination_rule::{Subset as ApiSubset, WorkloadSelector};
use crate::api::istio::traffic_policy::TrafficPolicy;
use crate::resources::{Object, ObjectKey, Resources};
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::report::Report;
use crate::translate::visibility::Visibility;
use crate::translate::{hosts, labels};
pub(crate) use client_tls::TlsSettings;
#[cfg(test)]
pub(crate) use locality_setting::Distribute;
pub(crate) use locality_setting::LocalitySetting;
use policy::Policy;
pub(crate) use policy::{CONNECT_TIMEOUT, EffectivePolicy};

/// A valid DestinationRule; of several for one host, what they come to together.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) key: ObjectKey,
    created: Option<i64>,
    /// The full name, perhaps with a wildcard.
    pub(crate) host: String,
    visibility: Visibility,
    has_selector: bool,
    policy: Option<Policy>,
    subsets: Vec<Subset>,
}

/// A named group of endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Subset {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    policy: Option<Policy>,
}

impl Rule {
    /// The subset of this name.
    pub(crate) fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|subset| subset.name == name)
    }

    /// All subsets.
    pub(crate) fn subsets(&self) -> &[Subset] {
        &self.subsets
    }
}

/// All valid DestinationRules, merged per namespace and host.
#[derive(Debug, Default)]
pub(crate) struct DestinationRules {
    /// By namespace, then by host as written; each list oldest first.
    by_host: HashMap<String, HashMap<String, Vec<Rule>>>,
    /// The mesh's own; below every rule's.
    default_policy: Option<Policy>,
    namespace: String,
    root_namespace: String,
}

impl DestinationRules {
    /// Reads every DestinationRule.
    pub(crate) fn parse(resources: &Resources, settings: &Settings, report: &mut Report) -> Self {
        let mut rules: Vec<_> = resources
            .destination_rules
            .values()
            .filter_map(|object| parse(object, settings, report))
            .collect();
        rules.sort_by(|a, b| {
            (a.created, &a.key.name, &a.key.namespace).cmp(&(
                b.created,
                &b.key.name,
                &b.key.namespace,
            ))
        });
        let mut by_host: HashMap<String, HashMap<String, Vec<Rule>>> = HashMap::new();
        for rule in rules {
            let of_namespace = by_host.entry(rule.key.namespace.clone()).or_default();
            let of_host = of_namespace.entry(rule.host.clone()).or_default();
            merge(of_host, rule);
        }
        Self {
            by_host,
            default_policy: default_policy(settings, report),
            namespace: settings.namespace.clone(),
            root_namespace: settings.root_namespace.clone(),
        }
    }

    /// The rule for a host whose service lies in `service_namespace`: the gateway's namespace is
    /// asked first, then the service's, then the root namespace.
    pub(crate) fn find(&self, host: &str, service_namespace: &str) -> Option<&Rule> {
        let in_root = self.namespace == self.root_namespace;
        // In the root namespace only rules that are kept private there are meant for the gateway
        // itself; the others are for everyone and come last.
        let own = |rule: &&Rule| !in_root || rule.visibility.is_private_to(&self.namespace);
        let local = self.most_specific(&self.namespace, host, own);
        if let Some(list) = local {
            return self.pick(list, own);
        }
        let exported = |rule: &&Rule| !rule.has_selector && rule.visibility.sees(&self.namespace);
        // The most specific host decides, even if no rule of it is exported.
        for namespace in [service_namespace, &self.root_namespace] {
            let shared = |rule: &&Rule| {
                !rule.visibility.is_private_to(namespace) || namespace == self.namespace
            };
            if let Some(list) = self.most_specific(namespace, host, shared)
                && let Some(rule) = self.pick(list, exported)
            {
                return Some(rule);
            }
        }
        None
    }

    fn pick<'r>(&self, list: &'r [Rule], allowed: impl Fn(&&Rule) -> bool) -> Option<&'r Rule> {
        let with_selector = list.iter().filter(|rule| rule.has_selector).find(&allowed);
        with_selector.or_else(|| list.iter().find(&allowed))
    }

    /// The rules of the most specific host that covers `host`: exact, then the longest wildcard.
    fn most_specific(
        &self,
        namespace: &str,
        host: &str,
        allowed: impl Fn(&&Rule) -> bool,
    ) -> Option<&[Rule]> {
        let of_namespace = self.by_host.get(namespace)?;
        let get = |host: &str| {
            let list = of_namespace.get(host)?;
            list.iter()
                .any(|rule| allowed(&rule))
                .then_some(list.as_slice())
        };
        if let Some(list) = get(host) {
            return Some(list);
        }
        let text = host.strip_prefix('*').unwrap_or(host);
        let starts = text.char_indices().map(|(i, _)| i).chain([text.len()]);
        let mut wildcards = starts.filter_map(|start| text.get(start..));
        wildcards.find_map(|suffix| get(&format!("*{suffix}")))
    }

    /// The policy for a port and subset: the mesh's, the rule's and the subset's.
    pub(crate) fn policy(
        &self,
        rule: Option<&Rule>,
        port: u16,
        subset: Option<&Subset>,
    ) -> EffectivePolicy {
        let levels = [
            self.default_policy.as_ref(),
            rule.and_then(|rule| rule.policy.as_ref()),
            subset.and_then(|subset| subset.policy.as_ref()),
        ];
        policy::effective(levels.into_iter().flatten(), port)
    }
}

/// Joins a rule to the older ones of its host: subsets are added, the policy is the first one
/// (Istio: `mergeDestinationRule`).
fn merge(list: &mut Vec<Rule>, rule: Rule) {
    let mut separate = true;
    for older in list.iter_mut() {
        let covers = match (&rule.visibility, &older.visibility) {
            (new, old) if new == old => {
                separate = false;
                true
            }
            (Visibility::Namespaces(new), Visibility::Namespaces(old)) => {
                separate = true;
                !old.is_empty() && new.is_superset(old)
            }
            _ => {
                separate = true;
                false
            }
        };
        if !covers || older.has_selector != rule.has_selector {
            separate |= older.has_selector != rule.has_selector;
            continue;
        }
        for subset in &rule.subsets {
            if older.subset(&subset.name).is_none() {
                older.subsets.push(subset.clone());
            }
        }
        if older.policy.is_none() {
            older.policy = rule.policy.clone();
        }
    }
    if separate {
        list.push(rule);
    }
}

/// The mesh's `defaultTrafficPolicy`; none if it is wrong.
fn default_policy(settings: &Settings, report: &mut Report) -> Option<Policy> {
    let mesh = &settings.mesh;
    let policy = TrafficPolicy {
        connection_pool: mesh.connection_pool.clone(),
        outlier_detection: mesh.outlier_detection.clone(),
        ..TrafficPolicy::default()
    };
    if policy == TrafficPolicy::default() {
        return None;
    }
    let key = ObjectKey::new(settings.root_namespace.as_str(), "istio");
    let mut report = report.on("MeshConfig", &key);
    let parsed = policy::parse(
        &policy,
        &FieldPath::root("spec").field("defaultTrafficPolicy"),
        &mut report,
    );
    report.is_valid().then_some(parsed)
}

fn parse(object: &Object<Api>, settings: &Settings, report: &mut Report) -> Option<Rule> {
    let Object { meta, body, .. } = object;
    let Api {
        host,
        traffic_policy,
        subsets,
        export_to,
        workload_selector,
    } = body;
    let mut report = report.on("DestinationRule", &meta.key);
    let report = &mut report;
    let spec = FieldPath::root("spec");
    if let Some(wrong) = hosts::wildcard_domain_error(host) {
        report.invalid(
            &spec.field("host"),
            format!("the host `{host}` is wrong: {wrong}; the object is not used."),
            hosts::nearest_valid(host),
        );
    }
    let namespace = &meta.key.namespace;
    let exported_to = match export_to.as_slice() {
        // A rule for some workloads goes no further than its namespace.
        [] if workload_selector.is_none() => settings.mesh.destination_rule_export_to.as_slice(),
        named => named,
    };
    let visibility = Visibility::parse(
        exported_to,
        namespace,
        false,
        &spec.field("exportTo"),
        report,
    );
    let policy = traffic_policy
        .as_ref()
        .map(|policy| policy::parse(policy, &spec.field("trafficPolicy"), report));
    let subsets_path = spec.field("subsets");
    let mut parsed: Vec<Subset> = Vec::with_capacity(subsets.len());
    for (i, subset) in subsets.iter().enumerate() {
        let path = subsets_path.index(i);
        let ApiSubset {
            name,
            labels,
            traffic_policy,
        } = subset;
        if !hosts::is_label(name) {
            report.invalid(
                &path.field("name"),
                match name.as_str() {
                    "" => "the subset has no name; the object is not used.".to_owned(),
                    name => format!("`{name}` is not a subset's name; the object is not used."),
                },
                "",
            );
        }
        if let Some(wrong) = labels::wrong(labels) {
            let message = format!("{wrong}; the object is not used.");
            report.invalid(&path.field("labels"), message, "");
        }
        if parsed.iter().any(|other| other.name == *name) {
            report.invalid(
                &path.field("name"),
                format!("the subset `{name}` is defined before; the object is not used."),
                "",
            );
        }
        let path = path.field("trafficPolicy");
        parsed.push(Subset {
            name: name.clone(),
            labels: labels.clone(),
            policy: traffic_policy
                .as_ref()
                .map(|policy| policy::parse(policy, &path, report)),
        });
    }
    let mut selected = true;
    if let Some(WorkloadSelector { match_labels }) = workload_selector {
        let path = spec.field("workloadSelector");
        if !visibility.is_private_to(namespace) && !export_to.is_empty() {
            report.invalid(
                &spec.field("exportTo"),
                "a rule with a workloadSelector can be exported to its own namespace only; the object is not used.",
                "",
            );
        }
        if match_labels.is_empty() {
            report.questionable(&path, "it has no labels, so it selects every workload.", "");
        }
        if let Some(wrong) = labels::wrong_selector(match_labels) {
            report.invalid(&path, format!("{wrong}; the object is not used."), "");
        }
        // It concerns the requests of some workloads; the gateway is one, in its namespace.
        selected =
            *namespace == settings.namespace && labels::is_subset(match_labels, &settings.labels);
    }
    (report.is_valid() && selected).then(|| Rule {
        key: meta.key.clone(),
        created: meta.created,
        host: hosts::qualify(host, namespace, &settings.cluster_domain),
        visibility,
        has_selector: workload_selector.is_some(),
        policy,
        subsets: parsed,
    })
}
