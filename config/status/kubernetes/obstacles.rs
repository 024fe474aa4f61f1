//! What keeps statuses from saying what was decided, in words. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

use super::attempts::Obstacle;
use crate::codes;
use crate::finding::{Finding, Level};
use crate::resources::ObjectKey;
use crate::source::Kind;

/// No more than so many objects are named.
const NAMED: usize = 3;

/// One finding for all objects that it is the same for.
pub(super) fn findings(obstacles: &BTreeMap<Obstacle, Vec<ObjectKey>>) -> Vec<Finding> {
    let all = obstacles.iter();
    all.map(|(obstacle, objects)| finding(obstacle, objects))
        .collect()
}

fn finding(obstacle: &Obstacle, objects: &[ObjectKey]) -> Finding {
    let (kind, level, field, message, hint) = match obstacle {
        Obstacle::Dropped(kind, fields) => {
            let is_mode = fields.iter().all(|field| field.ends_with(".ipMode"));
            let fields = fields.join(", ");
            let of = of(*kind, objects);
            let (why, hint) = match kind {
                Kind::Service if is_mode => (
                    "a cluster before Kubernetes 1.30 forgets that field, so that kube-proxy goes on \
                     to take the packets for these addresses on every node: the gateway does not see \
                     the client's own address, or no packet at all",
                    "Upgrade the cluster to Kubernetes 1.30 or later (1.29: switch the feature gate \
                     LoadBalancerIPMode on in kube-apiserver and kube-proxy).",
                ),
                Kind::IPAddressPool => (
                    "the cluster's CustomResourceDefinition is older than that field, so that `kubectl \
                     get ipaddresspools` does not tell how full they are; addresses are dealt as ever",
                    "Apply the CustomResourceDefinitions of deploy/crds, or those of a MetalLB that \
                     has these fields.",
                ),
                _ => (
                    "the API server, or a webhook in it, takes them out of what is written, so that \
                     nobody sees there what was decided",
                    "See which admission webhooks the cluster has: `kubectl get \
                     mutatingwebhookconfigurations`.",
                ),
            };
            let message = format!("the API server does not keep {fields} of {of}: {why}");
            (*kind, Level::Warning, fields, message, hint)
        }
        Obstacle::Rewritten(kind, by) => {
            let who = by.as_deref().unwrap_or("another program");
            let of = of(*kind, objects);
            let (field, why) = match kind {
                Kind::Service => (
                    "status.loadBalancer",
                    "the address goes to and fro, and what reaches it with it",
                ),
                _ => ("status", "what it says is right for moments only"),
            };
            let message = format!(
                "{who} (field manager) writes {field} of {of} again and again over what gatehouse \
                 writes: {why}. It is written again, up to 5 minutes after the last time"
            );
            let hint = "Let one program deal addresses: switch k3s' ServiceLB off (`--disable \
                        servicelb`), uninstall MetalLB's controller, or give Services that are the \
                        other's their spec.loadBalancerClass.";
            (*kind, Level::Error, field.to_owned(), message, hint)
        }
    };
    Finding {
        code: codes::STATUS_NOT_KEPT,
        level,
        object: objects.first().map(|key| kind.reference(key)),
        field,
        position: None,
        message,
        hint: hint.to_owned(),
    }
}

fn of(kind: Kind, objects: &[ObjectKey]) -> String {
    let named: Vec<String> = objects
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect();
    let more = match objects.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} {}{more}", kind.name(), named.join(", "))
}

/// The program that wrote a status of this kind last, other than gatehouse.
pub(super) fn other_writer(kind: Kind, managed: &[ManagedFieldsEntry], me: &str) -> Option<String> {
    let place = match kind {
        Kind::Service => "/f:status/f:loadBalancer",
        _ => "/f:status",
    };
    let writes = managed.iter().filter(|entry| {
        let fields = entry.fields_v1.as_ref();
        fields.is_some_and(|fields| fields.0.pointer(place).is_some())
    });
    let others = writes.filter(|entry| entry.manager.as_deref().is_some_and(|name| name != me));
    let last = others.max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
    last.and_then(|entry| entry.manager.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_other_writer_of_the_status_is_found() {
        let managed: Vec<ManagedFieldsEntry> = serde_json::from_value(json!([
            {"manager": "kubectl", "time": "2026-01-01T00:00:09Z", "fieldsV1": {"f:spec": {}}},
            {"manager": "controller", "time": "2026-01-01T00:00:01Z", "fieldsV1": {"f:status": {"f:loadBalancer": {}}}},
            {"manager": "k3s", "time": "2026-01-01T00:00:02Z", "fieldsV1": {"f:status": {"f:loadBalancer": {}}}},
            {"manager": "gatehouse", "time": "2026-01-01T00:00:03Z", "fieldsV1": {"f:status": {"f:loadBalancer": {}}}},
            {"manager": "other", "time": "2026-01-01T00:00:04Z", "fieldsV1": {"f:status": {"f:conditions": {}}}},
        ]))
        .unwrap();
        let writer = |kind| other_writer(kind, &managed, "gatehouse");
        assert_eq!(writer(Kind::Service).as_deref(), Some("k3s"));
        assert_eq!(writer(Kind::IPAddressPool).as_deref(), Some("other"));
        assert_eq!(other_writer(Kind::Service, &[], "gatehouse"), None);
    }

    #[test]
    fn findings_name_field_cause_and_fix() {
        let keys: Vec<_> = ["a", "b", "c", "d"]
            .map(|name| ObjectKey::new("x", name))
            .into();
        let mode = "status.loadBalancer.ingress[].ipMode".to_owned();
        let obstacles = BTreeMap::from([
            (Obstacle::Dropped(Kind::Service, vec![mode]), keys.clone()),
            (
                Obstacle::Rewritten(Kind::Service, Some("k3s".to_owned())),
                keys[..1].to_vec(),
            ),
        ]);
        let found = findings(&obstacles);
        let [dropped, rewritten] = found.as_slice() else {
            panic!("{found:?}")
        };
        let text = format!("{} {}", dropped.message, dropped.hint);
        for part in [
            "ingress[].ipMode of Service x/a, x/b, x/c and 1 more",
            "1.30",
            "kube-proxy",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let text = format!("{} {}", rewritten.message, rewritten.hint);
        for part in [
            "k3s (field manager)",
            "Service x/a",
            "--disable servicelb",
            "loadBalancerClass",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
