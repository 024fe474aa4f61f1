//! Other nodes of the same cluster: found through their Leases, with a key that all share.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatehouse_config::codes;
use gatehouse_config::finding::{Finding, Level};
use gatehouse_config::resources::{ObjectKey, Resources};
use gatehouse_config::source::kubernetes::Cluster;
use gatehouse_config::source::kubernetes::peers::{
    HeartbeatKey, NodeKind, OwnLease, PeerDirectory, Peers,
};
use gatehouse_lb_speaker::announce::Mac;
use gatehouse_lb_speaker::link::heartbeats::PORT;
use gatehouse_lb_speaker::members::{Key, Own, PeerState, View, taking_part};
use gatehouse_lb_speaker::{Members, Trust};
use tokio::sync::watch;

use crate::daemon::settings::{Role, Settings};

/// A cluster that has told of nobody for so long does not keep this node from what it can serve
/// without it: the Node objects, or Leases without a key, say who is to have which address.
const ALONE: Duration = Duration::from_secs(10);
/// So much later addresses are taken that nobody announces, whosever they are to be.
const SHARED_OUT: Duration = Duration::from_secs(5);
/// A node that was never heard, or is not heard any more, is told of after this.
const SILENT: Duration = Duration::from_secs(3);

/// What is done with what the cluster tells of other nodes.
pub struct Found {
    directory: PeerDirectory,
    told: watch::Receiver<Arc<Peers>>,
    node: String,
    kind: NodeKind,
    /// The API server's address, on the way to which this host has its own.
    server: Option<IpAddr>,
    listen: Option<SocketAddr>,
    since: Instant,
    /// What was handed on.
    key: Option<HeartbeatKey>,
    peers: Option<BTreeMap<String, SocketAddr>>,
    /// Since when nodes are silent that are to be there.
    silent: BTreeMap<String, Instant>,
    macs: BTreeSet<Mac>,
    /// This node has no address that heartbeats could be sent to.
    has_no_address: bool,
    comes_from_alone: bool,
}

impl Found {
    /// Begins to look for them.
    pub fn start(cluster: &Cluster, namespace: &str, settings: &Settings) -> Self {
        let directory = PeerDirectory::start(cluster, namespace, &settings.node);
        Self {
            told: directory.peers(),
            directory,
            node: settings.node.clone(),
            kind: match settings.role {
                Role::Speaker => NodeKind::Speaker,
                Role::All | Role::Gateway => NodeKind::Run,
            },
            server: cluster.server(),
            listen: settings.peers.peer_listen,
            since: Instant::now(),
            key: None,
            peers: None,
            silent: BTreeMap::new(),
            macs: BTreeSet::new(),
            has_no_address: false,
            comes_from_alone: false,
        }
    }

    /// Each change of what is told.
    pub fn changes(&self) -> watch::Receiver<Arc<Peers>> {
        self.told.clone()
    }

    fn told(&self) -> Arc<Peers> {
        Arc::clone(&self.told.borrow())
    }

    /// Other nodes whose Leases are kept up, and that take part.
    pub(super) fn current(&self) -> impl Iterator<Item = String> + use<> {
        let all = all_current(&self.told(), &self.node);
        let mut taking_part = taking_part(&all);
        taking_part.remove(&self.node);
        taking_part.into_iter()
    }

    /// The stations that Leases name.
    pub(super) fn macs(&self) -> Vec<(Mac, String)> {
        let told = self.told();
        let nodes = told.nodes.iter();
        let macs = nodes.flat_map(|(node, lease)| {
            let macs = lease.macs.iter();
            macs.map(|mac| (Mac(*mac), node.clone()))
        });
        macs.collect()
    }

    /// By what it is known who is alive.
    pub(super) fn trust(&self) -> Trust {
        let told = self.told();
        let unknown = !told.known || told.key.is_none();
        trust(unknown, self.since.elapsed())
    }

    /// Whether there may be nodes that nobody told of, or to whom nobody told of this one.
    pub(super) fn may_be_incomplete(&self) -> bool {
        self.trust() != Trust::Heartbeats || self.told().own_trouble.is_some()
    }

    /// Hands on what is new: the key, and where heartbeats go.
    pub(super) fn tell(&mut self, members: &Members) {
        let told = self.told();
        if told.key != self.key
            && let Some(key) = told.key.as_ref().and_then(|key| Key::new(key.bytes()))
        {
            members.set_key(key);
            self.key.clone_from(&told.key);
        }
        let view = Arc::clone(&members.views().borrow());
        self.comes_from_alone = match self.trust() {
            Trust::Heartbeats => self.comes_from_alone && view.own != Own::Able,
            Trust::Cluster | Trust::Lan => true,
        };
        self.note_silent(&told, &view);
        // Without a key nobody can be heard: it is as if nobody was told. Where only the Leases
        // cannot be seen others may still find this one.
        if self.key.is_none() || (!told.known && self.trust() == Trust::Heartbeats) {
            return;
        }
        // An old Lease of a node that is heard is only not renewed: it may not reach the server.
        let there = told.nodes.iter().filter(|(node, lease)| {
            lease.is_current
                || view
                    .peers
                    .get(*node)
                    .is_some_and(|state| *state != PeerState::Gone)
        });
        let taking_part = taking_part(&all_current(&told, &self.node));
        let left_out = !taking_part.contains(&self.node);
        // Of those that are too many nobody is sent anything, nor does one of them send.
        let there = there.filter(|(node, lease)| {
            !left_out && (taking_part.contains(*node) || !lease.is_current)
        });
        let peers: BTreeMap<String, SocketAddr> = there
            .map(|(node, lease)| (node.clone(), lease.heartbeats))
            .collect();
        if self.peers.as_ref() != Some(&peers) {
            members.set_peers(peers.clone());
            self.peers = Some(peers);
        }
    }

    /// Nodes that are too many: they own nothing, wherever they are heard.
    pub(super) fn left_out(&self) -> BTreeSet<String> {
        let current = all_current(&self.told(), &self.node);
        &current - &taking_part(&current)
    }

    /// Whether this node went by something else than heartbeats, and has not come to own addresses
    /// by them since.
    pub(super) fn comes_from_alone(&self) -> bool {
        self.comes_from_alone
    }

    fn note_silent(&mut self, told: &Peers, view: &View) {
        let current = told.nodes.iter().filter(|(_, lease)| lease.is_current);
        let silent: BTreeSet<&String> = current
            .map(|(node, _)| node)
            .filter(|node| {
                let state = view.peers.get(*node);
                state.is_none_or(|state| *state == PeerState::Gone)
            })
            .collect();
        self.silent.retain(|node, _| silent.contains(node));
        for node in silent {
            self.silent.entry(node.clone()).or_insert_with(Instant::now);
        }
    }

    /// This node announces with these MAC addresses.
    pub(super) fn announce_as(&mut self, macs: BTreeSet<Mac>) {
        self.macs = macs;
    }

    /// The Lease shall say by what this node announces, and where it is reached now.
    pub(super) fn refresh(&mut self, resources: &Resources) {
        let address = self.own_address(resources);
        self.has_no_address = address.is_none();
        if let Some(heartbeats) = address {
            let macs = self.macs.iter().map(|mac| mac.0).collect();
            self.directory.set_own(OwnLease {
                heartbeats,
                macs,
                kind: self.kind,
            });
        }
    }

    /// Where other nodes reach this one: as it was told, or by the address that the Node object
    /// gives it, or by the one that it has on the way to the API server, or to anywhere.
    fn own_address(&self, resources: &Resources) -> Option<SocketAddr> {
        let port = self.listen.map_or(PORT, |listen| listen.port());
        let listen = self.listen.map(|listen| listen.ip());
        let listen = listen.filter(|listen| !listen.is_unspecified());
        let ip = listen
            .or_else(|| internal_ip(resources, &self.node))
            .or_else(|| self.server.and_then(on_the_way_to))
            // Addresses of documentation: nothing is sent there.
            .or_else(|| on_the_way_to(Ipv4Addr::new(192, 0, 2, 1).into()))
            .or_else(|| on_the_way_to(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()))?;
        Some(SocketAddr::new(ip, port))
    }

    /// What is wrong.
    pub fn findings(&self, members: Option<&Members>) -> Vec<Finding> {
        let finding = |level, message: String, hint: &str| Finding {
            code: codes::NODES,
            level,
            object: None,
            field: String::new(),
            position: None,
            message,
            hint: hint.to_owned(),
        };
        let told = self.told();
        let mut findings: Vec<Finding> = told
            .troubles()
            .map(|trouble| {
                finding(
                    Level::Error,
                    format!(
                        "other nodes cannot be found, or cannot find this one, as it should be: \
                         {trouble}. Those that are known go on to be heard"
                    ),
                    "It is tried again. See deploy/rbac.yaml for what it needs to be allowed.",
                )
            })
            .collect();
        let too_many = too_many(&all_current(&told, &self.node), &self.node);
        findings.extend(too_many.map(|(level, message)| {
            finding(
                level,
                message,
                "Let fewer nodes announce: with a node selector of the DaemonSet, for example.",
            )
        }));
        findings.extend(mixed(&told, self.kind).map(|message| {
            finding(
                Level::Error,
                message,
                "Use one of the two on all nodes; see docs/kubernetes.md.",
            )
        }));
        let how = match self.trust() {
            Trust::Heartbeats => None,
            Trust::Cluster => {
                Some("takes its share of the addresses by what the cluster says of nodes")
            }
            Trust::Lan => Some("takes each address that nobody on the LAN answers for"),
        };
        findings.extend(how.map(|how| {
            finding(
                Level::Warning,
                format!(
                    "it is not known who else announces, so this node {how}; when another one dies, \
                     its addresses are taken over some seconds later than by heartbeats"
                ),
                "It ends when the Leases of nodes and the key of heartbeats can be read.",
            )
        }));
        if self.has_no_address {
            findings.push(finding(
                Level::Error,
                "other nodes cannot find this one: it has no address that heartbeats could be sent \
                 to"
                    .to_owned(),
                "Give the node an address, or name one with --peer-listen.",
            ));
        }
        let view = members.map(|members| Arc::clone(&members.views().borrow()));
        findings.extend(view.iter().flat_map(|view| &view.behind).map(|node| {
            finding(
                Level::Warning,
                format!(
                    "node {node} has not got the new key of heartbeats: ten minutes after the change \
                     it is not heard any more, and its addresses are taken for free"
                ),
                "See there with `gatehouse get findings` whether it hears the API server; a restart of \
                 gatehouse there reads the key anew.",
            )
        }));
        if let Some(trouble) = view.as_ref().and_then(|view| view.trouble.clone()) {
            findings.push(finding(
                Level::Error,
                format!(
                    "no heartbeats are sent or heard, so that this node owns no address: {trouble}"
                ),
                "MetalLB's speaker uses the same port: remove it, or give another one to all nodes \
                 with --peer-listen ADDR:PORT.",
            ));
        }
        let silent = self.silent.iter();
        let silent = silent.filter(|(_, since)| since.elapsed() >= SILENT);
        findings.extend(silent.map(|(node, _)| {
            finding(
                Level::Warning,
                format!(
                    "node {node} is not heard: it is down, or heartbeats do not get through between \
                     it and this node"
                ),
                "If it runs, let UDP 7946 through between the nodes, both ways.",
            )
        }));
        findings
    }

    /// This node stops: the others need not look for it any more.
    pub async fn leave(self, patience: Duration) {
        self.directory.leave(patience).await;
    }
}

/// This node, and all others whose Leases are kept up.
fn all_current(told: &Peers, me: &str) -> BTreeSet<String> {
    let nodes = told.nodes.iter().filter(|(_, lease)| lease.is_current);
    let others = nodes.map(|(node, _)| node.clone());
    others.chain([me.to_owned()]).collect()
}

/// What is wrong where there are more nodes than can take part.
fn too_many(all: &BTreeSet<String>, me: &str) -> Option<(Level, String)> {
    let some = taking_part(all);
    let last = some.last().filter(|_| some.len() < all.len())?;
    let (count, most) = (all.len(), some.len());
    Some(match some.contains(me) {
        true => (
            Level::Warning,
            format!(
                "{count} nodes would announce, and {most} can hear one another: those after {last} by \
                 name own no address"
            ),
        ),
        false => (
            Level::Error,
            format!(
                "this node owns no address: {count} nodes would announce, and only the first {most} by \
                 name can hear one another, up to {last}"
            ),
        ),
    })
}

/// What is wrong where nodes of `run` and of `speaker` are in one cluster. `own`: of which kind this
/// one is.
fn mixed(told: &Peers, own: NodeKind) -> Option<String> {
    let current = told.nodes.iter().filter(|(_, lease)| lease.is_current);
    let others = current.filter(|(_, lease)| lease.kind.is_some_and(|kind| kind != own));
    let others: Vec<(&String, NodeKind)> = others
        .filter_map(|(node, lease)| Some((node, lease.kind?)))
        .collect();
    let (first, kind) = others.first()?;
    let more = match others.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Some(format!(
        "node {first}{more} runs `gatehouse {kind}` and this one `gatehouse {own}` in the same \
         cluster: they differ on ipMode of the gateway's Service, so that its clients reach a node \
         that does not serve them"
    ))
}

/// By what it is known who is alive, where `unknown` says that the cluster has not told who there is
/// or how they are heard, so long after the start.
fn trust(unknown: bool, after: Duration) -> Trust {
    if !unknown || after < ALONE {
        Trust::Heartbeats
    } else if after < ALONE + SHARED_OUT {
        Trust::Cluster
    } else {
        Trust::Lan
    }
}

/// An address that stands for all of this host's.
pub(super) fn any_address() -> IpAddr {
    let v6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    // It takes IPv4 as well; a host may have no IPv6 at all.
    match UdpSocket::bind((v6, 0)) {
        Ok(_) => v6,
        Err(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}

/// The address that the Node object gives, where this host has it.
fn internal_ip(resources: &Resources, node: &str) -> Option<IpAddr> {
    let node = resources.nodes.get(&ObjectKey::new("", node))?;
    let status = node.body.status.as_ref()?;
    let addresses = status.addresses.iter().flatten();
    addresses
        .filter(|address| address.type_ == "InternalIP")
        .filter_map(|address| address.address.parse().ok())
        .find(|ip: &IpAddr| UdpSocket::bind((*ip, 0)).is_ok())
}

/// The address that this host has on the way to another one; nothing is sent.
fn on_the_way_to(target: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match target {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((target, PORT)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use gatehouse_config::source::kubernetes::peers::PeerLease;

    use super::*;

    #[test]
    fn a_cluster_that_tells_nothing_is_waited_for_then_believed_then_the_lan_decides() {
        let at = |seconds| trust(true, Duration::from_secs(seconds));
        assert_eq!([at(0), at(9)], [Trust::Heartbeats; 2]);
        assert_eq!([at(10), at(14)], [Trust::Cluster; 2]);
        assert_eq!([at(15), at(9999)], [Trust::Lan; 2]);
        assert_eq!(trust(false, Duration::from_secs(20)), Trust::Heartbeats);
    }

    #[test]
    fn who_is_left_out_is_told_and_so_is_everybody() {
        let all = |count| -> BTreeSet<String> { (0..count).map(|n| format!("n{n:03}")).collect() };
        assert_eq!(too_many(&all(129), "n128"), None);
        let (level, message) = too_many(&all(130), "n000").expect("one is left out");
        assert_eq!(level, Level::Warning);
        assert!(message.contains("130 nodes") && message.contains("after n128"));
        let (level, message) = too_many(&all(130), "n129").expect("it is this one");
        assert_eq!(level, Level::Error);
        assert!(message.contains("this node owns no address"), "{message}");
    }

    #[test]
    fn nodes_of_both_kinds_are_told_of() {
        let lease = |kind, is_current| PeerLease {
            heartbeats: SocketAddr::from(([192, 168, 8, 11], PORT)),
            macs: BTreeSet::new(),
            kind,
            is_current,
        };
        let with = |leases: Vec<PeerLease>| {
            let names = (1..).map(|n| format!("node{n}"));
            let told = Peers {
                nodes: names.zip(leases).collect(),
                ..Peers::default()
            };
            mixed(&told, NodeKind::Run)
        };
        // One that does not say is of an earlier version, one that is gone does no harm.
        assert_eq!(
            with(vec![lease(None, true), lease(Some(NodeKind::Run), true)]),
            None
        );
        assert_eq!(with(vec![lease(Some(NodeKind::Speaker), false)]), None);
        let message = with(vec![lease(Some(NodeKind::Speaker), true); 3]).expect("it is told");
        assert!(message.contains("node1 (and 2 more)"), "{message}");
        assert!(message.contains("gatehouse speaker") && message.contains("ipMode"));
    }
}
