//! ServiceEntry: a service that Kubernetes does not know.

use std::collections::BTreeMap;

use crate::api::istio::WorkloadEntry;
use crate::api::jsonpb::{enumeration, message};

message! {
    /// `spec` of a ServiceEntry.
    pub struct ServiceEntry {
        /// Its names.
        pub hosts: Vec<String>,
        /// Virtual addresses; only sidecars use them.
        pub addresses: Vec<String>,
        /// Its ports.
        pub ports: Vec<ServicePort>,
        /// Inside or outside the mesh.
        pub location: Location,
        /// How its endpoints are found.
        pub resolution: Resolution,
        /// Its endpoints.
        pub endpoints: Vec<WorkloadEntry>,
        /// WorkloadEntries of the same namespace, in place of `endpoints`.
        #[serde(alias = "workload_selector")]
        pub workload_selector: Option<WorkloadSelector>,
        /// The namespaces that see it: `.`, `*`, `~` or names; empty means all.
        #[serde(alias = "export_to")]
        pub export_to: Vec<String>,
        /// Names that the servers' certificates must carry.
        #[serde(alias = "subject_alt_names")]
        pub subject_alt_names: Vec<String>,
    }
}

message! {
    /// A service's port.
    pub struct ServicePort {
        /// 1 to 65535.
        pub number: u32,
        /// HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP or TLS.
        pub protocol: String,
        /// Unique within the service.
        pub name: String,
        /// The endpoints' port; 0 means the number.
        #[serde(alias = "target_port")]
        pub target_port: u32,
    }
}

message! {
    /// Workloads by label.
    pub struct WorkloadSelector {
        /// All must be there.
        pub labels: BTreeMap<String, String>,
    }
}

enumeration! {
    /// Where a service lies.
    pub enum Location {
        /// Outside the mesh.
        MeshExternal = 0 "MESH_EXTERNAL",
        /// Part of the mesh.
        MeshInternal = 1 "MESH_INTERNAL",
    }
}

enumeration! {
    /// How endpoints are found.
    pub enum Resolution {
        /// The client's own destination; nothing at a gateway.
        None = 0 "NONE",
        /// As listed.
        Static = 1 "STATIC",
        /// All addresses that DNS gives.
        Dns = 2 "DNS",
        /// One address that DNS gives, at each connect.
        DnsRoundRobin = 3 "DNS_ROUND_ROBIN",
        /// By the name in the request.
        DynamicDns = 4 "DYNAMIC_DNS",
    }
}
