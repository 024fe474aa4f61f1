//! Endpoints that are spoken to in HTTP/2: other protocols, limits, and what is safe to try again.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gatehouse_e2e::{DEADLINE, Front, Incoming, Upstream, eventually, loopback_address};
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{RecvStream, ext::Protocol};
use http::{Method, Request, Response};

/// An endpoint of HTTP/2 that notes what it is asked, and gives bytes of an extended CONNECT back.
struct Endpoint {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Endpoint {
    /// `upgrades`: whether its SETTINGS allow an extended CONNECT.
    fn start(upgrades: bool) -> Self {
        let listener = std::net::TcpListener::bind((loopback_address(), 0)).expect("loopback");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            listener.set_nonblocking(true).expect("an option");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                while let Ok((stream, _)) = listener.accept().await {
                    let noted = Arc::clone(&noted);
                    tokio::spawn(async move {
                        let mut builder = h2::server::Builder::new();
                        if upgrades {
                            builder.enable_connect_protocol();
                        }
                        let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
                            return;
                        };
                        while let Some(Ok((request, respond))) = connection.accept().await {
                            tokio::spawn(answer(request, respond, Arc::clone(&noted)));
                        }
                    });
                }
            });
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("nobody panics with it").clone()
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    noted: Arc<Mutex<Vec<String>>>,
) {
    let (head, mut body) = request.into_parts();
    let protocol = head.extensions.get::<Protocol>().map(Protocol::as_str);
    let mark = head.headers.contains_key("x-envoy-internal");
    let mut note = format!("{} {} {}", head.method, head.uri, protocol.unwrap_or("-"));
    let is_tunnel = head.method == Method::CONNECT;
    let Ok(mut send) = respond.send_response(Response::new(()), false) else {
        return;
    };
    let mut all = Vec::new();
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
        all.extend_from_slice(&piece);
        if is_tunnel && send.send_data(piece, false).is_err() {
            return;
        }
    }
    let _ = send.send_data(Bytes::new(), true);
    note = format!("{note} {}{}", all.len(), if mark { " copy" } else { "" });
    noted.lock().expect("nobody panics with it").push(note);
}

/// A ServiceEntry whose port is HTTP, and a rule for it.
fn rule(host: &str, address: SocketAddr, http: &str) -> String {
    let name = host.replace('.', "-");
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, \
         namespace: default}}\nspec:\n  hosts: [{host}]\n  resolution: STATIC\n  ports: [{{number: \
         80, name: http, protocol: HTTP, targetPort: {}}}]\n  endpoints: [{{address: {}}}]\n---\n\
         apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, \
         namespace: default}}\nspec:\n  host: {host}\n  trafficPolicy: {{connectionPool: {http}}}\n",
        address.port(),
        address.ip()
    )
}

const UPGRADE: &str = "{http: {h2UpgradePolicy: UPGRADE}}";

fn front(rules: &str, documents: &str) -> Front {
    Front::start_beside(rules, &[], documents, |builder| {
        builder.arguments(&["--workers", "1"])
    })
}

const TO_TWO: &str = "- route: [{destination: {host: two.test}}]\n";

#[test]
fn a_websocket_of_http1_goes_on_as_an_extended_connect() {
    use std::io::{Read as _, Write as _};
    let endpoint = Endpoint::start(true);
    let front = front(TO_TWO, &rule("two.test", endpoint.address, UPGRADE));
    let mut stream = std::net::TcpStream::connect(front.address).expect("connected");
    stream.set_read_timeout(Some(DEADLINE)).expect("an option");
    let asked = "GET /chat HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: \
                 websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: \
                 dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(asked.as_bytes()).expect("sent");
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head");
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("upgrade: websocket"), "{head}");
    assert!(
        head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
        "{head}"
    );
    for word in [&b"one"[..], b"three"] {
        stream.write_all(word).expect("sent");
        let mut back = vec![0; word.len()];
        stream.read_exact(&mut back).expect("it comes back");
        assert_eq!(back, word);
    }
    drop(stream);
    let asked = eventually("it ends", DEADLINE, || endpoint.asked().pop());
    assert_eq!(asked, "CONNECT http://a.test/chat websocket 8");
}

#[test]
fn an_endpoint_without_extended_connect_is_not_asked() {
    let endpoint = Endpoint::start(false);
    let front = front(TO_TWO, &rule("two.test", endpoint.address, UPGRADE));
    let answer = front.get(
        "/chat",
        &[
            "connection: upgrade",
            "upgrade: websocket",
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        ],
    );
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("remote reset"), "{}", answer.text());
    assert_eq!(front.get("/x", &[]).status, 200);
    assert_eq!(endpoint.asked(), ["GET http://a.test/x - 0"]);
}

#[test]
fn copies_go_to_endpoints_of_http2() {
    let (endpoint, mirror) = (Endpoint::start(false), Upstream::well_behaved());
    let documents = rule("two.test", endpoint.address, UPGRADE)
        + &rule("one.test", mirror.address(), "{http: {maxRetries: 5}}");
    let rules = "- match: [{uri: {prefix: /one}}]\n  mirror: {host: two.test}\n  route: \
                 [{destination: {host: one.test}}]\n- mirror: {host: one.test}\n  route: \
                 [{destination: {host: two.test}}]\n";
    let front = front(rules, &documents);
    // From HTTP/1.1 to a copy of HTTP/2, framed by its chunks.
    let mut client = front.connect();
    let asked = b"POST /one HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n\
                  5\r\nhello\r\n0\r\n\r\n";
    client.send(asked).expect("sent");
    assert_eq!(client.response("POST").expect("an answer").status, 200);
    let copy = eventually("the copy comes", DEADLINE, || endpoint.asked().pop());
    assert_eq!(copy, "POST http://a.test/one - 5 copy");
    // And the other way round.
    let asked = b"POST /two HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n\
                  5\r\nhello\r\n0\r\n\r\n";
    client.send(asked).expect("sent");
    assert_eq!(client.response("POST").expect("an answer").status, 200);
    eventually("the copy comes", DEADLINE, || {
        let seen = mirror.seen();
        let (_, copy) = seen.split_once("POST /two ")?;
        copy.ends_with("5\r\nhello\r\n0\r\n\r\n").then_some(())
    });
}

#[test]
fn the_clients_version_may_be_the_endpoints() {
    let endpoint = Upstream::well_behaved();
    let rules = "- headers: {response: {set: {x-spoken: '%UPSTREAM_PROTOCOL%'}}}\n  route: \
                 [{destination: {host: two.test}}]\n";
    let front = front(
        rules,
        &rule(
            "two.test",
            endpoint.address(),
            "{http: {useClientProtocol: true}}",
        ),
    );
    let answer = front.get("/x", &[]);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-spoken"), Some("HTTP/1.1"));
    let endpoint = Endpoint::start(false);
    front
        .config
        .write("more.yaml", &rule("two.test", endpoint.address, UPGRADE));
    eventually("HTTP/2 is spoken", DEADLINE, || {
        let answer = front.get("/x", &[]);
        (answer.header("x-spoken") == Some("HTTP/2")).then_some(())
    });
}

// Frames by hand (RFC 9113 §4.1), for what no library would send.

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The next frame: type, flags, stream.
fn next(incoming: &mut Incoming) -> io::Result<(u8, u8, u32)> {
    let head = incoming.exactly(9)?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    incoming.exactly(length)?;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Ok((head[3], head[4], stream))
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
/// The end of a stream, and that of a head.
const ENDS: u8 = 0x5;
/// `:status: 200` (RFC 7541, table A).
const OK: &[u8] = &[0x88];

/// An endpoint whose every frame is made here: `act` gets each frame but SETTINGS.
fn raw(
    settings: &'static [u8],
    act: impl Fn(&mut Incoming, u8, u32) -> io::Result<()> + Send + Sync + 'static,
) -> Upstream {
    Upstream::start(move |mut incoming| {
        incoming.exactly(24)?;
        converse(&mut incoming, settings, &act)
    })
}

/// The same, behind a PROXY header: a connection is for one client alone.
fn raw_for_one(
    act: impl Fn(&mut Incoming, u8, u32) -> io::Result<()> + Send + Sync + 'static,
) -> Upstream {
    Upstream::start(move |mut incoming| {
        incoming.head()?; // and the first lines of the preface
        incoming.exactly(6)?;
        converse(&mut incoming, b"", &act)
    })
}

fn converse(
    incoming: &mut Incoming,
    settings: &[u8],
    act: impl Fn(&mut Incoming, u8, u32) -> io::Result<()>,
) -> io::Result<()> {
    incoming.send(&frame(SETTINGS, 0, 0, settings))?;
    loop {
        let (kind, flags, stream) = next(incoming)?;
        match kind {
            SETTINGS if flags == 0 => incoming.send(&frame(SETTINGS, 1, 0, b""))?,
            SETTINGS => {}
            _ => act(incoming, kind, stream)?,
        }
    }
}

#[test]
fn what_an_endpoint_that_goes_away_has_not_seen_is_sent_to_another() {
    // It answers one request, and goes away without a look at the second.
    let endpoint = raw(b"", |incoming, kind, stream| {
        match (kind, stream) {
            (HEADERS, 1) => incoming.send(&frame(HEADERS, ENDS, stream, OK))?,
            (HEADERS, _) => {
                incoming.send(&frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]))?;
            }
            _ => {}
        }
        Ok(())
    });
    let rules = format!("{TO_TWO}  retries: {{attempts: 0}}\n");
    let front = front(&rules, &rule("two.test", endpoint.address(), UPGRADE));
    let mut client = front.connect();
    for _ in 0..6 {
        // Not even a method that may not be repeated is lost.
        let asked = b"POST /x HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n\r\n";
        client.send(asked).expect("sent");
        assert_eq!(client.response("POST").expect("an answer").status, 200);
    }
    assert_eq!(endpoint.connections(), 6);
}

#[test]
fn a_stream_that_is_reset_says_so() {
    let endpoint = raw(b"", |incoming, kind, stream| {
        if kind == HEADERS {
            let reason: u32 = if stream == 1 { 7 } else { 8 };
            incoming.send(&frame(RST_STREAM, 0, stream, &reason.to_be_bytes()))?;
        }
        Ok(())
    });
    let rules = "- headers: {response: {set: {x-flags: '%RESPONSE_FLAGS%'}}}\n  retries: {attempts: \
                 0}\n  route: [{destination: {host: two.test}}]\n";
    let front = front(rules, &rule("two.test", endpoint.address(), UPGRADE));
    for reason in ["remote refused stream reset", "remote reset"] {
        let answer = front.get("/x", &[]);
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("x-flags"), Some("UR"));
        assert!(answer.text().ends_with(reason), "{}", answer.text());
    }
}

#[test]
fn an_endpoint_that_answers_no_ping_is_left() {
    let endpoint = raw(b"", |incoming, kind, stream| {
        if kind == HEADERS && stream == 1 {
            incoming.send(&frame(HEADERS, ENDS, stream, OK))?;
        }
        assert!(kind != PING || stream == 0);
        Ok(())
    });
    let pings = "{http: {h2UpgradePolicy: UPGRADE, http2KeepAlive: {interval: 1s, timeout: 0.2s}}}";
    let front = front(TO_TWO, &rule("two.test", endpoint.address(), pings));
    assert_eq!(front.get("/x", &[]).status, 200);
    eventually("the connection is closed", DEADLINE, || {
        let metrics = front.gatehouse.api("/stats/prometheus").text();
        metrics
            .contains("limit=\"http2KeepAlive\"} 1")
            .then_some(())
    });
    assert_eq!(front.get("/x", &[]).status, 200);
    assert_eq!(endpoint.connections(), 2);
}

#[test]
fn a_connection_has_as_many_streams_as_the_rule_says() {
    let endpoint = raw(b"", |incoming, kind, stream| {
        if kind == HEADERS {
            // The first waits for the second, which must come on another connection.
            std::thread::sleep(Duration::from_millis(200));
            incoming.send(&frame(HEADERS, ENDS, stream, OK))?;
        }
        Ok(())
    });
    let one = "{http: {h2UpgradePolicy: UPGRADE, maxConcurrentStreams: 1}}";
    let front = front(TO_TWO, &rule("two.test", endpoint.address(), one));
    std::thread::scope(|scope| {
        let both = [0; 2].map(|_| scope.spawn(|| front.get("/x", &[]).status));
        for status in both {
            assert_eq!(status.join().expect("no panic"), 200);
        }
    });
    assert_eq!(endpoint.connections(), 2);
    // With one connection, they take turns.
    let endpoint = raw(b"", |incoming, kind, stream| {
        if kind == HEADERS {
            incoming.send(&frame(HEADERS, ENDS, stream, OK))?;
        }
        Ok(())
    });
    let turns = "{tcp: {maxConnections: 1}, http: {h2UpgradePolicy: UPGRADE, maxConcurrentStreams: \
                 1, maxRequestsPerConnection: 4}}";
    let front = front_of(&endpoint, turns);
    std::thread::scope(|scope| {
        let all = [0; 4].map(|_| scope.spawn(|| front.get("/x", &[]).status));
        for status in all {
            assert_eq!(status.join().expect("no panic"), 200);
        }
    });
    assert_eq!(endpoint.connections(), 1);
    assert_eq!(front.get("/x", &[]).status, 200);
    assert_eq!(endpoint.connections(), 2, "four requests were enough");
}

/// Whether so many requests have met the limit of connections.
fn are_waiting(front: &Front, requests: u32) -> bool {
    let metrics = front.gatehouse.api("/stats/prometheus").text();
    metrics.contains(&format!("limit=\"maxConnections\"}} {requests}\n"))
}

/// Lets the connections of the runtime go on meanwhile.
async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::task::yield_now().await;
    }
}

/// With a connection of HTTP/2 to the gateway.
fn as_http2<F: Future<Output = ()>>(front: &Front, test: impl FnOnce(SendRequest<Bytes>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(front.address).await;
        let stream = stream.expect("connected");
        let client = h2::client::handshake(stream).await;
        let (requests, connection) = client.expect("HTTP/2");
        tokio::spawn(connection);
        let requests = requests.ready().await.expect("ready");
        #[expect(clippy::disallowed_methods, reason = "a test, not the data plane")]
        let outcome = tokio::time::timeout(DEADLINE, test(requests)).await;
        outcome.expect("in time");
    });
}

fn ask(requests: &mut SendRequest<Bytes>) -> ResponseFuture {
    let request = Request::get("http://a.test/x").body(()).expect("a request");
    let (answer, _) = requests.send_request(request, true).expect("sent");
    answer
}

fn wait_until(told: &AtomicBool) {
    eventually("the test says so", DEADLINE, || {
        told.load(Ordering::SeqCst).then_some(())
    });
}

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n";

#[test]
fn an_unused_connection_for_another_client_gives_way() {
    let endpoint = raw_for_one(|incoming, kind, stream| {
        if kind == HEADERS {
            incoming.send(&frame(HEADERS, ENDS, stream, OK))?;
        }
        Ok(())
    });
    let policy = "{tcp: {maxConnections: 1}, http: {h2UpgradePolicy: UPGRADE}}, proxyProtocol: {}";
    let front = front_of(&endpoint, policy);
    let mut clients = [front.connect(), front.connect()];
    for round in 0..3 {
        for client in &mut clients {
            client.send(REQUEST).expect("sent");
            let answer = client.response("GET").expect("it does not wait for ever");
            assert_eq!(answer.status, 200, "round {round}");
        }
    }
    assert_eq!(endpoint.connections(), 6);
}

/// Either protocol's connections count towards the limit of both.
#[test]
fn an_unused_connection_of_the_other_protocol_gives_way() {
    let endpoint = Upstream::start(|mut incoming| {
        let head = incoming.head()?.unwrap_or_default();
        if head.starts_with("PRI ") {
            incoming.exactly(6)?;
            return converse(&mut incoming, b"", |incoming, kind, stream| {
                if kind == HEADERS {
                    incoming.send(&frame(HEADERS, ENDS, stream, OK))?;
                }
                Ok(())
            });
        }
        incoming.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
        incoming.until_closed().map(|_| ())
    });
    let policy = "{tcp: {maxConnections: 1}, http: {useClientProtocol: true}}";
    let front = front_of(&endpoint, policy);
    as_http2(&front, |mut requests| async move {
        let answer = ask(&mut requests).await.expect("an answer");
        assert_eq!(answer.status(), 200);
    });
    assert_eq!(front.get("/x", &[]).status, 200);
    assert_eq!(endpoint.connections(), 2);
}

#[test]
fn a_place_goes_to_one_that_can_use_it() {
    let begun = AtomicBool::new(false);
    let [full, told] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let (is_full, tell) = (Arc::clone(&full), Arc::clone(&told));
    // The second stream ends only after the third, which gets the place of the first.
    let endpoint = raw_for_one(move |incoming, kind, stream| {
        match (kind, stream) {
            (HEADERS, 1) if !begun.swap(true, Ordering::SeqCst) => {}
            (HEADERS, 1) => incoming.send(&frame(HEADERS, ENDS, 1, OK))?,
            (HEADERS, 3) => {
                full.store(true, Ordering::SeqCst);
                wait_until(&told);
                incoming.send(&frame(HEADERS, ENDS, 1, OK))?;
            }
            (HEADERS, 5) => {
                incoming.send(&frame(HEADERS, ENDS, 3, OK))?;
                incoming.send(&frame(HEADERS, ENDS, 5, OK))?;
            }
            _ => {}
        }
        Ok(())
    });
    let policy = "{tcp: {maxConnections: 1}, http: {h2UpgradePolicy: UPGRADE, \
                  maxConcurrentStreams: 2}}, proxyProtocol: {}";
    let front = front_of(&endpoint, policy);
    as_http2(&front, |mut requests| {
        let front = &front;
        async move {
            let first = [ask(&mut requests), ask(&mut requests)];
            until(|| is_full.load(Ordering::SeqCst)).await;
            // Another client is the first who waits.
            let mut other = front.connect();
            other.send(REQUEST).expect("sent");
            until(|| are_waiting(front, 1)).await;
            let third = ask(&mut requests);
            until(|| are_waiting(front, 2)).await;
            tell.store(true, Ordering::SeqCst);
            for answer in first.into_iter().chain([third]) {
                assert_eq!(answer.await.expect("an answer").status(), 200);
            }
            assert_eq!(other.response("GET").expect("an answer").status, 200);
        }
    });
}

#[test]
fn an_endpoint_may_allow_more_while_requests_wait() {
    let told = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&told);
    // MAX_CONCURRENT_STREAMS is 1, and 2 once the third request waits.
    let endpoint = raw(&[0, 3, 0, 0, 0, 1], move |incoming, kind, stream| {
        match (kind, stream) {
            (HEADERS, 1) => incoming.send(&frame(HEADERS, ENDS, 1, OK))?,
            (HEADERS, 3) => {
                wait_until(&told);
                incoming.send(&frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 2]))?;
            }
            (HEADERS, 5) => {
                incoming.send(&frame(HEADERS, ENDS, 3, OK))?;
                incoming.send(&frame(HEADERS, ENDS, 5, OK))?;
            }
            _ => {}
        }
        Ok(())
    });
    let policy = "{tcp: {maxConnections: 1}, http: {h2UpgradePolicy: UPGRADE}}";
    let front = front_of(&endpoint, policy);
    assert_eq!(front.get("/x", &[]).status, 200);
    let mut clients = [front.connect(), front.connect()];
    for client in &mut clients {
        client.send(REQUEST).expect("sent");
    }
    eventually("one waits", DEADLINE, || {
        are_waiting(&front, 1).then_some(())
    });
    tell.store(true, Ordering::SeqCst);
    for client in &mut clients {
        assert_eq!(client.response("GET").expect("an answer").status, 200);
    }
    assert_eq!(endpoint.connections(), 1);
}

fn front_of(endpoint: &Upstream, policy: &str) -> Front {
    front(TO_TWO, &rule("two.test", endpoint.address(), policy))
}
