//! EnvoyFilter: patches to Envoy's configuration, which does not exist here.

use serde::Deserialize;

use crate::api::istio::sidecar::Present;
use crate::api::jsonpb::enumeration;

/// The parts of an EnvoyFilter's `spec` that `check` looks at.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvoyFilter {
    /// Its place among others.
    pub priority: i32,
    /// The patches.
    #[serde(alias = "config_patches")]
    pub config_patches: Vec<ConfigPatch>,
}

/// One patch.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigPatch {
    /// What is patched.
    #[serde(alias = "apply_to", deserialize_with = "crate::api::jsonpb::field")]
    pub apply_to: ApplyTo,
    /// Where.
    #[serde(rename = "match")]
    pub matched: Option<ObjectMatch>,
    /// How.
    pub patch: Option<Patch>,
}

/// Where a patch applies.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectMatch {
    /// In which proxies.
    pub proxy: Option<ProxyMatch>,
    /// In which listener.
    pub listener: Option<ListenerMatch>,
    /// In which route configuration.
    #[serde(alias = "route_configuration")]
    pub route_configuration: Option<Present>,
    /// In which cluster.
    pub cluster: Option<Present>,
}

/// In which proxies.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyMatch {
    /// Their version, a regular expression.
    #[serde(alias = "proxy_version")]
    pub proxy_version: String,
}

/// In which listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerMatch {
    /// In which of its chains.
    #[serde(alias = "filter_chain")]
    pub filter_chain: Option<FilterChainMatch>,
}

/// In which filter chain.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FilterChainMatch {
    /// At which filter.
    pub filter: Option<FilterMatch>,
}

/// At which filter.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FilterMatch {
    /// Its name.
    pub name: String,
}

/// How something is patched.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Patch {
    /// What is done.
    #[serde(deserialize_with = "crate::api::jsonpb::field")]
    pub operation: Operation,
    /// With what.
    pub value: Option<PatchValue>,
}

/// The value of a patch: Envoy's configuration, of which the name matters.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PatchValue {
    /// Of a filter, say.
    pub name: Option<String>,
}

enumeration! {
    /// What a patch applies to.
    #[allow(missing_docs)] // the API's names
    pub enum ApplyTo {
        Invalid = 0 "INVALID",
        Listener = 1 "LISTENER",
        FilterChain = 2 "FILTER_CHAIN",
        NetworkFilter = 3 "NETWORK_FILTER",
        HttpFilter = 4 "HTTP_FILTER",
        RouteConfiguration = 5 "ROUTE_CONFIGURATION",
        VirtualHost = 6 "VIRTUAL_HOST",
        HttpRoute = 7 "HTTP_ROUTE",
        Cluster = 8 "CLUSTER",
        ExtensionConfig = 9 "EXTENSION_CONFIG",
        Bootstrap = 10 "BOOTSTRAP",
        ListenerFilter = 11 "LISTENER_FILTER",
    }
}

enumeration! {
    /// What a patch does.
    #[allow(missing_docs)] // the API's names
    pub enum Operation {
        Invalid = 0 "INVALID",
        Merge = 1 "MERGE",
        Add = 2 "ADD",
        Remove = 3 "REMOVE",
        InsertBefore = 4 "INSERT_BEFORE",
        InsertAfter = 5 "INSERT_AFTER",
        InsertFirst = 6 "INSERT_FIRST",
        Replace = 7 "REPLACE",
    }
}
