use std::sync::Mutex;
use std::time::{Duration, Instant};

use gatehouse_config::model::{
    Balancing, Cluster, Endpoint, Model, UpstreamProtocol, WorkloadLabels,
};
use gatehouse_config::{Finding, Level};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::compile::{Placement, RouteLists, compile};
use crate::observe::LabelTable;
use crate::snapshot::Snapshot;
use crate::worker::EndpointHealth;

struct Metrics;

impl Scrape for Metrics {
    fn scrape(&self) -> BoxFuture<'_, String> {
        Box::pin(async { "# HELP x_total x\n# TYPE x_total counter\nx_total 1\n".to_owned() })
    }
}

struct LogLevel(Mutex<String>);

impl Logging for LogLevel {
    fn level(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    fn set_level(&self, directives: &str) -> Result<(), String> {
        if directives.contains('!') {
            return Err(format!("{directives:?} is no level"));
        }
        *self.0.lock().unwrap() = directives.to_owned();
        Ok(())
    }
}

fn anywhere() -> AdminSettings {
    let loopback = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    AdminSettings {
        admin: loopback,
        status: loopback,
        health: loopback,
        metrics: loopback,
        host_name: None,
    }
}

fn state() -> AdminState {
    AdminState {
        view: Arc::new(ArcSwap::from_pointee(View::default())),
        states: Arc::new(Workers),
        scrape: Arc::new(Metrics),
        logging: Arc::new(LogLevel(Mutex::new("info".to_owned()))),
    }
}

/// One cluster with endpoints at 10.0.0.7 and 10.0.0.8.
fn snapshot() -> Snapshot {
    let workload = Arc::new(WorkloadLabels::default());
    let endpoints = [7, 8].map(|last| Endpoint {
        address: SocketAddr::from(([10, 0, 0, last], 9080)).into(),
        weight: 1,
        workload: Arc::clone(&workload),
    });
    let model = Model {
        clusters: vec![Arc::new(Cluster {
            name: "outbound|9080||productpage.default.svc.cluster.local".to_owned(),
            labels: Arc::default(),
            endpoints: endpoints.into(),
            balancing: Balancing::RoundRobin,
            protocol: UpstreamProtocol::Http1,
            grpc_web: false,
            connect_timeout: Duration::from_secs(1),
            policy: Arc::default(),
        })],
        ..Model::default()
    };
    let (mut labels, mut lists) = (LabelTable::new(), RouteLists::default());
    let (nowhere, before) = (Placement::default(), Snapshot::default());
    compile(&model, &nowhere, &mut labels, &mut lists, &before)
}

/// What a worker says of 10.0.0.7 and 10.0.0.8: whether each is available, and requests under way.
fn states(all: [(bool, u32); 2]) -> KnownEndpoints {
    let states = all.map(|(available, active)| EndpointHealth { available, active });
    KnownEndpoints {
        generation: snapshot().generation,
        endpoints: states.into(),
    }
}

/// Two workers.
struct Workers;

impl EndpointStates for Workers {
    fn endpoint_states(&self) -> BoxFuture<'_, Vec<KnownEndpoints>> {
        let of_two = [[(true, 2), (false, 0)], [(true, 1), (true, 0)]];
        Box::pin(async move { of_two.map(states).into() })
    }
}

fn full_view() -> View {
    View {
        generation: 3,
        loaded_at: Some(1_787_400_000),
        not_ready: None,
        services: vec![ServiceRow {
            namespace: "istio-system".to_owned(),
            name: "<script>alert(1)</script>".to_owned(),
            kind: "LoadBalancer".to_owned(),
            ports: vec!["80:30080/TCP".to_owned()],
            pending_reason: Some("no pool has a free address".to_owned()),
            ..ServiceRow::default()
        }]
        .into(),
        snapshot: Arc::new(snapshot()),
        findings: vec![Finding {
            code: "GH0001",
            level: Level::Error,
            object: None,
            field: "spec.x".to_owned(),
            position: None,
            message: "wrong & \"bad\"".to_owned(),
            hint: String::new(),
        }],
        ..View::default()
    }
}

/// One request on a connection of its own; status, head and body.
async fn ask(address: SocketAddr, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = request.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

async fn get(address: SocketAddr, path: &str) -> (u16, String, String) {
    ask(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"),
    )
    .await
}

#[tokio::test]
async fn not_ready_until_a_configuration_is_served() {
    let state = state();
    let view = state.view.clone();
    let (admin, findings) = Admin::start(&anywhere(), state).await;
    assert!(findings.is_empty());
    for server in [Server::Health, Server::Status] {
        let (status, _, body) = get(admin.address(server).unwrap(), "/healthz/ready").await;
        assert_eq!(status, 503);
        assert!(
            body.contains("no configuration has been loaded yet"),
            "{body}"
        );
    }
    view.store(Arc::new(full_view()));
    for server in [Server::Health, Server::Status] {
        let (status, _, _) = get(admin.address(server).unwrap(), "/healthz/ready").await;
        assert_eq!(status, 200);
    }
    let (status, _, body) = get(admin.address(Server::Admin).unwrap(), "/ready").await;
    assert_eq!((status, body.as_str()), (200, "LIVE\n"));
}

#[tokio::test]
async fn rows_are_json_and_each_server_has_its_own_paths() {
    let state = state();
    state.view.store(Arc::new(full_view()));
    let (admin, _) = Admin::start(&anywhere(), state).await;
    let address = admin.address(Server::Admin).unwrap();
    let (status, head, body) = get(address, "/api/v1/services").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json"), "{head}");
    assert!(head.contains("x-gatehouse-generation: 3"), "{head}");
    let rows: Vec<ServiceRow> = serde_json::from_str(&body).unwrap();
    assert_eq!(rows[..], full_view().services[..]);
    let (_, _, body) = get(address, "/config_dump").await;
    let dump: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(dump["findings"][0]["code"], "GH0001");
    let (_, _, body) = get(address, "/clusters").await;
    assert!(
        body.contains(
            "outbound|9080||productpage.default.svc.cluster.local::10.0.0.7:9080::rq_active::3\n"
        ),
        "{body}"
    );
    let dump = &dump["endpoints"];
    assert_eq!(dump[0]["health"], "healthy");
    assert_eq!(dump[1]["health"], "ejected: connects fail");
    for path in ["addresses", "routes", "endpoints", "listeners", "findings"] {
        let (status, _, body) = get(address, &format!("/api/v1/{path}")).await;
        assert_eq!((status, body.as_bytes()[0]), (200, b'['), "{path}");
    }
    let metrics = [
        (Server::Admin, "/stats/prometheus", 200),
        (Server::Status, "/stats/prometheus", 200),
        (Server::Status, "/metrics", 200),
        (Server::Metrics, "/stats/prometheus", 200),
        (Server::Health, "/stats/prometheus", 404),
        (Server::Metrics, "/config_dump", 404),
        (Server::Status, "/api/v1/services", 404),
        (Server::Admin, "/nothing", 404),
    ];
    for (server, path, expected) in metrics {
        let (status, head, _) = get(admin.address(server).unwrap(), path).await;
        assert_eq!(status, expected, "{server:?} {path}");
        if expected == 200 {
            assert!(head.contains("text/plain; version=0.0.4"), "{head}");
        }
    }
}

#[test]
fn a_worker_with_another_configuration_knows_nothing() {
    let snapshot = snapshot();
    let nobody = [true, true];
    assert_eq!(endpoints::available(&snapshot, &[]), nobody);
    let one = [states([(true, 0), (false, 4)])];
    assert_eq!(endpoints::available(&snapshot, &one), [true, false]);
    let two = [one[0].clone(), states([(false, 0), (true, 0)])];
    assert_eq!(endpoints::available(&snapshot, &two), nobody);
    let mut other = one.clone();
    other[0].generation += 1;
    assert_eq!(endpoints::available(&snapshot, &other), nobody);
    let rows = endpoints::rows(&snapshot, &other);
    assert_eq!((rows[1].active, &*rows[1].health), (Some(0), "healthy"));
    assert_eq!(endpoints::rows(&snapshot, &one)[1].active, Some(4));
}

#[tokio::test]
async fn the_page_escapes_what_yaml_says() {
    let state = state();
    state.view.store(Arc::new(full_view()));
    let (admin, _) = Admin::start(&anywhere(), state).await;
    let (status, head, body) = get(admin.address(Server::Admin).unwrap(), "/").await;
    assert_eq!(status, 200);
    assert!(
        head.contains("content-security-policy: default-src 'none'"),
        "{head}"
    );
    assert!(!body.contains("<script>"), "{body}");
    assert!(body.contains("&lt;script&gt;") && body.contains("wrong &amp; &quot;bad&quot;"));
    assert!(body.contains("no pool has a free address"));
}

#[tokio::test]
async fn a_rebound_name_is_refused_and_a_configured_one_is_not() {
    let settings = AdminSettings {
        host_name: Some("gw.home.arpa".to_owned()),
        ..anywhere()
    };
    let (admin, _) = Admin::start(&settings, state()).await;
    let address = admin.address(Server::Admin).unwrap();
    let (status, _, body) = ask(
        address,
        "GET /config_dump HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    )
    .await;
    assert_eq!(status, 403);
    assert!(body.contains("DNS rebinding"), "{body}");
    for host in ["localhost", "gw.home.arpa:15000", "[::1]:15000"] {
        let request = format!("GET /config_dump HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(ask(address, &request).await.0, 200, "{host}");
    }
    // Prometheus comes by any name.
    let status = admin.address(Server::Status).unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: gateway.lan\r\n\r\n";
    assert_eq!(ask(status, request).await.0, 200);
}

#[tokio::test]
async fn only_the_log_level_can_be_changed() {
    let (admin, _) = Admin::start(&anywhere(), state()).await;
    let address = admin.address(Server::Admin).unwrap();
    let post = async |path: &str, more: &str| {
        let request =
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n{more}\r\n");
        ask(address, &request).await
    };
    let (status, head, _) = post("/config_dump", "").await;
    assert_eq!(status, 405);
    assert!(head.contains("allow: get, head"), "{head}");
    assert_eq!(post("/logging", "").await.0, 400);
    assert_eq!(post("/logging?level=no!", "").await.0, 400);
    assert_eq!(post("/logging?level=%zz", "").await.0, 400);
    let (status, _, _) = post("/logging?level=trace", "Origin: http://evil.example\r\n").await;
    assert_eq!(status, 403, "a page of another site");
    let (_, _, body) = get(address, "/logging").await;
    assert_eq!(body, "info\n");
    let (status, _, body) = post("/logging?level=info%2Cgatehouse=debug", "").await;
    assert_eq!((status, body.as_str()), (200, "info,gatehouse=debug\n"));
}

#[tokio::test]
async fn a_port_that_is_taken_is_a_finding_and_the_others_serve() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = AdminSettings {
        admin: Some(taken.local_addr().unwrap()),
        ..anywhere()
    };
    let (admin, findings) = Admin::start(&settings, state()).await;
    assert_eq!(findings.len(), 1);
    let text = findings[0].to_string();
    let port = taken.local_addr().unwrap().port();
    assert!(
        text.contains(&port.to_string()) && text.contains("--admin"),
        "{text}"
    );
    assert_eq!(admin.address(Server::Admin), None);
    let (status, _, _) = get(admin.address(Server::Health).unwrap(), "/healthz/ready").await;
    assert_eq!(status, 503);
}

#[tokio::test]
async fn garbage_ends_its_connection_alone() {
    let (admin, _) = Admin::start(&anywhere(), state()).await;
    let address = admin.address(Server::Admin).unwrap();
    let long = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nx: {}\r\n\r\n",
        "a".repeat(100_000)
    );
    for garbage in [
        &b"\0\xff\r\n\r\n"[..],
        b"GET / HTTP/1.1\nx\r\n\r\n\r\n",
        long.as_bytes(),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may close before it has read all of it.
        let _ = stream.write_all(garbage).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{garbage:?}");
    }
    assert_eq!(get(address, "/").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn silent_clients_do_not_keep_others_out() {
    let (admin, _) = Admin::start(&anywhere(), state()).await;
    let address = admin.address(Server::Admin).unwrap();
    let mut silent = Vec::new();
    for _ in 0..80 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    // The clock is paused: it jumps to the head timeout as soon as nothing else can happen.
    let started = Instant::now();
    assert_eq!(get(address, "/").await.0, 200);
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "waited in real time"
    );
}
