//! IPAddressPool: addresses that Services may get.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::api::jsonpb::message;

message! {
    /// `spec` of an IPAddressPool.
    pub struct IPAddressPool {
        /// CIDRs and `first-last` ranges.
        pub addresses: Vec<String>,
        /// Whether Services get addresses without asking for this pool; true when not set.
        pub auto_assign: Option<bool>,
        /// Leave out IPv4 addresses that end in .0 or .255.
        #[serde(rename = "avoidBuggyIPs")]
        pub avoid_buggy_ips: bool,
        /// Which Services may use it, and how soon.
        pub service_allocation: Option<ServiceAllocation>,
    }
}

message! {
    /// Which Services may use a pool.
    pub struct ServiceAllocation {
        /// Lower goes first; 0 last.
        pub priority: i64,
        /// Services of these namespaces.
        pub namespaces: Vec<String>,
        /// Services of namespaces with these labels.
        pub namespace_selectors: Vec<LabelSelector>,
        /// Services with these labels.
        pub service_selectors: Vec<LabelSelector>,
    }
}
