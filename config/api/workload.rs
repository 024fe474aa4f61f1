//! Pod and Deployment: the few fields that tell which workloads there are.
//!
//! gatehouse runs no workloads; `check` needs their labels for what selects by them. All other
//! fields are ignored.

use serde::Deserialize;

use crate::labels::Labels;

/// `spec` of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pod {
    /// What runs in it.
    pub containers: Vec<Container>,
    /// What runs before them, and sidecars.
    pub init_containers: Vec<Container>,
    /// Whether it shares the node's network.
    pub host_network: bool,
    /// The node it runs on.
    pub node_name: String,
    /// For all containers.
    pub security_context: Option<SecurityContext>,
}

/// A container of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Its environment.
    pub env: Vec<EnvVar>,
    /// In place of the Pod's.
    pub security_context: Option<SecurityContext>,
}

/// A variable of a container's environment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value, where it stands there.
    pub value: String,
}

/// Who a container runs as.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecurityContext {
    /// The user's number.
    pub run_as_user: Option<i64>,
}

/// `spec` of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Deployment {
    /// What its Pods look like.
    pub template: PodTemplate,
}

/// What the Pods of a Deployment look like.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodTemplate {
    /// Their labels and annotations.
    pub metadata: TemplateMetadata,
    /// What runs in them.
    pub spec: Pod,
}

/// Labels and annotations of a Deployment's Pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TemplateMetadata {
    /// Their labels.
    pub labels: Labels,
    /// Their annotations.
    pub annotations: Labels,
}
