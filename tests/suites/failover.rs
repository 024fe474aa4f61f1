//! Three nodes without a cluster: exactly one of them answers for an address, and another one takes
//! over when its process is killed, its cable is pulled, or it is told to stop. Where they do not
//! hear one another the first one in the election keeps it.
//!
//! What is measured is the time from that to the first ARP frame by which another node claims the
//! address; it is printed, and no test fails for it. `GATEHOUSE_LONG_TESTS=1` repeats 30 times.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use gatehouse_e2e::{Claims, ConfigDir, DEADLINE, Gatehouse, Lan, Node, eventually, one_answers};
use rustix::process::Signal;

const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 8, 151);

const OBJECTS: &str = "apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: lan, namespace: metallb-system}
spec:
  addresses: [192.168.8.151-192.168.8.160]
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: lan, namespace: metallb-system}
---
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  type: LoadBalancer
  selector: {istio: ingressgateway}
  ports: [{name: http, port: 80}]
";

struct Machine {
    node: Node,
    mac: String,
    arguments: Vec<String>,
    state: tempfile::TempDir,
    daemon: Option<Gatehouse>,
}

struct Cluster {
    lan: Lan,
    client: Node,
    machines: Vec<Machine>,
    claims: Claims,
    config: ConfigDir,
    _key: tempfile::TempDir,
}

impl Cluster {
    /// Three that run.
    fn new() -> Option<Self> {
        let mut cluster = Self::prepare()?;
        for number in 0..3 {
            cluster.start(number);
        }
        Some(cluster)
    }

    /// Three of which none runs.
    fn prepare() -> Option<Self> {
        let mut lan = Lan::new(&["arping", "nft"])?;
        let client = lan.node("client", 10);
        let config = ConfigDir::new();
        config.write("objects.yaml", OBJECTS);
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let key = folder.path().join("key");
        std::fs::write(&key, "a secret of the three\n").expect("it can be written");
        let nodes: Vec<Node> = (1..=3_u8)
            .map(|number| lan.node(&format!("node{number}"), 10 + number))
            .collect();
        let machines = nodes.iter().map(|node| {
            let mut arguments: Vec<String> = ["--workers", "1", "--drain-max", "0", "--node-name"]
                .map(str::to_owned)
                .into();
            arguments.push(node.name().to_owned());
            for peer in nodes.iter().filter(|peer| peer.name() != node.name()) {
                arguments.extend(["--peer".to_owned(), peer.v4().to_string()]);
            }
            arguments.extend(["--peer-key".to_owned(), key.display().to_string()]);
            arguments.extend(["--peer-hold-down", "1"].map(str::to_owned));
            Machine {
                node: node.clone(),
                mac: node.mac(),
                arguments,
                state: tempfile::tempdir().expect("a temporary folder can be made"),
                daemon: None,
            }
        });
        let machines = machines.collect();
        Some(Self {
            claims: Claims::watch(&client, VIP),
            machines,
            client,
            lan,
            config,
            _key: folder,
        })
    }

    fn start(&mut self, number: usize) {
        let machine = &mut self.machines[number];
        let arguments: Vec<&str> = machine.arguments.iter().map(String::as_str).collect();
        let daemon = Gatehouse::on(&machine.node)
            .state(machine.state.path())
            .arguments(&arguments)
            .start(self.config.path());
        machine.daemon = Some(daemon);
    }

    /// Waits until one machine alone answers, `wanted` if it is given.
    fn one_answers(&self, what: &str, wanted: Option<usize>) -> usize {
        eventually(what, DEADLINE, || {
            let mac = one_answers(&self.client, VIP)?;
            let owner = self
                .machines
                .iter()
                .position(|machine| machine.mac == mac)?;
            wanted.is_none_or(|wanted| wanted == owner).then_some(owner)
        })
    }
}

fn repetitions() -> usize {
    let long = std::env::var_os("GATEHOUSE_LONG_TESTS").is_some_and(|value| value == "1");
    if long { 30 } else { 2 }
}

/// Lets something happen to the owner again and again; `mend` undoes it.
fn fail_over(what: &str, strike: impl Fn(&mut Cluster, usize), mend: impl Fn(&mut Cluster, usize)) {
    let Some(mut cluster) = Cluster::new() else {
        return;
    };
    let owner = cluster.one_answers("one of three answers", None);
    let mut times = Vec::new();
    for _ in 0..repetitions() {
        let mac = cluster.machines[owner].mac.clone();
        let struck = Instant::now();
        strike(&mut cluster, owner);
        let claim = eventually("another node claims the address", DEADLINE, || {
            cluster.claims.next(struck, &mac)
        });
        times.push(claim.at - struck);
        let second = cluster.one_answers("the other one alone answers", None);
        assert_ne!(second, owner);
        assert_eq!(cluster.machines[second].mac, claim.mac);

        let mended = Instant::now();
        mend(&mut cluster, owner);
        // The election is MetalLB's: it goes back, and not before the hold-down has passed.
        cluster.one_answers("it goes back", Some(owner));
        let back = cluster.claims.next(mended, &cluster.machines[second].mac);
        let back = back.expect("who answers has claimed it").at;
        assert!(
            back - mended >= Duration::from_millis(900),
            "{:?}",
            back - mended
        );
    }
    times.sort_unstable();
    println!(
        "{what}: {} times, median {:?}, longest {:?}",
        times.len(),
        times[times.len() / 2],
        times[times.len() - 1]
    );
}

#[test]
fn a_process_that_is_killed() {
    fail_over(
        "kill -9 of the owner's process",
        |cluster, owner| {
            cluster.machines[owner]
                .daemon
                .take()
                .expect("it runs")
                .kill()
        },
        Cluster::start,
    );
}

#[test]
fn a_cable_that_is_pulled() {
    fail_over(
        "the owner's link down",
        |cluster, owner| cluster.lan.cable(&cluster.machines[owner].node, false),
        |cluster, owner| cluster.lan.cable(&cluster.machines[owner].node, true),
    );
}

#[test]
fn a_process_that_is_told_to_stop() {
    fail_over(
        "the owner's process stops (SIGTERM)",
        |cluster, owner| {
            let daemon = cluster.machines[owner].daemon.as_ref().expect("it runs");
            daemon.signal(Signal::TERM);
        },
        |cluster, owner| {
            let mut daemon = cluster.machines[owner].daemon.take().expect("it runs");
            eventually("it ends", DEADLINE, || (!daemon.is_running()).then_some(()));
            cluster.start(owner);
        },
    );
}

/// Nobody hears anybody, but the LAN works.
#[test]
fn a_wall_between_nodes_leaves_the_address_with_the_first_one() {
    let Some(mut cluster) = Cluster::new() else {
        return;
    };
    let owner = cluster.one_answers("one of three answers", None);
    for machine in &cluster.machines {
        machine.node.sh(WALL).ok();
    }
    let findings = |cluster: &Cluster, number: usize| {
        let daemon = cluster.machines[number].daemon.as_ref();
        let findings = daemon.expect("it runs").ask(&["get", "findings"]);
        findings.stdout
    };
    let walled = Instant::now();
    // The others take it for dead, and claim what is its own; it stays with the owner.
    eventually("another one claims it", DEADLINE, || {
        cluster.claims.next(walled, &cluster.machines[owner].mac)
    });
    for number in 0..3 {
        eventually(&format!("node {number} names the port"), DEADLINE, || {
            let findings = findings(&cluster, number);
            (findings.contains("UDP 7946") && findings.contains("192.168.8.151")).then_some(())
        });
    }
    cluster.one_answers("the owner alone answers", Some(owner));
    let quiet = Instant::now();
    let watched = Duration::from_secs(5);
    while quiet.elapsed() < watched {
        cluster.one_answers("and goes on to", Some(owner));
    }
    let others = cluster.claims.next(quiet, &cluster.machines[owner].mac);
    assert!(others.is_none(), "{others:?}");

    // It dies: another one finds that nobody answers.
    let killed = Instant::now();
    let daemon = cluster.machines[owner].daemon.take();
    daemon.expect("it runs").kill();
    let claim = eventually("another one takes over", DEADLINE, || {
        cluster.claims.next(killed, &cluster.machines[owner].mac)
    });
    println!("behind a wall, kill -9: {:?}", claim.at - killed);
    let second = cluster.one_answers("one of two answers", None);
    assert_ne!(second, owner);

    // The wall falls, and everything is as always.
    for machine in &cluster.machines {
        machine.node.sh("nft delete table inet wall").ok();
    }
    cluster.start(owner);
    cluster.one_answers("it goes back", Some(owner));
    for number in 0..3 {
        eventually("nobody complains any more", DEADLINE, || {
            (!findings(&cluster, number).contains("7946")).then_some(())
        });
    }
}

/// Nobody ever heard anybody, so that MAC addresses tell nothing.
#[test]
fn a_wall_from_the_start_leaves_the_address_with_one() {
    let Some(mut cluster) = Cluster::prepare() else {
        return;
    };
    for machine in &cluster.machines {
        machine.node.sh(WALL).ok();
    }
    for number in 0..3 {
        cluster.start(number);
    }
    let owner = cluster.one_answers("one of three answers", None);
    for number in (0..3).filter(|number| *number != owner) {
        eventually(&format!("node {number} names the port"), DEADLINE, || {
            let daemon = cluster.machines[number].daemon.as_ref();
            let findings = daemon.expect("it runs").ask(&["get", "findings"]).stdout;
            findings.contains("UDP 7946").then_some(())
        });
    }
    let quiet = Instant::now();
    while quiet.elapsed() < Duration::from_secs(5) {
        cluster.one_answers("the same goes on to", Some(owner));
    }
    let others = cluster.claims.next(quiet, &cluster.machines[owner].mac);
    assert!(others.is_none(), "{others:?}");
}

const WALL: &str = "nft 'table inet wall { chain in { type filter hook input priority 0; \
                    udp dport 7946 drop; }; }'";
