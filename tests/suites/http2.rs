//! HTTP/2 in plain text, of clients and of endpoints: the same exchanges as over HTTP/1.1.

use std::net::SocketAddr;

use bytes::Bytes;
use gatehouse_e2e::http::{self as http1, Client};
use gatehouse_e2e::{DEADLINE, Echo, EchoPorts, Front, Node, eventually, loopback_address};
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use tokio::net::TcpStream;

const RULES: &str = "- match: [{uri: {exact: /said}}]\n  directResponse: {status: 207, body: {string: words}}\n\
                     - match: [{uri: {prefix: /h2}}]\n  route: [{destination: {host: two.test}}]\n\
                     - route: [{destination: {host: one.test}}]\n";

struct Setting {
    _echo: Echo,
    front: Front,
}

/// A gateway before an echo of both versions: below `/h2` it is spoken to in HTTP/2.
fn start() -> Setting {
    let any = SocketAddr::from((loopback_address(), 0));
    let listen = EchoPorts {
        http: vec![any],
        http2: vec![any],
        ..EchoPorts::default()
    };
    let echo = Echo::start(&Node::host(), "echo", &listen);
    let second = echo.ports().http2[0];
    let two = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: two, namespace: \
         default}}\nspec:\n  hosts: [two.test]\n  resolution: STATIC\n  ports: [{{number: 80, \
         name: grpc, protocol: GRPC, targetPort: {}}}]\n  endpoints: [{{address: {}}}]\n",
        second.port(),
        second.ip()
    );
    let services = [("one.test", &[echo.address()][..])];
    let front = Front::start_beside(RULES, &services, &two, |builder| {
        builder.arguments(&["--workers", "1"])
    });
    Setting { _echo: echo, front }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        #[expect(clippy::disallowed_methods, reason = "a test, not the data plane")]
        let outcome = tokio::time::timeout(DEADLINE, test).await;
        outcome.expect("in time");
    });
}

/// A connection of HTTP/2, which ends with the runtime. Its own window is wide, those of its
/// streams are not: one that is not read holds up no other.
async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.expect("connected");
    let (requests, connection) = h2::client::Builder::new()
        .initial_connection_window_size(16 << 20)
        .handshake(stream)
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    requests.ready().await.expect("ready")
}

fn request(method: &str, path: &str) -> http::request::Builder {
    let uri = format!("http://a.test{path}");
    Request::builder().method(method).uri(uri)
}

/// Reads no body before it has all heads, as a browser that loads a page.
#[test]
fn many_small_answers_of_ours_are_no_flood_to_a_client() {
    let setting = start();
    run(async {
        // With the default window of 64 kB a client counts small frames before 300 of them.
        let stream = TcpStream::connect(setting.front.address).await;
        let handshake = h2::client::handshake(stream.expect("connected")).await;
        let (requests, connection) = handshake.expect("HTTP/2");
        tokio::spawn(connection);
        let mut requests = requests.ready().await.expect("ready");
        let mut bodies = Vec::new();
        for _ in 0..300 {
            let asked = request("GET", "/said").body(()).expect("a request");
            requests = requests.ready().await.expect("ready");
            let (answer, _) = requests.send_request(asked, true).expect("sent");
            let answer = answer.await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::MULTI_STATUS);
            bodies.push(answer.into_body());
        }
        for mut body in bodies {
            assert_eq!(read(&mut body).await, b"words");
        }
    });
}

/// Sends a head and a body, and gives the answer with its body and trailers.
async fn ask(
    requests: &mut SendRequest<Bytes>,
    request: http::request::Builder,
    body: Option<Bytes>,
    trailers: Option<HeaderMap>,
) -> (http::response::Parts, Vec<u8>, Option<HeaderMap>) {
    let request = request.body(()).expect("a request");
    let ends = body.is_none() && trailers.is_none();
    let (answer, mut send) = requests.send_request(request, ends).expect("sent");
    if let Some(body) = body {
        send.send_data(body, trailers.is_none()).expect("sent");
    }
    if let Some(trailers) = trailers {
        send.send_trailers(trailers).expect("sent");
    }
    let (head, mut receive) = answer.await.expect("an answer").into_parts();
    let body = read(&mut receive).await;
    let trailers = receive.trailers().await.expect("no error");
    (head, body, trailers)
}

async fn read(receive: &mut RecvStream) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(piece) = receive.data().await {
        let piece = piece.expect("a piece");
        receive
            .flow_control()
            .release_capacity(piece.len())
            .expect("as much as came");
        body.extend_from_slice(&piece);
    }
    body
}

fn seen<'a>(echo: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = echo["headers"].as_array().expect("a list").iter();
    let named = headers.filter(|pair| pair[0] == name);
    named.filter_map(|pair| pair[1].as_str()).collect()
}

#[test]
fn a_request_is_the_same_in_every_pair_of_versions() {
    let setting = start();
    let address = setting.front.address;
    run(async {
        let mut requests = connect(address).await;
        for (path, version) in [("/x?y=1", "HTTP/1.1"), ("/h2/x?y=1", "HTTP/2.0")] {
            let asked = request("POST", path)
                .header("cookie", "a=1")
                .header("cookie", "b=2")
                .header("x-echo-header", "x-more=yes");
            let body = Bytes::from(vec![7; 300_000]);
            let (head, body, _) = ask(&mut requests, asked, Some(body), None).await;
            assert_eq!(head.status, StatusCode::OK);
            assert_eq!(head.headers["x-more"], "yes");
            assert_eq!(head.headers["server"], "gatehouse");
            assert!(!head.headers.contains_key("transfer-encoding"));
            let echo: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(echo["version"], version);
            assert_eq!(echo["body_bytes"], 300_000);
            assert_eq!(echo["body_sum"], 2_100_000);
            assert_eq!(seen(&echo, "cookie"), ["a=1; b=2"]);
            assert_eq!(seen(&echo, "x-forwarded-proto"), ["http"]);
        }
    });
    // A client of HTTP/1.1 before an endpoint of HTTP/2, on one connection.
    let mut client = Client::connect(address).expect("connected");
    for _ in 0..3 {
        let text = b"POST /h2/z HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n\
                     5\r\nhello\r\n0\r\n\r\n";
        client.send(text).expect("sent");
        let answer = client.response("POST").expect("an answer");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["version"], "HTTP/2.0");
        assert_eq!(answer.json()["body"], "hello");
    }
}

/// The task that served a request serves the next one of its connection.
#[test]
fn a_request_sees_nothing_of_the_one_before() {
    let setting = start();
    run(async {
        let mut requests = connect(setting.front.address).await;
        for path in ["/x", "/h2/x"] {
            for before in ["served", "refused", "left"] {
                let asked = request("POST", path)
                    .header("x-earlier", "e".repeat(10_000))
                    .header("te", "trailers")
                    .header("x-echo-header", "x-more=yes")
                    .header("x-echo-trailer", "x-end=yes");
                match before {
                    "served" => {
                        let body = Bytes::from(vec![7; 300_000]);
                        let (head, ..) = ask(&mut requests, asked, Some(body), None).await;
                        assert_eq!(head.headers["x-more"], "yes");
                    }
                    "refused" => {
                        let asked = asked.header("x-echo-early", "yes");
                        let body = Bytes::from_static(b"half");
                        let asked = asked.body(()).expect("a request");
                        let (answer, mut send) = requests.send_request(asked, false).expect("sent");
                        send.send_data(body, false).expect("sent");
                        let head = answer.await.expect("an answer");
                        assert_eq!(head.headers()["x-more"], "yes");
                    }
                    _ => {
                        let asked = asked.header("x-echo-delay", "30");
                        let asked = asked.body(()).expect("a request");
                        let (_answer, mut send) =
                            requests.send_request(asked, false).expect("sent");
                        send.send_reset(Reason::CANCEL);
                    }
                }
                let (head, body, trailers) =
                    ask(&mut requests, request("GET", path), None, None).await;
                assert_eq!(head.status, StatusCode::OK, "{path} {before}");
                assert!(!head.headers.contains_key("x-more"), "{path} {before}");
                assert!(trailers.is_none(), "{path} {before}: {trailers:?}");
                let echo: Value = serde_json::from_slice(&body).expect("JSON");
                assert_eq!(echo["method"], "GET", "{path} {before}");
                assert_eq!(echo["body_bytes"], 0, "{path} {before}");
                for name in ["x-earlier", "te", "x-echo-header", "content-length"] {
                    assert!(seen(&echo, name).is_empty(), "{path} {before}: {echo}");
                }
            }
        }
    });
}

#[test]
fn trailers_go_both_ways_and_a_call_is_counted() {
    let setting = start();
    let address = setting.front.address;
    run(async {
        let mut requests = connect(address).await;
        let asked = request("POST", "/h2/a.B/C")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-echo-trailer", "grpc-status=5,grpc-message=none");
        let mut sent = HeaderMap::new();
        sent.insert("x-sum", "abc".parse().expect("a value"));
        // Two messages: an empty one and one of three bytes.
        let body = Bytes::from_static(b"\0\0\0\0\0\0\0\0\0\x03abc");
        let (head, body, trailers) = ask(&mut requests, asked, Some(body), Some(sent)).await;
        assert_eq!(head.status, StatusCode::OK);
        let echo: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(echo["trailers"][0][0], "x-sum", "{echo}");
        let trailers = trailers.expect("trailers");
        assert_eq!(trailers["grpc-status"], "5");
        assert_eq!(trailers["grpc-message"], "none");
    });
    let counted = eventually("the call is counted", DEADLINE, || {
        let metrics = setting.front.gatehouse.api("/stats/prometheus").text();
        let messages = metrics
            .lines()
            .find(|line| line.starts_with("istio_request_messages_total"))?;
        Some(messages.to_owned())
    });
    assert!(counted.contains("grpc_response_status=\"5\""), "{counted}");
    assert!(counted.ends_with(" 2"), "{counted}");
}

#[test]
fn trailers_go_both_ways_in_every_pair_of_versions() {
    let setting = start();
    let address = setting.front.address;
    for path in ["/x", "/h2/x"] {
        run(async {
            let mut requests = connect(address).await;
            let asked = request("POST", path)
                .header("te", "trailers")
                .header("x-echo-trailer", "x-end=yes");
            let mut sent = HeaderMap::new();
            sent.insert("x-sum", "abc".parse().expect("a value"));
            let body = Bytes::from_static(b"hello");
            let (_, body, trailers) = ask(&mut requests, asked, Some(body), Some(sent)).await;
            let echo: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(echo["trailers"][0][0], "x-sum", "{path}: {echo}");
            assert_eq!(trailers.expect("trailers")["x-end"], "yes", "{path}");
        });
        let mut client = Client::connect(address).expect("connected");
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a.test\r\nte: trailers\r\nconnection: te\r\n\
             trailer: x-sum\r\nx-echo-trailer: x-end=yes\r\ntransfer-encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\nx-sum: abc\r\n\r\n"
        );
        client.send(head.as_bytes()).expect("sent");
        let answer = client.response("POST").expect("an answer");
        assert_eq!(
            answer.json()["trailers"][0][0],
            "x-sum",
            "{path}: {answer:?}"
        );
        let end = ("x-end".to_owned(), "yes".to_owned());
        assert_eq!(answer.trailers, [end], "{path}");
    }
}

#[test]
fn a_local_answer_to_a_call_is_a_grpc_status() {
    let setting = start();
    let front = &setting.front;
    front.config.write(
        "routes.yaml",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: routes, \
         namespace: default}\nspec:\n  hosts: [b.test]\n  gateways: [default/gateway]\n  http: \
         [{route: [{destination: {host: one.test}}]}]\n",
    );
    let gone = || {
        let answer = http1::get(front.address, "a.test", "/", &[]).ok()?;
        (answer.status == 404).then_some(())
    };
    eventually("the routes are gone", DEADLINE, gone);
    run(async {
        let mut requests = connect(front.address).await;
        let asked = request("POST", "/a.B/C").header("content-type", "application/grpc");
        let (head, body, _) = ask(&mut requests, asked, None, None).await;
        assert_eq!(head.status, StatusCode::OK);
        assert_eq!(head.headers["grpc-status"], "12");
        assert_eq!(body, b"");
    });
}

#[test]
fn a_slow_stream_holds_up_no_other() {
    let setting = start();
    run(async {
        let mut requests = connect(setting.front.address).await;
        // One that nobody reads, and one that takes its time.
        let unread = request("GET", "/x").header("x-echo-size", "3000000");
        let unread = unread.body(()).expect("a request");
        let (unread, _) = requests.send_request(unread, true).expect("sent");
        let (_, mut unread) = unread.await.expect("an answer").into_parts();
        let slow = request("GET", "/h2/x").header("x-echo-delay", "30");
        let slow = slow.body(()).expect("a request");
        let (_slow, _) = requests.send_request(slow, true).expect("sent");
        for path in ["/quick", "/h2/quick"] {
            let (head, ..) = ask(&mut requests, request("GET", path), None, None).await;
            assert_eq!(head.status, StatusCode::OK);
        }
        assert_eq!(read(&mut unread).await.len(), 3_000_000);
    });
}

#[test]
fn a_websocket_goes_through_a_stream() {
    let setting = start();
    run(async {
        let mut requests = connect(setting.front.address).await;
        let allowed = async {
            while !requests.is_extended_connect_protocol_enabled() {
                tokio::task::yield_now().await;
            }
        };
        allowed.await;
        let mut asked = request("CONNECT", "/chat").body(()).expect("a request");
        let protocol = h2::ext::Protocol::from_static("websocket");
        asked.extensions_mut().insert(protocol);
        let (answer, mut send) = requests.send_request(asked, false).expect("sent");
        let (head, mut receive) = answer.await.expect("an answer").into_parts();
        assert_eq!(head.status, StatusCode::OK);
        assert!(!head.headers.contains_key("upgrade"));
        for word in ["one", "two"] {
            give(&mut send, word);
            let back = receive.data().await.expect("not the end").expect("a piece");
            assert_eq!(back, word);
            receive
                .flow_control()
                .release_capacity(back.len())
                .expect("as much as came");
        }
        send.send_data(Bytes::new(), true).expect("sent");
        assert_eq!(read(&mut receive).await, b"");
    });
}

fn give(send: &mut SendStream<Bytes>, word: &'static str) {
    send.send_data(Bytes::from_static(word.as_bytes()), false)
        .expect("sent");
}

#[test]
fn who_resets_streams_by_the_hundred_is_sent_away() {
    let setting = start();
    let front = &setting.front;
    run(async {
        let mut requests = connect(front.address).await;
        let mut refused = None;
        for _ in 0..2_000 {
            let asked = request("GET", "/x").header("x-echo-delay", "30");
            let asked = asked.body(()).expect("a request");
            requests = match requests.clone().ready().await {
                Ok(requests) => requests,
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            };
            let sent = requests.send_request(asked, false);
            let Ok((_answer, mut send)) = sent else {
                break;
            };
            // What is given up must have been begun: one that comes after it is answered.
            let after = request("GET", "/x").body(()).expect("a request");
            let Ok((answer, _)) = requests.send_request(after, true) else {
                break;
            };
            if answer.await.is_err() {
                break;
            }
            send.send_reset(Reason::CANCEL);
        }
        let error = match refused {
            Some(error) => error,
            None => requests
                .clone()
                .ready()
                .await
                .expect_err("it was sent away"),
        };
        assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM), "{error}");
        // And only this connection.
        let mut requests = connect(front.address).await;
        let (head, ..) = ask(&mut requests, request("GET", "/x"), None, None).await;
        assert_eq!(head.status, StatusCode::OK);
    });
    let metrics = front.gatehouse.api("/stats/prometheus").text();
    assert!(metrics.contains("limit=\"http2_resets\"} 1"), "{metrics}");
}

#[test]
fn a_preface_may_come_byte_by_byte() {
    use std::io::{Read as _, Write as _};
    let setting = start();
    let mut stream = std::net::TcpStream::connect(setting.front.address).expect("connected");
    stream.set_nodelay(true).expect("an option");
    // The preface, and empty SETTINGS.
    let bytes = [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &[0, 0, 0, 4, 0, 0, 0, 0, 0],
    ]
    .concat();
    for byte in bytes {
        stream.write_all(&[byte]).expect("sent");
    }
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).expect("an answer");
    assert_eq!(frame[3], 4, "SETTINGS: {frame:?}");
}
