//! `gatehouse run` on the demo's node: this same program, as a process of its own.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::LanError;
use super::network::{self, NODE};

/// How long the daemon may take to withdraw its addresses.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// How much of the log an error shows.
const SHOWN_LINES: usize = 20;

/// The running daemon; killed when dropped.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    program: PathBuf,
    log: PathBuf,
}

impl Daemon {
    /// Starts it; its state and its log are in `directory`.
    pub(super) fn start(directory: &Path, config: &Path) -> Result<Self, LanError> {
        let program = std::env::current_exe()
            .map_err(LanError::io("the path of this program is not known"))?;
        let log = directory.join("gatehouse.log");
        let failed = LanError::io("gatehouse run cannot be started");
        let start = || -> io::Result<Child> {
            let out = File::create(&log)?;
            let mut command = network::command(NODE);
            command.arg(&program).arg("run");
            command
                .arg("--config")
                .arg(config)
                .arg("--state")
                .arg(directory.join("state"));
            command.args(["--node", "node"]);
            command
                .stdin(Stdio::null())
                .stdout(out.try_clone()?)
                .stderr(out);
            // Ctrl-C in the terminal reaches the demo alone, which then stops it in order.
            command.process_group(0).spawn()
        };
        let child = start().map_err(failed)?;
        Ok(Self {
            child,
            program,
            log,
        })
    }

    /// The program, for its other verbs.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Waits until it ends by itself, which it should not.
    pub(super) async fn ended(&mut self) -> LanError {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return self.failed(status),
                Ok(None) => tokio::time::sleep(PAUSE).await,
                Err(error) => return LanError::io("gatehouse run cannot be waited for")(error),
            }
        }
    }

    /// Ends it in order and waits for that.
    pub(super) fn stop(&mut self) -> Result<(), LanError> {
        let failed = || LanError::io("gatehouse run cannot be stopped");
        if self.child.try_wait().map_err(failed())?.is_some() {
            return Ok(());
        }
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.expect("a child's id is a positive number");
        kill_process(pid, Signal::TERM).map_err(|error| failed()(error.into()))?;
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            match self.child.try_wait().map_err(failed())? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(self.failed(status)),
                None => std::thread::sleep(PAUSE),
            }
        }
        Err(LanError::Story(format!(
            "gatehouse run did not stop within {PATIENCE:?}"
        )))
    }

    fn failed(&self, status: ExitStatus) -> LanError {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.len().saturating_sub(SHOWN_LINES);
        let log = lines.get(last..).unwrap_or_default().join("\n");
        LanError::Daemon {
            status: status.to_string(),
            log,
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // After stop() it has ended; otherwise nothing of it may stay.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
