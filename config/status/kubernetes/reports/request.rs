//! One act as requests to the API server, and what came of it.

use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::DynamicObject;
use kube::{Api, Client};
use tokio::time::timeout;

use super::super::lease::REQUEST;
use super::acts::{Act, Place, What};
use super::watch::{L2, STATE};
use crate::source::kubernetes::{Shared, error_text};

/// What came of a request.
pub(super) enum Done {
    /// The object as it is now; none: it was deleted.
    Written(Option<Box<DynamicObject>>),
    /// It is another version by now; the watch brings it.
    Conflict,
    /// It is not there (any more).
    Gone,
    Refused(String),
    Away(String),
}

/// Does it.
pub(super) async fn send(client: Client, shared: Shared, act: Act) -> (Act, Done) {
    let resource = match act.place {
        Place::L2 => L2.resource(),
        Place::State => STATE.resource(),
        Place::Object(kind) => shared.resource_of(kind),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(client, &act.key.namespace, &resource);
    let name = act.key.name.as_str();
    let patching = PatchParams {
        field_manager: Some("gatehouse".to_owned()),
        ..PatchParams::default()
    };
    let request = async {
        match &act.what {
            What::Create { object, status, .. } => {
                let object: DynamicObject =
                    serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
                let posting = PostParams {
                    field_manager: Some("gatehouse".to_owned()),
                    ..PostParams::default()
                };
                api.create(&posting, &object).await?;
                let status = serde_json::json!({"status": status});
                let status = Patch::Merge(&status);
                api.patch_status(name, &patching, &status).await.map(Some)
            }
            What::Status(patch) => {
                let patch = Patch::Merge(patch);
                api.patch_status(name, &patching, &patch).await.map(Some)
            }
            What::Patch(patch) => {
                let patch = Patch::Merge(patch);
                api.patch(name, &patching, &patch).await.map(Some)
            }
            What::Delete { version, .. } => {
                let deleting = DeleteParams {
                    preconditions: Some(Preconditions {
                        resource_version: Some(version.clone()),
                        uid: None,
                    }),
                    ..DeleteParams::default()
                };
                api.delete(name, &deleting).await.map(|_| None)
            }
        }
    };
    let done = match timeout(REQUEST, request).await {
        Ok(Ok(object)) => Done::Written(object.map(Box::new)),
        Ok(Err(kube::Error::Api(status))) => match status.code {
            409 => Done::Conflict,
            404 => Done::Gone,
            429 | 500.. => Done::Away(error_text(&kube::Error::Api(status))),
            _ => Done::Refused(error_text(&kube::Error::Api(status))),
        },
        Ok(Err(error)) => Done::Away(error_text(&error)),
        Err(_) => Done::Away(format!("no answer within {} s", REQUEST.as_secs())),
    };
    (act, done)
}
