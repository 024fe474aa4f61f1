//! h2spec (github.com/summerwind/h2spec): 145 cases of RFC 9113 and RFC 7541, over TLS and in plain
//! text.

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::Command;

use gatehouse_e2e::http::Client;
use gatehouse_e2e::{
    Certificates, Echo, EchoPorts, Need, Node, Secured, free_port, loopback_address, satisfied,
};

/// Cases that there are.
const CASES: usize = 145;

const CONFIG: &str = r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: @PLAIN@, name: http, protocol: HTTP}
    hosts: ['*']
  - port: {number: @TLS@, name: https, protocol: HTTPS}
    hosts: ['*']
    tls: {mode: SIMPLE, serverCertificate: "@CERTS@/server.crt", privateKey: "@CERTS@/server.key"}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: all, namespace: default}
spec:
  hosts: ['*']
  gateways: [istio-system/gw]
  http: [{route: [{destination: {host: echo.test}}]}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: echo, namespace: default}
spec:
  hosts: [echo.test]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: @ECHO@}]
  endpoints: [{address: @ECHOIP@}]
"#;

struct Setting {
    plain: SocketAddr,
    tls: SocketAddr,
    _echo: Echo,
    _gateway: Secured,
}

fn start() -> Setting {
    let listen = EchoPorts {
        http: vec![SocketAddr::from((loopback_address(), 0))],
        ..EchoPorts::default()
    };
    let echo = Echo::start(&Node::host(), "echo", &listen);
    let own = loopback_address();
    let [plain, tls] = [(); 2].map(|()| SocketAddr::from((own, free_port(own))));
    let gateway = Secured::start(
        Certificates::self_signed("a.test"),
        own,
        &[("h2spec.yaml", CONFIG)],
        &[
            ("@PLAIN@", &plain.port().to_string()),
            ("@TLS@", &tls.port().to_string()),
            ("@ECHO@", &echo.address().port().to_string()),
            ("@ECHOIP@", &echo.address().ip().to_string()),
        ],
        &["--workers", "1"],
    );
    Setting {
        plain,
        tls,
        _echo: echo,
        _gateway: gateway,
    }
}

/// What h2spec says at its end: the cases that failed, and the counts.
fn h2spec(at: SocketAddr, more: &[&str]) -> (String, String) {
    let output = Command::new("h2spec")
        .args(["-h", &at.ip().to_string(), "-p", &at.port().to_string()])
        // Seconds for each case: enough for a machine that is busy with other tests.
        .args(["-o", "10"])
        .args(more)
        .output()
        .expect("h2spec runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failures = said.split_once("Failures:").map_or("", |(_, rest)| rest);
    let counts = said.lines().rev().find(|line| line.contains(" tests, "));
    (
        failures.to_owned(),
        counts.unwrap_or_else(|| panic!("{said}")).to_owned(),
    )
}

#[test]
fn every_case_passes_over_tls() {
    if !satisfied(&[Need::Program("h2spec"), Need::Program("openssl")]) {
        return;
    }
    let setting = start();
    let (failures, counts) = h2spec(setting.tls, &["-t", "-k"]);
    let all = format!("{CASES} tests, {CASES} passed, 0 skipped, 0 failed");
    assert_eq!(counts, all, "{failures}");
}

/// All but one: a port of plain text speaks HTTP/1.1 as well, and what is no preface of HTTP/2 is a
/// request of HTTP/1.1 that is malformed. It is answered so (RFC 9112 §3) before the connection is
/// closed, as RFC 9113 §3.4 wants it; h2spec takes the text of the answer for a broken frame.
#[test]
fn every_case_but_one_passes_in_plain_text() {
    if !satisfied(&[Need::Program("h2spec"), Need::Program("openssl")]) {
        return;
    }
    let setting = start();
    let (failures, counts) = h2spec(setting.plain, &[]);
    let most = format!("{CASES} tests, {} passed, 0 skipped, 1 failed", CASES - 1);
    assert_eq!(counts, most, "{failures}");
    assert!(
        failures.contains("2: Sends invalid connection preface"),
        "{failures}"
    );

    for wrong in [
        "INVALID CONNECTION PREFACE\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ] {
        let mut client = Client::connect(setting.plain).expect("connected");
        client.send(wrong.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        client.stream().read_to_end(&mut answer).expect("closed");
        assert!(answer.starts_with(b"HTTP/1.1 "), "{answer:?}");
    }
}
