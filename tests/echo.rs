//! Starting the echo upstream on a node.

use std::net::SocketAddr;

use crate::binary::echo_binary;
use crate::node::Node;
use crate::process::Process;
use crate::wait::DEADLINE;

/// A running `gatehouse-e2e-echo`.
#[derive(Debug)]
pub struct Echo {
    process: Process,
    ports: EchoPorts,
}

/// Where an [`Echo`] listens, each in the order in which it was asked for.
#[derive(Clone, Debug, Default)]
pub struct EchoPorts {
    /// HTTP/1.1.
    pub http: Vec<SocketAddr>,
    /// HTTP/2 in plain text.
    pub http2: Vec<SocketAddr>,
    /// TCP, with half-close.
    pub tcp: Vec<SocketAddr>,
    /// UDP.
    pub udp: Vec<SocketAddr>,
}

impl Echo {
    /// Starts one that calls itself `name` and serves HTTP at `http` (port 0: a free one).
    pub fn http(node: &Node, name: &str, http: SocketAddr) -> Self {
        let listen = EchoPorts {
            http: vec![http],
            ..EchoPorts::default()
        };
        Self::start(node, name, &listen)
    }

    /// Starts one that calls itself `name`; ready when this returns.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    pub fn start(node: &Node, name: &str, listen: &EchoPorts) -> Self {
        let mut command = node.command(echo_binary());
        command.arg(name);
        let asked = [
            ("http", &listen.http),
            ("http2", &listen.http2),
            ("tcp", &listen.tcp),
            ("udp", &listen.udp),
        ];
        for (protocol, addresses) in asked {
            for address in addresses {
                command.arg(protocol).arg(address.to_string());
            }
        }
        let mut process = Process::start(&format!("echo {name}"), &mut command);
        process.wait_for_line("ready", DEADLINE);
        let mut ports = EchoPorts::default();
        for line in process.output().lines() {
            let Some((protocol, address)) = line.split_once(' ') else {
                continue;
            };
            let list = match protocol {
                "http" => &mut ports.http,
                "http2" => &mut ports.http2,
                "tcp" => &mut ports.tcp,
                "udp" => &mut ports.udp,
                _ => continue,
            };
            list.push(address.parse().expect("the echo prints an address"));
        }
        Self { process, ports }
    }

    /// Where it listens.
    pub fn ports(&self) -> &EchoPorts {
        &self.ports
    }

    /// The address of its first HTTP listener.
    ///
    /// # Panics
    ///
    /// When it has none.
    pub fn address(&self) -> SocketAddr {
        *self
            .ports
            .http
            .first()
            .expect("it was started with an HTTP listener")
    }

    /// Kills it: its connections are reset, its ports refuse.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}
