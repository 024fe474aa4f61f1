//! MeshConfig and ProxyConfig.

use super::Message;
use super::Support::{Ignored, NotYet, Note, Supported};
use super::gateway::{CURVES, SUITES};

const SIDECARS: &str = "it is for sidecars";
const AMBIENT: &str = "it is for ambient mode";
const INGRESS: &str = "Ingress objects are not read";
const AGENT: &str = "it is for Istio's agent, and there is none";
const ENVOY: &str = "it is for Envoy, and there is none";
const ISTIOD: &str = "it is for istiod, and there is none";
const TRACING: &str = "spans are not sent anywhere yet";
const STATS: &str = "Envoy's own statistics are not kept; Istio's metrics are";
const CLUSTERS: &str = "there is one cluster";
const XFCC_DETAILS: &str =
    "at a gateway it is subject, certificate, URI and DNS names, as with Istio";
const LIMITS: &str = "connections have gatehouse's own limit";

pub(super) const MESSAGES: &[Message] = &[
    Message {
        name: "MeshConfig",
        fields: &[
            ("proxyListenPort", Ignored(SIDECARS)),
            ("proxyInboundListenPort", Ignored(SIDECARS)),
            ("proxyHttpPort", Ignored(SIDECARS)),
            ("connectTimeout", Supported),
            ("hboneIdleTimeout", Ignored(AMBIENT)),
            ("protocolDetectionTimeout", Ignored(SIDECARS)),
            ("tcpKeepalive", Supported),
            ("ingressClass", Ignored(INGRESS)),
            ("ingressService", Ignored(INGRESS)),
            ("ingressControllerMode", Ignored(INGRESS)),
            ("ingressSelector", Ignored(INGRESS)),
            ("enableTracing", Ignored(TRACING)),
            (
                "accessLogFile",
                Note("`--access-log` on the command line wins"),
            ),
            (
                "accessLogFormat",
                Note("an operator that gatehouse does not know is a finding and prints `-`"),
            ),
            ("accessLogEncoding", Supported),
            (
                "enableEnvoyAccessLogService",
                Ignored("log entries are not sent over gRPC"),
            ),
            (
                "disableEnvoyListenerLog",
                Note(
                    "until it is set, connections to a port of TLS that no server takes get a line with the flag NR",
                ),
            ),
            ("defaultConfig", Supported),
            ("outboundTrafficPolicy", Ignored(SIDECARS)),
            ("inboundTrafficPolicy", Ignored(SIDECARS)),
            (
                "configSources",
                Ignored("objects are read from the directory that `--config` names"),
            ),
            (
                "enableAutoMtls",
                Ignored("endpoints have no sidecars; TLS is what a DestinationRule says"),
            ),
            (
                "trustDomain",
                Ignored("nothing here has an identity of the mesh"),
            ),
            (
                "trustDomainAliases",
                Ignored("nothing here has an identity of the mesh"),
            ),
            (
                "caCertificates",
                Ignored("nothing here has an identity of the mesh"),
            ),
            ("defaultServiceExportTo", Supported),
            ("defaultVirtualServiceExportTo", Supported),
            ("defaultDestinationRuleExportTo", Supported),
            ("rootNamespace", Supported),
            ("localityLbSetting", Supported),
            (
                "zoneAwareLbSetting",
                NotYet("endpoints are balanced by locality only"),
            ),
            (
                "dnsRefreshRate",
                Ignored("a name is asked for again when its time to live is over"),
            ),
            ("h2UpgradePolicy", Supported),
            ("inboundClusterStatName", Ignored(STATS)),
            ("outboundClusterStatName", Ignored(STATS)),
            ("certificates", Ignored(ISTIOD)),
            ("serviceSettings", Ignored(CLUSTERS)),
            ("serviceScopeConfigs", Ignored(CLUSTERS)),
            ("enablePrometheusMerge", Ignored(AGENT)),
            (
                "verifyCertificateAtClient",
                Ignored("it is deprecated and Istio ignores it too"),
            ),
            ("ca", Ignored(ISTIOD)),
            ("extensionProviders", Supported),
            ("defaultProviders", Supported),
            (
                "discoverySelectors",
                Ignored("every namespace of the directory is read"),
            ),
            ("pathNormalization", Supported),
            ("defaultHttpRetryPolicy", Supported),
            ("meshMTLS", Ignored(SIDECARS)),
            (
                "tlsDefaults",
                Note(
                    "for Gateways' servers that say nothing themselves, and for the TLS that a DestinationRule asks for",
                ),
            ),
            ("defaultTrafficPolicy", Supported),
            ("serviceEntryVisibility", Ignored(SIDECARS)),
        ],
    },
    Message {
        name: "ExtensionProvider",
        fields: &[
            ("name", Supported),
            (
                "envoyExtAuthzHttp",
                NotYet("no AuthorizationPolicy is enforced yet"),
            ),
            (
                "envoyExtAuthzGrpc",
                NotYet("no AuthorizationPolicy is enforced yet"),
            ),
            ("zipkin", NotYet(TRACING)),
            ("lightstep", Ignored("it is deprecated")),
            ("datadog", NotYet(TRACING)),
            ("stackdriver", NotYet(TRACING)),
            ("opencensus", Ignored("it is deprecated")),
            ("skywalking", NotYet(TRACING)),
            ("opentelemetry", NotYet(TRACING)),
            ("prometheus", Supported),
            ("envoyFileAccessLog", Supported),
            ("envoyHttpAls", NotYet("access logs go to files only")),
            ("envoyTcpAls", NotYet("access logs go to files only")),
            ("envoyOtelAls", NotYet("access logs go to files only")),
            ("sds", NotYet("certificates come from Secrets and files")),
        ],
    },
    Message {
        name: "PrometheusProvider",
        fields: &[],
    },
    Message {
        name: "FileAccessLog",
        fields: &[
            ("path", Supported),
            ("logFormat", Supported),
            ("omitEmptyValues", Supported),
        ],
    },
    Message {
        name: "LogFormat",
        fields: &[("text", Supported), ("labels", Supported)],
    },
    Message {
        name: "DefaultProviders",
        fields: &[
            ("tracing", NotYet(TRACING)),
            ("metrics", Supported),
            ("accessLogging", Supported),
        ],
    },
    Message {
        name: "PathNormalization",
        fields: &[("normalization", Supported)],
    },
    Message {
        name: "MeshTls",
        fields: &[
            (
                "minProtocolVersion",
                Note(
                    "of Gateways' servers; endpoints are spoken to from TLS 1.2 on, as with Istio",
                ),
            ),
            ("ecdhCurves", Note(CURVES)),
            ("cipherSuites", Note(SUITES)),
        ],
    },
    Message {
        name: "DefaultTrafficPolicy",
        fields: &[
            ("connectionPool", Supported),
            ("outlierDetection", Supported),
        ],
    },
    Message {
        name: "ProxyConfig",
        fields: &[
            ("configPath", Ignored(ENVOY)),
            ("binaryPath", Ignored(ENVOY)),
            ("serviceCluster", Ignored(ENVOY)),
            ("tracingServiceName", Ignored(TRACING)),
            (
                "drainDuration",
                Ignored(
                    "a listener that is taken away closes at once and its connections finish; see `--drain-max`",
                ),
            ),
            ("discoveryAddress", Ignored(ISTIOD)),
            ("discoveryRefreshDelay", Ignored(ISTIOD)),
            ("zipkinAddress", Ignored(TRACING)),
            ("statsdUdpAddress", Ignored(STATS)),
            ("envoyMetricsServiceAddress", Ignored(STATS)),
            (
                "proxyAdminPort",
                Ignored("`--admin` says where the admin API listens"),
            ),
            ("availabilityZone", Ignored("it is deprecated")),
            ("controlPlaneAuthPolicy", Ignored(ISTIOD)),
            ("customConfigFile", Ignored(ENVOY)),
            ("statNameLength", Ignored(STATS)),
            (
                "concurrency",
                Ignored("`--workers` says how many threads there are"),
            ),
            ("proxyBootstrapTemplatePath", Ignored(ENVOY)),
            ("interceptionMode", Ignored(SIDECARS)),
            ("tracing", NotYet(TRACING)),
            ("sds", Ignored("it is deprecated")),
            (
                "envoyAccessLogService",
                NotYet("access logs go to files only"),
            ),
            ("envoyMetricsService", Ignored(STATS)),
            ("proxyMetadata", Ignored(AGENT)),
            ("runtimeValues", Ignored(ENVOY)),
            (
                "statusPort",
                Ignored("`--status` says where /healthz/ready and metrics are"),
            ),
            ("extraStatTags", Ignored(STATS)),
            ("gatewayTopology", Supported),
            (
                "terminationDrainDuration",
                Ignored("`--drain-max` says how long requests may finish at the end"),
            ),
            ("meshId", Ignored("there is one mesh")),
            ("readinessProbe", Ignored(SIDECARS)),
            ("proxyStatsMatcher", Ignored(STATS)),
            ("holdApplicationUntilProxyStarts", Ignored(SIDECARS)),
            ("caCertificatesPem", Ignored(ISTIOD)),
            ("image", Ignored(SIDECARS)),
            (
                "privateKeyProvider",
                NotYet("keys are read from Secrets and files, and used by the CPU"),
            ),
            ("proxyHeaders", Supported),
            (
                "fileFlushInterval",
                Ignored("access log lines are written within milliseconds"),
            ),
            (
                "fileFlushMinSizeKb",
                Ignored("access log lines are written within milliseconds"),
            ),
            ("statsCompression", Ignored("metrics are not compressed")),
            ("connectionSettings", Supported),
        ],
    },
    Message {
        name: "Topology",
        fields: &[
            ("numTrustedProxies", Supported),
            ("forwardClientCertDetails", Supported),
            ("proxyProtocol", Supported),
        ],
    },
    Message {
        name: "ProxyProtocolSettings",
        fields: &[],
    },
    Message {
        name: "ProxyHeaders",
        fields: &[
            (
                "forwardedClientCert",
                Ignored(
                    "at a gateway gatewayTopology.forwardClientCertDetails says it, as with Istio",
                ),
            ),
            ("setCurrentClientCertDetails", Ignored(XFCC_DETAILS)),
            ("requestId", Supported),
            ("server", Note("`--server-header` on the command line wins")),
            ("attemptCount", Supported),
            ("envoyDebugHeaders", Supported),
            (
                "metadataExchangeHeaders",
                Ignored("x-envoy-peer-metadata is never sent"),
            ),
            ("preserveHttp1HeaderCase", Supported),
            ("xForwardedHost", Supported),
            ("xForwardedPort", Supported),
        ],
    },
    Message {
        name: "Disabled",
        fields: &[("disabled", Supported)],
    },
    Message {
        name: "Enabled",
        fields: &[("enabled", Supported)],
    },
    Message {
        name: "ServerHeader",
        fields: &[("disabled", Supported), ("value", Supported)],
    },
    Message {
        name: "MetadataExchange",
        fields: &[("mode", Ignored("x-envoy-peer-metadata is never sent"))],
    },
    Message {
        name: "ClientCertDetails",
        fields: &[
            ("subject", Ignored(XFCC_DETAILS)),
            ("cert", Ignored(XFCC_DETAILS)),
            ("chain", Ignored(XFCC_DETAILS)),
            ("dns", Ignored(XFCC_DETAILS)),
            ("uri", Ignored(XFCC_DETAILS)),
        ],
    },
    Message {
        name: "ConnectionSettings",
        fields: &[
            (
                "profile",
                Note("EDGE sets those of its limits that are supported here"),
            ),
            (
                "listenerPerConnectionBufferLimitBytes",
                Ignored("bodies are never collected, so that little waits"),
            ),
            (
                "clusterPerConnectionBufferLimitBytes",
                Ignored("bodies are never collected, so that little waits"),
            ),
            ("httpIdleTimeout", Supported),
            (
                "httpMaxConnectionDuration",
                NotYet("connections live as long as they are used"),
            ),
            (
                "httpDrainTimeout",
                Ignored("`--drain-max` says how long connections may finish"),
            ),
            (
                "httpRequestTimeout",
                NotYet("a request may take as long as its route allows"),
            ),
            ("httpRequestHeadersTimeout", Supported),
            ("httpStreamIdleTimeout", Supported),
            (
                "httpMaxStreamDuration",
                NotYet("a request may take as long as its route allows"),
            ),
            ("httpMaxConcurrentStreams", Supported),
            ("http2InitialStreamWindowSize", Supported),
            ("http2InitialConnectionWindowSize", Supported),
            ("httpHeadersWithUnderscoresAction", Supported),
            ("httpMergeSlashes", Supported),
            ("httpPathWithEscapedSlashesAction", Supported),
            ("listenerConnectionLimit", NotYet(LIMITS)),
            ("globalDownstreamConnectionLimit", NotYet(LIMITS)),
        ],
    },
];
