//! Between the gateway and its upstreams: endpoints that refuse, vanish or talk nonsense, clients
//! that leave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gatehouse_e2e::{
    DEADLINE, Echo, Front, Node, Upstream, eventually, free_port, loopback_address,
};

const TO_API: &str = "- route: [{destination: {host: api.test}}]\n";

fn front(endpoints: &[SocketAddr]) -> Front {
    Front::start(TO_API, &[("api.test", endpoints)])
}

fn echo() -> Echo {
    Echo::http(
        &Node::host(),
        "api",
        SocketAddr::from((loopback_address(), 0)),
    )
}

/// An address where nobody listens.
fn refusing() -> SocketAddr {
    let address = loopback_address();
    SocketAddr::from((address, free_port(address)))
}

/// Answers that no server may send; RFC 9112 §4, §5, §6.3.
const BAD_ANSWERS: &[(&str, &[u8])] = &[
    ("garbage", b"garbage\r\n\r\n"),
    (
        "garbage before the status line",
        b"xyz\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ),
    (
        "a status that is no number",
        b"HTTP/1.1 abc OK\r\ncontent-length: 0\r\n\r\n",
    ),
    (
        "a status of two digits",
        b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
    ),
    (
        "a status of four digits",
        b"HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n",
    ),
    (
        "another version",
        b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    ),
    (
        "two lengths",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nhello",
    ),
    (
        "a length with plus",
        b"HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello",
    ),
    (
        "a length below zero",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
    ),
    (
        "a length of 2^64",
        b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\nhello",
    ),
    (
        "length and coding",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "an unknown coding",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhello",
    ),
    (
        "a space before the colon",
        b"HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n",
    ),
    (
        "a folded field",
        b"HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\ncontent-length: 0\r\n\r\n",
    ),
    (
        "NUL in a value",
        b"HTTP/1.1 200 OK\r\nx-a: b\0c\r\ncontent-length: 0\r\n\r\n",
    ),
    (
        "a lone CR in a value",
        b"HTTP/1.1 200 OK\r\nx-a: b\rc\r\ncontent-length: 0\r\n\r\n",
    ),
    (
        "a field without a colon",
        b"HTTP/1.1 200 OK\r\nnonsense\r\ncontent-length: 0\r\n\r\n",
    ),
    (
        "a name with a space",
        b"HTTP/1.1 200 OK\r\nx a: b\r\ncontent-length: 0\r\n\r\n",
    ),
    (
        "an upgrade nobody asked for",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
    ),
];

/// Answers whose head is right and whose body is not: the client's message must not look whole.
const CUT_ANSWERS: &[(&str, &[u8])] = &[
    (
        "a body cut short",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
    ),
    (
        "chunks cut short",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ),
    (
        "a chunk size that is no hex",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\ng\r\n",
    ),
    (
        "a chunk that is too long",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloX0\r\n\r\n",
    ),
];

/// Answers `bad` on its first connection, and `200` with the body `good` on every later one. The
/// second request on a connection that was bad is noted.
fn bad_first(bad: &'static [u8], close: bool) -> (Upstream, Arc<AtomicBool>) {
    let reused = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&reused);
    let upstream = Upstream::start(move |mut incoming| {
        while incoming.request()?.is_some() {
            if incoming.number > 0 {
                incoming.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood")?;
                continue;
            }
            incoming.send(bad)?;
            if close {
                incoming.finish()?;
            }
            let more = incoming.until_closed()?;
            noted.store(!more.is_empty(), Ordering::SeqCst);
            return Ok(());
        }
        Ok(())
    });
    (upstream, reused)
}

#[test]
fn a_malformed_answer_gives_502_and_its_connection_is_not_used_again() {
    for &(name, bad) in BAD_ANSWERS {
        let (upstream, reused) = bad_first(bad, false);
        let front = front(&[upstream.address()]);
        let mut client = front.connect();
        client
            .send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
            .unwrap();
        // Envoy says 502 for a protocol error, as RFC 9110 §15.6.3 has it.
        assert_eq!(client.response("GET").unwrap().status, 502, "{name}");
        assert_eq!(front.get("/next", &[]).text(), "good", "{name}");
        assert!(
            !reused.load(Ordering::SeqCst),
            "{name}: the connection was used again"
        );
        assert_eq!(upstream.connections(), 2, "{name}");
    }
}

#[test]
fn a_malformed_body_cuts_the_client_off() {
    for &(name, bad) in CUT_ANSWERS {
        let (upstream, reused) = bad_first(bad, true);
        let front = front(&[upstream.address()]);
        let mut client = front.connect();
        client
            .send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
            .unwrap();
        // Either the head had not left yet, or the client must notice that the body is not whole.
        if let Ok(answer) = client.response("GET") {
            assert_eq!(answer.status, 502, "{name}");
        }
        assert_eq!(front.get("/next", &[]).text(), "good", "{name}");
        assert!(
            !reused.load(Ordering::SeqCst),
            "{name}: the connection was used again"
        );
    }
}

/// RFC 9112 §9.2: what follows an answer belongs to no request.
#[test]
fn bytes_behind_an_answer_never_answer_the_next_request() {
    let bad = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst\
        HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled";
    let (upstream, reused) = bad_first(bad, false);
    let front = front(&[upstream.address()]);
    let mut client = front.connect();
    for expected in ["first", "good", "good"] {
        client
            .send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
            .unwrap();
        assert_eq!(client.response("GET").unwrap().text(), expected);
    }
    assert!(
        !reused.load(Ordering::SeqCst),
        "the connection was used again"
    );
}

#[test]
fn an_endpoint_that_refuses_is_left_out_and_the_request_tried_on_another() {
    let good = echo();
    let front = front(&[refusing(), good.address(), refusing()]);
    for _ in 0..50 {
        assert_eq!(front.get("/", &[]).status, 200);
    }
    let mut client = front.connect();
    client
        .send(b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 4\r\n\r\nbody")
        .unwrap();
    let answer = client.response("POST").unwrap();
    assert_eq!(
        answer.json()["body"],
        "body",
        "a body not yet sent survives the retry"
    );
}

#[test]
fn refusing_endpoints_alone_give_503() {
    let front = front(&[refusing()]);
    let answer = front.get("/", &[]);
    assert_eq!(answer.status, 503);
    let text = answer.text();
    assert!(
        text.starts_with("upstream connect error or disconnect/reset before headers"),
        "{text}"
    );
}

#[test]
fn an_upstream_that_dies_before_it_answers_gives_503() {
    let upstream = Upstream::start(|mut incoming| {
        incoming.head()?;
        match incoming.number % 2 {
            0 => Ok(()),
            _ => incoming.reset(),
        }
    });
    let front = front(&[upstream.address()]);
    for _ in 0..4 {
        assert_eq!(front.get("/", &[]).status, 503);
    }
}

#[test]
fn an_upstream_that_comes_back_is_used_again() {
    let mut upstream = echo();
    let address = upstream.address();
    let front = front(&[address]);
    assert_eq!(front.get("/", &[]).status, 200);
    upstream.kill();
    eventually("the upstream is missed", DEADLINE, || {
        (front.get("/", &[]).status == 503).then_some(())
    });
    let _again = Echo::http(&Node::host(), "again", address);
    eventually("the upstream is back", DEADLINE, || {
        (front.get("/", &[]).header("x-echo") == Some("again")).then_some(())
    });
}

#[test]
fn connections_to_an_upstream_are_kept_and_shared_by_clients() {
    let upstream = Upstream::well_behaved();
    let front = front(&[upstream.address()]);
    for _ in 0..20 {
        assert_eq!(front.get("/x", &[]).text(), "/x");
    }
    assert_eq!(upstream.connections(), 1);
}

/// RFC 9112 §9.3: an idle connection that the upstream closes meanwhile must not fail a request.
#[test]
fn an_idle_connection_that_the_upstream_closed_is_not_used() {
    let (asked, closed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (asking, closing) = (Arc::clone(&asked), Arc::clone(&closed));
    let upstream = Upstream::start(move |mut incoming| {
        incoming.request()?;
        incoming.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
        let number = asking.fetch_add(1, Ordering::SeqCst) + 1;
        // Closes only once the answer has been seen: see below.
        eventually("the test goes on", DEADLINE, || {
            (closing.load(Ordering::SeqCst) >= number).then_some(())
        });
        Ok(())
    });
    let front = front(&[upstream.address()]);
    for number in 1..=10 {
        assert_eq!(front.get("/", &[]).text(), "ok");
        closed.store(number, Ordering::SeqCst);
        eventually("the end has reached the gateway", DEADLINE, || {
            (established(upstream.address()) == 0).then_some(())
        });
    }
    assert_eq!(asked.load(Ordering::SeqCst), 10);
}

/// How many TCP connections lead to a port and do not know yet that it was closed there.
fn established(address: SocketAddr) -> usize {
    let SocketAddr::V4(address) = address else {
        return 0;
    };
    let ip = u32::from_le_bytes(address.ip().octets());
    let remote = format!("{ip:08X}:{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has /proc");
    let states = table.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(2);
        (words.next()? == remote).then(|| words.next())?
    });
    // 01 is ESTABLISHED; with CLOSE_WAIT, 08, the FIN has come.
    states.filter(|state| *state == "01").count()
}

#[test]
fn a_client_that_leaves_takes_its_upstream_connection_along() {
    let gone = Arc::new(AtomicUsize::new(0));
    let noted = Arc::clone(&gone);
    let upstream = Upstream::start(move |mut incoming| {
        let head = incoming.head()?.unwrap_or_default();
        if head.starts_with("GET /endless") {
            incoming.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            while incoming.send(b"5\r\nhello\r\n").is_ok() {}
        } else {
            incoming.until_closed()?;
        }
        noted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let front = front(&[upstream.address()]);
    let before = connections(&front);

    // In the middle of a body, waiting for an answer, and reading an endless one.
    let mut client = front.connect();
    client
        .send(b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 100\r\n\r\nhello")
        .unwrap();
    eventually("the upstream has the head", DEADLINE, || {
        upstream.seen().contains("POST /").then_some(())
    });
    drop(client);
    let mut client = front.connect();
    client
        .send(b"GET /never HTTP/1.1\r\nhost: a.test\r\n\r\n")
        .unwrap();
    eventually("the upstream has the head", DEADLINE, || {
        upstream.seen().contains("GET /never").then_some(())
    });
    drop(client);
    let mut client = front.connect();
    client
        .send(b"GET /endless HTTP/1.1\r\nhost: a.test\r\n\r\n")
        .unwrap();
    assert_eq!(client.head().unwrap().status, 200);
    drop(client);

    eventually("all three upstream connections end", DEADLINE, || {
        (gone.load(Ordering::SeqCst) == 3).then_some(())
    });
    eventually("no connection is leaked", DEADLINE, || {
        (connections(&front) == before).then_some(())
    });
}

/// How many TCP sockets the gateway holds.
fn connections(front: &Front) -> usize {
    let tcp = std::fs::read_to_string("/proc/net/tcp").expect("Linux has /proc");
    let inodes = tcp
        .lines()
        .filter_map(|line| line.split_whitespace().nth(9));
    let sockets: Vec<String> = inodes.map(|inode| format!("socket:[{inode}]")).collect();
    let folder = format!("/proc/{}/fd", front.gatehouse.id());
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    links
        .filter(|link| {
            sockets
                .iter()
                .any(|socket| link.as_os_str() == socket.as_str())
        })
        .count()
}

#[test]
fn a_hundred_clients_at_once_are_all_served() {
    let upstream = echo();
    let front = front(&[upstream.address()]);
    let wrong = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let delayed = front.get("/", &["x-echo-delay: 0.02"]);
                    wrong.fetch_add(usize::from(delayed.status != 200), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(wrong.load(Ordering::Relaxed), 0);
}

#[test]
fn an_endpoint_at_a_socket_of_this_host_is_served_and_kept() {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixListener;

    let front = Front::start(TO_API, &[]);
    let socket = front.config.file("app.sock");
    let listener = UnixListener::bind(&socket).expect("a socket can be made");
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut reader = BufReader::new(stream);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                if line == "\r\n" {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
                    if reader.get_mut().write_all(answer).is_err() {
                        break;
                    }
                }
                line.clear();
            }
        }
    });
    front.config.write(
        "api.yaml",
        &format!(
            "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: api, namespace: default}}
spec:
  hosts: [api.test]
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 'unix://{}'}}]
",
            socket.display()
        ),
    );
    eventually("the socket is served", DEADLINE, || {
        (front.get("/", &[]).body == b"hi").then_some(())
    });
    for _ in 0..5 {
        assert_eq!(front.get("/", &[]).body, b"hi");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1, "kept alive");
    let rows = front.gatehouse.rows("endpoints");
    assert!(
        rows.iter()
            .any(|row| row["address"] == socket.to_str().unwrap_or("")),
        "{rows:?}"
    );
}
