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
        endpoint_nodes: std::collections::BTreeSet::new(),
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
    let holders = holds(&["web"], "10.0.0.1");
    let unwatched = plan(&alone, &holders, "node-b");
    assert_eq!(unwatched.announcements.len(), 1);
    assert!(unwatched.notes[0].contains("no other node"));
    let mut others = alive(&["node-b"]);
    assert_eq!(plan_among(&alone, &holders, "node-b", &others), unwatched);
    // One that is only not heard is another node all the same.
    others.known.insert("node-a".to_owned());
    let plan = plan_among(&alone, &holders, "node-b", &others);
    assert!(plan.announcements.is_empty());
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

fn alive(names: &[&str]) -> Others {
    Others {
        alive: Some(names.iter().map(ToString::to_string).collect()),
        known: BTreeSet::new(),
    }
}

#[test]
fn who_would_come_first_but_is_not_heard_is_named() {
    let mut model = model(vec![advertisement("all")], vec![node("node-c", &[])]);
    let holders = holds(&["web"], "10.0.0.1");
    let first = |model: &Model, node: &str, alive: &[&str]| {
        let others = Others {
            known: ["node-a", "node-b", "node-c"].map(str::to_owned).into(),
            ..super::tests::alive(alive)
        };
        let plan = plan_among(model, &holders, node, &others);
        let first = plan.announcements[0].first.iter().cloned();
        first.collect::<Vec<_>>()
    };
    // The order is b, a, c.
    assert_eq!(first(&model, "node-c", &["node-c"]), ["node-a", "node-b"]);
    assert_eq!(first(&model, "node-a", &["node-a"]), ["node-b"]);
    assert!(first(&model, "node-b", &["node-b", "node-a"]).is_empty());
    // One that may not announce it does not come first.
    let excluded = node("node-b", &[(EXCLUDE_LABEL, "")]);
    model.nodes.push(excluded);
    assert_eq!(first(&model, "node-c", &["node-c"]), ["node-a"]);
}

#[test]
fn the_dead_do_not_own() {
    // Without Node objects, and with one that nobody hears any more.
    for nodes in [vec![], vec![node("node-a", &[]), node("node-b", &[])]] {
        let model = model(vec![advertisement("all")], nodes);
        let holders = holds(&["web"], "10.0.0.1");
        let owner = |node, names: &[&str]| {
            let plan = plan_among(&model, &holders, node, &alive(names));
            match plan.announcements.as_slice() {
                [] => plan.silent[0].owner.clone(),
                _ => Some(node.to_owned()),
            }
        };
        let all = ["node-a", "node-b", "node-c"];
        assert_eq!(owner("node-a", &all).as_deref(), Some("node-b"));
        assert_eq!(owner("node-b", &all).as_deref(), Some("node-b"));
        let left = ["node-a", "node-c"];
        assert_eq!(owner("node-a", &left).as_deref(), Some("node-a"));
        assert_eq!(owner("node-c", &left).as_deref(), Some("node-a"));
        // One that may not own anything at the moment names the owner all the same.
        assert_eq!(owner("node-b", &left).as_deref(), Some("node-a"));
        assert_eq!(owner("node-b", &[]), None);
    }
}

#[test]
fn what_another_node_had_is_taken_over_without_asking() {
    let model = model(vec![advertisement("all")], Vec::new());
    let holders = holds(&["web"], "10.0.0.1");
    let plan = |names: &[&str], before: &Plan| {
        let mut plan = plan_among(&model, &holders, "node-a", &alive(names));
        plan.follow(before);
        plan
    };
    let first = plan(&["node-a"], &Plan::default());
    assert!(!first.announcements[0].taken_over);
    let other = plan(&["node-a", "node-b"], &first);
    assert!(other.announcements.is_empty());
    let back = plan(&["node-a"], &other);
    assert!(back.announcements[0].taken_over);
    assert_eq!(plan(&["node-a"], &back), back);
}

#[test]
fn local_traffic_goes_to_nodes_with_an_endpoint() {
    let nodes = vec![
        node("node-a", &[]),
        node("node-b", &[]),
        node("node-c", &[]),
    ];
    let mut model = model(vec![advertisement("all")], nodes);
    let service = &mut model.services[0];
    service.traffic_policy = TrafficPolicy::Local;
    service.endpoint_nodes = BTreeSet::from(["node-c".to_owned()]);
    let holders = holds(&["web"], "10.0.0.1");
    assert_eq!(plan(&model, &holders, "node-c").announcements.len(), 1);
    let silent = plan(&model, &holders, "node-b").silent;
    assert_eq!(silent[0].owner.as_deref(), Some("node-c"));
    let others = alive(&["node-a", "node-b"]);
    let plan = plan_among(&model, &holders, "node-a", &others);
    assert!(plan.silent[0].reason.contains("Local"), "{plan:?}");
    // The gateway's own Service without endpoints: the gateway runs on each node.
    model.services[0].endpoint_nodes.clear();
    assert_eq!(
        super::plan(&model, &holders, "node-b").announcements.len(),
        1
    );
}
