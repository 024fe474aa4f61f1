//! Events on Services, which `kubectl describe service` shows.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;

use super::leader::within;
use crate::resources::ObjectKey;
use crate::source::kubernetes::Shared;

/// A recorder keeps every event that it wrote, to count it up should it come again within minutes.
/// It is replaced after so many: a cluster's first start writes thousands that never come again.
const REMEMBERED: u32 = 100;

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

/// Writes events one after the other, for as long as notes come: addresses are not held up.
pub(super) async fn run(
    client: Client,
    instance: String,
    shared: Shared,
    mut notes: mpsc::Receiver<Note>,
) {
    let recorder = |controller: &str| {
        let reporter = Reporter {
            controller: controller.to_owned(),
            instance: Some(instance.clone()),
        };
        Recorder::new(client.clone(), reporter)
    };
    let recorders = || {
        (
            recorder("gatehouse-allocator"),
            recorder("gatehouse-speaker"),
        )
    };
    let (mut allocator, mut speaker) = recorders();
    let mut told = 0;
    while let Some(note) = notes.recv().await {
        told += 1;
        if told % REMEMBERED == 0 {
            (allocator, speaker) = recorders();
        }
        let uid = {
            let store = shared.store();
            let seen = store.services().get(&note.service);
            // Gone meanwhile: nobody would see it.
            let Some(seen) = seen else { continue };
            seen.uid.clone()
        };
        let reference = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Service".to_owned()),
            name: Some(note.service.name.clone()),
            namespace: Some(note.service.namespace.clone()),
            uid: Some(uid),
            ..ObjectReference::default()
        };
        let (recorder, action) = match note.by {
            Role::Allocator => (&allocator, "Allocate"),
            Role::Speaker => (&speaker, "Announce"),
        };
        let event = Event {
            type_: match note.is_warning {
                true => EventType::Warning,
                false => EventType::Normal,
            },
            reason: note.reason.to_owned(),
            // The API refuses more than 1024 bytes.
            note: Some(shortened(&note.message, 1000)),
            action: action.to_owned(),
            secondary: None,
        };
        if let Err(error) = within(recorder.publish(&event, &reference)).await {
            tracing::warn!(service = %note.service, reason = note.reason, %error, "no event");
        }
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
