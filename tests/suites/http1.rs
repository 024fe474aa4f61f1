//! Everything that HTTP/1.1 lets pass through a gateway: pipelining, chunks, trailers, interim
//! answers, upgrades, answers without a body, large bodies.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gatehouse_e2e::{DEADLINE, Echo, Front, Node, Upstream, eventually, loopback_address};

fn front(endpoint: SocketAddr) -> Front {
    let rule = "- route: [{destination: {host: api.test}}]\n";
    Front::start(rule, &[("api.test", &[endpoint])])
}

fn echo() -> Echo {
    Echo::http(
        &Node::host(),
        "api",
        SocketAddr::from((loopback_address(), 0)),
    )
}

/// RFC 9112 §9.3.2.
#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = echo();
    let front = front(upstream.address());
    let mut client = front.connect();
    let mut requests = String::new();
    for number in 0..5 {
        // The earlier, the slower.
        let delay = 0.2 - 0.05 * f64::from(number);
        requests.push_str(&format!(
            "POST /{number} HTTP/1.1\r\nhost: a.test\r\nx-echo-delay: {delay}\r\n\
             content-length: 4\r\n\r\nbody"
        ));
    }
    client.send(requests.as_bytes()).unwrap();
    for number in 0..5 {
        let answer = client.response("POST").unwrap().json();
        assert_eq!(
            (&answer["path"], &answer["body"]),
            (&format!("/{number}").into(), &"body".into())
        );
    }
}

/// RFC 9112 §7.1, RFC 9110 §6.5.
#[test]
fn chunked_bodies_and_trailers_pass_both_ways() {
    let upstream = echo();
    let front = front(upstream.address());
    let mut client = front.connect();
    client
        .send(
            b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\nte: trailers\r\n\
              trailer: x-sum\r\nx-echo-trailer: x-answer=42\r\n\r\n\
              3\r\nabc\r\n10;ext=1\r\n0123456789abcdef\r\n0\r\nx-sum: 7\r\n\r\n",
        )
        .unwrap();
    let answer = client.response("POST").unwrap();
    let seen = answer.json();
    assert_eq!(seen["body"], "abc0123456789abcdef");
    assert_eq!(seen["trailers"].to_string(), r#"[["x-sum","7"]]"#);
    assert_eq!(answer.trailers, [("x-answer".to_owned(), "42".to_owned())]);
    client
        .send(b"GET /next HTTP/1.1\r\nhost: a.test\r\n\r\n")
        .unwrap();
    assert_eq!(client.response("GET").unwrap().json()["path"], "/next");
}

/// RFC 9110 §10.1.1.
#[test]
fn an_expected_100_continue_comes_before_the_body_is_sent() {
    let upstream = echo();
    let front = front(upstream.address());
    let mut client = front.connect();
    let head = "POST / HTTP/1.1\r\nhost: a.test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n";
    client.send(format!("{head}\r\n").as_bytes()).unwrap();
    assert_eq!(client.head().unwrap().status, 100);
    client.send(b"hello").unwrap();
    assert_eq!(client.response("POST").unwrap().json()["body"], "hello");

    // The upstream refuses at once: the body is never asked for.
    let mut client = front.connect();
    client
        .send(format!("{head}x-echo-early: 1\r\nx-echo-status: 413\r\n\r\n").as_bytes())
        .unwrap();
    assert_eq!(client.head().unwrap().status, 413);
}

/// RFC 9110 §7.8, RFC 6455 §1.3.
#[test]
fn a_websocket_passes_through() {
    let upstream = echo();
    let front = front(upstream.address());
    let mut client = front.connect();
    client
        .send(
            b"GET /chat HTTP/1.1\r\nhost: a.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
              sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    let answer = client.head().unwrap();
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert!(
        answer
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("upgrade"))
    );
    for piece in [&b"first"[..], &[0x81, 0x05, 0, 255], b"last"] {
        client.stream().get_mut().write_all(piece).unwrap();
        let mut back = vec![0; piece.len()];
        client.stream().read_exact(&mut back).unwrap();
        assert_eq!(back, piece);
    }
    client.finish().unwrap();
    assert_eq!(client.until_closed().unwrap(), b"");
}

/// Envoy refuses upgrades that are not configured.
#[test]
fn another_upgrade_is_refused() {
    let upstream = echo();
    let front = front(upstream.address());
    let mut client = front.connect();
    client
        .send(b"GET / HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n")
        .unwrap();
    assert_eq!(client.response("GET").unwrap().status, 403);
}

/// RFC 9110 §9.3.2, §15.4.5 and §15.3.5; RFC 9112 §6.3.
#[test]
fn answers_without_a_body_keep_their_fields_and_the_connection() {
    let upstream = Upstream::start(|mut incoming| {
        while let Some(head) = incoming.request()? {
            incoming.send(match head.split(' ').nth(1) {
                Some("/304") => {
                    b"HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\ncontent-length: 5\r\n\r\n"
                }
                Some("/204") => b"HTTP/1.1 204 No Content\r\n\r\n",
                _ if head.starts_with("HEAD") => b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
                _ => b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            })?;
        }
        Ok(())
    });
    let front = front(upstream.address());
    let mut client = front.connect();
    let mut ask = |method: &str, path: &str| {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: a.test\r\n\r\n");
        client.send(request.as_bytes()).unwrap();
        client.response(method).unwrap()
    };
    let head = ask("HEAD", "/");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("5"))
    );
    let unchanged = ask("GET", "/304");
    assert_eq!(
        (unchanged.status, unchanged.header("etag")),
        (304, Some("\"1\""))
    );
    let empty = ask("GET", "/204");
    assert_eq!(
        (empty.status, empty.header("transfer-encoding")),
        (204, None)
    );
    assert_eq!(ask("GET", "/").text(), "hello");
    assert_eq!(upstream.connections(), 1);
}

/// RFC 9112 §6.3: a body that ends with the connection.
#[test]
fn an_answer_of_http_1_0_is_passed_on_whole() {
    let upstream = Upstream::start(|mut incoming| {
        incoming.request()?;
        incoming.send(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
    });
    let front = front(upstream.address());
    let mut client = front.connect();
    for _ in 0..2 {
        client
            .send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
            .unwrap();
        let answer = client.response("GET").unwrap();
        assert_eq!(
            (answer.version.as_str(), answer.text().as_str()),
            ("HTTP/1.1", "until the end")
        );
        if answer.header("transfer-encoding").is_none() {
            // Ended by closing, which is allowed too.
            client = front.connect();
        }
    }
}

/// RFC 9110 §15.2: interim answers are passed on.
#[test]
fn interim_answers_are_passed_on() {
    let upstream = Upstream::start(|mut incoming| {
        incoming.request()?;
        incoming.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n")?;
        incoming.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
        incoming.until_closed().map(drop)
    });
    let front = front(upstream.address());
    let mut client = front.connect();
    client
        .send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
        .unwrap();
    assert_eq!(client.response("GET").unwrap().text(), "ok");
}

const HUNDRED_MB: usize = 100 * 1000 * 1000;

#[test]
fn large_bodies_pass_both_ways_without_being_kept() {
    let upstream = echo();
    let front = front(upstream.address());

    let mut client = front.connect();
    let head = format!("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: {HUNDRED_MB}\r\n\r\n");
    client.send(head.as_bytes()).unwrap();
    let piece = vec![1; 1_000_000];
    for _ in 0..100 {
        client.send(&piece).unwrap();
    }
    let seen = client.response("POST").unwrap().json();
    assert_eq!(
        (&seen["body_bytes"], &seen["body_sum"]),
        (&HUNDRED_MB.into(), &HUNDRED_MB.into())
    );

    // Chunked, in pieces that do not fit the gateway's buffers evenly.
    client
        .send(b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n")
        .unwrap();
    let piece = [b"15180\r\n", &[1; 0x15180][..], b"\r\n"].concat();
    for _ in 0..100 {
        client.send(&piece).unwrap();
    }
    client.send(b"0\r\n\r\n").unwrap();
    assert_eq!(
        client.response("POST").unwrap().json()["body_sum"],
        100 * 0x15180
    );

    for headers in ["", "te: trailers\r\nx-echo-trailer: a=b\r\n"] {
        let head =
            format!("GET / HTTP/1.1\r\nhost: a.test\r\nx-echo-size: {HUNDRED_MB}\r\n{headers}\r\n");
        client.send(head.as_bytes()).unwrap();
        assert_eq!(client.response("GET").unwrap().body.len(), HUNDRED_MB);
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", front.gatehouse.id())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 100_000, "the gateway needed {kilobytes} kB");
}

/// Back-pressure: while the client does not read, the upstream is not read either.
#[test]
fn a_client_that_does_not_read_stops_the_upstream() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let upstream = Upstream::start(move |mut incoming| {
        incoming.request()?;
        incoming
            .send(format!("HTTP/1.1 200 OK\r\ncontent-length: {HUNDRED_MB}\r\n\r\n").as_bytes())?;
        let piece = [0; 100_000];
        while counted.fetch_add(piece.len(), Ordering::SeqCst) < HUNDRED_MB {
            incoming.send(&piece)?;
        }
        Ok(())
    });
    let front = front(upstream.address());
    let mut client = front.connect();
    client
        .send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
        .unwrap();
    assert_eq!(client.head().unwrap().status, 200);
    // It stands still once the kernel's buffers are full.
    let (mut last, mut still) = (0, 0);
    eventually("the upstream stands still", DEADLINE, || {
        let now = sent.load(Ordering::SeqCst);
        still = if now == last { still + 1 } else { 0 };
        last = now;
        (still > 100).then_some(())
    });
    assert!(
        last < HUNDRED_MB / 2,
        "{last} bytes were taken from the upstream"
    );
    let mut rest = Vec::new();
    let read = client
        .stream()
        .take(HUNDRED_MB as u64)
        .read_to_end(&mut rest)
        .unwrap();
    assert_eq!(read, HUNDRED_MB);
}
