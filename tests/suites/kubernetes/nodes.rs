//! How nodes of a cluster find one another, and what becomes of addresses where they do not hear
//! one another.

use std::time::{Duration, Instant};

use gatehouse_e2e::{DEADLINE, eventually};

use crate::setup::PATIENCE;
use crate::trio::{Trio, WALL};

const LEASES: &str = "jsonpath={range .items[*]}{.spec.holderIdentity}=\
                      {.metadata.annotations.gatehouse\\.io/heartbeats} {end}";

fn leases(trio: &Trio) -> String {
    let get = [
        "get",
        "leases",
        "-n",
        "gatehouse-system",
        "-l",
        "gatehouse.io/lease=node",
        "-o",
        LEASES,
    ];
    trio.setup.server.kubectl(&get).ok().trim().to_owned()
}

fn key(trio: &Trio) -> String {
    let path = "{.data.secretkey}";
    trio.setup
        .get("secret/gatehouse-heartbeats", "gatehouse-system", path)
}

#[test]
fn nodes_find_one_another_through_leases_and_share_a_key() {
    let Some(mut trio) = Trio::new() else { return };
    trio.start_all();
    for number in 0..3 {
        trio.hears(number, 2);
    }
    assert_eq!(
        leases(&trio),
        "node1=192.168.8.11:7946 node2=192.168.8.12:7946 node3=192.168.8.13:7946"
    );
    let owner = trio.one_answers("one of three answers", None);
    let mac = trio.macs[owner].clone();
    let first = key(&trio);
    assert!(first.len() > 60, "{first}");

    // Another key, and none: they change over, and nothing moves.
    let quiet = Instant::now();
    trio.setup.server.apply(
        "apiVersion: v1\nkind: Secret\n\
         metadata: {name: gatehouse-heartbeats, namespace: gatehouse-system}\n\
         stringData: {secretkey: another key of all of them}\n",
    );
    for number in 0..3 {
        let daemon = trio.daemons[number].as_mut().expect("it runs");
        daemon.wait_for_log("heartbeats have a new key");
        daemon.wait_for_log("heartbeats have a new key");
    }
    let delete = [
        "delete",
        "secret",
        "gatehouse-heartbeats",
        "-n",
        "gatehouse-system",
    ];
    trio.setup.server.kubectl(&delete).ok();
    eventually("a new key is made", PATIENCE, || {
        let made = key(&trio);
        (made.len() > 60 && made != first).then_some(())
    });
    for number in 0..3 {
        let daemon = trio.daemons[number].as_mut().expect("it runs");
        daemon.wait_for_log("heartbeats have a new key");
        trio.hears(number, 2);
    }
    let other = trio.claims.next(quiet, &mac);
    assert!(other.is_none(), "{other:?}");

    // A node comes back with another address.
    trio.daemons[2].take().expect("it runs").kill();
    trio.hears(0, 1);
    let move_it = "ip addr del 192.168.8.13/24 dev eth0 && ip addr add 192.168.8.33/24 dev eth0 \
                   && ip route replace default via 192.168.8.1";
    trio.setup.nodes[2].sh(move_it).ok();
    trio.start(2);
    for number in 0..3 {
        trio.hears(number, 2);
    }
    eventually("its Lease says so", DEADLINE, || {
        leases(&trio)
            .contains("node3=192.168.8.33:7946")
            .then_some(())
    });

    // One is told to stop: it is not looked for any more.
    assert!(
        trio.daemons[1]
            .take()
            .expect("it runs")
            .terminate()
            .success()
    );
    assert!(!leases(&trio).contains("node2"), "{}", leases(&trio));
    trio.hears(0, 1);
    assert!(!trio.findings(0).contains("not heard"));

    // One is killed: it is missed.
    trio.daemons[2].take().expect("it runs").kill();
    eventually("it is missed", DEADLINE, || {
        trio.findings(0)
            .contains("node node3 is not heard")
            .then_some(())
    });
    trio.one_answers("the last one has the address", Some(0));

    // It starts while the API server is away, and waits; and is there when that is back.
    trio.setup.server.stop();
    trio.start(1);
    trio.one_answers("the last one goes on", Some(0));
    trio.setup.server.go_on();
    trio.hears(0, 1);
}

/// Heartbeats never arrived, but Leases tell whose MAC address it is.
#[test]
fn a_wall_from_the_start_leaves_an_address_with_one_node() {
    let Some(mut trio) = Trio::new() else { return };
    for node in &trio.setup.nodes {
        node.sh(WALL).ok();
    }
    trio.start_all();
    let owner = trio.one_answers("one of three answers", None);
    for number in 0..3 {
        eventually(&format!("node {number} names the port"), DEADLINE, || {
            trio.findings(number).contains("UDP 7946").then_some(())
        });
    }
    let quiet = Instant::now();
    while quiet.elapsed() < Duration::from_secs(5) {
        trio.one_answers("the same goes on to answer", Some(owner));
    }
    let killed = Instant::now();
    let mac = trio.macs[owner].clone();
    trio.daemons[owner].take().expect("it runs").kill();
    let claim = eventually("another one takes over", DEADLINE, || {
        trio.claims.next(killed, &mac)
    });
    println!("behind a wall, kill -9: {:?}", claim.at - killed);
    assert_ne!(trio.one_answers("one of two answers", None), owner);
}

/// The cluster takes a node out; a host outside of the cluster would have had no object at all.
#[test]
fn a_node_whose_object_is_deleted_owns_nothing_until_it_is_back() {
    let Some(mut trio) = Trio::new() else { return };
    let object = |number: usize| {
        let name = trio.setup.nodes[number].name();
        format!("apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\n---\n")
    };
    let objects: Vec<String> = (0..3).map(object).collect();
    trio.setup.server.apply(&objects.concat());
    trio.start_all();
    for number in 0..3 {
        trio.hears(number, 2);
    }
    let owner = trio.one_answers("one of three answers", None);
    let name = trio.setup.nodes[owner].name().to_owned();
    trio.setup.server.kubectl(&["delete", "node", &name]).ok();
    eventually("another one answers", PATIENCE, || {
        (trio.one_answers("one of two answers", None) != owner).then_some(())
    });
    trio.hears((owner + 1) % 3, 1);
    eventually("it says why", DEADLINE, || {
        let why = format!("the Node object {name} was deleted");
        trio.findings(owner).contains(&why).then_some(())
    });
    trio.setup.server.apply(&objects[owner]);
    trio.one_answers("it has its address again", Some(owner));
    assert!(!trio.findings(owner).contains("was deleted"));
}
