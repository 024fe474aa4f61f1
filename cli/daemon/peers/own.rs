//! What of this node itself decides whether it may own addresses: its links, and its Node object.

use std::collections::BTreeSet;

use gatehouse_config::model::Node;
use gatehouse_lb_speaker::SpeakerState;

/// This node.
#[derive(Debug, Default)]
pub struct OwnNode {
    /// The interfaces that can announce; none: the speaker has not said yet.
    links: Option<BTreeSet<String>>,
    /// The cluster had a Node object of our name.
    was_there: bool,
    is_there: bool,
}

impl OwnNode {
    /// Takes in what the speaker says. True: an interface that could announce cannot any more, and
    /// others still can.
    pub fn see_links(&mut self, state: &SpeakerState) -> bool {
        let used = state.interfaces.iter().filter(|link| link.unused.is_none());
        let links: BTreeSet<String> = used.map(|link| link.name.clone()).collect();
        let before = self.links.replace(links.clone()).unwrap_or_default();
        !links.is_empty() && !before.is_subset(&links)
    }

    /// Takes in the cluster's Node objects.
    pub fn see_nodes(&mut self, me: &str, nodes: &[Node]) {
        self.is_there = nodes.iter().any(|node| node.name == me);
        self.was_there |= self.is_there;
    }

    /// Its Node object was deleted. A host that never had one is outside of the cluster, and takes
    /// part.
    pub fn is_deleted(&self) -> bool {
        self.was_there && !self.is_there
    }

    /// Whether it may own addresses, as far as it depends on this; none: not known yet.
    pub fn may_own(&self) -> Option<bool> {
        let links = self.links.as_ref()?;
        Some(!links.is_empty() && !self.is_deleted())
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_lb_speaker::InterfaceState;

    use super::*;

    fn state(links: &[(&str, bool)]) -> SpeakerState {
        let interfaces = links.iter().map(|(name, used)| InterfaceState {
            name: (*name).to_owned(),
            mac: String::new(),
            unused: (!used).then(|| "it has no carrier".to_owned()),
        });
        SpeakerState {
            interfaces: interfaces.collect(),
            ..SpeakerState::default()
        }
    }

    fn node(name: &str) -> Node {
        Node {
            name: name.to_owned(),
            labels: Default::default(),
            network_unavailable: false,
            not_ready: false,
        }
    }

    #[test]
    fn a_node_that_was_deleted_owns_nothing_until_it_is_back() {
        let mut own = OwnNode::default();
        assert_eq!(own.may_own(), None);
        own.see_links(&state(&[("eth0", true)]));
        // Outside of the cluster.
        own.see_nodes("me", &[node("other")]);
        assert_eq!(own.may_own(), Some(true));
        own.see_nodes("me", &[node("other"), node("me")]);
        assert_eq!(own.may_own(), Some(true));
        own.see_nodes("me", &[node("other")]);
        assert!(own.is_deleted());
        assert_eq!(own.may_own(), Some(false));
        own.see_nodes("me", &[node("me")]);
        assert_eq!(own.may_own(), Some(true));
        own.see_links(&state(&[("eth0", false)]));
        assert_eq!(own.may_own(), Some(false));
    }

    #[test]
    fn a_link_of_several_that_goes_is_noticed() {
        let mut own = OwnNode::default();
        assert!(!own.see_links(&state(&[("eth0", true), ("eth1", true)])));
        assert!(!own.see_links(&state(&[("eth0", true), ("eth1", true), ("eth2", true)])));
        assert!(own.see_links(&state(&[("eth0", false), ("eth1", true), ("eth2", true)])));
        // It is gone altogether.
        assert!(own.see_links(&state(&[("eth1", true)])));
        // The last one: there is no link, which is another matter.
        assert!(!own.see_links(&state(&[("eth1", false)])));
    }
}
