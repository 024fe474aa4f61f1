//! `fault`: delays and aborts on purpose. The expected answers are what istiod with Envoy gives.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gatehouse_e2e::{Echo, Front, Node, http, loopback_address};

fn echo() -> Echo {
    Echo::http(
        &Node::host(),
        "one",
        SocketAddr::from((loopback_address(), 0)),
    )
}

fn front(echo: &Echo, rules: &str) -> Front {
    Front::start_with(rules, &[("one.test", &[echo.address()])], |builder| {
        builder.arguments(&["--workers", "1", "--access-log", "stdout"])
    })
}

const TO_ONE: &str = "route: [{destination: {host: one.test}}]";

#[test]
fn an_abort_answers_in_place_of_the_upstream() {
    let echo = echo();
    let mut front = front(
        &echo,
        &format!(
            "- match: [{{uri: {{prefix: /all}}}}]
  fault: {{abort: {{httpStatus: 555, percentage: {{value: 100}}}}}}
  headers: {{response: {{set: {{x-route: 'yes'}}}}}}
  {TO_ONE}
- match: [{{uri: {{prefix: /none}}}}]
  fault: {{abort: {{httpStatus: 555, percentage: {{value: 0}}}}}}
  {TO_ONE}
- match: [{{uri: {{prefix: /unsaid}}}}]
  fault: {{abort: {{httpStatus: 555}}}}
  {TO_ONE}
"
        ),
    );
    let answer = front.get("/all", &[]);
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (555, "fault filter abort")
    );
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(answer.header("x-route"), Some("yes"));
    let head = http::request(front.address, "HEAD", "a.test", "/all", &[]).unwrap();
    assert_eq!((head.status, head.body.len()), (555, 0));
    for path in ["/none", "/unsaid"] {
        assert_eq!(front.get(path, &[]).status, 200, "{path}");
    }
    front.gatehouse.wait_for_log(" 555 FI fault_filter_abort ");
}

/// 1,000 requests: half of them, give or take what chance gives once in a million times.
#[test]
fn a_share_is_a_share() {
    let echo = echo();
    let front = front(
        &echo,
        &format!(
            "- fault: {{abort: {{httpStatus: 500, percentage: {{value: 50}}}}}}
  {TO_ONE}
"
        ),
    );
    let mut client = front.connect();
    let mut aborted = 0;
    for _ in 0..1_000 {
        client
            .send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
            .unwrap();
        aborted += u32::from(client.response("GET").unwrap().status == 500);
    }
    assert!((420..580).contains(&aborted), "{aborted}");
}

#[test]
fn a_delay_comes_before_the_answer_and_outside_the_timeout() {
    const DELAY: Duration = Duration::from_millis(400);
    let echo = echo();
    let mut front = front(
        &echo,
        &format!(
            "- match: [{{uri: {{prefix: /both}}}}]
  fault:
    delay: {{fixedDelay: 400ms, percentage: {{value: 100}}}}
    abort: {{httpStatus: 418, percentage: {{value: 100}}}}
  {TO_ONE}
- fault: {{delay: {{fixedDelay: 400ms, percentage: {{value: 100}}}}}}
  timeout: 200ms
  {TO_ONE}
"
        ),
    );
    let began = Instant::now();
    assert_eq!(front.get("/slow", &[]).status, 200);
    assert!(began.elapsed() >= DELAY);
    front.gatehouse.wait_for_log(" 200 DI via_upstream ");
    let began = Instant::now();
    assert_eq!(front.get("/both", &[]).status, 418);
    assert!(began.elapsed() >= DELAY);
    front
        .gatehouse
        .wait_for_log(" 418 DI,FI fault_filter_abort ");
    // The upstream's own slowness still counts.
    let late = front.get("/late", &["x-echo-delay: 5"]);
    assert_eq!(late.status, 504);
}

/// Nobody waits for a client that has left; the connection ends at once.
#[test]
fn a_client_that_leaves_during_a_delay_is_noticed() {
    let echo = echo();
    let mut front = front(
        &echo,
        &format!(
            "- fault: {{delay: {{fixedDelay: 3600s, percentage: {{value: 100}}}}}}
  {TO_ONE}
"
        ),
    );
    let mut client = front.connect();
    client
        .send(b"GET /left HTTP/1.1\r\nhost: a.test\r\n\r\n")
        .unwrap();
    drop(client);
    front
        .gatehouse
        .wait_for_log(" 0 DI,DC downstream_remote_disconnect ");
}

/// A request's body waits with it, and is forwarded whole afterwards.
#[test]
fn a_delayed_request_keeps_its_body() {
    let echo = echo();
    let front = front(
        &echo,
        &format!(
            "- fault: {{delay: {{fixedDelay: 100ms, percentage: {{value: 100}}}}}}
  {TO_ONE}
"
        ),
    );
    let body = vec![b'x'; 300_000];
    let mut client = front.connect();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client.send(head.as_bytes()).unwrap();
    client.send(&body).unwrap();
    let answer = client.response("POST").unwrap();
    assert_eq!(answer.json()["body_bytes"], 300_000);
}

#[test]
fn a_grpc_call_is_told_in_its_own_words() {
    let echo = echo();
    let front = front(
        &echo,
        &format!(
            "- match: [{{uri: {{prefix: /grpc}}}}]
  fault: {{abort: {{grpcStatus: RESOURCE_EXHAUSTED, percentage: {{value: 100}}}}}}
  {TO_ONE}
- match: [{{uri: {{prefix: /http}}}}]
  fault: {{abort: {{httpStatus: 503, percentage: {{value: 100}}}}}}
  {TO_ONE}
"
        ),
    );
    let call = "content-type: application/grpc+proto";
    for (path, status) in [("/grpc", "8"), ("/http", "14"), ("/nowhere", "12")] {
        let answer = front.get(path, &[call]);
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
        assert_eq!(answer.header("grpc-status"), Some(status), "{path}");
        assert_eq!(answer.header("content-type"), Some("application/grpc"));
        let message = (path != "/nowhere").then_some("fault filter abort");
        assert_eq!(answer.header("grpc-message"), message, "{path}");
    }
    let plain = front.get("/grpc", &[]);
    assert_eq!(
        (plain.status, plain.text().as_str()),
        (200, "fault filter abort")
    );
    assert_eq!(plain.header("grpc-status"), None);
}
