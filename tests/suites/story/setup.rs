//! The LAN of the story, and what its tests look at.

use std::net::SocketAddr;

use gatehouse_e2e::{
    ConfigDir, DEADLINE, Echo, EchoPorts, Gatehouse, Lan, Node, Process, eventually,
};

pub const INGRESS: &str = "192.168.8.151";
pub const KIALI: &str = "192.168.8.152";
pub const ECHO: &str = "192.168.8.160";

/// The LAN of the story.
pub struct Story {
    pub client: Node,
    pub node: Node,
    pub config: ConfigDir,
    pub state: tempfile::TempDir,
    _upstream: Echo,
    /// Last: what runs in it ends before it goes.
    pub lan: Lan,
}

impl Story {
    pub fn new() -> Option<Self> {
        let mut lan = Lan::new(&["arping", "curl", "ping", "tcpdump"])?;
        let client = lan.node("client", 100);
        let node = lan.node("node1", 11);
        let backend = lan.node("backend", 21);
        let at = |port| SocketAddr::from((backend.v4(), port));
        let listen = EchoPorts {
            http: vec![at(9080), at(20001)],
            tcp: vec![at(7007)],
            udp: vec![at(7007)],
            ..EchoPorts::default()
        };
        let upstream = Echo::start(&backend, "backend", &listen);
        let config = ConfigDir::new();
        config.write("services.yaml", include_str!("services.yaml"));
        config.write("routes.yaml", include_str!("routes.yaml"));
        config.write("pool.yaml", include_str!("pool.yaml"));
        let state = tempfile::tempdir().expect("a temporary folder can be made");
        Some(Self {
            client,
            node,
            config,
            state,
            _upstream: upstream,
            lan,
        })
    }

    pub fn start(&self) -> Gatehouse {
        Gatehouse::on(&self.node)
            .state(self.state.path())
            .start(self.config.path())
    }

    pub fn curl(&self, url: &str) -> gatehouse_e2e::Output {
        self.client.exec(["curl", "-sS", "--max-time", "5", url])
    }

    /// The MAC addresses that answered so many ARP requests, one per answer.
    pub fn arping(&self, address: &str, count: u8) -> Vec<String> {
        let count = count.to_string();
        let arping = [
            "arping", "-c", &count, "-w", "2", "-W", "0.2", "-i", "eth0", address,
        ];
        let output = self.client.exec(arping);
        // `60 bytes from aa:bb:cc:dd:ee:ff (192.168.8.151): index=0 time=…`
        let answers = output
            .stdout
            .lines()
            .filter_map(|line| line.split_once(" bytes from "));
        answers
            .map(|(_, rest)| rest[..17].to_ascii_lowercase())
            .collect()
    }

    /// Waits until a Service has an address.
    pub fn wait_for_address(&self, gatehouse: &Gatehouse, service: &str, address: &str) {
        eventually(&format!("{service} has {address}"), DEADLINE, || {
            (gatehouse.external_ip(service).as_deref() == Some(address)).then_some(())
        });
    }

    /// Waits until the ingress has its address and a client opens the page there.
    pub fn wait_for_page(&self, gatehouse: &Gatehouse) {
        self.wait_for_address(gatehouse, "istio-ingressgateway", INGRESS);
        self.wait_for_client();
    }

    /// Waits until a client opens the page.
    pub fn wait_for_client(&self) {
        eventually("the page opens", DEADLINE, || {
            self.curl("http://192.168.8.151/productpage")
                .status
                .success()
                .then_some(())
        });
    }

    /// Kiali's Service becomes a LoadBalancer, or a ClusterIP again.
    pub fn expose_kiali(&self, expose: bool) {
        let (from, to) = (
            "name: kiali\n  namespace: istio-system\nspec:\n  type: ",
            "ClusterIP",
        );
        let (old, new) = if expose {
            (to, "LoadBalancer")
        } else {
            ("LoadBalancer", to)
        };
        self.config.edit(
            "services.yaml",
            &format!("{from}{old}"),
            &format!("{from}{new}"),
        );
    }
}

/// What the machine's ARP settings and interfaces are, to compare before and after.
pub fn traces(node: &Node) -> String {
    let settings = "grep -r . /proc/sys/net/ipv4/conf/*/arp_* | grep -v gatehouse0";
    let links = "ip -o addr show | sed 's/valid_lft.*//'";
    node.sh(&format!("{settings}; {links}")).ok()
}

pub fn listen_for_arp(node: &Node) -> Process {
    let mut tcpdump = node.spawn(["tcpdump", "-l", "-n", "-e", "-i", "eth0", "arp"]);
    tcpdump.wait_for_line("listening on", DEADLINE);
    tcpdump
}
