//! Connections to the API server that die without a word: an address of it that moved, a firewall
//! that forgot.

use std::time::{Duration, Instant};

use gatehouse_e2e::eventually;

use crate::robust::{POOL, numbered, services, wait_for_dealt};
use crate::setup::Setup;

/// Local ports of a machine's connections to the API server.
fn ports(setup: &Setup) -> Vec<String> {
    let server = setup.server.address();
    let line = format!("ss -tnH state established dst {}", server);
    let text = setup.nodes[0].sh(&line).ok();
    let own = text
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2));
    own.filter_map(|own| Some(own.rsplit_once(':')?.1.to_owned()))
        .collect()
}

fn lease(setup: &Setup, path: &str) -> String {
    setup.get("lease/gatehouse-allocator", "gatehouse-system", path)
}

/// Few connections serve everything; where all of them die at once, whoever deals goes on to deal, and
/// what changes is seen and written over new ones.
#[test]
fn connections_that_die_cost_no_lease() {
    let Some(setup) = Setup::with(&["nft", "ss"]) else {
        return;
    };
    setup.server.install_crds();
    setup.server.apply(POOL);
    setup.server.apply(&services(numbered(3)));
    let _first = setup.start(&setup.nodes[0]);
    wait_for_dealt(&setup, 3);
    assert_eq!(setup.leader(), "node1");
    let _second = setup.start(&setup.nodes[1]);
    let dead = ports(&setup);
    // The watches and writes, and two or three for Leases.
    assert!((2..=8).contains(&dead.len()), "{dead:?}");
    let dead = dead.join(", ");
    let drop = format!(
        "nft 'table inet dead {{ \
         chain in {{ type filter hook input priority 0; tcp dport {{ {dead} }} drop; }}; \
         chain out {{ type filter hook output priority 0; tcp sport {{ {dead} }} drop; }}; }}'"
    );
    setup.nodes[0].sh(&drop).ok();
    let died = Instant::now();
    let renewed = || lease(&setup, "{.spec.renewTime}");
    let last = renewed();
    // Before whoever deals has to stop: long before the shared connection is found to be dead.
    eventually("the Lease is renewed", Duration::from_secs(13), || {
        (renewed() != last).then_some(())
    });
    setup.server.apply(&services(["late".to_owned()]));
    wait_for_dealt(&setup, 4);
    let took = died.elapsed();
    // Longer than a Lease that is not renewed lasts.
    eventually(
        "the Lease would have run out",
        Duration::from_secs(60),
        || (died.elapsed() > Duration::from_secs(20)).then_some(()),
    );
    assert_eq!(setup.leader(), "node1", "the Lease was lost");
    let changes = lease(&setup, "{.spec.leaseTransitions}");
    assert!(
        ["", "0", "1"].contains(&&*changes),
        "it went to and fro: {changes}"
    );
    println!(
        "a Service had its address {} ms after all connections died",
        took.as_millis()
    );
}
