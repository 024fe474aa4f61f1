//! One kind, watched for as long as the process lives.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use kube::core::{DynamicObject, ObjectMeta, PartialObjectMeta};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde_json::Value as Json;
use tokio::time::{Instant, sleep, timeout};

use super::backoff::Backoff;
use super::kinds::{Scope, config, crd, resource};
use super::trouble::{LISTED_AGAIN, PROOF, Trouble, code, is_absent, is_passing, is_refused};
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
    Watch::new(client, kind, settings, shared, PROOF)
        .run()
        .await;
}

/// One kind that is watched.
struct Watch {
    client: Client,
    kind: Kind,
    settings: KubernetesSettings,
    shared: Shared,
    failures: Backoff,
    /// Between lists, where watches are refused.
    refusals: Backoff,
    /// Whether the last watch was refused: a list alone does not tell then that all is well.
    is_refused: bool,
    /// A watch that goes on for so long is not refused.
    proof: Duration,
}

/// Why watching in one version of a kind ended.
enum Ended {
    /// The cluster has not got it.
    Absent,
    /// What was seen may be old: all of it is listed anew, and the end of that tells that all is
    /// well again.
    Failed(Trouble),
    /// The same, and nothing may be wrong: what the watch went on from is gone.
    Outdated,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// All objects are asked for.
    Listing,
    /// A watch was begun where the last one was refused.
    Proving,
    /// A watch goes on, as far as can be seen.
    Watching,
}

impl Watch {
    fn new(
        client: Client,
        kind: Kind,
        settings: KubernetesSettings,
        shared: Shared,
        proof: Duration,
    ) -> Self {
        Self {
            client,
            kind,
            settings,
            shared,
            failures: Backoff::new(FIRST, MOST),
            refusals: Backoff::new(FIRST, LISTED_AGAIN),
            is_refused: false,
            proof,
        }
    }

    async fn run(mut self) {
        let kind = self.kind;
        let crd = crd(kind);
        loop {
            // Counted before the first version is tried, so that no change falls between.
            let crd_changes = self.shared.crd_changes(&crd);
            for version in kind.versions() {
                // Where it is absent, another version of the kind may be there.
                loop {
                    match self.follow(version).await {
                        Ended::Absent => break,
                        Ended::Failed(trouble) => self.tell(trouble),
                        Ended::Outdated => {}
                    }
                    self.pause().await;
                }
            }
            self.shared.update(|store| store.is_absent(kind));
            // The kind is served a moment after its CRD was accepted, and nothing tells of that.
            let most = if crd_changes == 0 { ABSENT } else { SOON };
            self.shared.wait_for_crd(&crd, crd_changes, most).await;
            sleep(FIRST).await;
        }
    }

    fn tell(&self, trouble: Trouble) {
        let kind = self.kind;
        self.shared.update(|store| store.is_troubled(kind, trouble));
    }

    async fn pause(&mut self) {
        let pause = match self.is_refused {
            true => self.refusals.pause(),
            false => self.failures.pause(),
        };
        sleep(pause).await;
    }

    async fn follow(&mut self, version: &'static str) -> Ended {
        let (kind, shared) = (self.kind, self.shared.clone());
        let resource = resource(kind, version);
        let client = self.client.clone();
        let api: Api<DynamicObject> = match Scope::of(kind) {
            Scope::Cluster => Api::all_with(client, &resource),
            Scope::Gateway => Api::namespaced_with(client, &self.settings.namespace, &resource),
        };
        let mut events = pin!(watcher(api, config(kind)));
        let mut stage = Stage::Listing;
        loop {
            let begun = Instant::now();
            let next = match stage {
                Stage::Listing => match timeout(LIST, events.next()).await {
                    Ok(next) => next,
                    Err(_) => {
                        let why = "it began to answer and does not go on";
                        return Ended::Failed(Trouble::of_asking(why));
                    }
                },
                Stage::Proving => match timeout(self.proof, events.next()).await {
                    Ok(next) => next,
                    Err(_) => {
                        stage = Stage::Watching;
                        self.is_well();
                        continue;
                    }
                },
                Stage::Watching => events.next().await,
            };
            let Some(event) = next else {
                return Ended::Failed(Trouble::of_asking("the watch ended"));
            };
            match event {
                Ok(Event::Init) => {
                    stage = Stage::Listing;
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
                    shared.update(|store| {
                        store.is_read_in(kind, version);
                        store.list_ends(kind)
                    });
                    if self.is_refused {
                        stage = Stage::Proving;
                    } else {
                        stage = Stage::Watching;
                        self.is_well();
                    }
                }
                Ok(Event::Apply(object)) => {
                    stage = Stage::Watching;
                    self.is_well();
                    let json = json(object);
                    shared.update(|store| store.apply(kind, json));
                }
                Ok(Event::Delete(object)) => {
                    stage = Stage::Watching;
                    self.is_well();
                    let json = json(object);
                    shared.update(|store| store.delete(kind, &json));
                }
                Err(error) if is_absent(&error) => return Ended::Absent,
                // A watch that ends is opened anew without a word: that is how an API server limits
                // them. Where the answer to the next one is that it is too old, nothing lists anew.
                Err(error) if is_passing(&error) && !is_answer(&error) => {
                    tracing::debug!(kind = kind.name(), %error, "watch");
                    // One of a kind that seldom changes brings nothing else to tell that it was well.
                    if begun.elapsed() > self.proof {
                        self.failures.reset();
                    }
                    sleep(self.failures.pause()).await;
                }
                Err(error) if is_refused(&error) => return self.refused(&error),
                Err(error) => return Ended::Failed(Trouble::away(&error)),
            }
        }
    }

    /// A watch goes on.
    fn is_well(&mut self) {
        let kind = self.kind;
        self.is_refused = false;
        self.failures.reset();
        self.refusals.reset();
        self.shared.update(|store| store.is_well(kind));
    }

    fn refused(&mut self, error: &watcher::Error) -> Ended {
        let is_first = !std::mem::replace(&mut self.is_refused, true);
        match code(error) {
            // The kind may be gone, or what was seen may be too old: the list tells.
            Some(404 | 410) if is_first => Ended::Outdated,
            _ => Ended::Failed(Trouble::of_watching(error)),
        }
    }
}

/// It came in the place of a watch.
fn is_answer(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchFailed(kube::Error::Api(_)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Level;
    use crate::resources::ObjectKey;
    use crate::source::kubernetes::client::{Connections, client};
    use crate::source::kubernetes::scripted::{Answer, server};

    /// What stands in the store while it watches Secrets, until it is `until`: `VERSION` of the only
    /// object, and a finding where there is one.
    async fn seen(answers: Vec<Answer>, until: &str) -> Vec<String> {
        let (url, _questions) = server(answers);
        let config = kube::Config::new(url.parse().expect("a URL"));
        let client = client(config, Connections::Shared).expect("a client");
        let settings = KubernetesSettings {
            namespace: "default".to_owned(),
            addresses_only: false,
        };
        let shared = Shared::new();
        // Long enough for a refusal to come on a loaded machine.
        let proof = Duration::from_secs(2);
        let watch = Watch::new(client, Kind::Secret, settings, shared.clone(), proof);
        let collect = async {
            let mut all: Vec<String> = Vec::new();
            loop {
                shared.changes.any().await;
                let now = state(&shared);
                if all.last() != Some(&now) {
                    all.push(now);
                }
                if all.last().is_some_and(|state| state == until) {
                    return all;
                }
            }
        };
        let all = async {
            tokio::select! {
                () = watch.run() => Vec::new(),
                all = collect => all,
            }
        };
        let all = timeout(Duration::from_secs(30), all).await;
        all.expect("it ends so")
    }

    fn state(shared: &Shared) -> String {
        let store = shared.store();
        let secret = store
            .resources()
            .secrets
            .get(&ObjectKey::new("default", "a"));
        let version = secret.and_then(|secret| secret.meta.labels.get("version"));
        let mut text = version.cloned().unwrap_or_default();
        for finding in store.findings() {
            let told = match (
                finding.level,
                finding.message.contains("(verb watch): told"),
            ) {
                (Level::Warning, true) => "not watched",
                (Level::Error, false) => "not seen",
                _ => panic!("{finding}"),
            };
            assert!(finding.message.contains(" Secret"), "{finding}");
            let hint = finding.hint.contains("deploy/rbac.yaml");
            text = format!("{text} {told}{}", if hint { ", no right" } else { "" });
        }
        text
    }

    /// Lists are allowed, watches are not: what is listed counts, the finding stays, and ends when a
    /// watch goes on.
    #[tokio::test]
    async fn a_watch_that_is_refused_is_told_until_one_goes_on() {
        for (code, told) in [
            (401, "not watched, no right"),
            (403, "not watched, no right"),
            (500, "not watched"),
        ] {
            let answers = vec![
                Answer::List(1),
                Answer::Status(code),
                Answer::List(2),
                Answer::Status(code),
                Answer::List(3),
                Answer::Begins,
            ];
            let seen = seen(answers, "3").await;
            let expected = [
                "1".to_owned(),
                format!("1 {told}"),
                format!("2 {told}"),
                format!("3 {told}"),
                "3".to_owned(),
            ];
            assert_eq!(seen, expected, "{code}");
        }
    }

    /// What was seen is too old, or so it is said: nothing is wrong where it is not said again.
    #[tokio::test]
    async fn a_watch_that_cannot_go_on_is_told_where_a_new_list_does_not_help() {
        let answers = vec![Answer::List(1), Answer::Status(410), Answer::List(2)];
        assert_eq!(seen(answers, "2").await, ["1", "2"]);
        for code in [404, 410] {
            let answers = vec![
                Answer::List(1),
                Answer::Status(code),
                Answer::List(2),
                Answer::Status(code),
                Answer::List(3),
                Answer::Begins,
            ];
            let expected = ["1", "2", "2 not watched", "3 not watched", "3"];
            assert_eq!(seen(answers, "3").await, expected, "{code}");
        }
    }

    /// Not to be asked is told in the same words as ever.
    #[tokio::test]
    async fn a_list_that_is_refused_is_told_until_one_is_not() {
        let answers = vec![Answer::Status(403), Answer::List(1)];
        assert_eq!(seen(answers, "1").await, [" not seen, no right", "1"]);
    }
}
