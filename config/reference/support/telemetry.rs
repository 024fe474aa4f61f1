//! Telemetry.

use super::Message;
use super::Support::{Ignored, NotYet, Note, Supported};

const TRACING: &str = "spans are not sent anywhere yet";

pub(super) const MESSAGES: &[Message] = &[
    Message {
        name: "Telemetry",
        fields: &[
            ("selector", Supported),
            (
                "targetRef",
                Note("a Gateway of the Kubernetes Gateway API, by this gateway's labels"),
            ),
            (
                "targetRefs",
                Note("a Gateway of the Kubernetes Gateway API, by this gateway's labels"),
            ),
            ("tracing", NotYet(TRACING)),
            ("metrics", Supported),
            ("accessLogging", Supported),
        ],
    },
    Message {
        name: "WorkloadSelector",
        fields: &[("labels", Supported), ("matchLabels", Supported)],
    },
    Message {
        name: "TargetReference",
        fields: &[
            ("group", Supported),
            ("kind", Supported),
            ("name", Supported),
            ("namespace", Note("must be the policy's own")),
        ],
    },
    Message {
        name: "Tracing",
        fields: &[
            ("match", NotYet(TRACING)),
            ("providers", NotYet(TRACING)),
            ("randomSamplingPercentage", NotYet(TRACING)),
            ("disableSpanReporting", NotYet(TRACING)),
            ("customTags", NotYet(TRACING)),
            ("useRequestIdForTraceSampling", NotYet(TRACING)),
            ("enableIstioTags", NotYet(TRACING)),
            ("disableContextPropagation", NotYet(TRACING)),
        ],
    },
    Message {
        name: "CustomTag",
        fields: &[
            ("literal", NotYet(TRACING)),
            ("environment", NotYet(TRACING)),
            ("header", NotYet(TRACING)),
            ("formatter", NotYet(TRACING)),
        ],
    },
    Message {
        name: "LiteralTag",
        fields: &[("value", NotYet(TRACING))],
    },
    Message {
        name: "SourceTag",
        fields: &[("name", NotYet(TRACING)), ("defaultValue", NotYet(TRACING))],
    },
    Message {
        name: "ModeSelector",
        fields: &[(
            "mode",
            Note("a gateway counts as CLIENT; entries for SERVER do nothing"),
        )],
    },
    Message {
        name: "ProviderRef",
        fields: &[("name", Supported)],
    },
    Message {
        name: "Metrics",
        fields: &[
            ("providers", Note("`prometheus`")),
            ("overrides", Supported),
            (
                "reportingInterval",
                Ignored("TCP metrics are counted as they happen"),
            ),
        ],
    },
    Message {
        name: "MetricsOverride",
        fields: &[
            ("match", Supported),
            ("disabled", Supported),
            ("tagOverrides", Supported),
        ],
    },
    Message {
        name: "MetricSelector",
        fields: &[
            ("metric", Supported),
            (
                "customMetric",
                Note("one of Istio's metrics by its Prometheus name"),
            ),
            (
                "mode",
                Note("a gateway counts as CLIENT; entries for SERVER do nothing"),
            ),
        ],
    },
    Message {
        name: "TagOverride",
        fields: &[("operation", Supported), ("value", Supported)],
    },
    Message {
        name: "AccessLogging",
        fields: &[
            ("match", Supported),
            (
                "providers",
                Note("`envoy` and those of kind envoyFileAccessLog"),
            ),
            ("disabled", Supported),
            ("filter", Supported),
        ],
    },
    Message {
        name: "LogFilter",
        fields: &[("expression", Supported)],
    },
];
