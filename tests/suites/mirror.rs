//! `mirror` and `mirrors`: copies, whose answers nobody waits for.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gatehouse_e2e::{
    DEADLINE, Echo, Front, Incoming, Node, Upstream, eventually, http, loopback_address,
};

fn echo() -> Echo {
    Echo::http(
        &Node::host(),
        "one",
        SocketAddr::from((loopback_address(), 0)),
    )
}

fn rule(mirror: &str) -> String {
    format!("- {mirror}\n  route: [{{destination: {{host: one.test}}}}]\n")
}

/// The heads of requests, each answered with a body that nobody wants.
fn recorder() -> (Upstream, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heads);
    let upstream = Upstream::start(move |mut incoming: Incoming| -> io::Result<()> {
        while let Some(head) = incoming.request()? {
            let mut noted = noted.lock().expect("nobody panics with it");
            noted.push(head.to_ascii_lowercase());
            drop(noted);
            incoming.send(b"HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\nnope")?;
        }
        Ok(())
    });
    (upstream, heads)
}

#[test]
fn a_copy_goes_as_the_request_goes_and_its_answer_is_thrown_away() {
    let echo = echo();
    let (mirror, heads) = recorder();
    let front = Front::start(
        &rule(
            "mirror: {host: mirror.test}\n  rewrite: {uri: /new, authority: up.test}\n  \
             headers: {request: {set: {x-set: 'yes'}}}",
        ),
        &[
            ("one.test", &[echo.address()]),
            ("mirror.test", &[mirror.address()]),
        ],
    );
    let answer = front.get("/a", &["x-own: 1"]);
    assert_eq!((answer.status, answer.header("x-echo")), (200, Some("one")));
    assert_eq!(answer.seen("x-envoy-internal"), None);
    assert_eq!(answer.seen("x-gatehouse-mirrored"), None);
    let client = answer.seen("x-forwarded-for").expect("the echo saw it");
    let head = eventually("the copy", DEADLINE, || heads.lock().unwrap().pop());
    for line in [
        "get /newa http/1.1",
        "host: up.test",
        "x-own: 1",
        "x-set: yes",
        "x-envoy-internal: true",
        "x-envoy-original-path: /a",
        &format!("x-forwarded-for: {client},{}", front.address.ip()),
    ] {
        assert!(head.lines().any(|found| found == line), "{line}: {head}");
    }

    // Bodies too, by length and in chunks, on connections that are used again.
    for request in [
        "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let mut client = front.connect();
        client.send(request.as_bytes()).unwrap();
        let answer = client.response("POST").unwrap();
        assert_eq!(answer.json()["body"], "hello");
        eventually("the copy", DEADLINE, || heads.lock().unwrap().pop());
        let sent = mirror.seen();
        assert!(sent.contains("hello"), "{sent}");
    }
    assert_eq!(mirror.connections(), 1);
}

#[test]
fn a_share_is_copied_and_zero_is_none() {
    let echo = echo();
    let (mirror, heads) = recorder();
    let (off, never) = recorder();
    let front = Front::start(
        &rule(
            "mirrors: [{destination: {host: mirror.test}, percentage: {value: 50}}, \
             {destination: {host: off.test}, percentage: {value: 0}}, \
             {destination: {host: nobody.test}}]",
        ),
        &[
            ("one.test", &[echo.address()]),
            ("mirror.test", &[mirror.address()]),
            ("off.test", &[off.address()]),
        ],
    );
    let mut client = front.connect();
    for _ in 0..1_000 {
        client
            .send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
            .unwrap();
        assert_eq!(client.response("GET").unwrap().status, 200);
    }
    let copies = || heads.lock().unwrap().len();
    eventually("half the copies", DEADLINE, || {
        (copies() > 420).then_some(())
    });
    assert!((420..580).contains(&copies()), "{}", copies());
    assert!(never.lock().unwrap().is_empty());
}

/// A mirror that never answers, one that refuses, and a body that is too long to be kept: the
/// request is served as if there were none.
#[test]
fn a_slow_or_dead_mirror_costs_the_request_nothing() {
    let echo = echo();
    let silent = Upstream::start(|mut incoming: Incoming| incoming.until_closed().map(|_| ()));
    let refusing = {
        let upstream = Upstream::well_behaved();
        upstream.address()
    };
    let front = Front::start(
        &rule("mirrors: [{destination: {host: silent.test}}, {destination: {host: dead.test}}]"),
        &[
            ("one.test", &[echo.address()]),
            ("silent.test", &[silent.address()]),
            ("dead.test", &[refusing]),
        ],
    );
    let began = Instant::now();
    let mut client = front.connect();
    // More than may be under way at a time.
    for _ in 0..400 {
        client
            .send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
            .unwrap();
        assert_eq!(client.response("GET").unwrap().status, 200);
    }
    let body = vec![b'x'; 3 << 20];
    let head = format!(
        "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client.send(head.as_bytes()).unwrap();
    client.send(&body).unwrap();
    let answer = client.response("POST").unwrap();
    assert_eq!(answer.json()["body_bytes"], 3 << 20);
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    assert!(silent.connections() <= 256, "{}", silent.connections());
}

/// The mirror is the gateway itself: one round, not one after the other for ever.
#[test]
fn a_mirror_to_itself_ends_after_one_round() {
    let (upstream, heads) = recorder();
    let front = Front::start(
        &rule("mirror: {host: self.test}"),
        &[("one.test", &[upstream.address()])],
    );
    let own = format!(
        "{}---\n{}",
        gatehouse_e2e::front::services_yaml(&[("one.test", &[upstream.address()])]),
        gatehouse_e2e::front::services_yaml(&[("self.test", &[front.address])])
    );
    front.config.write("services.yaml", &own);
    let marked = || {
        let heads = heads.lock().unwrap();
        let marked = heads
            .iter()
            .filter(|head| head.contains("x-gatehouse-mirrored"));
        marked.count()
    };
    let sent = std::cell::Cell::new(0);
    eventually("a copy comes back", DEADLINE, || {
        sent.set(sent.get() + 1);
        http::get(front.address, "a.test", "/", &[]).unwrap();
        (marked() > 0).then_some(())
    });
    for _ in 0..20 {
        sent.set(sent.get() + 1);
        http::get(front.address, "a.test", "/", &[]).unwrap();
    }
    eventually("the copies of the last requests", DEADLINE, || {
        (marked() >= 20).then_some(())
    });
    assert!(heads.lock().unwrap().len() <= 2 * sent.get());
}

fn limited(policy: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: mirror, namespace: default}}
spec: {{host: mirror.test, trafficPolicy: {policy}}}
"
    )
}

fn copies_left_out(front: &Front) -> u64 {
    let text = front.gatehouse.api("/stats/prometheus").text();
    let name = "gatehouse_limit_reached_total{limit=\"mirror_failed\"} ";
    let mut lines = text.lines();
    let count = lines.find_map(|line| line.strip_prefix(name));
    count.map_or(0, |count| count.parse().expect("a number"))
}

#[test]
fn copies_keep_to_the_limits_of_their_cluster() {
    let echo = echo();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let mirror = Upstream::start(move |mut incoming| {
        while incoming.request()?.is_some() {
            // Until the test lets go.
            let _ = held.lock().expect("nobody panics with it").recv();
            incoming.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
        }
        Ok(())
    });
    let services = [
        ("one.test", &[echo.address()][..]),
        ("mirror.test", &[mirror.address()][..]),
    ];
    let policy = limited("{connectionPool: {http: {http2MaxRequests: 1}}}");
    let front = Front::start_beside(
        &rule("mirror: {host: mirror.test}"),
        &services,
        &policy,
        |builder| builder.arguments(&["--workers", "1"]),
    );
    assert_eq!(front.get("/", &[]).status, 200);
    eventually("the first copy", DEADLINE, || {
        mirror.seen().contains("GET").then_some(())
    });
    for _ in 0..5 {
        assert_eq!(
            front.get("/", &[]).status,
            200,
            "a request does not wait for it"
        );
    }
    eventually("the others are left out", DEADLINE, || {
        (copies_left_out(&front) == 5).then_some(())
    });
    assert_eq!(mirror.seen().matches("GET").count(), 1);
    drop(release);
}

#[test]
fn a_mirror_that_fails_is_left_out_for_a_while() {
    let echo = echo();
    let (mirror, heads) = recorder();
    let services = [
        ("one.test", &[echo.address()][..]),
        ("mirror.test", &[mirror.address()][..]),
    ];
    let policy = limited(
        "{outlierDetection: {consecutive5xxErrors: 3, interval: 60s, baseEjectionTime: 600s, maxEjectionPercent: 100}}",
    );
    let front = Front::start_beside(
        &rule("mirror: {host: mirror.test}"),
        &services,
        &policy,
        |builder| builder.arguments(&["--workers", "1"]),
    );
    // One after the other: each copy was answered 500 before the next request.
    for sent in 1..=3 {
        assert_eq!(front.get("/", &[]).status, 200);
        eventually("the copy", DEADLINE, || {
            (heads.lock().expect("no panic").len() >= sent).then_some(())
        });
    }
    eventually("it is left out", DEADLINE, || {
        let rows = front.gatehouse.rows("endpoints");
        let own = |row: &&serde_json::Value| row["address"] == mirror.address().to_string();
        (rows.iter().find(own)?["health"] != "healthy").then_some(())
    });
    let before = heads.lock().expect("no panic").len();
    assert_eq!(front.get("/", &[]).status, 200);
    assert_eq!(front.get("/", &[]).status, 200);
    assert_eq!(heads.lock().expect("no panic").len(), before);
}
