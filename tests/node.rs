//! A machine of the LAN, or the machine itself: a place where programs run.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process::Process;

/// A machine of the LAN (a network namespace), or this machine.
#[derive(Clone, Debug)]
pub struct Node {
    name: String,
    /// None: this machine.
    namespace: Option<String>,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
}

/// What a command gave.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its stdout, as text.
    pub stdout: String,
    /// Its stderr, as text.
    pub stderr: String,
}

impl Output {
    /// The stdout of a command that must not fail.
    ///
    /// # Panics
    ///
    /// When the command failed, with all that it wrote.
    pub fn ok(self) -> String {
        assert!(self.status.success(), "failed: {self:?}");
        self.stdout
    }
}

impl Node {
    /// This machine, without a namespace: use addresses from
    /// [`loopback_address`](crate::loopback_address) only.
    pub fn host() -> Self {
        Self {
            name: "host".to_owned(),
            namespace: None,
            v4: Ipv4Addr::LOCALHOST,
            v6: Ipv6Addr::LOCALHOST,
        }
    }

    pub(crate) fn in_namespace(name: &str, namespace: &str, v4: Ipv4Addr, v6: Ipv6Addr) -> Self {
        Self {
            name: name.to_owned(),
            namespace: Some(namespace.to_owned()),
            v4,
            v6,
        }
    }

    /// Its name within the LAN.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The network namespace; none for the host.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Its IPv4 address.
    pub fn v4(&self) -> Ipv4Addr {
        self.v4
    }

    /// Its IPv6 address.
    pub fn v6(&self) -> Ipv6Addr {
        self.v6
    }

    /// Its IPv4 address, for places that take both families.
    pub fn address(&self) -> IpAddr {
        IpAddr::V4(self.v4)
    }

    /// The MAC address of its eth0, in lower case with colons.
    ///
    /// # Panics
    ///
    /// When there is no such interface.
    pub fn mac(&self) -> String {
        let text = self.sh("cat /sys/class/net/eth0/address").ok();
        text.trim().to_ascii_lowercase()
    }

    /// A command that will run here.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let program = program.as_ref();
        let Some(namespace) = &self.namespace else {
            return Command::new(program);
        };
        // `ip netns exec` replaces itself by the program: the child's id is the program's.
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(program);
        command
    }

    /// Runs a program to its end.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn exec<const N: usize>(&self, program_and_arguments: [&str; N]) -> Output {
        let (program, arguments) = program_and_arguments
            .split_first()
            .expect("a program was named");
        let output = self
            .command(program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{}: cannot run {program}: {error}", self.name));
        Output {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a line of shell to its end.
    pub fn sh(&self, line: &str) -> Output {
        self.exec(["sh", "-c", line])
    }

    /// Starts a program in the background.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn spawn<const N: usize>(&self, program_and_arguments: [&str; N]) -> Process {
        let (program, arguments) = program_and_arguments
            .split_first()
            .expect("a program was named");
        let name = format!("{program} on {}", self.name);
        Process::start(&name, self.command(program).args(arguments))
    }

    /// Runs `work` on a thread that is inside this node's network: sockets that it opens belong
    /// there and stay there, whoever uses them later.
    ///
    /// # Panics
    ///
    /// When `work` panics, or the namespace is gone.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let Some(namespace) = &self.namespace else {
            return work();
        };
        let path = format!("/var/run/netns/{namespace}");
        let result = std::thread::scope(|scope| {
            let inside = || {
                let file = File::open(&path)
                    .unwrap_or_else(|error| panic!("{}: cannot open {path}: {error}", self.name));
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .unwrap_or_else(|error| panic!("cannot enter {namespace}: {error}"));
                work()
            };
            scope.spawn(inside).join()
        });
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
