//! The key of heartbeats: a Secret that all nodes share, made by the first one that misses it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::watcher::{self, Event};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::Told;
use super::follow::{News, Patience, follow};
use crate::source::kubernetes::{Backoff, error_text};

/// The Secret's name.
pub const SECRET: &str = "gatehouse-heartbeats";
/// Where in it the key is; as in MetalLB's Secret `memberlist`.
const FIELD: &str = "secretkey";
/// The shortest key that is taken.
const SHORTEST: usize = 16;
/// How many bytes by chance a new one has, written as twice as many digits.
const LENGTH: usize = 32;
const REQUEST: Duration = Duration::from_secs(4);

/// What heartbeats are signed with. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct HeartbeatKey(Vec<u8>);

impl HeartbeatKey {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for HeartbeatKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeartbeatKey(…)")
    }
}

/// Sees the key and makes it where there is none; never ends.
pub(super) async fn watch(api: Api<Secret>, told: Told) {
    let absent = Notify::new();
    let config = watcher::Config::default().fields(&format!("metadata.name={SECRET}"));
    // Whether the Secret is there, as far as is known.
    let seen = AtomicBool::new(false);
    let watching = follow(
        api.clone(),
        config,
        Patience::default(),
        |news| match news {
            News::Event(Event::Init) => seen.store(false, Relaxed),
            News::Event(Event::InitApply(secret) | Event::Apply(secret)) => {
                seen.store(true, Relaxed);
                take(&told, &secret);
            }
            News::Event(Event::InitDone) if seen.load(Relaxed) => {}
            News::Event(Event::InitDone | Event::Delete(_)) => {
                seen.store(false, Relaxed);
                absent.notify_one();
            }
            News::Trouble(why) => {
                let why = format!("Secret {SECRET} cannot be read: {why}");
                told.update(|peers| peers.key_unseen = Some(why));
            }
            News::Well => told.update(|peers| peers.key_unseen = None),
        },
    );
    let making = async {
        loop {
            absent.notified().await;
            make(&api, &told, &seen).await;
        }
    };
    tokio::join!(watching, making);
}

/// What was used before goes on to be used where the Secret makes no sense.
fn take(told: &Told, secret: &Secret) {
    let field = secret.data.as_ref().and_then(|data| data.get(FIELD));
    let bytes = field.map(|field| field.0.trim_ascii()).unwrap_or_default();
    if bytes.len() < SHORTEST {
        let why = format!(
            "Secret {SECRET} has fewer than {SHORTEST} bytes in `{FIELD}`; delete it, and a new one \
             is made"
        );
        told.update(|peers| peers.key_trouble = Some(why));
        return;
    }
    let key = HeartbeatKey(bytes.to_vec());
    told.update(|peers| {
        peers.key_trouble = None;
        peers.key = Some(key);
    });
}

/// Makes it, until it is there: of several nodes that do so at once the server takes one's, and the
/// others see that.
async fn make(api: &Api<Secret>, told: &Told, seen: &AtomicBool) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    // Another node may make it, or ours may be made though its answer is lost.
    while !seen.load(Relaxed) {
        let why = match fresh() {
            Ok(secret) => {
                match timeout(REQUEST, api.create(&PostParams::default(), &secret)).await {
                    Ok(Ok(made)) => {
                        tracing::info!("Secret {SECRET} is made");
                        return take(told, &made);
                    }
                    // The watch brings it.
                    Ok(Err(kube::Error::Api(status))) if status.code == 409 => {
                        return told.update(|peers| peers.key_trouble = None);
                    }
                    Ok(Err(error)) => error_text(&error),
                    Err(_) => format!("no answer within {} s", REQUEST.as_secs()),
                }
            }
            Err(why) => why,
        };
        if seen.load(Relaxed) {
            return;
        }
        let why = format!("Secret {SECRET} cannot be made: {why}");
        told.update(|peers| peers.key_trouble = Some(why));
        sleep(backoff.pause()).await;
    }
}

fn fresh() -> Result<Secret, String> {
    let mut bytes = [0; LENGTH];
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let filled = provider.secure_random.fill(&mut bytes);
    filled.map_err(|_| "the system has no random numbers".to_owned())?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some([(FIELD.to_owned(), ByteString(digits.into_bytes()))].into()),
        ..Secret::default()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::watch;

    use super::super::Peers;
    use super::*;

    #[test]
    fn a_key_that_makes_no_sense_leaves_the_one_before() {
        let (sender, peers) = watch::channel(Arc::new(Peers::default()));
        let told = Told(sender);
        let mut secret = fresh().expect("there are random numbers");
        take(&told, &secret);
        let key = peers.borrow().key.clone().expect("it is taken");
        assert_eq!(key.bytes().len(), 2 * LENGTH);
        assert!(!format!("{key:?}").contains(|letter: char| letter.is_ascii_digit()));
        secret.data = None;
        take(&told, &secret);
        assert_eq!(peers.borrow().key, Some(key.clone()));
        assert!(peers.borrow().key_trouble.is_some());
        let other = fresh().expect("there are random numbers");
        take(&told, &other);
        assert!(peers.borrow().key_trouble.is_none() && peers.borrow().key != Some(key));
    }
}
