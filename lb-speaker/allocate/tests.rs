//! Rules one by one; whole histories of MetalLB's are in tests/metallb.

use std::collections::BTreeSet;

use gatehouse_config::model::{
    AddressFamilies, AddressRange, AddressRequest, Port, ServiceAllocation, TrafficPolicy,
    TransportProtocol,
};

use super::*;

fn pool(name: &str, ranges: &[(&str, &str)]) -> Pool {
    Pool {
        name: name.to_owned(),
        labels: BTreeMap::new(),
        ranges: ranges
            .iter()
            .map(|(first, last)| {
                AddressRange::new(first.parse().unwrap(), last.parse().unwrap()).unwrap()
            })
            .collect(),
        auto_assign: true,
        avoid_buggy_ips: false,
        service_allocation: None,
    }
}

fn lan() -> Pool {
    pool("lan", &[("192.168.8.151", "192.168.8.153")])
}

fn service(name: &str) -> Service {
    Service {
        key: ObjectKey::new("default", name),
        labels: BTreeMap::new(),
        namespace_labels: BTreeMap::new(),
        request: AddressRequest::default(),
        traffic_policy: TrafficPolicy::Cluster,
        selector: format!("app={name}"),
        is_gateway: false,
        ports: vec![port(80)],
        cluster_ip: None,
        created: None,
    }
}

fn port(port: u16) -> Port {
    Port {
        name: String::new(),
        protocol: TransportProtocol::Tcp,
        port,
        target_port: None,
        node_port: None,
        endpoints: Vec::new(),
    }
}

fn asking(name: &str, address: &str) -> Service {
    let mut service = service(name);
    service.request.addresses = vec![address.parse().unwrap()];
    service
}

fn sharing(name: &str, key: &str, number: u16) -> Service {
    let mut service = service(name);
    service.request.sharing_key = key.to_owned();
    service.ports = vec![port(number)];
    service
}

fn held(outcome: &Outcome, name: &str) -> Vec<String> {
    outcome
        .allocation(&ObjectKey::new("default", name))
        .map(|allocation| {
            allocation
                .addresses
                .iter()
                .map(ToString::to_string)
                .collect()
        })
        .unwrap_or_default()
}

fn reason(outcome: &Outcome, name: &str) -> String {
    match &outcome.services[&ObjectKey::new("default", name)] {
        Decision::Pending { reason } => reason.clone(),
        Decision::Allocated { allocation, .. } => panic!("holds {allocation:?}"),
    }
}

#[test]
fn lowest_free_first_and_freed_ones_again() {
    let mut allocator = Allocator::new();
    let pools = [lan()];
    let outcome = allocator.converge(&[service("a"), service("b")], Some(&pools));
    assert_eq!(held(&outcome, "a"), ["192.168.8.151"]);
    assert_eq!(held(&outcome, "b"), ["192.168.8.152"]);
    let outcome = allocator.converge(&[service("b"), service("c")], Some(&pools));
    assert_eq!(held(&outcome, "b"), ["192.168.8.152"]);
    assert_eq!(held(&outcome, "c"), ["192.168.8.151"]);
    let kinds: Vec<ChangeKind> = outcome.changes.iter().map(Change::kind).collect();
    assert_eq!(kinds, [ChangeKind::Freed, ChangeKind::Given]);
    let again = allocator.converge(&[service("b"), service("c")], Some(&pools));
    assert!(again.changes.is_empty());
    assert_eq!(again.pools[0].in_use(), 2);
    assert_eq!(again.pools[0].total(), 3);
}

#[test]
fn holders_readopt_before_anyone_new() {
    let mut allocator = Allocator::new();
    allocator.readopt([(
        ObjectKey::new("default", "young"),
        Allocation {
            addresses: vec!["192.168.8.151".parse().unwrap()],
            pool: "lan".to_owned(),
        },
    )]);
    let outcome = allocator.converge(&[service("old"), service("young")], Some(&[lan()]));
    assert_eq!(held(&outcome, "young"), ["192.168.8.151"]);
    assert_eq!(held(&outcome, "old"), ["192.168.8.152"]);
    assert!(outcome.changes.iter().all(|c| c.service.name == "old"));
}

#[test]
fn unknown_pools_wipe_nothing_and_removed_ones_do() {
    let mut allocator = Allocator::new();
    let mine = Allocation {
        addresses: vec!["192.168.8.151".parse().unwrap()],
        pool: "lan".to_owned(),
    };
    allocator.readopt([(ObjectKey::new("default", "a"), mine)]);
    for unknown in [None, Some(&[][..])] {
        let outcome = allocator.converge(&[service("a"), service("b")], unknown);
        assert_eq!(held(&outcome, "a"), ["192.168.8.151"]);
        assert!(reason(&outcome, "b").contains("IPAddressPool"));
        assert!(outcome.changes.is_empty());
    }
    let outcome = allocator.converge(&[service("a"), service("b")], Some(&[lan()]));
    assert_eq!(held(&outcome, "a"), ["192.168.8.151"]);
    let outcome = allocator.converge(&[service("a"), service("b")], Some(&[]));
    assert!(reason(&outcome, "a").contains("no IPAddressPool"));
    assert_eq!(allocator.holders().count(), 0);
}

#[test]
fn an_exhausted_pool_says_so_and_a_move_wakes_the_waiter() {
    let mut allocator = Allocator::new();
    let pools = [
        pool("lan", &[("10.0.0.1", "10.0.0.1")]),
        pool("spare", &[("10.0.1.1", "10.0.1.1")]),
    ];
    let mut pinned = service("b");
    pinned.request.pool = Some("lan".to_owned());
    let outcome = allocator.converge(&[service("a"), pinned.clone()], Some(&pools));
    let why = reason(&outcome, "b");
    assert!(
        why.contains("pool lan has 1 of 1 IPv4 addresses in use"),
        "{why}"
    );
    // MetalLB leaves b waiting here: a moved, it was not deleted.
    let mut moving = service("a");
    moving.request.pool = Some("spare".to_owned());
    let outcome = allocator.converge(&[moving, pinned], Some(&pools));
    assert_eq!(held(&outcome, "a"), ["10.0.1.1"]);
    assert_eq!(held(&outcome, "b"), ["10.0.0.1"]);
    assert_eq!(outcome.changes[0].kind(), ChangeKind::Moved);
    assert!(outcome.changes[0].why.contains("spare"));
}

#[test]
fn requested_addresses_and_their_refusals() {
    let mut allocator = Allocator::new();
    let pools = [lan()];
    let services = [
        asking("a", "192.168.8.153"),
        asking("taken", "192.168.8.153"),
        asking("outside", "192.168.8.200"),
        asking("wrong-family", "fd00::1"),
    ];
    let outcome = allocator.converge(&services, Some(&pools));
    assert_eq!(held(&outcome, "a"), ["192.168.8.153"]);
    assert!(reason(&outcome, "taken").contains("held by Service default/a"));
    assert!(reason(&outcome, "outside").contains("lan: 192.168.8.151-192.168.8.153"));
    assert!(reason(&outcome, "wrong-family").contains("wants IPv4"));
    // A wrong request later changes nothing for the holder.
    let mut broken = asking("a", "192.168.8.153");
    broken.request.addresses.clear();
    broken.request.invalid = Some("\"x\" is no address".to_owned());
    let outcome = allocator.converge(&[broken], Some(&pools));
    assert_eq!(held(&outcome, "a"), ["192.168.8.153"]);
}

#[test]
fn pools_by_annotation_priority_and_restriction() {
    let mut manual = pool("manual", &[("10.0.0.1", "10.0.0.9")]);
    manual.auto_assign = false;
    let mut team = pool("team", &[("10.0.1.1", "10.0.1.9")]);
    team.service_allocation = Some(ServiceAllocation {
        priority: 1,
        namespaces: Some(BTreeSet::from(["default".to_owned()])),
        service_selectors: Vec::new(),
    });
    let mut closed = pool("closed", &[("10.0.2.1", "10.0.2.9")]);
    closed.service_allocation = Some(ServiceAllocation {
        priority: 0,
        namespaces: Some(BTreeSet::new()),
        service_selectors: Vec::new(),
    });
    let pools = [closed, manual, team];
    let named = |name: &str, pool: &str| {
        let mut service = service(name);
        service.request.pool = Some(pool.to_owned());
        service
    };
    let services = [
        service("auto"),
        named("by-hand", "manual"),
        named("shut-out", "closed"),
        named("typo", "maunal"),
    ];
    let outcome = Allocator::new().converge(&services, Some(&pools));
    assert_eq!(held(&outcome, "auto"), ["10.0.1.1"]);
    assert_eq!(held(&outcome, "by-hand"), ["10.0.0.1"]);
    assert!(reason(&outcome, "shut-out").contains("no namespace that exists"));
    assert!(reason(&outcome, "typo").contains("did you mean manual?"));
}

#[test]
fn sharing_needs_key_backend_and_other_ports() {
    let mut allocator = Allocator::new();
    let pools = [pool("lan", &[("10.0.0.1", "10.0.0.1")])];
    let mut local = sharing("local", "k", 82);
    local.traffic_policy = TrafficPolicy::Local;
    let services = [
        sharing("a", "k", 80),
        sharing("b", "k", 81),
        sharing("same-port", "k", 80),
        sharing("other-key", "x", 83),
        local,
    ];
    let outcome = allocator.converge(&services, Some(&pools));
    assert_eq!(held(&outcome, "a"), ["10.0.0.1"]);
    assert_eq!(held(&outcome, "b"), ["10.0.0.1"]);
    for waiting in ["same-port", "other-key", "local"] {
        reason(&outcome, waiting);
    }
    assert_eq!(outcome.pools[0].in_use(), 1);
    assert_eq!(outcome.pools[0].services, 2);
    // The one that changes its mind loses the address, although it is the older one.
    let outcome = allocator.converge(
        &[sharing("a", "z", 80), sharing("b", "k", 81)],
        Some(&pools),
    );
    assert_eq!(held(&outcome, "b"), ["10.0.0.1"]);
    assert!(held(&outcome, "a").is_empty());
}

#[test]
fn dual_stack_comes_from_one_pool() {
    let dual = pool("dual", &[("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::1")]);
    let mut both = service("both");
    both.request.families = AddressFamilies::RequireDual;
    let mut prefer = service("prefer");
    prefer.request.families = AddressFamilies::PreferDual { primary_v6: false };
    let mut require = service("require");
    require.request.families = AddressFamilies::RequireDual;
    let mut allocator = Allocator::new();
    let services = [both, prefer.clone(), require];
    let outcome = allocator.converge(&services, Some(std::slice::from_ref(&dual)));
    assert_eq!(held(&outcome, "both"), ["10.0.0.1", "fd00::1"]);
    assert_eq!(held(&outcome, "prefer"), ["10.0.0.2"]);
    reason(&outcome, "require");
    // The second family follows once it is free.
    let outcome = allocator.converge(&[prefer], Some(&[dual]));
    assert_eq!(held(&outcome, "prefer"), ["10.0.0.2", "fd00::1"]);
    assert_eq!(
        outcome.changes.last().map(Change::kind),
        Some(ChangeKind::Extended)
    );
}

#[test]
fn buggy_addresses_are_avoided_and_not_counted() {
    let mut careful = pool("careful", &[("10.0.0.254", "10.0.1.1")]);
    careful.avoid_buggy_ips = true;
    let services = [
        service("a"),
        service("b"),
        service("c"),
        asking("d", "10.0.1.0"),
    ];
    let outcome = Allocator::new().converge(&services, Some(&[careful]));
    assert_eq!(held(&outcome, "a"), ["10.0.0.254"]);
    assert_eq!(held(&outcome, "b"), ["10.0.1.1"]);
    reason(&outcome, "c");
    assert!(reason(&outcome, "d").contains("avoidBuggyIPs"));
    assert_eq!(outcome.pools[0].total(), 2);
    let mut text = String::new();
    write_prometheus(&outcome.pools, &mut text);
    assert!(text.contains("metallb_allocator_addresses_in_use_total{pool=\"careful\"} 2"));
}

#[test]
fn ten_thousand_services_share_nothing_and_lose_nothing() {
    let wide = [pool("wide", &[("10.0.0.0", "10.0.255.255")])];
    let services: Vec<Service> = (0..10_000).map(|n| service(&format!("s{n:05}"))).collect();
    let mut allocator = Allocator::new();
    let outcome = allocator.converge(&services, Some(&wide));
    let distinct: BTreeSet<IpAddr> = allocator
        .holders()
        .flat_map(|(_, allocation)| allocation.addresses.clone())
        .collect();
    assert_eq!(distinct.len(), 10_000);
    assert_eq!(outcome.pools[0].in_use(), 10_000);
    assert!(
        allocator
            .converge(&services, Some(&wide))
            .changes
            .is_empty()
    );
}
