//! What the namespace holds of MetalLB's two kinds of reports, kept small: every node sees those of
//! all nodes.

use std::collections::BTreeMap;

use serde_json::Value as Json;

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

/// The objects of a kind, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Sight<T> {
    /// Nobody looked yet, or nothing can be seen.
    #[default]
    Unknown,
    /// The cluster has no such kind.
    Absent,
    /// All of them.
    Known(BTreeMap<String, T>),
}

impl<T> Sight<T> {
    /// One of them; an older version than the one that is known changes nothing: answers to writes
    /// and the watch come by two ways.
    fn one(&mut self, name: String, object: T, version: impl Fn(&T) -> u64) {
        if let Self::Known(objects) = self {
            let known = objects.get(&name).map_or(0, &version);
            if known <= version(&object) {
                objects.insert(name, object);
            }
        }
    }

    fn gone(&mut self, name: &str) {
        if let Self::Known(objects) = self {
            objects.remove(name);
        }
    }
}

/// Both kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) l2: Sight<SeenL2>,
    pub(super) states: Sight<SeenState>,
}

impl Seen {
    /// An object as it is now.
    pub(super) fn put(&mut self, is_l2: bool, json: &Json) {
        let number = |version: &str| version.parse().unwrap_or(u64::MAX);
        match is_l2 {
            true => self
                .l2
                .one(name(json), l2(json), |seen| number(&seen.version)),
            false => self
                .states
                .one(name(json), state(json), |seen| number(&seen.version)),
        }
    }

    /// The same of one that is known to be there.
    pub(super) fn renew(&mut self, is_l2: bool, json: &Json) {
        let is_there = self.version(is_l2, &name(json)).is_some();
        if is_there {
            self.put(is_l2, json);
        }
    }

    /// The version in which an object is known; none: it is not.
    fn version(&self, is_l2: bool, name: &str) -> Option<&str> {
        match (is_l2, &self.l2, &self.states) {
            (true, Sight::Known(l2), _) => l2.get(name).map(|seen| &*seen.version),
            (false, _, Sight::Known(states)) => states.get(name).map(|seen| &*seen.version),
            _ => None,
        }
    }

    /// An object that was deleted in this version; another one may have its name by now.
    pub(super) fn deleted(&mut self, is_l2: bool, name: &str, version: &str) {
        if self.version(is_l2, name) == Some(version) {
            self.gone(is_l2, name);
        }
    }

    /// An object that is there no more.
    pub(super) fn gone(&mut self, is_l2: bool, name: &str) {
        match is_l2 {
            true => self.l2.gone(name),
            false => self.states.gone(name),
        }
    }

    /// Notes that a kind is absent; whether that is news.
    pub(super) fn is_absent(&mut self, of_l2: bool) -> bool {
        match of_l2 {
            true => {
                let news = self.l2 != Sight::Absent;
                self.l2 = Sight::Absent;
                news
            }
            false => {
                let news = self.states != Sight::Absent;
                self.states = Sight::Absent;
                news
            }
        }
    }
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
