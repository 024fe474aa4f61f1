//! DestinationRule.

use super::Message;
use super::Support::{Ignored, NotYet, Note, Supported};
use super::gateway::LISTS;

pub(super) const MESSAGES: &[Message] = &[
    Message {
        name: "DestinationRule",
        fields: &[
            ("host", Supported),
            ("trafficPolicy", Supported),
            ("subsets", Supported),
            ("exportTo", Supported),
            ("workloadSelector", Supported),
        ],
    },
    Message {
        name: "Subset",
        fields: &[
            ("name", Supported),
            ("labels", Supported),
            ("trafficPolicy", Supported),
        ],
    },
    Message {
        name: "TrafficPolicy",
        fields: &[
            ("loadBalancer", Supported),
            ("connectionPool", Supported),
            ("outlierDetection", Supported),
            ("tls", Supported),
            ("portLevelSettings", Supported),
            ("tunnel", Note("of TCP routes; HTTP routes never use it")),
            ("proxyProtocol", Supported),
            ("retryBudget", Supported),
        ],
    },
    Message {
        name: "PortTrafficPolicy",
        fields: &[
            ("port", Supported),
            ("loadBalancer", Supported),
            ("connectionPool", Supported),
            ("outlierDetection", Supported),
            ("tls", Supported),
        ],
    },
    Message {
        name: "LoadBalancer",
        fields: &[
            ("simple", Supported),
            ("consistentHash", Supported),
            ("localityLbSetting", Supported),
            ("zoneAwareLbSetting", Supported),
            ("warmupDurationSecs", Note("deprecated: warmup")),
            ("warmup", Supported),
            (
                "backendUtilization",
                NotYet("the endpoints' own load does not count"),
            ),
        ],
    },
    Message {
        name: "ConsistentHash",
        fields: &[
            ("httpHeaderName", Supported),
            ("httpCookie", Supported),
            ("useSourceIp", Supported),
            ("httpQueryParameterName", Supported),
            ("ringHash", Supported),
            ("maglev", Supported),
            (
                "minimumRingSize",
                Note("deprecated: ringHash.minimumRingSize"),
            ),
        ],
    },
    Message {
        name: "HttpCookie",
        fields: &[
            ("name", Supported),
            ("path", Supported),
            ("ttl", Supported),
            ("attributes", Supported),
        ],
    },
    Message {
        name: "CookieAttribute",
        fields: &[("name", Supported), ("value", Supported)],
    },
    Message {
        name: "RingHash",
        fields: &[("minimumRingSize", Supported)],
    },
    Message {
        name: "Maglev",
        fields: &[("tableSize", Supported)],
    },
    Message {
        name: "LocalityBalancing",
        fields: &[
            ("distribute", Supported),
            ("failover", Supported),
            ("failoverPriority", Supported),
            ("enabled", Supported),
        ],
    },
    Message {
        name: "Distribute",
        fields: &[("from", Supported), ("to", Supported)],
    },
    Message {
        name: "Failover",
        fields: &[("from", Supported), ("to", Supported)],
    },
    Message {
        name: "ZoneAwareBalancing",
        fields: &[
            ("enabled", Supported),
            ("failover", Supported),
            ("failoverPriority", Supported),
            (
                "minClusterSize",
                Ignored(
                    "one gateway alone gives all endpoints the same share, with fewer of them and with more",
                ),
            ),
        ],
    },
    Message {
        name: "Warmup",
        fields: &[
            ("duration", Supported),
            ("minimumPercent", Supported),
            ("aggression", Supported),
        ],
    },
    Message {
        name: "BackendUtilization",
        fields: &[
            (
                "weightStabilizationPeriod",
                NotYet("the endpoints' own load does not count"),
            ),
            (
                "weightExpirationPeriod",
                NotYet("the endpoints' own load does not count"),
            ),
            (
                "weightUpdatePeriod",
                NotYet("the endpoints' own load does not count"),
            ),
            (
                "errorUtilizationPenaltyPercent",
                NotYet("the endpoints' own load does not count"),
            ),
            (
                "metricNamesForComputingUtilization",
                NotYet("the endpoints' own load does not count"),
            ),
        ],
    },
    Message {
        name: "ConnectionPool",
        fields: &[("tcp", Supported), ("http", Supported)],
    },
    Message {
        name: "TcpSettings",
        fields: &[
            ("maxConnections", Supported),
            ("connectTimeout", Supported),
            ("tcpKeepalive", Supported),
            ("maxConnectionDuration", Supported),
            ("idleTimeout", Supported),
        ],
    },
    Message {
        name: "TcpKeepalive",
        fields: &[
            ("probes", Supported),
            ("time", Supported),
            ("interval", Supported),
        ],
    },
    Message {
        name: "HttpSettings",
        fields: &[
            ("http1MaxPendingRequests", Supported),
            ("http2MaxRequests", Supported),
            ("maxRequestsPerConnection", Supported),
            ("maxRetries", Supported),
            ("idleTimeout", Supported),
            ("h2UpgradePolicy", Supported),
            ("useClientProtocol", Supported),
            ("maxConcurrentStreams", Supported),
            ("http2KeepAlive", Supported),
        ],
    },
    Message {
        name: "Http2KeepAlive",
        fields: &[("interval", Supported), ("timeout", Supported)],
    },
    Message {
        name: "OutlierDetection",
        fields: &[
            (
                "consecutiveErrors",
                Note("deprecated: consecutive5xxErrors"),
            ),
            ("splitExternalLocalOriginErrors", Supported),
            ("consecutiveLocalOriginFailures", Supported),
            ("consecutiveGatewayErrors", Supported),
            ("consecutive5xxErrors", Supported),
            ("interval", Supported),
            ("baseEjectionTime", Supported),
            ("maxEjectionPercent", Supported),
            ("minHealthPercent", Supported),
            ("outlierDetectionHttpErrorCodes", Supported),
        ],
    },
    Message {
        name: "ClientTls",
        fields: &[
            (
                "mode",
                Note(
                    "DISABLE, SIMPLE and MUTUAL; ISTIO_MUTUAL needs the certificates of a mesh: routes there answer 503",
                ),
            ),
            ("clientCertificate", Supported),
            ("privateKey", Supported),
            (
                "caCertificates",
                Note("none, or `system`: the CAs that the system trusts"),
            ),
            ("caCrl", Note(LISTS)),
            (
                "credentialName",
                Note(
                    "a Secret of the gateway's namespace, or `configmap://` with the CA; CAs come from `<name>-cacert` or the Secret itself",
                ),
            ),
            (
                "subjectAltNames",
                Note(
                    "none: the ServiceEntry's, and where no `sni` is written either, the request's Host",
                ),
            ),
            (
                "sni",
                Note("none: the request's Host; carried connections then ask for no name"),
            ),
            ("insecureSkipVerify", Supported),
        ],
    },
    Message {
        name: "Tunnel",
        fields: &[
            ("protocol", Supported),
            ("targetHost", Supported),
            ("targetPort", Supported),
        ],
    },
    Message {
        name: "ProxyProtocol",
        fields: &[("version", Supported)],
    },
    Message {
        name: "RetryBudget",
        fields: &[
            ("percent", Supported),
            ("minRetryConcurrency", Supported),
            ("budgetInterval", Supported),
        ],
    },
];
