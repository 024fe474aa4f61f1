//! The other nodes that announce, as the cluster tells of them: by a Lease of each, and a Secret
//! that all share.
//!
//! ```text
//! own address, MAC addresses ──► Lease gatehouse-node-NODE ──► the others' watches
//! Secret gatehouse-heartbeats (made if absent) ──────────────► the key of heartbeats
//! ```
//!
//! Leases say who there is and where, nothing more: who is alive is told by heartbeats between the
//! nodes, with the API server away too. What was told stays while it is away.

mod follow;
mod keep;
mod key;
mod lease;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use tokio::sync::{oneshot, watch as channel};
use tokio::time::timeout;

use super::Cluster;
pub use key::{HeartbeatKey, SECRET};
pub use lease::{NodeKind, OwnLease, PeerLease, lease_name};

/// What the cluster tells of the nodes that announce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// Whether all Leases were seen once.
    pub known: bool,
    /// The other nodes, by name.
    pub nodes: BTreeMap<String, PeerLease>,
    /// What heartbeats are signed with; none: not yet told.
    pub key: Option<HeartbeatKey>,
    /// Why this node's own Lease cannot be written.
    pub own_trouble: Option<String>,
    /// Why the others' cannot be seen.
    pub lease_trouble: Option<String>,
    /// That there are more of them than are looked at.
    pub too_many: Option<String>,
    /// Why the key cannot be read.
    pub key_unseen: Option<String>,
    /// Why it cannot be made, or cannot be used.
    pub key_trouble: Option<String>,
}

impl Peers {
    /// All that is wrong.
    pub fn troubles(&self) -> impl Iterator<Item = &String> {
        let all = [
            &self.own_trouble,
            &self.lease_trouble,
            &self.too_many,
            &self.key_unseen,
            &self.key_trouble,
        ];
        all.into_iter().flatten()
    }
}

/// This node among the others: keeps its Lease, and sees theirs.
#[derive(Debug)]
pub struct PeerDirectory {
    own: channel::Sender<Option<OwnLease>>,
    told: channel::Receiver<Arc<Peers>>,
    left: oneshot::Receiver<()>,
}

/// Where the tasks put what they learn.
#[derive(Clone, Debug)]
struct Told(channel::Sender<Arc<Peers>>);

impl Told {
    fn update(&self, change: impl FnOnce(&mut Peers)) {
        self.0.send_if_modified(|told| {
            let mut next = Peers::clone(told);
            change(&mut next);
            let news = **told != next;
            if news {
                *told = Arc::new(next);
            }
            news
        });
    }
}

impl PeerDirectory {
    /// Begins to look, in that namespace. The own Lease is written once it is
    /// [told](Self::set_own) what shall stand in it.
    pub fn start(cluster: &Cluster, namespace: &str, node: &str) -> Self {
        let (own, own_receiver) = channel::channel(None);
        let (sender, told) = channel::channel(Arc::new(Peers::default()));
        let (tried, is_tried) = channel::channel(false);
        let (gone, left) = oneshot::channel();
        let told_to = Told(sender);
        let client = cluster.in_time();
        let leases = || Api::namespaced(client.clone(), namespace);
        let runtime = cluster.runtime();
        let keeper = keep::Keeper::new(client, leases(), node, told_to.clone());
        let seen = runtime.spawn(lease::watch(
            leases(),
            node.to_owned(),
            told_to.clone(),
            is_tried,
        ));
        runtime.spawn(async move {
            keeper.run(own_receiver, tried).await;
            // Nobody waits for it where the process was told to end at once.
            let _ = gone.send(());
            seen.abort();
        });
        runtime.spawn(key::watch(
            Api::namespaced(client.clone(), namespace),
            told_to,
        ));
        Self { own, told, left }
    }

    /// What this node's Lease shall say.
    pub fn set_own(&self, own: OwnLease) {
        self.own.send_if_modified(|now| {
            let news = now.as_ref() != Some(&own);
            *now = Some(own);
            news
        });
    }

    /// What is told now, and each change of it.
    pub fn peers(&self) -> channel::Receiver<Arc<Peers>> {
        self.told.clone()
    }

    /// This node stops: its Lease says so.
    pub async fn leave(self, patience: Duration) {
        drop(self.own);
        if timeout(patience, self.left).await.is_err() {
            tracing::warn!("the Lease of this node could not be given back");
        }
    }
}

/// Where a node's heartbeats go.
pub(crate) fn parse_address(text: &str) -> Option<SocketAddr> {
    let address: SocketAddr = text.parse().ok()?;
    let usable = !address.ip().is_unspecified() && !address.ip().is_multicast();
    (usable && address.port() != 0).then_some(address)
}
