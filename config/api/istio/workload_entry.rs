//! WorkloadEntry: one endpoint outside Kubernetes.

use std::collections::BTreeMap;

use crate::api::jsonpb::message;

message! {
    /// `spec` of a WorkloadEntry, and of a ServiceEntry's endpoints.
    pub struct WorkloadEntry {
        /// An IP address, a host name, or `unix:///path`.
        pub address: String,
        /// Port numbers by the service's port names.
        pub ports: BTreeMap<String, u32>,
        /// Its labels; subsets select by them.
        pub labels: BTreeMap<String, String>,
        /// The network it is on.
        pub network: String,
        /// `region/zone/subzone`.
        pub locality: String,
        /// Its share; 0 means 1.
        pub weight: u32,
        /// The service account it runs as.
        #[serde(alias = "service_account")]
        pub service_account: String,
    }
}
