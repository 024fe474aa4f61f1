//! PeerAuthentication: mutual TLS of workloads.

use std::collections::BTreeMap;

use crate::api::istio::policy_target::WorkloadSelector;
use crate::api::jsonpb::{enumeration, message};

message! {
    /// `spec` of a PeerAuthentication.
    pub struct PeerAuthentication {
        /// The workloads that it is for; none: all of the namespace.
        pub selector: Option<WorkloadSelector>,
        /// Whether mutual TLS is asked for.
        pub mtls: Option<MutualTls>,
        /// And by port.
        #[serde(alias = "port_level_mtls")]
        pub port_level_mtls: Option<BTreeMap<String, MutualTls>>,
    }
}

message! {
    /// Whether mutual TLS is asked for.
    pub struct MutualTls {
        /// How strictly.
        pub mode: MutualTlsMode,
    }
}

enumeration! {
    /// How strictly mutual TLS is asked for.
    pub enum MutualTlsMode {
        /// As the namespace or the mesh says.
        Unset = 0 "UNSET",
        /// It is not spoken.
        Disable = 1 "DISABLE",
        /// It may be spoken.
        Permissive = 2 "PERMISSIVE",
        /// It must be spoken.
        Strict = 3 "STRICT",
    }
}
