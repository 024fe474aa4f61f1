//! Endpoints that fail are left out for a while, by every worker, and that can be seen.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use gatehouse_e2e::{DEADLINE, Echo, Front, Node, eventually, loopback_address};

const TO_API: &str = "- route: [{destination: {host: api.test}}]\n  retries: {attempts: 0}\n";

fn echo(name: &str) -> Echo {
    let address = SocketAddr::from((loopback_address(), 0));
    Echo::http(&Node::host(), name, address)
}

fn front(endpoints: &[SocketAddr], outliers: &str, workers: &str) -> Front {
    let rule = format!(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: api, namespace: default}}
spec: {{host: api.test, trafficPolicy: {{loadBalancer: {{simple: ROUND_ROBIN}}, outlierDetection: {outliers}}}}}
"
    );
    Front::start_beside(TO_API, &[("api.test", endpoints)], &rule, |builder| {
        builder.arguments(&["--workers", workers])
    })
}

/// Sends requests until `bad` has failed so often.
fn fail(front: &Front, bad: &str, times: usize) {
    let mut failed = 0;
    for _ in 0..10 * times {
        if failed == times {
            return;
        }
        // Only the bad one does as it is told: the good one answers 200 in any case.
        let response = front.get("/", &["x-echo-status: 500"]);
        failed += usize::from(response.header("x-echo") == Some(bad));
    }
    panic!("{bad} was not asked {times} times");
}

fn counts(front: &Front, times: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..times {
        let response = front.get("/", &[]);
        let name = response.header("x-echo").unwrap_or("none").to_owned();
        *counts.entry(name).or_default() += 1;
    }
    counts
}

#[test]
fn an_endpoint_is_left_out_by_all_workers_after_so_many_errors_and_shown_so() {
    let (one, two) = (echo("one"), echo("two"));
    let front = front(
        &[one.address(), two.address()],
        "{consecutive5xxErrors: 3, interval: 1h, baseEjectionTime: 1h, maxEjectionPercent: 50}",
        "4",
    );
    assert_eq!(counts(&front, 40).len(), 2);
    // Both fail; at most half may be left out, and it is whoever has failed three times first.
    for _ in 0..30 {
        front.get("/", &["x-echo-status: 500"]);
    }
    let after = counts(&front, 60);
    assert_eq!(after.len(), 1, "{after:?}");
    eventually("the admin API shows it", DEADLINE, || {
        let rows = front.gatehouse.rows("endpoints");
        let out = rows.iter().filter(|row| row["health"] != "healthy").count();
        (out == 1).then_some(())
    });
}

#[test]
fn with_all_left_out_the_answer_is_that_of_an_empty_cluster() {
    let one = echo("one");
    let front = front(
        &[one.address()],
        "{consecutive5xxErrors: 2, interval: 1h, baseEjectionTime: 1h, maxEjectionPercent: 100}",
        "1",
    );
    fail(&front, "one", 2);
    let response = front.get("/", &[]);
    assert_eq!(
        (response.status, response.text().as_str()),
        (503, "no healthy upstream")
    );
}

#[test]
fn below_the_least_health_all_are_used() {
    let one = echo("one");
    let front = front(
        &[one.address()],
        "{consecutive5xxErrors: 2, interval: 1h, baseEjectionTime: 1h, maxEjectionPercent: 100, minHealthPercent: 50}",
        "1",
    );
    fail(&front, "one", 2);
    assert_eq!(front.get("/", &[]).status, 200);
}

#[test]
fn it_comes_back_after_its_time() {
    let one = echo("one");
    let front = front(
        &[one.address()],
        "{consecutiveGatewayErrors: 1, consecutive5xxErrors: 0, interval: 100ms, baseEjectionTime: 3s, maxEjectionPercent: 100}",
        "1",
    );
    // No gateway error, and no count of 5xx.
    for _ in 0..8 {
        assert_eq!(front.get("/", &["x-echo-status: 500"]).status, 500);
    }
    assert_eq!(
        front.get("/", &["x-echo-status: 503"]).header("x-echo"),
        Some("one")
    );
    assert_eq!(front.get("/", &[]).header("x-echo"), None, "left out");
    eventually("it is let in again", DEADLINE, || {
        (front.get("/", &[]).status == 200).then_some(())
    });
}

#[test]
fn refused_connections_count() {
    let one = echo("one");
    let refusing = SocketAddr::from((loopback_address(), 9));
    let front = front(
        &[one.address(), refusing],
        "{consecutive5xxErrors: 2, interval: 1h, baseEjectionTime: 1h}",
        "1",
    );
    let mut refused = 0;
    for _ in 0..20 {
        refused += usize::from(front.get("/", &[]).status == 503);
    }
    assert_eq!(refused, 2, "then it is left out");
}
