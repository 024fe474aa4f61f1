//! What the loop tells people: the state of every address and interface, with reasons.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::Running;
use crate::announce::custody::{Conflict, Custody, Standing};
use crate::link::interfaces::Link;
use crate::link::selection;
use crate::plan::{Announcement, Interfaces};
use crate::speaker::state::{AddressState, AnnouncedOn, InterfaceState, SpeakerState};

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
                    state.messages.push(format!(
                        "{address} is not announced: {mac} on {interface} uses it; give that \
                         machine another address, or take {address} out of the pool"
                    ));
                    AddressState::Conflict {
                        mac,
                        interface,
                        since,
                    }
                }
                Some(Standing::Announcing) => self.announced(announcement),
                Some(Standing::Probing) => AddressState::Probing,
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

    fn opponent(&self, conflict: &Conflict) -> (String, String) {
        let interface = self.links.0.get(&conflict.interface).map_or_else(
            || "an interface that is gone".to_owned(),
            |l| l.name.clone(),
        );
        (conflict.mac.to_string(), interface)
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
            let mute = !self.speaks(link.index, announcement.address);
            let why = self.unused(link).or_else(|| {
                mute.then(|| "it has no IPv6 address of its own, not even fe80::".to_owned())
            });
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
