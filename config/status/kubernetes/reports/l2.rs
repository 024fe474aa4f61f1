//! MetalLB's ServiceL2Status: one for each Service and the node that announces it. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::acts::{Act, Place, What, is_foreign, owners};
use super::owner::Owner;
use super::seen::SeenL2;
use super::{Announced, NODE, SERVICE_NAME, SERVICE_NAMESPACE};
use crate::resources::ObjectKey;

/// Where and who this is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Here<'a> {
    pub(super) node: &'a str,
    /// Where the objects are: the Pod's own namespace.
    pub(super) namespace: &'a str,
    pub(super) owner: Option<&'a Owner>,
    /// Objects of this node are removed that nothing is known of. Not in the first seconds of a
    /// process: what it announced before, it may announce again.
    pub(super) removes: bool,
}

/// `l2-…` as MetalLB's, but always the same for one Service and node: a request that is sent twice
/// makes one object.
pub(super) fn object_name(service: &ObjectKey, node: &str) -> String {
    let digest = Sha256::digest(format!("{}/{}/{node}", service.namespace, service.name));
    let mut name = "l2-".to_owned();
    for byte in digest.iter().take(5) {
        use std::fmt::Write as _;
        // Into a String: it cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// What to do with this node's objects, and with those of others for Services that this node
/// announces. Where this node deals, `held` are the Services that have an address: those of all
/// others are removed, whoever made them.
pub(super) fn acts(
    here: Here<'_>,
    announced: &BTreeMap<ObjectKey, Announced>,
    seen: &BTreeMap<String, SeenL2>,
    held: Option<&dyn Fn(&ObjectKey) -> bool>,
) -> Vec<Act> {
    let mut acts = Vec::new();
    let mut there = BTreeSet::new();
    for (name, object) in seen {
        let how = announced.get(&object.service);
        let is_own = object.node == here.node;
        let remove = What::Delete {
            version: object.version.clone(),
            is_foreign: !is_own,
        };
        let what = match how {
            _ if held.is_some_and(|held| !held(&object.service)) => Some(remove),
            // Another node announced it, and does no more.
            Some(Announced::Yes { .. }) if !is_own => Some(remove),
            Some(Announced::Yes { interfaces }) => {
                let is_second = *name != object_name(&object.service, here.node);
                if object.is_false || is_second {
                    Some(remove)
                } else {
                    there.insert(object.service.clone());
                    change(here, object, interfaces)
                }
            }
            Some(Announced::Perhaps) => None,
            Some(Announced::NoInterface { .. }) | None if is_own && here.removes => Some(remove),
            Some(Announced::NoInterface { .. }) | None => None,
        };
        acts.extend(what.map(|what| Act {
            place: Place::L2,
            key: ObjectKey::new(here.namespace, name.as_str()),
            what,
        }));
    }
    for (service, how) in announced {
        let Announced::Yes { interfaces } = how else {
            continue;
        };
        let name = object_name(service, here.node);
        // One that is removed is made anew when it is gone.
        if there.contains(service) || seen.contains_key(&name) {
            continue;
        }
        acts.push(Act {
            place: Place::L2,
            key: ObjectKey::new(here.namespace, name.as_str()),
            what: What::Create {
                object: json!({
                    "apiVersion": "metallb.io/v1beta1",
                    "kind": "ServiceL2Status",
                    "metadata": {
                        "name": name,
                        "namespace": here.namespace,
                        "labels": {
                            NODE: here.node,
                            SERVICE_NAME: service.name,
                            SERVICE_NAMESPACE: service.namespace,
                        },
                        "ownerReferences": owners(here.owner),
                    },
                }),
                status: status(here.node, service, interfaces),
                announces: Some(service.clone()),
            },
        });
    }
    acts
}

fn change(here: Here<'_>, object: &SeenL2, interfaces: &[String]) -> Option<What> {
    if is_foreign(&object.owner, here.owner) {
        return Some(What::Patch(json!({
            "metadata": {
                "resourceVersion": object.version,
                "ownerReferences": owners(here.owner),
            },
        })));
    }
    (object.interfaces.as_deref() != Some(interfaces)).then(|| {
        What::Status(json!({
            "metadata": {"resourceVersion": object.version},
            "status": status(here.node, &object.service, interfaces),
        }))
    })
}

fn status(node: &str, service: &ObjectKey, interfaces: &[String]) -> Json {
    let interfaces: Vec<Json> = interfaces
        .iter()
        .map(|name| json!({"name": name}))
        .collect();
    json!({
        "node": node,
        "serviceName": service.name,
        "serviceNamespace": service.namespace,
        "interfaces": (!interfaces.is_empty()).then_some(interfaces),
    })
}
