//! DNS: the names of endpoints, looked up again and again as long as they are wanted.
//!
//! One task on the control thread. Nobody waits for it: what is known is a table that the
//! translation reads, and the control loop is told when the table changes.

mod lookup;
mod schedule;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::resolved::{NameUse, ResolvedNames};
use lookup::Lookups;
use schedule::Schedule;

/// How many lookups run at once.
const PARALLEL: usize = 32;

/// Answers that come so close together are told together.
const BATCH: Duration = Duration::from_millis(20);

/// How DNS is asked.
#[derive(Clone, Debug)]
pub struct DnsSettings {
    /// Whom to ask; none: whom `/etc/resolv.conf` names.
    pub server: Option<SocketAddr>,
    /// A name is not asked for more often, whatever its TTL. (A TTL of 0, as many routers give
    /// for names of the LAN, would mean always.)
    pub min_refresh: Duration,
    /// The longest pause between lookups that fail (Istio: 60 s); the first one is a second.
    pub max_retry: Duration,
    /// Changes are not told more often: each one is a reload.
    pub min_interval: Duration,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self {
            server: None,
            min_refresh: Duration::from_secs(5),
            max_retry: Duration::from_secs(60),
            min_interval: Duration::from_secs(1),
        }
    }
}

/// The handle of the task; it ends when this is dropped.
#[derive(Debug)]
pub struct Dns {
    wanted: mpsc::UnboundedSender<BTreeMap<String, NameUse>>,
    table: watch::Receiver<Arc<ResolvedNames>>,
}

impl Dns {
    /// Starts the task on the runtime of the caller.
    pub fn start(settings: DnsSettings) -> Self {
        let (wanted, commands) = mpsc::unbounded_channel();
        let (publish, table) = watch::channel(Arc::default());
        tokio::spawn(run(settings, commands, publish));
        Self { wanted, table }
    }

    /// From now on these names are looked up, and no others.
    pub fn want(&self, names: BTreeMap<String, NameUse>) {
        // The task lives as long as this handle.
        let _ = self.wanted.send(names);
    }

    /// What is known now.
    pub fn names(&mut self) -> Arc<ResolvedNames> {
        Arc::clone(&self.table.borrow_and_update())
    }

    /// Waits until more is known than [`names`](Self::names) last gave.
    pub async fn changed(&mut self) {
        if self.table.changed().await.is_err() {
            // The task is gone, which only a panic of its own explains; names stay as they are.
            std::future::pending::<()>().await;
        }
    }
}

async fn run(
    settings: DnsSettings,
    mut commands: mpsc::UnboundedReceiver<BTreeMap<String, NameUse>>,
    publish: watch::Sender<Arc<ResolvedNames>>,
) {
    let mut lookups = Lookups::new(settings.server);
    let mut schedule = Schedule::new(settings.min_refresh, settings.max_retry);
    let mut running = JoinSet::new();
    let mut told: Option<Instant> = None;
    let mut tell: Option<Instant> = None;
    loop {
        let now = Instant::now();
        while running.len() < PARALLEL
            && let Some(name) = schedule.next_due(now)
        {
            let lookup = lookups.lookup(&name);
            running.spawn(async move { (name, lookup.await) });
        }
        let lookup_at = (running.len() < PARALLEL)
            .then(|| schedule.next_at())
            .flatten();
        let wake = [lookup_at, tell].into_iter().flatten().min();
        let changed = tokio::select! {
            command = commands.recv() => match command {
                Some(names) => schedule.want(names, Instant::now()),
                None => return,
            },
            Some(done) = running.join_next() => match done {
                Ok((name, answer)) => {
                    schedule.answered(&name, answer, Instant::now(), SystemTime::now())
                }
                Err(error) => {
                    tracing::error!(%error, "a DNS lookup ended badly");
                    schedule.forget_running(Instant::now());
                    false
                }
            },
            () = sleep_until(wake) => {
                if tell.is_some_and(|at| at <= Instant::now()) {
                    tell = None;
                    told = Some(Instant::now());
                    let table = schedule.table();
                    publish.send_if_modified(|before| {
                        let modified = **before != table;
                        if modified {
                            *before = Arc::new(table);
                        }
                        modified
                    });
                }
                false
            }
        };
        if changed && tell.is_none() {
            let soon = Instant::now() + BATCH;
            tell = Some(told.map_or(soon, |told| soon.max(told + settings.min_interval)));
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
