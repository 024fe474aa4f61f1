//! Three nodes without a cluster: exactly one of them answers for an address, and another one takes
//! over when its process is killed, its cable is pulled, or it is told to stop.
//!
//! What is measured is the time from that to the first ARP frame by which another node claims the
//! address; it is printed, and no test fails for it. `GATEHOUSE_LONG_TESTS=1` repeats 30 times.

use std::io::Read as _;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gatehouse_e2e::{ConfigDir, DEADLINE, Gatehouse, Lan, Node, eventually};
use rustix::process::Signal;
use socket2::{Domain, Protocol, Socket, Type};

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

/// An ARP frame whose sender says that it has the address.
#[derive(Clone, Debug)]
struct Claim {
    at: Instant,
    mac: String,
}

/// Sees every ARP frame that reaches a machine.
#[derive(Clone, Debug, Default)]
struct Monitor(Arc<Mutex<Vec<Claim>>>);

impl Monitor {
    fn start(node: &Node) -> Self {
        let monitor = Self::default();
        let seen = monitor.clone();
        let mut socket = node.enter(|| {
            const ARP: u16 = 0x0806;
            let protocol = Protocol::from(i32::from(ARP.to_be()));
            Socket::new(Domain::PACKET, Type::RAW, Some(protocol)).expect("root may")
        });
        std::thread::spawn(move || {
            let mut frame = [0; 128];
            while let Ok(length) = socket.read(&mut frame) {
                let at = Instant::now();
                if length >= 42 && frame[28..32] == VIP.octets() {
                    let mac: Vec<String> = frame[22..28]
                        .iter()
                        .map(|byte| format!("{byte:02x}"))
                        .collect();
                    let mac = mac.join(":");
                    seen.claims().push(Claim { at, mac });
                }
            }
        });
        monitor
    }

    fn claims(&self) -> std::sync::MutexGuard<'_, Vec<Claim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first claim of somebody else after a time.
    fn next(&self, after: Instant, not: &str) -> Option<Claim> {
        let claims = self.claims();
        claims
            .iter()
            .find(|claim| claim.at > after && claim.mac != not)
            .cloned()
    }
}

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
    monitor: Monitor,
    config: ConfigDir,
    _key: tempfile::TempDir,
}

impl Cluster {
    fn new() -> Option<Self> {
        let mut lan = Lan::new(&["arping"])?;
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
        let mut cluster = Self {
            monitor: Monitor::start(&client),
            machines,
            client,
            lan,
            config,
            _key: folder,
        };
        for number in 0..3 {
            cluster.start(number);
        }
        Some(cluster)
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

    /// Who answers when a client asks, each of three times.
    fn answers(&self) -> Vec<String> {
        let address = VIP.to_string();
        let output = self.client.exec([
            "arping", "-r", "-i", "eth0", "-c", "3", "-w", "1", "-W", "0.05", &address,
        ]);
        output
            .stdout
            .lines()
            .map(|line| line.trim().to_owned())
            .collect()
    }

    /// Waits until one machine alone answers, `wanted` if it is given.
    fn one_answers(&self, what: &str, wanted: Option<usize>) -> usize {
        eventually(what, DEADLINE, || {
            let answers = self.answers();
            let first = answers.first()?;
            let same = answers.len() == 3 && answers.iter().all(|answer| answer == first);
            let owner = self
                .machines
                .iter()
                .position(|machine| machine.mac == *first)?;
            (same && wanted.is_none_or(|wanted| wanted == owner)).then_some(owner)
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
            cluster.monitor.next(struck, &mac)
        });
        times.push(claim.at - struck);
        let second = cluster.one_answers("the other one alone answers", None);
        assert_ne!(second, owner);
        assert_eq!(cluster.machines[second].mac, claim.mac);

        let mended = Instant::now();
        mend(&mut cluster, owner);
        // The election is MetalLB's: it goes back, and not before the hold-down has passed.
        cluster.one_answers("it goes back", Some(owner));
        let back = cluster.monitor.next(mended, &cluster.machines[second].mac);
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
