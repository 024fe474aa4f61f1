//! Seats, as a whole connection has them. How many wait shows who served: a stream that found no
//! seat leaves one more behind.

use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use tokio::net::{TcpListener, TcpStream};

use super::{MOST, PATIENCE};
use crate::exchange::Connection;
use crate::http1::ReadBuffer;
use crate::http2::server;
use crate::worker::listener::Slot;
use crate::worker::{Worker, WorkerSettings};

/// Requests for /good are answered at once, those for /slow after a while, all others with 404.
const YAML: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: routes, namespace: default}
spec:
  hosts: ['*']
  gateways: [istio-system/gw]
  http:
  - match: [{uri: {exact: /good}}]
    headers: {response: {set: {x-good: 'yes', x-seen: '%REQ(x-mine)%'}}}
    directResponse: {status: 200, body: {string: good}}
  - match: [{uri: {exact: /slow}}]
    fault:
      delay: {fixedDelay: 0.2s, percentage: {value: 100}}
      abort: {httpStatus: 418, percentage: {value: 100}}
    route: [{destination: {host: nobody.test}}]
";

const DEADLINE: Duration = Duration::from_secs(20);

/// A worker that clients of HTTP/2 speak to.
struct Served {
    worker: Rc<Worker>,
    slot: Rc<Slot>,
    listener: TcpListener,
}

/// What a client got, without what differs from one answer to the next.
#[derive(Debug, PartialEq)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

fn run(test: impl AsyncFnOnce(Served)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let (worker, slot) = Worker::alone(WorkerSettings::default(), YAML);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let served = Served {
            worker,
            slot,
            listener,
        };
        test(served).await;
    });
}

impl Served {
    async fn connect(&self) -> SendRequest<Bytes> {
        let address = self.listener.local_addr().unwrap();
        let connecting = TcpStream::connect(address);
        let (client, accepted) = tokio::join!(connecting, self.listener.accept());
        let (stream, peer) = accepted.unwrap();
        let local = stream.local_addr().unwrap();
        let connection = Rc::new(Connection {
            peer,
            local,
            tls: None,
        });
        tokio::task::spawn_local(server::serve(
            Rc::clone(&self.worker),
            Rc::clone(&self.slot),
            stream.into(),
            ReadBuffer::new(),
            connection,
            "http",
        ));
        // With a wide window: a client with a narrow one ends a connection with many small answers
        // that it has not read yet.
        let handshake = h2::client::Builder::new()
            .initial_connection_window_size(16 << 20)
            .handshake(client.unwrap());
        let (requests, connection) = handshake.await.unwrap();
        tokio::task::spawn_local(async move {
            // It ends with the test.
            let _ = connection.await;
        });
        requests.ready().await.unwrap()
    }

    /// Waits until so many seats are waited in.
    async fn until_waiting(&self, seats: usize) {
        let begun = Instant::now();
        while self.worker.idle_seats.get() != seats {
            let waiting = self.worker.idle_seats.get();
            assert!(begun.elapsed() < DEADLINE, "{waiting} and not {seats}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn get(uri: &str) -> http::request::Builder {
    Request::get(uri)
}

/// Sends a request and gives the whole answer.
async fn ask(requests: &SendRequest<Bytes>, request: http::request::Builder) -> Answer {
    let mut requests = requests.clone().ready().await.unwrap();
    let request = request.body(()).unwrap();
    let (answer, _) = requests.send_request(request, true).unwrap();
    let (head, mut receive) = answer.await.unwrap().into_parts();
    let mut body = Vec::new();
    while let Some(piece) = receive.data().await {
        let piece = piece.unwrap();
        receive
            .flow_control()
            .release_capacity(piece.len())
            .unwrap();
        body.extend_from_slice(&piece);
    }
    let mut headers = head.headers;
    for changing in ["date", "x-request-id"] {
        headers.remove(changing);
    }
    Answer {
        status: head.status,
        headers,
        body,
    }
}

const GOOD: &str = "http://a.test/good";
const UNKNOWN: &str = "http://a.test/unknown";

#[test]
fn the_next_stream_takes_the_seat_of_the_one_before() {
    run(async |served| {
        let requests = served.connect().await;
        for _ in 0..5 {
            assert_eq!(ask(&requests, get(GOOD)).await.body, b"good");
            // One that was not taken again would wait beside the new one.
            served.until_waiting(1).await;
        }
        // Another connection has seats of its own, and its end gives them up.
        let others = served.connect().await;
        assert_eq!(ask(&others, get(GOOD)).await.body, b"good");
        served.until_waiting(2).await;
        drop(others);
        served.until_waiting(1).await;
    });
}

#[test]
fn nothing_of_a_stream_is_left_for_the_next_one() {
    run(async |served| {
        // What those who come first get.
        let first = async |request: http::request::Builder| {
            let requests = served.connect().await;
            ask(&requests, request).await
        };
        let unknown = first(get(UNKNOWN)).await;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND);
        // It names no host.
        let malformed = first(get("/good")).await;
        assert_eq!(malformed.status, StatusCode::BAD_REQUEST);
        let bare = first(get(GOOD)).await;
        assert_eq!(bare.status, StatusCode::OK);
        assert_eq!(bare.headers["x-good"], "yes");
        served.until_waiting(0).await;

        let requests = served.connect().await;
        let mine = || {
            get(GOOD)
                .header("x-mine", "a secret")
                .header("cookie", "a=b")
        };
        for _ in 0..2 {
            let good = ask(&requests, mine()).await;
            assert_eq!(good.headers["x-seen"], "a secret");
            served.until_waiting(1).await;
            assert_eq!(ask(&requests, get(UNKNOWN)).await, unknown);
            served.until_waiting(1).await;
            assert_eq!(ask(&requests, mine()).await, good);
            served.until_waiting(1).await;
            assert_eq!(ask(&requests, get(GOOD)).await, bare);
            served.until_waiting(1).await;
            assert_eq!(ask(&requests, mine()).await, good);
            served.until_waiting(1).await;
            assert_eq!(ask(&requests, get("/good")).await, malformed);
            assert_eq!(ask(&requests, get(GOOD)).await, bare);
            served.until_waiting(1).await;
        }
    });
}

#[test]
fn nobody_waits_for_long() {
    run(async |served| {
        let requests = served.connect().await;
        assert_eq!(ask(&requests, get(GOOD)).await.body, b"good");
        served.until_waiting(1).await;
        let since = Instant::now();
        served.until_waiting(0).await;
        // The wheel's ticks are coarse, and the wait began a little before.
        assert!(since.elapsed() > PATIENCE / 2, "{:?}", since.elapsed());
        assert_eq!(ask(&requests, get(GOOD)).await.body, b"good");
        served.until_waiting(1).await;
    });
}

#[test]
fn streams_at_once_have_seats_of_their_own_up_to_a_bound() {
    run(async |served| {
        let all_at_once = async |requests: &SendRequest<Bytes>, count: usize| {
            let asking = (0..count).map(|_| {
                let requests = requests.clone();
                tokio::task::spawn_local(async move {
                    ask(&requests, get("http://a.test/slow")).await.status
                })
            });
            for asked in asking.collect::<Vec<_>>() {
                assert_eq!(asked.await.unwrap(), StatusCode::IM_A_TEAPOT);
            }
        };
        let few = served.connect().await;
        all_at_once(&few, 20).await;
        served.until_waiting(20).await;
        // They are enough for as many again.
        all_at_once(&few, 20).await;
        let waiting = served.worker.idle_seats.get();
        assert!(waiting <= 20, "{waiting}");
        served.until_waiting(20).await;
        drop(few);
        served.until_waiting(0).await;

        let each = MOST / 4 + 20;
        let mut connections = Vec::new();
        for number in 1..=5 {
            let requests = served.connect().await;
            all_at_once(&requests, each).await;
            served.until_waiting(MOST.min(number * each)).await;
            connections.push(requests);
        }
        assert!(5 * each > MOST);
        // Who finds no seat is served all the same.
        let more = served.connect().await;
        assert_eq!(ask(&more, get(GOOD)).await.body, b"good");
    });
}
