//! A gateway on loopback, without root: one HTTP server, one VirtualService, its services.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::config_dir::ConfigDir;
use crate::gatehouse::{Gatehouse, GatehouseBuilder};
use crate::http::{self, Response};
use crate::loopback::{free_port, loopback_address};
use crate::node::Node;

/// A running gateway that nobody else uses.
#[derive(Debug)]
pub struct Front {
    /// What it reads: `gateway.yaml`, `services.yaml` and `routes.yaml`.
    pub config: ConfigDir,
    /// The daemon.
    pub gatehouse: Gatehouse,
    /// Where it serves.
    pub address: SocketAddr,
}

impl Front {
    /// Starts one with one worker. `rules` is the list below `http:` of a VirtualService in the
    /// namespace `default` for every host; `services` are hosts, each with its endpoints, whose
    /// port is 80.
    pub fn start(rules: &str, services: &[(&str, &[SocketAddr])]) -> Self {
        Self::start_with(rules, services, |builder| {
            builder.arguments(&["--workers", "1"])
        })
    }

    /// The same with further choices.
    pub fn start_with(
        rules: &str,
        services: &[(&str, &[SocketAddr])],
        choose: impl FnOnce(GatehouseBuilder) -> GatehouseBuilder,
    ) -> Self {
        Self::start_beside(rules, services, "", choose)
    }

    /// The same with further documents beside it, in `more.yaml`.
    pub fn start_beside(
        rules: &str,
        services: &[(&str, &[SocketAddr])],
        documents: &str,
        choose: impl FnOnce(GatehouseBuilder) -> GatehouseBuilder,
    ) -> Self {
        let own = loopback_address();
        let address = SocketAddr::from((own, free_port(own)));
        let config = ConfigDir::new();
        config.write("gateway.yaml", &gateway_yaml(address.port()));
        config.write("services.yaml", &services_yaml(services));
        config.write("routes.yaml", &routes_yaml(rules));
        if !documents.is_empty() {
            config.write("more.yaml", documents);
        }
        let admin = SocketAddr::from((own, free_port(own))).to_string();
        let builder = Gatehouse::on(&Node::host()).admin(&admin);
        // Ports that every daemon would want are closed: daemons of other tests run beside it.
        let builder = builder.arguments(&["--status", "off", "--health", "off"]);
        let builder = builder.arguments(&["--listen", &own.to_string()]);
        let gatehouse = choose(builder).start(config.path());
        Self {
            config,
            gatehouse,
            address,
        }
    }

    /// Replaces the rules while it runs.
    pub fn set_rules(&self, rules: &str) {
        self.config.write("routes.yaml", &routes_yaml(rules));
    }

    /// A GET on a connection of its own.
    ///
    /// # Panics
    ///
    /// When there is no whole answer.
    pub fn get(&self, path: &str, headers: &[&str]) -> Response {
        http::get(self.address, "a.test", path, headers)
            .unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// A connection to it.
    ///
    /// # Panics
    ///
    /// When it does not listen.
    pub fn connect(&self) -> http::Client {
        http::Client::connect(self.address).expect("the gateway listens")
    }
}

/// A Gateway with one plain HTTP server for every host.
pub fn gateway_yaml(port: u16) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - port: {{number: {port}, name: http, protocol: HTTP}}
    hosts: ['*']
"
    )
}

/// A VirtualService for every host with these rules, the list below `http:`.
pub fn routes_yaml(rules: &str) -> String {
    let mut text = String::from(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: routes, namespace: default}
spec:
  hosts: ['*']
  gateways: [istio-system/gw]
  http:
",
    );
    for line in rules.lines() {
        writeln!(text, "  {line}").expect("a string can grow");
    }
    text
}

/// A ServiceEntry per host, port 80 named http, with static endpoints. The labels of an endpoint
/// say `version: v1`, `v2`, … in order.
pub fn services_yaml(services: &[(&str, &[SocketAddr])]) -> String {
    let mut text = String::new();
    for (host, endpoints) in services {
        let name = host.replace('.', "-");
        write!(
            text,
            "---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: [{host}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints:{}
",
            if endpoints.is_empty() { " []" } else { "" }
        )
        .expect("a string can grow");
        for (number, endpoint) in (1..).zip(*endpoints) {
            let (ip, port) = (endpoint.ip(), endpoint.port());
            let ports = format!("ports: {{http: {port}}}, labels: {{version: v{number}}}");
            writeln!(text, "  - {{address: '{ip}', {ports}}}").expect("a string can grow");
        }
    }
    text
}
