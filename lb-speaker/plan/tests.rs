//! Who announces what, and the reasons for silence.

use std::sync::Arc;

use gatehouse_config::model::{
    AddressRequest, LabelRequirement, LabelSelector, Preference, TrafficPolicy,
};

use super::*;
use crate::members::{Own, PeerState, View};

fn service(name: &str) -> Service {
    Service {
        key: ObjectKey::new("default", name),
        labels: Default::default(),
        namespace_labels: Default::default(),
        request: AddressRequest::default(),
        traffic_policy: TrafficPolicy::Cluster,
        selector: String::new(),
        is_gateway: true,
        keeps_ports: false,
        ports: Vec::new(),
        endpoint_nodes: std::collections::BTreeSet::new(),
        cluster_ip: None,
        sources: None,
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
        not_ready: false,
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
        services: vec![service("web")].into(),
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
    Arc::make_mut(&mut idle.services)[0].is_gateway = false;
    assert!(reason(&idle, "host").contains("no ready endpoint"));
}

#[test]
fn in_a_cluster_an_endpoint_counts_whatever_its_port() {
    let mut sctp = model(vec![advertisement("all")], vec![node("host", &[])]);
    let service = &mut Arc::make_mut(&mut sctp.services)[0];
    service.is_gateway = false;
    service.endpoint_nodes = BTreeSet::from(["elsewhere".to_owned()]);
    let holders = holds(&["web"], "10.0.0.1");
    assert_eq!(plan(&sctp, &holders, "host").announcements.len(), 1);
    // Without a cluster nobody would carry it.
    sctp.nodes.clear();
    assert!(reason(&sctp, "host").contains("no ready endpoint"));
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
fn a_preference_counts_only_where_its_advertisement_does() {
    let mut elsewhere = advertisement("elsewhere");
    elsewhere.node_selectors = vec![selects("rack")];
    elsewhere.preferences = vec![Preference {
        weight: 10,
        selector: selects("fast"),
    }];
    let nodes = vec![
        node("node-a", &[("rack", "")]),
        node("node-b", &[]),
        node("node-c", &[("fast", "")]),
    ];
    let model = model(vec![advertisement("all"), elsewhere], nodes);
    // Without any weight node-b is first by its hash.
    let plan = plan(&model, &holds(&["web"], "10.0.0.1"), "node-b");
    assert_eq!(plan.announcements.len(), 1, "{plan:?}");
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
fn the_label_that_excludes_can_be_ignored() {
    let excluded = node("node-b", &[(EXCLUDE_LABEL, "")]);
    let model = model(
        vec![advertisement("all")],
        vec![excluded, node("node-a", &[])],
    );
    let holders = holds(&["web"], "10.0.0.1");
    let others = Others {
        ignore_exclusion: true,
        ..Others::default()
    };
    // node-b is first by its hash.
    let plan = |node| plan_among(&model, &holders, node, &others);
    assert_eq!(plan("node-b").announcements.len(), 1);
    assert!(plan("node-b").notes.is_empty());
    assert_eq!(plan("node-a").silent[0].owner.as_deref(), Some("node-b"));
}

#[test]
fn shared_addresses_join_services_and_interfaces() {
    let mut one = advertisement("one");
    one.interfaces = BTreeSet::from(["eth0".to_owned()]);
    one.service_selectors = vec![selects("one")];
    let mut two = advertisement("two");
    two.interfaces = BTreeSet::from(["eth1".to_owned()]);
    let mut model = model(vec![one, two], Vec::new());
    Arc::make_mut(&mut model.services).push(service("api"));
    Arc::make_mut(&mut model.services)[0]
        .labels
        .insert("one".into(), String::new());
    let plan = plan(&model, &holds(&["web", "api"], "10.0.0.1"), "host");
    assert_eq!(plan.announcements.len(), 1);
    assert_eq!(plan.announcements[0].services.len(), 2);
    let both = BTreeSet::from(["eth0".to_owned(), "eth1".to_owned()]);
    assert_eq!(plan.announcements[0].interfaces, Interfaces::Named(both));

    Arc::make_mut(&mut model.services)[0].request.sharing_key = "k".to_owned();
    let plan = super::plan(&model, &holds(&["web"], "10.0.0.1"), "host");
    assert!(plan.silent[0].reason.contains("allow-shared-ip"));
}

fn alive(names: &[&str]) -> Others {
    Others {
        alive: Some(names.iter().map(ToString::to_string).collect()),
        ..Others::default()
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
    // One that said that it stops has no claim any more.
    let others = Others {
        known: ["node-b", "node-c"].map(str::to_owned).into(),
        left: ["node-b".to_owned()].into(),
        ..super::tests::alive(&["node-c"])
    };
    let plan = plan_among(&model, &holders, "node-c", &others);
    assert!(plan.announcements[0].first.is_empty(), "{plan:?}");
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
fn only_what_a_node_had_that_is_heard_is_taken_over_without_asking() {
    let model = model(vec![advertisement("all")], Vec::new());
    let holders = holds(&["web"], "10.0.0.1");
    let plan = |own, peers: &[(&str, PeerState)], before: &Plan| {
        let view = view(own, peers);
        let none = BTreeSet::new();
        let others = Others::seen("node-a", &view, none, &model.nodes, Trust::Heartbeats);
        let mut plan = plan_among(&model, &holders, "node-a", &others);
        plan.follow(before, &others);
        plan
    };
    let former = |plan: &Plan| plan.announcements[0].former;
    let alone = plan(Own::Able, &[], &Plan::default());
    assert_eq!(former(&alone), Former::Nobody);
    // The order is b, a, c.
    let other = plan(Own::Able, &[("node-b", PeerState::Able)], &alone);
    assert!(other.announcements.is_empty());
    for state in [PeerState::Gone, PeerState::Waiting] {
        let back = plan(Own::Able, &[("node-b", state)], &other);
        assert_eq!(former(&back), Former::Heard, "{state:?}");
        assert_eq!(plan(Own::Able, &[("node-b", state)], &back), back);
    }
    // It was never heard, or its death was forgotten: who knows.
    assert_eq!(former(&plan(Own::Able, &[], &other)), Former::Unheard);
    // This node starts, and node-c serves meanwhile: it hears of it when it is our turn.
    let c = [("node-c", PeerState::Able)];
    let starting = plan(Own::HoldDown, &c, &Plan::default());
    assert_eq!(starting.silent[0].owner.as_deref(), Some("node-c"));
    assert_eq!(former(&plan(Own::Able, &c, &starting)), Former::Heard);
}

#[test]
fn local_traffic_goes_to_nodes_with_an_endpoint() {
    let nodes = vec![
        node("node-a", &[]),
        node("node-b", &[]),
        node("node-c", &[]),
    ];
    let mut model = model(vec![advertisement("all")], nodes);
    let service = &mut Arc::make_mut(&mut model.services)[0];
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
    Arc::make_mut(&mut model.services)[0].endpoint_nodes.clear();
    assert_eq!(
        super::plan(&model, &holders, "node-b").announcements.len(),
        1
    );
}

/// What this node, `node-a`, sees of others.
fn view(own: Own, peers: &[(&str, PeerState)]) -> View {
    let peers = peers.iter();
    let peers: BTreeMap<String, PeerState> = peers
        .map(|(name, state)| ((*name).to_owned(), *state))
        .collect();
    let able = peers.iter().filter(|(_, state)| **state == PeerState::Able);
    let mut able: BTreeSet<String> = able.map(|(name, _)| name.clone()).collect();
    if own == Own::Able {
        able.insert("node-a".to_owned());
    }
    View {
        own,
        able,
        peers,
        ..View::default()
    }
}

fn names_of(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn while_heartbeats_tell_nothing_else_does() {
    let nodes = [node("node-a", &[]), node("node-b", &[])];
    let view = view(
        Own::Settling,
        &[("node-b", PeerState::Able), ("node-c", PeerState::Gone)],
    );
    let leases = names_of(&["node-b", "node-d"]);
    let others = Others::seen("node-a", &view, leases, &nodes, Trust::Heartbeats);
    assert_eq!(others.alive, Some(names_of(&["node-b"])));
    assert_eq!(others.known, names_of(&["node-b", "node-c", "node-d"]));
    assert_eq!(others.heard, names_of(&["node-b", "node-c"]));
}

#[test]
fn where_nobody_can_be_heard_only_credible_nodes_get_a_share() {
    let dead = Node {
        not_ready: true,
        ..node("node-b", &[])
    };
    let nodes = [node("node-a", &[]), dead, node("node-c", &[])];
    let alone = view(Own::Settling, &[]);
    let alive = |view: &View, leases: &[&str], trust| {
        let others = Others::seen("node-a", view, names_of(leases), &nodes, trust);
        others.alive.expect("somebody watches")
    };
    // One that does not report is none; one without a Lease neither, where others have one.
    let cluster = Trust::Cluster;
    assert_eq!(alive(&alone, &[], cluster), names_of(&["node-a", "node-c"]));
    let leases = ["node-b", "node-d"];
    assert_eq!(
        alive(&alone, &leases, cluster),
        names_of(&["node-a", "node-d"])
    );
    // One that was heard and died is dead, whatever its Lease says.
    let heard = view(Own::Settling, &[("node-d", PeerState::Gone)]);
    assert_eq!(alive(&heard, &leases, cluster), names_of(&["node-a"]));
    // Then each asks the LAN for everything.
    assert_eq!(alive(&alone, &leases, Trust::Lan), names_of(&["node-a"]));
    // Who has no link owns nothing, and who waits while others serve does not yet.
    for own in [Own::LinkDown, Own::Leaving, Own::HoldDown] {
        let view = view(own, &[]);
        assert_eq!(alive(&view, &[], Trust::Lan), names_of(&[]), "{own:?}");
    }
    let deaf = View {
        trouble: Some("the port is in use".to_owned()),
        ..alone
    };
    assert_eq!(alive(&deaf, &[], Trust::Lan), names_of(&[]));
}

/// A dead node comes first in the election, and nobody is heard: the address is announced all the
/// same, after the LAN was asked.
#[test]
fn an_address_does_not_stay_with_a_node_that_is_only_an_object() {
    let dead = Node {
        not_ready: true,
        ..node("node-b", &[])
    };
    // The order is b, a, c.
    let with = |nodes| model(vec![advertisement("all")], nodes);
    let holders = holds(&["web"], "10.0.0.1");
    let plan = |model: &Model, me: &str, trust| {
        let own = View::default();
        let others = Others::seen(me, &own, BTreeSet::new(), &model.nodes, trust);
        let mut plan = plan_among(model, &holders, me, &others);
        let waiting = Others::seen(me, &own, BTreeSet::new(), &model.nodes, Trust::Heartbeats);
        plan.follow(&plan_among(model, &holders, me, &waiting), &others);
        plan
    };
    let model = with(vec![node("node-a", &[]), dead, node("node-c", &[])]);
    let first = plan(&model, "node-a", Trust::Cluster);
    assert_eq!(first.announcements[0].former, Former::Nobody, "it is asked");
    let second = plan(&model, "node-c", Trust::Cluster);
    assert_eq!(second.silent[0].owner.as_deref(), Some("node-a"));
    // node-b is Ready, but does not run gatehouse: later everybody asks.
    let model = with(vec![node("node-a", &[]), node("node-b", &[])]);
    let before = plan(&model, "node-a", Trust::Cluster);
    assert_eq!(before.silent[0].owner.as_deref(), Some("node-b"));
    let mut after = plan(&model, "node-a", Trust::Lan);
    after.follow(&before, &Others::default());
    assert_eq!(
        after.announcements[0].former,
        Former::Unheard,
        "it is asked"
    );
}
