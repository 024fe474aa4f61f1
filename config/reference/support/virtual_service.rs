//! VirtualService.

use super::Message;
use super::Support::{Ignored, Note, Refused, Supported};

pub(super) const MESSAGES: &[Message] = &[
    Message {
        name: "VirtualService",
        fields: &[
            ("hosts", Supported),
            ("gateways", Supported),
            ("http", Supported),
            ("tls", Supported),
            ("tcp", Supported),
            (
                "exportTo",
                Note("a MeshConfig may say what holds where it is empty"),
            ),
        ],
    },
    Message {
        name: "TlsRoute",
        fields: &[("match", Supported), ("route", Supported)],
    },
    Message {
        name: "TlsMatch",
        fields: &[
            ("sniHosts", Supported),
            (
                "destinationSubnets",
                Ignored("a gateway does not look at it, nor does Istio's"),
            ),
            ("port", Supported),
            (
                "sourceLabels",
                Ignored("a gateway does not look at it, nor does Istio's"),
            ),
            ("gateways", Supported),
            (
                "sourceNamespace",
                Ignored("a gateway does not look at it, nor does Istio's"),
            ),
        ],
    },
    Message {
        name: "TcpRoute",
        fields: &[("match", Supported), ("route", Supported)],
    },
    Message {
        name: "L4Match",
        fields: &[
            (
                "destinationSubnets",
                Ignored("a gateway does not look at it, nor does Istio's"),
            ),
            ("port", Supported),
            (
                "sourceSubnet",
                Ignored("a gateway does not look at it, nor does Istio's"),
            ),
            (
                "sourceLabels",
                Ignored("a gateway does not look at it, nor does Istio's"),
            ),
            ("gateways", Supported),
            (
                "sourceNamespace",
                Ignored("a gateway does not look at it, nor does Istio's"),
            ),
        ],
    },
    Message {
        name: "RouteDestination",
        fields: &[("destination", Supported), ("weight", Supported)],
    },
    Message {
        name: "Destination",
        fields: &[
            ("host", Supported),
            ("subset", Supported),
            ("port", Supported),
        ],
    },
    Message {
        name: "PortSelector",
        fields: &[("number", Supported)],
    },
    Message {
        name: "HttpRoute",
        fields: &[
            ("name", Supported),
            ("match", Supported),
            ("route", Supported),
            ("redirect", Supported),
            ("directResponse", Supported),
            ("delegate", Supported),
            ("rewrite", Supported),
            ("timeout", Supported),
            ("retries", Supported),
            ("fault", Supported),
            ("mirror", Supported),
            ("mirrorPercent", Note("deprecated: mirrorPercentage")),
            ("mirrorPercentage", Supported),
            ("mirrors", Supported),
            ("corsPolicy", Supported),
            ("headers", Supported),
        ],
    },
    Message {
        name: "HttpMatch",
        fields: &[
            ("name", Supported),
            ("uri", Supported),
            ("scheme", Supported),
            ("method", Supported),
            ("authority", Supported),
            (
                "headers",
                Note(
                    "`@request.auth.claims…` needs RequestAuthentication, which is not enforced yet: such a match never applies",
                ),
            ),
            ("port", Supported),
            (
                "sourceLabels",
                Note("the labels of this gateway: a match for other workloads never applies"),
            ),
            ("gateways", Supported),
            ("queryParams", Supported),
            ("ignoreUriCase", Supported),
            ("withoutHeaders", Supported),
            (
                "sourceNamespace",
                Note("the namespace of this gateway: a match for others never applies"),
            ),
            (
                "statPrefix",
                Note(
                    "`/stats/prometheus` has `envoy_vhost_<host>_<port>_route_<statPrefix>_upstream_rq` and its kin",
                ),
            ),
        ],
    },
    Message {
        name: "StringMatch",
        fields: &[
            ("exact", Supported),
            ("prefix", Supported),
            ("regex", Supported),
        ],
    },
    Message {
        name: "HttpRouteDestination",
        fields: &[
            ("destination", Supported),
            ("weight", Supported),
            ("headers", Supported),
        ],
    },
    Message {
        name: "Redirect",
        fields: &[
            ("uri", Supported),
            ("prefixRewrite", Supported),
            ("authority", Supported),
            ("port", Supported),
            ("derivePort", Supported),
            ("scheme", Supported),
            ("redirectCode", Supported),
        ],
    },
    Message {
        name: "DirectResponse",
        fields: &[("status", Supported), ("body", Supported)],
    },
    Message {
        name: "Body",
        fields: &[("string", Supported), ("bytes", Supported)],
    },
    Message {
        name: "Delegate",
        fields: &[("name", Supported), ("namespace", Supported)],
    },
    Message {
        name: "Rewrite",
        fields: &[
            ("uri", Supported),
            ("authority", Supported),
            ("uriRegexRewrite", Supported),
        ],
    },
    Message {
        name: "RegexRewrite",
        fields: &[("match", Supported), ("rewrite", Supported)],
    },
    Message {
        name: "Retries",
        fields: &[
            ("attempts", Supported),
            ("perTryTimeout", Supported),
            ("retryOn", Supported),
            ("retryRemoteLocalities", Supported),
            ("retryIgnorePreviousHosts", Supported),
            ("backoff", Supported),
        ],
    },
    Message {
        name: "Fault",
        fields: &[("delay", Supported), ("abort", Supported)],
    },
    Message {
        name: "Delay",
        fields: &[
            ("fixedDelay", Supported),
            (
                "exponentialDelay",
                Refused("Istio has it in its API and supports it nowhere"),
            ),
            ("percent", Note("deprecated: percentage")),
            ("percentage", Supported),
        ],
    },
    Message {
        name: "Abort",
        fields: &[
            ("httpStatus", Supported),
            ("grpcStatus", Supported),
            (
                "http2Error",
                Refused("Istio has it in its API and supports it nowhere"),
            ),
            ("percentage", Supported),
        ],
    },
    Message {
        name: "Percent",
        fields: &[("value", Supported)],
    },
    Message {
        name: "Mirror",
        fields: &[("destination", Supported), ("percentage", Supported)],
    },
    Message {
        name: "CorsPolicy",
        fields: &[
            ("allowOrigin", Note("deprecated: allowOrigins")),
            ("allowOrigins", Supported),
            ("allowMethods", Supported),
            ("allowHeaders", Supported),
            ("exposeHeaders", Supported),
            ("maxAge", Supported),
            ("allowCredentials", Supported),
            ("unmatchedPreflights", Supported),
        ],
    },
    Message {
        name: "Headers",
        fields: &[("request", Supported), ("response", Supported)],
    },
    Message {
        name: "HeaderOperations",
        fields: &[
            ("set", Supported),
            ("add", Supported),
            ("remove", Supported),
        ],
    },
];
