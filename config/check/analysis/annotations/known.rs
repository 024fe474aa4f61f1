//! Every annotation of Istio's API (istio.io/latest/docs/reference/config/annotations), and where
//! it belongs.

use super::value::Value;

/// An annotation that Istio knows.
pub(super) struct Known {
    pub name: &'static str,
    /// The kinds that it means something on; `Any` for all.
    pub on: &'static [&'static str],
    pub deprecated: bool,
    pub value: Value,
}

pub(super) const KNOWN: &[Known] = &[
    on(&["Service"], "alpha.istio.io/canonical-serviceaccounts").deprecated(),
    on(&["Service"], "alpha.istio.io/kubernetes-serviceaccounts").deprecated(),
    on(&["Pod"], "ambient.istio.io/bypass-inbound-capture"),
    on(&["Pod"], "ambient.istio.io/dns-capture"),
    on(&["Pod"], "ambient.istio.io/redirection"),
    on(
        &["GatewayClass", "Gateway"],
        "ambient.istio.io/waypoint-inbound-binding",
    ),
    on(&["Any"], "galley.istio.io/analyze-suppress"),
    on(&["Any"], "gateway.istio.io/controller-version"),
    on(&["Gateway"], "gateway.istio.io/name-override"),
    on(&["Gateway"], "gateway.istio.io/service-account"),
    on(&["Pod"], "inject.istio.io/templates"),
    on(&["WorkloadEntry"], "istio.io/autoRegistrationGroup"),
    on(&["WorkloadEntry"], "istio.io/connectedAt"),
    on(&["WorkloadEntry"], "istio.io/disconnectedAt"),
    on(&["AuthorizationPolicy"], "istio.io/dry-run"),
    on(&["Pod"], "istio.io/reroute-virtual-interfaces").with(Value::Interfaces),
    on(&["Pod"], "istio.io/rev"),
    on(
        &["Service", "ServiceEntry", "Namespace"],
        "istio.io/use-waypoint-canary-weight",
    ),
    on(&["WorkloadEntry"], "istio.io/workloadController"),
    on(&["Ingress"], "kubernetes.io/ingress.class"),
    on(&["Service"], "networking.istio.io/exportTo"),
    on(&["Gateway"], "networking.istio.io/service-type"),
    on(
        &["Namespace", "Service", "ServiceEntry"],
        "networking.istio.io/traffic-distribution",
    ),
    on(&["Pod"], "prometheus.istio.io/merge-metrics").with(Value::Boolean),
    on(&["Pod"], "proxy.istio.io/config"),
    on(&["Pod"], "proxy.istio.io/overrides"),
    on(
        &["Pod"],
        "readiness.status.sidecar.istio.io/applicationPorts",
    ),
    on(
        &["Pod"],
        "readiness.status.sidecar.istio.io/failureThreshold",
    )
    .with(Value::Number),
    on(
        &["Pod"],
        "readiness.status.sidecar.istio.io/initialDelaySeconds",
    )
    .with(Value::Number),
    on(&["Pod"], "readiness.status.sidecar.istio.io/periodSeconds").with(Value::Number),
    on(&["Pod"], "sidecar.istio.io/agentLogLevel"),
    on(&["Pod"], "sidecar.istio.io/bootstrapOverride"),
    on(&["Pod"], "sidecar.istio.io/componentLogLevel"),
    on(&["Pod"], "sidecar.istio.io/discoveryAddress").deprecated(),
    on(&["Pod"], "sidecar.istio.io/extraStatTags").deprecated(),
    on(&["Pod"], "sidecar.istio.io/inject").deprecated(),
    on(&["Pod"], "sidecar.istio.io/interceptionMode").with(Value::Interception),
    on(&["Pod"], "sidecar.istio.io/logLevel"),
    on(&["Pod"], "sidecar.istio.io/nativeSidecar"),
    on(&["Pod"], "sidecar.istio.io/proxyCPU").with(Value::Quantity),
    on(&["Pod"], "sidecar.istio.io/proxyCPULimit").with(Value::Quantity),
    on(&["Pod"], "sidecar.istio.io/proxyImage"),
    on(&["Pod"], "sidecar.istio.io/proxyImageType"),
    on(&["Pod"], "sidecar.istio.io/proxyMemory").with(Value::Quantity),
    on(&["Pod"], "sidecar.istio.io/proxyMemoryLimit").with(Value::Quantity),
    on(&["Pod"], "sidecar.istio.io/rewriteAppHTTPProbers"),
    on(&["Pod"], "sidecar.istio.io/statsCompression").deprecated(),
    on(&["Pod"], "sidecar.istio.io/statsEvictionInterval"),
    on(&["Pod"], "sidecar.istio.io/statsFlushInterval"),
    on(&["Pod"], "sidecar.istio.io/statsHistogramBins"),
    on(&["Pod"], "sidecar.istio.io/statsHistogramBuckets"),
    on(&["Pod"], "sidecar.istio.io/statsInclusionPrefixes").deprecated(),
    on(&["Pod"], "sidecar.istio.io/statsInclusionRegexps").deprecated(),
    on(&["Pod"], "sidecar.istio.io/statsInclusionSuffixes").deprecated(),
    on(&["Pod"], "sidecar.istio.io/status"),
    on(&["Pod"], "sidecar.istio.io/userVolume"),
    on(&["Pod"], "sidecar.istio.io/userVolumeMount"),
    on(&["Pod"], "status.sidecar.istio.io/port").with(Value::Port),
    on(&["Namespace"], "topology.istio.io/controlPlaneClusters"),
    on(&["Service"], "traffic.istio.io/nodeSelector"),
    on(&["Pod"], "traffic.sidecar.istio.io/excludeInboundPorts").with(Value::Ports),
    on(&["Pod"], "traffic.sidecar.istio.io/excludeInterfaces").with(Value::Interfaces),
    on(&["Pod"], "traffic.sidecar.istio.io/excludeOutboundIPRanges").with(Value::Networks),
    on(&["Pod"], "traffic.sidecar.istio.io/excludeOutboundPorts").with(Value::Ports),
    on(&["Pod"], "traffic.sidecar.istio.io/includeInboundPorts").with(Value::PortsOrAll),
    on(&["Pod"], "traffic.sidecar.istio.io/includeOutboundIPRanges").with(Value::NetworksOrAll),
    on(&["Pod"], "traffic.sidecar.istio.io/includeOutboundPorts"),
    on(&["Pod"], "traffic.sidecar.istio.io/kubevirtInterfaces")
        .with(Value::Interfaces)
        .deprecated(),
];

const fn on(on: &'static [&'static str], name: &'static str) -> Known {
    Known {
        name,
        on,
        deprecated: false,
        value: Value::Anything,
    }
}

impl Known {
    const fn with(self, value: Value) -> Self {
        Self { value, ..self }
    }

    const fn deprecated(self) -> Self {
        Self {
            deprecated: true,
            ..self
        }
    }
}
