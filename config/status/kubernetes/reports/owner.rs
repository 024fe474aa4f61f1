//! The Pod that this process runs in: it owns what it tells of itself, so that the cluster removes
//! that together with it.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use serde_json::{Value as Json, json};
use tokio::time::{sleep, timeout};

use super::super::lease::REQUEST;
use crate::source::kubernetes::Backoff;

/// Between tries.
const FIRST: Duration = Duration::from_millis(500);
const MOST: Duration = Duration::from_secs(30);

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
        let mut backoff = Backoff::new(FIRST, MOST);
        loop {
            match timeout(REQUEST, api.get_opt(&name)).await {
                Ok(Ok(pod)) => {
                    let uid = pod?.metadata.uid?;
                    return Some(Self { name, uid });
                }
                Ok(Err(kube::Error::Api(status))) if matches!(status.code, 403 | 404) => {
                    let why = status.message;
                    tracing::debug!(pod = name, why, "the Pod that owns reports cannot be read");
                    return None;
                }
                // Where nothing can be read nothing can be written either.
                Ok(Err(_)) | Err(_) => {
                    sleep(backoff.pause()).await;
                }
            }
        }
    }
}
