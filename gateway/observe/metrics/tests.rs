use std::time::Duration;

use gatehouse_config::model::TransportProtocol;

use super::*;
use crate::exchange::GrpcCall;
use crate::observe::labels::UNKNOWN_DESTINATION;
use crate::observe::sample::exchange;

const LABELS: LabelsId = LabelsId(7);

fn key(labels: LabelsId, status: u16) -> SeriesKey {
    SeriesKey {
        labels,
        flags: ResponseFlags::default(),
        status,
        protocol: RequestProtocol::Http,
        grpc_status: None,
    }
}

#[test]
fn an_exchange_is_counted_once_everywhere() {
    let mut metrics = WorkerMetrics::new();
    let mut exchange = exchange();
    metrics.record(LABELS, &exchange);
    exchange.duration = Duration::from_secs(2);
    metrics.record(LABELS, &exchange);
    let snapshot = metrics.snapshot();
    let series = &snapshot.http[&key(LABELS, 200)];
    assert_eq!(series.requests, 2);
    assert_eq!(series.duration.sum(&NANOS_AS_MILLIS), 2003.5);
    assert_eq!(series.request_bytes.sum(&BYTES), 600.0);
    assert_eq!(series.response_bytes.sum(&BYTES), 2400.0);
    assert_eq!(series.response_bytes.count(), 2);
}

#[test]
fn status_flags_protocol_and_grpc_status_tell_series_apart() {
    let mut metrics = WorkerMetrics::new();
    let mut exchange = exchange();
    metrics.record(LABELS, &exchange);
    metrics.record(UNKNOWN_DESTINATION, &exchange);
    exchange.status = 503;
    metrics.record(LABELS, &exchange);
    exchange.flags = ResponseFlags::UF;
    metrics.record(LABELS, &exchange);
    exchange.grpc = Some(GrpcCall {
        status: Some(14),
        request_messages: 1,
        response_messages: 0,
    });
    metrics.record(LABELS, &exchange);
    metrics.record(LABELS, &exchange);
    let snapshot = metrics.snapshot();
    assert_eq!(snapshot.http.len(), 5);
    let grpc = snapshot
        .http
        .iter()
        .find(|(key, _)| key.grpc_status == Some(14))
        .map(|(_, series)| series)
        .unwrap();
    assert_eq!((grpc.requests, grpc.request_messages), (2, 2));
}

#[test]
fn past_the_limit_requests_count_as_unknown_and_the_limit_says_so() {
    let mut metrics = WorkerMetrics::with_limit(3);
    let exchange = exchange();
    for labels in 1..=5 {
        metrics.record(LabelsId(labels), &exchange);
    }
    let snapshot = metrics.snapshot();
    assert_eq!(snapshot.http.len(), 4);
    assert_eq!(snapshot.http[&key(UNKNOWN_DESTINATION, 200)].requests, 2);
    assert_eq!(snapshot.totals.limits, [("metric_series", 2)]);
    let all: u64 = snapshot.http.values().map(|series| series.requests).sum();
    assert_eq!(all, 5, "no request is lost");
}

#[test]
fn a_limit_of_series_holds_for_carried_connections_too() {
    let mut metrics = WorkerMetrics::with_limit(1);
    let flags = ResponseFlags::default();
    for labels in 1..=3 {
        metrics.l4_opened(LabelsId(labels), TransportProtocol::Tcp);
        metrics.l4_carried(LabelsId(labels), TransportProtocol::Tcp, flags, 10, 20);
        metrics.l4_closed(LabelsId(labels), TransportProtocol::Tcp, flags);
    }
    let snapshot = metrics.snapshot();
    assert_eq!(snapshot.l4.len(), 2);
    let unknown = SeriesKey::of_transport(UNKNOWN_DESTINATION, TransportProtocol::Tcp, flags);
    let unknown = snapshot.l4[&unknown];
    assert_eq!((unknown.opened, unknown.closed), (2, 2));
    assert_eq!((unknown.received_bytes, unknown.sent_bytes), (20, 40));
}

#[test]
fn workers_add_up() {
    let mut sum = MetricsSnapshot::default();
    for requests in 1..=3 {
        let mut worker = WorkerMetrics::new();
        for _ in 0..requests {
            worker.connection_opened();
            worker.record(LABELS, &exchange());
        }
        worker.connection_closed();
        worker.refused("bad_framing");
        sum.merge(worker.snapshot());
    }
    let series = &sum.http[&key(LABELS, 200)];
    assert_eq!(series.requests, 6);
    assert_eq!(series.duration.count(), 6);
    assert_eq!(sum.totals.connections, 6);
    assert_eq!(sum.totals.connections_active, 3);
    assert_eq!(sum.totals.refused, [("bad_framing", 3)]);
}
