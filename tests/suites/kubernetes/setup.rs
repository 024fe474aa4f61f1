//! A LAN with an API server in it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use gatehouse_e2e::{
    ApiServer, DEADLINE, Echo, EchoPorts, Gatehouse, GatehouseBuilder, Lan, Node, eventually,
};

/// Waits that a loaded machine may make long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The LAN, the API server at .10 and nodes at .11, .12 and .13.
pub struct Setup {
    pub server: ApiServer,
    pub client: Node,
    pub nodes: [Node; 3],
    _upstream: Echo,
    /// Last: what runs in it ends before it goes.
    pub lan: Lan,
}

impl Setup {
    pub fn new() -> Option<Self> {
        Self::with(&[])
    }

    /// The same, where these programs are needed as well.
    pub fn with(programs: &[&'static str]) -> Option<Self> {
        let mut lan = Lan::new(&[&["arping", "curl"], programs].concat())?;
        let api = lan.node("api", 10);
        let nodes =
            [("node1", 11), ("node2", 12), ("node3", 13)].map(|(name, last)| lan.node(name, last));
        let client = lan.node("client", 100);
        // Where config/examples/lan has its workloads.
        let backend = lan.node("backend", 20);
        let at = |port| SocketAddr::from((backend.v4(), port));
        let listen = EchoPorts {
            http: vec![at(9080), at(20001)],
            ..EchoPorts::default()
        };
        let server = ApiServer::start(&api, api.v4())?;
        Some(Self {
            server,
            client,
            nodes,
            _upstream: Echo::start(&backend, "backend", &listen),
            lan,
        })
    }

    /// One that is not started yet, with the rights of deploy/rbac.yaml and not one more.
    pub fn daemon(&self, node: &Node) -> GatehouseBuilder {
        self.daemon_with(node, &self.server.kubeconfig("gatehouse"))
    }

    /// The same, by way of another kubeconfig.
    pub fn daemon_with(&self, node: &Node, kubeconfig: &Path) -> GatehouseBuilder {
        Gatehouse::on(node)
            .kube(kubeconfig)
            .arguments(&["--kube-namespace", "gatehouse-system"])
            .arguments(&["--node", node.name()])
    }

    /// gatehouse on a node, with the rights of deploy/rbac.yaml and not one more.
    pub fn start(&self, node: &Node) -> Gatehouse {
        self.start_with(node, &self.server.kubeconfig("gatehouse"))
    }

    /// The same, by way of another kubeconfig.
    pub fn start_with(&self, node: &Node, kubeconfig: &Path) -> Gatehouse {
        self.daemon_with(node, kubeconfig)
            .arguments(&["--workers", "1"])
            .start_in_cluster()
    }

    /// What `kubectl get KIND -n NAMESPACE NAME -o jsonpath=PATH` prints.
    pub fn get(&self, object: &str, namespace: &str, path: &str) -> String {
        let path = format!("jsonpath={path}");
        let output = self
            .server
            .kubectl(&["get", object, "-n", namespace, "-o", &path]);
        output.stdout
    }

    /// The address in a Service's status.
    pub fn address(&self, service: &str, namespace: &str) -> String {
        let path = "{.status.loadBalancer.ingress[*].ip}";
        self.get(&format!("service/{service}"), namespace, path)
    }

    pub fn wait_for_address(&self, service: &str, namespace: &str, address: &str) {
        eventually(&format!("{service} has {address}"), PATIENCE, || {
            (self.address(service, namespace) == address).then_some(())
        });
    }

    /// Waits until the client gets a page that contains a text.
    pub fn wait_for_page(&self, url: &str, text: &str) {
        eventually(&format!("{url} says {text}"), DEADLINE, || {
            let output = self.client.exec(["curl", "-sS", "--max-time", "2", url]);
            output.stdout.contains(text).then_some(())
        });
    }

    /// Names and versions of all Services, from which any write shows.
    pub fn versions(&self) -> String {
        self.versions_of("services")
    }

    /// The same of other kinds, several with commas.
    pub fn versions_of(&self, kinds: &str) -> String {
        let path = "{range .items[*]}{.metadata.name}={.metadata.resourceVersion} {end}";
        let path = format!("jsonpath={path}");
        self.server.kubectl(&["get", kinds, "-A", "-o", &path]).ok()
    }

    /// The node that deals addresses.
    pub fn leader(&self) -> String {
        self.get(
            "lease/gatehouse-allocator",
            "gatehouse-system",
            "{.spec.holderIdentity}",
        )
    }
}
