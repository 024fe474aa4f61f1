//! What the loop tells people: the state of every address and interface, with reasons.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use super::Running;
use crate::announce::Mac;
use crate::announce::custody::{Conflict, Custody, Rival, Standing};
use crate::link::interfaces::Link;
use crate::link::selection;
use crate::plan::{Announcement, Interfaces};
use crate::speaker::state::{AddressState, AnnouncedOn, InterfaceState, SpeakerState};

/// What helps where two nodes differ.
const LET_THROUGH: &str = "Let UDP 7946 through between the nodes, both ways (it is the port of \
                           --peer-listen)";

impl Running {
    pub(super) fn state(&mut self) -> SpeakerState {
        let mut state = SpeakerState {
            messages: self.host.messages.values().cloned().collect(),
            interfaces: self.interface_states(),
            ..SpeakerState::default()
        };
        let mut conflicts = BTreeMap::new();
        for announcement in self.desired.iter() {
            let address = announcement.address;
            let standing = self.custody.get(&address).map(Custody::standing);
            let address_state = match standing {
                Some(Standing::Conflict(conflict)) => {
                    let since = self.conflicts.get(&address).copied();
                    let since = since.unwrap_or_else(SystemTime::now);
                    conflicts.insert(address, since);
                    let (mac, interface) = self.opponent(&conflict);
                    let told = self.conflict_message(address, &conflict, &interface);
                    state.messages.push(told);
                    AddressState::Conflict {
                        mac,
                        interface,
                        node: self.stations.nodes.get(&conflict.mac).cloned(),
                        since,
                    }
                }
                Some(Standing::Announcing) => {
                    state.messages.extend(self.dispute_message(address));
                    self.announced(announcement)
                }
                Some(Standing::Probing) => AddressState::Probing,
                Some(Standing::Nowhere) | None if self.waits(announcement) => AddressState::Probing,
                Some(Standing::Nowhere) | None => match self.held_elsewhere(address) {
                    Some(link) => {
                        state.messages.push(format!(
                            "{address} is not announced: interface {} of this host has it already \
                             and answers for it; remove it there (ip address del {address} dev {})",
                            link.name, link.name
                        ));
                        AddressState::HeldByHost {
                            interface: link.name.clone(),
                        }
                    }
                    None => AddressState::NoInterface {
                        why: self.why_nowhere(announcement),
                    },
                },
            };
            state.addresses.insert(address, address_state);
        }
        self.conflicts = conflicts;
        state
    }

    /// Whether an interface that is back will announce it soon.
    fn waits(&self, announcement: &Announcement) -> bool {
        let mut waiting = self.lans.values().filter(|lan| lan.waits_until.is_some());
        !self.yielding && waiting.any(|lan| announcement.interfaces.allow(&lan.name))
    }

    fn opponent(&self, conflict: &Conflict) -> (String, String) {
        (
            conflict.mac.to_string(),
            self.interface_name(conflict.interface),
        )
    }

    fn interface_name(&self, index: u32) -> String {
        let link = self.links.0.get(&index);
        link.map_or_else(
            || "an interface that is gone".to_owned(),
            |link| link.name.clone(),
        )
    }

    fn node_name(&self, mac: Mac) -> String {
        let node = self.stations.nodes.get(&mac);
        node.map_or_else(|| mac.to_string(), |node| format!("node {node}"))
    }

    fn conflict_message(&self, address: IpAddr, conflict: &Conflict, interface: &str) -> String {
        let mac = conflict.mac;
        let heard = |node: &String| self.stations.heard.contains(node);
        match conflict.rival {
            Rival::First | Rival::Second if self.stations.nodes.get(&mac).is_some_and(heard) => {
                format!(
                    "{address} is left to {node} ({mac} on {interface}), which goes on to announce \
                     it although it is this node's by now: it does not see the same objects. See \
                     there with `gatehouse get findings` whether it hears the API server, or its \
                     files differ",
                    node = self.node_name(mac)
                )
            }
            Rival::First | Rival::Second => format!(
                "{address} is left to {node} ({mac} on {interface}), which announces it although it \
                 is not heard here: heartbeats do not arrive. {LET_THROUGH}",
                node = self.node_name(mac)
            ),
            Rival::PerhapsOurs => format!(
                "{address} is not announced: {mac} on {interface} uses it. If that is a node of \
                 yours, its heartbeats do not arrive: let UDP 7946 through between the nodes, both \
                 ways; else give that machine another address, or take {address} out of the pool"
            ),
            Rival::Stranger => format!(
                "{address} is not announced: {mac} on {interface} uses it; give that machine \
                 another address, or take {address} out of the pool"
            ),
        }
    }

    fn dispute_message(&self, address: IpAddr) -> Option<String> {
        let others = self.custody.get(&address)?.disputed();
        let others = others.into_iter().map(|(mac, index)| {
            let (node, interface) = (self.node_name(mac), self.interface_name(index));
            format!("{node} ({mac} on {interface})")
        });
        let others: Vec<String> = others.collect();
        (!others.is_empty()).then(|| {
            format!(
                "{} would announce {address} too, which this node announces: heartbeats do not \
                 arrive. {LET_THROUGH}",
                others.join(" and ")
            )
        })
    }

    fn announced(&self, announcement: &Announcement) -> AddressState {
        let address = announcement.address;
        if let Some(why) = self.host.messages.get(&address.to_string()) {
            return AddressState::NoInterface { why: why.clone() };
        }
        let answering = self
            .custody
            .get(&address)
            .map(Custody::answering)
            .unwrap_or_default();
        let on: Vec<AnnouncedOn> = answering
            .iter()
            .filter_map(|index| self.lans.get(index))
            .filter(|lan| !lan.down)
            .map(|lan| AnnouncedOn {
                interface: lan.name.clone(),
                mac: lan.lan().mac.to_string(),
            })
            .collect();
        if on.is_empty() {
            AddressState::NoInterface {
                why: self.why_nowhere(announcement),
            }
        } else {
            AddressState::Announced { on }
        }
    }

    fn interface_states(&self) -> Vec<InterfaceState> {
        let mut states: Vec<InterfaceState> = self
            .links
            .0
            .values()
            .map(|link| InterfaceState {
                name: link.name.clone(),
                mac: link.mac.map(|mac| mac.to_string()).unwrap_or_default(),
                unused: self.unused(link),
            })
            .collect();
        states.sort_by(|a, b| a.name.cmp(&b.name));
        states
    }

    fn unused(&self, link: &Link) -> Option<String> {
        selection::unused(link, &self.works.settings.excluded_interfaces)
            .or_else(|| self.refused.get(&link.index).cloned())
    }

    fn why_nowhere(&self, announcement: &Announcement) -> String {
        let of = |link: &Link| {
            let mute = || self.mute(link.index, announcement.address);
            let why = self.unused(link).or_else(mute);
            why.map(|why| format!("{}: {why}", link.name))
        };
        match &announcement.interfaces {
            Interfaces::All => {
                let links = self.links.0.values().filter(|link| !link.loopback);
                let reasons: Vec<String> = links.filter_map(of).collect();
                format!("no interface can announce it ({})", reasons.join("; "))
            }
            Interfaces::Named(names) => {
                let reasons: Vec<String> = names
                    .iter()
                    .filter_map(|name| match self.links.named(name) {
                        Some(link) => of(link),
                        None => Some(format!("{name}: there is no such interface here")),
                    })
                    .collect();
                format!(
                    "none of the interfaces of the L2Advertisement can announce it ({})",
                    reasons.join("; ")
                )
            }
        }
    }
}
