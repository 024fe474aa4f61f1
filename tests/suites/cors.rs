//! `corsPolicy`: what browsers are told. The expected answers are what istiod with Envoy gives.

use std::net::SocketAddr;

use gatehouse_e2e::http::Response;
use gatehouse_e2e::{Echo, Front, Node, http, loopback_address};

const RULES: &str = "- match: [{uri: {prefix: /forward}}]
  corsPolicy:
    allowOrigins: [{exact: https://a.test}, {regex: 'https://[a-z]+[.]b[.]test'}]
    allowMethods: [GET, POST]
    allowHeaders: [x-one, x-two]
    exposeHeaders: [x-echo]
    maxAge: 24h
    allowCredentials: true
  headers: {response: {set: {access-control-allow-origin: nobody}}}
  route: [{destination: {host: one.test}}]
- match: [{uri: {prefix: /ignore}}]
  corsPolicy:
    allowOrigins: [{prefix: https://a}]
    unmatchedPreflights: IGNORE
  route: [{destination: {host: one.test}}]
- match: [{uri: {prefix: /moved}}]
  corsPolicy: {allowOrigins: [{exact: https://a.test}]}
  redirect: {uri: /elsewhere}
- match: [{uri: {prefix: /here}}]
  corsPolicy: {allowOrigins: [{exact: https://a.test}]}
  directResponse: {status: 200, body: {string: here}}
- match: [{uri: {prefix: /gone}}]
  corsPolicy: {allowOrigins: [{exact: '*'}]}
  route: [{destination: {host: nobody.test}}]
- match: [{uri: {prefix: /broken}}]
  corsPolicy: {allowOrigins: [{exact: https://a.test}]}
  fault: {abort: {httpStatus: 500, percentage: {value: 100}}}
  route: [{destination: {host: one.test}}]
";

fn cors(response: &Response) -> Vec<String> {
    let headers = response.headers.iter();
    let mut cors: Vec<_> = headers
        .filter_map(|(name, value)| Some((name.strip_prefix("access-control-")?, value)))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    cors.sort();
    cors
}

#[test]
fn browsers_are_told_what_they_may_do() {
    let echo = Echo::http(
        &Node::host(),
        "one",
        SocketAddr::from((loopback_address(), 0)),
    );
    let mut front = Front::start_with(RULES, &[("one.test", &[echo.address()])], |builder| {
        builder.arguments(&["--workers", "1", "--access-log", "stdout"])
    });
    let address = front.address;
    let ask = |method: &str, path: &str, headers: &[&str]| {
        http::request(address, method, "gate.test", path, headers).unwrap()
    };
    let preflight = |path: &str, origin: &str| {
        let origin = format!("origin: {origin}");
        let headers = [&*origin, "access-control-request-method: DELETE"];
        ask("OPTIONS", path, &headers)
    };
    let simple = |path: &str, origin: &str| ask("GET", path, &[&*format!("origin: {origin}")]);

    // A preflight is answered here, whatever it asks for.
    let answer = preflight("/forward", "https://a.test");
    assert_eq!((answer.status, answer.header("x-echo")), (200, None));
    let told = [
        "allow-credentials: true",
        "allow-headers: x-one,x-two",
        "allow-methods: GET,POST",
        "allow-origin: https://a.test",
        "expose-headers: x-echo",
        "max-age: 86400",
    ];
    assert_eq!(cors(&answer), told);
    assert_eq!(cors(&preflight("/forward", "https://x.b.test")).len(), 6);
    front.gatehouse.wait_for_log(" 200 - cors_response ");

    // Others go to the upstream, and the policy wins over a header edit.
    let answer = simple("/forward", "https://a.test");
    assert_eq!(answer.header("x-echo"), Some("one"));
    let told = [
        "allow-credentials: true",
        "allow-origin: https://a.test",
        "expose-headers: x-echo",
    ];
    assert_eq!(cors(&answer), told);
    for answer in [
        simple("/forward", "https://c.test"),
        preflight("/forward", "https://c.test"),
        preflight("/forward", "https://x.b.test.evil"),
        ask("GET", "/forward", &[]),
        ask("OPTIONS", "/forward", &["origin: "]),
    ] {
        assert_eq!(answer.header("x-echo"), Some("one"));
        assert_eq!(cors(&answer), ["allow-origin: nobody"]);
    }

    // IGNORE: answered here, without a word.
    let answer = preflight("/ignore", "https://c.test");
    assert_eq!((answer.status, answer.header("x-echo")), (200, None));
    assert_eq!(cors(&answer), Vec::<String>::new());
    let answer = simple("/ignore", "https://c.test");
    assert_eq!(answer.header("x-echo"), Some("one"));

    // The gateway's own answers are for browsers too.
    for (path, origin, status) in [
        ("/moved", "https://a.test", 301),
        ("/here", "https://a.test", 200),
        ("/gone", "https://any.test", 503),
    ] {
        let answer = simple(path, origin);
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(cors(&answer), [format!("allow-origin: {origin}")], "{path}");
        assert_eq!(preflight(path, origin).status, 200, "{path}");
    }
    // But an injected fault comes first.
    let answer = preflight("/broken", "https://a.test");
    assert_eq!(answer.status, 500);
    assert_eq!(cors(&answer), Vec::<String>::new());
}
