//! The control thread's handle: starts the workers, publishes configurations, collects counters.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gatehouse_config::codes;
use gatehouse_config::finding::{Finding, Level};
use gatehouse_config::model::{Model, TransportProtocol};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

use crate::admin::{BoxFuture, EndpointStates};
use crate::compile::{Placement, RouteLists, compile};
use crate::net::{BoundTcp, BoundUdp, ListenError, ListenOptions};
use crate::observe::{AccessLog, LabelTable, Labels, MetricsSnapshot};
use crate::snapshot::{Listener, Snapshot};
use crate::worker::{self, Command, Key, KnownEndpoints, Opened, Socket, WorkerSettings};

/// How long workers are waited for to say what they know of endpoints.
const STATES: Duration = Duration::from_secs(1);

/// How long a worker may take to close what was taken away; usually some 20 ms.
const CLOSING: Duration = Duration::from_secs(5);

/// A running data plane.
#[derive(Debug)]
pub struct Gateway {
    workers: Vec<WorkerHandle>,
    labels: LabelTable,
    lists: RouteLists,
    snapshot: Arc<Snapshot>,
    /// Where is listened.
    open: BTreeSet<Key>,
    /// Taken away then: a worker may still be about to close it.
    closing: BTreeMap<Key, Instant>,
    /// Wanted, and lost by one worker at least; others may still have it.
    lost: BTreeSet<Key>,
    /// Wanted where its port is free, which somebody else has: not asked for again while it is wanted.
    left: BTreeMap<Key, Finding>,
    /// Somebody else serves these where it runs.
    optional: BTreeSet<Key>,
    /// What the workers lose.
    reports: mpsc::UnboundedReceiver<Key>,
}

#[derive(Debug)]
struct WorkerHandle {
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

/// A cheap handle that asks the workers for their counters.
#[derive(Clone, Debug)]
pub struct Counters {
    workers: Vec<mpsc::UnboundedSender<Command>>,
}

impl Gateway {
    /// Starts `count` workers, each pinned to a CPU where there is one for each.
    ///
    /// # Errors
    ///
    /// A thread cannot be started.
    pub fn start(
        count: usize,
        settings: &WorkerSettings,
        access_log: Option<&AccessLog>,
    ) -> io::Result<Self> {
        let cpus = pinnable(count);
        let (lost, reports) = mpsc::unbounded_channel();
        let workers = (0..count.max(1))
            .map(|index| {
                let cpu = cpus.get(index).copied();
                start_worker(index, cpu, settings.clone(), access_log, lost.clone())
            })
            .collect::<io::Result<_>>()?;
        Ok(Self {
            workers,
            labels: LabelTable::new(),
            lists: RouteLists::default(),
            snapshot: Arc::default(),
            open: BTreeSet::new(),
            closing: BTreeMap::new(),
            lost: BTreeSet::new(),
            left: BTreeMap::new(),
            optional: BTreeSet::new(),
            reports,
        })
    }

    /// Compiles and publishes a configuration. Listeners that cannot be opened are findings;
    /// [`retry`](Self::retry) tries them again, and so does the next call.
    pub fn apply(&mut self, model: &Model, placement: &Placement) -> Vec<Finding> {
        let snapshot = compile(
            model,
            placement,
            &mut self.labels,
            &mut self.lists,
            &self.snapshot,
        );
        self.snapshot = Arc::new(snapshot);
        self.optional.clone_from(&placement.optional);
        self.left.retain(|key, _| placement.optional.contains(key));
        self.note_lost();
        let wanted: BTreeSet<Key> = self.snapshot.listeners.iter().map(key).collect();
        self.lost.retain(|key| wanted.contains(key));
        let now = Instant::now();
        self.closing
            .retain(|_, since| now.duration_since(*since) < CLOSING);
        let gone = self.open.difference(&wanted).map(|key| (*key, now));
        self.closing.extend(gone);
        self.open.retain(|key| wanted.contains(key));
        let (opened, findings) = self.open_missing();
        for (worker, opened) in self.workers.iter().zip(opened) {
            let snapshot = Arc::clone(&self.snapshot);
            // A worker that is gone has said why; the others go on.
            let _ = worker.commands.send(Command::Update { snapshot, opened });
        }
        findings
    }

    /// Tries again what could not be opened, and opens what a worker lost; what is served already
    /// does not notice. Gives the findings that are left.
    pub fn retry(&mut self) -> Vec<Finding> {
        self.note_lost();
        let (opened, findings) = self.open_missing();
        for (worker, opened) in self.workers.iter().zip(opened) {
            if !opened.is_empty() {
                let _ = worker.commands.send(Command::Open(opened));
            }
        }
        findings
    }

    /// The listeners of the configuration in force that are open.
    pub fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.snapshot
            .listeners
            .iter()
            .filter(|listener| self.open.contains(&key(listener)))
    }

    fn note_lost(&mut self) {
        while let Ok(key) = self.reports.try_recv() {
            if self.open.remove(&key) {
                self.lost.insert(key);
            }
        }
    }

    /// Opens the listeners in force that are not open, a socket for each worker.
    fn open_missing(&mut self) -> (Vec<Vec<Opened>>, Vec<Finding>) {
        let mut opened: Vec<Vec<Opened>> = self.workers.iter().map(|_| Vec::new()).collect();
        let mut findings = Vec::new();
        for listener in &self.snapshot.listeners {
            let key = key(listener);
            if self.open.contains(&key) {
                continue;
            }
            if let Some(left) = self.left.get(&key) {
                findings.push(left.clone());
                continue;
            }
            let mut own = self
                .open
                .iter()
                .chain(&self.lost)
                .chain(self.closing.keys());
            let beside = own.any(|own| overlap(own, &key));
            let count = self.workers.len();
            let opening = match self.snapshot.socket_at(key.0) {
                Some(socket) => open_socket(socket, key.0, count),
                None => open_all(key, count, beside),
            };
            match opening {
                Ok(sockets) => {
                    self.lost.remove(&key);
                    self.open.insert(key);
                    for (worker, socket) in opened.iter_mut().zip(sockets) {
                        worker.push(Opened {
                            address: key.0,
                            socket,
                        });
                    }
                }
                Err(ListenError::InUse { owner, .. }) if self.optional.contains(&key) => {
                    let finding = left_alone(key, &owner);
                    findings.push(finding.clone());
                    self.left.insert(key, finding);
                }
                Err(error) => findings.push(not_listening(key, &error)),
            }
        }
        (opened, findings)
    }

    /// The configuration in force.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The label sets that counters name by number.
    pub fn labels(&mut self) -> Labels {
        self.labels.labels()
    }

    /// Label sets refused by their limit.
    pub fn label_sets_refused(&self) -> u64 {
        self.labels.refused()
    }

    /// How many workers run.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// A handle to the counters.
    pub fn counters(&self) -> Counters {
        Counters {
            workers: self
                .workers
                .iter()
                .map(|worker| worker.commands.clone())
                .collect(),
        }
    }

    /// Drains every worker and waits for the threads: answers with `connection: close` for `min`,
    /// then stops accepting, and ends with the last connection, or after `max`.
    pub async fn drain(self, min: Duration, max: Duration) {
        for worker in &self.workers {
            let _ = worker.commands.send(Command::Drain { min, max });
        }
        let joined = tokio::task::spawn_blocking(move || {
            for worker in self.workers {
                if worker.thread.join().is_err() {
                    tracing::error!("a worker panicked");
                }
            }
        });
        if let Err(error) = joined.await {
            tracing::error!(%error, "waiting for the workers failed");
        }
    }
}

impl Counters {
    /// The sum of all workers' counters.
    pub async fn metrics(&self) -> MetricsSnapshot {
        let mut sum = MetricsSnapshot::default();
        for answer in self.ask(Command::Scrape) {
            if let Ok(counters) = answer.await {
                sum.merge(counters);
            }
        }
        sum
    }

    fn ask<T>(&self, command: fn(oneshot::Sender<T>) -> Command) -> Vec<oneshot::Receiver<T>> {
        // All are asked before any is waited for, so that they count at the same time.
        self.workers
            .iter()
            .map(|worker| {
                let (answer, receiver) = oneshot::channel();
                let _ = worker.send(command(answer));
                receiver
            })
            .collect()
    }
}

impl EndpointStates for Counters {
    fn endpoint_states(&self) -> BoxFuture<'_, Vec<KnownEndpoints>> {
        Box::pin(async {
            let mut all = Vec::new();
            let deadline = tokio::time::Instant::now() + STATES;
            for answer in self.ask(Command::Health) {
                // A worker that does not answer keeps nobody from what the others know.
                if let Ok(Ok(states)) = timeout_at(deadline, answer).await {
                    all.push(states);
                }
            }
            all
        })
    }
}

fn start_worker(
    index: usize,
    cpu: Option<usize>,
    settings: WorkerSettings,
    access_log: Option<&AccessLog>,
    lost: mpsc::UnboundedSender<Key>,
) -> io::Result<WorkerHandle> {
    let (commands, receiver) = mpsc::unbounded_channel();
    let logger = access_log.map(AccessLog::logger);
    let thread = std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            if let Some(cpu) = cpu {
                pin(cpu);
            }
            if let Err(error) = worker::run(settings, logger, receiver, lost) {
                tracing::error!(%error, "a worker cannot run");
            }
        })?;
    Ok(WorkerHandle { commands, thread })
}

/// The CPUs that this process may use, if there is one for each worker.
fn pinnable(count: usize) -> Vec<usize> {
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else {
        return Vec::new();
    };
    let cpus: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|cpu| allowed.is_set(*cpu))
        .collect();
    if cpus.len() == count {
        cpus
    } else {
        Vec::new()
    }
}

fn pin(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
        tracing::debug!(cpu, %error, "worker is not pinned");
    }
}

fn key(listener: &Listener) -> Key {
    (listener.address, listener.serves.transport())
}

/// Whether sockets at the two stand in each other's way for [`BoundTcp::open_all`]: the same
/// address, or a wildcard and an address of its family.
fn overlap(a: &Key, b: &Key) -> bool {
    let ((a, a_transport), (b, b_transport)) = (a, b);
    a_transport == b_transport
        && a.port() == b.port()
        && a.is_ipv4() == b.is_ipv4()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

/// `beside`: a socket of our own is in the way, or was just now. The kernel lets it share the port
/// and gives each connection to the more specific address.
fn open_all(key: Key, count: usize, beside: bool) -> Result<Vec<Socket>, ListenError> {
    let (address, transport) = key;
    Ok(match transport {
        TransportProtocol::Tcp => {
            let options = ListenOptions::default();
            let bound = if beside {
                BoundTcp::open_beside(address, count, &options)?
            } else {
                BoundTcp::open_all(address, count, &options)?
            };
            bound.into_iter().map(Socket::Tcp).collect()
        }
        TransportProtocol::Udp => {
            let bound = if beside {
                BoundUdp::open_beside(address, count)?
            } else {
                BoundUdp::open_all(address, count)?
            };
            bound.into_iter().map(Socket::Udp).collect()
        }
    })
}

/// One socket of this host, from which all workers accept.
fn open_socket(
    socket: &str,
    stand_in: SocketAddr,
    count: usize,
) -> Result<Vec<Socket>, ListenError> {
    let bound = BoundTcp::open_socket(socket, stand_in, count)?;
    Ok(bound.into_iter().map(Socket::Tcp).collect())
}

/// A port of a Service that kube-proxy carries, and that another program has on this host. It is not
/// asked for again: while that program (sshd, say) starts anew it could not have it back.
fn left_alone(key: Key, owner: &str) -> Finding {
    let (address, transport) = key;
    let transport = transport_name(transport);
    Finding {
        code: codes::NOT_LISTENING,
        level: Level::Info,
        object: None,
        field: String::new(),
        position: None,
        message: format!(
            "{address} ({transport}) is left to kube-proxy, since {owner} listens at this port here: \
             kube-proxy, or what the cluster has in its place, carries the Service before any program \
             sees a packet. In a cluster without one the Service is not carried by this node."
        ),
        hint:
            "With --carry-services=never gatehouse opens no port of such Services. It is looked at \
               again when the Service has another address or port."
                .to_owned(),
    }
}

fn transport_name(transport: TransportProtocol) -> &'static str {
    match transport {
        TransportProtocol::Tcp => "TCP",
        TransportProtocol::Udp => "UDP",
    }
}

fn not_listening(key: (SocketAddr, TransportProtocol), error: &ListenError) -> Finding {
    let transport = transport_name(key.1);
    let place = match error {
        ListenError::Socket { socket, .. } => format!("unix://{socket}"),
        _ => format!("{} ({transport})", key.0),
    };
    Finding {
        code: codes::NOT_LISTENING,
        level: Level::Error,
        object: None,
        field: String::new(),
        position: None,
        message: format!("nothing is served at {place}: {error}"),
        hint: String::new(),
    }
}

#[cfg(test)]
mod tests;
