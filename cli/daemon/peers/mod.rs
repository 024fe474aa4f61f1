//! Other nodes beside this one: who of them is alive, and what that changes.

mod found;
mod own;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use gatehouse_config::codes;
use gatehouse_config::finding::{Finding, Level};
use gatehouse_config::model::Model;
use gatehouse_lb_speaker::announce::Mac;
use gatehouse_lb_speaker::link::heartbeats::PORT;
use gatehouse_lb_speaker::members::wire::MAX_MACS;
use gatehouse_lb_speaker::members::{Key, Own, PeerState, Timing};
use gatehouse_lb_speaker::{
    AddressState, Members, MembersSettings, Others, Outcome, Peers, Plan, SpeakerState, Stations,
    Trust, plan_among,
};

use crate::daemon::DaemonError;
use crate::daemon::control::Control;
use crate::daemon::settings::{Role, Settings};
pub(super) use found::Found;
pub(super) use own::OwnNode;

/// The flags about other nodes.
#[derive(Args, Clone, Debug, Default)]
pub struct PeerArgs {
    /// Another node that runs gatehouse with the same objects, as ADDR or ADDR:PORT; may be
    /// repeated. One of those that are alive owns each address [default with --kube: those that
    /// have a Lease in the cluster]
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = peer, requires = "peer_key")]
    pub peer: Vec<SocketAddr>,
    /// A file with a secret of 16 bytes or more, the same on all nodes: heartbeats are signed with it
    #[arg(long, value_name = "FILE", requires = "peer")]
    pub peer_key: Option<PathBuf>,
    /// Where heartbeats of other nodes arrive, UDP [default: the address that this host has on the
    /// way to the first peer, or with --kube its node's own; port 7946]
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = peer)]
    pub peer_listen: Option<SocketAddr>,
    /// How long a node that comes back leaves addresses with those who serve them
    #[arg(
        long, value_name = "SECONDS", default_value_t = 5,
        value_parser = clap::value_parser!(u64).range(..=3600)
    )]
    pub peer_hold_down: u64,
}

fn peer(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse();
    with_port
        .or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, PORT)))
        .map_err(|_| {
            format!("`{text}` is not an address such as 192.168.8.12 or 192.168.8.12:7946")
        })
}

/// Whether other nodes are those that the cluster tells of.
pub(super) fn are_found(settings: &Settings) -> bool {
    settings.announce && settings.kube && settings.peers.peer.is_empty()
}

/// Starts to exchange heartbeats; none where there are no peers.
pub(super) fn start(settings: &Settings) -> Result<Option<Arc<Members>>, DaemonError> {
    let PeerArgs {
        peer,
        peer_key,
        peer_listen,
        peer_hold_down,
    } = &settings.peers;
    let bind = peer_listen.map(|listen| listen.ip());
    let (peers, bind) = match peer_key {
        _ if are_found(settings) => {
            // Wherever this node is found from one day.
            (Peers::Found, Some(bind.unwrap_or_else(found::any_address)))
        }
        Some(path) if settings.announce && !peer.is_empty() => {
            (Peers::Named(peer.clone(), Box::new(key(path)?)), bind)
        }
        _ => return Ok(None),
    };
    let members = Members::start(MembersSettings {
        node: settings.node.clone(),
        bind,
        port: peer_listen.map_or(PORT, |listen| listen.port()),
        peers,
        timing: Timing {
            hold_down: Duration::from_secs(*peer_hold_down),
            ..Timing::default()
        },
    });
    members
        .map(|members| Some(Arc::new(members)))
        .map_err(|error| DaemonError::System {
            what: "no heartbeats",
            error,
        })
}

/// The key that a file holds.
fn key(path: &Path) -> Result<Key, DaemonError> {
    let refused = |error| DaemonError::PeerKey {
        path: path.display().to_string(),
        error,
    };
    let secret = std::fs::read(path).map_err(refused)?;
    Key::new(secret.trim_ascii()).ok_or_else(|| {
        refused(std::io::Error::other(
            "it holds fewer than 16 bytes; make one with `openssl rand -base64 32`",
        ))
    })
}

/// The MAC addresses that a speaker announces with, or could; none: it has not said yet. Heartbeats
/// and Leases have room for [`MAX_MACS`]: those that it announces with at the moment come first.
fn macs(state: &SpeakerState) -> Option<BTreeSet<Mac>> {
    // Before the speaker's first word nothing is known; without the right to announce it says so
    // in a message, and lists no interface.
    let known = !(state.interfaces.is_empty() && state.messages.is_empty());
    let announced = state.addresses.values().flat_map(|address| match address {
        AddressState::Announced { on } => on.as_slice(),
        _ => &[],
    });
    let announcing: BTreeSet<&str> = announced.map(|on| on.interface.as_str()).collect();
    let used = state.interfaces.iter().filter(|link| link.unused.is_none());
    let mut used: Vec<(bool, Mac)> = used
        .filter_map(|link| {
            let waits = !announcing.contains(link.name.as_str());
            Some((waits, link.mac.parse().ok()?))
        })
        .collect();
    used.sort_unstable();
    known.then(|| {
        used.into_iter()
            .map(|(_, mac)| mac)
            .take(MAX_MACS)
            .collect()
    })
}

impl Control {
    /// What is known of other nodes.
    fn others(&self, model: &Model) -> Others {
        let Some(members) = &self.members else {
            return Others::default();
        };
        let view = Arc::clone(&members.views().borrow());
        let (leases, trust) = match &self.found {
            Some(found) => (found.current().collect(), found.trust()),
            None => (BTreeSet::new(), Trust::Heartbeats),
        };
        let node = &self.settings.node;
        let mut others = Others::seen(node, &view, leases, &model.nodes, trust);
        if let (Some(found), Some(alive)) = (&self.found, &mut others.alive) {
            // It keeps what it has until it has heard whoever there is.
            if found.comes_from_alone() && view.own == Own::Settling {
                alive.insert(node.clone());
            }
            let left_out = found.left_out();
            alive.retain(|name| !left_out.contains(name));
        }
        others
    }

    /// Which stations on the LAN are other nodes.
    fn stations(&self) -> Stations {
        let Some(members) = &self.members else {
            return Stations::default();
        };
        let view = Arc::clone(&members.views().borrow());
        let mut nodes = view.macs.clone();
        let others = match &self.found {
            Some(found) => {
                nodes.extend(found.macs());
                let known: BTreeSet<&String> = nodes.values().collect();
                let silent = |node: &String| {
                    let state = view.peers.get(node);
                    state.is_none_or(|state| *state == PeerState::Gone)
                };
                let mut current = found.current();
                found.may_be_incomplete()
                    || current.any(|node| silent(&node) && !known.contains(&node))
            }
            None => view.peers.len() < self.settings.peers.peer.len(),
        };
        let peers = view.peers.iter();
        let heard = peers.filter(|(_, state)| **state != PeerState::Gone);
        let heard = heard.map(|(node, _)| node.clone()).collect();
        Stations {
            nodes,
            others,
            heard,
        }
    }

    /// What this node announces, after what it announced until now.
    pub(super) fn plan(&self, model: &Model, outcome: &Outcome) -> Plan {
        if self.settings.role == Role::Gateway {
            return Plan::default();
        }
        let allocations = outcome
            .services
            .iter()
            .filter_map(|(key, decision)| Some((key.clone(), decision.allocation()?.clone())))
            .collect();
        let mut others = self.others(model);
        others.ignore_exclusion = self.settings.ignore_exclude_lb;
        let mut plan = plan_among(model, &allocations, &self.settings.node, &others);
        plan.follow(&self.in_force.plan, &others);
        plan
    }

    /// Somebody came or went.
    pub fn nodes_changed(&mut self) {
        let Some(members) = &self.members else { return };
        let arrivals = members.views().borrow().arrivals;
        if let Some(found) = &mut self.found {
            found.tell(members);
        }
        let stations = self.stations();
        let plan = self.plan(&self.in_force.model, &self.in_force.outcome);
        if let Some(speaker) = &self.speaker {
            speaker.know(stations);
            speaker.update(plan.announcements.clone());
            // Who was away may have spoken for our addresses.
            if arrivals != self.arrivals {
                speaker.announce_again();
            }
        }
        self.arrivals = arrivals;
        self.in_force.plan = Arc::new(plan);
        self.show();
        self.report();
    }

    /// The speaker knows whether an interface can announce, and by which MAC address.
    pub fn link_changed(&mut self, state: &SpeakerState) {
        let (Some(members), Some(macs)) = (self.members.clone(), macs(state)) else {
            return;
        };
        if self.own_node.see_links(state) {
            members.lose_carrier();
        }
        self.tell_own_node();
        members.set_macs(macs.iter().copied().collect());
        if let Some(found) = &mut self.found {
            found.announce_as(macs);
            found.refresh(&self.in_force.resources);
        }
    }

    /// The model is another one: this node's own Node object may be gone from it. Who may own addresses
    /// says so itself, by heartbeats: all others agree then, those that never saw that object too; and
    /// a node that is cut from the API server, and does not know of it, keeps what it has.
    pub(super) fn model_changed(&mut self) {
        if self.settings.kube {
            let nodes = &self.in_force.model.nodes;
            self.own_node.see_nodes(&self.settings.node, nodes);
            self.tell_own_node();
        }
    }

    fn tell_own_node(&self) {
        if let (Some(members), Some(may_own)) = (&self.members, self.own_node.may_own()) {
            members.set_link(may_own);
        }
    }

    /// Why this node owns nothing, where that is for its Node object.
    pub(super) fn deleted_node(&self) -> Option<Finding> {
        let deleted = self.members.is_some() && self.own_node.is_deleted();
        deleted.then(|| Finding {
            code: codes::NODES,
            level: Level::Warning,
            object: None,
            field: String::new(),
            position: None,
            message: format!(
                "the Node object {} was deleted, so this node owns no address: the cluster has taken it \
                 out, and its labels are not known",
                self.settings.node
            ),
            hint: "Restart the kubelet, which makes the object again; or stop gatehouse here."
                .to_owned(),
        })
    }

    /// Looks at what nothing tells of: that this node's own address is another one, and that nobody
    /// told of others for long.
    pub fn look_at_nodes(&mut self) {
        if let Some(found) = &mut self.found {
            found.refresh(&self.in_force.resources);
            if found.trust() != Trust::Heartbeats {
                self.nodes_changed();
            }
        }
    }

    /// This node stops. Where others take over they do so at once, and connections that are here
    /// may end; where there is nobody, addresses stay until the end.
    pub fn hand_over(&self) {
        let Some(members) = &self.members else { return };
        let has_heirs = members.views().borrow().has_heirs();
        if has_heirs && let Some(speaker) = &self.speaker {
            speaker.yield_all();
        }
        members.leave();
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_lb_speaker::{AnnouncedOn, InterfaceState};

    use super::*;

    #[test]
    fn those_that_announce_come_first() {
        let mac = |last: u8| Mac([2, 0, 0, 0, 0, last]);
        let mut state = SpeakerState::default();
        assert_eq!(macs(&state), None);
        state.interfaces = (0..20)
            .map(|last| InterfaceState {
                name: format!("eth{last}"),
                mac: mac(last).to_string(),
                unused: None,
            })
            .collect();
        let of = |state: &SpeakerState| macs(state).unwrap_or_default();
        assert!(!of(&state).contains(&mac(18)));
        state.addresses.insert(
            IpAddr::from([192, 168, 8, 151]),
            AddressState::Announced {
                on: vec![AnnouncedOn {
                    interface: "eth18".to_owned(),
                    mac: mac(18).to_string(),
                }],
            },
        );
        assert_eq!(of(&state).len(), MAX_MACS);
        assert!(of(&state).contains(&mac(18)) && of(&state).contains(&mac(0)));
    }
}
