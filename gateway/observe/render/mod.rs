//! Counters to text: Istio's ten metrics, and gatehouse's own.

mod rules;

use std::borrow::Cow;

use gatehouse_config::model::{MetricRule, MetricRules, TransportProtocol};

use crate::observe::Drops;
use crate::observe::exposition::{Exposition, Kind, SampleLabels};
use crate::observe::histogram::{BYTES, Histogram, NANOS_AS_MILLIS, Scale};
use crate::observe::labels::{Identity, Labels, UNKNOWN};
use crate::observe::metrics::{HttpSeries, L4Series, MetricsSnapshot, SeriesKey};
use rules::Merge;

/// How metrics are rendered.
#[derive(Clone, Debug, Default)]
pub struct RenderOptions {
    /// The `source_*` labels.
    pub identity: Identity,
    /// Emit every series again with `reporter="destination"`, for backends without a sidecar:
    /// Kiali then shows the edge with only the backend's namespace selected.
    pub report_destination: bool,
}

/// What the control thread knows beside the workers' counters.
#[derive(Clone, Debug, Default)]
pub struct GatewayState {
    /// How often a configuration was put in force.
    pub generation: u64,
    /// Whether the last reading of the configuration went well.
    pub last_reload_success: bool,
    /// Findings of the configuration in force, by level.
    pub findings: [(&'static str, u64); 3],
    /// Worker threads.
    pub workers: u64,
    /// Counts access log lines that were dropped; none: there is no access log.
    pub access_log: Option<Drops>,
    /// Changes to metrics that Telemetries ask for.
    pub rules: MetricRules,
    /// Label sets refused by [`MAX_LABEL_SETS`](crate::observe::labels::MAX_LABEL_SETS).
    pub label_sets_refused: u64,
}

/// Renders the sum of all workers' counters.
///
/// All ten of Istio's families have a head even without a series: Kiali hides the parts of its
/// pages whose metric does not exist.
pub fn render(
    out: &mut Exposition,
    options: &RenderOptions,
    labels: &Labels,
    counters: &MetricsSnapshot,
    state: &GatewayState,
) {
    http(out, options, labels, counters, &state.rules);
    l4(out, options, labels, counters, &state.rules);
    out.family("istio_build", "The version of the proxy.", Kind::Gauge);
    let build = [("component", "proxy"), ("tag", env!("CARGO_PKG_VERSION"))];
    out.integer("istio_build", &SampleLabels::new(build), 1);
    counters.routes.render(out);
    own(out, counters, state);
}

fn http(
    out: &mut Exposition,
    options: &RenderOptions,
    labels: &Labels,
    counters: &MetricsSnapshot,
    rules: &MetricRules,
) {
    let mut series: Vec<_> = counters.http.iter().collect();
    series.sort_unstable_by_key(|(key, _)| key.order());
    let plain = rows(options, labels, &series);
    let rows_of = |name| rows_of(name, rules, &plain, options, labels, &series);

    if let Some(rows) = rows_of("istio_requests_total") {
        out.family("istio_requests_total", "Requests.", Kind::Counter);
        for (labels, series) in rows.iter() {
            out.integer("istio_requests_total", labels, series.requests);
        }
    }
    type Pick = fn(&HttpSeries) -> &Histogram;
    let histograms: [(&str, &str, Pick, &Scale); 3] = [
        (
            "istio_request_duration_milliseconds",
            "From the first byte of a request to the last of its response, in milliseconds.",
            |series| &series.duration,
            &NANOS_AS_MILLIS,
        ),
        (
            "istio_request_bytes",
            "Bytes of a request on the wire, head included.",
            |series| &series.request_bytes,
            &BYTES,
        ),
        (
            "istio_response_bytes",
            "Bytes of a response on the wire, head included.",
            |series| &series.response_bytes,
            &BYTES,
        ),
    ];
    for (name, help, pick, scale) in histograms {
        let Some(rows) = rows_of(name) else { continue };
        out.family(name, help, Kind::Histogram);
        for (labels, series) in rows.iter() {
            out.histogram(name, labels, pick(series), scale);
        }
    }
    type Count = fn(&HttpSeries) -> u64;
    let messages: [(&str, &str, Count); 2] = [
        (
            "istio_request_messages_total",
            "gRPC messages from clients.",
            |s| s.request_messages,
        ),
        (
            "istio_response_messages_total",
            "gRPC messages to clients.",
            |s| s.response_messages,
        ),
    ];
    for (name, help, count) in messages {
        let Some(rows) = rows_of(name) else { continue };
        out.family(name, help, Kind::Counter);
        for (labels, series) in rows.iter() {
            if count(series) > 0 {
                out.integer(name, labels, count(series));
            }
        }
    }
}

fn l4(
    out: &mut Exposition,
    options: &RenderOptions,
    labels: &Labels,
    counters: &MetricsSnapshot,
    rules: &MetricRules,
) {
    type Count = fn(&L4Series) -> u64;
    let families: [(&str, &str, &str, Count); 4] = [
        (
            "connections_opened_total",
            "flows_opened_total",
            "opened",
            |s| s.opened,
        ),
        (
            "connections_closed_total",
            "flows_closed_total",
            "closed",
            |s| s.closed,
        ),
        (
            "sent_bytes_total",
            "sent_bytes_total",
            "sent to clients",
            |s| s.sent_bytes,
        ),
        (
            "received_bytes_total",
            "received_bytes_total",
            "received from clients",
            |s| s.received_bytes,
        ),
    ];
    let mut series: Vec<_> = counters.l4.iter().collect();
    series.sort_unstable_by_key(|(key, _)| key.order());
    for transport in [TransportProtocol::Tcp, TransportProtocol::Udp] {
        let of_transport = series.iter().copied();
        let series: Vec<_> = of_transport
            .filter(|(key, _)| key.protocol == transport.into())
            .collect();
        let plain = rows(options, labels, &series);
        for (tcp, udp, what, count) in families {
            let bytes = tcp.contains("bytes");
            let (name, help) = match transport {
                TransportProtocol::Tcp if bytes => (
                    format!("istio_tcp_{tcp}"),
                    format!("Bytes {what} over TCP."),
                ),
                TransportProtocol::Tcp => (
                    format!("istio_tcp_{tcp}"),
                    format!("TCP connections {what}."),
                ),
                TransportProtocol::Udp if bytes => (
                    format!("gatehouse_udp_{udp}"),
                    format!("Bytes {what} over UDP."),
                ),
                TransportProtocol::Udp => {
                    (format!("gatehouse_udp_{udp}"), format!("UDP flows {what}."))
                }
            };
            let Some(rows) = rows_of(&name, rules, &plain, options, labels, &series) else {
                continue;
            };
            out.family(&name, &help, Kind::Counter);
            for (labels, series) in rows.iter() {
                if count(series) > 0 {
                    out.integer(&name, labels, count(series));
                }
            }
        }
    }
}

fn own(out: &mut Exposition, counters: &MetricsSnapshot, state: &GatewayState) {
    let none = SampleLabels::default();
    let gauges: [(&str, &str, u64); 4] = [
        (
            "gatehouse_config_generation",
            "How often a configuration was put in force.",
            state.generation,
        ),
        (
            "gatehouse_config_last_reload_success",
            "1 if the last reading of the configuration went well.",
            state.last_reload_success.into(),
        ),
        ("gatehouse_workers", "Worker threads.", state.workers),
        (
            "gatehouse_downstream_connections_active",
            "Connections from clients that are open.",
            counters.totals.connections_active,
        ),
    ];
    for (name, help, value) in gauges {
        out.family(name, help, Kind::Gauge);
        out.integer(name, &none, value);
    }
    out.family(
        "gatehouse_findings",
        "Findings about the configuration in force.",
        Kind::Gauge,
    );
    for (level, n) in state.findings {
        if !level.is_empty() {
            out.integer(
                "gatehouse_findings",
                &SampleLabels::new([("level", level)]),
                n,
            );
        }
    }
    let counts: [(&str, &str, u64); 2] = [
        (
            "gatehouse_downstream_connections_total",
            "Connections from clients.",
            counters.totals.connections,
        ),
        (
            "gatehouse_access_log_dropped_total",
            "Access log lines dropped because the writer was behind.",
            state.access_log.as_ref().map_or(0, Drops::count),
        ),
    ];
    for (name, help, value) in counts {
        out.family(name, help, Kind::Counter);
        out.integer(name, &none, value);
    }
    named(
        out,
        "gatehouse_requests_refused_total",
        "Requests and connections refused before they were routed.",
        "reason",
        &counters.totals.refused,
    );
    let mut limits = counters.totals.limits.clone();
    if state.label_sets_refused > 0 {
        limits.push(("metric_label_sets", state.label_sets_refused));
    }
    named(
        out,
        "gatehouse_limit_reached_total",
        "How often a limit bit, by the name of its setting.",
        "limit",
        &limits,
    );
}

fn named(out: &mut Exposition, name: &str, help: &str, label: &str, rows: &[(&'static str, u64)]) {
    out.family(name, help, Kind::Counter);
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    for (value, n) in rows {
        out.integer(name, &SampleLabels::new([(label, value)]), n);
    }
}

fn reporters(options: &RenderOptions) -> impl Iterator<Item = &'static str> {
    let destination = options.report_destination.then_some("destination");
    std::iter::once("source").chain(destination)
}

/// Rows of a metric: labels and values.
type Row<'r, V> = (SampleLabels, Cow<'r, V>);
type Rows<'r, V> = Vec<Row<'r, V>>;

fn rows<'r, V: Merge>(
    options: &RenderOptions,
    labels: &Labels,
    series: &[(&'r SeriesKey, &'r V)],
) -> Rows<'r, V> {
    reporters(options)
        .flat_map(|reporter| {
            let row = move |(key, value): &(&'r SeriesKey, &'r V)| {
                let labels = with_labels(reporter, options, labels, key, |labels| {
                    SampleLabels::new(labels.iter().copied())
                });
                (labels, Cow::Borrowed(*value))
            };
            series.iter().map(row)
        })
        .collect()
}

/// The rows of one metric, changed as the rules say; none where it is not shown.
fn rows_of<'r, V: Merge>(
    name: &str,
    rules: &MetricRules,
    plain: &'r Rows<'r, V>,
    options: &RenderOptions,
    labels: &Labels,
    series: &[(&'r SeriesKey, &'r V)],
) -> Option<Cow<'r, [Row<'r, V>]>> {
    let rule = match rules.by_metric.get(name) {
        None => return Some(Cow::Borrowed(plain)),
        Some(MetricRule { disabled: true, .. }) => return None,
        Some(rule) => rule,
    };
    let all = reporters(options).flat_map(|reporter| {
        series.iter().map(move |(key, value)| {
            let own = |labels: &[(&str, &str)]| -> Vec<rules::Label> {
                let pairs = labels.iter();
                pairs
                    .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                    .collect()
            };
            (
                *key,
                with_labels(reporter, options, labels, key, own),
                *value,
            )
        })
    });
    let changed = rules::changed(all, rule).into_iter();
    Some(
        changed
            .map(|(labels, value)| (labels, Cow::Owned(value)))
            .collect(),
    )
}

/// The labels in Istio's order; none is empty but `grpc_response_status`.
fn with_labels<T>(
    reporter: &str,
    options: &RenderOptions,
    labels: &Labels,
    key: &SeriesKey,
    make: impl FnOnce(&[(&str, &str)]) -> T,
) -> T {
    let source = &options.identity;
    let set = labels.get(key.labels);
    let flags = key.flags.to_string();
    let status = key.status.to_string();
    let grpc_status = key
        .grpc_status
        .map_or_else(String::new, |status| status.to_string());
    let is_http = !matches!(key.protocol.as_str(), "tcp" | "udp");
    let common = [
        ("reporter", reporter),
        ("source_workload", &source.workload),
        ("source_canonical_service", &source.canonical_service),
        ("source_canonical_revision", &source.canonical_revision),
        ("source_workload_namespace", &source.namespace),
        ("source_principal", UNKNOWN),
        ("source_app", &source.app),
        ("source_version", &source.version),
        ("source_cluster", &source.cluster),
        ("destination_workload", &set.workload.workload),
        ("destination_workload_namespace", &set.workload.namespace),
        ("destination_principal", UNKNOWN),
        ("destination_app", &set.workload.app),
        ("destination_version", &set.workload.version),
        ("destination_service", &set.destination.service),
        (
            "destination_canonical_service",
            &set.workload.canonical_service,
        ),
        (
            "destination_canonical_revision",
            &set.workload.canonical_revision,
        ),
        ("destination_service_name", &set.destination.service_name),
        (
            "destination_service_namespace",
            &set.destination.service_namespace,
        ),
        ("destination_cluster", &source.cluster),
        ("request_protocol", key.protocol.as_str()),
    ];
    let codes = [
        ("response_code", status.as_str()),
        ("grpc_response_status", &grpc_status),
    ];
    let last = [
        ("response_flags", flags.as_str()),
        ("connection_security_policy", UNKNOWN),
    ];
    let codes = codes.into_iter().filter(|_| is_http);
    let all: Vec<_> = common.into_iter().chain(codes).chain(last).collect();
    make(&all)
}

#[cfg(test)]
mod tests;
