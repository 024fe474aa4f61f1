//! What counting a request costs. Aim: at most 100 ns (it is paid by every request).

use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use criterion::{Criterion, criterion_group, criterion_main};
use gatehouse_config::model;
use gatehouse_config::translate::telemetry::istio_format;
use gatehouse_gateway::exchange::{Connection, Exchange, Protocol, ResponseFlags};
use gatehouse_gateway::http1::{RequestHead, ResponseHead};
use gatehouse_gateway::observe::WorkerMetrics;
use gatehouse_gateway::observe::{AccessLog, LogPlan, Resolved};
use gatehouse_gateway::snapshot::LabelsId;

fn exchange() -> Exchange {
    let mut request = RequestHead::new(b"GET", b"/productpage?u=normal", b"bookinfo.example");
    let fields = request.fields_mut();
    fields.set("user-agent", b"curl/8.14.1");
    fields.set("x-forwarded-for", b"192.168.8.20");
    fields.set("x-request-id", b"6c9f2c1e-4c2e-4f5a-9d1c-2d1f6f1c3b77");
    Exchange {
        connection: Rc::new(Connection {
            peer: ([192, 168, 8, 20], 51_324).into(),
            local: ([192, 168, 8, 151], 80).into(),
            tls: None,
        }),
        protocol: Protocol::Http11,
        scheme: "http",
        upstream_protocol: Some(Protocol::Http11),
        started: Instant::now(),
        forwarded: Instant::now(),
        started_at: SystemTime::now(),
        duration: Duration::from_micros(3_500),
        request,
        response: ResponseHead::default(),
        status: 200,
        flags: ResponseFlags::default(),
        details: "via_upstream",
        termination_details: "",
        transport_failure: String::new(),
        request_body_bytes: 0,
        response_body_bytes: 1_000,
        request_wire_bytes: 300,
        response_wire_bytes: 1_200,
        route: None,
        cluster: None,
        endpoint: None,
        upstream_remote: None,
        upstream_local: Some(([192, 168, 8, 2], 40_000).into()),
        upstream_service_time: Some(Duration::from_millis(3)),
        set_cookies: Vec::new(),
        attempts: 1,
        grpc: None,
        grpc_web: None,
        imposed: Vec::new(),
    }
}

fn record(c: &mut Criterion) {
    let mut group = c.benchmark_group("record");
    let mut exchange = exchange();

    let mut metrics = WorkerMetrics::new();
    group.bench_function("one series", |b| {
        b.iter(|| metrics.record(black_box(LabelsId(1)), black_box(&exchange)));
    });

    // 32 endpoints in turn, one answer in eight a 404: every request another series.
    let mut metrics = WorkerMetrics::new();
    let mut n = 0u32;
    group.bench_function("64 series in turn", |b| {
        b.iter(|| {
            n = n.wrapping_add(1);
            exchange.status = if n.is_multiple_of(8) { 404 } else { 200 };
            exchange.duration = Duration::from_nanos(u64::from(n & 0xff_ffff));
            metrics.record(black_box(LabelsId(n % 32)), black_box(&exchange));
        });
    });
    group.finish();
}

fn access_log(c: &mut Criterion) {
    let exchange = exchange();
    let log = AccessLog::start().expect("a thread can be started");
    let plan = LogPlan::new(&[model::AccessLog {
        target: model::LogTarget::File("/dev/null".into()),
        format: istio_format(false),
        omit_empty: false,
        filter: None,
    }])
    .expect("there is a log");
    let mut logger = log.logger();
    let address = std::net::SocketAddr::from(([10, 0, 0, 7], 9_080)).into();
    let resolved = Resolved {
        route_name: "default",
        cluster: "outbound|9080||productpage.default.svc.cluster.local",
        endpoint: Some(&address),
    };
    // Full queues included: the writer is slower than a worker that does nothing else.
    c.bench_function("log", |b| {
        b.iter(|| logger.log(black_box(&exchange), resolved, &plan))
    });
    log.finish(Duration::from_secs(5));
}

criterion_group!(benches, record, access_log);
criterion_main!(benches);
