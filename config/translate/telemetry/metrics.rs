//! `metrics` of Telemetries: metrics that are not counted, and labels that are changed.

use crate::api::istio::Telemetry;
use crate::api::istio::telemetry::{
    IstioMetric, MetricSelector, Metrics, MetricsOverride, ProviderRef, TagOperation, TagOverride,
};
use crate::model::{Attribute, Expression, MetricRules, TagRule};
use crate::resources::Object;
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::report::{ObjectReport, Report};
use crate::translate::telemetry::{is_for_client, judge_providers};

/// The provider that is always there.
const PROMETHEUS: &str = "prometheus";

const METRICS: &[(IstioMetric, &str)] = &[
    (IstioMetric::RequestCount, "istio_requests_total"),
    (
        IstioMetric::RequestDuration,
        "istio_request_duration_milliseconds",
    ),
    (IstioMetric::RequestSize, "istio_request_bytes"),
    (IstioMetric::ResponseSize, "istio_response_bytes"),
    (
        IstioMetric::TcpOpenedConnections,
        "istio_tcp_connections_opened_total",
    ),
    (
        IstioMetric::TcpClosedConnections,
        "istio_tcp_connections_closed_total",
    ),
    (IstioMetric::TcpSentBytes, "istio_tcp_sent_bytes_total"),
    (
        IstioMetric::TcpReceivedBytes,
        "istio_tcp_received_bytes_total",
    ),
    (
        IstioMetric::GrpcRequestMessages,
        "istio_request_messages_total",
    ),
    (
        IstioMetric::GrpcResponseMessages,
        "istio_response_messages_total",
    ),
];

/// Judges one entry.
pub(super) fn judge(metrics: &Metrics, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    let Metrics {
        providers,
        overrides,
        reporting_interval,
    } = metrics;
    judge_providers(providers, path, report);
    if reporting_interval.is_some_and(|time| time.as_nanos() < 1_000_000) {
        let path = path.field("reportingInterval");
        report.invalid(
            &path,
            "the interval is shorter than 1ms; the object is not used.",
            "",
        );
    }
    let overrides_path = path.field("overrides");
    for (i, entry) in overrides.iter().enumerate() {
        let MetricsOverride {
            matches,
            disabled: _,
            tag_overrides,
        } = entry;
        let path = overrides_path.index(i);
        if let Some(MetricSelector {
            custom_metric: Some(name),
            ..
        }) = matches
            && prometheus_name(name).is_none()
        {
            let path = path.field("match");
            report.unsupported(
                &path.field("customMetric"),
                &format!("the metric `{name}`"),
                "only Istio's metrics are counted, so the entry changes nothing",
            );
        }
        let tags = path.field("tagOverrides");
        for (tag, TagOverride { operation, value }) in tag_overrides {
            let path = tags.field(tag);
            let path = path.field("value");
            match operation {
                TagOperation::Upsert if value.is_empty() => report.invalid(
                    &path,
                    "UPSERT needs a value; the object is not used.",
                    "Write a CEL expression, such as `\"text\"` with its quotes.",
                ),
                TagOperation::Remove if !value.is_empty() => {
                    report.invalid(&path, "REMOVE takes no value; the object is not used.", "");
                }
                TagOperation::Remove => {}
                TagOperation::Upsert => match Expression::parse(value) {
                    Err(error) => report.invalid(
                        &path,
                        format!("`{value}` cannot be used as a CEL expression: {error}; the object is not used."),
                        "A fixed text is `\"text\"`, with its quotes.",
                    ),
                    Ok(expression) if expression.text(&probe()).is_none() => report.unsupported(
                        &path,
                        &format!("`{value}` as a label's value"),
                        "a label may be a fixed text or made of response.code; it stays as it was",
                    ),
                    Ok(_) => {}
                },
            }
        }
    }
}

/// What an expression finds when metrics are shown.
fn probe() -> Vec<(&'static str, Attribute)> {
    let code = vec![("code".to_owned(), Attribute::Integer(200))];
    vec![("response", Attribute::Map(code))]
}

/// The Prometheus name of a metric that is written in either way.
fn prometheus_name(name: &str) -> Option<&'static str> {
    let fits = |known: &&(IstioMetric, &'static str)| {
        known.1 == name || known.1.strip_prefix("istio_") == Some(name) || known.0.as_str() == name
    };
    METRICS.iter().find(fits).map(|(_, name)| *name)
}

/// What the levels say of each metric, a lower level over a higher one.
pub(super) fn rules(
    levels: &[&Object<Telemetry>],
    settings: &Settings,
    _report: &mut Report,
) -> MetricRules {
    let mut rules = MetricRules::default();
    for level in levels {
        for metrics in &level.body.metrics {
            if !is_for_prometheus(&metrics.providers, settings) {
                continue;
            }
            for entry in &metrics.overrides {
                apply(entry, &mut rules);
            }
        }
    }
    rules
}

fn is_for_prometheus(providers: &[ProviderRef], settings: &Settings) -> bool {
    let is_prometheus = |name: &str| {
        let provider = settings.mesh.providers.iter().find(|p| p.name == name);
        provider.map_or(name == PROMETHEUS, |p| p.prometheus.is_some())
    };
    providers.is_empty()
        || providers
            .iter()
            .any(|provider| is_prometheus(&provider.name))
}

fn apply(entry: &MetricsOverride, rules: &mut MetricRules) {
    let MetricsOverride {
        matches,
        disabled,
        tag_overrides,
    } = entry;
    if !is_for_client(matches.as_ref().map(|selector| selector.mode)) {
        return;
    }
    let named = matches.as_ref();
    let custom = named.and_then(|selector| selector.custom_metric.as_deref());
    let metric = named.and_then(|selector| selector.metric);
    let chosen = METRICS
        .iter()
        .filter(|(known, name)| match (custom, metric) {
            (Some(custom), _) => prometheus_name(custom) == Some(*name),
            (None, None | Some(IstioMetric::AllMetrics)) => true,
            (None, Some(metric)) => *known == metric,
        });
    for (_, name) in chosen {
        let rule = rules.by_metric.entry(name).or_default();
        if let Some(disabled) = disabled {
            rule.disabled = *disabled;
        }
        for (tag, TagOverride { operation, value }) in tag_overrides {
            let change = match operation {
                TagOperation::Remove => Some(TagRule::Remove),
                TagOperation::Upsert => Expression::parse(value)
                    .ok()
                    .filter(|expression| expression.text(&probe()).is_some())
                    .map(TagRule::Value),
            };
            if let Some(change) = change {
                rule.tags.insert(tag.clone(), change);
            }
        }
    }
    // A rule that says nothing costs nothing.
    rules
        .by_metric
        .retain(|_, rule| rule.disabled || !rule.tags.is_empty());
}
