//! Who says on the LAN that it has an address, and when.

use std::io::Read as _;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use socket2::{Domain, Protocol, Socket, Type};

use crate::node::Node;

/// An ARP frame whose sender says that it has the address.
#[derive(Clone, Debug)]
pub struct Claim {
    /// When it arrived.
    pub at: Instant,
    /// The sender, in lower case with colons.
    pub mac: String,
}

/// The MAC addresses that answer when a machine asks for an address, each of three times.
///
/// # Panics
///
/// When `arping` cannot be started.
pub fn answers(node: &Node, address: Ipv4Addr) -> Vec<String> {
    let address = address.to_string();
    let output = node.exec([
        "arping", "-r", "-i", "eth0", "-c", "3", "-w", "1", "-W", "0.05", &address,
    ]);
    let lines = output.stdout.lines();
    lines.map(|line| line.trim().to_owned()).collect()
}

/// The one MAC address that answers each of three times; none: nobody does, or several.
///
/// # Panics
///
/// As [`answers`].
pub fn one_answers(node: &Node, address: Ipv4Addr) -> Option<String> {
    let answers = answers(node, address);
    let first = answers.first()?;
    let same = answers.len() == 3 && answers.iter().all(|answer| answer == first);
    same.then(|| first.clone())
}

/// Sees every ARP frame that reaches a machine, and keeps those that claim one address.
#[derive(Clone, Debug, Default)]
pub struct Claims(Arc<Mutex<Vec<Claim>>>);

impl Claims {
    /// Looks from now on; for as long as the test process lives.
    ///
    /// # Panics
    ///
    /// Without the right to raw sockets.
    pub fn watch(node: &Node, address: Ipv4Addr) -> Self {
        const ARP: u16 = 0x0806;
        let claims = Self::default();
        let seen = claims.clone();
        let mut socket = node.enter(|| {
            let protocol = Protocol::from(i32::from(ARP.to_be()));
            Socket::new(Domain::PACKET, Type::RAW, Some(protocol)).expect("root may")
        });
        std::thread::spawn(move || {
            let mut frame = [0; 128];
            while let Ok(length) = socket.read(&mut frame) {
                let at = Instant::now();
                if length >= 42 && frame[28..32] == address.octets() {
                    let mac: Vec<String> = frame[22..28]
                        .iter()
                        .map(|byte| format!("{byte:02x}"))
                        .collect();
                    let mac = mac.join(":");
                    seen.all().push(Claim { at, mac });
                }
            }
        });
        claims
    }

    fn all(&self) -> MutexGuard<'_, Vec<Claim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first claim of somebody else after a time.
    pub fn next(&self, after: Instant, not: &str) -> Option<Claim> {
        let all = self.all();
        all.iter()
            .find(|claim| claim.at > after && claim.mac != not)
            .cloned()
    }
}
