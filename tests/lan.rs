//! The virtual LAN: 192.168.8.0/24 and fd00:8::/64 on a bridge, every machine a namespace.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::node::Node;
use crate::requirements::{Need, satisfied};

/// Every namespace of the tests is named `ghe2e-<process id>-<number>-<machine>`.
const PREFIX: &str = "ghe2e-";

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A LAN; everything in it is killed and removed when it is dropped.
#[derive(Debug)]
pub struct Lan {
    prefix: String,
    bridge: String,
    nodes: Vec<Node>,
}

impl Lan {
    /// An empty LAN, or none (and the test returns) without root or one of `programs`.
    ///
    /// # Panics
    ///
    /// When the machine refuses namespaces, bridges or veth, or something is missing under
    /// `GATEHOUSE_REQUIRE_ALL=1`.
    pub fn new(programs: &[&'static str]) -> Option<Self> {
        let mut needs = vec![Need::Root];
        needs.extend(programs.iter().map(|name| Need::Program(name)));
        if !satisfied(&needs) {
            return None;
        }
        static STALE: Once = Once::new();
        STALE.call_once(remove_stale);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("{PREFIX}{}-{number}", std::process::id());
        let bridge = format!("{prefix}-lan");
        let lan = Self {
            prefix,
            bridge,
            nodes: Vec::new(),
        };
        ip(&["netns", "add", &lan.bridge]);
        let bridge = lan.bridge.as_str();
        // No spanning tree and no multicast snooping: a cheap switch that forwards at once.
        ip(&[
            "-n",
            bridge,
            "link",
            "add",
            "br0",
            "type",
            "bridge",
            "stp_state",
            "0",
        ]);
        ip(&[
            "-n",
            bridge,
            "link",
            "set",
            "br0",
            "type",
            "bridge",
            "mcast_snooping",
            "0",
        ]);
        ip(&["-n", bridge, "link", "set", "br0", "up"]);
        Some(lan)
    }

    /// Adds a machine whose addresses are 192.168.8.`last` and fd00:8::`last`, with a default
    /// route into the LAN.
    ///
    /// # Panics
    ///
    /// When the kernel refuses.
    pub fn node(&mut self, name: &str, last: u8) -> Node {
        let namespace = format!("{}-{name}", self.prefix);
        let namespace = namespace.as_str();
        let v4 = Ipv4Addr::new(192, 168, 8, last);
        let v6 = Ipv6Addr::new(0xfd00, 8, 0, 0, 0, 0, 0, u16::from(last));
        let node = Node::in_namespace(name, namespace, v4, v6);
        ip(&["netns", "add", namespace]);
        self.nodes.push(node.clone());
        // Link-local addresses are usable at once, and `ip addr` shows the same now and later.
        node.sh("echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad")
            .ok();
        ip(&["-n", namespace, "link", "set", "lo", "up"]);
        self.plug(&node);
        node
    }

    /// Gives a machine its interface: what [`node`](Self::node) did, and what takes back an
    /// [`unplug`](Self::unplug).
    ///
    /// # Panics
    ///
    /// When the kernel refuses, or it has one.
    pub fn plug(&self, node: &Node) {
        let (namespace, bridge) = (inside(node), self.bridge.as_str());
        let port = port(node);
        // Both ends are born in namespaces: names in the machine's own are never touched.
        let peer = ["peer", "name", "eth0", "netns", namespace];
        let mut add = vec!["-n", bridge, "link", "add", port.as_str(), "type", "veth"];
        add.extend(peer);
        ip(&add);
        ip(&["-n", bridge, "link", "set", &port, "master", "br0", "up"]);
        ip(&["-n", namespace, "link", "set", "eth0", "up"]);
        ip(&[
            "-n",
            namespace,
            "addr",
            "add",
            &format!("{}/24", node.v4()),
            "dev",
            "eth0",
        ]);
        // nodad: usable at once, not after the second that duplicate detection takes.
        ip(&[
            "-n",
            namespace,
            "addr",
            "add",
            &format!("{}/64", node.v6()),
            "dev",
            "eth0",
            "nodad",
        ]);
        ip(&[
            "-n",
            namespace,
            "route",
            "add",
            "default",
            "via",
            "192.168.8.1",
        ]);
    }

    /// Takes the interface of a machine away, as a USB adapter that is pulled.
    ///
    /// # Panics
    ///
    /// When it has none.
    pub fn unplug(&self, node: &Node) {
        ip(&["-n", &self.bridge, "link", "del", &port(node)]);
    }

    /// Pulls the cable of a machine, or plugs it in again.
    pub fn cable(&self, node: &Node, plugged: bool) {
        let state = if plugged { "up" } else { "down" };
        ip(&["-n", &self.bridge, "link", "set", &port(node), state]);
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for node in &self.nodes {
            if let Some(namespace) = node.namespace() {
                remove(namespace);
            }
        }
        remove(&self.bridge);
    }
}

/// The name of a machine's port at the bridge.
fn port(node: &Node) -> String {
    format!("p{}", node.v4().octets()[3])
}

fn inside(node: &Node) -> &str {
    node.namespace()
        .expect("a machine of the LAN is a namespace")
}

/// Removes what test processes left that are no more.
fn remove_stale() {
    let names = fs::read_dir("/var/run/netns")
        .into_iter()
        .flatten()
        .flatten();
    for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
        let process = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if process.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            remove(&name);
        }
    }
}

/// Kills what still runs in a namespace and deletes it; with it go its interfaces.
fn remove(namespace: &str) {
    let pids = Command::new("ip")
        .args(["netns", "pids", namespace])
        .output();
    let pids = pids.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    for pid in pids.unwrap_or_default().split_whitespace() {
        // It may have ended meanwhile.
        let _ = Command::new("kill").args(["-9", pid]).output();
    }
    let deleted = Command::new("ip")
        .args(["netns", "del", namespace])
        .output();
    if let Err(error) = deleted {
        eprintln!("cannot delete the namespace {namespace}: {error}");
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run ip: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "ip {}: {stderr}",
        arguments.join(" ")
    );
}
