//! What stands in a node's Lease, and the watch of all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::ObjectMeta;
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch as channel;

use super::follow::{News, Patience, follow};
use super::{Told, parse_address};

/// Which Leases are of nodes.
const LABEL: (&str, &str) = ("gatehouse.io/lease", "node");
/// Where heartbeats of a node are sent to, `ADDR:PORT`.
const HEARTBEATS: &str = "gatehouse.io/heartbeats";
/// The MAC addresses that a node announces with, by commas.
const MACS: &str = "gatehouse.io/mac-addresses";
/// By which verb a node announces.
const KIND: &str = "gatehouse.io/kind";
/// More than this of one node are not kept: a host has some few.
const MOST_MACS: usize = 16;
/// Leases beyond this are not kept, those with the last names: most must be of nodes that are gone,
/// since far fewer can hear one another.
const MOST_LEASES: usize = 1024;

/// How often a Lease is renewed.
pub(super) const RENEW: Duration = Duration::from_secs(60);
/// A Lease that was not renewed for so long is of a node that is gone for good.
pub(super) const ABANDONED: Duration = Duration::from_secs(600);
/// How long the own Lease may take to be written before the others are looked at: of two nodes that
/// start together one must see the other.
const OWN_FIRST: Duration = Duration::from_secs(5);

/// By which verb a node announces. Nodes of both kinds in one cluster differ on what a Service's
/// status is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// `gatehouse run`, gateway and speaker in one.
    Run,
    /// `gatehouse speaker`.
    Speaker,
}

impl NodeKind {
    const ALL: [Self; 2] = [Self::Run, Self::Speaker];
}

impl fmt::Display for NodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Run => "run",
            Self::Speaker => "speaker",
        })
    }
}

/// What this node's Lease shall say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnLease {
    /// Where its heartbeats are to be sent.
    pub heartbeats: SocketAddr,
    /// What it announces with.
    pub macs: BTreeSet<[u8; 6]>,
    /// By which verb.
    pub kind: NodeKind,
}

/// What another node's Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerLease {
    /// Where its heartbeats are to be sent.
    pub heartbeats: SocketAddr,
    /// What it announces with; those that can be read.
    pub macs: BTreeSet<[u8; 6]>,
    /// By which verb; none: it does not say.
    pub kind: Option<NodeKind>,
    /// It was renewed within the last ten minutes, as far as could be seen.
    pub is_current: bool,
}

/// The Lease of a node: `gatehouse-node-NODE`, where that can be the name of an object.
pub fn lease_name(node: &str) -> String {
    let plain: String = node
        .chars()
        .map(|letter| match letter.to_ascii_lowercase() {
            letter @ ('a'..='z' | '0'..='9' | '-' | '.') => letter,
            _ => '-',
        })
        .take(200)
        .collect();
    let plain = plain.trim_matches(['-', '.']);
    if plain == node {
        return format!("gatehouse-node-{node}");
    }
    // Two names that differ only in what cannot be written stay two (FNV-1a).
    let hash = node.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("gatehouse-node-{plain}-{hash:016x}").replace("--", "-")
}

/// The Lease as it is to be written over `before`; none of `own`: the node stops.
pub(super) fn lease(
    node: &str,
    own: Option<&OwnLease>,
    owner: Option<&OwnerReference>,
    before: Option<&Lease>,
) -> Lease {
    let now = MicroTime(Timestamp::now());
    let mut meta = before.map_or_else(ObjectMeta::default, |before| before.metadata.clone());
    meta.name = Some(lease_name(node));
    meta.managed_fields = None;
    let labels = meta.labels.get_or_insert_default();
    labels.insert(LABEL.0.to_owned(), LABEL.1.to_owned());
    if let Some(own) = own {
        let macs: Vec<String> = own.macs.iter().take(MOST_MACS).map(mac_text).collect();
        let annotations = meta.annotations.get_or_insert_default();
        annotations.insert(HEARTBEATS.to_owned(), own.heartbeats.to_string());
        annotations.insert(MACS.to_owned(), macs.join(","));
        annotations.insert(KIND.to_owned(), own.kind.to_string());
    }
    if let Some(owner) = owner {
        meta.owner_references = Some(vec![owner.clone()]);
    }
    Lease {
        metadata: meta,
        spec: Some(LeaseSpec {
            holder_identity: Some(own.map(|_| node.to_owned()).unwrap_or_default()),
            lease_duration_seconds: i32::try_from(ABANDONED.as_secs()).ok(),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }),
    }
}

fn mac_text(mac: &[u8; 6]) -> String {
    let bytes: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text
        .trim()
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).ok())
        .collect();
    bytes?.try_into().ok()
}

/// The node of a Lease and what it says; none where it says nothing that can be used.
fn read(lease: &Lease) -> Option<(String, PeerLease)> {
    let node = lease.spec.as_ref()?.holder_identity.clone()?;
    let annotations = lease.metadata.annotations.as_ref()?;
    let heartbeats = parse_address(annotations.get(HEARTBEATS)?)?;
    let macs = annotations
        .get(MACS)
        .map(String::as_str)
        .unwrap_or_default();
    let kind = annotations.get(KIND);
    let mut kinds = NodeKind::ALL.into_iter();
    let says = PeerLease {
        heartbeats,
        macs: macs.split(',').filter_map(mac).take(MOST_MACS).collect(),
        kind: kinds.find(|known| kind.is_some_and(|kind| *kind == known.to_string())),
        is_current: true,
    };
    (!node.is_empty()).then_some((node, says))
}

/// All Leases of nodes, as they were seen.
#[derive(Debug, Default)]
struct Seen {
    leases: BTreeMap<String, SeenLease>,
    listed: Option<BTreeSet<String>>,
    /// Since when changes would be seen; none: they would not.
    healthy: Option<Instant>,
    /// Since the last list there were more than are kept.
    too_many: bool,
}

#[derive(Debug)]
struct SeenLease {
    version: String,
    changed: Instant,
    says: Option<(String, PeerLease)>,
}

impl Seen {
    fn take(&mut self, now: Instant, event: Event<Lease>) {
        match event {
            Event::Init => {
                self.listed = Some(BTreeSet::new());
                self.too_many = false;
            }
            Event::InitApply(lease) | Event::Apply(lease) => self.apply(now, &lease),
            Event::Delete(lease) => {
                self.leases.remove(&name(&lease));
            }
            Event::InitDone => {
                if let Some(listed) = self.listed.take() {
                    self.leases.retain(|name, _| listed.contains(name));
                }
                // Lists are made while all is well, too.
                self.healthy.get_or_insert(now);
            }
        }
    }

    fn apply(&mut self, now: Instant, lease: &Lease) {
        let name = name(lease);
        if let Some(listed) = &mut self.listed {
            listed.insert(name.clone());
        }
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let known = self.leases.get(&name);
        if known.is_some_and(|known| known.version == version) {
            return;
        }
        // Which ones are kept must not depend on the order in which they are seen: all nodes are to
        // keep the same.
        if known.is_none() && self.leases.len() >= MOST_LEASES {
            self.too_many = true;
            match self.leases.last_key_value() {
                Some((last, _)) if name < *last => self.leases.pop_last(),
                _ => return,
            };
        }
        let seen = SeenLease {
            version,
            changed: now,
            says: read(lease),
        };
        self.leases.insert(name, seen);
    }

    /// The others, and whether they are current: a Lease is abandoned only while its renewal would
    /// be seen.
    fn nodes(&mut self, now: Instant, me: &str) -> BTreeMap<String, PeerLease> {
        if let Some(healthy) = self.healthy {
            for lease in self.leases.values_mut() {
                let since = lease.changed.max(healthy);
                if let Some((_, says)) = &mut lease.says {
                    says.is_current = now.saturating_duration_since(since) < ABANDONED;
                }
            }
        }
        let says = self.leases.values().filter_map(|lease| lease.says.clone());
        says.filter(|(node, _)| node != me).collect()
    }
}

fn name(lease: &Lease) -> String {
    lease.metadata.name.clone().unwrap_or_default()
}

/// Sees all nodes' Leases, once the own one was written or could not be; never ends.
pub(super) async fn watch(
    api: Api<Lease>,
    me: String,
    told: Told,
    mut own_tried: channel::Receiver<bool>,
) {
    // That the wait is over is all there is to know.
    let _ = tokio::time::timeout(OWN_FIRST, own_tried.wait_for(|tried| *tried)).await;
    let config = watcher::Config::default().labels(&format!("{}={}", LABEL.0, LABEL.1));
    let mut seen = Seen::default();
    follow(api, config, Patience::default(), |news| {
        let now = Instant::now();
        match news {
            News::Event(event) => seen.take(now, event),
            News::Well => return told.update(|peers| peers.lease_trouble = None),
            News::Trouble(why) => {
                seen.healthy = None;
                let why = format!("the Leases of nodes cannot be seen: {why}");
                told.update(|peers| peers.lease_trouble = Some(why));
                return;
            }
        }
        // In the midst of a list nothing is complete.
        if seen.listed.is_none() {
            let nodes = seen.nodes(now, &me);
            let too_many = seen.too_many.then(|| {
                format!(
                    "there are more than {MOST_LEASES} Leases of nodes, and those with the last names \
                     are not looked at; delete those of nodes that are gone (kubectl get leases -l \
                     {}={})",
                    LABEL.0, LABEL.1
                )
            });
            told.update(|peers| {
                peers.known = true;
                peers.too_many = too_many;
                peers.nodes = nodes;
            });
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(last: u8) -> OwnLease {
        OwnLease {
            heartbeats: SocketAddr::from(([192, 168, 8, last], 7946)),
            macs: [[2, 0, 0, 0, 0, last]].into(),
            kind: NodeKind::Speaker,
        }
    }

    fn written(node: &str, last: u8, version: &str) -> Lease {
        let mut lease = lease(node, Some(&own(last)), None, None);
        lease.metadata.resource_version = Some(version.to_owned());
        lease
    }

    #[test]
    fn a_lease_says_what_it_was_told_and_nothing_when_the_node_stops() {
        let first = written("node1", 11, "1");
        let said = PeerLease {
            heartbeats: own(11).heartbeats,
            macs: own(11).macs,
            kind: Some(NodeKind::Speaker),
            is_current: true,
        };
        assert_eq!(read(&first), Some(("node1".to_owned(), said)));
        let stopped = lease("node1", None, None, Some(&first));
        assert_eq!(read(&stopped), None);
        assert_eq!(stopped.metadata.resource_version.as_deref(), Some("1"));
        for nonsense in [
            "",
            "192.168.8.1",
            "0.0.0.0:7946",
            "192.168.8.1:0",
            "[ff02::1]:7946",
        ] {
            let mut lease = first.clone();
            let annotations = lease.metadata.annotations.as_mut().expect("there are some");
            annotations.insert(HEARTBEATS.to_owned(), nonsense.to_owned());
            assert_eq!(read(&lease), None, "{nonsense}");
        }
    }

    #[test]
    fn names_of_nodes_become_names_of_objects() {
        assert_eq!(lease_name("node1.lan"), "gatehouse-node-node1.lan");
        let (one, two) = (lease_name("My_Host"), lease_name("my-host"));
        assert_ne!(one, two);
        for name in [one, two, lease_name("-"), lease_name(&"n".repeat(300))] {
            assert!(name.len() <= 253 && !name.contains('_'), "{name}");
        }
    }

    #[test]
    fn of_too_many_leases_the_same_are_kept_in_whatever_order_they_come() {
        let names: Vec<String> = (0..MOST_LEASES + 8).map(|n| format!("n{n:05}")).collect();
        let now = Instant::now();
        let kept = |names: &mut dyn Iterator<Item = &String>| {
            let mut seen = Seen::default();
            seen.take(now, Event::Init);
            for name in names {
                seen.take(now, Event::InitApply(written(name, 2, "1")));
            }
            seen.take(now, Event::InitDone);
            let nodes = seen.nodes(now, "me");
            (nodes.into_keys().collect::<Vec<_>>(), seen.too_many)
        };
        assert_eq!(
            kept(&mut names.iter()),
            (names[..MOST_LEASES].to_vec(), true)
        );
        assert_eq!(kept(&mut names.iter()), kept(&mut names.iter().rev()));
        assert!(!kept(&mut names[8..].iter()).1);
    }

    #[test]
    fn a_list_while_all_is_well_gives_nobody_more_time() {
        let start = Instant::now();
        let mut seen = Seen::default();
        let mut now = start;
        while now < start + ABANDONED {
            assert!(seen.nodes(now, "a").values().all(|node| node.is_current));
            seen.take(now, Event::Init);
            seen.take(now, Event::InitApply(written("b", 2, "2")));
            seen.take(now, Event::InitDone);
            now += Duration::from_secs(45);
        }
        assert!(!seen.nodes(now, "a")["b"].is_current);
    }

    #[test]
    fn who_is_gone_for_good_is_told_from_who_could_not_be_seen() {
        let start = Instant::now();
        let mut seen = Seen::default();
        seen.take(start, Event::Init);
        seen.take(start, Event::InitApply(written("a", 1, "1")));
        seen.take(start, Event::InitApply(written("b", 2, "2")));
        seen.take(start, Event::InitDone);
        let current = |seen: &mut Seen, now| {
            let nodes = seen.nodes(now, "a");
            assert_eq!(nodes.keys().collect::<Vec<_>>(), ["b"], "not oneself");
            nodes["b"].is_current
        };
        assert!(current(&mut seen, start + ABANDONED / 2));
        // Nothing can be seen: nothing is concluded from that.
        seen.healthy = None;
        assert!(current(&mut seen, start + ABANDONED * 3));
        // It is seen again, unchanged, and is given its time anew.
        let back = start + ABANDONED * 3;
        seen.take(back, Event::Init);
        seen.take(back, Event::InitApply(written("b", 2, "2")));
        seen.take(back, Event::InitDone);
        assert!(current(&mut seen, back + ABANDONED / 2));
        assert!(!current(&mut seen, back + ABANDONED));
        let later = back + ABANDONED * 2;
        seen.take(later, Event::Apply(written("b", 22, "3")));
        assert!(current(&mut seen, later));
        assert_eq!(seen.nodes(later, "a")["b"].heartbeats, own(22).heartbeats);
        seen.take(later, Event::Delete(written("b", 22, "3")));
        assert!(seen.nodes(later, "a").is_empty());
    }
}
