//! `gatehouse why` and the wire: the same answer for the same request, over random configurations.

use std::fmt::Write as _;
use std::net::SocketAddr;

use gatehouse_e2e::http::{self, Response};
use gatehouse_e2e::{
    DEADLINE, Echo, Front, Gatehouse, Node, Upstream, eventually, loopback_address,
};
use serde_json::Value;

/// Requests in one run; ten times as many with `GATEHOUSE_LONG_TESTS`.
const REQUESTS: usize = 1_000;
/// Requests to each configuration.
const EACH: usize = 200;

/// Numbers that are the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).expect("64 bits") % n
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

fn condition(random: &mut Random) -> String {
    let mut parts = Vec::new();
    if random.chance(80) {
        let uri = match random.below(5) {
            0 => format!("exact: {}", random.one(&["/a", "/a/b", "/"])),
            1 => "regex: '/a/[bc]+'".to_owned(),
            _ => format!("prefix: {}", random.one(&["/a", "/a/b", "/b", "/"])),
        };
        parts.push(format!("uri: {{{uri}}}"));
    }
    if random.chance(20) {
        parts.push(format!(
            "method: {{exact: {}}}",
            random.one(&["GET", "POST"])
        ));
    }
    if random.chance(20) {
        parts.push("headers: {x-user: {exact: jason}}".to_owned());
    }
    if random.chance(10) {
        parts.push("withoutHeaders: {x-user: {}}".to_owned());
    }
    if random.chance(15) {
        parts.push("queryParams: {q: {exact: '1'}}".to_owned());
    }
    if random.chance(10) {
        parts.push("authority: {prefix: a.}".to_owned());
    }
    format!("{{{}}}", parts.join(", "))
}

fn rule(random: &mut Random) -> String {
    let mut text = String::from("-");
    let matches = random.below(3);
    if matches > 0 {
        let list: Vec<_> = (0..matches).map(|_| condition(random)).collect();
        write!(text, " match: [{}]\n ", list.join(", ")).expect("a string can grow");
    }
    match random.below(10) {
        0 => text.push_str(" redirect: {uri: /elsewhere, redirectCode: 302}\n"),
        1 => text.push_str(" directResponse: {status: 418, body: {string: teapot}}\n"),
        2 => text.push_str(" route: [{destination: {host: nobody.test}}]\n"),
        3 => text.push_str(" route: [{destination: {host: empty.test}}]\n"),
        4 => text.push_str(
            " route: [{destination: {host: one.test}, weight: 50}, {destination: {host: two.test}, weight: 50}]\n",
        ),
        _ => writeln!(text, " route: [{{destination: {{host: {}.test}}}}]", random.one(&["one", "two"])).expect("a string can grow"),
    }
    let forwards = text.contains("route: [");
    if forwards && random.chance(30) {
        let rewrite = random.one(&[
            "uri: /new",
            "authority: other.test",
            "uriRegexRewrite: {match: '/([ab])', rewrite: '/x\\1'}",
        ]);
        writeln!(text, "  rewrite: {{{rewrite}}}").expect("a string can grow");
    }
    if forwards && random.chance(15) {
        text.push_str("  fault: {abort: {httpStatus: 429, percentage: {value: 100}}}\n");
    }
    if random.chance(30) {
        text.push_str("  headers: {request: {set: {x-set: '%PROTOCOL%'}, remove: [x-user]}}\n");
    }
    if random.chance(15) {
        text.push_str(
            "  corsPolicy: {allowOrigins: [{exact: 'http://o.test'}], allowMethods: [GET]}\n",
        );
    }
    text
}

struct Request {
    method: &'static str,
    path: String,
    headers: Vec<String>,
}

fn request(random: &mut Random) -> Request {
    let mut path = random
        .one(&[
            "/", "/a", "/a/b", "/a/bcb", "/b/x", "/c", "/a/../b", "/%61", "/a//b",
        ])
        .to_owned();
    if random.chance(30) {
        path.push_str(random.one(&["?q=1", "?q=2", "?"]));
    }
    let mut headers = Vec::new();
    if random.chance(30) {
        headers.push(format!("x-user: {}", random.one(&["jason", "kim"])));
    }
    let method = ["GET", "GET", "POST", "OPTIONS"][random.below(4)];
    if random.chance(30) {
        headers.push("origin: http://o.test".to_owned());
        headers.push("access-control-request-method: GET".to_owned());
    }
    Request {
        method,
        path,
        headers,
    }
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                out.push(char::from(byte));
            }
            _ => write!(out, "%{byte:02X}").expect("a string can grow"),
        }
    }
    out
}

fn ask(gatehouse: &Gatehouse, address: SocketAddr, host: &str, request: &Request) -> Value {
    let url = encoded(&format!("http://{address}{}", request.path));
    let mut query = format!(
        "/api/v1/why?from=127.0.0.1&url={url}&method={}&header={}",
        request.method,
        encoded(&format!("host:{host}")),
    );
    for header in &request.headers {
        write!(query, "&header={}", encoded(header)).expect("a string can grow");
    }
    let answer = gatehouse.api(&query);
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()
}

/// Fields as the upstream saw them, without what differs from one request to the next.
fn seen(fields: &Value) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = fields
        .as_array()
        .expect("a list of fields")
        .iter()
        .map(|field| {
            let text = |i: usize| field[i].as_str().expect("a text").to_owned();
            (text(0), text(1))
        })
        .filter(|(name, _)| {
            !matches!(
                name.as_str(),
                "connection" | "x-request-id" | "content-length"
            )
        })
        .collect();
    fields.sort();
    fields
}

fn compare(told: &Value, wire: &Response, what: &str) {
    let answer = &told["answer"];
    let destinations = told["destinations"].as_array().expect("a list");
    let Some(by) = wire.header("x-echo") else {
        let statuses: Vec<_> = destinations
            .iter()
            .map(|row| &row["answer"])
            .chain([answer])
            .filter(|answer| answer["outcome"] == "gateway")
            .map(|answer| answer["status"].as_u64())
            .collect();
        assert!(
            statuses.contains(&Some(wire.status.into())),
            "{what}: the wire says {}, told is {told:#}",
            wire.status
        );
        let location = wire.header("location").unwrap_or_default();
        assert_eq!(answer["location"], location, "{what}: {told:#}");
        return;
    };
    let row = destinations
        .iter()
        .find(|row| {
            let cluster = row["cluster"].as_str().unwrap_or_default();
            cluster.ends_with(&format!("||{by}.test"))
        })
        .unwrap_or_else(|| panic!("{what}: {by} answered, told is {told:#}"));
    assert_eq!(row["answer"]["outcome"], "upstream", "{what}: {told:#}");
    let echo: Value = wire.json();
    let upstream = &row["upstream"];
    assert_eq!(upstream["method"], echo["method"], "{what}");
    assert_eq!(upstream["target"], echo["path"], "{what}");
    assert_eq!(seen(&upstream["headers"]), seen(&echo["headers"]), "{what}");
}

#[test]
fn why_and_the_wire_agree() {
    let node = Node::host();
    let echo = |name| Echo::http(&node, name, SocketAddr::from((loopback_address(), 0)));
    let (one, two) = (echo("one"), echo("two"));
    let (one, two) = (one.address(), two.address());
    let mut random = Random(0x2026_1123);
    let long = std::env::var_os("GATEHOUSE_LONG_TESTS").is_some();
    let configurations = REQUESTS * if long { 10 } else { 1 } / EACH;
    for round in 0..configurations {
        let rules: String = (0..1 + random.below(8))
            .map(|_| rule(&mut random))
            .collect();
        let services = [
            ("one.test", &[one][..]),
            ("two.test", &[two][..]),
            ("empty.test", &[]),
        ];
        let front = Front::start(&rules, &services);
        for _ in 0..EACH {
            let request = request(&mut random);
            let host = random.one(&["a.test", "b.test:8080", "A.TEST"]);
            let told = ask(&front.gatehouse, front.address, host, &request);
            let headers: Vec<&str> = request.headers.iter().map(String::as_str).collect();
            let (method, path) = (request.method, &request.path);
            let wire = http::request(front.address, method, host, path, &headers);
            let wire = wire.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
            let what = format!("round {round}: {method} {host}{path} {headers:?}\n{rules}");
            compare(&told, &wire, &what);
        }
    }
}

#[test]
fn a_request_without_a_route_is_told_the_nearest_one() {
    let front = Front::start(
        "- match: [{uri: {exact: /productpage}}]\n  directResponse: {status: 200}\n",
        &[],
    );
    let url = format!("http://{}/productpag", front.address);
    let told = front.gatehouse.ask(&["why", &url]);
    assert_eq!(told.status.code(), Some(1), "{}", told.stderr);
    for text in [
        "404 NR route_not_found",
        "is not exactly `/productpage`",
        "routes.yaml:",
    ] {
        assert!(told.stdout.contains(text), "{text} in {}", told.stdout);
    }
    let config = front.config.path().display().to_string();
    let url = format!("http://{}/productpage", front.address);
    let told = Gatehouse::verb(&Node::host(), &["why", &url, "--config", &config]).ok();
    assert!(told.contains("direct response"), "{told}");
}

#[test]
fn the_reason_is_sent_to_those_who_may_know() {
    let rules = "- match: [{uri: {exact: /here}}]\n  route: [{destination: {host: nobody.test}}]\n";
    let front = Front::start_with(rules, &[], |builder| {
        builder.arguments(&["--workers", "1", "--reason-header", "all"])
    });
    let reason = |path: &str| {
        front
            .get(path, &[])
            .header("x-gatehouse-reason")
            .map(str::to_owned)
    };
    let there = reason("/there").expect("404 has a reason");
    assert!(there.contains("is not exactly `/here`"), "{there}");
    let here = reason("/here").expect("503 has a reason");
    assert!(here.contains("nobody.test"), "{here}");

    // Loopback is not the LAN.
    let front = Front::start(rules, &[]);
    assert_eq!(front.get("/there", &[]).header("x-gatehouse-reason"), None);
}

#[test]
fn what_should_be_secret_is_not_sent_in_plain_text() {
    // It speaks no TLS: whatever comes first, it complains in plain text.
    let upstream = Upstream::start(|mut incoming| {
        incoming.exactly(5)?;
        incoming.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
        incoming.until_closed().map(drop)
    });
    let rule = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: api, namespace: default}
spec: {host: api.test, trafficPolicy: {tls: {mode: SIMPLE, sni: api.lan}}}
";
    let without_ca = rule.replace("sni: api.lan", "caCertificates: /nowhere/ca.crt");
    let rules = "- route: [{destination: {host: api.test}}]\n";
    let services = [("api.test", &[upstream.address()][..])];
    let front = Front::start_beside(rules, &services, &without_ca, |builder| {
        builder.arguments(&[
            "--workers",
            "1",
            "--reason-header",
            "all",
            "--access-log",
            "stdout",
        ])
    });
    let answer = front.get("/", &[]);
    assert_eq!(answer.status, 503, "{}", answer.text());
    let reason = answer.header("x-gatehouse-reason").expect("it says why");
    assert!(
        reason.contains("asks for TLS to outbound|80||api.test"),
        "{reason}"
    );
    assert_eq!(upstream.connections(), 0, "nobody was even called");

    front.config.write("more.yaml", rule);
    let answer = eventually("somebody is called", DEADLINE, || {
        let answer = front.get("/", &[]);
        (upstream.connections() > 0).then_some(answer)
    });
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(!upstream.seen().contains("GET"), "in plain text");
    eventually("the log line", DEADLINE, || {
        let log = front.gatehouse.log();
        (log.contains(" 503 UF ") && log.contains("WRONG_VERSION_NUMBER")).then_some(())
    });

    let open = rule.replace("mode: SIMPLE, sni: api.lan", "mode: DISABLE");
    front.config.write("more.yaml", &open);
    eventually("plain text is asked for", DEADLINE, || {
        (front.get("/", &[]).status == 200).then_some(())
    });
}

#[test]
fn an_answer_given_here_is_told_with_the_flags_of_the_log_and_nothing_is_sent() {
    let upstream = Upstream::well_behaved();
    let rules = "- match: [{uri: {prefix: /abort}}]
  fault: {delay: {fixedDelay: 5ms, percentage: {value: 100}}, abort: {httpStatus: 418, percentage: {value: 100}}}
  headers: {request: {set: {x-set: a}}}
  timeout: 3s
  route: [{destination: {host: one.test}}]
- match: [{uri: {prefix: /moved}}]
  headers: {request: {set: {x-set: a}}}
  redirect: {uri: /elsewhere}
- match: [{uri: {regex: '/a{2}[\\d]+'}, statPrefix: counted}]
  route: [{destination: {host: one.test}}]
";
    let services = [("one.test", &[upstream.address()][..])];
    let front = Front::start_with(rules, &services, |builder| {
        builder.arguments(&["--workers", "1", "--access-log", "stdout"])
    });
    let why = |path: &str| {
        let url = format!("http://{}{path}", front.address);
        front.gatehouse.ask(&["why", &url]).stdout
    };
    assert_eq!(front.get("/abort", &[]).status, 418);
    eventually("the log line", DEADLINE, || {
        let log = front.gatehouse.log();
        log.contains(" 418 DI,FI fault_filter_abort").then_some(())
    });
    let aborted = why("/abort");
    assert!(
        aborted.contains("418 DI,FI fault_filter_abort"),
        "{aborted}"
    );
    let moved = why("/moved");
    for told in [&aborted, &moved] {
        for unwanted in ["TO  ", "SENT", "timeout", "x-set"] {
            assert!(!told.contains(unwanted), "{unwanted} in {told}");
        }
    }
    let counted = why("/aa7");
    assert!(counted.contains("SENT"), "{counted}");
    assert!(counted.contains("statPrefix: counts it apart"), "{counted}");
    let nowhere = why("/nowhere");
    assert!(nowhere.contains("the regex `/a{2}[\\d]+`"), "{nowhere}");
    assert!(!nowhere.contains("\\A("), "{nowhere}");
}

#[test]
fn what_a_destination_rule_makes_of_a_request_is_told() {
    let node = Node::host();
    let echo = |name| Echo::http(&node, name, SocketAddr::from((loopback_address(), 0)));
    let (one, two) = (echo("one"), echo("two"));
    let documents = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: hashed, namespace: default}
spec:
  host: hashed.test
  trafficPolicy:
    loadBalancer: {consistentHash: {httpHeaderName: x-user}}
    retryBudget: {percent: 25, minRetryConcurrency: 4, budgetInterval: 7s}
    tunnel: {protocol: CONNECT, targetHost: far.test, targetPort: 443}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cookie, namespace: default}
spec:
  host: cookie.test
  trafficPolicy:
    loadBalancer: {consistentHash: {httpCookie: {name: session, path: /, ttl: 60s}}}
";
    let rules = "- match: [{uri: {prefix: /cookie}}]
  route: [{destination: {host: cookie.test}}]
- route: [{destination: {host: hashed.test}}]
";
    let both = [one.address(), two.address()];
    let services = [("hashed.test", &both[..]), ("cookie.test", &both[..])];
    let front = Front::start_beside(rules, &services, documents, |builder| {
        builder.arguments(&["--workers", "1"])
    });
    let why = |path: &str, headers: &[&str]| {
        let url = format!("http://{}{path}", front.address);
        let mut arguments = vec!["why", &url];
        for header in headers {
            arguments.extend(["-H", header]);
        }
        front.gatehouse.ask(&arguments).stdout
    };
    for user in 0..20 {
        let header = format!("x-user: {user}");
        let wire = front.get("/", &[&header]);
        let by = match wire.header("x-echo") {
            Some("one") => one.address(),
            _ => two.address(),
        };
        let told = why("/", &[&header]);
        assert!(told.contains(&format!("→ {by}")), "{header}: {told}");
        let value = format!("hashed by the header x-user: `{user}`");
        assert!(told.contains(&value), "{told}");
    }
    let told = why("/", &[]);
    for text in [
        "the header x-user, which the request lacks",
        "retryBudget: at most 25 % of the requests of the last 7s (budgetInterval) may be retries, and 4 always",
        "tunnel: does not act",
    ] {
        assert!(told.contains(text), "{text} in {told}");
    }
    let told = why("/cookie", &[]);
    let cookie = "set-cookie: session=\"…\"; Max-Age=60; Path=/; HttpOnly";
    assert!(told.contains(cookie), "{told}");
    let set = front.get("/cookie", &[]);
    let set = set.header("set-cookie").expect("a cookie is set");
    assert!(set.ends_with("; Max-Age=60; Path=/; HttpOnly"), "{set}");
    let told = why("/cookie", &["cookie: session=a"]);
    assert!(told.contains("the cookie session: `a`"), "{told}");
}
