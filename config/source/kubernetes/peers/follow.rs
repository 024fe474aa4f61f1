//! A watch of a few objects, for as long as somebody wants it.

use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};

use crate::source::kubernetes::Backoff;
use crate::source::kubernetes::watch::reason;

const FIRST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_secs(10);
/// A list that brings nothing for so long hangs, and is begun anew.
const LIST: Duration = Duration::from_secs(30);
/// Something is looked at anew this often, whatever is told.
const TICK: Duration = Duration::from_secs(30);

/// What a watch brings.
pub(super) enum News<K> {
    /// Of the objects.
    Event(Event<K>),
    /// They cannot be seen now, in words.
    Trouble(String),
    /// Time passed.
    Tick,
}

/// Hands everything to `take`; never ends.
pub(super) async fn follow<K>(api: Api<K>, config: watcher::Config, mut take: impl FnMut(News<K>))
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut backoff = Backoff::new(FIRST, MOST);
    loop {
        let mut events = pin!(watcher(api.clone(), config.clone()));
        let mut listing = true;
        loop {
            let patience = if listing { LIST } else { TICK };
            let event = match timeout(patience, events.next()).await {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(_) if listing => {
                    take(News::Trouble(
                        "the API server began to answer and does not go on".to_owned(),
                    ));
                    break;
                }
                Err(_) => {
                    take(News::Tick);
                    continue;
                }
            };
            match event {
                Ok(event) => {
                    match event {
                        // Told before the server was asked: no sign of it.
                        Event::Init => listing = true,
                        Event::InitDone => {
                            listing = false;
                            backoff.reset();
                        }
                        _ => backoff.reset(),
                    }
                    take(News::Event(event));
                }
                Err(error) => {
                    // An old version and a broken connection mend themselves, by a new list.
                    let passing = matches!(&error, watcher::Error::WatchFailed(_))
                        || matches!(&error, watcher::Error::WatchError(status) if status.code == 410);
                    if !passing {
                        take(News::Trouble(reason(&error)));
                        // The end of a new list tells that all is well again.
                        break;
                    }
                    sleep(backoff.pause()).await;
                }
            }
        }
        sleep(backoff.pause()).await;
    }
}
