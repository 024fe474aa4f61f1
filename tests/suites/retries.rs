//! `retries`: which failures are tried again, how often, and with which body.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gatehouse_e2e::{Front, Incoming, Upstream};

fn rule(retries: &str) -> String {
    format!("- retries: {{{retries}}}\n  route: [{{destination: {{host: one.test}}}}]\n")
}

fn front(rules: &str, upstream: &Upstream) -> Front {
    let services: [(&str, &[SocketAddr]); 1] = [("one.test", &[upstream.address()])];
    Front::start_with(rules, &services, |builder| {
        builder.arguments(&["--workers", "1", "--access-log", "stdout"])
    })
}

/// Answers its n-th request with the n-th of these; the last one again and again.
fn answers(list: &'static [&'static str]) -> Upstream {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    Upstream::start(move |mut incoming: Incoming| -> io::Result<()> {
        while incoming.request()?.is_some() {
            let n = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let answer = list[n.min(list.len() - 1)];
            if answer.is_empty() {
                return Ok(()); // closes without an answer
            }
            incoming.send(answer.as_bytes())?;
        }
        Ok(())
    })
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[test]
fn each_condition_repeats_what_it_names() {
    for (retry_on, first, repeated) in [
        ("5xx", "HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n", true),
        ("5xx", "", true),
        (
            "gateway-error",
            "HTTP/1.1 502 X\r\ncontent-length: 0\r\n\r\n",
            true,
        ),
        (
            "gateway-error",
            "HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n",
            false,
        ),
        (
            "retriable-4xx",
            "HTTP/1.1 409 X\r\ncontent-length: 0\r\n\r\n",
            true,
        ),
        ("reset", "", true),
        ("connect-failure", "", false),
        ("reset-before-request", "", false),
        (
            "418,connect-failure",
            "HTTP/1.1 418 X\r\ncontent-length: 0\r\n\r\n",
            true,
        ),
        (
            "unavailable",
            "HTTP/1.1 200 X\r\ngrpc-status: 14\r\ncontent-length: 0\r\n\r\n",
            true,
        ),
        (
            "cancelled",
            "HTTP/1.1 200 X\r\ngrpc-status: 14\r\ncontent-length: 0\r\n\r\n",
            false,
        ),
        (
            "envoy-ratelimited",
            "HTTP/1.1 429 X\r\nx-envoy-ratelimited: true\r\ncontent-length: 0\r\n\r\n",
            true,
        ),
        (
            "5xx",
            "HTTP/1.1 503 X\r\nx-envoy-ratelimited: true\r\ncontent-length: 0\r\n\r\n",
            false,
        ),
    ] {
        let list = Box::leak(Box::new([first, OK]));
        let upstream = answers(list);
        let front = front(
            &rule(&format!("attempts: 1, retryOn: '{retry_on}', backoff: 1ms")),
            &upstream,
        );
        let answer = front.get("/", &[]);
        let was_repeated = upstream.seen().contains("x-envoy-attempt-count: 2");
        assert_eq!(was_repeated, repeated, "{retry_on} {first:?}");
        assert_eq!(answer.text() == "ok", repeated, "{retry_on} {first:?}");
    }
}

#[test]
fn the_last_answer_stands_and_says_that_no_try_was_left() {
    let upstream = answers(&["HTTP/1.1 503 X\r\ncontent-length: 4\r\n\r\nbusy"]);
    let mut front = front(&rule("attempts: 3, retryOn: 5xx, backoff: 1ms"), &upstream);
    let answer = front.get("/", &[]);
    assert_eq!((answer.status, answer.text().as_str()), (503, "busy"));
    assert_eq!(upstream.seen().matches("GET / ").count(), 4);
    front.gatehouse.wait_for_log(" 503 URX via_upstream ");
}

#[test]
fn a_failure_that_no_condition_names_is_final() {
    let upstream = answers(&[""]);
    // Without a policy Istio's own applies, which repeats what cannot have been served.
    let mut front = front("- route: [{destination: {host: one.test}}]\n", &upstream);
    assert_eq!(front.get("/", &[]).status, 503);
    front
        .gatehouse
        .wait_for_log(" 503 UC upstream_reset_before_response_started{connection_termination} ");
    assert_eq!(upstream.seen().matches("GET / ").count(), 1);
}

#[test]
fn each_try_has_its_own_time() {
    let upstream = Upstream::start(|mut incoming: Incoming| -> io::Result<()> {
        while let Some(head) = incoming.request()? {
            if head.contains("x-envoy-attempt-count: 3") {
                incoming.send(OK.as_bytes())?;
            }
        }
        Ok(())
    });
    let rules = "- match: [{uri: {prefix: /enough}}]
  retries: {attempts: 2, perTryTimeout: 200ms, retryOn: reset, backoff: 1ms}
  route: [{destination: {host: one.test}}]
- match: [{uri: {prefix: /few}}]
  retries: {attempts: 1, perTryTimeout: 200ms, retryOn: reset, backoff: 1ms}
  route: [{destination: {host: one.test}}]
- match: [{uri: {prefix: /whole}}]
  timeout: 300ms
  retries: {attempts: 9, perTryTimeout: 200ms, retryOn: reset, backoff: 1ms}
  route: [{destination: {host: one.test}}]
- match: [{uri: {prefix: /unnamed}}]
  retries: {attempts: 2, perTryTimeout: 200ms, retryOn: connect-failure}
  route: [{destination: {host: one.test}}]
";
    let mut front = front(rules, &upstream);
    let began = Instant::now();
    assert_eq!(front.get("/enough", &[]).text(), "ok");
    assert!(began.elapsed() >= Duration::from_millis(400));
    let answer = front.get("/few", &[]);
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (504, "upstream request timeout")
    );
    front
        .gatehouse
        .wait_for_log(" 504 URX,UT upstream_per_try_timeout ");
    assert_eq!(front.get("/whole", &[]).status, 504);
    front.gatehouse.wait_for_log(" 504 UT response_timeout ");
    assert_eq!(front.get("/unnamed", &[]).status, 504);
    front
        .gatehouse
        .wait_for_log(" 504 UT upstream_per_try_timeout ");
    // What the upstream is told is the shorter of what is left.
    let seen = upstream.seen();
    let told = |line: &str| seen.contains(&format!("x-envoy-expected-rq-timeout-ms: {line}"));
    assert!(told("200\r\n"), "{seen}");
}

/// A body that fits is sent again, whole, by length and in chunks; a longer one goes by once.
#[test]
fn a_body_is_sent_again_as_long_as_it_is_kept() {
    for (size, chunked, repeated) in [
        (5, false, true),
        (5, true, true),
        (300_000, false, true),
        (300_000, true, true),
        (3_000_000, false, false),
    ] {
        let upstream = Upstream::start(|mut incoming: Incoming| -> io::Result<()> {
            while let Some(head) = incoming.request()? {
                if head.contains("x-envoy-attempt-count: 1") {
                    let busy = "HTTP/1.1 503 X\r\ncontent-length: 4\r\n\r\nbusy";
                    incoming.send(busy.as_bytes())?;
                } else {
                    incoming.send(OK.as_bytes())?;
                }
            }
            Ok(())
        });
        let front = front(&rule("attempts: 1, retryOn: 5xx, backoff: 1ms"), &upstream);
        let mut client = front.connect();
        let (framing, body) = if chunked {
            let half = "x".repeat(size / 2);
            let rest = "x".repeat(size - size / 2);
            let body = format!(
                "{:x}\r\n{half}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n",
                half.len(),
                rest.len()
            );
            ("transfer-encoding: chunked".to_owned(), body)
        } else {
            (format!("content-length: {size}"), "x".repeat(size))
        };
        client
            .send(format!("PUT / HTTP/1.1\r\nhost: a.test\r\n{framing}\r\n\r\n{body}").as_bytes())
            .unwrap();
        let answer = client.response("PUT").unwrap();
        let want = if repeated { "ok" } else { "busy" };
        assert_eq!(answer.text(), want, "{size} {chunked}");
        let sent = upstream.seen().matches('x').count();
        let least = if repeated { 2 * size } else { size };
        assert!(sent >= least, "{size} {chunked}: {sent}");
    }
}

/// A hundred tries with long pauses end when the client does.
#[test]
fn a_client_that_leaves_ends_the_retries() {
    let upstream = answers(&["HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n"]);
    let mut front = front(
        &rule("attempts: 100, retryOn: 5xx, backoff: 3600s"),
        &upstream,
    );
    let mut client = front.connect();
    client
        .send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
        .unwrap();
    gatehouse_e2e::eventually("the first try", gatehouse_e2e::DEADLINE, || {
        (upstream.connections() > 0).then_some(())
    });
    drop(client);
    front
        .gatehouse
        .wait_for_log(" 0 DC downstream_remote_disconnect ");
}

/// The time of the route bounds any number of tries.
#[test]
fn a_storm_of_tries_ends_with_the_routes_time() {
    let upstream = answers(&["HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n"]);
    let rules = "- timeout: 500ms
  retries: {attempts: 2147483647, retryOn: 5xx, backoff: 1ms}
  route: [{destination: {host: one.test}}]
";
    let front = front(rules, &upstream);
    let began = Instant::now();
    assert_eq!(front.get("/", &[]).status, 504);
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// A timeout of 0 is none.
#[test]
fn a_timeout_of_zero_waits_as_long_as_it_takes() {
    let upstream = Upstream::start(|mut incoming: Incoming| -> io::Result<()> {
        incoming.request()?;
        std::thread::park_timeout(Duration::from_millis(700));
        incoming.send(OK.as_bytes())
    });
    let rules = "- timeout: 0s\n  route: [{destination: {host: one.test}}]\n";
    assert_eq!(front(rules, &upstream).get("/", &[]).text(), "ok");
}

/// A gRPC call brings its own time, up to the route's.
#[test]
fn a_grpc_timeout_counts() {
    let upstream = Upstream::start(|mut incoming: Incoming| incoming.until_closed().map(|_| ()));
    let mut front = front("- route: [{destination: {host: one.test}}]\n", &upstream);
    let call = ["content-type: application/grpc", "grpc-timeout: 200m"];
    let answer = front.get("/a.B/C", &call);
    assert_eq!(answer.header("grpc-status"), Some("14"));
    assert_eq!(
        answer.header("grpc-message"),
        Some("upstream request timeout")
    );
    front.gatehouse.wait_for_log(" 200 UT response_timeout ");
}
