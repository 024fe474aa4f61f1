//! DestinationRule: subsets of a service, and how requests are sent to it.

use std::collections::BTreeMap;

use crate::api::istio::traffic_policy::TrafficPolicy;
use crate::api::jsonpb::message;

message! {
    /// `spec` of a DestinationRule.
    pub struct DestinationRule {
        /// The service; a short name lies in the rule's namespace.
        pub host: String,
        /// For every subset and port.
        #[serde(alias = "traffic_policy")]
        pub traffic_policy: Option<TrafficPolicy>,
        /// Named groups of endpoints.
        pub subsets: Vec<Subset>,
        /// The namespaces that see it: `.`, `*` or names; empty means all.
        #[serde(alias = "export_to")]
        pub export_to: Vec<String>,
        /// The workloads whose requests it concerns; none means all.
        #[serde(alias = "workload_selector")]
        pub workload_selector: Option<WorkloadSelector>,
    }
}

message! {
    /// A named group of endpoints.
    pub struct Subset {
        /// Its name.
        pub name: String,
        /// Labels that its endpoints carry.
        pub labels: BTreeMap<String, String>,
        /// What differs from the rule's policy.
        #[serde(alias = "traffic_policy")]
        pub traffic_policy: Option<TrafficPolicy>,
    }
}

message! {
    /// Workloads by label.
    pub struct WorkloadSelector {
        /// All must be there.
        #[serde(alias = "match_labels")]
        pub match_labels: BTreeMap<String, String>,
    }
}
