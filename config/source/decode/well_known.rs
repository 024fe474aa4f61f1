//! Kinds that people have in their directories and gatehouse does not use: what to say of them.

use super::NotUsed;
use crate::codes;
use crate::finding::{Finding, Level};
use crate::resources::{ObjectKey, ObjectRef};

/// Whether this group holds rules about who may do what.
pub(super) fn is_security(group: &str) -> bool {
    group == "security.istio.io"
}

/// Whether another program is known to use this kind, so that it is no slip of the pen.
pub(super) fn is_known(group: &str, kind: &str) -> bool {
    let workload = WORKLOADS.contains(&kind) || CORE.contains(&kind);
    workload || told(group, kind).is_some() || is_security(group)
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
        ("networking.istio.io", "EnvoyFilter") | ("extensions.istio.io", "WasmPlugin") => (
            Level::Warning,
            "it configures Envoy, which gatehouse has not got; what it changes is not changed here",
            "",
        ),
        ("networking.istio.io", "Sidecar" | "ProxyConfig" | "WorkloadGroup") => (
            Level::Info,
            "it is for workloads in the mesh, not for a gateway",
            "",
        ),
        ("telemetry.istio.io", _) => (
            Level::Info,
            "metrics and access log are as the settings say",
            "",
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

/// The finding for an object that denies something elsewhere and nothing here.
pub(super) fn not_enforced(object: &NotUsed, key: ObjectKey) -> Finding {
    let NotUsed { kind, position, .. } = object;
    Finding {
        code: codes::NOT_ENFORCED,
        level: Level::Warning,
        object: Some(ObjectRef {
            kind: kind.clone(),
            key,
        }),
        field: String::new(),
        position: Some(position.clone()),
        message: "its rules are NOT enforced: gatehouse does not read security.istio.io yet, and \
                  lets through what they deny"
            .to_owned(),
        hint: "Do not expose what relies on them.".to_owned(),
    }
}
