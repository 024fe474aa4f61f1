use gatehouse_config::model::{DestinationLabels, WorkloadLabels};

use super::*;
use crate::exchange::{GrpcCall, ResponseFlags};
use crate::observe::exposition::strict;
use crate::observe::labels::{LabelTable, UNKNOWN_DESTINATION};
use crate::observe::metrics::WorkerMetrics;
use crate::observe::sample::exchange;
use crate::snapshot::LabelsId;

const TEN: [&str; 10] = [
    "istio_requests_total",
    "istio_request_duration_milliseconds",
    "istio_request_bytes",
    "istio_response_bytes",
    "istio_request_messages_total",
    "istio_response_messages_total",
    "istio_tcp_connections_opened_total",
    "istio_tcp_connections_closed_total",
    "istio_tcp_sent_bytes_total",
    "istio_tcp_received_bytes_total",
];

fn productpage(table: &mut LabelTable, service: &str) -> LabelsId {
    let destination = DestinationLabels {
        service: format!("{service}.default.svc.cluster.local"),
        service_name: service.to_owned(),
        service_namespace: "default".to_owned(),
    };
    let workload = WorkloadLabels {
        workload: "productpage-v1".to_owned(),
        namespace: "default".to_owned(),
        app: "productpage".to_owned(),
        version: "v1".to_owned(),
        canonical_service: "productpage".to_owned(),
        canonical_revision: "v1".to_owned(),
    };
    table.intern(&destination, Some(&workload))
}

fn text(options: &RenderOptions, table: &mut LabelTable, metrics: &WorkerMetrics) -> String {
    let mut out = Exposition::new();
    let state = GatewayState {
        generation: 4,
        last_reload_success: true,
        findings: [("error", 1), ("warning", 0), ("info", 2)],
        ..GatewayState::default()
    };
    render(
        &mut out,
        options,
        &table.labels(),
        &metrics.snapshot(),
        &state,
    );
    out.finish()
}

#[test]
fn all_ten_families_exist_before_the_first_request() {
    let text = text(
        &RenderOptions::default(),
        &mut LabelTable::new(),
        &WorkerMetrics::new(),
    );
    let families = strict::parse(&text).unwrap();
    for name in TEN {
        assert!(families[name].samples.is_empty(), "{name}");
    }
    assert_eq!(
        families["istio_build"].samples[0].label("component"),
        Some("proxy")
    );
    assert_eq!(
        families["gatehouse_config_generation"].samples[0].value,
        4.0
    );
    assert_eq!(families["gatehouse_findings"].samples.len(), 3);
}

#[test]
fn a_series_has_istios_labels_in_istios_order() {
    let mut table = LabelTable::new();
    let labels = productpage(&mut table, "productpage");
    let mut metrics = WorkerMetrics::new();
    metrics.record(labels, &exchange());
    let text = text(&RenderOptions::default(), &mut table, &metrics);
    let families = strict::parse(&text).unwrap();
    let sample = &families["istio_requests_total"].samples[0];
    let expected = [
        ("reporter", "source"),
        ("source_workload", "istio-ingressgateway"),
        ("source_canonical_service", "istio-ingressgateway"),
        ("source_canonical_revision", "latest"),
        ("source_workload_namespace", "istio-system"),
        ("source_principal", "unknown"),
        ("source_app", "istio-ingressgateway"),
        ("source_version", "unknown"),
        ("source_cluster", "Kubernetes"),
        ("destination_workload", "productpage-v1"),
        ("destination_workload_namespace", "default"),
        ("destination_principal", "unknown"),
        ("destination_app", "productpage"),
        ("destination_version", "v1"),
        (
            "destination_service",
            "productpage.default.svc.cluster.local",
        ),
        ("destination_canonical_service", "productpage"),
        ("destination_canonical_revision", "v1"),
        ("destination_service_name", "productpage"),
        ("destination_service_namespace", "default"),
        ("destination_cluster", "Kubernetes"),
        ("request_protocol", "http"),
        ("response_code", "200"),
        ("grpc_response_status", ""),
        ("response_flags", "-"),
        ("connection_security_policy", "unknown"),
    ];
    let labels: Vec<_> = sample
        .labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(labels, expected);
    let duration = &families["istio_request_duration_milliseconds"].samples;
    let bucket = |le: &str| {
        duration
            .iter()
            .find(|s| s.label("le") == Some(le))
            .unwrap()
            .value
    };
    assert_eq!((bucket("1"), bucket("5"), bucket("+Inf")), (0.0, 1.0, 1.0));
    assert_eq!(
        duration
            .iter()
            .find(|s| s.name.ends_with("_sum"))
            .unwrap()
            .value,
        3.5
    );
}

#[test]
fn no_label_but_the_grpc_status_is_ever_empty() {
    let mut table = LabelTable::new();
    let labels = productpage(&mut table, "productpage");
    let mut metrics = WorkerMetrics::new();
    let mut exchange = exchange();
    exchange.status = 404;
    exchange.flags = ResponseFlags::NR;
    metrics.record(UNKNOWN_DESTINATION, &exchange);
    exchange.grpc = Some(GrpcCall {
        status: Some(5),
        request_messages: 1,
        response_messages: 1,
    });
    metrics.record(labels, &exchange);
    metrics.l4_opened(labels, TransportProtocol::Tcp);
    metrics.l4_carried(
        labels,
        TransportProtocol::Udp,
        ResponseFlags::default(),
        1,
        1,
    );
    let text = text(&RenderOptions::default(), &mut table, &metrics);
    let families = strict::parse(&text).unwrap();
    for (name, family) in &families {
        for sample in &family.samples {
            for (label, value) in &sample.labels {
                assert!(
                    !value.is_empty() || label == "grpc_response_status",
                    "{name} {label}"
                );
            }
            let codes = sample.label("response_code").is_some();
            if name.starts_with("istio_tcp") || name.starts_with("gatehouse_udp") {
                assert!(
                    !codes && sample.label("grpc_response_status").is_none(),
                    "{name}"
                );
            }
        }
    }
    let messages = &families["istio_request_messages_total"].samples;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].label("grpc_response_status"), Some("5"));
    let unrouted = &families["istio_requests_total"].samples[0];
    assert_eq!(unrouted.label("destination_service"), Some("unknown"));
    assert_eq!(unrouted.label("response_flags"), Some("NR"));
    let udp = &families["gatehouse_udp_sent_bytes_total"].samples[0];
    assert_eq!(udp.label("request_protocol"), Some("udp"));
}

#[test]
fn values_from_yaml_cannot_break_the_text() {
    let mut table = LabelTable::new();
    let labels = productpage(&mut table, "a\"} 1\n# TYPE x\\");
    let mut metrics = WorkerMetrics::new();
    metrics.record(labels, &exchange());
    let text = text(&RenderOptions::default(), &mut table, &metrics);
    let families = strict::parse(&text).unwrap();
    assert_eq!(
        families["istio_requests_total"].samples[0].label("destination_service_name"),
        Some("a\"} 1\n# TYPE x\\")
    );
}

#[test]
fn the_destination_reporter_repeats_every_series() {
    let mut table = LabelTable::new();
    let labels = productpage(&mut table, "productpage");
    let mut metrics = WorkerMetrics::new();
    metrics.record(labels, &exchange());
    metrics.l4_opened(labels, TransportProtocol::Tcp);
    let options = RenderOptions {
        report_destination: true,
        ..RenderOptions::default()
    };
    let text = text(&options, &mut table, &metrics);
    let families = strict::parse(&text).unwrap();
    for name in ["istio_requests_total", "istio_tcp_connections_opened_total"] {
        let reporters: Vec<_> = families[name]
            .samples
            .iter()
            .filter_map(|s| s.label("reporter"))
            .collect();
        assert_eq!(reporters, ["source", "destination"], "{name}");
    }
}

#[test]
fn a_limit_that_bit_has_its_metric() {
    let mut metrics = WorkerMetrics::with_limit(1);
    metrics.limit_reached("max_connections");
    metrics.refused("head_too_large");
    metrics.refused("bad_framing");
    let text = text(&RenderOptions::default(), &mut LabelTable::new(), &metrics);
    let families = strict::parse(&text).unwrap();
    let limits = &families["gatehouse_limit_reached_total"].samples;
    assert_eq!(limits[0].label("limit"), Some("max_connections"));
    let refused = &families["gatehouse_requests_refused_total"].samples;
    assert_eq!(refused.len(), 2);
    assert_eq!(refused[0].label("reason"), Some("bad_framing"));
}

#[test]
fn labels_are_removed_and_set_and_metrics_left_out() {
    use gatehouse_config::model::{Expression, MetricRule, MetricRules, TagRule};

    let mut table = LabelTable::new();
    let labels = productpage(&mut table, "productpage");
    let mut metrics = WorkerMetrics::new();
    let mut exchange = exchange();
    for flags in [ResponseFlags::default(), ResponseFlags::UF] {
        exchange.flags = flags;
        metrics.record(labels, &exchange);
    }
    let class = Expression::parse("response.code >= 400 ? 'bad' : 'good'").unwrap();
    let rule = MetricRule {
        disabled: false,
        tags: [
            ("response_flags".to_owned(), TagRule::Remove),
            ("my.class".to_owned(), TagRule::Value(class)),
        ]
        .into(),
    };
    let off = MetricRule {
        disabled: true,
        ..MetricRule::default()
    };
    let state = GatewayState {
        rules: MetricRules {
            by_metric: [("istio_requests_total", rule), ("istio_request_bytes", off)].into(),
        },
        ..GatewayState::default()
    };
    let mut out = Exposition::new();
    let options = RenderOptions::default();
    render(
        &mut out,
        &options,
        &table.labels(),
        &metrics.snapshot(),
        &state,
    );
    let text = out.finish();
    let requests: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("istio_requests_total{"))
        .collect();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(
        requests[0].ends_with("my_class=\"good\"} 2"),
        "{requests:?}"
    );
    assert!(!requests[0].contains("response_flags"), "{requests:?}");
    assert!(!text.contains("istio_request_bytes"), "it is left out");
    let sizes = text
        .lines()
        .filter(|line| line.starts_with("istio_response_bytes_count"));
    assert_eq!(sizes.count(), 2, "other metrics are as they were");
}
