//! The daemon under test: the real binary, started on a node and ready when it says so.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::binary::gatehouse_binary;
use crate::http::{self, Response};
use crate::node::{Node, Output};
use crate::process::Process;
use crate::wait::{DEADLINE, eventually};

/// A running daemon; killed when dropped.
#[derive(Debug)]
pub struct Gatehouse {
    process: Process,
    node: Node,
    admin: String,
    /// Kept until the end: the state folder where the test did not bring its own, and the
    /// notification socket.
    _folder: TempDir,
}

/// How a daemon is started.
#[derive(Debug)]
pub struct GatehouseBuilder {
    node: Node,
    program: PathBuf,
    wrapper: Vec<String>,
    arguments: Vec<String>,
    state: Option<PathBuf>,
    admin: Option<String>,
    kubeconfig: Option<PathBuf>,
    verb: &'static str,
    variables: Vec<(String, String)>,
}

impl Gatehouse {
    /// Starts `gatehouse run --config DIR` on a node, with a state folder of its own and further
    /// arguments; returns when it is ready.
    pub fn start(node: &Node, config: &Path, arguments: &[&str]) -> Self {
        Self::on(node).arguments(arguments).start(config)
    }

    /// To start one with more choices.
    pub fn on(node: &Node) -> GatehouseBuilder {
        GatehouseBuilder {
            node: node.clone(),
            program: gatehouse_binary().to_path_buf(),
            wrapper: Vec::new(),
            arguments: Vec::new(),
            state: None,
            admin: None,
            kubeconfig: None,
            verb: "run",
            variables: Vec::new(),
        }
    }

    /// Runs another verb of the program on a node, to its end.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn verb(node: &Node, arguments: &[&str]) -> Output {
        let output = node.command(gatehouse_binary()).args(arguments).output();
        let output = output.unwrap_or_else(|error| panic!("cannot run gatehouse: {error}"));
        Output {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a verb that asks this daemon, such as `get services`.
    pub fn ask(&self, arguments: &[&str]) -> Output {
        let mut all = arguments.to_vec();
        all.extend(["--admin", &self.admin]);
        Self::verb(&self.node, &all)
    }

    /// A GET of its admin API.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    pub fn api(&self, path: &str) -> Response {
        let address: SocketAddr = self.admin.parse().expect("the admin address is one");
        let answer = self
            .node
            .enter(|| http::get(address, &self.admin, path, &[]));
        answer.unwrap_or_else(|error| panic!("GET {path} of the admin API: {error}"))
    }

    /// The rows of `gatehouse get WHAT -o json`.
    ///
    /// # Panics
    ///
    /// When the daemon does not answer with a list.
    pub fn rows(&self, what: &str) -> Vec<Value> {
        let text = self.ask(&["get", what, "-o", "json"]).ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("no list ({error}): {text}"))
    }

    /// The row of `get services` for a Service.
    pub fn service(&self, name: &str) -> Option<Value> {
        self.rows("services")
            .into_iter()
            .find(|row| row["name"] == name)
    }

    /// The address that a Service has; none while it is pending or unknown.
    pub fn external_ip(&self, name: &str) -> Option<String> {
        let row = self.service(name)?;
        Some(row["external_ip"].get(0)?.as_str()?.to_owned())
    }

    /// Where its admin API listens.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// Waits for a line of the log that contains `text`.
    pub fn wait_for_log(&mut self, text: &str) -> String {
        self.process.wait_for_line(text, DEADLINE)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(mut self) -> ExitStatus {
        self.process.signal(Signal::TERM);
        self.process.wait(Duration::from_secs(60))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// SIGKILL: nothing is cleaned up.
    pub fn kill(mut self) {
        self.process.kill();
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().is_none()
    }
}

impl GatehouseBuilder {
    /// Further arguments of `run`.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// `speaker` or `gateway` in the place of `run`.
    #[must_use]
    pub fn verb(mut self, verb: &'static str) -> Self {
        self.verb = verb;
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The state folder; without it a fresh one.
    #[must_use]
    pub fn state(mut self, state: &Path) -> Self {
        self.state = Some(state.to_path_buf());
        self
    }

    /// Another copy of the program.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        self.program = program.to_path_buf();
        self
    }

    /// A program that starts it, such as `setpriv --reuid 65534 …`.
    #[must_use]
    pub fn wrapped(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Where the admin API listens (default 127.0.0.1:15000).
    #[must_use]
    pub fn admin(mut self, address: &str) -> Self {
        self.admin = Some(address.to_owned());
        self
    }

    /// With `--kube`, for the cluster of this kubeconfig.
    #[must_use]
    pub fn kube(mut self, kubeconfig: &Path) -> Self {
        self.kubeconfig = Some(kubeconfig.to_path_buf());
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it ends first, or is not ready within [`DEADLINE`].
    pub fn start(self, config: &Path) -> Gatehouse {
        self.start_from(Some(config))
    }

    /// The same without a directory, from a cluster alone.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_in_cluster(self) -> Gatehouse {
        self.start_from(None)
    }

    fn start_from(self, config: Option<&Path>) -> Gatehouse {
        let folder = tempfile::Builder::new().prefix("gatehouse-e2e-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        let notify = folder.path().join("notify");
        let socket = UnixDatagram::bind(&notify).expect("a socket can be made there");
        // Other users must reach the state folder and the socket (tests that run it as nobody).
        for path in [folder.path(), &notify] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))
                .expect("an own file can be opened to others");
        }
        let mut command = self.command(config, folder.path());
        command.env("NOTIFY_SOCKET", &notify);
        let name = format!("gatehouse on {}", self.node.name());
        let mut process = Process::start(&name, &mut command);
        wait_until_ready(&mut process, &socket);
        let admin = self.admin.unwrap_or_else(|| "127.0.0.1:15000".to_owned());
        Gatehouse {
            process,
            node: self.node,
            admin,
            _folder: folder,
        }
    }

    fn command(&self, config: Option<&Path>, folder: &Path) -> Command {
        let mut command = match self.wrapper.split_first() {
            None => self.node.command(&self.program),
            Some((program, arguments)) => {
                let mut command = self.node.command(program);
                command.args(arguments).arg(&self.program);
                command
            }
        };
        let own = folder.join("state");
        command.arg(self.verb).envs(self.variables.iter().cloned());
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        if let Some(kubeconfig) = &self.kubeconfig {
            command.arg("--kube").env("KUBECONFIG", kubeconfig);
        }
        // A gateway alone deals no addresses that would be kept.
        if self.verb != "gateway" {
            command
                .arg("--state")
                .arg(self.state.as_deref().unwrap_or(&own));
        }
        if let Some(admin) = &self.admin {
            command.args(["--admin", admin]);
        }
        command.args(&self.arguments);
        command
    }
}

/// READY=1 by systemd's protocol (sd_notify(3)).
fn wait_until_ready(process: &mut Process, socket: &UnixDatagram) {
    socket
        .set_nonblocking(true)
        .expect("a socket can be made non-blocking");
    let mut buffer = [0; 4096];
    eventually("gatehouse is ready", DEADLINE, || {
        if let Some(status) = process.try_wait() {
            panic!("gatehouse ended before it was ready: {status}");
        }
        match socket.recv(&mut buffer) {
            Ok(read) => {
                let text = String::from_utf8_lossy(buffer.get(..read)?).into_owned();
                text.lines().any(|line| line == "READY=1").then_some(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("the notification socket broke: {error}"),
        }
    });
}
