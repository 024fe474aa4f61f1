//! Why an answer is what it is: the status, the flags and the details that the access log gives
//! for everything that can go wrong on the way. The values are those of istiod with Envoy.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use gatehouse_e2e::front::services_yaml;
use gatehouse_e2e::http::{self, Client};
use gatehouse_e2e::{
    ConfigDir, DEADLINE, Echo, Gatehouse, Node, Upstream, eventually, free_port, loopback_address,
};

/// The reset of a connection, as the details word it.
const RESET: &str = "upstream_reset_before_response_started";

/// The rules below `http:` of a VirtualService for a.test.
const RULES: &str = "
  - match: [{uri: {prefix: /cluster}}]
    route: [{destination: {host: nobody.test}}]
  - match: [{uri: {prefix: /subset}}]
    route: [{destination: {host: echo.test, subset: unheard-of}}]
  - match: [{uri: {prefix: /port}}]
    route: [{destination: {host: echo.test, port: {number: 81}}}]
  - match: [{uri: {prefix: /weighted}}]
    route:
    - {destination: {host: nobody.test}, weight: 50}
    - {destination: {host: echo.test}, weight: 50}
  - match: [{uri: {prefix: /no-endpoint}}]
    route: [{destination: {host: empty.test}}]
  - match: [{uri: {prefix: /nobody-selected}}]
    route: [{destination: {host: echo.test, subset: gone}}]
  - match: [{uri: {prefix: /resolution-none}}]
    route: [{destination: {host: none.test}}]
  - match: [{uri: {prefix: /refused-once}}]
    retries: {attempts: 0}
    route: [{destination: {host: refusing.test}}]
  - match: [{uri: {prefix: /refused}}]
    route: [{destination: {host: refusing.test}}]
  - match: [{uri: {prefix: /closed-again}}]
    retries: {attempts: 1, retryOn: reset, backoff: 1ms}
    route: [{destination: {host: closing.test}}]
  - match: [{uri: {prefix: /closed}}]
    route: [{destination: {host: closing.test}}]
  - match: [{uri: {prefix: /garbage}}]
    route: [{destination: {host: garbage.test}}]
  - match: [{uri: {prefix: /full}}]
    retries: {attempts: 0}
    route: [{destination: {host: full.test}}]
  - match: [{uri: {prefix: /timeout}}]
    timeout: 200ms
    route: [{destination: {host: silent.test}}]
  - match: [{uri: {prefix: /per-try-again}}]
    retries: {attempts: 1, perTryTimeout: 100ms, retryOn: reset, backoff: 1ms}
    route: [{destination: {host: silent.test}}]
  - match: [{uri: {prefix: /per-try}}]
    retries: {attempts: 1, perTryTimeout: 200ms, retryOn: connect-failure}
    route: [{destination: {host: silent.test}}]
  - match: [{uri: {prefix: /silent}}]
    route: [{destination: {host: silent.test}}]
  - match: [{uri: {prefix: /busy}}]
    retries: {attempts: 1, retryOn: 5xx, backoff: 1ms}
    route: [{destination: {host: echo.test}}]
  - match: [{uri: {prefix: /abort}}]
    fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
    route: [{destination: {host: echo.test}}]
  - match: [{uri: {prefix: /delay-abort}}]
    fault:
      delay: {fixedDelay: 100ms, percentage: {value: 100}}
      abort: {httpStatus: 418, percentage: {value: 100}}
    route: [{destination: {host: echo.test}}]
  - match: [{uri: {prefix: /delay-refused}}]
    fault: {delay: {fixedDelay: 100ms, percentage: {value: 100}}}
    route: [{destination: {host: refusing.test}}]
  - match: [{uri: {prefix: /delay}}]
    fault: {delay: {fixedDelay: 100ms, percentage: {value: 100}}}
    route: [{destination: {host: echo.test}}]
  - match: [{uri: {prefix: /redirect}}]
    redirect: {uri: /elsewhere}
  - match: [{uri: {prefix: /direct}}]
    directResponse: {status: 299}
  - match: [{uri: {prefix: /served}}]
    route: [{destination: {host: echo.test}}]
";

/// Services beside those with static endpoints, and what is asked of them.
const POLICIES: &str = "
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: none-test, namespace: default}
spec:
  hosts: [none.test]
  resolution: NONE
  ports: [{number: 80, name: http, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: echo, namespace: default}
spec: {host: echo.test, subsets: [{name: gone, labels: {version: v9}}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: full, namespace: default}
spec: {host: full.test, trafficPolicy: {connectionPool: {http: {http2MaxRequests: 1}}}}
";

/// A gateway in front of upstreams that fail in every way.
struct Gate {
    gatehouse: Gatehouse,
    config: ConfigDir,
    own: Ipv4Addr,
    http: SocketAddr,
    /// Reads a request and closes.
    closing: Upstream,
    /// Never answers.
    silent: Upstream,
    _garbage: Upstream,
    _echo: Echo,
}

fn start() -> Gate {
    let own = loopback_address();
    let http = SocketAddr::from((own, free_port(own)));
    let elsewhere = loopback_address();
    let refusing = SocketAddr::from((elsewhere, free_port(elsewhere)));
    let echo = SocketAddr::from((loopback_address(), 0));
    let echo = Echo::http(&Node::host(), "echo", echo);
    let closing = Upstream::start(|mut incoming| incoming.request().map(|_| ()));
    let silent = Upstream::start(|mut incoming| incoming.until_closed().map(|_| ()));
    let garbage = Upstream::start(|mut incoming| {
        incoming.request()?;
        incoming.send(b"garbage\r\n\r\n")
    });
    let config = ConfigDir::new();
    let services = services_yaml(&[
        ("echo.test", &[echo.address()]),
        ("empty.test", &[]),
        ("refusing.test", &[refusing]),
        ("closing.test", &[closing.address()]),
        ("garbage.test", &[garbage.address()]),
        ("full.test", &[silent.address()]),
        ("silent.test", &[silent.address()]),
    ]);
    config.write("services.yaml", &services);
    config.write("policies.yaml", POLICIES);
    config.write(
        "routes.yaml",
        &format!(
            "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw, namespace: istio-system}}
spec:
  servers: [{{port: {{number: {}, name: http, protocol: HTTP}}, hosts: ['*']}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: routes, namespace: default}}
spec:
  hosts: [a.test]
  gateways: [istio-system/gw]
  http:{RULES}",
            http.port()
        ),
    );
    let log = config.file("access.log");
    let gatehouse = Gatehouse::on(&Node::host())
        .admin(&SocketAddr::from((own, free_port(own))).to_string())
        .arguments(&["--status", "off", "--health", "off", "--workers", "1"])
        .arguments(&["--listen", &own.to_string()])
        .arguments(&["--access-log", log.to_str().expect("the path is text")])
        .start(config.path());
    Gate {
        gatehouse,
        config,
        own,
        http,
        closing,
        silent,
        _garbage: garbage,
        _echo: echo,
    }
}

impl Gate {
    /// The first line of the access log that contains `part`; waits for it.
    fn logged(&self, part: &str) -> String {
        eventually(part, DEADLINE, || {
            let text = std::fs::read_to_string(self.config.file("access.log")).unwrap_or_default();
            let mut lines = text.lines();
            lines.find(|line| line.contains(part)).map(str::to_owned)
        })
    }

    /// Asks for a path and compares status, flags and details, and the body.
    fn expect(&self, path: &str, headers: &[&str], status: u16, why: &str, body: &str) {
        let answer = http::get(self.http, "a.test", path, headers).expect("an answer");
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (status, body),
            "{path}"
        );
        self.expect_logged(path, status, why);
    }

    fn expect_logged(&self, path: &str, status: u16, why: &str) {
        let line = self.logged(&format!("\"GET {path} HTTP/1.1\" "));
        let said = format!(" {status} {why} - \"");
        assert!(line.contains(&said), "{path}: {said:?} not in {line}");
    }
}

/// The body of a failed connection.
fn reset(reason: &str) -> String {
    format!("upstream connect error or disconnect/reset before headers. {reason}")
}

#[test]
fn what_leads_nowhere_is_told_apart() {
    let gate = start();
    let unknown = http::get(gate.http, "b.test", "/of-another-host", &[]).expect("an answer");
    assert_eq!((unknown.status, unknown.body.len()), (404, 0));
    gate.expect_logged("/of-another-host", 404, "NR route_not_found");
    gate.expect("/no-rule", &[], 404, "NR route_not_found", "");
    for path in ["/cluster", "/subset", "/port"] {
        gate.expect(path, &[], 503, "NC cluster_not_found", "");
    }
    for path in ["/no-endpoint", "/nobody-selected", "/resolution-none"] {
        gate.expect(
            path,
            &[],
            503,
            "UH no_healthy_upstream",
            "no healthy upstream",
        );
    }
}

/// Only the share of the unknown destination fails.
#[test]
fn one_unknown_destination_of_two_fails_its_share() {
    let gate = start();
    let mut client = Client::connect(gate.http).expect("it listens");
    let mut failed = 0;
    for number in 0..400 {
        let request = format!("GET /weighted/{number} HTTP/1.1\r\nhost: a.test\r\n\r\n");
        client.send(request.as_bytes()).expect("sent");
        match client.response("GET").expect("an answer").status {
            200 => gate.expect_if(number < 20, number, 200, "- via_upstream"),
            503 => {
                failed += 1;
                gate.expect_if(number < 20, number, 503, "NC cluster_not_found");
            }
            other => panic!("{other}"),
        }
    }
    // Half of them; five sigma are 50.
    assert!((150..=250).contains(&failed), "{failed}");
}

impl Gate {
    fn expect_if(&self, looked_at: bool, number: u32, status: u16, why: &str) {
        if looked_at {
            self.expect_logged(&format!("/weighted/{number}"), status, why);
        }
    }
}

#[test]
fn failed_connections_say_how_they_failed() {
    let gate = start();
    let refused = format!("{RESET}{{remote_connection_failure}}");
    gate.expect(
        "/refused",
        &[],
        503,
        &format!("URX,UF {refused}"),
        &reset("retried and the latest reset reason: remote connection failure"),
    );
    gate.expect(
        "/refused-once",
        &[],
        503,
        &format!("UF {refused}"),
        &reset("reset reason: remote connection failure"),
    );
    // Not tried again unless a rule says so: it may have been served.
    let closed = format!("{RESET}{{connection_termination}}");
    gate.expect(
        "/closed",
        &[],
        503,
        &format!("UC {closed}"),
        &reset("reset reason: connection termination"),
    );
    assert_eq!(gate.closing.seen().matches("GET /closed ").count(), 1);
    gate.expect(
        "/closed-again",
        &[],
        503,
        &format!("URX,UC {closed}"),
        &reset("retried and the latest reset reason: connection termination"),
    );
    assert_eq!(gate.closing.seen().matches("GET /closed-again ").count(), 2);
    gate.expect(
        "/garbage",
        &[],
        502,
        &format!("UPE {RESET}{{protocol_error}}"),
        &reset("reset reason: protocol error"),
    );
    let answer = http::get(gate.http, "a.test", "/busy", &["x-echo-status: 500"]);
    assert_eq!(answer.expect("an answer").status, 500);
    gate.expect_logged("/busy", 500, "URX via_upstream");
}

#[test]
fn a_full_service_says_so() {
    let gate = start();
    let mut first = Client::connect(gate.http).expect("it listens");
    first
        .send(b"GET /full/first HTTP/1.1\r\nhost: a.test\r\n\r\n")
        .expect("sent");
    eventually("the first request arrives", DEADLINE, || {
        (gate.silent.connections() > 0).then_some(())
    });
    gate.expect(
        "/full/second",
        &[],
        503,
        &format!("UO {RESET}{{overflow}}"),
        &reset("reset reason: overflow"),
    );
    // The first one's client leaves.
    drop(first);
    gate.expect_logged("/full/first", 0, "DC downstream_remote_disconnect");
}

#[test]
fn what_takes_too_long_says_which_limit_it_was() {
    const TIMEOUT: &str = "upstream request timeout";
    let gate = start();
    gate.expect("/timeout", &[], 504, "UT response_timeout", TIMEOUT);
    gate.expect("/per-try", &[], 504, "UT upstream_per_try_timeout", TIMEOUT);
    gate.expect(
        "/per-try-again",
        &[],
        504,
        "URX,UT upstream_per_try_timeout",
        TIMEOUT,
    );
}

#[test]
fn injected_faults_say_that_they_are() {
    let gate = start();
    gate.expect(
        "/abort",
        &[],
        418,
        "FI fault_filter_abort",
        "fault filter abort",
    );
    let began = Instant::now();
    gate.expect(
        "/delay-abort",
        &[],
        418,
        "DI,FI fault_filter_abort",
        "fault filter abort",
    );
    assert_eq!(get(&gate, "/delay"), 200);
    gate.expect_logged("/delay", 200, "DI via_upstream");
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(get(&gate, "/delay-refused"), 503);
    let refused = format!("DI,URX,UF {RESET}{{remote_connection_failure}}");
    gate.expect_logged("/delay-refused", 503, &refused);
}

#[test]
fn what_is_as_wanted_has_no_flag() {
    let gate = start();
    assert_eq!(get(&gate, "/served"), 200);
    gate.expect_logged("/served", 200, "- via_upstream");
    gate.expect("/redirect", &[], 301, "- direct_response", "");
    gate.expect("/direct", &[], 299, "- direct_response", "");
    let upgrade = ["connection: upgrade, close", "upgrade: other"];
    gate.expect("/served/other", &upgrade, 403, "- upgrade_failed", "");
}

fn get(gate: &Gate, path: &str) -> u16 {
    let answer = http::get(gate.http, "a.test", path, &[]);
    answer.expect("an answer").status
}

/// What is no HTTP of this century is answered by the gateway itself.
#[test]
fn a_client_that_breaks_the_protocol_is_told() {
    let gate = start();
    for (request, status, details) in [
        (
            "GET /old HTTP/1.0\r\nhost: a.test\r\n\r\n",
            426,
            "low_version",
        ),
        ("GET /no-host HTTP/1.1\r\n\r\n", 400, "missing_host_header"),
        (
            "GET /two words HTTP/1.1\r\nhost: a.test\r\n\r\n",
            400,
            "http1.codec_error",
        ),
    ] {
        let mut client = Client::connect(gate.http).expect("it listens");
        client.send(request.as_bytes()).expect("sent");
        assert_eq!(
            client.response("GET").expect("an answer").status,
            status,
            "{request}"
        );
        let line = gate.logged(&format!(" {status} DPE {details} - \""));
        assert!(line.contains(&gate.http.to_string()), "{line}");
    }
}

/// A head that does not end is waited for as long as the mesh says.
#[test]
fn a_head_that_takes_too_long_is_told() {
    let gate = start();
    let mesh = "kind: MeshConfig\ndefaultConfig: {connectionSettings: {httpRequestHeadersTimeout: 0.2s}}\n";
    gate.config.write("mesh.yaml", mesh);
    let answer = eventually("the limit is in force", DEADLINE, || {
        let mut client = Client::connect(gate.http).expect("it listens");
        client.send(b"GET /slow HTTP/1.1\r\nhost: ").expect("sent");
        let stream = client.stream().get_ref();
        let waiting = stream.set_read_timeout(Some(Duration::from_secs(1)));
        waiting.expect("a deadline can be set");
        // Nothing within the deadline: that connection began before.
        client.response("GET").ok()
    });
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (408, "request header timeout")
    );
    gate.logged(" 408 - request_header_timeout - \"");
}

/// Connections that are no HTTP have no status; the flags are the same.
#[test]
fn connections_that_lead_nowhere_are_closed_or_refused() {
    let gate = start();
    let port = || free_port(gate.own);
    let (unknown, empty, refused, unserved) = (port(), port(), port(), port());
    let server = |number: u16| {
        let name = format!("tcp-{number}");
        format!("{{port: {{number: {number}, name: {name}, protocol: TCP}}, hosts: ['*']}}")
    };
    let route = |number: u16, host: &str| {
        format!("{{match: [{{port: {number}}}], route: [{{destination: {{host: {host}}}}}]}}")
    };
    let tcp = format!(
        "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: tcp, namespace: istio-system}}
spec: {{servers: [{}, {}, {}, {}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: tcp, namespace: default}}
spec:
  hosts: ['*']
  gateways: [istio-system/tcp]
  tcp: [{}, {}, {}]
",
        server(unknown),
        server(empty),
        server(refused),
        server(unserved),
        route(unknown, "nobody.test"),
        route(empty, "empty.test"),
        route(refused, "refusing.test"),
    );
    gate.config.write("tcp.yaml", &tcp);
    for (port, flags) in [(unknown, "NC"), (empty, "UH"), (refused, "UF,URX")] {
        let address = SocketAddr::from((gate.own, port));
        let mut stream = eventually("the port is served", DEADLINE, || {
            TcpStream::connect(address).ok()
        });
        stream.set_read_timeout(Some(DEADLINE)).expect("set");
        // Cut before or after the bytes have gone.
        let _ = stream.write_all(b"x");
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(read) => assert_eq!(read, 0, "{flags}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{flags}"),
        }
        let line = gate.logged(&format!("\"- - -\" 0 {flags} "));
        assert!(line.contains(&format!(" {address} ")), "{line}");
    }
    let address = SocketAddr::from((gate.own, unserved));
    let error = TcpStream::connect(address).expect_err("nothing to serve there");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(gate.gatehouse.id() > 0);
}
