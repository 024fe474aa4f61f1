//! How requests are spread: round robin with weights, by hash with and without a cookie, localities,
//! PROXY headers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use gatehouse_e2e::{Echo, Front, Node, Upstream, http, loopback_address};

const TO_API: &str = "- route: [{destination: {host: api.test}}]\n";

fn echoes(count: usize) -> Vec<Echo> {
    (1..=count)
        .map(|number| {
            let address = SocketAddr::from((loopback_address(), 0));
            Echo::http(&Node::host(), &format!("e{number}"), address)
        })
        .collect()
}

/// A front to `api.test` with these endpoints (YAML flow maps without the braces), a traffic
/// policy, and further arguments.
fn front(endpoints: &[String], policy: &str, arguments: &[&str]) -> Front {
    let mut services = String::from(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: default}
spec:
  hosts: [api.test]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints:
",
    );
    for endpoint in endpoints {
        services.push_str(&format!("  - {{{endpoint}}}\n"));
    }
    let rule = format!(
        "---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: api, namespace: default}}
spec: {{host: api.test, trafficPolicy: {policy}}}
"
    );
    Front::start_beside(TO_API, &[], &format!("{services}{rule}"), |builder| {
        builder.arguments(&["--workers", "1"]).arguments(arguments)
    })
}

fn endpoint(echo: &Echo, more: &str) -> String {
    let address = echo.address();
    format!(
        "address: {}, ports: {{http: {}}}{more}",
        address.ip(),
        address.port()
    )
}

fn name(response: &http::Response) -> String {
    response.header("x-echo").unwrap_or("none").to_owned()
}

fn counts(front: &Front, times: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..times {
        *counts.entry(name(&front.get("/", &[]))).or_default() += 1;
    }
    counts
}

#[test]
fn round_robin_heeds_weights_exactly() {
    let echoes = echoes(2);
    let endpoints = [
        endpoint(&echoes[0], ", weight: 3"),
        endpoint(&echoes[1], ", weight: 1"),
    ];
    let front = front(&endpoints, "{loadBalancer: {simple: ROUND_ROBIN}}", &[]);
    let expected = BTreeMap::from([("e1".to_owned(), 30), ("e2".to_owned(), 10)]);
    assert_eq!(counts(&front, 40), expected);
}

#[test]
fn the_same_header_leads_to_the_same_endpoint() {
    let echoes = echoes(3);
    let endpoints: Vec<_> = echoes.iter().map(|echo| endpoint(echo, "")).collect();
    for table in [
        "",
        ", ringHash: {minimumRingSize: 100}",
        ", maglev: {tableSize: 251}",
    ] {
        let policy =
            format!("{{loadBalancer: {{consistentHash: {{httpHeaderName: x-user{table}}}}}}}");
        let front = front(&endpoints, &policy, &[]);
        let to = |user: usize| name(&front.get("/", &[&format!("x-user: u{user}")]));
        let first: Vec<_> = (0..20).map(to).collect();
        let again: Vec<_> = (0..20).map(to).collect();
        assert_eq!(first, again, "{table}");
        assert_eq!(
            first.iter().collect::<BTreeSet<_>>().len(),
            3,
            "{table}: {first:?}"
        );
        assert_eq!(counts(&front, 60).len(), 3, "without the header by chance");
    }
}

#[test]
fn a_query_parameter_or_the_clients_address_leads_to_one_endpoint() {
    let echoes = echoes(3);
    let endpoints: Vec<_> = echoes.iter().map(|echo| endpoint(echo, "")).collect();
    let by_query = front(
        &endpoints,
        "{loadBalancer: {consistentHash: {httpQueryParameterName: user}}}",
        &[],
    );
    let to = |user: usize| name(&by_query.get(&format!("/a?x=1&user={user}"), &[]));
    let first: Vec<_> = (0..20).map(to).collect();
    assert_eq!(first, (0..20).map(to).collect::<Vec<_>>());
    assert!(first.iter().collect::<BTreeSet<_>>().len() > 1);
    let by_address = front(
        &endpoints,
        "{loadBalancer: {consistentHash: {useSourceIp: true}}}",
        &[],
    );
    assert_eq!(counts(&by_address, 20).len(), 1);
}

#[test]
fn a_cookie_is_given_once_and_leads_back() {
    let echoes = echoes(3);
    let mut endpoints: Vec<_> = echoes.iter().map(|echo| endpoint(echo, "")).collect();
    // One that refuses, so that some requests are tried twice.
    let refusing = SocketAddr::from((loopback_address(), 9));
    endpoints.push(format!(
        "address: {}, ports: {{http: {}}}",
        refusing.ip(),
        refusing.port()
    ));
    let front = front(
        &endpoints,
        "{loadBalancer: {consistentHash: {httpCookie: {name: sticky, path: /app, ttl: 60s, attributes: [{name: SameSite, value: Lax}]}}}}",
        &[],
    );
    let mut endpoints = BTreeSet::new();
    for _ in 0..20 {
        let first = front.get("/app", &[]);
        assert_eq!(first.status, 200, "{}", first.text());
        let cookies = first
            .headers
            .iter()
            .filter(|(name, _)| name == "set-cookie");
        let cookies: Vec<_> = cookies.map(|(_, value)| value.as_str()).collect();
        let [cookie] = cookies.as_slice() else {
            panic!("one cookie is set: {cookies:?}");
        };
        assert!(
            cookie.ends_with("; Max-Age=60; Path=/app; SameSite=Lax; HttpOnly"),
            "{cookie}"
        );
        let pair = cookie.split(';').next().unwrap_or_default();
        for _ in 0..3 {
            let again = front.get("/app", &[&format!("cookie: a=b; {pair}")]);
            assert_eq!(name(&again), name(&first));
            assert_eq!(again.header("set-cookie"), None);
        }
        endpoints.insert(name(&first));
    }
    assert!(endpoints.len() > 1, "{endpoints:?}");
}

#[test]
fn shares_go_by_where_endpoints_stand() {
    let echoes = echoes(3);
    let endpoints = [
        endpoint(&echoes[0], ", locality: eu/a"),
        endpoint(&echoes[1], ", locality: us/a"),
        endpoint(&echoes[2], ", locality: asia/a"),
    ];
    let policy =
        "{loadBalancer: {localityLbSetting: {distribute: [{from: eu/*, to: {eu/a: 80, us: 20}}]}}}";
    let front = front(&endpoints, policy, &["--locality", "eu/a"]);
    let counts = counts(&front, 300);
    assert_eq!(counts.get("e3"), None, "{counts:?}");
    assert!((200..=275).contains(&counts["e1"]), "{counts:?}");
}

#[test]
fn an_endpoint_is_told_who_the_client_is() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heads = std::sync::Arc::clone(&seen);
    let upstream = Upstream::start(move |mut incoming| {
        while let Some(head) = incoming.request()? {
            heads.lock().unwrap().push(head);
            incoming.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
        }
        Ok(())
    });
    let address = upstream.address();
    let endpoint = format!(
        "address: {}, ports: {{http: {}}}",
        address.ip(),
        address.port()
    );
    let front = front(&[endpoint], "{proxyProtocol: {}}", &[]);
    let mut clients = [front.connect(), front.connect()];
    for round in 0..2 {
        for client in &mut clients {
            client
                .send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
                .unwrap();
            let response = client.response("GET").unwrap();
            assert_eq!(response.status, 200, "round {round}");
        }
    }
    // A connection for each client, which served both of its requests.
    assert_eq!(upstream.connections(), 2);
    let heads = seen.lock().unwrap();
    for client in &mut clients {
        let local = client.stream().get_ref().local_addr().unwrap();
        let (ip, port) = (front.address.ip(), front.address.port());
        let line = format!("PROXY TCP4 {} {ip} {} {port}\r\n", local.ip(), local.port());
        let told = heads.iter().filter(|head| head.starts_with(&line)).count();
        assert_eq!(told, 1, "{line} is not in {heads:?}");
    }
}
