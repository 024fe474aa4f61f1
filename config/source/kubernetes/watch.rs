//! One kind, watched for as long as the process lives.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use kube::core::{DynamicObject, ObjectMeta, PartialObjectMeta};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde_json::Value as Json;
use tokio::time::{sleep, timeout};

use super::backoff::Backoff;
use super::kinds::{Scope, config, crd, resource};
use super::{Changed, KubernetesSettings, Shared};
use crate::source::decode::Kind;

/// Before the first try after a failure; and the most.
const FIRST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_secs(10);
/// A list that brings nothing for so long hangs, and is begun anew.
const LIST: Duration = Duration::from_secs(60);
/// How often a kind that is not there is looked for, where its CRD's creation is not seen.
const ABSENT: Duration = Duration::from_secs(30);
/// The same where the CRD is there.
const SOON: Duration = Duration::from_secs(1);

/// Watches a kind; never ends.
pub(super) async fn watch(
    client: Client,
    kind: Kind,
    settings: KubernetesSettings,
    shared: Shared,
) {
    let mut backoff = Backoff::new(FIRST, MOST);
    let crd = crd(kind);
    loop {
        // Counted before the first version is tried, so that no change falls between.
        let crd_changes = shared.crd_changes(&crd);
        for version in kind.versions() {
            // Where it is absent, another version of the kind may be there.
            while let Ended::Failed(why) =
                follow(&client, kind, version, &settings, &shared, &mut backoff).await
            {
                shared.update(|store| store.is_troubled(kind, why));
                sleep(backoff.pause()).await;
            }
        }
        shared.update(|store| store.is_absent(kind));
        // The kind is served a moment after its CRD was accepted, and nothing tells of that.
        let most = if crd_changes == 0 { ABSENT } else { SOON };
        shared.wait_for_crd(&crd, crd_changes, most).await;
        sleep(FIRST).await;
    }
}

/// Why watching in one version of a kind ended.
enum Ended {
    /// The cluster has not got it.
    Absent,
    /// What was seen may be old: all of it is listed anew, and the end of that tells that all is
    /// well again.
    Failed(String),
}

async fn follow(
    client: &Client,
    kind: Kind,
    version: &str,
    settings: &KubernetesSettings,
    shared: &Shared,
    backoff: &mut Backoff,
) -> Ended {
    let resource = resource(kind, version);
    let api: Api<DynamicObject> = match Scope::of(kind) {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Gateway => Api::namespaced_with(client.clone(), &settings.namespace, &resource),
    };
    let mut events = pin!(watcher(api, config(kind)));
    let mut listing = true;
    loop {
        let next = match listing {
            true => match timeout(LIST, events.next()).await {
                Ok(next) => next,
                Err(_) => {
                    let why = "it began to answer and does not go on";
                    return Ended::Failed(why.to_owned());
                }
            },
            false => events.next().await,
        };
        let Some(event) = next else {
            return Ended::Failed("the watch ended".to_owned());
        };
        match event {
            Ok(Event::Init) => {
                listing = true;
                shared.update(|store| {
                    store.list_begins(kind);
                    Changed::default()
                });
            }
            Ok(Event::InitApply(object)) => {
                let json = json(object);
                shared.update(|store| store.apply(kind, json));
            }
            Ok(Event::InitDone) => {
                listing = false;
                backoff.reset();
                shared.update(|store| store.list_ends(kind));
            }
            Ok(Event::Apply(object)) => {
                backoff.reset();
                let json = json(object);
                shared.update(|store| store.apply(kind, json));
            }
            Ok(Event::Delete(object)) => {
                let json = json(object);
                shared.update(|store| store.delete(kind, &json));
            }
            Err(error) if is_absent(&error) => return Ended::Absent,
            // A watch that ends is opened anew without a word: that is how an API server limits
            // them.
            Err(error) if is_passing(&error) => {
                tracing::debug!(kind = kind.name(), %error, "watch");
                sleep(backoff.pause()).await;
            }
            Err(error) => return Ended::Failed(reason(&error)),
        }
    }
}

/// Notes which CustomResourceDefinitions there are, by name; never ends.
pub(super) async fn watch_crds(client: Client, shared: Shared) {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    let api: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(client);
    let mut backoff = Backoff::new(FIRST, MOST);
    let mut events = pin!(watcher(api, watcher::Config::default()));
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(crd) | Event::InitApply(crd)) => {
                backoff.reset();
                if let Some(name) = crd.metadata.name {
                    shared.crd_is_there(name);
                }
            }
            Ok(_) => {}
            // Kinds that are not there are then looked for now and then.
            Err(error) => {
                tracing::debug!(%error, "watch of CustomResourceDefinitions");
                sleep(backoff.pause()).await;
            }
        }
    }
}

/// The whole object, without what is long and says nothing.
pub(super) fn json(object: DynamicObject) -> Json {
    let DynamicObject {
        types: _,
        metadata,
        data,
    } = object;
    let metadata = ObjectMeta {
        managed_fields: None,
        ..metadata
    };
    let mut all = match data {
        Json::Object(all) => all,
        _ => serde_json::Map::new(),
    };
    // Metadata is text and maps of text: it can always be written.
    let metadata = serde_json::to_value(metadata).unwrap_or_default();
    all.insert("metadata".to_owned(), metadata);
    Json::Object(all)
}

/// The cluster has no such kind, in this version.
pub(super) fn is_absent(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    }
}

/// What happens to every watch once in a while, and mends itself.
fn is_passing(error: &watcher::Error) -> bool {
    match error {
        // 410: the version that the watch would go on from is no longer there; it lists anew.
        watcher::Error::WatchError(status) => status.code == 410,
        watcher::Error::WatchFailed(_) => true,
        _ => false,
    }
}

/// Why, for people: one line.
pub(super) fn reason(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => super::error_text(error),
        other => other.to_string(),
    }
}
