//! Access logs, in Istio's formats or others, formatted on a thread of its own.
//!
//! A worker copies the fields of an exchange into an owned record and puts it into a bounded
//! queue; when the queue is full the line is dropped and counted. A worker never waits for a
//! disk, a pipe or a terminal.

mod attributes;
mod format;
mod plan;
mod record;
mod writer;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use gatehouse_config::model::{EndpointAddress, LogTarget};

use crate::exchange::{Exchange, ResponseFlags};
use crate::tls::TlsConnection;
pub use plan::LogPlan;
use record::Record;
use writer::{Message, Output, Returns, Shared};

/// Records that may wait for the writer, all workers together.
const QUEUE: usize = 8_192;

/// Bytes of records of one worker that may wait for the writer.
const QUEUED_BYTES: u64 = 8 << 20;

/// Emptied records kept for a worker to use again.
const RECYCLED: usize = 256;

/// The names behind an exchange's numbers; empty prints as `-`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resolved<'a> {
    /// `%ROUTE_NAME%`.
    pub route_name: &'a str,
    /// `%UPSTREAM_CLUSTER_RAW%`: `outbound|9080||productpage.default.svc.cluster.local`.
    pub cluster: &'a str,
    /// `%UPSTREAM_HOST%`.
    pub endpoint: Option<&'a EndpointAddress>,
}

/// A carried TCP connection that ended, or one that was not let in.
#[derive(Clone, Copy, Debug)]
pub struct TcpConnection<'a> {
    /// When it was accepted.
    pub started_at: SystemTime,
    /// How long it lived.
    pub duration: Duration,
    /// The client.
    pub peer: SocketAddr,
    /// Our address that the client connected to.
    pub local: SocketAddr,
    /// What TLS told of the client, ended here or not; none for plain TCP.
    pub tls: Option<&'a TlsConnection>,
    /// Our address on the upstream connection.
    pub upstream_local: Option<SocketAddr>,
    /// What went wrong.
    pub flags: ResponseFlags,
    /// `%RESPONSE_CODE_DETAILS%`; empty prints as `-`.
    pub details: &'static str,
    /// Why the upstream could not be reached; empty prints as `-`.
    pub transport_failure: &'a str,
    /// What was wrong with what the client sent first; empty prints as `-`.
    pub downstream_failure: &'static str,
    /// Bytes from the client.
    pub received: u64,
    /// Bytes to the client.
    pub sent: u64,
    /// Cluster and endpoint.
    pub resolved: Resolved<'a>,
}

/// The running log: the control thread holds it. Dropping it lets the writer finish what is
/// queued; [`finish`](Self::finish) waits for that.
#[derive(Debug)]
pub struct AccessLog {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
}

/// Counts lines that were dropped.
#[derive(Clone, Debug)]
pub struct Drops(Arc<Shared>);

impl Drops {
    /// How many, so far.
    pub fn count(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

impl AccessLog {
    /// Starts the writer. It opens a log when the first line for it comes.
    ///
    /// # Errors
    ///
    /// The thread cannot be started.
    pub fn start() -> io::Result<Self> {
        let (queue, records) = sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        writer::spawn(records, shared.clone())?;
        Ok(Self { queue, shared })
    }

    /// Whether a log can be opened.
    ///
    /// # Errors
    ///
    /// The file cannot be opened.
    pub fn check(target: &LogTarget) -> io::Result<()> {
        Output::open(target).map(drop)
    }

    /// The handle of one worker; move it there.
    pub fn logger(&self) -> AccessLogger {
        let (returns, recycled) = sync_channel(RECYCLED);
        AccessLogger {
            queue: self.queue.clone(),
            shared: self.shared.clone(),
            recycled,
            returns: Arc::new(Returns {
                records: returns,
                written: AtomicU64::new(0),
            }),
            queued: 0,
        }
    }

    /// Opens the files anew, after a rotation moved them away. Returns at once; lines queued
    /// before the call may still go to the old files.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        // Wakes an idle writer; one that is behind looks at the flag anyway.
        let _ = self.queue.try_send(Message::Wake);
    }

    /// Lines dropped so far because the queue was full or the target could not be written.
    pub fn drops(&self) -> Drops {
        Drops(Arc::clone(&self.shared))
    }

    /// Waits until every queued line is written, but no longer than `patience`: a pipe that nobody
    /// reads must not keep the process from ending. Call it when the workers have ended.
    ///
    /// Blocks the calling thread. False if lines were left.
    pub fn finish(self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let (ended, end) = sync_channel(0);
        let mut message = Message::Stop(ended);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(message) {
            if Instant::now() >= deadline {
                return false;
            }
            message = back;
            std::thread::sleep(Duration::from_millis(1));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        // The writer never sends: it drops its end when it is done.
        end.recv_timeout(left) == Err(RecvTimeoutError::Disconnected)
    }
}

/// A worker's end of the log.
#[derive(Debug)]
pub struct AccessLogger {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
    /// Emptied records.
    recycled: Receiver<Box<Record>>,
    returns: Arc<Returns>,
    /// Bytes ever queued by this worker; the writer counts what it has written.
    queued: u64,
}

impl AccessLogger {
    /// Queues the lines of a finished exchange.
    pub fn log(&mut self, exchange: &Exchange, resolved: Resolved<'_>, plan: &Arc<LogPlan>) {
        let mut record = self.empty_record();
        record.fill_http(exchange, resolved, plan);
        self.send(record);
    }

    /// Queues the lines of a TCP connection.
    pub fn log_tcp(&mut self, connection: &TcpConnection<'_>, plan: &Arc<LogPlan>) {
        let mut record = self.empty_record();
        record.fill_tcp(connection, plan);
        self.send(record);
    }

    fn empty_record(&mut self) -> Box<Record> {
        self.recycled.try_recv().unwrap_or_default()
    }

    fn send(&mut self, record: Box<Record>) {
        let size = record.size();
        let written = self.returns.written.load(Ordering::Relaxed);
        let waiting = self.queued.saturating_sub(written);
        if waiting + size > QUEUED_BYTES {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let message = Message::Line(record, self.returns.clone());
        match self.queue.try_send(message) {
            Ok(()) => self.queued += size,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests;
