//! Which nodes are candidates at the moment, by how much is known of them.
//!
//! Heartbeats tell best. Where nobody can be heard since the cluster told neither of other nodes nor
//! of the key, an address must neither stay with a node that is only an object, nor be announced by
//! two. So the word of the cluster (Leases, the condition Ready) gives each node its share at first;
//! then the LAN decides: every node asks for every address, and takes those that nobody has.

use std::collections::BTreeSet;

use gatehouse_config::model::Node;

use crate::members::{Own, PeerState, View};

/// What is known of nodes beside their objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// The nodes that may own addresses at the moment, this one perhaps among them; none: nobody
    /// watches, so that all do.
    pub alive: Option<BTreeSet<String>>,
    /// Nodes that are known of, heard or not.
    pub known: BTreeSet<String>,
    /// Nodes that are heard, or were until they died: of each it is known whether it owns anything,
    /// and it knows the same of this one.
    pub heard: BTreeSet<String>,
    /// Those of them that said that they stop: until they are back no address is theirs.
    pub left: BTreeSet<String>,
    /// Nodes with the label `node.kubernetes.io/exclude-from-external-load-balancers` may own
    /// addresses as well; to be said on all nodes.
    pub ignore_exclusion: bool,
}

/// By what it is told which nodes are alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// By heartbeats.
    #[default]
    Heartbeats,
    /// Nobody can be heard: by what the cluster says of nodes.
    Cluster,
    /// Nobody can be heard, and who the cluster believes in may be dead or may not run gatehouse: by
    /// who answers on the LAN.
    Lan,
}

impl Others {
    /// Those that the node `me` is to reckon with. `leases`: other nodes whose Leases are kept up;
    /// `nodes`: the Node objects.
    pub fn seen(
        me: &str,
        view: &View,
        leases: BTreeSet<String>,
        nodes: &[Node],
        trust: Trust,
    ) -> Self {
        let heard: BTreeSet<String> = view.peers.keys().cloned().collect();
        let mut alive = view.able.clone();
        // It waits for heartbeats that cannot come; without a link or a port it owns nothing.
        let waits_in_vain = view.own == Own::Settling && view.trouble.is_none();
        if trust != Trust::Heartbeats && waits_in_vain {
            alive.insert(me.to_owned());
        }
        if trust == Trust::Cluster {
            let not_ready = |name: &String| {
                let mut nodes = nodes.iter();
                nodes.any(|node| node.name == *name && node.not_ready)
            };
            let objects: BTreeSet<String> = nodes.iter().map(|node| node.name.clone()).collect();
            let believed = if leases.is_empty() { &objects } else { &leases };
            let mut believed = believed.clone();
            believed.remove(me);
            let owns_nothing = |name: &String| {
                let state = view.peers.get(name);
                state.is_some_and(|state| *state != PeerState::Able)
            };
            believed.retain(|name| !not_ready(name) && !owns_nothing(name));
            alive.extend(believed);
        }
        let mut known = heard.clone();
        known.extend(leases);
        Self {
            alive: Some(alive),
            known,
            heard,
            left: view.left.clone(),
            ignore_exclusion: false,
        }
    }
}
