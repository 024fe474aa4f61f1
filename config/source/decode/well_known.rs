//! Kinds that people have in their directories and gatehouse does not use: what to say of them.

use super::NotUsed;
use crate::codes;
use crate::finding::{Finding, Level};

/// Whether another program is known to use this kind, so that it is no slip of the pen.
pub(super) fn is_known(group: &str, kind: &str) -> bool {
    let workload = WORKLOADS.contains(&kind) || CORE.contains(&kind);
    workload || told(group, kind).is_some()
}

const WORKLOADS: &[&str] = &[
    "CronJob",
    "DaemonSet",
    "Deployment",
    "Job",
    "Pod",
    "ReplicaSet",
    "ReplicationController",
    "StatefulSet",
];

/// What people patch Envoy for at a gateway, and where gatehouse has it (reference: Istio §1.5).
const ENVOY_FILTER: &str = "Trusted proxies are `defaultConfig.gatewayTopology` of a MeshConfig, \
    times and limits of clients' connections its `connectionSettings`, the server header its \
    `proxyHeaders` (or `--server-header`), access log fields its `accessLogFormat` or a Telemetry; \
    security headers are `headers.response.set` and fault injection is `fault` of a \
    VirtualService. Rate limits, Lua, compression, body limits, external authorization, OAuth2 and \
    error pages have no setting here yet.";

const CORE: &[&str] = &[
    "Event",
    "LimitRange",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "ResourceQuota",
    "ServiceAccount",
];

/// What leaving objects of this kind alone does to traffic, where it does something.
fn told(group: &str, kind: &str) -> Option<(Level, &'static str, &'static str)> {
    Some(match (group, kind) {
        ("networking.k8s.io", "Ingress") => (
            Level::Warning,
            "the paths it routes are not served",
            "Write a Gateway and a VirtualService of networking.istio.io/v1.",
        ),
        ("gateway.networking.k8s.io", _) => (
            Level::Warning,
            "what it routes is not served: the Gateway API is not read yet",
            "Write a Gateway and a VirtualService of networking.istio.io/v1.",
        ),
        ("networking.k8s.io", "NetworkPolicy") => (
            Level::Warning,
            "it is for the cluster's network; gatehouse blocks nothing because of it",
            "",
        ),
        ("networking.istio.io", "EnvoyFilter") => (
            Level::Warning,
            "it patches Envoy's configuration, which gatehouse has not got; what it changes is not \
             changed here",
            ENVOY_FILTER,
        ),
        ("extensions.istio.io", "WasmPlugin" | "TrafficExtension") => (
            Level::Warning,
            "it runs code inside Envoy, which gatehouse has not got; requests go by without it",
            "Header edits, redirects, rewrites, faults, CORS and direct answers are fields of \
             VirtualService; let the application do the rest.",
        ),
        ("networking.istio.io", "Sidecar") => (
            Level::Info,
            "it says what sidecars see; a gateway sees what is exported to its namespace",
            "Write exportTo in VirtualServices, DestinationRules and ServiceEntries.",
        ),
        ("networking.istio.io", "ProxyConfig") => (
            Level::Warning,
            "it configures Envoy's start, and gatehouse starts no Envoy",
            "Worker threads are `--workers`; gatewayTopology and proxyHeaders are read from \
             `defaultConfig` of a MeshConfig.",
        ),
        ("networking.istio.io", "WorkloadGroup") => (
            Level::Info,
            "it is the pattern that workloads register themselves with; nothing registers here",
            "Write a WorkloadEntry for each endpoint.",
        ),
        ("install.istio.io", _) => (
            Level::Warning,
            "it says how Istio is installed; the mesh settings in it are not in force here",
            "Put what stands under `spec.meshConfig` into a document of `kind: MeshConfig`.",
        ),
        ("metallb.io", "BGPPeer" | "BGPAdvertisement" | "BFDProfile" | "Community") => (
            Level::Warning,
            "gatehouse announces by ARP and NDP only; nothing is announced by BGP",
            "Write an L2Advertisement.",
        ),
        ("metallb.io", "ServiceL2Status" | "ServiceBGPStatus" | "ConfigurationState") => {
            (Level::Info, "it is a status that MetalLB writes", "")
        }
        ("rbac.authorization.k8s.io" | "apiextensions.k8s.io", _) => {
            (Level::Info, "it is for an API server", "")
        }
        _ => return None,
    })
}

/// The finding for `count` objects of a kind that is not used.
pub(super) fn not_used(first: &NotUsed, count: usize) -> Finding {
    let NotUsed {
        group,
        kind,
        position,
    } = first;
    let named = match group.as_str() {
        "" => kind.clone(),
        group => format!("{kind} ({group})"),
    };
    let workload = WORKLOADS.contains(&kind.as_str()).then_some((
        Level::Info,
        "gatehouse runs no workloads",
        "What it runs is reached through an EndpointSlice, Endpoints or ServiceEntry.",
    ));
    let (level, effect, hint) =
        told(group, kind)
            .or(workload)
            .unwrap_or((Level::Info, "gatehouse has no use for it", ""));
    let objects = match count {
        1 => "1 object of this kind is".to_owned(),
        count => format!("{count} objects of this kind are"),
    };
    Finding {
        code: codes::KIND_NOT_USED,
        level,
        object: None,
        field: String::new(),
        position: Some(position.clone()),
        message: format!("{named} is not used: {effect}; {objects} left alone"),
        hint: hint.to_owned(),
    }
}
