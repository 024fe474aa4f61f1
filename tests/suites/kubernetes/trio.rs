//! Three nodes of a cluster, one address, and a client that sees who claims it.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use gatehouse_e2e::{Claims, Gatehouse, eventually, one_answers};

use crate::setup::{PATIENCE, Setup};

/// The gateway's address.
pub const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 8, 151);

/// An address for the gateway, which answers everything by itself.
const OBJECTS: &str = "apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: lan, namespace: metallb-system}
spec: {addresses: [192.168.8.151-192.168.8.160]}
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
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: it, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ['*']
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: it, namespace: istio-system}
spec:
  hosts: ['*']
  gateways: [it]
  http:
  - directResponse: {status: 200}
";

/// Nobody's heartbeats arrive on a machine with this.
pub const WALL: &str = "nft 'table inet wall { chain in { type filter hook input priority 0; \
                        udp dport 7946 drop; }; }'";

/// The three.
pub struct Trio {
    /// Before the LAN that they run in.
    pub daemons: Vec<Option<Gatehouse>>,
    pub macs: Vec<String>,
    pub claims: Claims,
    /// How nodes that start from now on reach the API server, if not directly.
    pub kubeconfig: Option<PathBuf>,
    pub setup: Setup,
}

impl Trio {
    /// The cluster with its objects; no node runs yet.
    pub fn new() -> Option<Self> {
        let setup = Setup::new()?;
        setup.server.install_crds();
        setup.server.apply(OBJECTS);
        Some(Self {
            daemons: vec![None, None, None],
            macs: setup.nodes.iter().map(|node| node.mac()).collect(),
            claims: Claims::watch(&setup.client, VIP),
            kubeconfig: None,
            setup,
        })
    }

    /// Starts one of them.
    pub fn start(&mut self, number: usize) {
        let node = &self.setup.nodes[number];
        let daemon = match &self.kubeconfig {
            Some(kubeconfig) => self.setup.daemon_with(node, kubeconfig),
            None => self.setup.daemon(node),
        };
        let daemon = daemon
            .arguments(&[
                "--workers",
                "1",
                "--drain-max",
                "0",
                "--peer-hold-down",
                "1",
            ])
            .start_in_cluster();
        self.daemons[number] = Some(daemon);
    }

    /// Starts all.
    pub fn start_all(&mut self) {
        for number in 0..3 {
            self.start(number);
        }
    }

    /// One that runs.
    pub fn daemon(&self, number: usize) -> &Gatehouse {
        self.daemons[number].as_ref().expect("it runs")
    }

    /// Waits until one alone answers for the address, `wanted` if it is given.
    pub fn one_answers(&self, what: &str, wanted: Option<usize>) -> usize {
        eventually(what, PATIENCE, || {
            let mac = one_answers(&self.setup.client, VIP)?;
            let owner = self.macs.iter().position(|own| *own == mac)?;
            wanted.is_none_or(|wanted| wanted == owner).then_some(owner)
        })
    }

    /// Waits until a node hears so many others that may own addresses.
    pub fn hears(&self, number: usize, others: usize) {
        let node = &self.setup.nodes[number];
        let line = format!("gatehouse_members{{state=\"able\"}} {others}");
        let what = format!("{} hears {others} others", node.name());
        eventually(&what, Duration::from_secs(30), || {
            let url = "http://127.0.0.1:15020/stats/prometheus";
            let metrics = node.exec(["curl", "-sS", "--max-time", "2", url]).stdout;
            metrics.lines().any(|metric| metric == line).then_some(())
        });
    }

    /// What `get findings` says on a node.
    pub fn findings(&self, number: usize) -> String {
        self.daemon(number).ask(&["get", "findings"]).stdout
    }
}
