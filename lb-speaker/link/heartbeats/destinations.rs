//! Where heartbeats go.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::members::{PeerState, View};

/// The other nodes: as they were named, or as they are found.
#[derive(Debug)]
pub(super) enum Destinations {
    /// Named once, for good.
    Named(Vec<SocketAddr>),
    /// Found by name, and changing.
    Found {
        /// Where each was said to be.
        told: BTreeMap<String, SocketAddr>,
        /// Where those that are alive were heard from, if it is elsewhere: a node that came back
        /// with another address is answered before anybody told of it.
        heard: BTreeMap<String, SocketAddr>,
    },
}

impl Destinations {
    /// How many there are to be; none: nobody told yet.
    pub(super) fn expected(&self) -> Option<usize> {
        match self {
            Self::Named(peers) => Some(peers.len()),
            Self::Found { .. } => None,
        }
    }

    /// The other nodes are these now.
    pub(super) fn tell(&mut self, peers: BTreeMap<String, SocketAddr>) {
        let heard = match self {
            Self::Named(_) => BTreeMap::new(),
            // What was told may be newer than what was heard.
            Self::Found { told, heard } => {
                heard.retain(|node, _| told.get(node) == peers.get(node));
                std::mem::take(heard)
            }
        };
        *self = Self::Found { told: peers, heard };
    }

    /// A heartbeat of this node was proven to be one of now, and came from there.
    pub(super) fn heard(&mut self, node: &str, from: SocketAddr) {
        if let Self::Found { told, heard } = self {
            if told.get(node) == Some(&from) {
                heard.remove(node);
            } else {
                heard.insert(node.to_owned(), from);
            }
        }
    }

    /// Forgets where those were heard from that are gone.
    pub(super) fn forget_gone(&mut self, view: &View) {
        if let Self::Found { heard, .. } = self {
            heard.retain(|node, _| {
                view.peers
                    .get(node)
                    .is_some_and(|state| *state != PeerState::Gone)
            });
        }
    }

    /// Whether there is nobody.
    pub(super) fn are_none(&self) -> bool {
        match self {
            Self::Named(peers) => peers.is_empty(),
            Self::Found { told, heard } => told.is_empty() && heard.is_empty(),
        }
    }

    /// All of them, each once.
    pub(super) fn all(&self) -> Vec<SocketAddr> {
        match self {
            Self::Named(peers) => peers.clone(),
            Self::Found { told, heard } => {
                let silent = told.iter().filter(|(node, _)| !heard.contains_key(*node));
                let silent = silent.map(|(_, address)| *address);
                heard.values().copied().chain(silent).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 7946))
    }

    fn told(peers: &[(&str, u8)]) -> BTreeMap<String, SocketAddr> {
        let peers = peers.iter();
        peers
            .map(|(node, last)| ((*node).to_owned(), at(*last)))
            .collect()
    }

    #[test]
    fn who_is_heard_from_elsewhere_is_answered_there_until_it_is_gone_or_told_anew() {
        let mut destinations = Destinations::Found {
            told: BTreeMap::new(),
            heard: BTreeMap::new(),
        };
        destinations.tell(told(&[("a", 1), ("b", 2)]));
        destinations.heard("b", at(22));
        destinations.heard("c", at(3));
        assert_eq!(destinations.all(), [at(22), at(3), at(1)]);
        // Other news leave it so.
        destinations.tell(told(&[("a", 11), ("b", 2)]));
        assert_eq!(destinations.all(), [at(22), at(3), at(11)]);
        destinations.tell(told(&[("a", 11), ("b", 4)]));
        assert_eq!(destinations.all(), [at(3), at(11), at(4)]);
        destinations.forget_gone(&View::default());
        assert_eq!(destinations.all(), [at(11), at(4)]);
    }
}
