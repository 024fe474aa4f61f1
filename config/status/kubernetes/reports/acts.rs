//! What is to be done so that the cluster says what there is to tell. No I/O.

use serde_json::{Value as Json, json};

use super::owner::Owner;
use super::seen::SeenState;
use super::state::{Component, status};
use super::{COMPONENT, NODE_NAME};
use crate::resources::ObjectKey;
use crate::source::Kind;

/// The kinds of objects that reports stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    /// ServiceL2Status.
    L2,
    /// ConfigurationState.
    State,
    /// An object of Istio's.
    Object(Kind),
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Act {
    pub(super) place: Place,
    /// Namespace and name of the object.
    pub(super) key: ObjectKey,
    pub(super) what: What,
}

impl Act {
    /// The version of the object that it is for; empty where there is none yet.
    pub(super) fn version(&self) -> &str {
        match &self.what {
            What::Create { .. } => "",
            What::Status(patch) | What::Patch(patch) => {
                let version = patch.pointer("/metadata/resourceVersion");
                version.and_then(Json::as_str).unwrap_or_default()
            }
            What::Delete { version, .. } => version,
        }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Make it, and then write its status.
    Create {
        /// Without the status, which the server does not take together with it.
        object: Json,
        status: Json,
        /// The Service that is announced from now on.
        announces: Option<ObjectKey>,
    },
    /// A merge patch of the status.
    Status(Json),
    /// A merge patch of the object.
    Patch(Json),
    /// Remove it, if it is still in this version.
    Delete {
        version: String,
        /// Another node's.
        is_foreign: bool,
    },
}

/// What an object says of itself: its owner, if there is one.
pub(super) fn owners(owner: Option<&Owner>) -> Json {
    match owner {
        Some(owner) => json!([owner.reference()]),
        None => Json::Null,
    }
}

/// Whether an object's owner is another one than this process' Pod.
pub(super) fn is_foreign(seen: &str, owner: Option<&Owner>) -> bool {
    owner.is_some_and(|owner| owner.uid != seen)
}

/// The ConfigurationState of a component.
pub(super) fn state(
    component: Component,
    node: &str,
    namespace: &str,
    errors: &[String],
    seen: Option<&SeenState>,
    owner: Option<&Owner>,
    now: &str,
) -> Option<Act> {
    let name = component.object(node);
    let what = match seen {
        None => {
            let mut labels = json!({COMPONENT: component.label()});
            if component == Component::Speaker {
                labels[NODE_NAME] = json!(node);
            }
            What::Create {
                object: json!({
                    "apiVersion": "metallb.io/v1beta1",
                    "kind": "ConfigurationState",
                    "metadata": {
                        "name": name,
                        "namespace": namespace,
                        "labels": labels,
                        "ownerReferences": owners(owner),
                    },
                }),
                status: status(component, errors, None, now),
                announces: None,
            }
        }
        Some(seen) if is_foreign(&seen.owner, owner) => What::Patch(json!({
            "metadata": {"resourceVersion": seen.version, "ownerReferences": owners(owner)},
        })),
        Some(seen) => {
            let mut wanted = status(component, errors, seen.status.as_ref(), now);
            if seen.status.as_ref() == Some(&wanted) {
                return None;
            }
            if wanted.get("errorSummary").is_none() {
                wanted["errorSummary"] = Json::Null;
            }
            What::Status(json!({
                "metadata": {"resourceVersion": seen.version},
                "status": wanted,
            }))
        }
    };
    Some(Act {
        place: Place::State,
        key: ObjectKey::new(namespace, name),
        what,
    })
}
