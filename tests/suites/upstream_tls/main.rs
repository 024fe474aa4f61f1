//! TLS towards endpoints: real ones (OpenSSL by Python), good and bad certificates, and what is
//! carried over it.

mod dynamic;
mod revocations;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use gatehouse_e2e::http::{self, Client, Response};
use gatehouse_e2e::{
    ConfigDir, DEADLINE, Gatehouse, Need, Node, Process, eventually, free_port, loopback_address,
    satisfied,
};

const SUITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/suites/upstream_tls");
const NEEDS: [Need; 2] = [Need::Program("python3"), Need::Program("openssl")];

/// A gateway, endpoints that speak TLS, and their certificates.
struct Lan {
    certs: tempfile::TempDir,
    http: SocketAddr,
    tcp: SocketAddr,
    config: ConfigDir,
    gatehouse: Gatehouse,
    endpoints: Process,
}

/// A service `NAME.test`: its server, the policy of its DestinationRule, and what else its
/// ServiceEntry says.
type Service<'s> = (&'s str, &'s str, &'s str, &'s str);

impl Lan {
    /// `servers` as server.py takes them. Requests for `/NAME/…` go to the service, and `SNI` of
    /// `/NAME/SNI/…` is then their Host. `@` is the folder of certificates.
    fn start(servers: &[&str], services: &[Service<'_>]) -> Self {
        Self::start_with(servers, services, &[])
    }

    /// The same with further arguments of the daemon.
    fn start_with(servers: &[&str], services: &[Service<'_>], arguments: &[&str]) -> Self {
        let certs = tempfile::tempdir().expect("a folder");
        bash(certs.path(), &["new"]);
        let own = loopback_address();
        let mut command = Command::new("python3");
        command
            .arg(format!("{SUITE}/server.py"))
            .args([text(certs.path()), &own.to_string()])
            .args(servers)
            .stdin(Stdio::piped());
        let mut endpoints = Process::start("endpoints", &mut command);
        endpoints.wait_for_line("ready", DEADLINE);
        let ports = [free_port(own), free_port(own), free_port(own)];
        let [http, tcp, https] = ports;
        let port = |server: &str| match server {
            "https" => https,
            server => port_of(&endpoints, server),
        };
        let mut yaml = gateway(ports);
        let mut rules = String::new();
        for (name, server, policy, entry) in services {
            yaml += &service(name, (own, port(server)), policy, entry);
            for host in ["up.lan", "a.w.lan", "nas.lan", "b.lan"] {
                rules += &format!(
                    "  - {{match: [{{uri: {{prefix: /{name}/{host}}}}}], rewrite: {{authority: {host}}}, route: [{{destination: {{host: {name}.test}}}}]}}\n"
                );
            }
            let mirror = match services
                .iter()
                .any(|(other, ..)| *other == format!("{name}-copy"))
            {
                true => format!("mirror: {{host: {name}-copy.test}}, "),
                false => String::new(),
            };
            rules += &format!(
                "  - {{match: [{{uri: {{prefix: /{name}/}}}}], {mirror}route: [{{destination: {{host: {name}.test}}}}]}}\n"
            );
        }
        yaml += &routes(&rules);
        let yaml = yaml.replace('@', text(certs.path()));
        let config = ConfigDir::new();
        config.write("all.yaml", &yaml);
        let admin = SocketAddr::from((own, free_port(own))).to_string();
        let log = config.file("access.log");
        let gatehouse = Gatehouse::on(&Node::host())
            .admin(&admin)
            .arguments(&["--status", "off", "--health", "off", "--workers", "2"])
            .arguments(&["--listen", &own.to_string()])
            .arguments(&["--access-log", text(&log)])
            .arguments(arguments)
            .start(config.path());
        Self {
            certs,
            http: (own, http).into(),
            tcp: (own, tcp).into(),
            config,
            gatehouse,
            endpoints,
        }
    }

    fn get(&self, path: &str) -> Response {
        http::get(self.http, "a.test", path, &[]).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// What the endpoint saw, as `name sni client`; or the status, and the access log's line.
    fn outcome(&self, path: &str) -> String {
        self.outcome_for("a.test", path)
    }

    /// The same of a request for this Host.
    fn outcome_for(&self, host: &str, path: &str) -> String {
        let answer = http::get(self.http, host, path, &[]);
        let answer = answer.unwrap_or_else(|e| panic!("{host}{path}: {e}"));
        let seen = |name| answer.header(name).unwrap_or("-").to_owned();
        if answer.status == 200 {
            return format!("{} {} {}", seen("x-name"), seen("x-sni"), seen("x-client"));
        }
        let line = eventually("a line of the access log", DEADLINE, || {
            let log = fs::read_to_string(self.config.file("access.log")).ok()?;
            // A line that is being written has no end yet.
            let mut lines = log
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            let line = lines.find(|line| line.contains(path))?;
            Some(line.trim_end().to_owned())
        });
        format!("{} {line}", answer.status)
    }
}

/// Where a server of server.py listens.
fn port_of(endpoints: &Process, server: &str) -> u16 {
    let said = endpoints.output();
    let start = format!("{server} ");
    let mut ports = said.lines().filter_map(|line| line.strip_prefix(&start));
    let port = ports.next().and_then(|port| port.trim().parse().ok());
    port.unwrap_or_else(|| panic!("{server}: {said}"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn bash(folder: &Path, arguments: &[&str]) {
    let made = Command::new("bash")
        .arg(format!("{SUITE}/make-certs.sh"))
        .arg(folder)
        .args(arguments)
        .status()
        .expect("bash runs");
    assert!(made.success(), "openssl made no certificates");
}

/// Servers for HTTP, for TCP, and for HTTPS with up.lan's certificate.
fn gateway([http, tcp, https]: [u16; 3]) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw, namespace: istio-system}}
spec:
  servers:
  - {{port: {{number: {http}, name: http, protocol: HTTP}}, hosts: ['*']}}
  - {{port: {{number: {tcp}, name: tcp, protocol: TCP}}, hosts: ['*']}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: inner, namespace: istio-system}}
spec:
  servers:
  - {{port: {{number: {https}, name: https, protocol: HTTPS}}, hosts: [up.lan], tls: {{mode: SIMPLE, serverCertificate: '@/up.crt', privateKey: '@/up.key'}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: inner, namespace: default}}
spec:
  hosts: [up.lan]
  gateways: [istio-system/inner]
  http:
  - route: [{{destination: {{host: inner.test}}, headers: {{response: {{set: {{x-name: inner, x-client: '%PROTOCOL%'}}}}}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: bytes, namespace: default}}
spec: {{hosts: ['*'], gateways: [istio-system/gw], tcp: [{{match: [{{port: {tcp}}}], route: [{{destination: {{host: bytes.test}}}}]}}]}}
"
    )
}

fn service(name: &str, (ip, port): (Ipv4Addr, u16), policy: &str, entry: &str) -> String {
    let protocol = if name == "bytes" { "TCP" } else { "HTTP" };
    format!(
        "---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: [{name}.test]
  resolution: STATIC
  ports: [{{number: 80, name: p, protocol: {protocol}, targetPort: {port}}}]
  endpoints: [{{address: {ip}}}]
  {entry}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: default}}
spec: {{host: {name}.test, trafficPolicy: {{{policy}}}}}
"
    )
}

fn routes(rules: &str) -> String {
    format!(
        "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: routes, namespace: default}}
spec:
  hosts: ['*']
  gateways: [istio-system/gw]
  http:
{rules}"
    )
}

const UP: &str = "tls: {mode: SIMPLE, caCertificates: '@/ca.crt'}";

#[test]
fn certificates_are_judged() {
    if !satisfied(&NEEDS) {
        return;
    }
    let simple = |rest: &str| format!("tls: {{mode: SIMPLE, caCertificates: '@/ca.crt'{rest}}}");
    let wrong_ca = "tls: {mode: SIMPLE, caCertificates: '@/other.crt'}";
    let (named, listed) = (simple(", sni: b.lan"), simple(", subjectAltNames: [b.lan]"));
    let revoking = simple(", sni: x.lan, caCrl: '@/ca.crl'");
    let lan = Lan::start(
        &["up:up", "old:old", "revoked:revoked", "nas:nas"],
        &[
            ("up", "up", UP, ""),
            ("other", "up", wrong_ca, ""),
            ("system", "up", "tls: {mode: SIMPLE}", ""),
            (
                "skip",
                "old",
                "tls: {mode: SIMPLE, insecureSkipVerify: true}",
                "",
            ),
            ("named", "up", &named, ""),
            ("listed", "up", &listed, ""),
            ("entry", "up", &named, "subjectAltNames: [c.lan]"),
            ("old", "old", &simple(", sni: old.lan"), ""),
            ("revoked", "revoked", &revoking, ""),
            ("crl", "up", &revoking, ""),
            (
                "nas",
                "nas",
                "tls: {mode: SIMPLE, caCertificates: '@/nas.crt'}",
                "",
            ),
            (
                "missing",
                "up",
                "tls: {mode: SIMPLE, caCertificates: '@/none.crt'}",
                "",
            ),
            ("mesh", "up", "tls: {mode: ISTIO_MUTUAL}", ""),
            ("http", "up", "tls: {mode: DISABLE}", ""),
        ],
    );
    for (path, seen) in [
        ("/up/up.lan/1", "up up.lan none"),
        ("/up/a.w.lan/1", "up a.w.lan none"),
        ("/skip/b.lan/1", "old b.lan none"),
        ("/named/1", "up b.lan none"),
        ("/crl/1", "up x.lan none"),
        ("/nas/nas.lan/1", "nas nas.lan none"),
    ] {
        assert_eq!(lan.outcome(path), seen, "{path}");
    }
    const WRONG: &str = "{remote_connection_failure|TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end}";
    for (path, why) in [
        ("/up/b.lan/2", "it is not for b.lan"),
        ("/up/2", "it is not for a.test"),
        ("/other/up.lan/2", "no CA that is trusted has issued it"),
        ("/system/up.lan/2", "no CA that is trusted has issued it"),
        ("/listed/up.lan/2", "it is not for b.lan"),
        ("/entry/2", "it is not for c.lan"),
        ("/old/2", "certificate has expired"),
        ("/revoked/2", "certificate revoked"),
        ("/nas/b.lan/2", "it is not for b.lan"),
    ] {
        let outcome = lan.outcome(path);
        let parts = ["503 ", "UF", WRONG, "CERTIFICATE_VERIFY_FAILED:", why];
        assert!(parts.iter().all(|part| outcome.contains(part)), "{outcome}");
    }
    for (path, why) in [
        ("/missing/3", "the CA of DestinationRule default/missing"),
        (
            "/mesh/3",
            "the mode ISTIO_MUTUAL of DestinationRule default/mesh",
        ),
    ] {
        let outcome = lan.outcome(path);
        let parts = ["503 ", "UF", "{remote_connection_failure|TLS_error}", why];
        assert!(parts.iter().all(|part| outcome.contains(part)), "{outcome}");
    }
    let why = lan.gatehouse.ask(&[
        "why",
        &format!("http://{}/up/up.lan/1", lan.http),
        "-o",
        "json",
    ]);
    let said = why.stdout + &why.stderr;
    assert!(
        said.contains("TLS (SIMPLE); the endpoint is asked for the request's Host"),
        "{said}"
    );
    // Plain text to a server of TLS is its matter, as it was.
    assert!(lan.get("/http/4").status >= 502);
    // A body that ends with the connection, which many servers close without a word of TLS.
    assert_eq!(lan.get("/up/up.lan/until").body.len(), 100_000);
    // Of the others nobody takes notice.
    assert_eq!(lan.outcome("/up/up.lan/5"), "up up.lan none");
}

#[test]
fn our_own_certificate_is_shown_and_sessions_are_resumed() {
    if !satisfied(&NEEDS) {
        return;
    }
    let mutual = "tls: {mode: MUTUAL, caCertificates: '@/ca.crt', clientCertificate: '@/client.crt', privateKey: '@/client.key'}";
    let lan = Lan::start(
        &["strict:up:mutual", "proxied:up:proxy"],
        &[
            ("mutual", "strict", mutual, ""),
            ("bare", "strict", UP, ""),
            (
                "proxied",
                "proxied",
                &format!("{UP}, proxyProtocol: {{version: V1}}"),
                "",
            ),
        ],
    );
    assert_eq!(lan.outcome("/mutual/up.lan/1"), "strict up.lan one");
    let refused = lan.outcome("/bare/up.lan/1");
    assert!(refused.starts_with("503 "), "{refused}");
    assert!(refused.contains("CERTIFICATE_REQUIRED"), "{refused}");
    // A connection is used again, and a new one takes up the session of an old one, whichever
    // worker made it.
    let mut client = Client::connect(lan.http).expect("a connection");
    let mut ask = |path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n");
        client.send(head.as_bytes()).expect("sent");
        client.response("GET").expect("an answer")
    };
    let first = ask("/mutual/up.lan/2");
    let second = ask("/mutual/up.lan/3");
    assert_eq!(first.header("x-connection"), second.header("x-connection"));
    for number in 0..4 {
        lan.get(&format!("/mutual/up.lan/{number}/close"));
    }
    let resumed = (0..4).filter(|number| {
        let answer = lan.get(&format!("/mutual/up.lan/{number}/close"));
        answer.header("x-resumed") == Some("True")
    });
    assert!(resumed.count() >= 3, "sessions are not resumed");
    let proxied = lan.get("/proxied/up.lan/1");
    let header = proxied.header("x-proxy").unwrap_or_default();
    assert!(header.starts_with("PROXY TCP4 127."), "{header}");
    assert_eq!(proxied.header("x-sni"), Some("up.lan"));
}

#[test]
fn http2_websockets_copies_and_bytes_go_over_tls() {
    if !satisfied(&NEEDS) {
        return;
    }
    let fixed = "tls: {mode: SIMPLE, caCertificates: '@/ca.crt', sni: up.lan}";
    let upgraded = format!("{UP}, connectionPool: {{http: {{h2UpgradePolicy: UPGRADE}}}}");
    let lan = Lan::start(
        &["up:up", "bytes:up:bytes", "copies:up"],
        &[
            ("two", "https", &upgraded, ""),
            ("one", "https", UP, ""),
            ("inner", "up", fixed, ""),
            ("up", "up", fixed, ""),
            ("up-copy", "copies", fixed, ""),
            ("bytes", "bytes", fixed, ""),
        ],
    );
    // Through our own HTTPS server, which offers both versions.
    assert_eq!(lan.outcome("/two/up.lan/1"), "inner up.lan HTTP/2");
    assert_eq!(lan.outcome("/one/up.lan/1"), "inner up.lan HTTP/1.1");
    // Large bodies both ways.
    let body = vec![b'x'; 400_000];
    for path in ["/up/1", "/two/up.lan/1"] {
        let mut client = Client::connect(lan.http).expect("a connection");
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: a.test\r\ncontent-length: 400000\r\n\r\n");
        client
            .send(&[head.as_bytes(), &body].concat())
            .expect("sent");
        let answer = client.response("POST").expect("an answer");
        assert_eq!((answer.status, answer.body.len()), (200, 400_000), "{path}");
    }
    let mut socket = TcpStream::connect(lan.http).expect("connected");
    socket.set_read_timeout(Some(DEADLINE)).expect("an option");
    let upgrade =
        b"GET /up/ws HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    socket.write_all(upgrade).expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    echoes(&mut socket, &body);
    // Bytes of a TCP server, and a half-close.
    let mut stream = TcpStream::connect(lan.tcp).expect("connected");
    stream.set_read_timeout(Some(DEADLINE)).expect("an option");
    echoes(&mut stream, &body);
    stream.shutdown(Shutdown::Write).expect("an option");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the end");
    assert_eq!(rest, b"");
    // The copies' endpoint has seen connections: the next one is not its first.
    let copied = "/up-copy/up.lan/1/close";
    eventually("a copy over TLS", DEADLINE, || {
        lan.get("/up/2");
        let number = lan
            .get(copied)
            .header("x-connection")?
            .parse::<u32>()
            .ok()?;
        (number > 2).then_some(())
    });
}

fn echoes(stream: &mut TcpStream, bytes: &[u8]) {
    let mut writer = stream.try_clone().expect("a copy");
    let sent = bytes.to_vec();
    let writing = thread::spawn(move || writer.write_all(&sent).expect("sent"));
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).expect("they come back");
    writing.join().expect("sent");
    assert_eq!(back, bytes);
}

/// Requests without a pause while our certificate is renewed, broken, and the CA changed.
#[test]
fn certificates_change_under_load() {
    if !satisfied(&NEEDS) {
        return;
    }
    let mutual = "tls: {mode: MUTUAL, caCertificates: '@/ca.crt', clientCertificate: '@/client.crt', privateKey: '@/client.key'}";
    let lan = Lan::start(&["strict:up:mutual"], &[("up", "strict", mutual, "")]);
    let ends = Arc::new(AtomicBool::new(false));
    let (address, until) = (lan.http, Arc::clone(&ends));
    let load = thread::spawn(move || {
        let (mut asked, mut failed) = (0, Vec::new());
        eventually("the load's end", 8 * DEADLINE, || {
            for end in ["", "/close"] {
                let path = format!("/up/up.lan/{asked}{end}");
                match http::get(address, "a.test", &path, &[]) {
                    Ok(answer) if answer.status == 200 => {}
                    other => failed.push(format!("{path}: {other:?}")),
                }
                asked += 1;
            }
            (asked > 40 && until.load(Ordering::Relaxed)).then_some(())
        });
        (asked, failed)
    });
    let folder = lan.certs.path();
    let shown = |expected: &str| {
        eventually("the new certificate", DEADLINE, || {
            (lan.outcome("/up/up.lan/0") == format!("strict up.lan {expected}")).then_some(())
        });
    };
    shown("one");
    for name in ["two", "three"] {
        bash(folder, &["again", "renewed", name]);
        fs::rename(folder.join("renewed.key"), folder.join("client.key")).expect("replaced");
        fs::rename(folder.join("renewed.crt"), folder.join("client.crt")).expect("replaced");
        shown(name);
    }
    // A broken one is not taken.
    let before = lan.gatehouse.log().len();
    fs::write(folder.join("client.crt"), "broken").expect("written");
    eventually("the finding", DEADLINE, || {
        let log = lan.gatehouse.log();
        log[before..]
            .contains("client.crt is of no use")
            .then_some(())
    });
    shown("three");
    ends.store(true, Ordering::Relaxed);
    let (asked, failed) = load.join().expect("the load ends");
    assert_eq!(failed, Vec::<String>::new(), "of {asked}");
    // A CA that did not issue the endpoint's certificate: old connections are no way around it.
    fs::copy(folder.join("other.crt"), folder.join("new-ca")).expect("copied");
    fs::rename(folder.join("new-ca"), folder.join("ca.crt")).expect("replaced");
    eventually("the new CA", DEADLINE, || {
        (lan.get("/up/up.lan/last").status == 503).then_some(())
    });
}
