//! Limits of connections and requests: what overflows, what waits, and what the client is told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use gatehouse_e2e::http::{self, Response};
use gatehouse_e2e::{DEADLINE, Front, Upstream, eventually};

const TO_API: &str = "- route: [{destination: {host: api.test}}]\n  retries: {attempts: 0}\n";

fn front(endpoint: SocketAddr, policy: &str, workers: &str, rules: &str) -> Front {
    let rule = format!(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: api, namespace: default}}
spec: {{host: api.test, trafficPolicy: {policy}}}
"
    );
    let services = [("api.test", &[endpoint][..])];
    Front::start_beside(rules, &services, &rule, |builder| {
        builder.arguments(&["--workers", workers])
    })
}

/// An upstream that holds its answers back until it is told.
struct Gate {
    upstream: Upstream,
    arrived: Arc<AtomicUsize>,
    open: Arc<(Mutex<bool>, Condvar)>,
}

fn wait_until_open(open: &Mutex<bool>, changed: &Condvar) {
    let open = open.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = changed.wait_while(open, |open| !*open);
    drop(waited.unwrap_or_else(PoisonError::into_inner));
}

impl Gate {
    fn new() -> Self {
        let arrived = Arc::new(AtomicUsize::new(0));
        let open = Arc::new((Mutex::new(false), Condvar::new()));
        let (count, gate) = (Arc::clone(&arrived), Arc::clone(&open));
        let upstream = Upstream::start(move |mut incoming| {
            while incoming.request()?.is_some() {
                count.fetch_add(1, Ordering::SeqCst);
                let (open, changed) = &*gate;
                wait_until_open(open, changed);
                incoming.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
            }
            Ok(())
        });
        Self {
            upstream,
            arrived,
            open,
        }
    }

    fn open(&self) {
        *self.open.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.open.1.notify_all();
    }

    fn wait_for(&self, requests: usize) {
        eventually("the requests arrive", DEADLINE, || {
            (self.arrived.load(Ordering::SeqCst) >= requests).then_some(())
        });
    }
}

fn assert_overflow(response: &Response) {
    assert_eq!(response.status, 503);
    assert_eq!(
        response.text(),
        "upstream connect error or disconnect/reset before headers. reset reason: overflow"
    );
    assert_eq!(response.header("x-envoy-overloaded"), Some("true"));
}

/// Sends two requests at once; their answers come in the order in which they are given.
fn two_more(front: &Front) -> Receiver<Response> {
    let (sender, answers) = mpsc::channel();
    let address = front.address;
    for _ in 0..2 {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let response = http::get(address, "a.test", "/", &[]).expect("there is an answer");
            // The test may have failed meanwhile.
            let _ = sender.send(response);
        });
    }
    answers
}

/// A client whose request waits at the gate.
fn one_at_the_gate(front: &Front, gate: &Gate) -> http::Client {
    let mut client = front.connect();
    client
        .send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
        .expect("the connection is open");
    gate.wait_for(1);
    client
}

/// One connection, which serves a request that waits at the gate, and one that waits for the
/// connection: a third has got its 503 already.
fn full(gate: &Gate) -> (Front, http::Client, Receiver<Response>) {
    let policy = "{connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}}";
    let front = front(gate.upstream.address(), policy, "1", TO_API);
    let first = one_at_the_gate(&front, gate);
    let answers = two_more(&front);
    assert_overflow(&answers.recv().expect("the third is answered"));
    (front, first, answers)
}

#[test]
fn one_connection_serves_one_request_and_holds_one_more() {
    let gate = Gate::new();
    let (front, mut first, answers) = full(&gate);
    gate.open();
    assert_eq!(first.response("GET").unwrap().status, 200);
    assert_eq!(answers.recv().unwrap().status, 200);
    assert_eq!(gate.upstream.connections(), 1);
    assert_eq!(front.get("/", &[]).status, 200);
}

#[test]
fn a_limit_of_requests_is_that_of_all_workers_together() {
    let gate = Gate::new();
    let policy = "{connectionPool: {http: {http2MaxRequests: 3}}}";
    let front = front(gate.upstream.address(), policy, "4", TO_API);
    let mut clients: Vec<_> = (0..3).map(|_| front.connect()).collect();
    for client in &mut clients {
        client
            .send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
            .unwrap();
    }
    gate.wait_for(3);
    for _ in 0..8 {
        assert_overflow(&front.get("/", &[]));
    }
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response("GET").unwrap().status, 200);
    }
    assert_eq!(front.get("/", &[]).status, 200);
}

#[test]
fn a_client_that_leaves_frees_its_place() {
    let gate = Gate::new();
    let (_front, first, answers) = full(&gate);
    drop(first);
    // Its connection is closed with it, and the one that waits gets the place.
    gate.wait_for(2);
    gate.open();
    assert_eq!(answers.recv().unwrap().status, 200);
}

/// With a PROXY header, a connection to an endpoint is for one client alone.
#[test]
fn an_idle_connection_for_another_client_gives_way() {
    let upstream = Upstream::well_behaved();
    let policy = "{proxyProtocol: {}, connectionPool: {tcp: {maxConnections: 1}}}";
    let front = front(upstream.address(), policy, "1", TO_API);
    let mut clients = [front.connect(), front.connect()];
    for round in 0..3 {
        for client in &mut clients {
            let sent = client.send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n");
            sent.expect("the connection is open");
            let answer = client.response("GET").expect("it does not wait for ever");
            assert_eq!(answer.status, 200, "round {round}");
        }
    }
    assert_eq!(upstream.connections(), 6);
}

#[test]
fn all_that_wait_behind_another_clients_request_get_their_turn() {
    let gate = Gate::new();
    let policy = "{proxyProtocol: {}, connectionPool: {tcp: {maxConnections: 1}}}";
    let front = front(gate.upstream.address(), policy, "1", TO_API);
    let mut first = one_at_the_gate(&front, &gate);
    let answers = two_more(&front);
    eventually("both wait", DEADLINE, || {
        let metrics = front.gatehouse.api("/stats/prometheus").text();
        metrics
            .contains("limit=\"maxConnections\"} 2")
            .then_some(())
    });
    gate.open();
    assert_eq!(first.response("GET").expect("an answer").status, 200);
    for _ in 0..2 {
        let answer = answers.recv_timeout(DEADLINE).expect("an answer");
        assert_eq!(answer.status, 200);
    }
}

#[test]
fn a_connection_serves_no_more_requests_than_it_may() {
    let upstream = Upstream::well_behaved();
    let policy = "{connectionPool: {http: {maxRequestsPerConnection: 2}}}";
    let front = front(upstream.address(), policy, "1", TO_API);
    for _ in 0..6 {
        assert_eq!(front.get("/", &[]).status, 200);
    }
    assert_eq!(upstream.connections(), 3);
}

#[test]
fn an_unused_connection_is_closed_in_its_time() {
    let closed = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&closed);
    let upstream = Upstream::start(move |mut incoming| {
        while incoming.request()?.is_some() {
            incoming.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
        }
        noted.store(true, Ordering::SeqCst);
        Ok(())
    });
    let policy = "{connectionPool: {http: {idleTimeout: 500ms}}}";
    let front = front(upstream.address(), policy, "1", TO_API);
    assert_eq!(front.get("/", &[]).status, 200);
    eventually("the connection is closed", DEADLINE, || {
        closed.load(Ordering::SeqCst).then_some(())
    });
    assert_eq!(front.get("/", &[]).status, 200);
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn retries_are_limited_and_the_request_gets_its_first_answer() {
    let held = Arc::new((Mutex::new(false), Condvar::new()));
    let second_tries = Arc::new(AtomicUsize::new(0));
    let (gate, count) = (Arc::clone(&held), Arc::clone(&second_tries));
    let upstream = Upstream::start(move |mut incoming| {
        while let Some(head) = incoming.request()? {
            if head.contains("x-envoy-attempt-count: 1") {
                let busy = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy";
                incoming.send(busy)?;
                continue;
            }
            count.fetch_add(1, Ordering::SeqCst);
            let (open, changed) = &*gate;
            let mut open = open.lock().unwrap();
            while !*open {
                open = changed.wait(open).unwrap();
            }
            drop(open);
            incoming.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
        }
        Ok(())
    });
    let rules = "- route: [{destination: {host: api.test}}]
  retries: {attempts: 3, retryOn: 5xx}
";
    for policy in [
        "{connectionPool: {http: {maxRetries: 1}}}",
        "{retryBudget: {percent: 0, minRetryConcurrency: 1}}",
    ] {
        *held.0.lock().unwrap() = false;
        second_tries.store(0, Ordering::SeqCst);
        let front = front(upstream.address(), policy, "2", rules);
        let mut first = front.connect();
        first
            .send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
            .unwrap();
        eventually("the retry is under way", DEADLINE, || {
            (second_tries.load(Ordering::SeqCst) == 1).then_some(())
        });
        // A second retry is one too many.
        let response = front.get("/", &[]);
        assert_eq!((response.status, response.text().as_str()), (503, "busy"));
        *held.0.lock().unwrap() = true;
        held.1.notify_all();
        assert_eq!(first.response("GET").unwrap().status, 200);
        assert_eq!(front.get("/", &[]).status, 200);
    }
}
