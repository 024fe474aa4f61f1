//! WasmPlugin: code that Envoy runs, which gatehouse does not.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::api::istio::sidecar::Present;

/// The parts of a WasmPlugin's `spec` that `check` looks at.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WasmPlugin {
    /// The workloads; none means all of the namespace.
    pub selector: Option<Selector>,
    /// A Gateway of the Gateway API in place of a selector.
    #[serde(alias = "target_ref")]
    pub target_ref: Option<Present>,
}

/// Workloads by label.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// All must be there.
    #[serde(alias = "match_labels")]
    pub match_labels: BTreeMap<String, String>,
}
