//! One interface in use: its sockets and the tasks that answer on them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use super::counters::Counters;
use crate::announce::arp::{ArpFrame, Operation};
use crate::announce::ndp::{NdpFrame, solicited_node};
use crate::announce::responder::{Lan, Sighting, Table};
use crate::link::interfaces::Link;
use crate::link::socket::{Groups, PacketSocket, Protocol};

/// What the tasks of all interfaces share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) table: Rc<RefCell<Table>>,
    pub(super) counters: Arc<Counters>,
    /// Bounded: what does not fit is seen again soon, since who claims an address repeats it.
    pub(super) sightings: mpsc::Sender<(u32, Sighting)>,
}

/// An interface in use.
pub(super) struct OpenLan {
    pub(super) name: String,
    /// It lost its carrier, or was set down; the sockets stay for its return.
    pub(super) down: bool,
    /// It is back, and not used before this: who is alive behind it is to be heard first.
    pub(super) waits_until: Option<Instant>,
    lan: Rc<Cell<Lan>>,
    arp: Rc<PacketSocket>,
    ndp: Option<Rc<PacketSocket>>,
    /// Why there is no socket for NDP.
    pub(super) without_ndp: Option<String>,
    groups: Option<Groups>,
    joined: BTreeSet<Ipv6Addr>,
    counters: Arc<Counters>,
    tasks: Vec<JoinHandle<()>>,
}

impl OpenLan {
    /// Opens the socket for ARP and starts to answer what the table says.
    pub(super) fn open(link: &Link, shared: &Shared) -> std::io::Result<Self> {
        let lan = Rc::new(Cell::new(Lan {
            index: link.index,
            mac: link.mac.unwrap_or_default(),
        }));
        let arp = Rc::new(PacketSocket::open(link.index, Protocol::Arp)?);
        let tasks = vec![tokio::task::spawn_local(answer(
            Rc::clone(&arp),
            Protocol::Arp,
            Rc::clone(&lan),
            shared.clone(),
        ))];
        Ok(Self {
            name: link.name.clone(),
            down: false,
            waits_until: None,
            lan,
            arp,
            ndp: None,
            without_ndp: None,
            groups: None,
            joined: BTreeSet::new(),
            counters: Arc::clone(&shared.counters),
            tasks,
        })
    }

    /// Opens the socket for NDP, unless it is there. False: it is to be tried again.
    pub(super) fn open_ndp(&mut self, shared: &Shared) -> bool {
        if self.ndp.is_some() {
            return true;
        }
        match PacketSocket::open(self.lan().index, Protocol::Ndp) {
            Ok(ndp) => {
                let ndp = Rc::new(ndp);
                self.tasks.push(tokio::task::spawn_local(answer(
                    Rc::clone(&ndp),
                    Protocol::Ndp,
                    Rc::clone(&self.lan),
                    shared.clone(),
                )));
                self.ndp = Some(ndp);
                self.without_ndp = None;
                true
            }
            Err(error) => {
                let why = format!("no raw socket for IPv6 can be opened on it: {error}");
                if self.without_ndp.as_ref() != Some(&why) {
                    warn!("{}: {why}", self.name);
                    self.without_ndp = Some(why);
                }
                false
            }
        }
    }

    pub(super) fn lan(&self) -> Lan {
        self.lan.get()
    }

    /// Takes over a new name or MAC address; true if the latter changed.
    pub(super) fn refresh(&mut self, link: &Link) -> bool {
        self.name.clone_from(&link.name);
        let new = Lan {
            index: link.index,
            mac: link.mac.unwrap_or_default(),
        };
        self.lan.replace(new) != new
    }

    /// Joins the groups in which neighbours ask for these addresses, and leaves others. False: one
    /// could not be joined, and is to be tried again.
    pub(super) fn listen_for(&mut self, addresses: impl Iterator<Item = Ipv6Addr>) -> bool {
        let wanted: BTreeSet<Ipv6Addr> = addresses.map(solicited_node).collect();
        if self.groups.is_none() && !wanted.is_empty() {
            match Groups::new(self.lan().index) {
                Ok(groups) => self.groups = Some(groups),
                Err(error) => debug!("{}: no socket for groups: {error}", self.name),
            }
        }
        let Some(groups) = &self.groups else {
            return wanted.is_empty();
        };
        let name = &self.name;
        let leave = |group| {
            if let Err(error) = groups.leave(group) {
                debug!("{name}: cannot leave {group}: {error}");
            }
        };
        let join = |group| {
            let joined = groups.join(group);
            if let Err(error) = &joined {
                debug!("{name}: cannot join {group}: {error}");
            }
            joined.is_ok()
        };
        follow(&mut self.joined, &wanted, join, leave)
    }

    pub(super) fn probe(&self, address: IpAddr) {
        let mac = self.lan().mac;
        match address {
            IpAddr::V4(v4) => self.send(&self.arp, &ArpFrame::probe(mac, v4).encode()),
            IpAddr::V6(v6) => {
                if let Some(ndp) = &self.ndp {
                    self.send(ndp, &NdpFrame::probe(mac, v6).encode());
                }
            }
        }
    }

    pub(super) fn announce(&self, address: IpAddr) {
        let mac = self.lan().mac;
        let sent = match address {
            IpAddr::V4(v4) => {
                for operation in [Operation::Request, Operation::Reply] {
                    let frame = ArpFrame::gratuitous(mac, v4, operation);
                    self.send(&self.arp, &frame.encode());
                }
                2
            }
            IpAddr::V6(v6) => {
                if let Some(ndp) = &self.ndp {
                    self.send(ndp, &NdpFrame::unsolicited(mac, v6).encode());
                }
                1
            }
        };
        self.counters
            .count(address, |counts| counts.gratuitous_sent += sent);
    }

    fn send(&self, socket: &PacketSocket, frame: &[u8]) {
        if let Err(error) = socket.send(frame) {
            self.counters.unsent();
            debug!("{}: a frame was not sent: {error}", self.name);
        }
    }
}

/// Brings what is joined in line with what is wanted. False: something is missing.
fn follow(
    joined: &mut BTreeSet<Ipv6Addr>,
    wanted: &BTreeSet<Ipv6Addr>,
    mut join: impl FnMut(Ipv6Addr) -> bool,
    mut leave: impl FnMut(Ipv6Addr),
) -> bool {
    for group in joined.difference(wanted) {
        leave(*group);
    }
    joined.retain(|group| wanted.contains(group));
    let missing: Vec<Ipv6Addr> = wanted.difference(joined).copied().collect();
    joined.extend(missing.into_iter().filter(|group| join(*group)));
    joined.len() == wanted.len()
}

impl Drop for OpenLan {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Larger than any frame that is answered; longer ones are known by their true length.
const BUFFER: usize = 2048;
/// Frames in a row before other tasks of the thread get a turn.
const TURN: u32 = 64;

async fn answer(socket: Rc<PacketSocket>, protocol: Protocol, lan: Rc<Cell<Lan>>, shared: Shared) {
    let mut buffer = vec![0; BUFFER];
    let mut turn = 0;
    loop {
        let length = match socket.receive(&mut buffer).await {
            Ok(length) => length.min(BUFFER),
            // Told once when the interface goes down; works again when it is up.
            Err(error) if error.raw_os_error() == Some(NETWORK_DOWN) => continue,
            Err(error) => {
                debug!("a socket of interface {} ends: {error}", lan.get().index);
                return;
            }
        };
        let frame = buffer.get(..length).unwrap_or_default();
        let handled = {
            let table = shared.table.borrow();
            match protocol {
                Protocol::Arp => table.arp(frame, lan.get()),
                Protocol::Ndp => table.ndp(frame, lan.get()),
            }
        };
        match handled.answer {
            Ok(answer) => {
                let sent = socket.send(answer.frame.as_bytes());
                if sent.is_err() {
                    shared.counters.unsent();
                }
                shared.counters.count(answer.address, |counts| {
                    counts.requests_received += 1;
                    counts.responses_sent += u64::from(sent.is_ok());
                });
            }
            Err(reason) => shared.counters.dropped(protocol, reason),
        }
        if let Some(sighting) = handled.sighting {
            let _ = shared.sightings.try_send((lan.get().index, sighting));
        }
        turn += 1;
        if turn % TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
}

const NETWORK_DOWN: i32 = rustix::io::Errno::NETDOWN.raw_os_error();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_was_not_joined_is_tried_again() {
        let [one, two, three] = ["ff02::1:ff00:1", "ff02::1:ff00:2", "ff02::1:ff00:3"]
            .map(|group| group.parse::<Ipv6Addr>().unwrap());
        let mut joined = BTreeSet::from([one]);
        let wanted = BTreeSet::from([two, three]);
        let mut left = Vec::new();
        let all = follow(
            &mut joined,
            &wanted,
            |group| group != three,
            |group| {
                left.push(group);
            },
        );
        assert!(!all);
        assert_eq!((&joined, left), (&BTreeSet::from([two]), vec![one]));
        // Only what is missing is asked for again.
        let join = |group| {
            assert_eq!(group, three);
            true
        };
        let leave = |group| panic!("{group} is wanted");
        assert!(follow(&mut joined, &wanted, join, leave));
        assert_eq!(joined, wanted);
    }
}
