//! From allocations to what this node announces: advertisements, election, reasons for silence.
//!
//! MetalLB's decision in its order: somebody to serve, an advertisement for the pool and the
//! Service, this node among those it covers, this node first in the election.

mod others;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use gatehouse_config::Labels;
use gatehouse_config::ObjectKey;
use gatehouse_config::model::{L2Advertisement, Model, Node, Service, TrafficPolicy};

use crate::allocate::Allocation;
use crate::announce::custody::Former;
use crate::elect::{self, Candidate};
pub use others::{Others, Trust};

/// An address that this node answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The address.
    pub address: IpAddr,
    /// The Services that hold it; several when it is shared.
    pub services: BTreeSet<ObjectKey>,
    /// Where it may be announced.
    pub interfaces: Interfaces,
    /// Who had it until now, from which follows whether it may be announced unasked.
    pub former: Former,
    /// Nodes that come before this one in the election, and are not heard. Where one of them
    /// claims the address, it is its own.
    pub first: BTreeSet<String>,
}

/// Interfaces that the L2Advertisements allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interfaces {
    /// All that are not excluded.
    All,
    /// Those with exactly these names.
    Named(BTreeSet<String>),
}

impl Interfaces {
    /// Whether an interface of that name is among them.
    pub fn allow(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(name),
        }
    }

    fn join(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Named(mine), Self::Named(other)) => mine.extend(other),
            _ => *self = Self::All,
        }
    }
}

/// An address of a Service that this node does not announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The Service.
    pub service: ObjectKey,
    /// Its address.
    pub address: IpAddr,
    /// The node that announces it, where it is another one.
    pub owner: Option<String>,
    /// Why not here, and the nearest fix.
    pub reason: String,
}

/// What this node announces and what it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Pass it to [`Speaker::update`](crate::Speaker::update); sorted by address.
    pub announcements: Vec<Announcement>,
    /// One for each address of a Service that is not announced here.
    pub silent: Vec<Silence>,
    /// For people, where a rule was bent (a single node that is labelled as excluded).
    pub notes: Vec<String>,
}

/// The label that keeps a node out of the election, whatever its value.
const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Decides for `node` what it announces. Pure; the order of inputs does not matter.
///
/// Every node of the model counts as alive, and `node` does even if it was not described (it then
/// has no labels).
pub fn plan(model: &Model, allocations: &BTreeMap<ObjectKey, Allocation>, node: &str) -> Plan {
    plan_among(model, allocations, node, &Others::default())
}

/// As [`plan`], among others.
pub fn plan_among(
    model: &Model,
    allocations: &BTreeMap<ObjectKey, Allocation>,
    node: &str,
    others: &Others,
) -> Plan {
    let describe = |name: &str| {
        let known = model.nodes.iter().find(|known| known.name == name);
        known.cloned().unwrap_or_else(|| Node {
            name: name.to_owned(),
            labels: Labels::default(),
            network_unavailable: false,
            not_ready: false,
        })
    };
    let described = model.nodes.iter().any(|known| known.name == node);
    let nodes: Vec<Node> = match &others.alive {
        Some(alive) => alive.iter().map(|name| describe(name)).collect(),
        None => {
            let own = (!described).then(|| describe(node));
            model.nodes.iter().cloned().chain(own).collect()
        }
    };
    let unheard = others.known.iter().filter(|name| {
        let alive = others.alive.as_ref();
        *name != node && alive.is_some_and(|alive| !alive.contains(*name))
    });
    let unheard: Vec<Node> = unheard.map(|name| describe(name)).collect();
    let place = Place {
        node,
        own: describe(node),
        described,
        watched: others.alive.is_some(),
        alone: unheard.is_empty() && model.nodes.iter().all(|known| known.name == node),
        endpoints_have_nodes: !model.nodes.is_empty(),
        nodes: &nodes,
        unheard: &unheard,
        left: &others.left,
        ignores_exclusion: others.ignore_exclusion,
        advertisements: &model.advertisements,
    };
    let mut announced: BTreeMap<IpAddr, Announcement> = BTreeMap::new();
    let mut plan = Plan::default();
    if place.bends_exclusion() {
        plan.notes.push(format!(
            "node {node} has the label {EXCLUDE_LABEL}, but there is no other node, so it \
             announces all the same; remove the label, or add another node"
        ));
    }
    for service in model.services.iter() {
        let Some(allocation) = allocations.get(&service.key) else {
            continue;
        };
        let verdict = place.decide(service, allocation);
        for &address in &allocation.addresses {
            match &verdict {
                Ok((interfaces, first)) => {
                    let entry = announced.entry(address).or_insert_with(|| Announcement {
                        address,
                        services: BTreeSet::new(),
                        interfaces: Interfaces::Named(BTreeSet::new()),
                        former: Former::Nobody,
                        first: BTreeSet::new(),
                    });
                    entry.services.insert(service.key.clone());
                    entry.interfaces.join(interfaces.clone());
                    entry.first.extend(first.iter().cloned());
                }
                Err(no) => plan.silent.push(Silence {
                    service: service.key.clone(),
                    address,
                    owner: no.owner.clone(),
                    reason: no.reason.clone(),
                }),
            }
        }
    }
    plan.announcements = announced.into_values().collect();
    plan.silent
        .sort_by(|a, b| (&a.service, a.address).cmp(&(&b.service, b.address)));
    plan
}

impl Plan {
    /// Notes who had each address in the plan before.
    pub fn follow(&mut self, before: &Plan, others: &Others) {
        for announcement in &mut self.announcements {
            let address = announcement.address;
            let ours = before.announcements.iter().find(|a| a.address == address);
            announcement.former = match ours {
                Some(ours) => ours.former,
                None => before.former(address, others),
            };
        }
    }

    /// Whether the node that owned an address in this plan may still answer for it.
    fn former(&self, address: IpAddr, others: &Others) -> Former {
        let silent = self
            .silent
            .iter()
            .filter(|silent| silent.address == address);
        let owners = silent.filter_map(|silent| silent.owner.as_ref());
        // Of several, which Services that share it may name, one that is not heard is enough.
        owners.fold(Former::Nobody, |former, owner| {
            if former == Former::Unheard || !others.heard.contains(owner) {
                Former::Unheard
            } else {
                Former::Heard
            }
        })
    }
}

/// This node among the others.
struct Place<'a> {
    node: &'a str,
    own: Node,
    /// A Node object of our name exists.
    described: bool,
    /// The nodes are those that are alive.
    watched: bool,
    /// No other node is known of, by objects or otherwise.
    alone: bool,
    /// There are Node objects, so that endpoints name theirs.
    endpoints_have_nodes: bool,
    nodes: &'a [Node],
    /// Nodes that are known of and not among these.
    unheard: &'a [Node],
    /// Those of them that said that they stop.
    left: &'a BTreeSet<String>,
    /// The label that excludes nodes says nothing.
    ignores_exclusion: bool,
    advertisements: &'a [L2Advertisement],
}

struct No {
    owner: Option<String>,
    reason: String,
}

impl From<String> for No {
    fn from(reason: String) -> Self {
        Self {
            owner: None,
            reason,
        }
    }
}

impl Place<'_> {
    fn bends_exclusion(&self) -> bool {
        self.alone && matches!(self.nodes, [only] if self.is_excluded(only))
    }

    /// The interfaces to announce the Service's addresses on and the unheard nodes that come first,
    /// or why it stays silent here.
    fn decide(
        &self,
        service: &Service,
        allocation: &Allocation,
    ) -> Result<(Interfaces, BTreeSet<String>), No> {
        // In a cluster kube-proxy carries what gatehouse does not (SCTP, endpoints that end and still
        // serve): as for MetalLB an endpoint counts whatever its ports.
        let carried = self.endpoints_have_nodes && !service.endpoint_nodes.is_empty();
        let served = service.is_gateway
            || carried
            || service.ports.iter().any(|port| !port.endpoints.is_empty());
        if !served {
            return Err(format!(
                "Service {} has no ready endpoint, so nobody could serve its clients; it is \
                 announced as soon as one is ready",
                service.key
            )
            .into());
        }
        let matching = self.matching(service, allocation)?;
        let covering: Vec<&L2Advertisement> = matching
            .iter()
            .copied()
            .filter(|advertisement| elect::covers(advertisement, &self.own))
            .collect();
        if covering.is_empty() {
            return Err(self.not_covered(&matching).into());
        }
        let mut candidates = self.candidates(self.nodes, service, &matching);
        let Some(&first) = allocation.addresses.first() else {
            return Err("it holds no address".to_owned().into());
        };
        elect::rank(&mut candidates, first);
        match candidates.first() {
            Some(&owner) if owner.node == self.node => {
                let mut all = self.candidates(self.unheard, service, &matching);
                all.retain(|other| !self.left.contains(other.node));
                all.push(owner);
                elect::rank(&mut all, first);
                let before = all.iter().take_while(|other| other.node != self.node);
                let before = before.map(|other| other.node.to_owned()).collect();
                Ok((interfaces(&covering), before))
            }
            Some(owner) => Err(No {
                owner: Some(owner.node.to_owned()),
                reason: format!("node {} owns {first} and announces it", owner.node),
            }),
            None => Err(self.nobody(service).into()),
        }
    }

    /// Those of the nodes that may announce the Service's addresses.
    fn candidates<'n>(
        &self,
        nodes: &'n [Node],
        service: &Service,
        matching: &[&L2Advertisement],
    ) -> Vec<Candidate<'n>> {
        nodes
            .iter()
            .filter(|node| self.eligible(node) && self.is_local(service, node))
            .filter(|node| {
                matching
                    .iter()
                    .any(|advertisement| elect::covers(advertisement, node))
            })
            .map(|node| Candidate {
                node: &node.name,
                weight: elect::weight(matching.iter().copied(), node),
            })
            .collect()
    }

    /// The advertisements that match pool and Service, whatever the node.
    fn matching(
        &self,
        service: &Service,
        allocation: &Allocation,
    ) -> Result<Vec<&L2Advertisement>, No> {
        let of_pool: Vec<&L2Advertisement> = self
            .advertisements
            .iter()
            .filter(|advertisement| advertisement.pools.contains(&allocation.pool))
            .collect();
        if of_pool.is_empty() && allocation.pool.is_empty() {
            return Err(format!(
                "no IPAddressPool in force has the address of Service {}, so no L2Advertisement \
                 covers it; add a pool that has it",
                service.key
            )
            .into());
        }
        if of_pool.is_empty() {
            return Err(format!(
                "no L2Advertisement covers pool {}; add one to namespace metallb-system whose \
                 spec.ipAddressPools lists {}, or that lists none and so covers all",
                allocation.pool, allocation.pool
            )
            .into());
        }
        let matching: Vec<&L2Advertisement> = of_pool
            .iter()
            .copied()
            .filter(|advertisement| {
                let selectors = &advertisement.service_selectors;
                selectors.is_empty()
                    || selectors
                        .iter()
                        .any(|selector| selector.matches(&service.labels))
            })
            .collect();
        if matching.is_empty() {
            return Err(format!(
                "the serviceSelectors of L2Advertisement {} match none of the labels of Service \
                 {}; change one of them",
                names(&of_pool),
                service.key
            )
            .into());
        }
        let shared = !service.request.sharing_key.is_empty();
        if shared
            && matching
                .iter()
                .any(|advertisement| !advertisement.service_selectors.is_empty())
        {
            return Err(format!(
                "metallb.io/allow-shared-ip and the serviceSelectors of L2Advertisement {} do not \
                 go together (who shares the address could disagree on its owner); remove one",
                names(&matching)
            )
            .into());
        }
        Ok(matching)
    }

    /// With externalTrafficPolicy Local only nodes that have an endpoint may own the address.
    fn is_local(&self, service: &Service, node: &Node) -> bool {
        service.traffic_policy == TrafficPolicy::Cluster
            // Nobody can tell where endpoints are.
            || !self.endpoints_have_nodes
            // The gateway itself is the endpoint, and runs here.
            || (service.is_gateway && service.endpoint_nodes.is_empty())
            || service.endpoint_nodes.contains(&node.name)
    }

    fn nobody(&self, service: &Service) -> String {
        if !self.nodes.iter().any(|node| self.is_local(service, node)) && !self.nodes.is_empty() {
            return format!(
                "externalTrafficPolicy of Service {} is Local, and no node that is alive has an \
                 endpoint of it; set it to Cluster, or run an endpoint on such a node",
                service.key
            );
        }
        if self.watched && self.nodes.is_empty() {
            return "no node may announce at the moment: this one waits for its network or for \
                    its peers, and none of them is heard"
                .to_owned();
        }
        format!(
            "no node may announce: each one that is alive and that an L2Advertisement covers has \
             the condition NetworkUnavailable or the label {EXCLUDE_LABEL}"
        )
    }

    fn eligible(&self, node: &Node) -> bool {
        !node.network_unavailable && (!self.is_excluded(node) || self.bends_exclusion())
    }

    fn is_excluded(&self, node: &Node) -> bool {
        !self.ignores_exclusion && node.labels.contains_key(EXCLUDE_LABEL)
    }

    fn not_covered(&self, matching: &[&L2Advertisement]) -> String {
        if self.described {
            format!(
                "the nodeSelectors of L2Advertisement {} do not select node {}; another node may \
                 announce it",
                names(matching),
                self.node
            )
        } else {
            format!(
                "L2Advertisement {} has nodeSelectors, and there is no Node object named {} whose \
                 labels they could match; add one, or remove the nodeSelectors",
                names(matching),
                self.node
            )
        }
    }
}

/// The union of the interfaces of advertisements; one without any means all.
fn interfaces(advertisements: &[&L2Advertisement]) -> Interfaces {
    let mut union = Interfaces::Named(BTreeSet::new());
    for advertisement in advertisements {
        union.join(if advertisement.interfaces.is_empty() {
            Interfaces::All
        } else {
            Interfaces::Named(advertisement.interfaces.clone())
        });
    }
    union
}

fn names(advertisements: &[&L2Advertisement]) -> String {
    let names: Vec<&str> = advertisements
        .iter()
        .map(|advertisement| advertisement.name.as_str())
        .collect();
    names.join(", ")
}
