//! Sidecar: what workloads of a mesh see; it does nothing at a gateway.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// The parts of a Sidecar's `spec` that `check` looks at.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sidecar {
    /// The workloads; none means all of the namespace.
    #[serde(alias = "workload_selector")]
    pub workload_selector: Option<WorkloadSelector>,
    /// What is done with traffic to unknown places.
    #[serde(alias = "outbound_traffic_policy")]
    pub outbound_traffic_policy: Option<OutboundTrafficPolicy>,
    /// What comes in.
    pub ingress: Vec<Present>,
    /// What goes out.
    pub egress: Vec<Present>,
    /// Limits for what comes in.
    #[serde(alias = "inbound_connection_pool")]
    pub inbound_connection_pool: Option<Present>,
}

/// Workloads by label.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct WorkloadSelector {
    /// All must be there.
    pub labels: BTreeMap<String, String>,
}

/// What is done with traffic to unknown places.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutboundTrafficPolicy {
    /// Deprecated; ignored by Istio.
    #[serde(alias = "egress_proxy")]
    pub egress_proxy: Option<Present>,
}

/// A value of which only matters that it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present;

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}
