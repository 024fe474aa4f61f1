//! Sees reports of one kind in one namespace, for as long as the process lives.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::watch as channel;
use tokio::time::sleep;

use super::seen::{Seen, SeenL2, SeenState, Sight, l2, name, state};
use crate::source::kubernetes::{
    Backoff, Shared, is_absent, is_refused, object_json, watch_error_text,
};

/// Between tries.
const FIRST: Duration = Duration::from_millis(500);
const MOST: Duration = Duration::from_secs(30);
/// How often a kind that is not there is looked for, where its creation is not seen.
const ABSENT: Duration = Duration::from_secs(60);

/// One of the two kinds, as far as they differ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    /// What users miss without it.
    pub(super) tells: &'static str,
}

pub(super) const L2: Watched = Watched {
    kind: "ServiceL2Status",
    plural: "servicel2statuses",
    tells: "which node announces a Service",
};

pub(super) const STATE: Watched = Watched {
    kind: "ConfigurationState",
    plural: "configurationstates",
    tells: "whether MetalLB's objects can be used",
};

impl Watched {
    pub(super) fn resource(self) -> ApiResource {
        let kind = GroupVersionKind::gvk("metallb.io", "v1beta1", self.kind);
        ApiResource::from_gvk_with_plural(&kind, self.plural)
    }

    fn is_l2(self) -> bool {
        self.kind == L2.kind
    }
}

/// Watches; never ends.
pub(super) async fn watch(
    client: Client,
    namespace: String,
    what: Watched,
    shared: Shared,
    seen: channel::Sender<Seen>,
) {
    let crd = format!("{}.metallb.io", what.plural);
    let mut backoff = Backoff::new(FIRST, MOST);
    let mut told = String::new();
    loop {
        let crd_changes = shared.crd_changes(&crd);
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), &namespace, &what.resource());
        let mut events = pin!(watcher(api, watcher::Config::default()));
        let mut listed = Listed::default();
        let absent = loop {
            match events.next().await {
                Some(Ok(event)) => {
                    // The begin of a list is told before the server was asked.
                    if !matches!(event, Event::Init) {
                        backoff.reset();
                        told.clear();
                    }
                    take(event, what, &mut listed, &seen);
                }
                Some(Err(error)) if is_absent(&error) => break true,
                Some(Err(error)) => {
                    // A watch that ends is opened anew by the stream itself.
                    let why = watch_error_text(&error);
                    let verb = match &error {
                        watcher::Error::InitialListFailed(_) => Some("list"),
                        error if is_refused(error) => Some("watch"),
                        _ => None,
                    };
                    if let Some(verb) = verb
                        && told != why
                    {
                        tracing::warn!("{} objects cannot be seen (verb {verb}): {why}", what.kind);
                        told = why;
                    }
                    sleep(backoff.pause()).await;
                }
                None => break false,
            }
        };
        if absent {
            let first = seen.send_if_modified(|seen| seen.is_absent(what.is_l2()));
            if first {
                tracing::info!(
                    "{} objects ({}) are not written: the cluster has no such kind",
                    what.kind,
                    what.tells
                );
            }
            let most = if crd_changes == 0 { ABSENT } else { FIRST };
            shared.wait_for_crd(&crd, crd_changes, most).await;
        }
        sleep(FIRST).await;
    }
}

/// What a list that is under way has brought; of both kinds, one of which stays empty.
#[derive(Default)]
struct Listed {
    l2: BTreeMap<String, SeenL2>,
    states: BTreeMap<String, SeenState>,
}

fn take(
    event: Event<DynamicObject>,
    what: Watched,
    listed: &mut Listed,
    seen: &channel::Sender<Seen>,
) {
    match event {
        Event::Init => *listed = Listed::default(),
        Event::InitApply(object) => {
            let json = object_json(object);
            match what.is_l2() {
                true => drop(listed.l2.insert(name(&json), l2(&json))),
                false => drop(listed.states.insert(name(&json), state(&json))),
            }
        }
        Event::InitDone => {
            let Listed { l2, states } = std::mem::take(listed);
            seen.send_modify(|seen| match what.is_l2() {
                true => seen.l2 = Sight::Known(l2),
                false => seen.states = Sight::Known(states),
            });
        }
        Event::Apply(object) => {
            let json = object_json(object);
            seen.send_modify(|seen| seen.put(what.is_l2(), &json));
        }
        Event::Delete(object) => {
            let name = name(&object_json(object));
            seen.send_modify(|seen| seen.gone(what.is_l2(), &name));
        }
    }
}
