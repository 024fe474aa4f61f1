//! `delegate`: routes that are written in another VirtualService, and follow it when it changes.

use std::net::SocketAddr;

use gatehouse_e2e::{DEADLINE, Echo, Front, Node, eventually, http, loopback_address};

fn delegate(export_to: &str, rules: &str) -> String {
    let mut text = format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: team, namespace: team}}
spec:
  exportTo: {export_to}
  http:
"
    );
    for line in rules.lines() {
        text.push_str("  ");
        text.push_str(line);
        text.push('\n');
    }
    text
}

const ROOT: &str = "- match: [{uri: {prefix: /team}}]
  delegate: {name: team, namespace: team}
- route: [{destination: {host: one.test}}]
";

#[test]
fn a_delegates_routes_come_and_go_with_it() {
    let node = Node::host();
    let echo = |name| Echo::http(&node, name, SocketAddr::from((loopback_address(), 0)));
    let (one, two) = (echo("one"), echo("two"));
    let services = [
        ("one.test", &[one.address()][..]),
        ("two.test", &[two.address()][..]),
    ];
    let mut front = Front::start(ROOT, &services);
    let address = front.address;
    let by = |path: &str| {
        let answer = http::get(address, "a.test", path, &[]).unwrap();
        answer.header("x-echo").map(str::to_owned)
    };
    let one = Some("one".to_owned());
    // Nobody to delegate to: only that rule is left out.
    assert_eq!(by("/team/a"), one);
    front.gatehouse.wait_for_log("IST0101");

    let rules = "- match: [{uri: {prefix: /team/a}}]
  route: [{destination: {host: two.test}}]
- match: [{uri: {prefix: /other}}]
  route: [{destination: {host: two.test}}]
- match: [{uri: {exact: /team/teapot}}]
  directResponse: {status: 418}
";
    front.config.write("team.yaml", &delegate("['*']", rules));
    eventually("the delegate's routes", DEADLINE, || {
        (by("/team/a").as_deref() == Some("two")).then_some(())
    });
    assert_eq!(front.get("/team/teapot", &[]).status, 418);
    assert_eq!(by("/team/b"), one);
    assert_eq!(by("/other"), one, "wider than the root lets through");

    front
        .config
        .write("team.yaml", &delegate("[elsewhere]", rules));
    eventually("the delegate is hidden", DEADLINE, || {
        (by("/team/a") == one).then_some(())
    });

    // One that delegates in turn, to itself even, is refused; its last good version stays.
    front.config.write("team.yaml", &delegate("['*']", rules));
    eventually("the delegate's routes", DEADLINE, || {
        (by("/team/a").as_deref() == Some("two")).then_some(())
    });
    let circle = "- delegate: {name: team, namespace: team}\n";
    front.config.write("team.yaml", &delegate("['*']", circle));
    front
        .gatehouse
        .wait_for_log("a delegate cannot delegate to another");
    assert_eq!(by("/team/a").as_deref(), Some("two"));

    front.config.remove("team.yaml");
    eventually("the delegate is gone", DEADLINE, || {
        (by("/team/a") == one).then_some(())
    });
}
