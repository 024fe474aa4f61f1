//! Policies and telemetry for workloads: selectors that select nobody or the same ones (IST0101,
//! IST0127, IST0159, IST0160, IST0166), access logs without a provider (IST0157), keys from
//! anywhere (IST0175).

use std::collections::{BTreeMap, BTreeSet};

use super::workloads::Workload;
use super::{Analysis, injection, selects};
use crate::api::istio::policy_target::{TargetReference, WorkloadSelector};
use crate::codes;
use crate::finding::Level;
use crate::resources::{Metadata, Object, ObjectKey};
use crate::translate::field_path::FieldPath;
use crate::translate::labels;
use crate::translate::report::{ObjectReport, Report};

/// The label of the Pods of a Gateway of the Gateway API.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
/// What an istiod that fetches keys from known places only is told.
const BLOCKED: &str = "BLOCKED_CIDRS_IN_JWKS_URIS";

pub(super) fn check(analysis: &Analysis<'_>, report: &mut Report) {
    ineffective(analysis, report);
    telemetry(analysis, report);
    if analysis.settings.offline {
        authorization(analysis, report);
        key_sets(analysis, report);
    }
}

/// Whether a RequestAuthentication verifies tokens at a workload: one of the root namespace or of
/// its own.
pub(super) fn authenticates(analysis: &Analysis<'_>, workload: &Workload<'_>) -> bool {
    let root = analysis.settings.root_namespace.as_str();
    let policies = analysis.resources.request_authentications.iter();
    policies
        .filter(|(key, _)| key.namespace == root || key.namespace == workload.namespace)
        .any(|(_, policy)| match &policy.body.selector {
            None => true,
            Some(selector) => selects(&selector.match_labels, workload.labels),
        })
}

/// A selector where only a reference counts: the Pods of a Gateway of the Gateway API.
fn ineffective(analysis: &Analysis<'_>, report: &mut Report) {
    let mut of_gateways: BTreeMap<&str, Vec<&Metadata>> = BTreeMap::new();
    for (key, pod) in &analysis.resources.pods {
        if pod.meta.labels.contains_key(GATEWAY_NAME) {
            of_gateways
                .entry(&key.namespace)
                .or_default()
                .push(&pod.meta);
        }
    }
    if of_gateways.is_empty() {
        return;
    }
    let judge = |selector: Option<&BTreeMap<String, String>>,
                 has_reference: bool,
                 namespace: &str,
                 report: &mut ObjectReport<'_>| {
        let Some(selector) = selector.filter(|_| !has_reference) else {
            return;
        };
        let pods = of_gateways.get(namespace).into_iter().flatten();
        let gateways: BTreeSet<&str> = pods
            .filter(|pod| selects(selector, &pod.labels))
            .filter_map(|pod| pod.labels.get(GATEWAY_NAME))
            .map(String::as_str)
            .collect();
        for gateway in gateways {
            report.add(
                codes::IDLE_SELECTOR,
                Level::Warning,
                &FieldPath::root("spec").field("selector"),
                format!("it selects the Pods of the Gateway `{gateway}` of the Gateway API, for which selectors do nothing."),
                "Name the Gateway in targetRefs.",
            );
        }
    };
    fn labels(selector: &Option<WorkloadSelector>) -> Option<&BTreeMap<String, String>> {
        selector.as_ref().map(|selector| &selector.match_labels)
    }
    let resources = analysis.resources;
    let has = |reference: &Option<TargetReference>| reference.is_some();
    for (key, object) in &resources.authorization_policies {
        let (selector, reference) = (labels(&object.body.selector), has(&object.body.target_ref));
        let mut report = report.on("AuthorizationPolicy", key);
        judge(selector, reference, &key.namespace, &mut report);
    }
    for (key, object) in &resources.request_authentications {
        let (selector, reference) = (labels(&object.body.selector), has(&object.body.target_ref));
        let mut report = report.on("RequestAuthentication", key);
        judge(selector, reference, &key.namespace, &mut report);
    }
    for (key, object) in &resources.telemetries {
        let (selector, reference) = (labels(&object.body.selector), has(&object.body.target_ref));
        let mut report = report.on("Telemetry", key);
        judge(selector, reference, &key.namespace, &mut report);
    }
    for (key, object) in &resources.wasm_plugins {
        let selector = object.body.selector.as_ref().map(|s| &s.match_labels);
        let reference = object.body.target_ref.is_some();
        let mut report = report.on("WasmPlugin", key);
        judge(selector, reference, &key.namespace, &mut report);
    }
}

fn telemetry(analysis: &Analysis<'_>, report: &mut Report) {
    let spec = FieldPath::root("spec");
    let logging = spec.field("accessLogging");
    let mut without_selector: BTreeMap<&str, Vec<&ObjectKey>> = BTreeMap::new();
    let mut by_workload: BTreeMap<(&str, &str), Vec<&ObjectKey>> = BTreeMap::new();
    for (key, object) in &analysis.resources.telemetries {
        let telemetry = &object.body;
        let mut report = report.on("Telemetry", key);
        for (i, part) in telemetry.access_logging.iter().enumerate() {
            let is_off = part.disabled == Some(true);
            if is_off
                || !part.providers.is_empty()
                || !analysis.settings.mesh.log_providers.is_empty()
            {
                continue;
            }
            report.add(
                codes::IDLE_TELEMETRY,
                Level::Warning,
                &logging.index(i),
                "it names no provider, and MeshConfig has no default one: nothing is logged because of it.",
                "Add `providers: [{name: envoy}]`.",
            );
        }
        let Some(selector) = &telemetry.selector else {
            without_selector
                .entry(&key.namespace)
                .or_default()
                .push(key);
            continue;
        };
        if selector.match_labels.is_empty() {
            continue;
        }
        let selected = analysis
            .workloads
            .of(&key.namespace)
            .filter(|workload| selects(&selector.match_labels, workload.labels));
        let mut any = false;
        for workload in selected {
            any = true;
            let place = (workload.namespace, workload.name);
            by_workload.entry(place).or_default().push(key);
        }
        // Without a cluster there are no Pods, and that is no mistake.
        if !any && analysis.settings.offline {
            report.add(
                codes::REFERENCE,
                Level::Error,
                &spec.field("selector"),
                nobody(&selector.match_labels, &key.namespace),
                "",
            );
        }
    }
    for (namespace, keys) in without_selector.iter().filter(|(_, keys)| keys.len() > 1) {
        for key in keys {
            report.on("Telemetry", key).add(
                codes::TELEMETRIES_WITHOUT_SELECTOR,
                Level::Error,
                &spec,
                format!(
                    "Telemetry {} is for the whole namespace {namespace} too: which of them counts is left open.",
                    others(keys, key)
                ),
                "Merge them into one.",
            );
        }
    }
    let mut told = BTreeSet::new();
    for ((namespace, name), keys) in by_workload.iter().filter(|(_, keys)| keys.len() > 1) {
        for key in keys.iter().filter(|key| told.insert(**key)) {
            report.on("Telemetry", key).add(
                codes::TELEMETRY_CONFLICT,
                Level::Error,
                &spec.field("selector"),
                format!(
                    "Telemetry {} selects {namespace}/{name} too: which of them counts is left open.",
                    others(keys, key)
                ),
                "Let each select other workloads.",
            );
        }
    }
}

fn others(keys: &[&ObjectKey], own: &ObjectKey) -> String {
    let others = keys.iter().filter(|key| **key != own);
    let others: Vec<_> = others.map(ToString::to_string).collect();
    others.join(", ")
}

fn nobody(selector: &BTreeMap<String, String>, namespace: &str) -> String {
    let labels = labels::display(selector);
    format!("no workload of the namespace {namespace} has the labels {labels}: it is for nobody.")
}

/// AuthorizationPolicies that guard nobody, or name namespaces that are not there.
fn authorization(analysis: &Analysis<'_>, report: &mut Report) {
    let mut in_mesh: BTreeMap<&str, Vec<&Metadata>> = BTreeMap::new();
    for (key, pod) in &analysis.resources.pods {
        let meta = (&pod.meta.labels, &pod.meta.annotations);
        let injected = injection::is_in_mesh(analysis, &key.namespace, meta, &pod.body);
        if injected || injection::is_ambient(&pod.meta) {
            in_mesh.entry(&key.namespace).or_default().push(&pod.meta);
        }
    }
    let own = |namespace: &str, selector: Option<&BTreeMap<String, String>>| {
        namespace == analysis.settings.namespace
            && selector.is_none_or(|selector| selects(selector, &analysis.settings.labels))
    };
    let spec = FieldPath::root("spec");
    for (key, object) in &analysis.resources.authorization_policies {
        let mut report = report.on("AuthorizationPolicy", key);
        namespaces(analysis, object, &mut report);
        let selector = object.body.selector.as_ref().map(|s| &s.match_labels);
        let is_for_all = key.namespace == analysis.settings.root_namespace;
        let fits = |pod: &Metadata| selector.is_none_or(|s| selects(s, &pod.labels));
        let found = match (is_for_all, selector) {
            (true, None) => true,
            (true, Some(_)) => in_mesh.values().flatten().copied().any(fits),
            (false, _) => {
                let pods = in_mesh.get(&*key.namespace).into_iter().flatten();
                pods.into_iter().copied().any(fits)
            }
        };
        if found || own(&key.namespace, selector) {
            continue;
        }
        let message = match selector {
            Some(selector) => nobody(selector, &key.namespace),
            None => format!(
                "no workload of a mesh is in the namespace {}: it is for nobody.",
                key.namespace
            ),
        };
        let path = spec.field("selector");
        report.add(codes::NO_WORKLOADS, Level::Warning, &path, message, "");
    }
}

/// Namespaces that rules name and nobody has.
fn namespaces(
    analysis: &Analysis<'_>,
    object: &Object<crate::api::istio::AuthorizationPolicy>,
    report: &mut ObjectReport<'_>,
) {
    let exists = |pattern: &str| {
        let mut names = analysis
            .resources
            .namespaces
            .keys()
            .map(|key| key.name.as_str());
        match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            // Of no namespace at all even `*` is none.
            (Some(suffix), _) => names.any(|name| name.ends_with(suffix)),
            (None, Some(prefix)) => names.any(|name| name.starts_with(prefix)),
            (None, None) => names.any(|name| name.eq_ignore_ascii_case(pattern)),
        }
    };
    let spec = FieldPath::root("spec");
    let rules = spec.field("rules");
    for (i, rule) in object.body.rules.iter().enumerate() {
        let rule_path = rules.index(i);
        let from = rule_path.field("from");
        for (j, part) in rule.from.iter().enumerate() {
            let Some(source) = &part.source else { continue };
            let part_path = from.index(j);
            let path = part_path.field("source");
            let lists = [
                ("namespaces", &source.namespaces),
                ("notNamespaces", &source.not_namespaces),
            ];
            for (field, names) in lists {
                let list = path.field(field);
                for (k, name) in names.iter().enumerate().filter(|(_, name)| !exists(name)) {
                    report.add(
                        codes::REFERENCE,
                        Level::Error,
                        &list.index(k),
                        format!("there is no namespace `{name}`."),
                        "",
                    );
                }
            }
        }
    }
}

/// An istiod that fetches keys from wherever a RequestAuthentication says.
fn key_sets(analysis: &Analysis<'_>, report: &mut Report) {
    let count = analysis.resources.request_authentications.len();
    if count == 0 {
        return;
    }
    for (key, object) in &analysis.resources.deployments {
        let is_istiod = object
            .meta
            .labels
            .get("app")
            .is_some_and(|app| app == "istiod");
        let containers = &object.body.template.spec.containers;
        let mut variables = containers.iter().flat_map(|container| &container.env);
        let is_limited = variables.any(|env| env.name == BLOCKED && !env.value.is_empty());
        if is_istiod && !is_limited {
            report.on("Deployment", key).add(
                codes::OPEN_JWKS,
                Level::Warning,
                &FieldPath::root("spec").field("template"),
                format!("it fetches keys for RequestAuthentications (there are {count}) from any address that they name, also from inside of the network."),
                format!("Set {BLOCKED}."),
            );
        }
    }
}
