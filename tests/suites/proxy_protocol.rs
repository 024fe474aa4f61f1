//! PROXY headers of clients: who is believed, what they change, and what is refused.

use std::net::SocketAddr;
use std::time::Duration;

use gatehouse_e2e::http::{Client, Response};
use gatehouse_e2e::{
    DEADLINE, Echo, Front, Node, Upstream, eventually, free_port, loopback_address,
};

const MESH: &str = "kind: MeshConfig\ndefaultConfig: {gatewayTopology: {proxyProtocol: {}}}\n";

const RULES: &str = "- route: [{destination: {host: one.test}}]\n  headers: {request: {set: \
                     {x-remote: '%DOWNSTREAM_REMOTE_ADDRESS%', x-local: \
                     '%DOWNSTREAM_LOCAL_ADDRESS%'}}}\n";

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n";

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n";

const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0f\xcb\x00\x71\x07\xc6\x33\x64\x01\x12\x67\x01\xbb\x04\0\0";

struct Beside {
    _echo: Echo,
    front: Front,
}

fn start(documents: &str, arguments: &[&str]) -> Beside {
    let address = SocketAddr::from((loopback_address(), 0));
    let echo = Echo::http(&Node::host(), "one", address);
    let address = echo.address();
    let services = [("one.test", &[address][..])];
    let front = Front::start_beside(RULES, &services, documents, |builder| {
        builder.arguments(&["--workers", "1"]).arguments(arguments)
    });
    Beside { _echo: echo, front }
}

/// The first answer on a connection that begins with `header`, and the connection.
fn ask(front: &Front, header: &[u8]) -> (Response, Client) {
    let mut client = front.connect();
    client.send(&[header, REQUEST].concat()).expect("sent");
    let response = client.response("GET").expect("an answer");
    (response, client)
}

/// What the endpoint was told of the client's two ends.
fn ends(response: &Response) -> (Option<String>, Option<String>) {
    (response.seen("x-remote"), response.seen("x-local"))
}

#[test]
fn a_proxy_in_front_says_who_the_client_is() {
    let beside = start(MESH, &[]);
    let front = &beside.front;
    for header in [V1, V2] {
        let (answer, mut client) = ask(front, header);
        assert_eq!(answer.status, 200);
        let both = ("203.0.113.7:4711".to_owned(), "198.51.100.1:443".to_owned());
        assert_eq!(ends(&answer), (Some(both.0.clone()), Some(both.1.clone())));
        assert_eq!(
            answer.seen("x-forwarded-for").as_deref(),
            Some("203.0.113.7")
        );
        // It holds for the whole connection, and no second header is looked for.
        client.send(REQUEST).expect("sent");
        let again = client.response("GET").expect("an answer");
        assert_eq!(ends(&again), (Some(both.0), Some(both.1)));
    }
    // Byte by byte.
    let mut client = front.connect();
    for byte in V2.iter().chain(REQUEST) {
        client.send(&[*byte]).expect("sent");
    }
    let answer = client.response("GET").expect("an answer");
    assert_eq!(ends(&answer).0.as_deref(), Some("203.0.113.7:4711"));
    // The proxy's own health check.
    let (answer, _) = ask(front, b"PROXY UNKNOWN\r\n");
    let own = answer.seen("x-remote").expect("told");
    assert!(own.starts_with("127."), "{own}");
}

#[test]
fn a_connection_without_a_header_is_closed_and_counted() {
    let metrics = SocketAddr::from((loopback_address(), free_port(loopback_address())));
    let beside = start(MESH, &["--metrics", &metrics.to_string()]);
    let front = &beside.front;
    for bytes in [
        REQUEST,
        b"PROXY TCP4 x\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x99\0\0\0",
    ] {
        let mut client = front.connect();
        client.send(bytes).expect("sent");
        assert_eq!(client.until_closed().expect("closed"), b"");
    }
    // Others are not held up by one that stalls.
    let mut stalled = front.connect();
    stalled.send(b"PROXY TCP4 203").expect("sent");
    assert_eq!(ask(front, V1).0.status, 200);
    let counted = eventually("the counter", DEADLINE, || {
        let text = gatehouse_e2e::http::get(metrics, "x", "/stats/prometheus", &[])
            .ok()?
            .text();
        let mut lines = text.lines();
        let line = lines.find(|line| line.contains("\"proxy_protocol_error\""))?;
        line.ends_with(" 3").then(|| line.to_owned())
    });
    assert!(counted.starts_with("gatehouse_"), "{counted}");
}

#[test]
fn only_proxies_that_are_trusted_are_believed() {
    let beside = start(MESH, &["--proxy-protocol-from", "192.0.2.0/24,192.0.3.1"]);
    let front = &beside.front;
    let (answer, _) = ask(front, b"");
    assert_eq!(answer.status, 200);
    assert!(ends(&answer).0.expect("told").starts_with("127."));
    for header in [V1, V2] {
        let (answer, _) = ask(front, header);
        assert_eq!(answer.status, 400, "believed");
    }
    // Without the setting a header is no request.
    let beside = start("", &[]);
    let front = &beside.front;
    assert_eq!(ask(front, V1).0.status, 400);
}

#[test]
fn carried_connections_begin_with_the_clients_bytes() {
    let upstream = Upstream::start(|mut incoming| {
        let text = incoming.until_closed()?;
        incoming.send(&text)
    });
    let own = loopback_address();
    let port = free_port(own);
    let documents = format!(
        "{MESH}---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: tcp, namespace: istio-system}}
spec: {{servers: [{{port: {{number: {port}, name: tcp, protocol: TCP}}, hosts: ['*']}}]}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: tcp, namespace: default}}
spec:
  hosts: [tcp.test]
  resolution: STATIC
  ports: [{{number: 9000, name: tcp, protocol: TCP}}]
  endpoints: [{{address: {ip}, ports: {{tcp: {to}}}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: tcp, namespace: default}}
spec: {{host: tcp.test, trafficPolicy: {{proxyProtocol: {{}}}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: tcp, namespace: default}}
spec: {{hosts: ['*'], gateways: [istio-system/tcp], tcp: [{{route: [{{destination: {{host: tcp.test}}}}]}}]}}
",
        ip = upstream.address().ip(),
        to = upstream.address().port(),
    );
    let beside = start(&documents, &[]);
    let front = &beside.front;
    let mut client = eventually("the port", Duration::from_secs(10), || {
        let address = SocketAddr::new(front.address.ip(), port);
        Client::connect(address).ok()
    });
    client.send(&[V2, b"hello"].concat()).expect("sent");
    client.finish().expect("finished");
    let came = client.until_closed().expect("carried");
    // One header was taken off, another written: of the client, not of the proxy.
    assert_eq!(
        String::from_utf8_lossy(&came),
        format!("{}hello", String::from_utf8_lossy(V1))
    );
}
