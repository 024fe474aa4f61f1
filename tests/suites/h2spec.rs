//! h2spec (github.com/summerwind/h2spec): 145 cases of RFC 9113 and RFC 7541, over TLS and in plain
//! text.

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::Command;

use gatehouse_e2e::http::Client;
use gatehouse_e2e::{
    ConfigDir, Echo, EchoPorts, Gatehouse, Need, Node, free_port, loopback_address, satisfied,
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
    tls: {mode: SIMPLE, serverCertificate: "@DIR@/a.crt", privateKey: "@DIR@/a.key"}
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

const MAKE_CERTIFICATE: &str = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 \
    -nodes -keyout a.key -out a.crt -days 30 -subj /CN=a.test -addext subjectAltName=DNS:a.test \
    2>/dev/null";

struct Setting {
    plain: SocketAddr,
    tls: SocketAddr,
    _certs: tempfile::TempDir,
    _config: ConfigDir,
    _echo: Echo,
    _gatehouse: Gatehouse,
}

fn start() -> Setting {
    let certs = tempfile::tempdir().expect("a folder");
    let made = Command::new("bash")
        .args(["-c", MAKE_CERTIFICATE])
        .current_dir(certs.path())
        .status()
        .expect("bash runs");
    assert!(made.success(), "openssl made no certificate");
    let listen = EchoPorts {
        http: vec![SocketAddr::from((loopback_address(), 0))],
        ..EchoPorts::default()
    };
    let echo = Echo::start(&Node::host(), "echo", &listen);
    let own = loopback_address();
    let [plain, tls] = [(); 2].map(|()| SocketAddr::from((own, free_port(own))));
    let text = CONFIG
        .replace("@DIR@", certs.path().to_str().expect("a path in UTF-8"))
        .replace("@PLAIN@", &plain.port().to_string())
        .replace("@TLS@", &tls.port().to_string())
        .replace("@ECHO@", &echo.address().port().to_string())
        .replace("@ECHOIP@", &echo.address().ip().to_string());
    let config = ConfigDir::new();
    config.write("h2spec.yaml", &text);
    let admin = SocketAddr::from((own, free_port(own))).to_string();
    let gatehouse = Gatehouse::on(&Node::host())
        .admin(&admin)
        .arguments(&["--status", "off", "--health", "off", "--workers", "1"])
        .arguments(&["--listen", &own.to_string()])
        .start(config.path());
    Setting {
        plain,
        tls,
        _certs: certs,
        _config: config,
        _echo: echo,
        _gatehouse: gatehouse,
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
