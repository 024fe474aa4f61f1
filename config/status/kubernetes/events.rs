//! Events on Services, which `kubectl describe service` shows.
//!
//! kube's own recorder is not used: it takes two texts of one reason for one event, and goes on
//! showing the first of them, which may have been true of another address.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::leader::{Failure, within};
use super::told::{Told, What};
use crate::resources::ObjectKey;
use crate::source::kubernetes::Shared;

/// Something to tell of a Service; reasons are MetalLB's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The Service.
    pub service: ObjectKey,
    /// Whether somebody should look.
    pub is_warning: bool,
    /// Who tells.
    pub by: Role,
    /// In one word: `IPAllocated`, `AllocationFailed`, `ClearAssignment`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// Which part of gatehouse an event is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one that deals addresses.
    Allocator,
    /// The one that announces them.
    Speaker,
}

impl Role {
    fn controller(self) -> &'static str {
        match self {
            Self::Allocator => "gatehouse-allocator",
            Self::Speaker => "gatehouse-speaker",
        }
    }

    fn action(self) -> &'static str {
        match self {
            Self::Allocator => "Allocate",
            Self::Speaker => "Announce",
        }
    }
}

/// Writes events one after the other, for as long as notes come: addresses are not held up.
pub(super) async fn run(
    client: Client,
    instance: String,
    shared: Shared,
    mut notes: mpsc::Receiver<Note>,
) {
    let mut told = Told::default();
    while let Some(mut note) = notes.recv().await {
        let uid = {
            let store = shared.store();
            let seen = store.services().get(&note.service);
            // Gone meanwhile: nobody would see it.
            let Some(seen) = seen else { continue };
            seen.uid.clone()
        };
        // The API refuses more than 1024 bytes.
        note.message = shortened(&note.message, 1000);
        let (service, reason) = (note.service.clone(), note.reason);
        let now = Instant::now();
        let what = told.what(note, uid, now);
        let api: Api<Event> = Api::namespaced(client.clone(), &service.namespace);
        match write(&api, &what, &instance).await {
            Ok(name) => told.wrote(what, name, now),
            Err(error) => tracing::warn!(%service, reason, %error, "no event"),
        }
    }
}

/// Writes it; tells the event's name.
async fn write(api: &Api<Event>, what: &What, instance: &str) -> Result<String, Failure> {
    let now = Timestamp::now();
    if let Some((name, count)) = &what.again {
        let series = json!({"series": {"count": count, "lastObservedTime": MicroTime(now)}});
        let patch = Patch::Merge(&series);
        let patched = async {
            match api.patch(name, &PatchParams::default(), &patch).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
                answer => answer.map(|_| true),
            }
        };
        // Events are removed after an hour, and by hand: it is told anew then.
        if within(patched).await? {
            return Ok(name.clone());
        }
    }
    let event = event(what, instance, now);
    let name = event.metadata.name.clone().unwrap_or_default();
    within(api.create(&PostParams::default(), &event)).await?;
    Ok(name)
}

fn event(what: &What, instance: &str, now: Timestamp) -> Event {
    let note = &what.note;
    let (namespace, name) = (&note.service.namespace, &note.service.name);
    let text = |text: &str| Some(text.to_owned());
    Event {
        metadata: ObjectMeta {
            // As everybody's events are named.
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        regarding: Some(ObjectReference {
            api_version: text("v1"),
            kind: text("Service"),
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            uid: Some(what.uid.clone()),
            ..ObjectReference::default()
        }),
        type_: text(if note.is_warning { "Warning" } else { "Normal" }),
        reason: text(note.reason),
        note: Some(note.message.clone()),
        action: text(note.by.action()),
        reporting_controller: text(note.by.controller()),
        reporting_instance: text(instance),
        event_time: Some(MicroTime(now)),
        ..Event::default()
    }
}

/// The text, or its beginning, in no more bytes than this and a few.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end));
    format!("{}…", text.get(..end.unwrap_or(0)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn long_messages_end_between_characters() {
        assert_eq!(shortened("äöü", 6), "äöü");
        assert_eq!(shortened("äöü", 5), "äö…");
    }
}
