//! The namespaces: a bridge, and three machines with a cable each.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::process::{Command, Output};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::LanError;

/// The switch.
const SWITCH: &str = "gatehouse-lan";
/// The machine that runs gatehouse.
pub(super) const NODE: &str = "gatehouse-node";
/// The machine on which bookinfo and Kiali run.
pub(super) const BACKEND: &str = "gatehouse-backend";
/// The machine that asks.
pub(super) const CLIENT: &str = "gatehouse-client";

/// Each machine and its address.
pub(super) const MACHINES: [(&str, &str); 3] = [
    (NODE, "192.168.8.10"),
    (BACKEND, "192.168.8.20"),
    (CLIENT, "192.168.8.100"),
];

/// The LAN; removed when dropped.
#[derive(Debug)]
pub(super) struct Lan(());

impl Lan {
    /// Builds it.
    pub(super) fn build() -> Result<Self, LanError> {
        // From here on a failure removes what was made so far.
        let lan = Self(());
        ip(&["netns", "add", SWITCH])?;
        ip(&[
            "-n",
            SWITCH,
            "link",
            "add",
            "br0",
            "type",
            "bridge",
            "stp_state",
            "0",
        ])?;
        ip(&["-n", SWITCH, "link", "set", "br0", "up"])?;
        for (name, address) in MACHINES {
            let port = name.trim_start_matches("gatehouse-");
            ip(&["netns", "add", name])?;
            // Both ends are born in namespaces: the machine's own interfaces are never touched.
            let cable = [
                "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name,
            ];
            ip(&[&["-n", SWITCH], &cable[..]].concat())?;
            ip(&["-n", SWITCH, "link", "set", port, "master", "br0", "up"])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
            ip(&["-n", name, "link", "set", "eth0", "up"])?;
            ip(&[
                "-n",
                name,
                "addr",
                "add",
                &format!("{address}/24"),
                "dev",
                "eth0",
            ])?;
        }
        Ok(lan)
    }

    /// The MAC address of the machine that runs gatehouse.
    pub(super) fn node_mac(&self) -> Result<String, LanError> {
        let shown = ip(&["-n", NODE, "-o", "link", "show", "eth0"])?;
        word_after(&shown, "link/ether")
            .ok_or_else(|| LanError::Story(format!("no MAC in {shown}")))
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        remove_all();
    }
}

/// The MAC address that the client's kernel learned by ARP for an address.
pub(super) fn learned_mac(address: &str) -> Result<Option<String>, LanError> {
    let shown = ip(&["-n", CLIENT, "neigh", "show", address])?;
    Ok(word_after(&shown, "lladdr"))
}

/// Removes every namespace of the demo and ends what runs in it: at the end, and at the start,
/// after a demo that could not do so itself.
pub(super) fn remove_all() {
    for name in [NODE, BACKEND, CLIENT, SWITCH] {
        // Missing ones are what is wanted; a demo that is being removed tells nobody.
        let Ok(pids) = ip(&["netns", "pids", name]) else {
            continue;
        };
        // Not ourselves: the demo's own threads are in these namespaces, the process is not.
        let own = std::process::id().to_string();
        for pid in pids.split_whitespace().filter(|pid| *pid != own) {
            let _ = Command::new("kill").args(["-9", pid]).output();
        }
        if let Err(error) = ip(&["netns", "del", name]) {
            tracing::warn!(%error, "a namespace of the demo stays behind");
        }
    }
}

/// Runs `work` on a thread inside a machine: sockets and threads that it makes belong there.
///
/// # Errors
///
/// The namespace is gone, or may not be entered.
pub(super) fn enter<T: Send + 'static>(
    machine: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let namespace = File::open(format!("/var/run/netns/{machine}"))?;
    let inside = move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(work())
    };
    let thread = std::thread::Builder::new()
        .name(machine.to_owned())
        .spawn(inside)?;
    thread
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("a thread of the demo panicked")))
}

/// A command that runs on a machine; it replaces itself by the program.
pub(super) fn command(machine: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", machine]);
    command
}

/// Whether the program `ip` is there.
pub(super) fn check_for_ip() -> Result<(), LanError> {
    run(&["-V"]).map(drop)
}

fn ip(arguments: &[&str]) -> Result<String, LanError> {
    let output = run(arguments)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(LanError::Ip {
        command: arguments.join(" "),
        said,
    })
}

fn run(arguments: &[&str]) -> Result<Output, LanError> {
    Command::new("ip")
        .args(arguments)
        .output()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => LanError::NeedsIp,
            _ => LanError::Io {
                what: "the program `ip` cannot be run",
                error,
            },
        })
}

fn word_after(text: &str, key: &str) -> Option<String> {
    let mut words = text
        .split_whitespace()
        .skip_while(|word| *word != key)
        .skip(1);
    words.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_are_read_from_what_ip_prints() {
        let link = "2: eth0@if3: <BROADCAST> mtu 1500 \\    link/ether 5a:3e:9b:00:11:22 brd ff:ff";
        assert_eq!(
            word_after(link, "link/ether").as_deref(),
            Some("5a:3e:9b:00:11:22")
        );
        let neighbour = "192.168.8.151 dev eth0 lladdr 5a:3e:9b:00:11:22 REACHABLE";
        assert_eq!(
            word_after(neighbour, "lladdr").as_deref(),
            Some("5a:3e:9b:00:11:22")
        );
        assert_eq!(word_after("192.168.8.151 dev eth0 FAILED", "lladdr"), None);
    }

    #[test]
    fn the_addresses_are_those_of_the_examples() {
        let example = include_str!("../../../config/examples/lan/kiali.yaml");
        assert!(example.contains(MACHINES[1].1) && MACHINES[1].0 == BACKEND);
        assert_eq!(MACHINES[1].1, super::super::BACKEND_ADDRESS.to_string());
    }
}
