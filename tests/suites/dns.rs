//! ServiceEntries whose endpoints are names: looked up, used, looked up again.

use std::net::{IpAddr, SocketAddr};

use gatehouse_e2e::front::routes_yaml;
use gatehouse_e2e::http;
use gatehouse_e2e::{DEADLINE, Dns, Echo, Front, Node, Reply, eventually, loopback_address};

const TO_API: &str = "- route: [{destination: {host: api.test}}]\n";

/// Upstreams on several addresses and one port, since DNS tells no ports.
fn echoes(names: &[&str]) -> (Vec<Echo>, Vec<IpAddr>, u16) {
    let mut port = 0;
    let mut addresses = Vec::new();
    let echoes = names.iter().map(|name| {
        let ip = IpAddr::from(loopback_address());
        addresses.push(ip);
        let echo = Echo::http(&Node::host(), name, SocketAddr::new(ip, port));
        port = echo.address().port();
        echo
    });
    let echoes = echoes.collect();
    (echoes, addresses, port)
}

/// A ServiceEntry `api.test` with this spec besides its hosts and port.
fn entry(port: u16, rest: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: api, namespace: default}}
spec:
  hosts: [api.test]
  ports: [{{number: 80, targetPort: {port}, name: http, protocol: HTTP}}]
  {rest}
"
    )
}

fn front(dns: &Dns) -> Front {
    let server = dns.address().to_string();
    Front::start_with(TO_API, &[], |builder| {
        builder.arguments(&[
            "--workers",
            "1",
            "--resolver",
            &server,
            "--dns-min-refresh",
            "1",
        ])
    })
}

/// Who answers; the status where nobody does.
fn who(front: &Front) -> String {
    let answer = front.get("/", &[]);
    match answer.header("x-echo") {
        Some(name) => name.to_owned(),
        None => answer.status.to_string(),
    }
}

fn until(front: &Front, expected: &str) {
    let what = format!("{expected} answers");
    eventually(&what, DEADLINE, || (who(front) == expected).then_some(()));
}

/// The finding about names, if there is one.
fn finding(front: &Front) -> Option<String> {
    let all = front.gatehouse.api("/api/v1/findings").json();
    let mut all = all.as_array().expect("a list").iter();
    let found = all.find(|finding| finding["code"] == "GH0122")?;
    Some(found["message"].as_str()?.to_owned())
}

#[test]
fn all_addresses_of_the_host_itself_are_used_and_followed() {
    let (_echoes, ips, port) = echoes(&["one", "two", "three"]);
    let dns = Dns::start();
    dns.set_addresses("api.test", &ips[..2], 1);
    let front = front(&dns);
    // A configuration without names is served before any is looked up.
    front
        .config
        .write("api.yaml", &entry(port, "resolution: DNS"));
    until(&front, "one");
    until(&front, "two");
    dns.set_addresses("api.test", &ips[2..], 1);
    until(&front, "three");
    for _ in 0..10 {
        assert_eq!(who(&front), "three", "the others are gone from DNS");
    }
    assert_eq!(finding(&front), None);
}

#[test]
fn failures_keep_the_addresses_and_are_told() {
    let (_echoes, ips, port) = echoes(&["one", "two"]);
    let dns = Dns::start();
    dns.set_addresses("db.test", &ips[..1], 1);
    let front = front(&dns);
    let spec = "resolution: DNS\n  endpoints: [{address: db.test}]";
    front.config.write("api.yaml", &entry(port, spec));
    until(&front, "one");
    for (reply, why) in [
        (Reply::Failure, "Server Failure"),
        (Reply::NoSuchName, "NXDOMAIN"),
    ] {
        dns.set("db.test", reply);
        let told = eventually(why, DEADLINE, || {
            finding(&front).filter(|told| told.contains(why))
        });
        assert!(
            told.contains("`db.test` cannot be resolved since 20"),
            "{told}"
        );
        assert!(told.contains("known before stay in use"), "{told}");
        assert_eq!(who(&front), "one");
    }
    dns.set_addresses("db.test", &ips[1..], 1);
    until(&front, "two");
    assert_eq!(finding(&front), None);
}

#[test]
fn a_name_without_an_address_is_503_and_a_start_waits_for_nobody() {
    let (_echoes, ips, port) = echoes(&["one"]);
    let dns = Dns::start();
    dns.set("api.test", Reply::Silence);
    let front = front(&dns);
    front
        .config
        .write("api.yaml", &entry(port, "resolution: DNS"));
    eventually("it is asked for", DEADLINE, || {
        (dns.asked("api.test") > 0).then_some(())
    });
    let answer = eventually("the route is served", DEADLINE, || {
        let answer = front.get("/", &[]);
        (answer.body == b"no healthy upstream").then_some(answer)
    });
    assert_eq!(answer.status, 503);
    dns.set("api.test", Reply::NoSuchName);
    let told = eventually("it is told", DEADLINE, || finding(&front));
    assert!(told.contains("requests get 503"), "{told}");
    dns.set_addresses("api.test", &ips, 60);
    until(&front, "one");
    assert_eq!(finding(&front), None);
    // What is no longer wanted is no longer asked for; a long TTL is honoured.
    let asked = dns.asked("api.test");
    front.config.write(
        "routes.yaml",
        &routes_yaml("- directResponse: {status: 204}\n"),
    );
    eventually("the new rules", DEADLINE, || {
        (front.get("/", &[]).status == 204).then_some(())
    });
    assert_eq!(dns.asked("api.test"), asked);
}

#[test]
fn round_robin_uses_one_address_at_a_time() {
    let (_echoes, ips, port) = echoes(&["one", "two"]);
    let dns = Dns::start();
    dns.set_addresses("api.test", &ips, 1);
    let front = front(&dns);
    front
        .config
        .write("api.yaml", &entry(port, "resolution: DNS_ROUND_ROBIN"));
    until(&front, "one");
    for _ in 0..10 {
        assert_eq!(who(&front), "one", "the first address alone");
    }
    let turned = [ips[1], ips[0]];
    dns.set_addresses("api.test", &turned, 1);
    until(&front, "two");
    for _ in 0..10 {
        assert_eq!(who(&front), "two");
    }
}

#[test]
fn the_host_of_a_request_is_looked_up_where_a_wildcard_covers_it() {
    let (_echoes, addresses, port) = echoes(&["a", "b"]);
    let dns = Dns::start();
    let server = dns.address().to_string();
    let wild = format!(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: wild, namespace: default}}
spec:
  hosts: ['*.wild.test']
  ports: [{{number: 80, targetPort: {port}, name: http, protocol: HTTP}}]
  resolution: DYNAMIC_DNS
"
    );
    let rules = "- route: [{destination: {host: '*.wild.test'}}]\n  retries: {attempts: 0}\n";
    let front = Front::start_beside(rules, &[], &wild, |builder| {
        builder.arguments(&[
            "--workers",
            "1",
            "--resolver",
            &server,
            "--dns-min-refresh",
            "1",
            "--access-log",
            "stdout",
        ])
    });
    let shown = front.gatehouse.ask(&["get", "endpoints"]).stdout;
    let row = shown.lines().find(|line| line.contains("*.wild.test:"));
    let row = row.unwrap_or_else(|| panic!("one row: {shown}"));
    assert!(row.contains("resolved at request time"), "{row}");
    let get = |host: &str| http::get(front.address, host, "/", &[]).expect("an answer");
    dns.set_addresses("a.wild.test", &addresses[..1], 300);
    dns.set_addresses("b.wild.test", &addresses[1..], 1);
    assert_eq!(get("a.wild.test").header("x-echo"), Some("a"));
    assert_eq!(get("B.wild.test:8080").header("x-echo"), Some("b"));

    let nowhere = get("c.wild.test");
    assert_eq!(
        (nowhere.status, nowhere.text().as_str()),
        (503, "DNS resolution failure")
    );
    let outside = get("a.other.test");
    assert_eq!(outside.status, 503);
    eventually("the log lines", DEADLINE, || {
        let log = front.gatehouse.log();
        (log.matches(" 503 DF dns_resolution_failure").count() == 2).then_some(())
    });
    assert_eq!(dns.asked("a.other.test"), 0, "not asked for");

    // Its TTL is over soon, and then it is somewhere else.
    dns.set_addresses("b.wild.test", &addresses[..1], 1);
    eventually("the new address", DEADLINE, || {
        (get("b.wild.test").header("x-echo") == Some("a")).then_some(())
    });
}
