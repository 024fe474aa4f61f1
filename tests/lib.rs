//! End-to-end tests: the harness that builds a virtual LAN and starts the real binary in it.
//!
//! ```text
//!   client 192.168.8.100        node1 192.168.8.11         backend 192.168.8.21
//!   namespace, eth0             namespace, eth0            namespace, eth0
//!   curl, arping, ping          gatehouse run              gatehouse-e2e-echo
//!        └────────────── veth ───────┴──── bridge br0 ───────────┘
//!                                (a namespace of its own)
//! ```
//!
//! Nothing is created outside namespaces, every name carries the id of the test process, all of
//! it goes when the [`Lan`] is dropped, and what a killed test process left behind is removed by
//! the next one. Tests without a LAN use [`Node::host`] and a loopback address of their own
//! ([`loopback_address`]), so that no port is shared. Nothing waits by sleeping: see
//! [`eventually`].

mod binary;
mod certificates;
mod claims;
mod clockwork;
mod config_dir;
mod dns;
mod echo;
pub mod front;
mod gatehouse;
pub mod http;
mod kubernetes;
mod lan;
mod loopback;
mod node;
mod process;
mod requirements;
mod secured;
mod upstream;
mod wait;

pub use binary::gatehouse_binary;
pub use certificates::Certificates;
pub use claims::{Claim, Claims, answers, one_answers};
pub use clockwork::Clockwork;
pub use config_dir::ConfigDir;
pub use dns::{Dns, Reply};
pub use echo::{Echo, EchoPorts};
pub use front::Front;
pub use gatehouse::{Gatehouse, GatehouseBuilder};
pub use kubernetes::ApiServer;
pub use lan::Lan;
pub use loopback::{free_port, loopback_address};
pub use node::{Node, Output};
pub use process::Process;
pub use requirements::{Need, python, satisfied};
pub use secured::Secured;
pub use upstream::{Incoming, Upstream};
pub use wait::{DEADLINE, eventually};
