//! DNS: the names of endpoints, looked up again and again as long as they are wanted.
//!
//! One task on the control thread. Nobody waits for it: what is known is a table that the
//! translation reads, and the control loop is told when the table changes.

mod lookup;
mod schedule;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::resolved::{Found, NameUse, Question, ResolvedNames};
use lookup::Lookups;
use schedule::Schedule;

/// How many lookups run at once.
const PARALLEL: usize = 32;

/// How many questions of requests wait at most; more are not even asked.
const QUESTIONS: usize = 256;

/// Even a TTL of weeks is not trusted for longer.
const MAX_TTL: Duration = Duration::from_secs(24 * 3600);

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
    questions: mpsc::Sender<Question>,
}

impl Dns {
    /// Starts the task on the runtime of the caller.
    pub fn start(settings: DnsSettings) -> Self {
        let (wanted, commands) = mpsc::unbounded_channel();
        let (publish, table) = watch::channel(Arc::default());
        let (questions, asked) = mpsc::channel(QUESTIONS);
        tokio::spawn(answer(settings.clone(), asked));
        tokio::spawn(run(settings, commands, publish));
        Self {
            wanted,
            table,
            questions,
        }
    }

    /// Where the names of single requests are asked for. Each is looked up when it is asked for;
    /// whoever asks keeps the answer as long as it holds.
    pub fn questions(&self) -> mpsc::Sender<Question> {
        self.questions.clone()
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

/// Answers the questions of requests; of those for one name, one is looked up.
async fn answer(settings: DnsSettings, mut questions: mpsc::Receiver<Question>) {
    type Askers = Vec<oneshot::Sender<Result<Found, String>>>;
    let mut lookups = Lookups::new(settings.server);
    let mut asked: HashMap<String, Askers> = HashMap::new();
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            question = questions.recv(), if running.len() < PARALLEL => {
                let Some(Question { name, answer }) = question else { return };
                if let Some(askers) = asked.get_mut(&name) {
                    askers.push(answer);
                    continue;
                }
                let lookup = lookups.lookup(&name);
                asked.insert(name.clone(), vec![answer]);
                // A lookup that panics must not leave its askers waiting for ever.
                let lookup = tokio::spawn(lookup);
                running.spawn(async move {
                    let found = lookup.await.unwrap_or_else(|error| Err(error.to_string()));
                    (name, found)
                });
            }
            Some(Ok((name, found))) = running.join_next() => {
                let found = found.map(|schedule::Answer { addresses, ttl }| Found {
                    addresses,
                    ttl: ttl.clamp(settings.min_refresh, MAX_TTL),
                });
                for asker in asked.remove(&name).into_iter().flatten() {
                    // The client may have left.
                    let _ = asker.send(found.clone());
                }
            }
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
