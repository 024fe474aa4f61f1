//! L2Advertisement: which nodes answer ARP and NDP for which pools, and where.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::api::jsonpb::message;

message! {
    /// `spec` of an L2Advertisement.
    pub struct L2Advertisement {
        /// Pools by name; with no selectors either: all.
        #[serde(rename = "ipAddressPools")]
        pub ip_address_pools: Vec<String>,
        /// Pools by label.
        #[serde(rename = "ipAddressPoolSelectors")]
        pub ip_address_pool_selectors: Vec<LabelSelector>,
        /// Nodes that may answer; empty: all.
        pub node_selectors: Vec<LabelSelector>,
        /// Exact interface names; empty: all.
        pub interfaces: Vec<String>,
        /// Services by label; empty: all.
        pub service_selectors: Vec<LabelSelector>,
        /// Nodes that are preferred.
        pub preferred_node_selectors: Vec<PreferredNodeSelector>,
    }
}

message! {
    /// A preference for some nodes.
    pub struct PreferredNodeSelector {
        /// 1 to 100.
        pub weight: i32,
        /// Which nodes; empty: all.
        pub preference: LabelSelector,
    }
}
