//! Something between gatehouse and the real API server that answers in its place where it is told
//! to: what an API server cannot be made to answer. between.py says how.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use gatehouse_e2e::{DEADLINE, Gatehouse, Need, Process, free_port, python, satisfied};

use crate::setup::Setup;

/// Kept while gatehouse runs behind it.
pub struct Between {
    _process: Process,
    faults: PathBuf,
    requests: PathBuf,
    pub kubeconfig: PathBuf,
}

impl Between {
    /// Starts it at the first node, in front of the setup's API server.
    pub fn start(setup: &Setup) -> Option<Self> {
        if !satisfied(&[Need::Python("asyncio")]) {
            return None;
        }
        let node = &setup.nodes[0];
        let folder = setup.server.folder();
        let [faults, requests, kubeconfig] =
            ["faults", "requests", "between.kubeconfig"].map(|name| folder.join(name));
        for file in [&faults, &requests] {
            fs::write(file, "").expect("a file can be written there");
        }
        let at = SocketAddr::from((node.v4(), node.enter(|| free_port(node.v4()))));
        let server = setup.server.address();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/suites/kubernetes/between.py");
        let mut command = node.command(python().get_program());
        command
            .arg(script)
            .args([at.ip().to_string(), at.port().to_string()])
            .args([server.ip().to_string(), server.port().to_string()])
            .arg(folder.join("certificates/apiserver.crt"))
            .args([&faults, &requests]);
        let mut process = Process::start("between", &mut command);
        process.wait_for_line("ready", DEADLINE);
        let text = fs::read_to_string(setup.server.kubeconfig("gatehouse"));
        let text = text.expect("the kubeconfig is there");
        let text: String = text
            .lines()
            .filter(|line| !line.contains("certificate-authority"))
            .map(|line| line.replace(&format!("https://{server}"), &format!("http://{at}")) + "\n")
            .collect();
        fs::write(&kubeconfig, text).expect("a file can be written there");
        Some(Self {
            _process: process,
            faults,
            requests,
            kubeconfig,
        })
    }

    /// gatehouse on the first node, behind it.
    pub fn gatehouse(&self, setup: &Setup) -> Gatehouse {
        setup.start_with(&setup.nodes[0], &self.kubeconfig)
    }

    /// From now on these are answered; one JSON object a line.
    pub fn answer(&self, faults: &str) {
        // In one step: a file that is half written would be read.
        let new = self.faults.with_extension("new");
        fs::write(&new, faults).expect("a file can be written there");
        fs::rename(&new, &self.faults).expect("a file can be renamed");
    }

    /// The requests so far that contain both texts.
    pub fn requests(&self, method: &str, path: &str) -> Vec<String> {
        let text = fs::read_to_string(&self.requests).expect("the file is there");
        let lines = text.lines().filter(|line| line.starts_with(method));
        lines
            .filter(|line| line.contains(path))
            .map(str::to_owned)
            .collect()
    }
}
