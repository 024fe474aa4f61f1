//! Connections of TLS that are carried, passed through or ended here: who gets them, and how long
//! they may be silent.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use gatehouse_e2e::{
    ConfigDir, DEADLINE, Gatehouse, Need, Node, Process, free_port, loopback_address, satisfied,
};
use serde_json::Value;

use crate::{make_certificates, python, text};

const NEEDS: &[Need] = &[Need::Program("python3"), Need::Program("openssl")];

/// A gateway with two ports for `a.lan`, and two endpoints behind each.
struct Carrying {
    certs: tempfile::TempDir,
    own: Ipv4Addr,
    /// TLS is the endpoints' matter.
    passed: u16,
    /// TLS ends here.
    ended: u16,
    _gatehouse: Gatehouse,
    _config: ConfigDir,
    _endpoints: Process,
}

impl Carrying {
    /// Of four connections one falls to each second endpoint; `policy` is that of all.
    fn start(policy: &str) -> Self {
        let certs = tempfile::tempdir().expect("a folder");
        make_certificates(certs.path());
        let own = loopback_address();
        let address = own.to_string();
        let names = ["passed-1:tls", "passed-2:tls", "ended-1", "ended-2"];
        let arguments = [&["named", text(certs.path()), &address][..], &names].concat();
        let endpoints = python(&arguments, |command| {
            let mut endpoints = Process::start("endpoints", command);
            endpoints.wait_for_line("ready", DEADLINE);
            endpoints
        });
        let (passed, ended) = (free_port(own), free_port(own));
        let mut yaml = gateway(passed, ended, certs.path());
        let said = endpoints.output();
        for line in said.lines().filter(|line| *line != "ready") {
            let (name, port) = line.split_once(' ').expect("a name and a port");
            yaml += &service(name, own, port, policy);
        }
        let config = ConfigDir::new();
        config.write("all.yaml", &yaml);
        let gatehouse = Gatehouse::on(&Node::host())
            .admin(&format!("{own}:15000"))
            .arguments(&["--status", "off", "--health", "off", "--workers", "2"])
            .arguments(&["--listen", &address])
            .start(config.path());
        Self {
            certs,
            own,
            passed,
            ended,
            _gatehouse: gatehouse,
            _config: config,
            _endpoints: endpoints,
        }
    }

    /// What a client of peer.py says of `a.lan` at a port.
    fn client(&self, verb: &str, port: u16, last: &str) -> Value {
        let (own, port) = (self.own.to_string(), port.to_string());
        let arguments = [verb, text(self.certs.path()), &own, &port, "a.lan", last];
        let output = python(&arguments, |command| command.output().expect("python runs"));
        let said = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&said)
            .unwrap_or_else(|_| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
    }
}

fn gateway(passed: u16, ended: u16, certs: &Path) -> String {
    let certs = text(certs);
    let shares = |name: &str| {
        format!(
            "[{{destination: {{host: {name}-1.test}}, weight: 75}}, {{destination: {{host: {name}-2.test}}, weight: 25}}]"
        )
    };
    let (to_passed, to_ended) = (shares("passed"), shares("ended"));
    format!(
        "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw, namespace: istio-system}}
spec:
  servers:
  - {{port: {{number: {passed}, name: passed, protocol: TLS}}, hosts: [a.lan], tls: {{mode: PASSTHROUGH}}}}
  - {{port: {{number: {ended}, name: ended, protocol: TLS}}, hosts: [a.lan], tls: {{mode: SIMPLE, serverCertificate: {certs}/a.crt, privateKey: {certs}/a.key}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: routes, namespace: default}}
spec:
  hosts: [a.lan]
  gateways: [istio-system/gw]
  tls: [{{match: [{{port: {passed}, sniHosts: [a.lan]}}], route: {to_passed}}}]
  tcp: [{{match: [{{port: {ended}}}], route: {to_ended}}}]
"
    )
}

fn service(name: &str, own: Ipv4Addr, port: &str, policy: &str) -> String {
    format!(
        "---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: [{name}.test]
  resolution: STATIC
  ports: [{{number: 80, name: tcp, protocol: TCP, targetPort: {port}}}]
  endpoints: [{{address: {own}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: default}}
spec: {{host: {name}.test, trafficPolicy: {{{policy}}}}}
"
    )
}

#[test]
fn connections_are_carried_by_weight() {
    if !satisfied(NEEDS) {
        return;
    }
    let carrying = Carrying::start("");
    for (port, name) in [(carrying.passed, "passed"), (carrying.ended, "ended")] {
        let by = carrying.client("greet", port, "300");
        let of = |number: u32| by[format!("{name}-{number}")].as_u64().unwrap_or_default();
        assert_eq!(of(1) + of(2), 300, "{by}");
        // Five sigma around 75.
        assert!((38..=112).contains(&of(2)), "{by}");
    }
}

#[test]
fn connections_end_when_they_are_silent() {
    if !satisfied(NEEDS) {
        return;
    }
    const TIMEOUT: Duration = Duration::from_millis(600);
    let carrying = Carrying::start("connectionPool: {tcp: {idleTimeout: 600ms}}");
    // What is ended here says so in TLS; nobody but the endpoint could say it in its own.
    for (port, ended) in [(carrying.passed, "cut"), (carrying.ended, "close_notify")] {
        // It speaks for longer than it may be silent.
        let said = carrying.client("pause", port, "1.5");
        let silent = said["seconds"].as_f64().expect("a number");
        assert!(silent >= TIMEOUT.as_secs_f64(), "{said}");
        assert_eq!(said["ended"], ended, "{said}");
    }
}
