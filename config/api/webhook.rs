//! Webhook configurations of an API server: what `check` says about Istio's own.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;

/// A MutatingWebhookConfiguration or ValidatingWebhookConfiguration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WebhookConfiguration {
    /// Its webhooks.
    pub webhooks: Vec<Webhook>,
}

/// One webhook.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// Who is called.
    pub client_config: ClientConfig,
    /// In which namespaces; none means all.
    pub namespace_selector: Option<LabelSelector>,
    /// For which objects; none means all.
    pub object_selector: Option<LabelSelector>,
}

/// Who a webhook calls.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientConfig {
    /// A Service of the cluster.
    pub service: Option<ServiceReference>,
    /// Or an address.
    pub url: Option<String>,
}

/// A Service of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceReference {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// `spec` of a CustomResourceDefinition.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomResourceDefinition {
    /// The API group.
    pub group: String,
    /// What it is called.
    pub names: CustomResourceNames,
}

/// What a custom resource is called.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomResourceNames {
    /// The kind.
    pub kind: String,
}
