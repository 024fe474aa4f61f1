//! Keeps this node's own Lease.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch as channel;
use tokio::time::{Instant, sleep_until, timeout};

use super::Told;
use super::lease::{OwnLease, RENEW, lease, lease_name};
use crate::source::kubernetes::{Backoff, error_text};

/// A request takes no longer than this.
const REQUEST: Duration = Duration::from_secs(4);
/// Between two tries, at first and at most.
const FIRST: Duration = Duration::from_millis(200);
/// From one write to the next at least: a link that flaps says something else each time. The latest is
/// written in the end.
const SPACING: Duration = Duration::from_secs(2);
const MOST: Duration = Duration::from_secs(10);

pub(super) struct Keeper {
    api: Api<Lease>,
    nodes: Api<Node>,
    node: String,
    told: Told,
    /// What was written last, with its version; none: it is to be read first.
    written: Option<Lease>,
    /// Whether there is a Lease of ours to give back.
    has_lease: bool,
    /// The Node object, with which the Lease goes; none: there is none, or it was not asked yet.
    owner: Option<OwnerReference>,
}

impl Keeper {
    pub(super) fn new(client: &Client, api: Api<Lease>, node: &str, told: Told) -> Self {
        Self {
            api,
            nodes: Api::all(client.clone()),
            node: node.to_owned(),
            told,
            written: None,
            has_lease: false,
            owner: None,
        }
    }

    /// Until nobody says any more what the Lease shall say; then it is given back.
    pub(super) async fn run(
        mut self,
        mut own: channel::Receiver<Option<OwnLease>>,
        tried: channel::Sender<bool>,
    ) {
        let mut backoff = Backoff::new(FIRST, MOST);
        loop {
            let wanted = own.borrow_and_update().clone();
            let pause = match &wanted {
                None => Pause::until_told(),
                Some(wanted) => match self.write(Some(wanted)).await {
                    Ok(()) => {
                        backoff.reset();
                        self.told.update(|peers| peers.own_trouble = None);
                        Pause {
                            least: SPACING,
                            most: Some(RENEW),
                        }
                    }
                    Err(why) => {
                        let why = format!("the Lease of this node cannot be written: {why}");
                        self.told.update(|peers| peers.own_trouble = Some(why));
                        Pause::exactly(backoff.pause())
                    }
                },
            };
            if wanted.is_some() {
                tried.send_replace(true);
            }
            if !pause.wait(&mut own).await {
                break;
            }
        }
        // If it cannot be given back, others see that it is not renewed.
        if self.has_lease
            && let Err(why) = self.write(None).await
        {
            tracing::debug!(%why, "the Lease of this node could not be given back");
        }
    }

    async fn write(&mut self, own: Option<&OwnLease>) -> Result<(), String> {
        // Somebody else may have written or deleted it: once more, from what is there.
        for _ in 0..2 {
            let before = match self.written.take() {
                Some(written) => Some(written),
                None => within(self.api.get_opt(&lease_name(&self.node)), &[]).await??,
            };
            // A Lease goes with its Node object; there may be another one by now.
            if self.owner.is_none() || before.is_none() {
                self.owner = self.ask_owner().await;
            }
            let next = lease(&self.node, own, self.owner.as_ref(), before.as_ref());
            let params = PostParams::default();
            let written = match before {
                None => within(self.api.create(&params, &next), &[409]).await?,
                Some(_) => {
                    let name = lease_name(&self.node);
                    within(self.api.replace(&name, &params, &next), &[404, 409]).await?
                }
            };
            match written {
                Ok(lease) => {
                    self.has_lease = true;
                    self.written = Some(lease);
                    return Ok(());
                }
                Err(Refused::Stale) => {}
                Err(Refused::Other(why)) => return Err(why),
            }
        }
        Err("somebody else writes it all the time".to_owned())
    }

    /// The Node object; without it, or without the right to see it, a Lease of a node that is taken
    /// out of the cluster stays until somebody deletes it.
    async fn ask_owner(&self) -> Option<OwnerReference> {
        let asked = within(self.nodes.get_metadata_opt(&self.node), &[]).await;
        let meta = asked.ok()?.ok()??.metadata;
        Some(OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: meta.name?,
            uid: meta.uid?,
            ..OwnerReference::default()
        })
    }
}

/// How long nothing is written.
#[derive(Clone, Copy, Debug)]
struct Pause {
    /// Whatever is to be said meanwhile.
    least: Duration,
    /// Where nothing else is to be said; none: for ever.
    most: Option<Duration>,
}

impl Pause {
    fn until_told() -> Self {
        Self {
            least: Duration::ZERO,
            most: None,
        }
    }

    /// News do not make a server answer that did not.
    fn exactly(time: Duration) -> Self {
        Self {
            least: time,
            most: Some(time),
        }
    }

    /// Waits; false, at once: nobody says any more what the Lease shall say.
    async fn wait<T>(self, own: &mut channel::Receiver<T>) -> bool {
        let start = Instant::now();
        let mut news = false;
        let least = sleep_until(start + self.least);
        tokio::pin!(least);
        loop {
            tokio::select! {
                () = &mut least => break,
                changed = own.changed() => match changed {
                    Ok(()) => news = true,
                    Err(_) => return false,
                },
            }
        }
        let time = async {
            match self.most {
                Some(most) => sleep_until(start + most).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            changed = own.changed(), if !news => changed.is_ok(),
            () = time, if !news => true,
            else => true,
        }
    }
}

/// Why the server did not take something.
enum Refused {
    /// It has another version, or none.
    Stale,
    Other(String),
}

impl From<Refused> for String {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Stale => "somebody else was faster".to_owned(),
            Refused::Other(why) => why,
        }
    }
}

/// The answer, where these codes mean that somebody else was faster; no answer in time is an error of
/// its own.
async fn within<T>(
    request: impl Future<Output = kube::Result<T>>,
    stale: &[u16],
) -> Result<Result<T, Refused>, String> {
    match timeout(REQUEST, request).await {
        Ok(Err(kube::Error::Api(status))) if stale.contains(&status.code) => {
            Ok(Err(Refused::Stale))
        }
        Ok(answer) => Ok(answer.map_err(|error| Refused::Other(error_text(&error)))),
        Err(_) => Err(format!("no answer within {} s", REQUEST.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    #[tokio::test]
    async fn what_flaps_is_said_once_in_a_while_and_the_latest_in_the_end() {
        let (say, mut own) = channel::channel(0);
        let flapping = async {
            for state in 1..=50 {
                say.send_replace(state);
                tokio::time::sleep(ms(10)).await;
            }
        };
        let writing = async {
            let pause = Pause {
                least: ms(100),
                most: Some(ms(10_000)),
            };
            let mut written = Vec::new();
            while written.last() != Some(&50) {
                written.push(*own.borrow_and_update());
                let waits = Instant::now();
                if written.last() != Some(&50) {
                    assert!(pause.wait(&mut own).await);
                    assert!(waits.elapsed() >= ms(100));
                }
            }
            written
        };
        let start = Instant::now();
        let (written, ()) = tokio::join!(writing, flapping);
        // One at the beginning, and one for what came last.
        let most = start.elapsed().as_millis() / 100 + 2;
        assert!(written.len() as u128 <= most, "{written:?}");
    }

    #[tokio::test]
    async fn a_pause_ends_in_time_with_news_and_at_the_end() {
        let (say, mut own) = channel::channel(0);
        let start = Instant::now();
        assert!(Pause::exactly(ms(50)).wait(&mut own).await);
        assert!(start.elapsed() >= ms(50));
        // After the shortest time news end it.
        let long = Pause {
            least: ms(0),
            most: Some(ms(600_000)),
        };
        say.send_replace(1);
        assert!(long.wait(&mut own).await);
        own.borrow_and_update();
        say.send_replace(2);
        assert!(Pause::until_told().wait(&mut own).await);
        // Nobody is left: not even the shortest time is waited for.
        drop(say);
        assert!(!Pause::exactly(ms(600_000)).wait(&mut own).await);
    }
}
