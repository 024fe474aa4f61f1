//! What becomes of nodes among one another where the API server refuses or hangs, for their Leases
//! and for the key of heartbeats: who is alive is told by heartbeats, so that nothing moves.

use std::time::{Duration, Instant};

use gatehouse_e2e::{DEADLINE, eventually};

use crate::answers::fault;
use crate::between::Between;
use crate::setup::PATIENCE;
use crate::trio::Trio;

/// What findings and log say, in this order of what cannot be had.
const TROUBLES: [&str; 3] = [
    "the Leases of nodes cannot be seen",
    "Secret gatehouse-heartbeats cannot be read",
    "the Lease of this node cannot be written",
];

/// Everything that nodes ask of one another's Leases and of the key ends so, what is open too.
fn all_refused(what: &str) -> String {
    let what = format!("{what}, \"cut\": true");
    [
        ("GET", "gatehouse-system/leases?"),
        ("GET", "leases/gatehouse-node"),
        ("PUT", "leases/gatehouse-node"),
        ("POST", "gatehouse-system/leases"),
        ("GET", "gatehouse-system/secrets"),
    ]
    .map(|(method, path)| fault(method, path, &what))
    .concat()
}

fn count(text: &str, part: &str) -> usize {
    text.lines().filter(|line| line.contains(part)).count()
}

/// How often it was said with the reason that a connection was closed.
fn count_cut(text: &str, part: &str) -> usize {
    let lines = text.lines().filter(|line| line.contains(part));
    lines.filter(|line| line.contains("client error (")).count()
}

/// A link beside the LAN, of which the Lease tells.
const SIDE_LINK: &str = "ip link add side0 type veth peer name side1; ip link set side0 up";

#[test]
fn whatever_the_api_server_answers_nothing_moves_and_findings_say_why() {
    let Some(mut trio) = Trio::new() else { return };
    let Some(between) = Between::start(&trio.setup) else {
        return;
    };
    trio.kubeconfig = Some(between.kubeconfig.clone());
    trio.setup.nodes[0].sh(SIDE_LINK).ok();
    trio.start_all();
    for number in 0..3 {
        trio.hears(number, 2);
    }
    let owner = trio.one_answers("one of three answers", None);
    let mac = trio.macs[owner].clone();
    let quiet = Instant::now();
    let mut up = false;
    for code in [403, 404, 409, 410, 429, 500, 0, -1] {
        let before = trio.daemon(0).log();
        between.answer(&all_refused(&format!("\"code\": {code}")));
        // So that there is something to write.
        up = !up;
        let side = format!("ip link set side1 {}", if up { "up" } else { "down" });
        trio.setup.nodes[0].sh(&side).ok();
        for trouble in TROUBLES {
            eventually(&format!("{code}: {trouble}"), PATIENCE, || {
                trio.findings(0).contains(trouble).then_some(())
            });
        }
        between.answer("");
        eventually(&format!("{code}: all is well again"), PATIENCE, || {
            let findings = trio.findings(0);
            let all = TROUBLES.iter();
            (!all.clone().any(|trouble| findings.contains(trouble))).then_some(())
        });
        let log = trio.daemon(0).log();
        for trouble in TROUBLES {
            let said = count(&log, trouble) - count(&before, trouble);
            assert!(said >= 1, "{code}: not said: {log}");
            // A request that is under way when answers begin is cut off, a reason of its own.
            let cut = match code {
                1.. => count_cut(&log, trouble) - count_cut(&before, trouble),
                _ => 0,
            };
            // Where nothing is answered the reason changes once, from what failed to what hangs.
            assert!(said - cut <= 2, "{code}: {said} times: {log}");
        }
        let lines = log.lines().count() - before.lines().count();
        assert!(lines <= 20, "{code}: {lines} lines: {log}");
    }
    let other = trio.claims.next(quiet, &mac);
    assert!(other.is_none(), "{other:?}");
    for number in 0..3 {
        trio.hears(number, 2);
    }
    trio.one_answers("the same answers", Some(owner));
}

/// The API server says nothing of other nodes from the start, and one that is to have the address by
/// its Node object runs no gatehouse.
#[test]
fn nodes_that_are_told_of_nobody_ask_the_lan() {
    let Some(mut trio) = Trio::new() else { return };
    let Some(between) = Between::start(&trio.setup) else {
        return;
    };
    // `spare` is the first of them in the election.
    let nodes = ["node1", "node2", "node3", "spare"];
    let nodes =
        nodes.map(|name| format!("---\napiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\n"));
    trio.setup.server.apply(&nodes.concat());
    let refused = [
        fault("GET", "gatehouse-system/leases?", r#""code": 403"#),
        fault("GET", "gatehouse-system/secrets", r#""code": 403"#),
    ];
    between.answer(&refused.concat());
    trio.kubeconfig = Some(between.kubeconfig.clone());
    trio.start_all();
    let started = Instant::now();
    let owner = trio.one_answers("one of three answers", None);
    println!("told of nobody: announced after {:?}", started.elapsed());
    for number in 0..3 {
        eventually("a finding says how", PATIENCE, || {
            let findings = trio.findings(number);
            (findings.contains("takes each address that nobody on the LAN answers for")
                && findings.contains("told to answer 403"))
            .then_some(())
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
    println!("told of nobody, kill -9: {:?}", claim.at - killed);
    trio.one_answers("one of two answers", None);
    // It ends: they find one another, and heartbeats tell.
    between.answer("");
    let left = (0..3).filter(|number| *number != owner);
    for number in left {
        trio.hears(number, 1);
        eventually("findings end", PATIENCE, || {
            let findings = trio.findings(number);
            (!findings.contains("answers for") && !findings.contains("cannot be seen"))
                .then_some(())
        });
    }
    trio.one_answers("one of two answers still", None);
}

/// The key is changed while one node's watch of it hangs.
#[test]
fn a_watch_that_hangs_does_not_hide_a_new_key() {
    let Some(mut trio) = Trio::new() else { return };
    let Some(between) = Between::start(&trio.setup) else {
        return;
    };
    trio.start(0);
    trio.start(1);
    trio.kubeconfig = Some(between.kubeconfig.clone());
    trio.start(2);
    for number in 0..3 {
        trio.hears(number, 2);
    }
    let owner = trio.one_answers("one of three answers", None);
    let mac = trio.macs[owner].clone();
    between.answer(&fault(
        "GET",
        "gatehouse-system/secrets",
        r#""stall": true"#,
    ));
    let changed = Instant::now();
    trio.setup.server.apply(
        "apiVersion: v1\nkind: Secret\n\
         metadata: {name: gatehouse-heartbeats, namespace: gatehouse-system}\n\
         stringData: {secretkey: another key of all of them}\n",
    );
    let new = "heartbeats have a new key";
    for number in 0..2 {
        eventually("the others see it", DEADLINE, || {
            (count(&trio.daemon(number).log(), new) == 2).then_some(())
        });
    }
    assert_eq!(count(&trio.daemon(2).log(), new), 1);
    eventually("the last one sees it, too", Duration::from_secs(75), || {
        (count(&trio.daemon(2).log(), new) == 2).then_some(())
    });
    println!(
        "a watch that hangs: the new key after {:?}",
        changed.elapsed()
    );
    for number in 0..3 {
        trio.hears(number, 2);
    }
    let other = trio.claims.next(changed, &mac);
    assert!(other.is_none(), "{other:?}");
}

#[test]
fn a_link_that_flaps_is_written_once_in_a_while() {
    let Some(mut trio) = Trio::new() else { return };
    let Some(between) = Between::start(&trio.setup) else {
        return;
    };
    let node = trio.setup.nodes[0].clone();
    node.sh(SIDE_LINK).ok();
    trio.kubeconfig = Some(between.kubeconfig.clone());
    trio.start(0);
    let macs = || {
        let path = "{.metadata.annotations.gatehouse\\.io/mac-addresses}";
        trio.setup
            .get("lease/gatehouse-node-node1", "gatehouse-system", path)
    };
    eventually("its Lease says by what it announces", PATIENCE, || {
        macs().contains(&node.mac()).then_some(())
    });
    let before = between.requests("PUT", "leases/gatehouse-node-node1").len();
    let flapping = Instant::now();
    let mut times = 0;
    while flapping.elapsed() < Duration::from_secs(8) {
        node.sh("ip link set side1 up").ok();
        node.sh("ip link set side1 down").ok();
        times += 1;
    }
    node.sh("ip link set side1 up").ok();
    let side = node.sh("cat /sys/class/net/side0/address").ok();
    eventually("what is so in the end is written", DEADLINE, || {
        macs().contains(side.trim()).then_some(())
    });
    let written = between.requests("PUT", "leases/gatehouse-node-node1").len() - before;
    println!("{times} times up and down: {written} writes");
    assert!(times > 20, "{times}");
    let most = usize::try_from(flapping.elapsed().as_secs() / 2 + 2).expect("it is small");
    assert!((1..=most).contains(&written), "{written} writes");
}
