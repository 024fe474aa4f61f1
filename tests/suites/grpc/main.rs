//! gRPC by grpcio, at both ends: every kind of call, and every way that one can end, through HTTP/2
//! in plain text and over TLS.

use std::net::SocketAddr;

use gatehouse_e2e::http::{Client, Response};
use gatehouse_e2e::{
    Certificates, DEADLINE, Need, Process, Secured, Upstream, free_port, loopback_address, python,
    satisfied,
};
use serde_json::{Value, json};

/// Routes by the service's name, as gRPC has it: `/package.Service/Method`.
const CONFIG: &str = r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: @PLAIN@, name: grpc, protocol: GRPC}
    hosts: ['*']
  - port: {number: @WEB@, name: grpc-web, protocol: GRPC-WEB}
    hosts: ['*']
  - port: {number: @TLS@, name: https, protocol: HTTPS}
    hosts: [a.test]
    tls: {mode: SIMPLE, serverCertificate: "@CERTS@/server.crt", privateKey: "@CERTS@/server.key"}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: calls, namespace: default}
spec:
  hosts: ['*']
  gateways: [istio-system/gw]
  http:
  - match: [{uri: {prefix: /test.Plain/}}]
    route: [{destination: {host: grpc.test}}]
  - match: [{uri: {prefix: /test.Short/}}]
    timeout: 0.5s
    route: [{destination: {host: grpc.test}}]
  - match: [{uri: {prefix: /test.Retried/}}]
    retries:
      attempts: 3
      retryOn: cancelled,deadline-exceeded,internal,resource-exhausted,unavailable
    route: [{destination: {host: grpc.test}}]
  - match: [{uri: {prefix: /test.Fault/}}]
    fault: {abort: {grpcStatus: DATA_LOSS, percentage: {value: 100}}}
    route: [{destination: {host: grpc.test}}]
  # A Service's port may be named grpc-web, whatever the Gateway's is.
  - match: [{uri: {prefix: /test.Web/}}]
    route: [{destination: {host: web.test}}]
  - match: [{uri: {prefix: /test.Page/}}]
    route: [{destination: {host: page.test}}]
  - match: [{uri: {prefix: /test.Empty/}}]
    route: [{destination: {host: empty.test}}]
  - match: [{uri: {prefix: /test.Closed/}}]
    route: [{destination: {host: closed.test}}]
  - match: [{uri: {prefix: /test.Unknown/}}]
    route: [{destination: {host: nowhere.test}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: grpc, namespace: default}
spec:
  hosts: [grpc.test]
  resolution: STATIC
  ports: [{number: 80, name: grpc, protocol: GRPC, targetPort: @SERVER@}]
  endpoints: [{address: @OWN@}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web, namespace: default}
spec:
  hosts: [web.test]
  resolution: STATIC
  ports: [{number: 80, name: grpc-web, protocol: GRPC-WEB, targetPort: @SERVER@}]
  endpoints: [{address: @OWN@}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: page, namespace: default}
spec:
  hosts: [page.test]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: @PAGE@}]
  endpoints: [{address: @PAGEIP@}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: empty, namespace: default}
spec:
  hosts: [empty.test]
  resolution: STATIC
  ports: [{number: 80, name: grpc, protocol: GRPC}]
  endpoints: []
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: closed, namespace: default}
spec:
  hosts: [closed.test]
  resolution: STATIC
  ports: [{number: 80, name: grpc, protocol: GRPC, targetPort: @CLOSED@}]
  endpoints: [{address: @OWN@}]
"#;

fn script() -> String {
    format!("{}/suites/grpc/peer.py", env!("CARGO_MANIFEST_DIR"))
}

struct Setting {
    gateway: Secured,
    plain: u16,
    web: u16,
    tls: u16,
    _server: Process,
    _page: Upstream,
}

impl Setting {
    fn start() -> Self {
        let own = loopback_address();
        let [plain, web, tls, closed] = [(); 4].map(|()| free_port(own));
        // What is no gRPC at all.
        let page = Upstream::start(|mut incoming| {
            incoming.request()?;
            incoming.send(b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\npage")
        });
        let mut command = python();
        let mut server = Process::start(
            "server",
            command.arg(script()).args(["server", &format!("{own}:0")]),
        );
        let port = server.wait_for_line("", DEADLINE);
        let gateway = Secured::start(
            Certificates::self_signed("a.test"),
            own,
            &[("grpc.yaml", CONFIG)],
            &[
                ("@PLAIN@", &plain.to_string()),
                ("@WEB@", &web.to_string()),
                ("@TLS@", &tls.to_string()),
                ("@PAGE@", &page.address().port().to_string()),
                ("@PAGEIP@", &page.address().ip().to_string()),
                ("@CLOSED@", &closed.to_string()),
                ("@SERVER@", port.trim()),
            ],
            &["--workers", "1"],
        );
        Self {
            gateway,
            plain,
            web,
            tls,
            _server: server,
            _page: page,
        }
    }

    /// What a browser's call is answered, with these further fields.
    fn call(&self, port: u16, path: &str, fields: &str, body: &[u8]) -> Response {
        let address = SocketAddr::from((self.gateway.own, port));
        let mut client = Client::connect(address).expect("a connection");
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a.test\r\ncontent-length: {}\r\n{fields}\r\n",
            body.len()
        );
        client
            .send(&[head.as_bytes(), body].concat())
            .expect("sent");
        client.response("POST").expect("an answer")
    }

    /// Makes every call; what it prints.
    fn ask(&self, over_tls: bool) -> Value {
        let port = if over_tls { self.tls } else { self.plain };
        let mut command = python();
        let target = format!("{}:{port}", self.gateway.own);
        command.arg(script()).args(["client", &target]);
        if over_tls {
            command.arg(self.gateway.certificates.file("server.crt"));
        }
        let output = command.output().expect("python runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

#[test]
fn calls_of_every_kind_go_through() {
    if !satisfied(&[Need::Python("grpc"), Need::Program("openssl")]) {
        return;
    }
    let setting = Setting::start();
    for over_tls in [false, true] {
        let said = setting.ask(over_tls);
        let failed = "failure 1: 50% \u{fc}";
        assert_eq!(
            said["ends"],
            json!({
                "server": ["FAILED_PRECONDITION", failed],
                "no_method": ["UNIMPLEMENTED", "Method not found!"],
                "no_route": ["UNIMPLEMENTED", ""],
                "no_endpoint": ["UNAVAILABLE", "no healthy upstream"],
                "closed": ["UNAVAILABLE", said["ends"]["closed"][1]],
                "unknown": ["UNAVAILABLE", ""],
                "fault": ["DATA_LOSS", "fault filter abort"],
                "route_timeout": said["ends"]["route_timeout"],
                "deadline": "DEADLINE_EXCEEDED",
            })
        );
        let closed = said["ends"]["closed"][1].as_str().expect("a text");
        assert!(closed.starts_with("upstream connect error"), "{closed}");
        // A gateway's timeout is a 504, and that is UNAVAILABLE (Envoy); but the server is told how
        // much time it has, and may be the first to say that it is over.
        let timeout = &said["ends"]["route_timeout"];
        let told = [
            json!(["UNAVAILABLE", "upstream request timeout"]),
            json!(["DEADLINE_EXCEEDED", "Deadline Exceeded"]),
        ];
        assert!(told.contains(timeout), "{timeout}");
        assert_eq!(
            said["retries"],
            json!({
                "UNAVAILABLE": ["OK", "3"],
                "CANCELLED": ["OK", "3"],
                "DEADLINE_EXCEEDED": ["OK", "3"],
                "RESOURCE_EXHAUSTED": ["OK", "3"],
                "INTERNAL": ["OK", "3"],
                // Not asked for.
                "ABORTED": ["ABORTED", failed],
                "too_often": ["UNAVAILABLE", "failure 4: 50% \u{fc}"],
                "default": ["OK", "3"],
                "default_other": ["INTERNAL", failed],
            })
        );
    }
    let metrics = setting.gateway.gatehouse.api("/stats/prometheus").text();
    let own = |name: &str| -> Vec<&str> {
        let lines = metrics.lines();
        lines.filter(|line| line.starts_with(name)).collect()
    };
    let sum = |name: &str, status: &str| -> u64 {
        let status = format!("grpc_response_status=\"{status}\"");
        let lines = own(name).into_iter().filter(|line| line.contains(&status));
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    };
    // Twice 1,000 to Collect and 50 to Echo; twice 1,000 of Repeat and 50 of Echo; and others.
    for name in [
        "istio_request_messages_total",
        "istio_response_messages_total",
    ] {
        assert!(sum(name, "0") > 2 * 1_050, "{:#?}", own(name));
    }
    for (status, least) in [("0", 1_000), ("9", 2), ("12", 4), ("14", 8), ("15", 2)] {
        let name = "istio_requests_total";
        assert!(sum(name, status) >= least, "{status}: {:#?}", own(name));
    }
}

const WEB: &str = "content-type: application/grpc-web+proto\r\n";
const TEXT: &str =
    "content-type: application/grpc-web-text\r\naccept: application/grpc-web-text\r\n";

/// A message as it is framed.
fn message(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("short").to_be_bytes();
    [&[0], &length[..], text.as_bytes()].concat()
}

/// The messages of an answer, and the text of its last piece.
fn pieces(mut body: &[u8]) -> (Vec<String>, String) {
    let mut messages = Vec::new();
    while let [flag, a, b, c, d, rest @ ..] = body {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let (piece, rest) = rest.split_at(length);
        let text = String::from_utf8_lossy(piece).into_owned();
        if *flag == 0x80 {
            assert_eq!(rest, b"", "nothing follows the trailers");
            return (messages, text);
        }
        messages.push(text);
        body = rest;
    }
    panic!("no trailers: {messages:?} {body:?}");
}

/// Each four letters by themselves: pieces are padded one by one.
fn from_base64(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for four in text.chunks(4) {
        let value = |letter: u8| match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => 0,
            other => panic!("no base64: {other}"),
        };
        let letters = four
            .iter()
            .fold(0, |sum, letter| sum << 6 | u32::from(value(*letter)));
        let padding = four.iter().filter(|letter| **letter == b'=').count();
        bytes.extend(&letters.to_be_bytes()[1..4 - padding]);
    }
    bytes
}

#[test]
fn browsers_call_by_grpc_web() {
    if !satisfied(&[Need::Python("grpc"), Need::Program("openssl")]) {
        return;
    }
    let setting = Setting::start();
    // By the Gateway's port, and by the Service's.
    for (port, path) in [
        (setting.web, "/test.Plain/"),
        (setting.web, "/test.Web/"),
        (setting.plain, "/test.Web/"),
    ] {
        let ask = |method: &str, fields: &str, body: &[u8]| {
            let answer = setting.call(port, &format!("{path}{method}"), fields, body);
            assert_eq!(answer.status, 200, "{method}: {answer:?}");
            answer
        };
        let answer = ask("Unary", WEB, &message("hello"));
        let media = answer.header("content-type");
        assert_eq!(media, Some("application/grpc-web+proto"));
        assert!(answer.trailers.is_empty(), "{answer:?}");
        let (messages, trailers) = pieces(&answer.body);
        assert_eq!(messages, ["hello"]);
        assert!(trailers.contains("grpc-status:0\r\n"), "{trailers}");
        assert!(trailers.contains("x-last:2\r\n"), "{trailers}");

        let (messages, trailers) = pieces(&ask("Repeat", WEB, &message("3")).body);
        assert_eq!(messages, ["0", "1", "2"]);
        assert!(trailers.contains("grpc-status:11\r\n"), "{trailers}");

        // "hello" and "3" in base64.
        let answer = ask("Unary", TEXT, b"AAAAAAVoZWxsbw==");
        let media = answer.header("content-type");
        assert_eq!(media, Some("application/grpc-web-text+proto"));
        let (messages, trailers) = pieces(&from_base64(&answer.body));
        assert_eq!(messages, ["hello"]);
        assert!(trailers.contains("grpc-status:0\r\n"), "{trailers}");
        let answer = ask("Repeat", TEXT, b"AAAAAAEz");
        assert_eq!(pieces(&from_base64(&answer.body)).0, ["0", "1", "2"]);

        let long = "x".repeat(300_000);
        let answer = ask("Unary", WEB, &message(&long));
        assert_eq!(pieces(&answer.body).0, [long]);

        for (method, fields, body, status, said) in [
            // The server's own end, which is in the head.
            ("Nothing", WEB, &message("")[..], "12", "Method not found!"),
            (
                "Unary",
                TEXT,
                b"$$$$",
                "13",
                "Bad gRPC-web request, invalid base64 data.",
            ),
            (
                "Unary",
                TEXT,
                b"AAAAA",
                "13",
                "Bad gRPC-web request, invalid base64 data.",
            ),
        ] {
            let answer = ask(method, fields, body);
            assert_eq!(answer.header("grpc-status"), Some(status), "{answer:?}");
            assert_eq!(answer.header("grpc-message"), Some(said), "{answer:?}");
            let media = answer.header("content-type").expect("a type");
            assert!(media.starts_with("application/grpc-web"), "{media}");
        }
    }
    // The gateway's own answers.
    for (path, status) in [("/test.Nowhere/Unary", "12"), ("/test.Empty/Unary", "14")] {
        let answer = setting.call(setting.web, path, WEB, &message(""));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("grpc-status"), Some(status));
        let media = answer.header("content-type");
        assert_eq!(media, Some("application/grpc-web+proto"));
    }
    // An endpoint that knows nothing of gRPC.
    let answer = setting.call(setting.web, "/test.Page/Unary", WEB, &message(""));
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("grpc-status"), Some("12"));
    assert_eq!(answer.body, b"");
    // What is no call passes as it is.
    let answer = setting.call(
        setting.web,
        "/test.Page/",
        "content-type: text/plain\r\n",
        b"x",
    );
    assert_eq!((answer.status, &answer.body[..]), (404, &b"page"[..]));
    // And where nobody asked for it, nothing is translated.
    let answer = setting.call(setting.plain, "/test.Nowhere/Unary", WEB, &message(""));
    assert_eq!(answer.status, 404);
}
