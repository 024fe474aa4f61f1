//! Where routes and policies lead.

use crate::api::jsonpb::message;
use crate::api::rare::Rare;

message! {
    /// A service, or a subset of it.
    pub struct Destination {
        /// The host; a short name lies in the VirtualService's namespace.
        pub host: String,
        /// A subset of the host's DestinationRule.
        pub subset: Rare<String>,
        /// The port; may be left out where the service has one only.
        pub port: Option<PortSelector>,
    }
}

message! {
    /// A port by number.
    pub struct PortSelector {
        /// 1 to 65535.
        pub number: u32,
    }
}
