//! Who announces what, and the reasons for silence.

use gatehouse_config::model::{
    AddressRequest, LabelRequirement, LabelSelector, Preference, TrafficPolicy,
};

use super::*;

fn service(name: &str) -> Service {
    Service {
        key: ObjectKey::new("default", name),
        labels: BTreeMap::new(),
        namespace_labels: BTreeMap::new(),
        request: AddressRequest::default(),
        traffic_policy: TrafficPolicy::Cluster,
        selector: String::new(),
        is_gateway: true,
        ports: Vec::new(),
        cluster_ip: None,
        created: None,
    }
}

fn advertisement(name: &str) -> L2Advertisement {
    L2Advertisement {
        name: name.to_owned(),
        pools: BTreeSet::from(["lan".to_owned()]),
        service_selectors: Vec::new(),
        node_selectors: Vec::new(),
        interfaces: BTreeSet::new(),
        preferences: Vec::new(),
    }
}

fn node(name: &str, labels: &[(&str, &str)]) -> Node {
    Node {
        name: name.to_owned(),
        labels: labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        network_unavailable: false,
    }
}

fn selects(key: &str) -> LabelSelector {
    LabelSelector {
        requirements: vec![LabelRequirement::Exists(key.to_owned())],
    }
}

fn holds(names: &[&str], address: &str) -> BTreeMap<ObjectKey, Allocation> {
    names
        .iter()
        .map(|name| {
            (
                ObjectKey::new("default", *name),
                Allocation {
                    addresses: vec![address.parse().unwrap()],
                    pool: "lan".to_owned(),
                },
            )
        })
        .collect()
}

fn model(advertisements: Vec<L2Advertisement>, nodes: Vec<Node>) -> Model {
    Model {
        services: vec![service("web")],
        advertisements,
        nodes,
        ..Model::default()
    }
}

fn reason(model: &Model, node: &str) -> String {
    let plan = plan(model, &holds(&["web"], "10.0.0.1"), node);
    assert!(plan.announcements.is_empty(), "{plan:?}");
    plan.silent[0].reason.clone()
}

#[test]
fn a_directory_without_nodes_announces_here() {
    let model = model(vec![advertisement("all")], Vec::new());
    let plan = plan(&model, &holds(&["web"], "10.0.0.1"), "host");
    assert_eq!(plan.announcements.len(), 1);
    assert_eq!(plan.announcements[0].interfaces, Interfaces::All);
    assert!(plan.silent.is_empty() && plan.notes.is_empty());
}

#[test]
fn reasons_name_what_is_missing() {
    assert!(reason(&model(Vec::new(), Vec::new()), "host").contains("covers pool lan"));
    let mut picky = advertisement("picky");
    picky.node_selectors = vec![selects("rack")];
    let undescribed = model(vec![picky.clone()], Vec::new());
    assert!(reason(&undescribed, "host").contains("no Node object named host"));
    let described = model(vec![picky], vec![node("host", &[])]);
    assert!(reason(&described, "host").contains("do not select node host"));
    let mut selective = advertisement("selective");
    selective.service_selectors = vec![selects("tier")];
    assert!(reason(&model(vec![selective], Vec::new()), "host").contains("serviceSelectors"));
    let mut idle = model(vec![advertisement("all")], Vec::new());
    idle.services[0].is_gateway = false;
    assert!(reason(&idle, "host").contains("no ready endpoint"));
}

#[test]
fn exactly_one_node_owns() {
    let nodes = vec![
        node("node-a", &[]),
        node("node-b", &[]),
        node("node-c", &[]),
    ];
    let model = model(vec![advertisement("all")], nodes);
    let holders = holds(&["web"], "10.0.0.1");
    assert_eq!(plan(&model, &holders, "node-b").announcements.len(), 1);
    for other in ["node-a", "node-c"] {
        let plan = plan(&model, &holders, other);
        assert_eq!(plan.silent[0].owner.as_deref(), Some("node-b"));
    }
}

#[test]
fn preference_beats_the_hash() {
    let mut preferring = advertisement("preferring");
    preferring.preferences = vec![Preference {
        weight: 10,
        selector: selects("fast"),
    }];
    let nodes = vec![node("node-b", &[]), node("node-c", &[("fast", "")])];
    let model = model(vec![preferring], nodes);
    let plan = plan(&model, &holds(&["web"], "10.0.0.1"), "node-c");
    assert_eq!(plan.announcements.len(), 1);
}

#[test]
fn an_excluded_node_stands_back_unless_it_is_alone() {
    let excluded = node("node-b", &[(EXCLUDE_LABEL, "")]);
    let two = model(
        vec![advertisement("all")],
        vec![excluded.clone(), node("node-a", &[])],
    );
    assert_eq!(
        plan(&two, &holds(&["web"], "10.0.0.1"), "node-a")
            .announcements
            .len(),
        1
    );
    let alone = model(vec![advertisement("all")], vec![excluded]);
    let plan = plan(&alone, &holds(&["web"], "10.0.0.1"), "node-b");
    assert_eq!(plan.announcements.len(), 1);
    assert!(plan.notes[0].contains("no other node"));
}

#[test]
fn shared_addresses_join_services_and_interfaces() {
    let mut one = advertisement("one");
    one.interfaces = BTreeSet::from(["eth0".to_owned()]);
    one.service_selectors = vec![selects("one")];
    let mut two = advertisement("two");
    two.interfaces = BTreeSet::from(["eth1".to_owned()]);
    let mut model = model(vec![one, two], Vec::new());
    model.services.push(service("api"));
    model.services[0].labels.insert("one".into(), String::new());
    let plan = plan(&model, &holds(&["web", "api"], "10.0.0.1"), "host");
    assert_eq!(plan.announcements.len(), 1);
    assert_eq!(plan.announcements[0].services.len(), 2);
    let both = BTreeSet::from(["eth0".to_owned(), "eth1".to_owned()]);
    assert_eq!(plan.announcements[0].interfaces, Interfaces::Named(both));

    model.services[0].request.sharing_key = "k".to_owned();
    let plan = super::plan(&model, &holds(&["web"], "10.0.0.1"), "host");
    assert!(plan.silent[0].reason.contains("allow-shared-ip"));
}
