//! What is left of an object before it is read: memory is proportional to what is used.

use serde_json::{Map, Value as Json, json};

use super::seen::{is_reported, is_verdict};
use crate::check::INJECTOR;
use crate::source::decode::Kind;
use crate::status::kubernetes::ALLOCATED_FROM;
use crate::translate::certificates::CA_KEYS;
use crate::translate::mesh;

/// Takes out what nothing here reads, and what changes without any effect.
pub(super) fn slim(kind: Kind, json: &mut Json) {
    let Some(object) = json.as_object_mut() else {
        return;
    };
    if let Some(metadata) = object.get_mut("metadata").and_then(Json::as_object_mut) {
        // resourceVersion and generation stand in the origin, and would make versions differ that
        // say the same.
        for field in ["managedFields", "resourceVersion", "generation", "selfLink"] {
            metadata.remove(field);
        }
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Json::as_object_mut)
        {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            if kind == Kind::Service {
                annotations.remove(ALLOCATED_FROM);
            }
            if kind == Kind::Pod {
                annotations.clear();
            }
            if kind == Kind::ConfigMap {
                // Istiod's elections write it every few seconds.
                annotations.remove("control-plane.alpha.kubernetes.io/leader");
            }
        }
    }
    match kind {
        // Addresses are kept beside it.
        Kind::Service => {
            object.remove("status");
        }
        Kind::Node => slim_node(object),
        Kind::ConfigMap => slim_config_map(object),
        Kind::Pod => {
            object.remove("status");
            let node = object
                .get("spec")
                .and_then(|spec| spec.get("nodeName"))
                .cloned();
            object.insert(
                "spec".to_owned(),
                json!({"nodeName": node.unwrap_or_default()}),
            );
        }
        Kind::IPAddressPool | Kind::L2Advertisement => {
            object.remove("status");
        }
        kind if is_reported(kind) => slim_reported(object),
        _ => {}
    }
}

/// Of the status of Istio's objects what others say of them: what is written there from here is no
/// change of the object, and no reason for another finding.
fn slim_reported(object: &mut Map<String, Json>) {
    let Some(status) = object.get_mut("status").and_then(Json::as_object_mut) else {
        return;
    };
    status.remove("validationMessages");
    status.remove("observedGeneration");
    if let Some(conditions) = status.get_mut("conditions").and_then(Json::as_array_mut) {
        conditions.retain(|condition| !is_verdict(condition));
        if conditions.is_empty() {
            status.remove("conditions");
        }
    }
    if status.is_empty() {
        object.remove("status");
    }
}

/// Of a ConfigMap what somebody reads: mesh settings, the injector's values, CAs. A namespace's other
/// ConfigMaps are other programs' state.
fn slim_config_map(object: &mut Map<String, Json>) {
    let name = object.get("metadata").and_then(|meta| meta.get("name"));
    let name = name.and_then(Json::as_str).unwrap_or_default();
    if name == mesh::CONFIG_MAP.0 || name.starts_with(INJECTOR) {
        return;
    }
    for field in ["data", "binaryData"] {
        let Some(values) = object.get_mut(field).and_then(Json::as_object_mut) else {
            continue;
        };
        values.retain(|key, _| CA_KEYS.iter().any(|(cas, crl)| key == cas || key == crl));
        if values.is_empty() {
            object.remove(field);
        }
    }
}

/// Of a Node's status (images, capacities, heartbeats) the addresses and what its conditions say.
fn slim_node(object: &mut Map<String, Json>) {
    let Some(status) = object.remove("status") else {
        return;
    };
    let conditions = status.get("conditions").and_then(Json::as_array);
    let conditions: Vec<Json> = conditions
        .into_iter()
        .flatten()
        .map(|condition| json!({"type": condition.get("type"), "status": condition.get("status")}))
        .collect();
    let addresses = status.get("addresses").cloned().unwrap_or(json!([]));
    object.insert(
        "status".to_owned(),
        json!({"conditions": conditions, "addresses": addresses}),
    );
}
