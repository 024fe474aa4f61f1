//! The Pod that this process runs in: it owns what it tells of itself, so that the cluster removes
//! that together with it.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use serde_json::{Value as Json, json};

use super::super::leader::within;

/// A Pod, as `metadata.ownerReferences` names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Owner {
    /// Its name.
    pub(super) name: String,
    /// Its id.
    pub(super) uid: String,
}

impl Owner {
    /// The entry of `metadata.ownerReferences`.
    pub(super) fn reference(&self) -> Json {
        json!({"apiVersion": "v1", "kind": "Pod", "name": self.name, "uid": self.uid})
    }

    /// The Pod that the environment names, where it is one of that namespace; an owner elsewhere
    /// would be none. None outside of a cluster.
    pub(super) async fn find(client: &Client, namespace: &str) -> Option<Self> {
        let variable = |name| std::env::var(name).ok();
        let name = variable("POD_NAME")?;
        if variable("POD_NAMESPACE").as_deref() != Some(namespace) {
            return None;
        }
        let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
        match within(api.get_opt(&name)).await {
            Ok(pod) => Some(Self {
                uid: pod?.metadata.uid?,
                name,
            }),
            Err(error) => {
                tracing::debug!(pod = name, %error, "the Pod that owns reports cannot be read");
                None
            }
        }
    }
}
