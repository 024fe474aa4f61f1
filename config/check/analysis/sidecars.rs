//! Sidecars that select nobody, or the same workloads (IST0101, IST0110, IST0111, IST0167).

use std::collections::{BTreeMap, BTreeSet};

use super::{Analysis, injection, selects};
use crate::api::istio::Sidecar;
use crate::codes;
use crate::finding::Level;
use crate::resources::{Object, ObjectKey};
use crate::translate::field_path::FieldPath;
use crate::translate::labels;
use crate::translate::report::Report;

type Written<'a> = (&'a ObjectKey, &'a Object<Sidecar>);

pub(super) fn check(analysis: &Analysis<'_>, report: &mut Report) {
    let mut by_pod: BTreeMap<&ObjectKey, Vec<Written<'_>>> = BTreeMap::new();
    let mut by_namespace: BTreeMap<&str, Vec<&ObjectKey>> = BTreeMap::new();
    let spec = FieldPath::root("spec");
    for (key, object) in &analysis.resources.sidecars {
        let written = &object.body;
        if written.ingress.is_empty()
            && written.egress.is_empty()
            && written.outbound_traffic_policy.is_none()
            && written.inbound_connection_pool.is_none()
        {
            report.on("Sidecar", key).add(
                codes::SCHEMA,
                Level::Error,
                &spec,
                "it says nothing: a Sidecar needs ingress, egress, outboundTrafficPolicy or inboundConnectionPool.",
                "Istio refuses it; gatehouse has no use for it either way.",
            );
        }
        let selector = object.body.workload_selector.as_ref();
        let Some(selector) = selector.filter(|selector| !selector.labels.is_empty()) else {
            by_namespace.entry(&key.namespace).or_default().push(key);
            continue;
        };
        let mut found = false;
        for (pod, written) in &analysis.resources.pods {
            if pod.namespace == key.namespace && selects(&selector.labels, &written.meta.labels) {
                found = true;
                by_pod.entry(pod).or_default().push((key, object));
            }
        }
        if !found {
            report.on("Sidecar", key).add(
                codes::REFERENCE,
                Level::Error,
                &spec.field("workloadSelector"),
                format!(
                    "no Pod of the namespace {} has the labels {}.",
                    key.namespace,
                    labels::display(&selector.labels)
                ),
                "",
            );
        }
    }
    let mut idle: BTreeSet<&ObjectKey> = BTreeSet::new();
    let mut conflicts: BTreeMap<&ObjectKey, (&ObjectKey, Vec<String>)> = BTreeMap::new();
    for (pod, sidecars) in by_pod {
        let object = analysis.resources.pods.get(pod);
        if object.is_some_and(|object| injection::is_ambient(&object.meta)) {
            idle.extend(sidecars.iter().map(|(key, _)| *key));
            continue;
        }
        if sidecars.len() < 2 {
            continue;
        }
        for (key, _) in &sidecars {
            let others = sidecars.iter().filter(|(other, _)| other != key);
            let others = others.map(|(other, _)| other.to_string()).collect();
            conflicts.entry(key).or_insert((pod, others));
        }
    }
    for (key, (pod, others)) in conflicts {
        report.on("Sidecar", key).add(
            codes::SIDECAR_CONFLICT,
            Level::Error,
            &spec.field("workloadSelector"),
            format!(
                "Sidecar {} selects the Pod {pod} too, and one Pod takes one Sidecar.",
                others.join(", ")
            ),
            "Let each select other Pods.",
        );
    }
    for (namespace, keys) in by_namespace {
        if injection::is_ambient_namespace(analysis, namespace) {
            idle.extend(keys);
            continue;
        }
        if keys.len() < 2 {
            continue;
        }
        for key in &keys {
            let others: Vec<_> = keys.iter().filter(|other| *other != key).collect();
            let others: Vec<_> = others.iter().map(ToString::to_string).collect();
            report.on("Sidecar", key).add(
                codes::SIDECARS_WITHOUT_SELECTOR,
                Level::Error,
                &spec,
                format!(
                    "Sidecar {} is for the whole namespace {namespace} too, and it takes one.",
                    others.join(", ")
                ),
                "Keep one of them, or give them a workloadSelector.",
            );
        }
    }
    for key in idle {
        report.on("Sidecar", key).add(
            codes::IDLE_POLICY,
            Level::Warning,
            &spec,
            "what it is for runs in ambient mode, where there are no sidecars: it does nothing.",
            "Remove it.",
        );
    }
}
