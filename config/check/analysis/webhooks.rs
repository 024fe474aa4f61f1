//! Istio's webhooks: two injectors for one Pod, an injector that is not there (IST0139), and the
//! addresses of a control plane outside the cluster (IST0163, IST0164).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::Analysis;
use crate::api::webhook::{Webhook, WebhookConfiguration};
use crate::codes;
use crate::finding::Level;
use crate::labels::Labels;
use crate::model;
use crate::resources::{Object, ObjectKey};
use crate::translate::field_path::FieldPath;
use crate::translate::labels;
use crate::translate::report::Report;

const REVISION: &str = "istio.io/rev";

pub(super) fn check(analysis: &Analysis<'_>, report: &mut Report) {
    overlaps(analysis, report);
    for (key, object) in &analysis.resources.validating_webhooks {
        let own = key.name == "istiod-default-validator" || key.name.starts_with("istio-validator");
        if own {
            addresses("ValidatingWebhookConfiguration", key, &object.body, report);
        }
    }
    for (key, object) in &analysis.resources.mutating_webhooks {
        if key.name.starts_with("istio-sidecar-injector") {
            addresses("MutatingWebhookConfiguration", key, &object.body, report);
        }
    }
}

/// Whether an injector looks at Pods with these labels in a namespace with those.
pub(super) fn injects(analysis: &Analysis<'_>, namespace: &Labels, pod: &Labels) -> bool {
    let objects = analysis.resources.mutating_webhooks.values();
    let mut hooks = objects.flat_map(|object| &object.body.webhooks);
    hooks.any(|hook| hook.name.ends_with("istio.io") && takes(hook, namespace, pod))
}

fn takes(hook: &Webhook, namespace: &Labels, pod: &Labels) -> bool {
    let fits = |selector: &Option<LabelSelector>, labels: &Labels| match selector {
        None => true,
        Some(selector) => labels::selector(selector)
            .is_ok_and(|selector: model::LabelSelector| selector.matches(labels)),
    };
    fits(&hook.namespace_selector, namespace) && fits(&hook.object_selector, pod)
}

fn overlaps(analysis: &Analysis<'_>, report: &mut Report) {
    let mut hooks: Vec<(&ObjectKey, usize, &Webhook)> = Vec::new();
    let mut revisions = BTreeSet::new();
    for (key, object) in &analysis.resources.mutating_webhooks {
        let own = revisions_of(object);
        let mut written = object.body.webhooks.iter();
        if own.is_empty() && !written.any(|hook| hook.name.ends_with("istio.io")) {
            continue;
        }
        revisions.extend(own);
        let written = object.body.webhooks.iter().enumerate();
        hooks.extend(written.map(|(i, hook)| (key, i, hook)));
    }
    // Of each hook the first other one that takes the same Pods.
    let mut found: BTreeMap<(&ObjectKey, usize), String> = BTreeMap::new();
    let namespaces = permutations("istio-injection", ["enabled", "disabled"], &revisions);
    let pods = permutations("sidecar.istio.io/inject", ["true", "false"], &revisions);
    for namespace in &namespaces {
        for pod in &pods {
            let taking: Vec<_> = hooks
                .iter()
                .filter(|(_, _, hook)| takes(hook, namespace, pod))
                .collect();
            for (key, i, hook) in &taking {
                let other = taking
                    .iter()
                    .find(|(other, _, other_hook)| other != key || other_hook.name != hook.name);
                if let Some((other, _, other_hook)) = other {
                    found
                        .entry((key, *i))
                        .or_insert_with(|| format!("{other}/{}", other_hook.name));
                }
            }
        }
    }
    let root = FieldPath::root("webhooks");
    for ((key, i), other) in found {
        report.on("MutatingWebhookConfiguration", key).add(
            codes::INVALID_WEBHOOK,
            Level::Error,
            &root.index(i),
            format!("the webhook {other} takes the same Pods: they are injected twice."),
            "Let their selectors differ.",
        );
    }
    for (key, i, hook) in hooks {
        let Some(service) = &hook.client_config.service else {
            continue;
        };
        let service = ObjectKey::new(service.namespace.as_str(), service.name.as_str());
        if !analysis.resources.services.contains_key(&service) {
            let path = root.index(i);
            report.on("MutatingWebhookConfiguration", key).add(
                codes::INVALID_WEBHOOK,
                Level::Error,
                &path.field("clientConfig"),
                format!("there is no Service {service}, which this webhook calls."),
                "",
            );
        }
    }
}

fn revisions_of(object: &Object<WebhookConfiguration>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    found.extend(object.meta.labels.get(REVISION).cloned());
    let hooks = object.body.webhooks.iter();
    let selectors = hooks.flat_map(|hook| [&hook.namespace_selector, &hook.object_selector]);
    for selector in selectors.flatten() {
        let labels = selector.match_labels.as_ref();
        found.extend(labels.and_then(|labels| labels.get(REVISION)).cloned());
        for expression in selector.match_expressions.iter().flatten() {
            if expression.key == REVISION {
                found.extend(expression.values.iter().flatten().cloned());
            }
        }
    }
    found
}

/// The labels that a namespace or Pod may carry, as far as injectors look at them.
fn permutations(label: &str, values: [&str; 2], revisions: &BTreeSet<String>) -> Vec<Labels> {
    let mut all = vec![Labels::default()];
    all.extend(values.map(|value| Labels::from([(label.to_owned(), value.to_owned())])));
    for revision in revisions {
        for i in 0..=values.len() {
            let mut labels = all.get(i).cloned().unwrap_or_default();
            labels.insert(REVISION.to_owned(), revision.clone());
            all.push(labels);
        }
    }
    all
}

/// The address of a control plane outside of the cluster.
fn addresses(
    kind: &'static str,
    key: &ObjectKey,
    configuration: &WebhookConfiguration,
    report: &mut Report,
) {
    let root = FieldPath::root("webhooks");
    for (i, hook) in configuration.webhooks.iter().enumerate() {
        let path = root.index(i);
        let field = path.field("clientConfig");
        let (code, level, message) = match (&hook.client_config.url, &hook.client_config.service) {
            (None, None) => (
                codes::CONTROL_PLANE_ADDRESS,
                Level::Warning,
                "it calls nobody: neither `url` nor `service` is set.".to_owned(),
            ),
            (None, Some(_)) => continue,
            (Some(url), _) => match host_of(url) {
                None => (
                    codes::CONTROL_PLANE_ADDRESS,
                    Level::Warning,
                    format!("`{url}` is no URL."),
                ),
                Some(host) if host.parse::<IpAddr>().is_ok() => (
                    codes::CONTROL_PLANE_IP,
                    Level::Info,
                    format!("the control plane is called by its IP address {host}."),
                ),
                Some(_) => continue,
            },
        };
        report.on(kind, key).add(
            code,
            level,
            &field,
            message,
            "Name the control plane by a host name.",
        );
    }
}

/// The host of a URL; none where it is no URL.
fn host_of(url: &str) -> Option<&str> {
    if url.chars().any(|c| c.is_control() || c == ' ') || url.starts_with(':') {
        return None;
    }
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    if let Some(bracketed) = host.strip_prefix('[') {
        return bracketed.split_once(']').map(|(host, _)| host);
    }
    Some(host.split_once(':').map_or(host, |(host, _)| host))
}
