//! Which Telemetry counts, and what becomes of it.

use crate::model::{AccessLog, LogFormat, LogTarget, TagRule};
use crate::translate::tests::{findings, translated};

fn telemetry(name: &str, namespace: &str, created: u32, spec: &str) -> String {
    format!(
        "---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: {name}, \
         namespace: {namespace}, creationTimestamp: \"202{created}-01-01T00:00:00Z\"}}\nspec: \
         {spec}\n"
    )
}

fn mesh(text: &str) -> String {
    format!("---\nkind: MeshConfig\n{text}\n")
}

fn logs(yaml: &str) -> Vec<AccessLog> {
    translated(yaml).model.proxy.access_logs
}

/// Targets, and whether there is a filter.
fn targets(yaml: &str) -> Vec<(String, Option<String>)> {
    let logs = logs(yaml).into_iter();
    logs.map(|log| {
        let target = match log.target {
            LogTarget::Stdout => "stdout".to_owned(),
            LogTarget::Stderr => "stderr".to_owned(),
            LogTarget::File(path) => path.display().to_string(),
        };
        (target, log.filter.map(|filter| filter.source().to_owned()))
    })
    .collect()
}

const FILES: &str = "extensionProviders: [{name: a, envoyFileAccessLog: {path: /log/a}}, {name: b, \
                     envoyFileAccessLog: {path: /log/b, logFormat: {labels: {who: '%REQ(X-A)%'}}}}]\n";

#[test]
fn the_mesh_alone_says_where_lines_go() {
    assert_eq!(logs(""), []);
    let text = mesh("accessLogFile: /dev/stdout");
    assert_eq!(targets(&text), [("stdout".to_owned(), None)]);
    let json = logs(&mesh("accessLogFile: /log/x\naccessLogEncoding: JSON"));
    assert!(matches!(json[0].format, LogFormat::Json(_)));
    let broken = translated(&mesh("accessLogFile: /log/x\naccessLogFormat: '%REQ(%'"));
    assert!(findings(&broken)[0].contains("the access log format cannot be used"));
    let unknown = translated(&mesh(
        "accessLogFile: /log/x\naccessLogFormat: '%FILTER_STATE(a)%'",
    ));
    assert!(findings(&unknown)[0].contains("`%FILTER_STATE%` is not supported yet"));
}

#[test]
fn a_lower_level_goes_on_from_the_one_above() {
    let files = mesh(FILES);
    let root = telemetry(
        "root",
        "istio-system",
        1,
        "{accessLogging: [{providers: [{name: a}]}]}",
    );
    let a = [("/log/a".to_owned(), None)];
    let b = ("/log/b".to_owned(), None);
    assert_eq!(targets(&format!("{files}{root}")), a);
    let own = |spec: &str| {
        let selector = "selector: {matchLabels: {istio: ingressgateway}}";
        telemetry("own", "istio-system", 2, &format!("{{{selector}, {spec}}}"))
    };
    let all = |spec: &str| targets(&format!("{files}{root}{}", own(spec)));
    assert_eq!(
        all("accessLogging: [{providers: [{name: b}]}]"),
        [b],
        "only what the lower names"
    );
    assert_eq!(all("accessLogging: [{disabled: true}]"), []);
    let filtered = all("accessLogging: [{filter: {expression: 'response.code >= 400'}}]");
    assert_eq!(
        filtered,
        [("/log/a".to_owned(), Some("response.code >= 400".to_owned()))]
    );
    let server = all("accessLogging: [{match: {mode: SERVER}, disabled: true}]");
    assert_eq!(server, a, "a gateway is a client");
    let other = telemetry(
        "other",
        "istio-system",
        0,
        "{selector: {matchLabels: {app: x}}, accessLogging: [{disabled: true}]}",
    );
    assert_eq!(targets(&format!("{files}{root}{other}")), a);
    let elsewhere = telemetry("x", "shop", 0, "{accessLogging: [{disabled: true}]}");
    assert_eq!(targets(&format!("{files}{root}{elsewhere}")), a);
}

#[test]
fn of_one_level_the_oldest_counts() {
    let old = telemetry(
        "z",
        "istio-system",
        0,
        "{accessLogging: [{providers: [{name: b}]}]}",
    );
    let new = telemetry(
        "a",
        "istio-system",
        1,
        "{accessLogging: [{providers: [{name: a}]}]}",
    );
    let both = format!("{}{new}{old}", mesh(FILES));
    assert_eq!(targets(&both), [("/log/b".to_owned(), None)]);
}

#[test]
fn the_provider_envoy_is_always_there() {
    let asks = telemetry(
        "t",
        "istio-system",
        0,
        "{accessLogging: [{providers: [{name: envoy}]}]}",
    );
    assert_eq!(targets(&asks), [("stdout".to_owned(), None)]);
    let bare = telemetry("t", "istio-system", 0, "{accessLogging: [{}]}");
    assert_eq!(targets(&bare), [("stdout".to_owned(), None)]);
    let default = mesh(&format!("{FILES}defaultProviders: {{accessLogging: [a]}}"));
    assert_eq!(targets(&default), [("/log/a".to_owned(), None)]);
    let missing = telemetry(
        "t",
        "istio-system",
        0,
        "{accessLogging: [{providers: [{name: envyo}]}]}",
    );
    let found = findings(&translated(&missing));
    assert!(
        found[0].contains("no provider `envyo`") && found[0].contains("`envoy`"),
        "{found:?}"
    );
    let otel = format!(
        "{}{}",
        mesh("extensionProviders: [{name: o, envoyOtelAls: {service: a}}]"),
        telemetry(
            "t",
            "istio-system",
            0,
            "{accessLogging: [{providers: [{name: o}]}]}"
        )
    );
    let found = findings(&translated(&otel));
    assert!(
        found[0].contains("`o` (envoyOtelAls) is not supported yet"),
        "{found:?}"
    );
}

#[test]
fn every_rule_is_judged() {
    for (spec, expected) in [
        (
            "{accessLogging: [{providers: [{name: ''}]}]}",
            "spec.accessLogging[0].providers[0].name: the provider has no name",
        ),
        (
            "{accessLogging: [{filter: {expression: 'a =='}}]}",
            "spec.accessLogging[0].filter.expression: `a ==` cannot",
        ),
        (
            "{metrics: [{providers: [{name: ''}]}]}",
            "spec.metrics[0].providers[0].name: the provider has no name",
        ),
        (
            "{metrics: [{reportingInterval: 1us}]}",
            "spec.metrics[0].reportingInterval: the interval",
        ),
        (
            "{metrics: [{overrides: [{tagOverrides: {a: {operation: UPSERT}}}]}]}",
            "spec.metrics[0].overrides[0].tagOverrides.a.value: UPSERT needs",
        ),
        (
            "{metrics: [{overrides: [{tagOverrides: {a: {operation: REMOVE, value: b}}}]}]}",
            "spec.metrics[0].overrides[0].tagOverrides.a.value: REMOVE takes",
        ),
        (
            "{metrics: [{overrides: [{tagOverrides: {a: {value: 'b c'}}}]}]}",
            "spec.metrics[0].overrides[0].tagOverrides.a.value: `b c` cannot",
        ),
        (
            "{tracing: [{randomSamplingPercentage: 101}]}",
            "spec.tracing[0].randomSamplingPercentage: the percentage",
        ),
        (
            "{tracing: [{customTags: {a: {literal: {}}}}]}",
            "spec.tracing[0].customTags.a: a tag has",
        ),
        (
            "{tracing: [{customTags: {a: {}}}]}",
            "spec.tracing[0].customTags.a: a tag has",
        ),
        (
            "{tracing: [{}]}",
            "spec.tracing: tracing is not supported yet",
        ),
        (
            "{selector: {matchLabels: {a: '*'}}}",
            "spec.selector.matchLabels.a: `a: *` has a wildcard",
        ),
    ] {
        let found = findings(&translated(&telemetry("t", "shop", 0, spec)));
        assert!(
            found.iter().any(|f| f.contains(expected)),
            "{spec}: {found:?}"
        );
    }
}

#[test]
fn metrics_and_their_labels_are_changed() {
    let yaml = telemetry(
        "t",
        "istio-system",
        0,
        "{metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {response_flags: \
         {operation: REMOVE}, site: {value: '\"lan\"'}}}, {match: {metric: REQUEST_SIZE}, disabled: \
         true}, {match: {mode: SERVER}, disabled: true}, {match: {customMetric: \
         request_duration_milliseconds}, disabled: true}]}, {providers: [{name: stackdriver}], \
         overrides: [{disabled: true}]}]}",
    );
    let rules = translated(&yaml).model.proxy.metrics.by_metric;
    let names: Vec<_> = rules.keys().copied().collect();
    let expected = [
        "istio_request_bytes",
        "istio_request_duration_milliseconds",
        "istio_requests_total",
    ];
    assert_eq!(names, expected);
    let requests = &rules["istio_requests_total"];
    assert!(!requests.disabled);
    assert_eq!(requests.tags["response_flags"], TagRule::Remove);
    assert!(matches!(&requests.tags["site"], TagRule::Value(_)));
    assert!(rules["istio_request_bytes"].disabled);
    let host = telemetry(
        "t",
        "istio-system",
        0,
        "{metrics: [{overrides: [{tagOverrides: {h: {value: request.host}}}]}]}",
    );
    let found = findings(&translated(&host));
    assert!(
        found[0].contains("`request.host` as a label's value is not supported yet"),
        "{found:?}"
    );
}
