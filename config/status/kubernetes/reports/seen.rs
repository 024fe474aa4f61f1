//! What the namespace holds of MetalLB's two kinds of reports, kept small: every node sees those of
//! all nodes.

use serde_json::Value as Json;

use super::watch::Sight;
use super::{NODE, SERVICE_NAME, SERVICE_NAMESPACE};
use crate::resources::ObjectKey;

/// A ServiceL2Status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SeenL2 {
    pub(super) version: String,
    /// By its labels.
    pub(super) node: String,
    pub(super) service: ObjectKey,
    /// The uid of the Pod that owns it; empty without one.
    pub(super) owner: String,
    /// `status.interfaces`; none where there is no status yet.
    pub(super) interfaces: Option<Vec<String>>,
    /// The status names another node or Service than the labels, or none: it cannot be changed any
    /// more.
    pub(super) is_false: bool,
}

/// A ConfigurationState.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SeenState {
    pub(super) version: String,
    pub(super) owner: String,
    pub(super) status: Option<Json>,
}

/// Both kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) l2: Sight<SeenL2>,
    pub(super) states: Sight<SeenState>,
}

fn text(json: &Json, pointer: &str) -> String {
    let text = json.pointer(pointer).and_then(Json::as_str);
    text.unwrap_or_default().to_owned()
}

/// The object's name.
pub(super) fn name(json: &Json) -> String {
    text(json, "/metadata/name")
}

fn owner(json: &Json) -> String {
    text(json, "/metadata/ownerReferences/0/uid")
}

pub(super) fn l2(json: &Json) -> SeenL2 {
    let labels = json.pointer("/metadata/labels");
    let label = |name: &str| {
        let label = labels.and_then(|labels| labels.get(name));
        let label = label.and_then(Json::as_str);
        label.unwrap_or_default().to_owned()
    };
    let (node, namespace, name) = (label(NODE), label(SERVICE_NAMESPACE), label(SERVICE_NAME));
    let status = json
        .get("status")
        .filter(|status| status.get("node").is_some());
    let interfaces = status.map(|status| {
        let list = status.get("interfaces").and_then(Json::as_array);
        let list = list.into_iter().flatten();
        list.filter_map(|entry| entry.get("name")?.as_str().map(str::to_owned))
            .collect()
    });
    let is_false = status.is_some()
        && (text(json, "/status/node") != node
            || text(json, "/status/serviceName") != name
            || text(json, "/status/serviceNamespace") != namespace);
    SeenL2 {
        version: text(json, "/metadata/resourceVersion"),
        service: ObjectKey::new(namespace, name),
        owner: owner(json),
        node,
        interfaces,
        is_false,
    }
}

pub(super) fn state(json: &Json) -> SeenState {
    let status = json.get("status");
    SeenState {
        version: text(json, "/metadata/resourceVersion"),
        owner: owner(json),
        status: status.filter(|status| !status.is_null()).cloned(),
    }
}
