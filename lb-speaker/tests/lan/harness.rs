//! A switch and stations, each a network namespace; all of it goes away with the value.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gatehouse_lb_speaker::{AddressState, Announcement, Interfaces, Speaker, SpeakerSettings};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Whether the test may run; says so if not, or fails where all tests are required.
pub fn allowed(test: &str, programs: &[&str]) -> bool {
    let missing = if !rustix::process::geteuid().is_root() {
        Some("root".to_owned())
    } else {
        programs
            .iter()
            .find(|program| {
                !Command::new("sh")
                    .args(["-c", &format!("command -v {program}")])
                    .output()
                    .is_ok_and(|output| output.status.success())
            })
            .map(|program| (*program).to_owned())
    };
    let Some(missing) = missing else { return true };
    let required = std::env::var_os("GATEHOUSE_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!required, "{test} needs {missing}");
    eprintln!("SKIPPED {test}: needs {missing}");
    false
}

/// A LAN 192.168.8.0/24 and fd08::/64.
pub struct Lan {
    prefix: String,
    namespaces: Vec<String>,
}

impl Lan {
    /// A switch without stations.
    pub fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut lan = Self {
            prefix: format!("ghls{}-{number}", std::process::id()),
            namespaces: Vec::new(),
        };
        let switch = lan.namespace("switch");
        run(&["ip", "-n", &switch, "link", "add", "br0", "type", "bridge"]);
        run(&["ip", "-n", &switch, "link", "set", "br0", "up"]);
        lan
    }

    fn namespace(&mut self, name: &str) -> String {
        let full = format!("{}-{name}", self.prefix);
        run(&["ip", "netns", "add", &full]);
        self.namespaces.push(full.clone());
        run(&["ip", "-n", &full, "link", "set", "lo", "up"]);
        // Link-local addresses would be tentative for a second, and without one no neighbour can be
        // asked for.
        run(&[
            "ip",
            "netns",
            "exec",
            &full,
            "sysctl",
            "-qw",
            "net.ipv6.conf.all.accept_dad=0",
            "net.ipv6.conf.default.accept_dad=0",
        ]);
        full
    }

    /// The full name of a station's namespace.
    pub fn name(&self, station: &str) -> String {
        format!("{}-{station}", self.prefix)
    }

    /// A station with `eth0` at 192.168.8.`host` and fd08::`host`.
    pub fn station(&mut self, station: &str, host: u8) {
        self.namespace(station);
        self.plug(station, host);
    }

    /// Plugs `eth0` of a station in.
    pub fn plug(&self, station: &str, host: u8) {
        let full = self.name(station);
        let switch = self.name("switch");
        let port = format!("p{host}");
        run(&[
            "ip", "-n", &switch, "link", "add", &port, "type", "veth", "peer", "name", "eth0",
            "netns", &full,
        ]);
        run(&[
            "ip", "-n", &switch, "link", "set", &port, "master", "br0", "up",
        ]);
        let v4 = format!("192.168.8.{host}/24");
        let v6 = format!("fd08::{host:x}/64");
        run(&["ip", "-n", &full, "addr", "add", &v4, "dev", "eth0"]);
        run(&[
            "ip", "-n", &full, "addr", "add", &v6, "dev", "eth0", "nodad",
        ]);
        run(&["ip", "-n", &full, "link", "set", "eth0", "up"]);
    }

    /// Runs a command in a station.
    pub fn exec(&self, station: &str, command: &[&str]) -> Output {
        let full = self.name(station);
        let mut all = vec!["ip", "netns", "exec", full.as_str()];
        all.extend(command);
        Command::new(all[0])
            .args(&all[1..])
            .output()
            .expect("ip can be run")
    }

    /// What a command in a station prints; it has to succeed.
    pub fn text(&self, station: &str, command: &[&str]) -> String {
        let output = self.exec(station, command);
        assert!(output.status.success(), "{command:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The MAC address of a station's `eth0`.
    pub fn mac(&self, station: &str) -> String {
        self.text(station, &["cat", "/sys/class/net/eth0/address"])
            .trim()
            .to_owned()
    }

    /// The MAC addresses that answer for an address, one for each answer.
    pub fn arping(&self, station: &str, address: &str, count: u32) -> Vec<String> {
        let output = self.exec(
            station,
            &[
                "arping",
                "-r",
                "-i",
                "eth0",
                "-c",
                &count.to_string(),
                "-w",
                "1",
                "-W",
                "0.05",
                address,
            ],
        );
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect()
    }

    /// Runs a closure on a thread inside a station.
    pub fn inside<T: Send + 'static>(
        &self,
        station: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let path = PathBuf::from("/run/netns").join(self.name(station));
        std::thread::spawn(move || {
            let namespace = std::fs::File::open(path).expect("the namespace is there");
            rustix::thread::move_into_link_name_space(
                std::os::fd::AsFd::as_fd(&namespace),
                Some(rustix::thread::LinkNameSpaceType::Network),
            )
            .expect("root may enter");
            work()
        })
        .join()
        .expect("the work does not panic")
    }

    /// A speaker in a station.
    pub fn speaker(&self, station: &str, settings: SpeakerSettings) -> Speaker {
        self.inside(station, move || Speaker::start(settings).expect("starts"))
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            let _ = Command::new("ip")
                .args(["netns", "del", namespace])
                .output();
        }
    }
}

/// Announce these on all interfaces.
pub fn announce(addresses: &[&str]) -> Vec<Announcement> {
    addresses
        .iter()
        .map(|address| Announcement {
            address: address.parse().expect("an address"),
            services: [gatehouse_config::ObjectKey::new("default", "web")].into(),
            interfaces: Interfaces::All,
            former: gatehouse_lb_speaker::Former::Nobody,
            first: BTreeSet::new(),
        })
        .collect()
}

/// Waits for a state of an address; fails with the last one after 5 s.
pub fn wait_for(speaker: &Speaker, address: &str, fits: impl Fn(&AddressState) -> bool) {
    let address = address.parse().expect("an address");
    eventually(&format!("the state of {address}"), || {
        let states = speaker.states();
        let state = states.borrow().addresses.get(&address).cloned();
        match state {
            Some(state) if fits(&state) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

/// Announced?
pub fn announced(state: &AddressState) -> bool {
    matches!(state, AddressState::Announced { .. })
}

/// Tries until it is so; fails after 5 s.
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(last) => assert!(Instant::now() < deadline, "{what}: {last}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs a command that has to succeed.
pub fn run(command: &[&str]) {
    let output = Command::new(command[0])
        .args(&command[1..])
        .output()
        .expect("the program is there");
    assert!(output.status.success(), "{command:?}: {output:?}");
}
