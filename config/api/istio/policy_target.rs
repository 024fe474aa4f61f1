//! What a policy of Telemetry or security applies to.

use std::collections::BTreeMap;

use crate::api::jsonpb::message;

message! {
    /// Workloads by label.
    pub struct WorkloadSelector {
        /// All must be there.
        #[serde(alias = "match_labels")]
        pub match_labels: BTreeMap<String, String>,
    }
}

message! {
    /// An object that a policy is attached to.
    pub struct TargetReference {
        /// Its API group.
        pub group: String,
        /// Its kind.
        pub kind: String,
        /// Its name.
        pub name: String,
        /// Its namespace; empty: the policy's own.
        pub namespace: String,
    }
}
