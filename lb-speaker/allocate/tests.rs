//! MetalLB's rules, one by one. Whole histories are in `tests/histories.rs`.

use std::collections::BTreeSet;

use gatehouse_config::model::{
    AddressFamilies, AddressRange, AddressRequest, Port, RefusedPool, ServiceAllocation,
    TrafficPolicy, TransportProtocol,
};

use super::*;

fn service(name: &str, edit: impl FnOnce(&mut Service)) -> Service {
    let mut service = Service {
        key: ObjectKey::new("default", name),
        labels: Default::default(),
        namespace_labels: Default::default(),
        request: AddressRequest::default(),
        traffic_policy: TrafficPolicy::Cluster,
        selector: "app=x".to_owned(),
        is_gateway: false,
        keeps_ports: false,
        ports: vec![Port {
            name: String::new(),
            protocol: TransportProtocol::Tcp,
            port: 80,
            target_port: None,
            node_port: None,
            endpoints: Vec::new(),
        }],
        endpoint_nodes: BTreeSet::new(),
        cluster_ip: None,
        sources: None,
        created: None,
    };
    edit(&mut service);
    service
}

fn pool(name: &str, ranges: &[(&str, &str)]) -> Pool {
    let range = |(first, last): &(&str, &str)| {
        AddressRange::new(first.parse().unwrap(), last.parse().unwrap()).unwrap()
    };
    Pool {
        name: name.to_owned(),
        labels: Default::default(),
        ranges: ranges.iter().map(range).collect(),
        auto_assign: true,
        avoid_buggy_ips: false,
        service_allocation: None,
    }
}

fn lan() -> Pool {
    pool("lan", &[("10.0.0.1", "10.0.0.3")])
}

fn held(outcome: &Outcome, name: &str) -> Vec<String> {
    let allocation = outcome.allocation(&ObjectKey::new("default", name));
    let addresses = allocation.map(|held| held.addresses.clone());
    addresses
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn reason(outcome: &Outcome, name: &str) -> String {
    match &outcome.services[&ObjectKey::new("default", name)] {
        Decision::Pending { reason } => reason.clone(),
        Decision::Allocated { note, .. } => note.clone().unwrap_or_default(),
    }
}

fn share(key: &str, port: u16) -> impl Fn(&mut Service) {
    move |service| {
        service.request.sharing_key = key.to_owned();
        service.ports[0].port = port;
    }
}

#[test]
fn sharing_needs_the_same_key_other_ports_and_the_same_backend() {
    let pools = [pool("one", &[("10.0.0.1", "10.0.0.1")])];
    let mut allocator = Allocator::new();
    let first = service("first", share("k", 80));
    let with = |second: Service| Allocator::new().converge(&[first.clone(), second], Some(&pools));
    assert_eq!(
        held(&with(service("second", share("k", 81))), "second"),
        ["10.0.0.1"]
    );
    assert!(held(&with(service("second", share("l", 81))), "second").is_empty());
    assert!(held(&with(service("second", share("", 81))), "second").is_empty());
    assert!(held(&with(service("second", share("k", 80))), "second").is_empty());
    let udp = service("second", |service| {
        share("k", 80)(service);
        service.ports[0].protocol = TransportProtocol::Udp;
    });
    assert_eq!(held(&with(udp), "second"), ["10.0.0.1"]);
    let local = |name: &str, port, selector: &str| {
        service(name, |service| {
            share("k", port)(service);
            service.traffic_policy = TrafficPolicy::Local;
            service.selector = selector.to_owned();
        })
    };
    assert!(held(&with(local("second", 81, "app=x")), "second").is_empty());
    // Both Local: the selectors have to be the same.
    let both = [local("first", 80, "app=x"), local("second", 81, "app=x")];
    assert_eq!(
        held(&allocator.converge(&both, Some(&pools)), "second"),
        ["10.0.0.1"]
    );
    // The one that changes loses it; when they fit again, it is back.
    let changed = [both[0].clone(), local("second", 81, "app=y")];
    let outcome = allocator.converge(&changed, Some(&pools));
    assert_eq!(held(&outcome, "first"), ["10.0.0.1"]);
    assert!(held(&outcome, "second").is_empty());
    assert_eq!(
        held(&allocator.converge(&both, Some(&pools)), "second"),
        ["10.0.0.1"]
    );
    // Alone, it may change as it likes.
    let alone = [service("first", share("other", 443))];
    assert_eq!(
        held(&allocator.converge(&alone, Some(&pools)), "first"),
        ["10.0.0.1"]
    );
}

#[test]
fn who_waits_gets_what_another_one_moves_away_from() {
    let pools = [
        pool("one", &[("10.0.0.1", "10.0.0.1")]),
        pool("two", &[("10.1.0.1", "10.1.0.1")]),
    ];
    let ask = |name: &str, address: &str| {
        service(name, |service| {
            service.request.addresses = vec![address.parse().unwrap()]
        })
    };
    let mut allocator = Allocator::new();
    let services = [ask("a", "10.0.0.1"), ask("b", "10.0.0.1")];
    let outcome = allocator.converge(&services, Some(&pools));
    assert!(
        reason(&outcome, "b").contains("default/a"),
        "{}",
        reason(&outcome, "b")
    );
    let outcome = allocator.converge(&[ask("a", "10.1.0.1"), ask("b", "10.0.0.1")], Some(&pools));
    assert_eq!(held(&outcome, "a"), ["10.1.0.1"]);
    assert_eq!(held(&outcome, "b"), ["10.0.0.1"]);
}

#[test]
fn pools_made_for_a_service_come_first_by_priority() {
    let made = |name: &str, range, priority, namespaces: bool| Pool {
        service_allocation: Some(ServiceAllocation {
            priority,
            namespaces: namespaces.then(|| BTreeSet::from(["default".to_owned()])),
            service_selectors: Vec::new(),
        }),
        ..pool(name, &[range])
    };
    let first = |pools: &[Pool]| {
        let outcome = Allocator::new().converge(&[service("a", |_| ())], Some(pools));
        held(&outcome, "a")
    };
    let last = made("a-last", ("10.3.0.1", "10.3.0.1"), 0, true);
    let tenth = made("b-tenth", ("10.4.0.1", "10.4.0.1"), 10, false);
    let named = made("c-tenth", ("10.5.0.1", "10.5.0.1"), 10, true);
    assert_eq!(first(&[lan(), last.clone()]), ["10.3.0.1"]);
    assert_eq!(first(&[last.clone(), tenth.clone(), lan()]), ["10.4.0.1"]);
    // Of equal priority the one that names the namespace.
    assert_eq!(first(&[last, tenth, named]), ["10.5.0.1"]);
    let closed = Pool {
        auto_assign: false,
        ..lan()
    };
    assert!(first(&[closed]).is_empty());
}

#[test]
fn a_change_of_pools_moves_only_whom_it_must() {
    let services = [service("a", |_| ()), service("b", |_| ())];
    let mut allocator = Allocator::new();
    let wide = pool("lan", &[("10.0.0.0", "10.0.0.3")]);
    let outcome = allocator.converge(&services, Some(std::slice::from_ref(&wide)));
    assert_eq!(
        [held(&outcome, "a"), held(&outcome, "b")],
        [["10.0.0.0"], ["10.0.0.1"]]
    );
    // Renamed, it still covers both.
    let renamed = Pool {
        name: "net".to_owned(),
        ..wide
    };
    let outcome = allocator.converge(&services, Some(std::slice::from_ref(&renamed)));
    assert!(outcome.changes.is_empty());
    assert_eq!(outcome.allocation(&services[0].key).unwrap().pool, "net");
    // No .0 any more: one moves, with the reason; the other stays.
    let picky = Pool {
        avoid_buggy_ips: true,
        ..renamed
    };
    let outcome = allocator.converge(&services, Some(&[picky]));
    assert_eq!(
        [held(&outcome, "a"), held(&outcome, "b")],
        [["10.0.0.2"], ["10.0.0.1"]]
    );
    assert_eq!(outcome.changes.len(), 1);
    assert!(
        outcome.changes[0].why.contains("avoidBuggyIPs"),
        "{:?}",
        outcome.changes
    );
    // Pools that cannot be read take nothing away; that all were removed does.
    let outcome = allocator.converge(&services, None);
    assert_eq!(held(&outcome, "b"), ["10.0.0.1"]);
    let outcome = allocator.converge(&services, Some(&[]));
    assert!(held(&outcome, "b").is_empty());
}

#[test]
fn holders_are_adopted_before_anybody_is_served() {
    let mut allocator = Allocator::new();
    let allocation = Allocation {
        addresses: vec!["10.0.0.1".parse().unwrap()],
        pool: "lan".to_owned(),
    };
    allocator.readopt([(ObjectKey::new("default", "late"), allocation)]);
    let services = [service("early", |_| ()), service("late", |_| ())];
    // Nothing is lost while no pool is there yet.
    let outcome = allocator.converge(&services, Some(&[]));
    assert_eq!(held(&outcome, "late"), ["10.0.0.1"]);
    let outcome = allocator.converge(&services, Some(&[lan()]));
    assert_eq!(held(&outcome, "late"), ["10.0.0.1"]);
    assert_eq!(held(&outcome, "early"), ["10.0.0.2"]);
}

#[test]
fn two_families_come_from_one_pool() {
    let dual = |families| service("a", move |service| service.request.families = families);
    let both = pool("both", &[("10.1.0.1", "10.1.0.9"), ("fd00::1", "fd00::9")]);
    let get = |families, pools: &[Pool]| {
        held(
            &Allocator::new().converge(&[dual(families)], Some(pools)),
            "a",
        )
    };
    let prefer = |primary_v6| AddressFamilies::PreferDual { primary_v6 };
    let v6 = pool("six", &[("fd06::1", "fd06::9")]);
    assert_eq!(
        get(AddressFamilies::RequireDual, &[lan(), both]),
        ["10.1.0.1", "fd00::1"]
    );
    assert!(get(AddressFamilies::RequireDual, &[lan(), v6.clone()]).is_empty());
    assert_eq!(get(prefer(false), &[lan(), v6.clone()]), ["10.0.0.1"]);
    assert_eq!(get(prefer(true), &[lan(), v6]), ["fd06::1"]);
    // The second one is added when the pool has it.
    let mut allocator = Allocator::new();
    let services = [dual(prefer(false))];
    let outcome = allocator.converge(&services, Some(&[lan()]));
    assert!(reason(&outcome, "a").contains("IPv6"));
    let grown = pool("lan", &[("10.0.0.1", "10.0.0.3"), ("fd00::1", "fd00::9")]);
    let outcome = allocator.converge(&services, Some(&[grown]));
    assert_eq!(held(&outcome, "a"), ["10.0.0.1", "fd00::1"]);
    assert_eq!(outcome.changes[0].kind(), ChangeKind::Extended);
}

#[test]
fn a_wrong_request_keeps_what_is_held_and_gets_nothing() {
    let wrong = |name: &str| {
        service(name, |service| {
            service.request.invalid = Some("`x` is no address".to_owned())
        })
    };
    let mut allocator = Allocator::new();
    allocator.converge(&[service("a", |_| ())], Some(&[lan()]));
    let outcome = allocator.converge(&[wrong("a"), wrong("b")], Some(&[lan()]));
    assert_eq!(held(&outcome, "a"), ["10.0.0.1"]);
    assert!(held(&outcome, "b").is_empty());
    assert!(reason(&outcome, "b").contains("`x` is no address"));
    // A slip in a pool's name is told.
    let slip = service("c", |service| service.request.pool = Some("lam".to_owned()));
    let outcome = allocator.converge(&[slip], Some(&[lan()]));
    assert!(reason(&outcome, "c").contains("did you mean lan?"));
}

fn refused(name: &str) -> RefusedPool {
    RefusedPool {
        name: name.to_owned(),
        labels: Default::default(),
    }
}

/// What a restart finds: `a` holds an address of pool `broken`, which is refused.
fn after_a_restart() -> Allocator {
    let mut allocator = Allocator::new();
    let allocation = Allocation {
        addresses: vec!["10.9.0.1".parse().unwrap()],
        pool: "broken".to_owned(),
    };
    allocator.readopt([(ObjectKey::new("default", "a"), allocation)]);
    allocator
}

#[test]
fn while_a_pool_is_refused_its_addresses_stay_with_their_holders() {
    let services = [service("a", |_| ()), service("b", |_| ())];
    let broken = Beside {
        pools: &[refused("broken")],
        ..Beside::default()
    };
    let mended = pool("broken", &[("10.9.0.1", "10.9.0.9")]);
    // Beside a pool that is right, and as the only one.
    for pools in [vec![lan()], vec![]] {
        let mut allocator = after_a_restart();
        let outcome = allocator.converge_beside(&services, Some(&pools), &broken);
        assert_eq!(held(&outcome, "a"), ["10.9.0.1"]);
        assert_eq!(outcome.allocation(&services[0].key).unwrap().pool, "broken");
        let note = reason(&outcome, "a");
        assert!(note.contains("pool broken is refused"), "{note}");
        let lost = outcome
            .changes
            .iter()
            .any(|change| !change.before.is_empty());
        assert!(!lost, "{:?}", outcome.changes);
        // Mended, it is as if nothing had been; nobody else got the address.
        let all: Vec<Pool> = pools.iter().cloned().chain([mended.clone()]).collect();
        let outcome = allocator.clone().converge(&services, Some(&all));
        assert_eq!(held(&outcome, "a"), ["10.9.0.1"]);
        assert_eq!(reason(&outcome, "a"), "");
        // Deleted, it is judged by what is left.
        let outcome = allocator.converge(&services, Some(&pools));
        assert_ne!(held(&outcome, "a"), ["10.9.0.1"]);
    }
}

#[test]
fn a_refused_pool_keeps_nobody_from_what_he_asks_for() {
    let broken = Beside {
        pools: &[refused("broken")],
        ..Beside::default()
    };
    let after = |edit: &dyn Fn(&mut Service)| {
        let services = [service("a", edit)];
        let outcome = after_a_restart().converge_beside(&services, Some(&[lan()]), &broken);
        held(&outcome, "a")
    };
    let ask = |address: &str| {
        let address: IpAddr = address.parse().unwrap();
        after(&move |service| service.request.addresses = vec![address])
    };
    let named = |pool: &'static str| after(&|service| service.request.pool = Some(pool.to_owned()));
    assert_eq!(ask("10.0.0.2"), ["10.0.0.2"]);
    assert_eq!(named("lan"), ["10.0.0.1"]);
    // This is not to be had before the pool is mended.
    assert_eq!(ask("10.9.0.2"), ["10.9.0.1"]);
    assert_eq!(named("broken"), ["10.9.0.1"]);
}

#[test]
fn an_address_of_a_refused_pool_is_shared_by_agreement_only() {
    let broken = Beside {
        pools: &[refused("broken")],
        ..Beside::default()
    };
    let mut allocator = after_a_restart();
    let allocation = allocator.holders().next().unwrap().1.clone();
    allocator.readopt([(ObjectKey::new("default", "b"), allocation)]);
    let services = |port| [service("a", share("k", 80)), service("b", share("k", port))];
    let outcome = allocator.converge_beside(&services(81), Some(&[lan()]), &broken);
    assert_eq!(held(&outcome, "b"), ["10.9.0.1"]);
    let outcome = allocator.converge_beside(&services(80), Some(&[lan()]), &broken);
    assert_eq!(held(&outcome, "a"), ["10.9.0.1"]);
    assert_eq!(held(&outcome, "b"), ["10.0.0.1"]);
}

#[test]
fn what_a_service_holds_that_cannot_be_read_is_kept_for_it() {
    let named = |names: &[&str], others: bool| UnreadServices {
        named: names
            .iter()
            .map(|name| ObjectKey::new("default", *name))
            .collect(),
        others,
    };
    fn beside(services: &UnreadServices) -> Beside<'_> {
        Beside {
            services: Some(services),
            ..Beside::default()
        }
    }
    let first: IpAddr = "10.0.0.1".parse().unwrap();
    let restart = || {
        let mut allocator = Allocator::new();
        let allocation = Allocation {
            addresses: vec![first],
            pool: "lan".to_owned(),
        };
        allocator.readopt([(ObjectKey::new("default", "a"), allocation)]);
        allocator
    };
    let asks = |service: &mut Service| service.request.addresses = vec![first];
    let shares = share("k", 80);
    for unread in [named(&["a"], false), named(&[], true)] {
        let mut allocator = restart();
        let others = [
            service("b", |_| ()),
            service("c", asks),
            service("d", &shares),
        ];
        let outcome = allocator.converge_beside(&others, Some(&[lan()]), &beside(&unread));
        assert_eq!(held(&outcome, "b"), ["10.0.0.2"]);
        assert!(
            reason(&outcome, "c").contains("default/a"),
            "{}",
            reason(&outcome, "c")
        );
        assert_eq!(held(&outcome, "d"), ["10.0.0.3"]);
        let freed = |change: &Change| change.service.name == "a";
        assert!(!outcome.changes.iter().any(freed));
        assert!(
            !outcome
                .services
                .contains_key(&ObjectKey::new("default", "a"))
        );
        // It stays written down.
        assert_eq!(allocator.holders().count(), 3);
        // Mended.
        let all = [service("a", |_| ()), service("b", |_| ())];
        let outcome = allocator.clone().converge(&all, Some(&[lan()]));
        assert_eq!(held(&outcome, "a"), ["10.0.0.1"]);
        // Gone.
        let outcome = allocator.converge(&others, Some(&[lan()]));
        assert_eq!(held(&outcome, "c"), ["10.0.0.1"]);
    }
    // Another one's trouble is no reason.
    let (mut allocator, unread) = (restart(), named(&["z"], false));
    let others = [service("b", |_| ())];
    let outcome = allocator.converge_beside(&others, Some(&[lan()]), &beside(&unread));
    assert_eq!(held(&outcome, "b"), ["10.0.0.1"]);
}

#[test]
fn reasons_tell_a_refused_pool_from_one_that_is_not_there() {
    let why = |pools: &[Pool], edit: &dyn Fn(&mut Service)| {
        let broken = Beside {
            pools: &[refused("broken")],
            ..Beside::default()
        };
        let services = [service("a", edit)];
        let outcome = Allocator::new().converge_beside(&services, Some(pools), &broken);
        assert!(held(&outcome, "a").is_empty());
        reason(&outcome, "a")
    };
    let named = |service: &mut Service| service.request.pool = Some("broken".to_owned());
    let asked = |service: &mut Service| {
        service.request.addresses = vec!["10.9.0.1".parse().unwrap()];
    };
    let full = Pool {
        auto_assign: false,
        ..lan()
    };
    let near = [Pool {
        name: "brokem".to_owned(),
        ..full.clone()
    }];
    for reason in [
        why(&[], &|_| ()),
        why(&[], &named),
        why(&near, &named),
        why(&near, &asked),
        why(&[full], &|_| ()),
    ] {
        assert!(reason.contains("pool broken is refused"), "{reason}");
        assert!(!reason.contains("did you mean"), "{reason}");
        assert!(
            !reason.contains("no IPAddressPool is configured"),
            "{reason}"
        );
    }
}

#[test]
fn ports_of_sctp_are_not_shared_either() {
    let pools = [pool("one", &[("10.0.0.1", "10.0.0.1")])];
    let with = |name: &str, tcp: u16, sctp: u16| {
        service(name, |service| {
            share("k", tcp)(service);
            service.request.sctp_ports = [sctp].into();
        })
    };
    let second = |port| {
        let services = [with("first", 80, 36412), with("second", 81, port)];
        Allocator::new().converge(&services, Some(&pools))
    };
    assert_eq!(held(&second(80), "second"), ["10.0.0.1"]);
    let clash = second(36412);
    assert!(held(&clash, "second").is_empty());
    // It was never asked for by address, so that the reason is of the pool.
    assert!(reason(&clash, "second").contains("pool one"));
}

#[test]
fn who_prefers_two_families_and_asks_for_one_address_gets_that_one() {
    let both = pool("both", &[("10.1.0.1", "10.1.0.9"), ("fd00::1", "fd00::9")]);
    for address in ["10.1.0.5", "fd00::5"] {
        let services = [service("a", |service| {
            service.request.families = AddressFamilies::PreferDual { primary_v6: false };
            service.request.addresses = vec![address.parse().unwrap()];
        })];
        let mut allocator = Allocator::new();
        for _ in 0..2 {
            let outcome = allocator.converge(&services, Some(std::slice::from_ref(&both)));
            assert_eq!(held(&outcome, "a"), [address]);
            assert_eq!(reason(&outcome, "a"), "");
        }
    }
}
