//! IPAddressPool and L2Advertisement.

use super::Message;
use super::Support::Supported;

pub(super) const MESSAGES: &[Message] = &[
    Message {
        name: "IPAddressPool",
        fields: &[
            ("addresses", Supported),
            ("autoAssign", Supported),
            ("avoidBuggyIPs", Supported),
            ("serviceAllocation", Supported),
        ],
    },
    Message {
        name: "ServiceAllocation",
        fields: &[
            ("priority", Supported),
            ("namespaces", Supported),
            ("namespaceSelectors", Supported),
            ("serviceSelectors", Supported),
        ],
    },
    Message {
        name: "L2Advertisement",
        fields: &[
            ("ipAddressPools", Supported),
            ("ipAddressPoolSelectors", Supported),
            ("nodeSelectors", Supported),
            ("interfaces", Supported),
            ("serviceSelectors", Supported),
            ("preferredNodeSelectors", Supported),
        ],
    },
    Message {
        name: "PreferredNodeSelector",
        fields: &[("weight", Supported), ("preference", Supported)],
    },
];
