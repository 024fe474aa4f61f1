//! Connections of TLS that are carried, passed through or ended here: who gets them, and how long
//! they may be silent.

use std::time::Duration;

use gatehouse_e2e::{
    Certificates, DEADLINE, Need, Process, Secured, free_port, loopback_address, satisfied,
};
use serde_json::Value;

use crate::{python, recorded, text};

const NEEDS: &[Need] = &[Need::Program("python3"), Need::Program("openssl")];

const GATEWAY: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  servers:
  - port: {number: @PASSED@, name: passed, protocol: TLS}
    hosts: [a.lan]
    tls: {mode: PASSTHROUGH}
  - port: {number: @ENDED@, name: ended, protocol: TLS}
    hosts: [a.lan]
    tls: {mode: SIMPLE, serverCertificate: '@CERTS@/a.crt', privateKey: '@CERTS@/a.key'}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: routes, namespace: default}
spec:
  hosts: [a.lan]
  gateways: [istio-system/gw]
  tls:
  - match: [{port: @PASSED@, sniHosts: [a.lan]}]
    route:
    - {destination: {host: passed-1.test}, weight: 75}
    - {destination: {host: passed-2.test}, weight: 25}
  tcp:
  - match: [{port: @ENDED@}]
    route:
    - {destination: {host: ended-1.test}, weight: 75}
    - {destination: {host: ended-2.test}, weight: 25}
";

fn service(name: &str, port: &str, policy: &str) -> String {
    format!(
        "---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: [{name}.test]
  resolution: STATIC
  ports: [{{number: 80, name: tcp, protocol: TCP, targetPort: {port}}}]
  endpoints: [{{address: @OWN@}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: default}}
spec: {{host: {name}.test, trafficPolicy: {{{policy}}}}}
"
    )
}

/// A gateway with two ports for `a.lan`, and two endpoints behind each.
struct Carrying {
    gateway: Secured,
    /// TLS is the endpoints' matter.
    passed: u16,
    /// TLS ends here.
    ended: u16,
    _endpoints: Process,
}

impl Carrying {
    /// Of four connections one falls to each second endpoint; `policy` is that of all.
    fn start(policy: &str) -> Self {
        let script = recorded().join("make-certs.sh");
        let certificates = Certificates::made_by(&format!("bash '{}' .", text(&script)));
        let own = loopback_address();
        let (folder, address) = (certificates.file(""), own.to_string());
        let names = ["passed-1:tls", "passed-2:tls", "ended-1", "ended-2"];
        let arguments = [&["named", &folder, &address][..], &names].concat();
        let endpoints = python(&arguments, |command| {
            let mut endpoints = Process::start("endpoints", command);
            endpoints.wait_for_line("ready", DEADLINE);
            endpoints
        });
        let (passed, ended) = (free_port(own), free_port(own));
        let mut yaml = GATEWAY.to_owned();
        let said = endpoints.output();
        for line in said.lines().filter(|line| *line != "ready") {
            let (name, port) = line.split_once(' ').expect("a name and a port");
            yaml += &service(name, port, policy);
        }
        let gateway = Secured::start(
            certificates,
            own,
            &[("all.yaml", &yaml)],
            &[
                ("@PASSED@", &passed.to_string()),
                ("@ENDED@", &ended.to_string()),
            ],
            &["--workers", "2"],
        );
        Self {
            gateway,
            passed,
            ended,
            _endpoints: endpoints,
        }
    }

    /// What a client of peer.py says of `a.lan` at a port.
    fn client(&self, verb: &str, port: u16, last: &str) -> Value {
        let (own, port) = (self.gateway.own.to_string(), port.to_string());
        let folder = self.gateway.certificates.file("");
        let arguments = [verb, &folder, &own, &port, "a.lan", last];
        let output = python(&arguments, |command| command.output().expect("python runs"));
        let said = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&said)
            .unwrap_or_else(|_| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
    }
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
