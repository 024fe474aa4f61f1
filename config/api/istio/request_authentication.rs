//! RequestAuthentication: which tokens are valid.

use crate::api::istio::policy_target::{TargetReference, WorkloadSelector};
use crate::api::jsonpb::{Duration, message};

message! {
    /// `spec` of a RequestAuthentication.
    pub struct RequestAuthentication {
        /// The workloads that it is for; none: all of the namespace.
        pub selector: Option<WorkloadSelector>,
        /// Deprecated: the object that it is attached to.
        #[serde(alias = "target_ref")]
        pub target_ref: Option<TargetReference>,
        /// The objects that it is attached to.
        #[serde(alias = "target_refs")]
        pub target_refs: Vec<TargetReference>,
        /// Which tokens are valid.
        #[serde(alias = "jwt_rules")]
        pub jwt_rules: Vec<JwtRule>,
    }
}

message! {
    /// Which tokens are valid.
    pub struct JwtRule {
        /// Who issued them.
        pub issuer: String,
        /// Who they are for; none: anybody.
        pub audiences: Vec<String>,
        /// Where the keys are.
        #[serde(alias = "jwks_uri")]
        pub jwks_uri: String,
        /// The keys.
        pub jwks: String,
        /// Headers that hold a token.
        #[serde(alias = "from_headers")]
        pub from_headers: Vec<JwtHeader>,
        /// Query parameters that hold a token.
        #[serde(alias = "from_params")]
        pub from_params: Vec<String>,
        /// Cookies that hold a token.
        #[serde(alias = "from_cookies")]
        pub from_cookies: Vec<String>,
        /// The header that gets the payload.
        #[serde(alias = "output_payload_to_header")]
        pub output_payload_to_header: String,
        /// Whether the token is passed on.
        #[serde(alias = "forward_original_token")]
        pub forward_original_token: bool,
        /// Headers that get a claim.
        #[serde(alias = "output_claim_to_headers")]
        pub output_claim_to_headers: Vec<ClaimToHeader>,
        /// How long the keys may take to fetch.
        pub timeout: Option<Duration>,
        /// Claims that are lists of words.
        #[serde(alias = "space_delimited_claims")]
        pub space_delimited_claims: Vec<String>,
    }
}

message! {
    /// A header that holds a token.
    pub struct JwtHeader {
        /// Its name.
        pub name: String,
        /// What stands before the token.
        pub prefix: String,
    }
}

message! {
    /// A header that gets a claim.
    pub struct ClaimToHeader {
        /// The header.
        pub header: String,
        /// The claim.
        pub claim: String,
    }
}
