//! A real API server for tests: etcd and kube-apiserver, as `tests/apiserver/build.sh` made them.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::binary::target_root;
use crate::loopback::free_port;
use crate::node::{Node, Output};
use crate::process::Process;
use crate::requirements::{Need, find_program, python, satisfied};
use crate::wait::eventually;

/// How long a start may take on a loaded machine; it takes 5 s on an idle one.
const START: Duration = Duration::from_secs(120);

/// Tokens of people and programs: `token,user,uid,"groups"`.
const TOKENS: &str = "\
admin-token,admin,1,\"system:masters\"
gatehouse-token,system:serviceaccount:gatehouse-system:gatehouse,2,\"system:serviceaccounts,system:serviceaccounts:gatehouse-system\"
";

/// An API server and its etcd; killed, with all that they hold, when dropped.
#[derive(Debug)]
pub struct ApiServer {
    node: Node,
    folder: TempDir,
    address: SocketAddr,
    etcd: SocketAddr,
    server: Option<Process>,
    _etcd: Process,
}

impl ApiServer {
    /// Starts one on a node (at its address in a LAN, at a loopback address of the host), with the
    /// account and the rights of `deploy/`; none, and the test returns, where it was not built.
    ///
    /// # Panics
    ///
    /// When it does not start, or something is missing under `GATEHOUSE_REQUIRE_ALL=1`.
    pub fn start(node: &Node, address: Ipv4Addr) -> Option<Self> {
        if !satisfied(&[Need::ApiServer, Need::Program("openssl")]) {
            return None;
        }
        let folder = tempfile::Builder::new().prefix("gatehouse-e2e-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("tokens.csv"), TOKENS).expect("a file can be written there");
        let key = path("accounts.key");
        run(Command::new("openssl").args(["genpkey", "-algorithm", "RSA", "-out", &key]));

        let [client, peer, api] = [0; 3].map(|_| node.enter(|| free_port(address)));
        let (client, peer) = (
            SocketAddr::from((address, client)),
            SocketAddr::from((address, peer)),
        );
        let etcd = Process::start(
            "etcd",
            node.command(programs().join("etcd"))
                .args(["--data-dir", &path("etcd"), "--log-level", "error"])
                .args(["--listen-client-urls", &format!("http://{client}")])
                .args(["--advertise-client-urls", &format!("http://{client}")])
                .args(["--listen-peer-urls", &format!("http://{peer}")])
                .args(["--initial-advertise-peer-urls", &format!("http://{peer}")])
                .args(["--initial-cluster", &format!("default=http://{peer}")])
                // Nothing has to survive the test.
                .arg("--unsafe-no-fsync"),
        );
        let mut server = Self {
            node: node.clone(),
            address: SocketAddr::from((address, api)),
            etcd: client,
            server: None,
            _etcd: etcd,
            folder,
        };
        server.go_on();
        server.write_kubeconfigs();
        server.kubectl(&["apply", "-f", &deploy("rbac.yaml")]).ok();
        server
            .kubectl(&["create", "namespace", "metallb-system"])
            .ok();
        // The server makes it by itself, a moment after its start.
        eventually("the namespace default is there", START, || {
            let output = server.kubectl(&["get", "namespace", "default"]);
            output.status.success().then_some(())
        });
        Some(server)
    }

    /// Installs the kinds of `deploy/crds`.
    ///
    /// # Panics
    ///
    /// When they are refused.
    pub fn install_crds(&self) {
        self.kubectl(&["apply", "-f", &deploy("crds")]).ok();
        let wait = [
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            "--timeout=60s",
        ];
        self.kubectl(&wait).ok();
    }

    /// Starts the API server again, after [`stop`](Self::stop).
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn go_on(&mut self) {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let address = self.address.ip().to_string();
        let key = path("accounts.key");
        let mut command = self.node.command(programs().join("kube-apiserver"));
        command
            .args(["--etcd-servers", &format!("http://{}", self.etcd)])
            .args(["--bind-address", &address, "--advertise-address", &address])
            .args(["--secure-port", &self.address.port().to_string()])
            .args(["--cert-dir", &path("certificates")])
            .args(["--token-auth-file", &path("tokens.csv")])
            .args(["--authorization-mode", "RBAC"])
            .args(["--disable-admission-plugins", "ServiceAccount"])
            .args(["--service-account-issuer", "https://kubernetes.default.svc"])
            .args(["--service-account-key-file", &key])
            .args(["--service-account-signing-key-file", &key])
            .args(["--service-cluster-ip-range", "10.96.0.0/16,fd00:96::/112"])
            .args(["--endpoint-reconciler-type", "none"]);
        let mut server = Process::start("kube-apiserver", &mut command);
        eventually("the API server is ready", START, || {
            if let Some(status) = server.try_wait() {
                panic!("kube-apiserver ended: {status}");
            }
            self.is_ready().then_some(())
        });
        self.server = Some(server);
    }

    fn is_ready(&self) -> bool {
        let url = format!("https://{}/readyz", self.address);
        let mut curl = self.node.command("curl");
        curl.args([
            "-fsk",
            "--max-time",
            "2",
            "-H",
            "authorization: Bearer admin-token",
            &url,
        ]);
        let output = curl.stdin(Stdio::null()).output();
        output.is_ok_and(|output| output.stdout == b"ok")
    }

    /// Kills the API server; etcd keeps what it holds.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Makes it hang: it takes connections and answers nothing. SIGCONT lets it go on.
    pub fn signal(&self, signal: Signal) {
        if let Some(server) = &self.server {
            server.signal(signal);
        }
    }

    fn write_kubeconfigs(&self) {
        let authority = self.folder.path().join("certificates/apiserver.crt");
        for who in ["admin", "gatehouse"] {
            let text = format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
                 clusters:\n- name: it\n  cluster:\n    server: https://{}\n    \
                 certificate-authority: {}\n\
                 users:\n- name: it\n  user:\n    token: {who}-token\n\
                 contexts:\n- name: it\n  context:\n    cluster: it\n    user: it\n",
                self.address,
                authority.display()
            );
            fs::write(self.kubeconfig(who), text).expect("a file can be written there");
        }
    }

    /// The kubeconfig of `admin`, or of `gatehouse` with the rights of `deploy/rbac.yaml`.
    pub fn kubeconfig(&self, who: &str) -> PathBuf {
        self.folder.path().join(format!("{who}.kubeconfig"))
    }

    /// Where it listens, with TLS.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where files of a test may be put.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `kubectl`, as admin, not started yet.
    pub fn kubectl_command(&self) -> Command {
        let mut command = self.node.command(kubectl());
        command.arg("--kubeconfig").arg(self.kubeconfig("admin"));
        // Its cache would be the user's own.
        command
            .arg("--cache-dir")
            .arg(self.folder.path().join("kubectl"));
        command
    }

    /// `kubectl ARGUMENTS`, to its end.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        let mut command = self.kubectl_command();
        let output = command.args(arguments).stdin(Stdio::null()).output();
        ended(output.unwrap_or_else(|error| panic!("cannot run kubectl: {error}")))
    }

    /// `kubectl apply -f -` with this text.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub fn apply(&self, yaml: &str) -> String {
        self.apply_with(&["apply", "-f", "-"], yaml)
    }

    /// `kubectl apply --server-side -f -` with this text.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub fn apply_server_side(&self, yaml: &str) -> String {
        let server_side = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.apply_with(&server_side, yaml)
    }

    /// `kubectl ARGUMENTS` with this text as its stdin.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn apply_with(&self, arguments: &[&str], yaml: &str) -> String {
        let mut command = self.kubectl_command();
        command.args(arguments);
        let pipes = [Stdio::piped(), Stdio::piped(), Stdio::piped()];
        let [stdin, stdout, stderr] = pipes;
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        let mut child = command.spawn().expect("kubectl can be started");
        let mut stdin = child.stdin.take().expect("its stdin is a pipe");
        stdin
            .write_all(yaml.as_bytes())
            .expect("kubectl reads its stdin");
        drop(stdin);
        ended(child.wait_with_output().expect("kubectl ends")).ok()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // Before its etcd, of whose end it would have much to say.
        self.server = None;
    }
}

fn deploy(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    folder.join(name).display().to_string()
}

fn ended(output: std::process::Output) -> Output {
    Output {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn run(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// Whether the programs were built.
pub(crate) fn is_built() -> bool {
    ["etcd", "kube-apiserver"]
        .iter()
        .all(|name| programs().join(name).is_file())
}

/// Whether there is a kubectl.
pub(crate) fn has_kubectl() -> bool {
    let kubectl = kubectl();
    kubectl.is_file() || find_program("kubectl").is_some()
}

/// Where `tests/apiserver/build.sh` put the programs.
fn programs() -> PathBuf {
    target_root().join("apiserver/current")
}

/// kubectl of the version that tests/requirements.txt names where it is installed, else any.
fn kubectl() -> PathBuf {
    let python = PathBuf::from(python().get_program());
    let beside = python.with_file_name("kubectl");
    match beside.is_file() {
        true => beside,
        false => PathBuf::from("kubectl"),
    }
}
