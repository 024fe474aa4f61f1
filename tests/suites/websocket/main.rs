//! WebSockets by a real library at both ends, and server-sent events by curl: what stays open for
//! long, and what has to flow at once.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use gatehouse_e2e::{
    Certificates, DEADLINE, Need, Process, Secured, Upstream, eventually, free_port,
    loopback_address, python, satisfied,
};
use rustix::process::Signal;

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
kind: ServiceEntry
metadata: {name: up, namespace: default}
spec:
  hosts: [up.test]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: @UP@}]
  endpoints: [{address: @UPIP@}]
"#;

const ROUTES: &str = r#"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: all, namespace: default}
spec:
  hosts: ['*']
  gateways: [istio-system/gw]
  http: [{route: [{destination: {host: up.test}}]}]
"#;

struct Setting {
    gateway: Secured,
    plain: u16,
    tls: u16,
}

impl Setting {
    fn start(upstream: SocketAddr) -> Self {
        Self::start_with(upstream, &[])
    }

    fn start_with(upstream: SocketAddr, arguments: &[&str]) -> Self {
        let own = loopback_address();
        let [plain, tls] = [(); 2].map(|()| free_port(own));
        let gateway = Secured::start(
            Certificates::self_signed("a.test"),
            own,
            &[("gateway.yaml", CONFIG), ("routes.yaml", ROUTES)],
            &[
                ("@PLAIN@", &plain.to_string()),
                ("@TLS@", &tls.to_string()),
                ("@UP@", &upstream.port().to_string()),
                ("@UPIP@", &upstream.ip().to_string()),
            ],
            &[&["--workers", "1"], arguments].concat(),
        );
        Self {
            gateway,
            plain,
            tls,
        }
    }

    fn ca(&self) -> String {
        self.gateway.certificates.file("server.crt")
    }

    /// The arguments of the script for an address, over TLS or not.
    fn url(&self, over_tls: bool) -> Vec<String> {
        if over_tls {
            vec![
                format!("wss://{}:{}", self.gateway.own, self.tls),
                self.ca(),
            ]
        } else {
            vec![format!("ws://{}:{}", self.gateway.own, self.plain)]
        }
    }

    /// Memory of the daemon, in bytes.
    fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.gateway.gatehouse.id());
        let status = fs::read_to_string(path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("its memory") * 1024
    }
}

fn peer(arguments: &[String]) -> Process {
    let mut command = python();
    let script = format!("{}/suites/websocket/peer.py", env!("CARGO_MANIFEST_DIR"));
    Process::start(&arguments[0], command.arg(script).args(arguments))
}

/// A server, and where it listens.
fn server() -> (Process, SocketAddr) {
    let own = loopback_address();
    let mut server = peer(&["server".to_owned(), own.to_string()]);
    let port = server.wait_for_line("", DEADLINE);
    let port: u16 = port.trim().parse().expect("a port");
    (server, SocketAddr::from((own, port)))
}

fn hold(count: u32, url: Vec<String>) -> Process {
    let words = [vec!["hold".to_owned(), count.to_string()], url].concat();
    let mut held = peer(&words);
    // A word that no complaint of the script has.
    held.wait_for_line(&format!("<{count} held>"), DEADLINE);
    held
}

const NEEDS: &[Need] = &[Need::Python("websockets"), Need::Program("openssl")];

#[test]
fn websockets_speak() {
    if !satisfied(NEEDS) {
        return;
    }
    let (_server, upstream) = server();
    let setting = Setting::start(upstream);
    for over_tls in [false, true] {
        let words = [vec!["client".to_owned()], setting.url(over_tls)].concat();
        peer(&words).wait_for_line("ok", DEADLINE);
    }
}

#[test]
fn websockets_outlive_the_configuration_that_let_them_in() {
    if !satisfied(NEEDS) {
        return;
    }
    let (_server, upstream) = server();
    let mut setting = Setting::start(upstream);
    let mut held = [false, true].map(|over_tls| hold(10, setting.url(over_tls)));
    setting
        .gateway
        .config
        .write("routes.yaml", &ROUTES.replace("name: all", "name: others"));
    setting.gateway.gatehouse.wait_for_log("generation=2");
    // Even where nothing leads to their endpoint any more.
    setting.gateway.config.write("routes.yaml", "");
    setting.gateway.gatehouse.wait_for_log("generation=3");
    for held in &mut held {
        held.close_stdin();
        held.wait_for_line("alive", DEADLINE);
    }
}

/// A clean stop waits for them, `--drain-max` at most.
#[test]
fn websockets_may_end_by_themselves_when_the_gateway_stops() {
    if !satisfied(NEEDS) {
        return;
    }
    let (_server, upstream) = server();
    let mut setting = Setting::start_with(upstream, &["--drain-max", "60"]);
    let mut held = [false, true].map(|over_tls| hold(5, setting.url(over_tls)));
    setting.gateway.gatehouse.signal(Signal::TERM);
    setting.gateway.gatehouse.wait_for_log("stopping");
    for held in &mut held {
        assert!(setting.gateway.gatehouse.is_running());
        held.close_stdin();
        held.wait_for_line("alive", DEADLINE);
    }
    // All of them are gone: the minute need not pass.
    eventually("gatehouse ends", DEADLINE, || {
        (!setting.gateway.gatehouse.is_running()).then_some(())
    });

    let mut setting = Setting::start_with(upstream, &["--drain-max", "1"]);
    let _held = [false, true].map(|over_tls| hold(5, setting.url(over_tls)));
    setting.gateway.gatehouse.signal(Signal::TERM);
    eventually("gatehouse ends", DEADLINE, || {
        (!setting.gateway.gatehouse.is_running()).then_some(())
    });
}

/// One that is idle keeps no buffer and nothing of the machinery of requests.
#[test]
fn idle_websockets_cost_little() {
    if !satisfied(NEEDS) {
        return;
    }
    let (_server, upstream) = server();
    let setting = Setting::start(upstream);
    let _warm = hold(50, setting.url(false));
    for (over_tls, most) in [(false, 12 * 1024), (true, 24 * 1024)] {
        let before = setting.memory();
        let held = hold(400, setting.url(over_tls));
        let each = setting.memory().saturating_sub(before) / 400;
        eprintln!("{each} bytes for each, TLS: {over_tls}");
        assert!(each < most, "{each} bytes for each, TLS: {over_tls}");
        drop(held);
    }
}

/// A reader of one line at a time.
struct Curl {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Drop for Curl {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn curl(arguments: &[&str]) -> Curl {
    let mut child = Command::new("curl")
        .args(["-sSN", "--max-time", "30"])
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl runs");
    let lines = BufReader::new(child.stdout.take().expect("piped"));
    Curl { child, lines }
}

/// Each event is at the client before the next one is sent.
#[test]
fn server_sent_events_flow_at_once() {
    if !satisfied(&[Need::Program("curl"), Need::Program("openssl")]) {
        return;
    }
    let (say, said) = mpsc::channel::<u32>();
    let said = Arc::new(Mutex::new(said));
    let upstream = Upstream::start(move |mut incoming| {
        while incoming.request()?.is_some() {
            incoming.send(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                  transfer-encoding: chunked\r\n\r\n",
            )?;
            loop {
                let next = said.lock().expect("one at a time");
                let number = next.recv_timeout(Duration::from_secs(20));
                let number = number.expect("the test goes on");
                drop(next);
                if number == 0 {
                    incoming.send(b"0\r\n\r\n")?;
                    break;
                }
                let event = format!("data: {number}\n\n");
                incoming.send(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())?;
            }
        }
        Ok(())
    });
    let setting = Setting::start(upstream.address());
    let plain = format!("http://{}:{}/events", setting.gateway.own, setting.plain);
    let over_tls = format!("https://a.test:{}/events", setting.tls);
    let (ca, to) = (
        setting.ca(),
        format!("a.test:{}:{}", setting.tls, setting.gateway.own),
    );
    let tls = ["--cacert", &*ca, "--resolve", &*to, &*over_tls];
    for (version, rest) in [
        ("--http1.1", &[&*plain][..]),
        ("--http2-prior-knowledge", &[&*plain]),
        ("--http1.1", &tls),
        ("--http2", &tls),
    ] {
        let mut curl = curl(&[&[version], rest].concat());
        for number in 1..=20 {
            say.send(number).expect("the upstream listens");
            let mut line = String::new();
            for want in [format!("data: {number}\n"), "\n".to_owned()] {
                line.clear();
                curl.lines.read_line(&mut line).expect("a line");
                assert_eq!(line, want, "{version} {rest:?}");
            }
        }
        say.send(0).expect("the upstream listens");
        eventually("curl ends", DEADLINE, || {
            curl.child.try_wait().expect("a child")
        });
    }
}
