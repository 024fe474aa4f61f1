//! A watch of a few objects, for as long as somebody wants it.
//!
//! What it brings must not be missed for long: a key that changes counts beside the one before for a
//! minute ([`CHANGE_OVER`](super)). A watch that hangs looks like one that has nothing to tell. So
//! the server is asked to end each after [`WATCH`], and one that brought nothing for
//! [`Patience::silence`] is given up for a new list, which is cheap for so few objects.

use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};

use crate::source::kubernetes::Backoff;
use crate::source::kubernetes::trouble::{PROOF, is_passing, reason};

const FIRST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_secs(10);
/// How many seconds the server is to keep a watch open.
const WATCH: u32 = 30;

/// How long is waited for something that does not come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// A list that brings nothing for so long hangs.
    pub(super) list: Duration,
    /// A watch that brings nothing for so long may hang.
    pub(super) silence: Duration,
    /// A watch that goes on for so long is not refused.
    pub(super) proof: Duration,
}

impl Default for Patience {
    /// Together less than a minute.
    fn default() -> Self {
        Self {
            list: Duration::from_secs(10),
            silence: Duration::from_secs(45),
            proof: PROOF,
        }
    }
}

/// What a watch brings.
pub(super) enum News<K> {
    /// Of the objects. All of them are listed anew at the latest after [`Patience::silence`].
    Event(Event<K>),
    /// They cannot be seen now, or their changes cannot, in words.
    Trouble(String),
    /// They can be seen.
    Well,
}

/// Hands everything to `take`; never ends.
pub(super) async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    patience: Patience,
    mut take: impl FnMut(News<K>),
) where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let config = config.timeout(WATCH);
    let mut backoff = Backoff::new(FIRST, MOST);
    // Whether the last watch was refused: a list alone does not tell then that all is well.
    let mut refused = false;
    loop {
        let mut events = pin!(watcher(api.clone(), config.clone()));
        let mut stage = Stage::Listing;
        loop {
            let event = match timeout(patience.of(stage), events.next()).await {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(_) => match stage {
                    Stage::Listing => {
                        let why = "the API server began to answer and does not go on";
                        take(News::Trouble(why.to_owned()));
                        break;
                    }
                    Stage::Proving => {
                        stage = Stage::Watching;
                        refused = false;
                        backoff.reset();
                        take(News::Well);
                        continue;
                    }
                    Stage::Watching => break,
                },
            };
            match event {
                Ok(event) => {
                    let before = stage;
                    stage = match &event {
                        // Told before the server was asked: no sign of it.
                        Event::Init | Event::InitApply(_) => Stage::Listing,
                        Event::InitDone if refused => Stage::Proving,
                        Event::InitDone | Event::Apply(_) | Event::Delete(_) => Stage::Watching,
                    };
                    take(News::Event(event));
                    if stage == Stage::Watching && before != stage {
                        refused = false;
                        backoff.reset();
                        take(News::Well);
                    }
                }
                // A new list tells what came meanwhile, and whether it is more than a connection
                // that broke or a version that is too old.
                Err(error) => {
                    if !is_passing(&error) {
                        refused = stage != Stage::Listing;
                        take(News::Trouble(reason(&error)));
                    }
                    break;
                }
            }
        }
        sleep(backoff.pause()).await;
    }
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

impl Patience {
    fn of(self, stage: Stage) -> Duration {
        match stage {
            Stage::Listing => self.list,
            Stage::Proving => self.proof,
            Stage::Watching => self.silence,
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;

    use super::*;
    use crate::source::kubernetes::client::{Connections, client};
    use crate::source::kubernetes::scripted::{Answer, server};

    /// Long enough for a loaded machine where something comes, short where nothing does.
    const PATIENCE: Patience = Patience {
        list: Duration::from_secs(10),
        silence: Duration::from_millis(300),
        proof: Duration::from_secs(2),
    };

    /// What is told until a version is seen: versions, and troubles.
    async fn told(url: &str, patience: Patience, until: &str) -> Vec<String> {
        let config = kube::Config::new(url.parse().expect("a URL"));
        let client = client(config, Connections::Each).expect("a client");
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let following = follow::<Secret>(
            Api::namespaced(client, "default"),
            watcher::Config::default(),
            patience,
            |news| {
                let text = match news {
                    News::Event(Event::InitApply(object)) => object.metadata.resource_version,
                    News::Trouble(why) => Some(why),
                    News::Well => Some("well".to_owned()),
                    News::Event(_) => None,
                };
                // The test may be over.
                let _ = text.map(|text| tell.send(text));
            },
        );
        let collect = async {
            let mut all = Vec::new();
            while let Some(text) = told.recv().await {
                all.push(text);
                if all.last().is_some_and(|last| last == until) {
                    break;
                }
            }
            all
        };
        let ended = async {
            tokio::select! {
                () = following => Vec::new(),
                all = collect => all,
            }
        };
        let ended = timeout(Duration::from_secs(20), ended).await;
        ended.expect("the version is seen")
    }

    #[tokio::test]
    async fn a_watch_that_hangs_is_replaced_by_a_list_in_time() {
        // One hangs after its beginning, the other before it.
        for hangs in [Answer::Begins, Answer::Nothing] {
            let (url, questions) = server(vec![Answer::List(1), hangs, Answer::List(2)]);
            assert_eq!(
                told(&url, PATIENCE, "2").await,
                ["1", "well", "2"],
                "{hangs:?}"
            );
            let asked: Vec<String> = questions.try_iter().collect();
            assert!(asked[1].contains("watch=true"), "{asked:?}");
            assert!(asked[1].contains("timeoutSeconds=30"), "{asked:?}");
            assert!(!asked[2].contains("watch=true"), "{asked:?}");
        }
    }

    #[tokio::test]
    async fn a_list_that_hangs_is_a_trouble_until_one_does_not() {
        let (url, _questions) = server(vec![
            Answer::List(1),
            Answer::Begins,
            Answer::Nothing,
            Answer::List(2),
        ]);
        let patience = Patience {
            list: Duration::from_secs(1),
            ..PATIENCE
        };
        let told = told(&url, patience, "2").await;
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told[2].contains("does not go on"), "{told:?}");
        assert_eq!(
            Patience::default().list + Patience::default().silence,
            Duration::from_secs(55)
        );
    }

    /// Lists are allowed, watches are not: what is listed counts, and it is no time to say that all
    /// is well, again and again.
    #[tokio::test]
    async fn a_watch_that_is_refused_is_a_trouble_until_one_goes_on() {
        let (url, _questions) = server(vec![
            Answer::List(1),
            Answer::Status(403),
            Answer::List(2),
            Answer::Status(403),
            Answer::List(3),
            Answer::Begins,
            Answer::List(4),
        ]);
        let patience = Patience {
            silence: Duration::from_secs(2),
            ..PATIENCE
        };
        let told = told(&url, patience, "4").await;
        let expected = ["1", "well", "told 403", "2", "told 403", "3", "well", "4"];
        assert_eq!(told, expected);
    }
}
