//! A gateway on loopback, without root, whose clients speak TLS.

use std::net::{Ipv4Addr, SocketAddr};

use crate::certificates::Certificates;
use crate::config_dir::ConfigDir;
use crate::gatehouse::Gatehouse;
use crate::loopback::free_port;
use crate::node::Node;

/// A running gateway that nobody else uses, and the certificates that it shows.
#[derive(Debug)]
pub struct Secured {
    /// What its clients trust.
    pub certificates: Certificates,
    /// What it reads.
    pub config: ConfigDir,
    /// The daemon.
    pub gatehouse: Gatehouse,
    /// Where it listens, at the ports of its configuration.
    pub own: Ipv4Addr,
}

impl Secured {
    /// Starts one at `own`, a [`loopback_address`](crate::loopback_address), with these files of
    /// configuration: in their texts `@CERTS@` stands for the folder of certificates, `@OWN@` for
    /// the address, and each name of `values` for its value. `arguments` are the daemon's further
    /// ones.
    ///
    /// # Panics
    ///
    /// When it is not ready in time.
    pub fn start(
        certificates: Certificates,
        own: Ipv4Addr,
        files: &[(&str, &str)],
        values: &[(&str, &str)],
        arguments: &[&str],
    ) -> Self {
        let (folder, address) = (certificates.file(""), own.to_string());
        let common = [
            ("@CERTS@", folder.trim_end_matches('/')),
            ("@OWN@", &address),
        ];
        let config = ConfigDir::new();
        for (file, text) in files {
            let mut text = (*text).to_owned();
            for (name, value) in common.iter().chain(values) {
                text = text.replace(name, value);
            }
            config.write(file, &text);
        }
        let gatehouse = Gatehouse::on(&Node::host())
            .admin(&SocketAddr::from((own, free_port(own))).to_string())
            // Ports that every daemon would want are closed: daemons of other tests run beside it.
            .arguments(&["--status", "off", "--health", "off", "--listen", &address])
            .arguments(arguments)
            .start(config.path());
        Self {
            certificates,
            config,
            gatehouse,
            own,
        }
    }
}
