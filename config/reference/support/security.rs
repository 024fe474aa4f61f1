//! AuthorizationPolicy, RequestAuthentication and PeerAuthentication: read and judged, not enforced.

use super::Message;
use super::Support::{Ignored, NotYet, Supported};

const RULES: &str = "it is judged, and not enforced; hosts that it guards are answered with 503";
const SIDECARS: &str =
    "it is for sidecars; clients of a gateway are judged by `tls` of its Gateway";

pub(super) const MESSAGES: &[Message] = &[
    Message {
        name: "AuthorizationPolicy",
        fields: &[
            ("selector", Supported),
            ("targetRef", Supported),
            ("targetRefs", Supported),
            ("rules", NotYet(RULES)),
            ("action", NotYet(RULES)),
            ("provider", NotYet(RULES)),
        ],
    },
    Message {
        name: "Provider",
        fields: &[("name", NotYet(RULES))],
    },
    Message {
        name: "Rule",
        fields: &[
            ("from", NotYet(RULES)),
            ("to", NotYet(RULES)),
            ("when", NotYet(RULES)),
        ],
    },
    Message {
        name: "RuleFrom",
        fields: &[("source", NotYet(RULES))],
    },
    Message {
        name: "RuleTo",
        fields: &[("operation", NotYet(RULES))],
    },
    Message {
        name: "Source",
        fields: &[
            ("principals", NotYet(RULES)),
            ("notPrincipals", NotYet(RULES)),
            ("requestPrincipals", NotYet(RULES)),
            ("notRequestPrincipals", NotYet(RULES)),
            ("namespaces", NotYet(RULES)),
            ("notNamespaces", NotYet(RULES)),
            ("serviceAccounts", NotYet(RULES)),
            ("notServiceAccounts", NotYet(RULES)),
            ("ipBlocks", NotYet(RULES)),
            ("notIpBlocks", NotYet(RULES)),
            ("remoteIpBlocks", NotYet(RULES)),
            ("notRemoteIpBlocks", NotYet(RULES)),
            ("trustDomains", NotYet(RULES)),
            ("notTrustDomains", NotYet(RULES)),
        ],
    },
    Message {
        name: "Operation",
        fields: &[
            ("hosts", NotYet(RULES)),
            ("notHosts", NotYet(RULES)),
            ("ports", NotYet(RULES)),
            ("notPorts", NotYet(RULES)),
            ("methods", NotYet(RULES)),
            ("notMethods", NotYet(RULES)),
            ("paths", NotYet(RULES)),
            ("notPaths", NotYet(RULES)),
        ],
    },
    Message {
        name: "Condition",
        fields: &[
            ("key", NotYet(RULES)),
            ("values", NotYet(RULES)),
            ("notValues", NotYet(RULES)),
        ],
    },
    Message {
        name: "RequestAuthentication",
        fields: &[
            ("selector", Supported),
            ("targetRef", Supported),
            ("targetRefs", Supported),
            ("jwtRules", NotYet(RULES)),
        ],
    },
    Message {
        name: "JwtRule",
        fields: &[
            ("issuer", NotYet(RULES)),
            ("audiences", NotYet(RULES)),
            ("jwksUri", NotYet(RULES)),
            ("jwks", NotYet(RULES)),
            ("fromHeaders", NotYet(RULES)),
            ("fromParams", NotYet(RULES)),
            ("fromCookies", NotYet(RULES)),
            ("outputPayloadToHeader", NotYet(RULES)),
            ("forwardOriginalToken", NotYet(RULES)),
            ("outputClaimToHeaders", NotYet(RULES)),
            ("timeout", NotYet(RULES)),
            ("spaceDelimitedClaims", NotYet(RULES)),
        ],
    },
    Message {
        name: "JwtHeader",
        fields: &[("name", NotYet(RULES)), ("prefix", NotYet(RULES))],
    },
    Message {
        name: "ClaimToHeader",
        fields: &[("header", NotYet(RULES)), ("claim", NotYet(RULES))],
    },
    Message {
        name: "PeerAuthentication",
        fields: &[
            ("selector", Ignored(SIDECARS)),
            ("mtls", Ignored(SIDECARS)),
            ("portLevelMtls", Ignored(SIDECARS)),
        ],
    },
    Message {
        name: "MutualTls",
        fields: &[("mode", Ignored(SIDECARS))],
    },
];
