//! What goes wrong in clusters: other writers, bad objects, an API server that goes away, nodes
//! that come and go.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use gatehouse_e2e::{DEADLINE, Gatehouse, eventually};
use rustix::process::Signal;

use crate::setup::{PATIENCE, Setup};

pub const POOL: &str = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\n\
    metadata: {name: lan, namespace: metallb-system}\nspec: {addresses: [192.168.8.151-192.168.8.198]}\n";

/// Services of type LoadBalancer, with a port and nobody behind it.
pub fn services(names: impl IntoIterator<Item = String>) -> String {
    let mut text = String::new();
    for name in names {
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default}}\n\
             spec: {{type: LoadBalancer, ports: [{{port: 80}}]}}\n"
        );
    }
    text
}

/// Names of so many Services.
pub fn numbered(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("s{number}"))
}

/// The addresses of all Services that have one; each once.
pub fn dealt(setup: &Setup) -> Vec<String> {
    let path = "jsonpath={range .items[*]}{.status.loadBalancer.ingress[*].ip} {end}";
    let text = setup
        .server
        .kubectl(&["get", "services", "-A", "-o", path])
        .ok();
    let all: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
    let once: BTreeSet<_> = all.iter().collect();
    assert_eq!(once.len(), all.len(), "an address was dealt twice: {all:?}");
    all
}

pub fn wait_for_dealt(setup: &Setup, count: usize) {
    eventually(
        &format!("{count} Services have addresses"),
        PATIENCE,
        || (dealt(setup).len() == count).then_some(()),
    );
}

#[test]
fn addresses_outlive_whoever_deals_them() {
    let Some(mut setup) = Setup::new() else {
        return;
    };
    setup.server.install_crds();
    setup.server.apply(POOL);
    setup.server.apply(&services(numbered(30)));
    let two = &setup.nodes[..2];
    let mut nodes: Vec<Gatehouse> = two.iter().map(|node| setup.start(node)).collect();
    wait_for_dealt(&setup, 30);

    // Somebody else writes: put right, and the others stay as they are.
    let before = setup.address("s3", "default");
    let foreign = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.9"}]}}}"#;
    let patch = [
        "patch",
        "svc",
        "s3",
        "-n",
        "default",
        "--subresource",
        "status",
        "-p",
        foreign,
    ];
    setup.server.kubectl(&patch).ok();
    setup.wait_for_address("s3", "default", &before);

    // Both are up, one deals; when it is told to stop, the other one does at once.
    let leader = setup.leader();
    let index = setup.nodes.iter().position(|node| node.name() == leader);
    let index = index.unwrap_or_else(|| panic!("nobody deals: {leader:?}"));
    let versions = quiet(&setup);
    assert!(nodes.remove(index).terminate().success());
    setup.server.apply(&services(["late".to_owned()]));
    wait_for_dealt(&setup, 31);
    assert_ne!(setup.leader(), leader);
    assert_unchanged(&versions, &setup.versions());

    // kill -9, and a start anew: everything is taken over without one write.
    let versions = quiet(&setup);
    nodes.remove(0).kill();
    let back = setup.start(&setup.nodes[1 - index]);
    setup.server.apply(&services(["later".to_owned()]));
    wait_for_dealt(&setup, 32);
    assert_unchanged(&versions, &setup.versions());

    // The API server goes away: what is known is served, and announced.
    let address = setup.address("later", "default");
    setup.server.stop();
    eventually("the node says so", DEADLINE, || {
        let findings = back.ask(&["get", "findings"]).stdout;
        findings
            .contains("the API server cannot be asked")
            .then_some(())
    });
    assert_eq!(back.external_ip("later").as_deref(), Some(&*address));
    setup.server.go_on();
    setup.server.apply(&services(["last".to_owned()]));
    wait_for_dealt(&setup, 33);
    eventually("all is well again", PATIENCE, || {
        let findings = back.ask(&["get", "findings"]).stdout;
        (!findings.contains("API server") && !findings.contains("Lease")).then_some(())
    });
    // It hangs, for longer than a request may take.
    setup.server.signal(Signal::STOP);
    std::thread::park_timeout(Duration::from_secs(6));
    assert_eq!(back.external_ip("later").as_deref(), Some(&*address));
    setup.server.signal(Signal::CONT);
    setup.server.apply(&services(["hung".to_owned()]));
    wait_for_dealt(&setup, 34);
    assert_unchanged(&versions, &setup.versions());
}

#[test]
fn bad_objects_stop_nothing_and_pools_change_under_holders() {
    let Some(setup) = Setup::new() else { return };
    setup.server.install_crds();
    setup.server.apply(&services(numbered(3)));
    setup.server.apply(POOL);
    let gatehouse = setup.start(&setup.nodes[0]);
    wait_for_dealt(&setup, 3);
    let versions = quiet(&setup);

    // One that cannot be read: its last good version holds, and the finding names the field.
    setup
        .server
        .apply(&POOL.replace("[192.168.8.151-192.168.8.198]", "5"));
    eventually("the finding names object and field", DEADLINE, || {
        let findings = gatehouse.ask(&["get", "findings"]).stdout;
        (findings.contains("IPAddressPool metallb-system/lan")
            && findings.contains("spec.addresses"))
        .then_some(())
    });
    setup.server.apply(&services(["while".to_owned()]));
    wait_for_dealt(&setup, 4);
    assert_unchanged(&versions, &setup.versions());

    // The pool moves: holders are given others, and told why.
    let moved = POOL.replace("192.168.8.151-192.168.8.198", "192.168.8.200-192.168.8.202");
    setup.server.apply(&moved);
    eventually("three have moved, one waits", PATIENCE, || {
        let all = dealt(&setup);
        (all.len() == 3
            && all
                .iter()
                .all(|address| address.starts_with("192.168.8.20")))
        .then_some(())
    });
    let events = || {
        setup
            .server
            .kubectl(&["get", "events", "-n", "default"])
            .ok()
    };
    eventually("events tell of it", DEADLINE, || {
        let events = events();
        (events.contains("ClearAssignment") && events.contains("AllocationFailed")).then_some(())
    });
    // Deleted under its holders: nobody keeps what nobody may have.
    setup
        .server
        .kubectl(&["delete", "ipaddresspool", "lan", "-n", "metallb-system"])
        .ok();
    wait_for_dealt(&setup, 0);
    setup.server.apply(POOL);
    wait_for_dealt(&setup, 4);
}

/// Waits until nothing is written any more; gives what there is then.
fn quiet(setup: &Setup) -> String {
    quiet_versions(setup, "services")
}

/// The same of other kinds.
pub fn quiet_versions(setup: &Setup, kinds: &str) -> String {
    let mut last = (setup.versions_of(kinds), Instant::now());
    eventually("nothing is written any more", PATIENCE, || {
        let versions = setup.versions_of(kinds);
        if versions != last.0 {
            last = (versions, Instant::now());
        }
        (last.1.elapsed() > Duration::from_millis(500)).then(|| last.0.clone())
    })
}

/// Whether every Service of before is in the same version.
fn assert_unchanged(before: &str, after: &str) {
    let after: BTreeSet<_> = after.split_whitespace().collect();
    for service in before.split_whitespace() {
        assert!(after.contains(service), "{service} was written: {after:?}");
    }
}
