//! The control thread's handle: starts the workers, publishes configurations, collects counters.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use gatehouse_config::codes;
use gatehouse_config::finding::{Finding, Level};
use gatehouse_config::model::{Model, TransportProtocol};
use tokio::sync::{mpsc, oneshot};

use crate::compile::{Placement, compile};
use crate::net::{BoundTcp, BoundUdp, ListenError, ListenOptions};
use crate::observe::{AccessLog, LabelTable, Labels, MetricsSnapshot};
use crate::snapshot::{Serves, Snapshot};
use crate::worker::{self, Command, EndpointHealth, Opened, Socket, WorkerSettings};

/// A running data plane.
#[derive(Debug)]
pub struct Gateway {
    workers: Vec<WorkerHandle>,
    labels: LabelTable,
    snapshot: Arc<Snapshot>,
    open: BTreeSet<(SocketAddr, TransportProtocol)>,
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
        let workers = (0..count.max(1))
            .map(|index| {
                let cpu = cpus.get(index).copied();
                start_worker(index, cpu, settings.clone(), access_log)
            })
            .collect::<io::Result<_>>()?;
        Ok(Self {
            workers,
            labels: LabelTable::new(),
            snapshot: Arc::default(),
            open: BTreeSet::new(),
        })
    }

    /// Compiles and publishes a configuration. Listeners that cannot be opened are findings; they
    /// are tried again with the next call.
    pub fn apply(&mut self, model: &Model, placement: &Placement) -> Vec<Finding> {
        let generation = self.snapshot.generation + 1;
        let mut snapshot = compile(model, placement, &mut self.labels, generation);
        let mut findings = Vec::new();
        let mut opened: Vec<Vec<Opened>> = self.workers.iter().map(|_| Vec::new()).collect();
        let wanted: BTreeMap<_, _> = snapshot
            .listeners
            .iter()
            .map(|listener| {
                (
                    (listener.address, listener.serves.transport()),
                    listener.serves,
                )
            })
            .collect();
        self.open.retain(|key| wanted.contains_key(key));
        let mut failed = BTreeSet::new();
        for (key, serves) in wanted {
            if self.open.contains(&key) {
                continue;
            }
            match open_all(key.0, serves, self.workers.len()) {
                Ok(sockets) => {
                    self.open.insert(key);
                    for (worker, socket) in opened.iter_mut().zip(sockets) {
                        worker.push(Opened {
                            address: key.0,
                            socket,
                        });
                    }
                }
                Err(error) => {
                    failed.insert(key);
                    findings.push(not_listening(key, &error));
                }
            }
        }
        snapshot
            .listeners
            .retain(|listener| !failed.contains(&(listener.address, listener.serves.transport())));
        self.snapshot = Arc::new(snapshot);
        for (worker, opened) in self.workers.iter().zip(opened) {
            let snapshot = Arc::clone(&self.snapshot);
            // A worker that is gone has said why; the others go on.
            let _ = worker.commands.send(Command::Update { snapshot, opened });
        }
        findings
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

    /// What each worker knows of the endpoints, in the order of the snapshot's.
    pub async fn health(&self) -> Vec<Vec<EndpointHealth>> {
        let mut all = Vec::new();
        for answer in self.ask(Command::Health) {
            if let Ok(health) = answer.await {
                all.push(health);
            }
        }
        all
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

fn start_worker(
    index: usize,
    cpu: Option<usize>,
    settings: WorkerSettings,
    access_log: Option<&AccessLog>,
) -> io::Result<WorkerHandle> {
    let (commands, receiver) = mpsc::unbounded_channel();
    let logger = access_log.map(AccessLog::logger);
    let thread = std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            if let Some(cpu) = cpu {
                pin(cpu);
            }
            if let Err(error) = worker::run(settings, logger, receiver) {
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

fn open_all(address: SocketAddr, serves: Serves, count: usize) -> Result<Vec<Socket>, ListenError> {
    Ok(match serves {
        Serves::Http(_) | Serves::Tcp(_) => {
            BoundTcp::open_all(address, count, &ListenOptions::default())?
                .into_iter()
                .map(Socket::Tcp)
                .collect()
        }
        Serves::Udp(_) => BoundUdp::open_all(address, count)?
            .into_iter()
            .map(Socket::Udp)
            .collect(),
    })
}

fn not_listening(key: (SocketAddr, TransportProtocol), error: &ListenError) -> Finding {
    let transport = match key.1 {
        TransportProtocol::Tcp => "TCP",
        TransportProtocol::Udp => "UDP",
    };
    Finding {
        code: codes::NOT_LISTENING,
        level: Level::Error,
        object: None,
        field: String::new(),
        position: None,
        message: format!("nothing is served at {} ({transport}): {error}", key.0),
        hint: String::new(),
    }
}

#[cfg(test)]
mod tests;
