//! The headers that one service passes on to the next, so that traces and user rules span the call.

use http::HeaderMap;

/// Names as in Istio's sample: tracing of every common kind, then who asks and with what.
const PASSED_ON: &[&str] = &[
    "x-request-id",
    "x-ot-span-context",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "traceparent",
    "tracestate",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "sw8",
    "end-user",
    "user-agent",
    "cookie",
    "authorization",
    "jwt",
];

/// Those headers of a request that its onward calls carry.
pub(super) fn passed_on(request: &HeaderMap) -> HeaderMap {
    let mut onward = HeaderMap::new();
    for name in PASSED_ON {
        for value in request.get_all(*name) {
            onward.append(*name, value.clone());
        }
    }
    onward
}
