//! `gateway.networking.k8s.io`: the few fields that `check` needs until these kinds are served.

use serde::Deserialize;

/// `spec` of a Gateway of the Gateway API.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gateway {
    /// Its open ports.
    pub listeners: Vec<Listener>,
}

/// An open port.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Listener {
    /// The host; none, or an empty one, means any.
    pub hostname: Option<String>,
}

/// `spec` of an HTTPRoute or GRPCRoute; only its status is looked at.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Route {}
