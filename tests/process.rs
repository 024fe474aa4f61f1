//! A child process whose output is collected and which does not outlive its handle.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::eventually;

/// How long the last words of a program that has ended may take to arrive.
const REST: Duration = Duration::from_secs(2);

/// A running program; killed when dropped. If the test is failing then, what the program wrote is
/// shown.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    output: Arc<Mutex<String>>,
    /// Read its stdout and stderr until their ends.
    collectors: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts a command; its stdout and stderr are collected, its stdin stays open while the
    /// handle lives.
    ///
    /// # Panics
    ///
    /// When the program cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        let output = Arc::new(Mutex::new(String::new()));
        let stdout = child.stdout.take().map(|stdout| collect(stdout, &output));
        let stderr = child.stderr.take().map(|stderr| collect(stderr, &output));
        let collectors = stdout.into_iter().chain(stderr).collect();
        Self {
            child,
            name: name.to_owned(),
            output,
            collectors,
        }
    }

    /// What it has written so far, stdout and stderr line by line in the order of arrival.
    pub fn output(&self) -> String {
        locked(&self.output).clone()
    }

    /// Waits for a line that contains `text` and returns it.
    ///
    /// # Panics
    ///
    /// When the deadline passes or the program ends first.
    pub fn wait_for_line(&mut self, text: &str, deadline: Duration) -> String {
        let what = format!("{}: a line with {text:?}", self.name);
        eventually(&what, deadline, || {
            // Asked before the output is read: what it wrote until its end then counts.
            let ended = self.try_wait();
            let output = self.output();
            let line = output
                .lines()
                .find(|line| line.contains(text))
                .map(str::to_owned);
            assert!(
                line.is_some() || ended.is_none(),
                "{} ended ({ended:?}) before it wrote {text:?}",
                self.name
            );
            line
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.expect("a child's id is a positive number");
        kill_process(pid, signal)
            .unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.name));
    }

    /// How it ended, if it has; all that it wrote has then been collected.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("a child can be waited for")?;
        // What it started itself may hold the pipes open: that is not waited for without end.
        let started = Instant::now();
        while !self.collectors.iter().all(JoinHandle::is_finished) && started.elapsed() < REST {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        Some(status)
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    ///
    /// When the deadline passes.
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        eventually(&what, deadline, || self.try_wait())
    }

    /// Kills it (SIGKILL) and waits for its end.
    pub fn kill(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Closes its stdin.
    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- output of {} ---\n{}---", self.name, self.output());
        }
    }
}

fn collect(from: impl Read + Send + 'static, into: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            locked(&into).push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

fn locked(text: &Mutex<String>) -> MutexGuard<'_, String> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}
