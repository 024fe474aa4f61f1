//! A Kubernetes API server as the place where decisions are kept.
//!
//! ```text
//! the allocator's outcome ──► Wanted ─┐
//!                                     ├─► writes (pure): patches ──► writer, while this node has
//! statuses, seen by the watches ──────┘                              the allocator's Lease
//! ```
//!
//! A Service's address stands in its status and nowhere else: there it is read again after a
//! restart, by whichever node then deals. Each write is made against the version that the decision
//! was made from, and nothing is written that is there already.

mod attempts;
mod events;
mod later;
mod leader;
pub mod lease;
mod obstacles;
mod reports;
mod rival;
mod told;
mod writer;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch as channel};
use tokio::time::timeout;

pub use events::{Note, Role};
pub use leader::{LEASE, Leadership};
pub use reports::{Announced, Message, Reports};
pub use rival::Rival;
pub use writes::{Wanted, WantedService, pool_patch, service_patch};

use crate::finding::Finding;
use crate::source::kubernetes::Cluster;
use reports::Reporter;
use writer::Writer;

/// The annotation that names the pool of a Service's addresses.
pub const ALLOCATED_FROM: &str = "metallb.io/ip-allocated-from-pool";

/// The condition that tells of findings about one of Istio's objects.
pub const VERDICT: &str = "GatehouseAccepted";

/// Events that wait to be written; more are left out, with a line in the log.
const NOTES: usize = 16_384;

/// Where decisions go.
#[derive(Debug)]
pub struct StatusWriter {
    wanted: channel::Sender<Option<Arc<Wanted>>>,
    notes: mpsc::Sender<Note>,
    reports: channel::Sender<Option<Arc<Reports>>>,
    leadership: channel::Receiver<Leadership>,
    trouble: channel::Receiver<Option<String>>,
    rival: channel::Receiver<Option<Rival>>,
    obstacles: channel::Receiver<Vec<Finding>>,
    give_up: channel::Sender<bool>,
    gave_up: oneshot::Receiver<()>,
}

impl StatusWriter {
    /// Begins to seek the Lease, in that namespace; nothing else is written before
    /// [`write`](Self::write).
    pub fn start(cluster: &Cluster, namespace: &str, node: &str) -> Self {
        let (wanted, wanted_receiver) = channel::channel(None);
        let (reports, reports_receiver) = channel::channel(None);
        let (busy, is_busy) = channel::channel(false);
        let (notes, notes_receiver) = mpsc::channel(NOTES);
        let (told, leadership) = channel::channel(Leadership::default());
        let (trouble_sender, trouble) = channel::channel(None);
        let (rival_sender, rival) = channel::channel(None);
        let (obstacles_sender, obstacles) = channel::channel(Vec::new());
        let (give_up, told_to_give_up) = channel::channel(false);
        let (gone, gave_up) = oneshot::channel();
        let client = cluster.client().clone();
        let shared = cluster.shared().clone();
        let runtime = cluster.runtime();
        runtime.spawn(events::run(
            client.clone(),
            node.to_owned(),
            shared.clone(),
            notes_receiver,
        ));
        runtime.spawn(rival::run(
            client.clone(),
            namespace.to_owned(),
            rival_sender,
        ));
        let writer = Writer::new(client, shared.clone(), notes.clone(), obstacles_sender);
        runtime.spawn(writer.run(wanted_receiver, leadership.clone(), trouble_sender, busy));
        let reporter = Reporter::new(cluster, namespace, node, notes.clone());
        runtime.spawn(reporter.run(reports_receiver, leadership.clone(), is_busy));
        let leader = leader::Leader::new(cluster.in_time().clone(), shared, namespace, node, told);
        runtime.spawn(async move {
            leader.run(told_to_give_up).await;
            // Nobody waits for it where the process was told to end at once.
            let _ = gone.send(());
        });
        Self {
            wanted,
            notes,
            reports,
            leadership,
            trouble,
            rival,
            obstacles,
            give_up,
            gave_up,
        }
    }

    /// Who deals addresses now.
    pub fn leadership(&self) -> Leadership {
        self.leadership.borrow().clone()
    }

    /// Told of each change of that.
    pub fn leadership_changes(&self) -> channel::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Why something could not be written, at the moment.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    /// Who else deals addresses, by a Lease in another namespace.
    pub fn rival(&self) -> Option<Rival> {
        self.rival.borrow().clone()
    }

    /// What keeps statuses from saying what was decided, although they can be written.
    pub fn obstacles(&self) -> Vec<Finding> {
        self.obstacles.borrow().clone()
    }

    /// From now on the cluster shall say this; none: whatever it says is right.
    pub fn write(&self, wanted: Option<Arc<Wanted>>) {
        self.wanted.send_if_modified(|now| {
            let news = *now != wanted;
            if news {
                *now = wanted;
            }
            news
        });
    }

    /// What there is to tell of this node and of objects. Nothing is told before the first call.
    pub fn report(&self, reports: Reports) {
        self.reports.send_if_modified(|now| {
            let news = now.as_deref() != Some(&reports);
            if news {
                *now = Some(Arc::new(reports));
            }
            news
        });
    }

    /// Tells of something on a Service.
    pub fn note(&self, note: Note) {
        if let Err(error) = self.notes.try_send(note) {
            tracing::warn!(%error, "an event is left out");
        }
    }

    /// Gives the Lease back, so that another node may deal at once.
    pub async fn give_up(self, patience: Duration) {
        self.give_up.send_replace(true);
        if timeout(patience, self.gave_up).await.is_err() {
            tracing::warn!("the allocator's Lease could not be given back; it is over by itself");
        }
    }
}
