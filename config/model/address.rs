//! Address pools, advertisements and nodes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::labels::Labels;

/// An IPAddressPool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name; MetalLB's annotations and metrics use it alone.
    pub name: String,
    /// Its labels, for `ipAddressPoolSelectors`.
    pub labels: Labels,
    /// In the order of `spec.addresses`; not overlapping.
    pub ranges: Vec<AddressRange>,
    /// `autoAssign`.
    pub auto_assign: bool,
    /// `avoidBuggyIPs`: no IPv4 address that ends in .0 or .255.
    pub avoid_buggy_ips: bool,
    /// `serviceAllocation`; none: any Service.
    pub service_allocation: Option<ServiceAllocation>,
}

/// An IPAddressPool that exists and is refused, with no version in force: what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedPool {
    /// Its name.
    pub name: String,
    /// Its labels, for `ipAddressPoolSelectors`: addresses that were dealt from it stay announced.
    pub labels: Labels,
}

/// `spec.serviceAllocation` of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceAllocation {
    /// Lower wins; 0 is last.
    pub priority: i64,
    /// The namespaces of `namespaces` and those that `namespaceSelectors` select, resolved; none:
    /// no restriction.
    pub namespaces: Option<BTreeSet<String>>,
    /// Any of them must select the Service; empty: all do.
    pub service_selectors: Vec<LabelSelector>,
}

/// An inclusive range of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

impl AddressRange {
    /// A range; none if the families differ or the order is wrong.
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        (first.is_ipv4() == last.is_ipv4() && first <= last).then_some(Self { first, last })
    }

    /// The lowest address.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// The highest address.
    pub fn last(&self) -> IpAddr {
        self.last
    }

    /// Whether `address` lies within.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && self.first <= address && address <= self.last
    }

    /// Whether the two share an address.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first.is_ipv4() == other.first.is_ipv4()
            && self.first <= other.last
            && other.first <= self.last
    }
}

/// A Kubernetes label selector; empty selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// All must hold.
    pub requirements: Vec<LabelRequirement>,
}

/// One requirement of a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelRequirement {
    /// The label has one of the values (`matchLabels`, `In`).
    In(String, BTreeSet<String>),
    /// The label is absent or has none of the values.
    NotIn(String, BTreeSet<String>),
    /// The label is there.
    Exists(String),
    /// The label is absent.
    DoesNotExist(String),
}

impl LabelSelector {
    /// Whether the labels satisfy every requirement.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements
            .iter()
            .all(|requirement| match requirement {
                LabelRequirement::In(key, values) => {
                    labels.get(key).is_some_and(|value| values.contains(value))
                }
                LabelRequirement::NotIn(key, values) => {
                    labels.get(key).is_none_or(|value| !values.contains(value))
                }
                LabelRequirement::Exists(key) => labels.contains_key(key),
                LabelRequirement::DoesNotExist(key) => !labels.contains_key(key),
            })
    }
}

/// An L2Advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L2Advertisement {
    /// Its name.
    pub name: String,
    /// The pools it covers, resolved from names and selectors.
    pub pools: BTreeSet<String>,
    /// Any must select the Service; empty: all do.
    pub service_selectors: Vec<LabelSelector>,
    /// Any must select the node; empty: all do.
    pub node_selectors: Vec<LabelSelector>,
    /// Exact interface names; empty: all that are not excluded.
    pub interfaces: BTreeSet<String>,
    /// `preferredNodeSelectors`.
    pub preferences: Vec<Preference>,
}

/// A soft score for a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preference {
    /// 1 to 100.
    pub weight: u32,
    /// Which nodes get it.
    pub selector: LabelSelector,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// The condition NetworkUnavailable is True.
    pub network_unavailable: bool,
    /// The condition Ready is False or Unknown: the kubelet does not report, or not well.
    pub not_ready: bool,
}
