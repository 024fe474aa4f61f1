//! The thread that formats and writes; nobody waits for it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use gatehouse_config::model::LogTarget;

use crate::observe::access_log::attributes;
use crate::observe::access_log::format::format;
use crate::observe::access_log::record::Record;

/// Lines in one write.
const BATCH: usize = 64;

/// How long the writer rests when it has written all there was. While it rests nobody has to
/// wake it: a worker that logs 10,000 lines a second would otherwise pay a system call for most.
const REST: Duration = Duration::from_millis(5);

/// How long a log that cannot be opened is left alone.
const RETRY: Duration = Duration::from_secs(5);

/// Logs that are kept open; more come from configurations of before.
const MOST_OPEN: usize = 64;

/// What is queued.
#[derive(Debug)]
pub(super) enum Message {
    /// A line, and where its record goes afterwards.
    Line(Box<Record>, Arc<Returns>),
    /// Look at the flags.
    Wake,
    /// Write what was queued before this, end, and drop the sender.
    Stop(SyncSender<()>),
}

/// A worker's side of finished records.
#[derive(Debug)]
pub(super) struct Returns {
    pub(super) records: SyncSender<Box<Record>>,
    /// Bytes of this worker's records that left the queue.
    pub(super) written: AtomicU64,
}

/// Flags and counters that all sides see.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) reopen: AtomicBool,
    pub(super) dropped: AtomicU64,
}

/// Where lines go.
#[derive(Debug)]
pub(super) enum Output {
    Stdout(io::Stdout),
    Stderr(io::Stderr),
    File(PathBuf, File),
}

impl Output {
    pub(super) fn open(target: &LogTarget) -> io::Result<Self> {
        Ok(match target {
            LogTarget::Stdout => Self::Stdout(io::stdout()),
            LogTarget::Stderr => Self::Stderr(io::stderr()),
            LogTarget::File(path) => Self::File(path.clone(), append_to(path)?),
        })
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => {
                let mut stdout = stdout.lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Self::Stderr(stderr) => stderr.lock().write_all(lines),
            Self::File(_, file) => file.write_all(lines),
        }
    }

    fn reopen(&mut self) {
        let Self::File(path, file) = self else { return };
        match append_to(path) {
            Ok(opened) => *file = opened,
            Err(error) => tracing::error!(
                path = %path.display(),
                %error,
                "the access log cannot be opened anew; lines go on to the file that was open"
            ),
        }
    }
}

fn append_to(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("access log {}: {error}", path.display()),
            )
        })
}

pub(super) fn spawn(queue: Receiver<Message>, shared: Arc<Shared>) -> io::Result<()> {
    let mut writer = Writer {
        queue,
        shared,
        logs: HashMap::new(),
    };
    thread::Builder::new()
        .name("access-log".to_owned())
        .spawn(move || writer.run())
        .map(drop)
}

struct Writer {
    queue: Receiver<Message>,
    shared: Arc<Shared>,
    logs: HashMap<LogTarget, Log>,
}

/// One log and the lines that wait for it.
struct Log {
    /// None: it cannot be opened, and is tried again later.
    output: Option<Output>,
    tried: Instant,
    lines: Vec<u8>,
    count: usize,
    /// The last write failed: said once, not for every line.
    failing: bool,
}

impl Writer {
    fn run(&mut self) {
        // Waits without a limit while nothing is logged.
        while let Ok(message) = self.queue.recv() {
            if !self.drain(message) {
                return;
            }
            thread::sleep(REST);
        }
    }

    /// Writes the message and all that is queued behind it; false at the end.
    fn drain(&mut self, first: Message) -> bool {
        let mut next = Ok(first);
        let mut ended = None;
        loop {
            let mut lines = 0;
            let go_on = loop {
                match next {
                    Ok(Message::Line(record, returns)) => {
                        self.line(record, &returns);
                        lines += 1;
                    }
                    Ok(Message::Wake) => {}
                    Ok(Message::Stop(sender)) => {
                        // Dropped when this returns, after the flush.
                        ended = Some(sender);
                        break Some(false);
                    }
                    Err(TryRecvError::Disconnected) => break Some(false),
                    Err(TryRecvError::Empty) => break Some(true),
                }
                if lines == BATCH {
                    break None;
                }
                next = self.queue.try_recv();
            };
            if self.shared.reopen.swap(false, Ordering::AcqRel) {
                for output in self.logs.values_mut().filter_map(|log| log.output.as_mut()) {
                    output.reopen();
                }
            }
            self.flush();
            if let Some(go_on) = go_on {
                drop(ended);
                return go_on;
            }
            next = self.queue.try_recv();
        }
    }

    fn line(&mut self, mut record: Box<Record>, returns: &Returns) {
        if let Some(plan) = record.plan.take() {
            // The plan is put back: headers are found by it.
            record.plan = Some(Arc::clone(&plan));
            let mut attributes = None;
            for wanted in &plan.logs {
                if let Some(filter) = &wanted.filter {
                    let attributes = attributes.get_or_insert_with(|| attributes::of(&record));
                    if !filter.holds(attributes) {
                        continue;
                    }
                }
                let log = self.log(&wanted.target);
                format(&mut log.lines, &record, wanted);
                log.count += 1;
            }
        }
        returns.written.fetch_add(record.size(), Ordering::Relaxed);
        record.recycle();
        // A full or abandoned return box only means that this record is freed.
        let _ = returns.records.try_send(record);
    }

    fn log(&mut self, target: &LogTarget) -> &mut Log {
        if !self.logs.contains_key(target) {
            if self.logs.len() >= MOST_OPEN {
                self.flush();
                self.logs.clear();
            }
            self.logs.insert(target.clone(), Log::open(target));
        }
        self.logs
            .entry(target.clone())
            .or_insert_with(|| Log::open(target))
    }

    fn flush(&mut self) {
        for (target, log) in &mut self.logs {
            if log.output.is_none() && log.tried.elapsed() >= RETRY {
                let lines = std::mem::take(&mut log.lines);
                *log = Log {
                    lines,
                    count: log.count,
                    ..Log::open(target)
                };
            }
            log.flush(&self.shared);
        }
    }
}

impl Log {
    fn open(target: &LogTarget) -> Self {
        let output = Output::open(target);
        if let Err(error) = &output {
            tracing::error!(%error, "an access log cannot be opened; its lines are dropped");
        }
        Self {
            output: output.ok(),
            tried: Instant::now(),
            lines: Vec::with_capacity(BATCH * 512),
            count: 0,
            failing: false,
        }
    }

    fn flush(&mut self, shared: &Shared) {
        if self.lines.is_empty() {
            return;
        }
        let written = self.output.as_mut().map(|output| output.write(&self.lines));
        match written {
            Some(Ok(())) => self.failing = false,
            other => {
                shared
                    .dropped
                    .fetch_add(self.count as u64, Ordering::Relaxed);
                if let Some(Err(error)) = other
                    && !self.failing
                {
                    tracing::error!(%error, "the access log cannot be written; lines are dropped");
                    self.failing = true;
                }
            }
        }
        self.count = 0;
        self.lines.clear();
        self.lines.shrink_to(1 << 20);
    }
}
