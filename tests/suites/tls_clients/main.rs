//! Real clients of TLS: openssl, nghttp, h2load, sslyze, Python's websockets and a browser.
//!
//! curl and Python's ssl are in the suite `tls`.

mod revocations;
mod tickets;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gatehouse_e2e::{
    Certificates, DEADLINE, Need, Process, Secured, eventually, free_port, gatehouse_binary, http,
    loopback_address, python, satisfied,
};
use rustix::process::Signal;

/// How certificates are made, of an age that browsers take.
const ISSUE: &str = r#"
key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
ca() { # name, subject
  openssl req -x509 $key -keyout $1.key -out $1.crt -days 90 -subj "/CN=$2"
}
leaf() { # name, CA, names, use, subject
  openssl req $key -keyout $1.key -out $1.csr -subj "/CN=$5"
  openssl x509 -req -in $1.csr -CA $2.crt -CAkey $2.key -set_serial 0x$(openssl rand -hex 8) \
    -days 90 -out $1.new -extfile <(printf "subjectAltName=$3\nextendedKeyUsage=$4\n")
  mv $1.new $1.crt
}
server() { leaf server ca DNS:book.lan,DNS:web.lan,DNS:mutual.lan serverAuth "$1"; }
"#;

/// A CA, one certificate for the server and one for a client; another CA with its client; and the
/// CA that clients are asked for, at first the former.
const CERTIFICATES: &str = r#"
ca ca "test CA"; ca other "other CA"; cp ca.crt clients.crt
server server
leaf client ca DNS:phone.lan clientAuth client
leaf stranger other DNS:stranger.lan clientAuth stranger
"#;

/// Routes by name, all at one port: `book.lan` to bookinfo, `web.lan` to a page with a WebSocket,
/// `mutual.lan` for clients with a certificate alone, and any name at another port.
const CONFIG: &str = r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 8443, name: https, protocol: HTTPS}
    hosts: [book.lan, web.lan]
    tls: {mode: SIMPLE, serverCertificate: "@CERTS@/server.crt", privateKey: "@CERTS@/server.key"}
  - port: {number: 8443, name: mutual, protocol: HTTPS}
    hosts: [mutual.lan]
    tls: {mode: MUTUAL, serverCertificate: "@CERTS@/server.crt", privateKey: "@CERTS@/server.key", caCertificates: "@CERTS@/clients.crt"}
  - port: {number: 8444, name: any, protocol: HTTPS}
    hosts: ["*"]
    tls: {mode: SIMPLE, serverCertificate: "@CERTS@/server.crt", privateKey: "@CERTS@/server.key"}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: book, namespace: default}
spec:
  hosts: [book.example.com]
  resolution: STATIC
  location: MESH_INTERNAL
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {http: @BOOK@}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web, namespace: default}
spec:
  hosts: [web.example.com]
  resolution: STATIC
  location: MESH_INTERNAL
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: @OWN@, ports: {http: @WEB@}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: routes, namespace: default}
spec:
  hosts: ["*"]
  gateways: [istio-system/gw]
  http:
  - match: [{uri: {prefix: /hello}}]
    directResponse: {status: 200, body: {string: hello}}
  - match: [{authority: {prefix: web.lan}}]
    route: [{destination: {host: web.example.com}}]
  - route: [{destination: {host: book.example.com}}]
"#;

struct Served {
    gateway: Secured,
    book: u16,
    web: u16,
    log: String,
}

impl Served {
    fn start() -> Self {
        let certificates = Certificates::made_by(&format!("{ISSUE}{CERTIFICATES}"));
        let own = loopback_address();
        let (book, web) = (free_port(Ipv4Addr::LOCALHOST), free_port(own));
        let log = certificates.file("access.log");
        let gateway = Secured::start(
            certificates,
            own,
            &[("tls.yaml", CONFIG)],
            &[("@BOOK@", &book.to_string()), ("@WEB@", &web.to_string())],
            &["--workers", "2", "--access-log", &log],
        );
        Self {
            gateway,
            book,
            web,
            log,
        }
    }

    fn file(&self, name: &str) -> String {
        self.gateway.certificates.file(name)
    }

    /// `openssl s_client` asks for /hello and prints what it sees.
    fn openssl(&self, name: &str, arguments: &[&str]) -> String {
        let line = format!(
            "printf 'GET /hello HTTP/1.1\\r\\nhost: {name}\\r\\nconnection: close\\r\\n\\r\\n' | \
             openssl s_client -connect {}:8443 -servername {name} -CAfile {} -verify_return_error \
             -verify_hostname {name} -ign_eof {} 2>&1",
            self.gateway.own,
            self.file("ca.crt"),
            arguments.join(" "),
        );
        let output = Command::new("bash").args(["-c", &line]).output();
        both(&output.expect("bash runs"))
    }

    /// The page with a WebSocket.
    fn web(&self) -> Process {
        let mut command = python();
        command.arg(suite().join("web.py")).args([
            "serve",
            &self.gateway.own.to_string(),
            &self.web.to_string(),
        ]);
        let mut web = Process::start("web.py", &mut command);
        web.wait_for_line("ready", DEADLINE);
        web
    }

    /// Bookinfo: the demo, behind.
    fn bookinfo(&self) -> Process {
        let admin = free_port(Ipv4Addr::LOCALHOST);
        let mut command = Command::new(gatehouse_binary());
        command
            .args(["demo", "--port", &self.book.to_string()])
            .args(["--admin", &format!("127.0.0.1:{admin}")]);
        let demo = Process::start("demo", &mut command);
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, self.book));
        eventually("bookinfo", DEADLINE, || {
            let page = http::get(at, "x", "/productpage", &[]).ok()?;
            (page.status == 200).then_some(())
        });
        demo
    }

    /// A browser with a home of its own.
    fn chromium(&self, home: &Path) -> Command {
        let mut command = Command::new("chromium");
        command
            .env("HOME", home)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
            ])
            .arg("--disable-dev-shm-usage")
            .arg(format!("--user-data-dir={}", text(&home.join("data"))))
            .arg(format!(
                "--host-resolver-rules=MAP *.lan {}",
                self.gateway.own
            ));
        command
    }
}

fn suite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("suites/tls_clients")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn both(output: &Output) -> String {
    let both = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

#[test]
fn openssl_speaks_both_versions_and_comes_back_with_a_ticket() {
    if !satisfied(&[Need::Program("openssl")]) {
        return;
    }
    let served = Served::start();
    for (flag, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let session = served.file(version);
        let said = served.openssl("book.lan", &[flag, "-sess_out", &session]);
        for expected in ["Verification: OK", "HTTP/1.1 200 OK", "hello"] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
        assert!(said.contains(&format!("New, {version}")), "{said}");
        // Whichever of the two workers takes the connection.
        for _ in 0..4 {
            let said = served.openssl("book.lan", &[flag, "-sess_in", &session]);
            assert!(said.contains(&format!("Reused, {version}")), "{said}");
            assert!(said.contains("HTTP/1.1 200 OK"), "{said}");
        }
        // A ticket of a server that asks for nothing is none at one that asks for a certificate.
        let said = served.openssl("mutual.lan", &[flag, "-sess_in", &session]);
        assert!(!said.contains("200 OK"), "{said}");
    }
    for old in ["-tls1_1", "-tls1"] {
        let said = served.openssl("book.lan", &[old, "-cipher", "ALL:@SECLEVEL=0"]);
        assert!(said.contains("alert") && !said.contains("200 OK"), "{said}");
    }
    let (cert, key) = (served.file("client.crt"), served.file("client.key"));
    for flag in ["-tls1_2", "-tls1_3"] {
        let said = served.openssl("mutual.lan", &[flag, "-cert", &cert, "-key", &key]);
        assert!(said.contains("HTTP/1.1 200 OK"), "{said}");
        assert!(said.contains("CN = test CA"), "no CA is named: {said}");
        let said = served.openssl("mutual.lan", &[flag]);
        assert!(said.contains("alert"), "{said}");
        assert!(!said.contains("200 OK"), "{said}");
    }
    let said = served.openssl("unknown.lan", &[]);
    assert!(said.contains("unrecognized name"), "{said}");
}

#[test]
fn nghttp_and_h2load_speak_http_2() {
    let needs = ["openssl", "nghttp", "h2load"].map(Need::Program);
    if !satisfied(&needs) {
        return;
    }
    let served = Served::start();
    let url = format!("https://{}:8444/hello", served.gateway.own);
    let said = Command::new("nghttp")
        .args(["-v", &url, &format!("{url}?again")])
        .output();
    let said = both(&said.expect("nghttp runs"));
    assert!(said.contains("The negotiated protocol: h2"), "{said}");
    assert_eq!(said.matches(":status: 200").count(), 2, "{said}");
    let load = Command::new("h2load")
        .args(["-n", "1000", "-c", "8", "-m", "20"])
        .arg(format!("--connect-to={}:8443", served.gateway.own))
        .arg("https://book.lan:8443/hello")
        .output();
    let said = both(&load.expect("h2load runs"));
    assert!(said.contains("Application protocol: h2"), "{said}");
    let done =
        "1000 total, 1000 started, 1000 done, 1000 succeeded, 0 failed, 0 errored, 0 timeout";
    assert!(said.contains(done), "{said}");
    assert!(said.contains("1000 2xx"), "{said}");
}

/// Protocols, ciphers, curves, renegotiation, certificate: Mozilla's "intermediate" profile.
#[test]
fn sslyze_finds_nothing_weak() {
    if !satisfied(&[Need::Program("openssl"), Need::Python("sslyze")]) {
        return;
    }
    let served = Served::start();
    let scan = python()
        .args(["-m", "sslyze", "--mozilla_config", "intermediate"])
        .args(["--sni", "book.lan", &format!("{}:8443", served.gateway.own)])
        .output();
    let said = both(&scan.expect("python runs"));
    // All that it finds is a CA that no browser ships.
    let (_, judgement) = said.split_once("COMPLIANCE").expect("it judges");
    let wrong = judgement.lines().map(str::trim);
    let wrong: Vec<_> = wrong.filter(|line| line.starts_with("* ")).collect();
    let own_ca = "* certificate_path_validation: Certificate path validation failed for CN=server.";
    assert_eq!(wrong, [own_ca], "{said}");
    for expected in [
        "Not vulnerable to OpenSSL CCS injection",
        "Not vulnerable to Heartbleed",
        "Client Renegotiation DoS Attack:   OK - Not vulnerable",
        "Compression disabled",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn python_speaks_websocket_by_tls() {
    if !satisfied(&[Need::Program("openssl"), Need::Python("websockets")]) {
        return;
    }
    let served = Served::start();
    let _web = served.web();
    let (ca, own) = (served.file("ca.crt"), served.gateway.own.to_string());
    let output = python()
        .arg(suite().join("web.py"))
        .args(["echo", &ca, &own, "8443", "web.lan"])
        .output();
    let said = both(&output.expect("python runs"));
    assert_eq!(said.trim(), "TLSv1.3 all echoed");
}

#[test]
fn a_browser_opens_bookinfo_and_a_websocket() {
    let programs = ["openssl", "chromium", "certutil"].map(Need::Program);
    if !satisfied(&programs) || !satisfied(&[Need::Python("websockets")]) {
        return;
    }
    let served = Served::start();
    let (_bookinfo, mut web) = (served.bookinfo(), served.web());
    let home = tempfile::tempdir().expect("a folder");
    let page = "https://book.lan:8443/productpage";
    // Without the CA it shows what is wrong, and no page.
    let opened = |home: &Path| {
        let mut command = served.chromium(home);
        let output = command.args(["--dump-dom", page]).output();
        String::from_utf8_lossy(&output.expect("chromium runs").stdout).into_owned()
    };
    let without = opened(home.path());
    assert!(!without.contains("Comedy of Errors"), "{without}");
    trust(home.path(), &served.file("ca.crt"));
    let with = opened(home.path());
    assert!(with.contains("The Comedy of Errors"), "{with}");
    let lines = eventually("the log", DEADLINE, || {
        let lines = fs::read_to_string(&served.log).ok()?;
        lines.contains("/productpage").then_some(lines)
    });
    let line = lines.lines().find(|line| line.contains("/productpage"));
    let line = line.expect("it is there");
    assert!(line.contains("\"GET /productpage HTTP/2\" 200"), "{line}");
    assert!(line.contains(" book.lan "), "the name asked for: {line}");

    // It reports by itself; a debugger's port keeps it from ending before.
    let mut command = served.chromium(home.path());
    command.args(["--remote-debugging-port=0", "https://web.lan:8443/page"]);
    let mut browser = Process::start("chromium", &mut command);
    let report = web.wait_for_line("report", DEADLINE);
    assert_eq!(report, "report h2+echo-hello");
    browser.signal(Signal::TERM);
    browser.wait(DEADLINE);
}

/// Has a browser trust a CA (NSS: the user's own database).
fn trust(home: &Path, ca: &str) {
    let database = home.join(".pki/nssdb");
    fs::create_dir_all(&database).expect("a folder");
    let database = format!("sql:{}", text(&database));
    for arguments in [
        vec!["-N", "--empty-password"],
        vec!["-A", "-t", "C,,", "-n", "test CA", "-i", ca],
    ] {
        let done = Command::new("certutil")
            .args(["-d", &database])
            .args(arguments)
            .output();
        let done = done.expect("certutil runs");
        assert!(done.status.success(), "{}", both(&done));
    }
}
