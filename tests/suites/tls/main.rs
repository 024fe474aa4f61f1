//! TLS towards clients: real ones (OpenSSL by Python and curl), the recorded answers, and what is
//! no TLS at all.

mod carried;
mod clients_seen;
mod listener_log;
mod refused;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gatehouse_e2e::http::Client;
use gatehouse_e2e::{
    ConfigDir, DEADLINE, Gatehouse, Need, Node, Process, eventually, loopback_address, satisfied,
};
use serde_json::Value;

/// So many answers were recorded.
const RECORDED: usize = 59;

/// The answers that differ on purpose: line (from 1), reason.
const ON_PURPOSE: &[(usize, &str)] = &[(
    56,
    "plain HTTP to a port of TLS gets a readable 400, not a cut",
)];

fn suite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("suites/tls")
}

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/observed/tls")
}

/// The recorded configuration, served at an address of its own.
struct Recorded {
    certs: tempfile::TempDir,
    own: Ipv4Addr,
    gatehouse: Gatehouse,
    config: ConfigDir,
    _upstreams: Process,
}

impl Recorded {
    /// With further arguments of the daemon.
    fn start(arguments: &[&str]) -> Self {
        let certs = tempfile::tempdir().expect("a folder");
        make_certificates(certs.path());
        let own = loopback_address();
        let upstreams = python(
            &["upstreams", text(certs.path()), &own.to_string()],
            |command| {
                let mut upstreams = Process::start("upstreams", command.stdin(Stdio::piped()));
                upstreams.wait_for_line("ready", DEADLINE);
                upstreams
            },
        );
        let yaml = fs::read_to_string(recorded().join("tls.yaml")).expect("recorded");
        let yaml = yaml
            .replace("@DIR@", text(certs.path()))
            .replace("127.0.0.1", &own.to_string());
        let config = ConfigDir::new();
        config.write("tls.yaml", &yaml);
        let listen = own.to_string();
        let metrics = format!("{own}:15090");
        let gatehouse = Gatehouse::on(&Node::host())
            .admin(&format!("{own}:15000"))
            .arguments(&["--status", "off", "--health", "off", "--workers", "2"])
            .arguments(&["--listen", &listen, "--metrics", &metrics])
            .arguments(arguments)
            .start(config.path());
        Self {
            certs,
            own,
            gatehouse,
            config,
            _upstreams: upstreams,
        }
    }

    fn connect(&self, port: u16) -> Client {
        Client::connect(SocketAddr::from((self.own, port))).expect("a connection")
    }

    /// What curl prints, asked to speak to `name`.
    fn curl(&self, name: &str, port: u16, arguments: &[&str]) -> String {
        let ca = self.certs.path().join("ca.crt");
        let output = Command::new("curl")
            .args([
                "-sS",
                "--max-time",
                "10",
                "--cacert",
                text(&ca),
                "--resolve",
            ])
            .arg(format!("{name}:{port}:{}", self.own))
            .args(arguments)
            .arg(format!("https://{name}:{port}/x"))
            .output()
            .expect("curl runs");
        let both = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&both).into_owned()
    }
}

fn make_certificates(folder: &Path) {
    let made = Command::new("bash")
        .arg(recorded().join("make-certs.sh"))
        .arg(folder)
        .status()
        .expect("bash runs");
    assert!(made.success(), "openssl made no certificates");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn python<T>(arguments: &[&str], run: impl FnOnce(&mut Command) -> T) -> T {
    let mut command = Command::new("python3");
    command.arg(suite().join("peer.py")).args(arguments);
    run(&mut command)
}

#[test]
fn every_recorded_answer_is_given() {
    if !satisfied(&[Need::Program("python3"), Need::Program("openssl")]) {
        return;
    }
    // Hosts of other servers are 421 unless it is asked for otherwise.
    let served = Recorded::start(&["--misdirected", "404"]);
    let file = recorded().join("tls.jsonl");
    let own = served.own.to_string();
    let arguments = ["replay", text(served.certs.path()), &own, text(&file)];
    let output = python(&arguments, |command| command.output().expect("python runs"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}{errors}");
    assert!(said.ends_with(&format!("compared {RECORDED}\n")), "{said}");
    let on_purpose = |line: &&str| {
        let number = line.split('\t').next().and_then(|n| n.parse().ok());
        ON_PURPOSE.iter().any(|(line, _)| Some(*line) == number)
    };
    let lines = said.lines().filter(|line| line.contains('\t'));
    let (expected, wrong): (Vec<_>, Vec<_>) = lines.partition(on_purpose);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(expected.len(), ON_PURPOSE.len(), "{}", expected.join("\n"));
}

#[test]
fn curl_speaks_both_versions_of_http() {
    if !satisfied(&[
        Need::Program("python3"),
        Need::Program("openssl"),
        Need::Program("curl"),
    ]) {
        return;
    }
    let served = Recorded::start(&[]);
    let version = [
        "-o",
        "/dev/null",
        "-w",
        "%{http_version} %{response_code} %{ssl_verify_result}",
    ];
    let asked = |arguments: &[&str]| served.curl("a.lan", 8443, &[&version, arguments].concat());
    assert_eq!(asked(&["--http2"]), "2 200 0");
    assert_eq!(asked(&["--http1.1"]), "1.1 200 0");
    assert_eq!(asked(&["--http1.1", "--tls-max", "1.2"]), "1.1 200 0");
    let cert = served.certs.path().join("client.crt");
    let key = served.certs.path().join("client.key");
    let with = ["--http2", "--cert", text(&cert), "--key", text(&key)];
    let body = served.curl("m.lan", 8443, &with);
    assert!(
        body.contains(r#"Subject=\"CN=phone,O=gatehouse test\""#) || body.contains("CN=phone"),
        "{body}"
    );
    // Large bodies both ways, in one connection.
    let sent = served.certs.path().join("large");
    fs::write(&sent, vec![b'x'; 300_000]).expect("written");
    let data = format!("@{}", text(&sent));
    let echoed = served.curl("a.lan", 8443, &["--http2", "--data-binary", &data]);
    assert!(
        echoed.contains(&"x".repeat(300_000)),
        "{}",
        &echoed[..200.min(echoed.len())]
    );
    let unknown = served.curl("unknown.lan", 8443, &[]);
    assert!(unknown.contains("unrecognized name"), "{unknown}");
}

#[test]
fn what_is_no_tls_gets_an_answer_and_is_counted() {
    if !satisfied(&[Need::Program("python3"), Need::Program("openssl")]) {
        return;
    }
    let served = Recorded::start(&[]);
    let mut plain = served.connect(8443);
    plain
        .send(b"GET / HTTP/1.1\r\nhost: a.lan\r\n\r\n")
        .expect("sent");
    let answer = plain.response("GET").expect("an answer");
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("https://"), "{}", answer.text());
    for (bytes, answered) in [
        (&b"\x00\x01\x02garbage"[..], false),
        // A record that is no handshake's first, an empty one, one of a broken hello.
        (b"\x16\x03\x01\x00\x00", true),
        (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", true),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", true),
    ] {
        let mut client = served.connect(8443);
        client.send(bytes).expect("sent");
        let end = client.until_closed().expect("closed");
        assert_eq!(!end.is_empty(), answered, "{bytes:?}: {end:?}");
        assert!(
            end.is_empty() || end.starts_with(b"\x15\x03"),
            "no alert: {end:?}"
        );
    }
    let metrics = eventually("the counters", DEADLINE, || {
        let own = SocketAddr::from((served.own, 15090));
        let text = gatehouse_e2e::http::get(own, "x", "/stats/prometheus", &[]);
        let text = text.ok()?.text();
        text.contains("tls_plain_http").then_some(text)
    });
    for reason in ["tls_plain_http", "tls_not_tls", "tls_malformed_hello"] {
        assert!(metrics.contains(&format!("\"{reason}\"")), "{reason}");
    }
}

#[test]
fn handshakes_that_stall_keep_nobody_waiting() {
    if !satisfied(&[
        Need::Program("python3"),
        Need::Program("openssl"),
        Need::Program("curl"),
    ]) {
        return;
    }
    let served = Recorded::start(&[]);
    let stalled: Vec<Client> = (0..100)
        .map(|number| {
            let mut client = served.connect(8443);
            let hello = &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..1 + number % 10];
            client.send(hello).expect("sent");
            client
        })
        .collect();
    let code = ["-o", "/dev/null", "-w", "%{response_code}"];
    assert_eq!(served.curl("a.lan", 8443, &code), "200");
    drop(stalled);
}

/// 200 requests a second, each on a connection of its own, while certificates change.
#[test]
fn certificates_change_under_load() {
    if !satisfied(&[
        Need::Program("python3"),
        Need::Program("openssl"),
        Need::Program("curl"),
    ]) {
        return;
    }
    let served = Recorded::start(&[]);
    let own = served.own.to_string();
    let certs = text(served.certs.path());
    let arguments = ["load", certs, &own, "8443", "a.lan", "4", "200"];
    let mut load = python(&arguments, |command| Process::start("load", command));
    let others = tempfile::tempdir().expect("a folder");
    load.wait_for_line("certificate 1", DEADLINE);
    for number in 2..=4 {
        renew(served.certs.path(), others.path());
        load.wait_for_line(&format!("certificate {number}"), DEADLINE);
    }
    // A broken one is not taken.
    let before = served.gatehouse.log().len();
    fs::write(served.certs.path().join("a.crt"), "broken").expect("written");
    eventually("the finding", DEADLINE, || {
        let log = served.gatehouse.log();
        log[before..].contains("a.crt is of no use").then_some(())
    });
    let code = ["-o", "/dev/null", "-w", "%{response_code}"];
    assert_eq!(served.curl("a.lan", 8443, &code), "200");
    load.close_stdin();
    load.wait(DEADLINE);
    let said = load.output();
    let said = said.lines().last().unwrap_or_default();
    let said: Value = serde_json::from_str(said).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(said["failed"], Value::Array(Vec::new()), "{said}");
    assert!(said["asked"].as_u64() > Some(600), "{said}");
    assert_eq!(said["certificates"], 4, "{said}");
    assert!(served.config.path().exists());
}

/// Issues a.crt anew, by the same CA.
fn renew(certs: &Path, others: &Path) {
    let line = format!(
        "set -e; cd {}; \
         openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout a.key -out a.csr -subj '/O=gatehouse test/CN=a.lan' 2>/dev/null; \
         openssl x509 -req -in a.csr -CA {certs}/ca.crt -CAkey {certs}/ca.key -set_serial 0x$(openssl rand -hex 8) -days 30 -out a.crt -extfile <(printf 'subjectAltName=DNS:a.lan') 2>/dev/null; \
         mv a.key {certs}/a.key; mv a.crt {certs}/a.crt",
        others.display(),
        certs = certs.display(),
    );
    let done = Command::new("bash").args(["-c", &line]).status();
    assert!(
        done.expect("bash runs").success(),
        "no certificate was issued"
    );
}
