//! Sees reports of one kind in one namespace, for as long as the process lives.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde_json::Value as Json;
use tokio::sync::watch as channel;
use tokio::time::sleep;

use super::seen::{Seen, l2, name, state};
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

/// What a list that is under way has brought.
#[derive(Default)]
struct Listed(Vec<Json>);

fn take(
    event: Event<DynamicObject>,
    what: Watched,
    listed: &mut Listed,
    seen: &channel::Sender<Seen>,
) {
    match event {
        Event::Init => listed.0.clear(),
        Event::InitApply(object) => listed.0.push(object_json(object)),
        Event::InitDone => {
            let all = std::mem::take(&mut listed.0);
            seen.send_modify(|seen| match what.is_l2() {
                true => seen.l2.all(all.iter().map(|json| (name(json), l2(json)))),
                false => seen
                    .states
                    .all(all.iter().map(|json| (name(json), state(json)))),
            });
        }
        Event::Apply(object) => {
            let json = object_json(object);
            seen.send_modify(|seen| match what.is_l2() {
                true => seen.l2.one(name(&json), l2(&json)),
                false => seen.states.one(name(&json), state(&json)),
            });
        }
        Event::Delete(object) => {
            let name = name(&object_json(object));
            seen.send_modify(|seen| match what.is_l2() {
                true => seen.l2.gone(&name),
                false => seen.states.gone(&name),
            });
        }
    }
}

/// The objects of a kind, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Sight<T> {
    /// Nobody looked yet, or nothing can be seen.
    #[default]
    Unknown,
    /// The cluster has no such kind.
    Absent,
    /// All of them.
    Known(BTreeMap<String, T>),
}

impl<T> Sight<T> {
    fn all(&mut self, objects: impl Iterator<Item = (String, T)>) {
        *self = Self::Known(objects.collect());
    }

    fn one(&mut self, name: String, object: T) {
        if let Self::Known(objects) = self {
            objects.insert(name, object);
        }
    }

    fn gone(&mut self, name: &str) {
        if let Self::Known(objects) = self {
            objects.remove(name);
        }
    }
}

impl Seen {
    /// Notes that a kind is absent; whether that is news.
    fn is_absent(&mut self, of_l2: bool) -> bool {
        match of_l2 {
            true => {
                let news = self.l2 != Sight::Absent;
                self.l2 = Sight::Absent;
                news
            }
            false => {
                let news = self.states != Sight::Absent;
                self.states = Sight::Absent;
                news
            }
        }
    }
}
