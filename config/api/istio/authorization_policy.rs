//! AuthorizationPolicy: who may do what.

use crate::api::istio::policy_target::{TargetReference, WorkloadSelector};
use crate::api::jsonpb::{enumeration, message};

message! {
    /// `spec` of an AuthorizationPolicy.
    pub struct AuthorizationPolicy {
        /// The workloads that it is for; none: all of the namespace.
        pub selector: Option<WorkloadSelector>,
        /// Deprecated: the object that it is attached to.
        #[serde(alias = "target_ref")]
        pub target_ref: Option<TargetReference>,
        /// The objects that it is attached to.
        #[serde(alias = "target_refs")]
        pub target_refs: Vec<TargetReference>,
        /// Any of them must match; with ALLOW, none matches nothing.
        pub rules: Vec<Rule>,
        /// What is done with requests that match.
        pub action: Action,
        /// Who is asked with CUSTOM.
        pub provider: Option<Provider>,
    }
}

message! {
    /// A provider of the MeshConfig.
    pub struct Provider {
        /// Its name.
        pub name: String,
    }
}

message! {
    /// A rule; what is set must all hold.
    pub struct Rule {
        /// Who asks; any of them.
        pub from: Vec<RuleFrom>,
        /// For what; any of them.
        pub to: Vec<RuleTo>,
        /// Further conditions; all of them.
        pub when: Vec<Condition>,
    }
}

message! {
    /// Who asks.
    pub struct RuleFrom {
        /// The source.
        pub source: Option<Source>,
    }
}

message! {
    /// For what.
    pub struct RuleTo {
        /// The operation.
        pub operation: Option<Operation>,
    }
}

message! {
    /// Who asks; what is set must all hold.
    pub struct Source {
        /// Identities of the client's certificate.
        pub principals: Vec<String>,
        /// Not these.
        #[serde(alias = "not_principals")]
        pub not_principals: Vec<String>,
        /// Issuer and subject of the request's token.
        #[serde(alias = "request_principals")]
        pub request_principals: Vec<String>,
        /// Not these.
        #[serde(alias = "not_request_principals")]
        pub not_request_principals: Vec<String>,
        /// Namespaces of the client's identity.
        pub namespaces: Vec<String>,
        /// Not these.
        #[serde(alias = "not_namespaces")]
        pub not_namespaces: Vec<String>,
        /// Service accounts of the client's identity.
        #[serde(alias = "service_accounts")]
        pub service_accounts: Vec<String>,
        /// Not these.
        #[serde(alias = "not_service_accounts")]
        pub not_service_accounts: Vec<String>,
        /// Addresses of the connection.
        #[serde(alias = "ip_blocks")]
        pub ip_blocks: Vec<String>,
        /// Not these.
        #[serde(alias = "not_ip_blocks")]
        pub not_ip_blocks: Vec<String>,
        /// Addresses of the client, as trusted proxies say.
        #[serde(alias = "remote_ip_blocks")]
        pub remote_ip_blocks: Vec<String>,
        /// Not these.
        #[serde(alias = "not_remote_ip_blocks")]
        pub not_remote_ip_blocks: Vec<String>,
        /// Trust domains of the client's identity.
        #[serde(alias = "trust_domains")]
        pub trust_domains: Vec<String>,
        /// Not these.
        #[serde(alias = "not_trust_domains")]
        pub not_trust_domains: Vec<String>,
    }
}

message! {
    /// For what; what is set must all hold.
    pub struct Operation {
        /// Hosts, port included.
        pub hosts: Vec<String>,
        /// Not these.
        #[serde(alias = "not_hosts")]
        pub not_hosts: Vec<String>,
        /// Ports of the listener.
        pub ports: Vec<String>,
        /// Not these.
        #[serde(alias = "not_ports")]
        pub not_ports: Vec<String>,
        /// Methods.
        pub methods: Vec<String>,
        /// Not these.
        #[serde(alias = "not_methods")]
        pub not_methods: Vec<String>,
        /// Paths, normalised and without the query.
        pub paths: Vec<String>,
        /// Not these.
        #[serde(alias = "not_paths")]
        pub not_paths: Vec<String>,
    }
}

message! {
    /// A further condition.
    pub struct Condition {
        /// What is looked at.
        pub key: String,
        /// One of these.
        pub values: Vec<String>,
        /// None of these.
        #[serde(alias = "not_values")]
        pub not_values: Vec<String>,
    }
}

enumeration! {
    /// What is done with requests that match.
    pub enum Action {
        /// They are allowed, and others are not.
        Allow = 0 "ALLOW",
        /// They are denied.
        Deny = 1 "DENY",
        /// They are logged.
        Audit = 2 "AUDIT",
        /// A provider is asked.
        Custom = 3 "CUSTOM",
    }
}
