use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::acts::{What, state};
use super::istio::{Message, patch};
use super::l2::{Here, acts, object_name};
use super::owner::Owner;
use super::seen::{Seen, SeenL2, SeenState, Sight, l2};
use super::state::{Component, status};
use super::{Announced, NODE, SERVICE_NAME, SERVICE_NAMESPACE};
use crate::finding::Level;
use crate::resources::ObjectKey;
use crate::source::kubernetes::SeenReport;

const NOW: &str = "2026-11-29T12:00:00Z";
const LATER: &str = "2026-11-29T13:00:00Z";

fn web() -> ObjectKey {
    ObjectKey::new("default", "web")
}

fn yes(interfaces: &[&str]) -> BTreeMap<ObjectKey, Announced> {
    let interfaces = interfaces.iter().map(|name| (*name).to_owned()).collect();
    BTreeMap::from([(web(), Announced::Yes { interfaces })])
}

const HERE: Here<'_> = Here {
    node: "node1",
    namespace: "gatehouse-system",
    owner: None,
    removes: true,
};

fn there(node: &str, status: Json) -> (String, SeenL2) {
    let name = object_name(&web(), node);
    let seen = l2(&json!({
        "metadata": {"name": name, "resourceVersion": "7", "labels": {
            NODE: node, SERVICE_NAME: "web", SERVICE_NAMESPACE: "default",
        }},
        "status": status,
    }));
    (name, seen)
}

fn full(node: &str, interfaces: Json) -> Json {
    json!({"node": node, "serviceName": "web", "serviceNamespace": "default", "interfaces": interfaces})
}

#[test]
fn an_announcement_makes_an_object_as_metallb_does() {
    let made = acts(HERE, &yes(&["eth0"]), &BTreeMap::new(), None);
    let [act] = made.as_slice() else {
        panic!("{made:?}")
    };
    let What::Create { object, status, .. } = &act.what else {
        panic!("{act:?}")
    };
    assert!(act.key.name.starts_with("l2-"));
    assert_eq!(
        object.pointer("/metadata/labels"),
        Some(&json!({
            "metallb.io/node": "node1",
            "metallb.io/service-name": "web",
            "metallb.io/service-namespace": "default",
        }))
    );
    assert_eq!(*status, full("node1", json!([{"name": "eth0"}])));
    // Written: nothing is left to do, also where all interfaces are meant.
    for (interfaces, names) in [
        (json!([{"name": "eth0"}]), &["eth0"][..]),
        (Json::Null, &[]),
    ] {
        let seen = BTreeMap::from([there("node1", full("node1", interfaces))]);
        assert_eq!(acts(HERE, &yes(names), &seen, None), []);
    }
}

#[test]
fn what_is_told_is_put_right_and_taken_away() {
    // Made, but without its status yet.
    let seen = BTreeMap::from([there("node1", Json::Null)]);
    let made = acts(HERE, &yes(&[]), &seen, None);
    assert!(matches!(made[0].what, What::Status(_)), "{made:?}");
    // Other interfaces.
    let seen = BTreeMap::from([there("node1", full("node1", json!([{"name": "eth0"}])))]);
    let made = acts(HERE, &yes(&[]), &seen, None);
    assert!(matches!(made[0].what, What::Status(_)), "{made:?}");
    // A status that cannot be changed any more.
    let seen = BTreeMap::from([there("node1", full("node9", Json::Null))]);
    let made = acts(HERE, &yes(&[]), &seen, None);
    assert!(
        matches!(made.as_slice(), [act] if matches!(act.what, What::Delete { .. })),
        "{made:?}"
    );
    // Announced no more; in the first seconds it may be again.
    let seen = BTreeMap::from([there("node1", full("node1", Json::Null))]);
    let made = acts(HERE, &BTreeMap::new(), &seen, None);
    assert!(matches!(made[0].what, What::Delete { .. }), "{made:?}");
    let start = Here {
        removes: false,
        ..HERE
    };
    assert_eq!(acts(start, &BTreeMap::new(), &seen, None), []);
    let perhaps = BTreeMap::from([(web(), Announced::Perhaps)]);
    assert_eq!(acts(HERE, &perhaps, &seen, None), []);
}

#[test]
fn the_node_that_takes_over_removes_what_the_other_one_told() {
    let seen = BTreeMap::from([there("node2", full("node2", Json::Null))]);
    let made = acts(HERE, &yes(&[]), &seen, None);
    assert!(
        matches!(made.as_slice(), [old, new]
            if matches!(old.what, What::Delete { .. }) && matches!(new.what, What::Create { .. })),
        "{made:?}"
    );
    // Of another node's Services nothing is touched, but by the node that deals, where nobody holds
    // an address any more.
    assert_eq!(acts(HERE, &BTreeMap::new(), &seen, None), []);
    assert_eq!(acts(HERE, &BTreeMap::new(), &seen, Some(&|_| true)), []);
    let made = acts(HERE, &BTreeMap::new(), &seen, Some(&|_| false));
    assert!(matches!(made[0].what, What::Delete { .. }), "{made:?}");
}

#[test]
fn the_pod_owns_what_it_tells() {
    let owner = Owner {
        name: "gatehouse-x".to_owned(),
        uid: "u1".to_owned(),
    };
    let here = Here {
        owner: Some(&owner),
        ..HERE
    };
    let seen = BTreeMap::from([there("node1", full("node1", Json::Null))]);
    let made = acts(here, &yes(&[]), &seen, None);
    let What::Patch(patch) = &made[0].what else {
        panic!("{made:?}")
    };
    assert_eq!(
        patch.pointer("/metadata/ownerReferences/0"),
        Some(&json!({"apiVersion": "v1", "kind": "Pod", "name": "gatehouse-x", "uid": "u1"}))
    );
}

/// What was written is known by the answer; the watch may be late, or ahead.
#[test]
fn an_older_version_does_not_take_the_place_of_a_newer_one() {
    let object = |version: u32, node: &str| {
        json!({
            "metadata": {"name": "l2-a", "resourceVersion": version.to_string(), "labels": {"metallb.io/node": node}},
        })
    };
    let mut seen = Seen::default();
    let node = |seen: &Seen| match &seen.l2 {
        Sight::Known(objects) => objects.get("l2-a").map(|seen| seen.node.clone()),
        _ => None,
    };
    seen.put(true, &object(1, "a"));
    assert_eq!(seen, Seen::default(), "nothing was listed yet");
    seen.l2 = Sight::Known(BTreeMap::new());
    seen.put(true, &object(5, "b"));
    seen.put(true, &object(4, "a"));
    assert_eq!(node(&seen).as_deref(), Some("b"));
    seen.deleted(true, "l2-a", "4");
    assert_eq!(
        node(&seen).as_deref(),
        Some("b"),
        "another one of that name"
    );
    seen.deleted(true, "l2-a", "5");
    assert_eq!(node(&seen), None);
}

#[test]
fn a_configuration_state_says_valid_or_why_not() {
    let act = |errors: &[String], seen: Option<&SeenState>, now| {
        state(
            Component::Speaker,
            "node1",
            "gatehouse-system",
            errors,
            seen,
            None,
            now,
        )
    };
    let made = act(&[], None, NOW).unwrap();
    assert_eq!(made.key.name, "speaker-node1");
    let What::Create { object, status, .. } = made.what else {
        panic!()
    };
    assert_eq!(
        object.pointer("/metadata/labels"),
        Some(&json!({"metallb.io/component-type": "speaker", "metallb.io/node-name": "node1"}))
    );
    assert_eq!(
        status,
        json!({"result": "Valid", "conditions": [{
            "type": "configReconcilerValid", "status": "True", "reason": "Reconciled",
            "message": "", "lastTransitionTime": NOW,
        }]})
    );
    let seen = SeenState {
        status: Some(status),
        ..SeenState::default()
    };
    assert_eq!(act(&[], Some(&seen), LATER), None, "nothing changed");
    let wrong = ["IPAddressPool metallb-system/lan spec.addresses: no".to_owned()];
    let What::Status(patch) = act(&wrong, Some(&seen), LATER).unwrap().what else {
        panic!()
    };
    let text = "configuration error: IPAddressPool metallb-system/lan spec.addresses: no";
    assert_eq!(
        patch["status"],
        json!({"result": "Invalid", "errorSummary": text, "conditions": [{
            "type": "configReconcilerValid", "status": "False", "reason": "ConfigurationError",
            "message": text, "lastTransitionTime": LATER,
        }]})
    );
    // Well again: the summary is taken away.
    let seen = SeenState {
        status: Some(patch["status"].clone()),
        ..SeenState::default()
    };
    let What::Status(patch) = act(&[], Some(&seen), NOW).unwrap().what else {
        panic!()
    };
    assert_eq!(patch.pointer("/status/errorSummary"), Some(&Json::Null));
    let controller = status_of(Component::Controller);
    assert_eq!(controller["conditions"][0]["type"], "poolReconcilerValid");
}

fn status_of(component: Component) -> Json {
    status(component, &[], None, NOW)
}

fn message(code: &'static str, level: Level) -> Message {
    Message {
        code,
        level,
        text: "spec.http[0]: no such host".to_owned(),
    }
}

/// What the server has after a merge patch of the status.
fn after(seen: &SeenReport, patch: &Json) -> SeenReport {
    let list = |field: &str| {
        let list = patch["status"][field].as_array();
        list.cloned().unwrap_or_default()
    };
    SeenReport {
        messages: list("validationMessages"),
        conditions: list("conditions"),
        ..seen.clone()
    }
}

#[test]
fn findings_stand_in_the_status_as_istio_writes_them() {
    let seen = SeenReport {
        resource_version: "7".to_owned(),
        generation: 3,
        ..SeenReport::default()
    };
    assert_eq!(patch(&seen, &[], NOW), None, "nothing to tell");
    let messages = [
        message("IST0101", Level::Error),
        message("GH0101", Level::Warning),
    ];
    let first = patch(&seen, &messages, NOW).unwrap();
    assert_eq!(first["metadata"]["resourceVersion"], "7");
    assert_eq!(
        first["status"]["validationMessages"],
        json!([
            {
                "type": {"code": "IST0101", "name": "ReferencedResourceNotFound"},
                "level": "ERROR",
                "documentationUrl": "https://istio.io/latest/docs/reference/config/analysis/ist0101/",
            },
            {"type": {"code": "GH0101", "name": "NotSupportedYet"}, "level": "WARNING"},
        ])
    );
    let told = &first["status"]["conditions"][0];
    assert_eq!(told["type"], "GatehouseAccepted");
    assert_eq!(told["status"], "False");
    assert_eq!(told["lastTransitionTime"], NOW);
    let seen = after(&seen, &first);
    assert_eq!(patch(&seen, &messages, LATER), None, "it stands there");

    // Better, but not well: another status, another time.
    let second = patch(&seen, &messages[1..], LATER).unwrap();
    let told = &second["status"]["conditions"][0];
    assert_eq!(
        (&told["status"], &told["lastTransitionTime"]),
        (&json!("True"), &json!(LATER))
    );
    let seen = after(&seen, &second);
    let third = patch(&seen, &[], LATER).unwrap();
    assert_eq!(third["status"]["conditions"], Json::Null);
    assert_eq!(third["status"]["validationMessages"], Json::Null);
    assert_eq!(patch(&after(&seen, &third), &[], LATER), None);
}

#[test]
fn what_others_say_of_an_object_stays() {
    let theirs = json!({"type": "Reconciled", "status": "True"});
    let seen = SeenReport {
        messages: vec![json!({"level": "WARNING"})],
        conditions: vec![theirs.clone()],
        ..SeenReport::default()
    };
    assert_eq!(patch(&seen, &[], NOW), None);
    let messages = [message("IST0101", Level::Error)];
    let told = patch(&seen, &messages, NOW).unwrap();
    assert_eq!(
        told["status"]["validationMessages"],
        json!([{"level": "WARNING"}])
    );
    assert_eq!(told["status"]["conditions"][0], theirs);
    assert_eq!(told["status"]["conditions"].as_array().unwrap().len(), 2);
}

#[test]
fn messages_that_others_write_after_us_stay_as_well() {
    let messages = [message("IST0101", Level::Error)];
    let ours = patch(&SeenReport::default(), &messages, NOW).unwrap();
    let list = |field: &str| ours["status"][field].as_array().unwrap().clone();
    // As Istio's controller of statuses writes the same.
    let mut theirs = list("validationMessages");
    theirs[0]["documentationUrl"] = json!(
        "https://istio.io/latest/docs/reference/config/analysis/ist0101/?ref=status-controller"
    );
    let seen = SeenReport {
        messages: theirs,
        conditions: list("conditions"),
        ..SeenReport::default()
    };
    assert_eq!(patch(&seen, &messages, NOW), None);
    // And ours go when there is nothing to say any more.
    let seen = SeenReport {
        messages: list("validationMessages"),
        conditions: list("conditions"),
        ..SeenReport::default()
    };
    let cleared = patch(&seen, &[], NOW).unwrap();
    assert_eq!(cleared["status"]["validationMessages"], Json::Null);
}
