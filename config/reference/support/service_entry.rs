//! ServiceEntry and WorkloadEntry.

use super::Message;
use super::Support::{Ignored, Note, Supported};

pub(super) const MESSAGES: &[Message] = &[
    Message {
        name: "ServiceEntry",
        fields: &[
            ("hosts", Supported),
            ("addresses", Ignored("only sidecars look at them")),
            ("ports", Supported),
            (
                "location",
                Ignored("it says whether sidecars use mutual TLS"),
            ),
            (
                "resolution",
                Note(
                    "with DYNAMIC_DNS the request's Host is looked up where it is covered by `hosts`, and connected to at the port of `ports`. NONE has no endpoints at a gateway, as with Istio",
                ),
            ),
            ("endpoints", Supported),
            ("workloadSelector", Supported),
            ("exportTo", Supported),
            ("subjectAltNames", Supported),
        ],
    },
    Message {
        name: "ServicePort",
        fields: &[
            ("number", Supported),
            ("protocol", Supported),
            ("name", Supported),
            ("targetPort", Supported),
        ],
    },
    Message {
        name: "WorkloadEntry",
        fields: &[
            ("address", Supported),
            ("ports", Supported),
            ("labels", Supported),
            ("network", Ignored("there is one network")),
            ("locality", Supported),
            ("weight", Supported),
            (
                "serviceAccount",
                Ignored("it is an identity of mutual TLS between sidecars"),
            ),
        ],
    },
];
