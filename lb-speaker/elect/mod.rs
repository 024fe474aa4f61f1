//! Which node answers for an address.
//!
//! MetalLB's order, so that a migration moves nothing: the highest sum of preference weights, then
//! the lowest sha256 of `node#address`. No lock and no lease: every node that sees the same
//! candidates names the same owner, and removing a node moves only what it owned.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use gatehouse_config::model::{L2Advertisement, Node};
use sha2::{Digest, Sha256};

/// A node that may own an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Its name.
    pub node: &'a str,
    /// The sum of the preference weights that select it.
    pub weight: u64,
}

/// Sorts candidates; the first one owns the address.
pub fn rank(candidates: &mut [Candidate<'_>], address: IpAddr) {
    candidates.sort_by_cached_key(|candidate| {
        (
            std::cmp::Reverse(candidate.weight),
            digest(candidate.node, address),
        )
    });
}

/// The node's place in line for an address: lower is nearer.
fn digest(node: &str, address: IpAddr) -> [u8; 32] {
    Sha256::digest(format!("{node}#{address}")).into()
}

/// Whether an advertisement lets a node announce.
pub fn covers(advertisement: &L2Advertisement, node: &Node) -> bool {
    let selectors = &advertisement.node_selectors;
    selectors.is_empty()
        || selectors
            .iter()
            .any(|selector| selector.matches(&node.labels))
}

/// The sum of the weights of the preferences that select a node. As in MetalLB those of an
/// advertisement count among the nodes that it covers, so that it draws an address nowhere else.
pub fn weight<'a>(
    advertisements: impl IntoIterator<Item = &'a L2Advertisement>,
    node: &Node,
) -> u64 {
    advertisements
        .into_iter()
        .filter(|advertisement| covers(advertisement, node))
        .flat_map(|advertisement| &advertisement.preferences)
        .filter(|preference| preference.selector.matches(&node.labels))
        .map(|preference| u64::from(preference.weight))
        .sum()
}
