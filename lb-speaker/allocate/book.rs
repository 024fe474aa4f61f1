//! Which address of which pool is free, and who holds the others.
//!
//! Free addresses are kept as intervals, so the lowest free one is found without a scan however
//! full the pool is; holders that share are indexed by what they share with.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use gatehouse_config::ObjectKey;
use gatehouse_config::model::{AddressRange, Pool, RefusedPool};

use super::rules::{Claim, Family, PortKey};
use super::usage::PoolUsage;

/// The books of all pools during one step.
pub(super) struct Book<'p> {
    pub(super) pools: Vec<PoolBook<'p>>,
    /// Pools that exist and are not among these: what was dealt from them stays.
    pub(super) refused: &'p [RefusedPool],
    /// Addresses of no pool that stay with their holders.
    kept: Entries,
    /// Every range: (first address, pool, range within the pool), sorted.
    index: Vec<(IpAddr, usize, usize)>,
    by_name: HashMap<&'p str, usize>,
}

/// The book of one pool.
pub(super) struct PoolBook<'p> {
    pub(super) pool: &'p Pool,
    ranges: Vec<RangeBook>,
    entries: Entries,
    /// Shareable addresses in use, by what a newcomer must match, per range.
    shared: BTreeMap<(String, String), BTreeSet<(usize, u128)>>,
    in_use: [u64; 2],
    services: u64,
}

struct RangeBook {
    range: AddressRange,
    /// Free intervals: first to last.
    free: BTreeMap<u128, u128>,
}

/// Who holds which address.
#[derive(Default)]
struct Entries(HashMap<IpAddr, Entry>);

/// An address in use.
struct Entry {
    sharing: String,
    backend: String,
    users: Vec<(ObjectKey, BTreeSet<PortKey>)>,
}

/// Why an address cannot be had.
pub(super) enum Refusal {
    /// Others hold it, and sharing does not fit.
    InUse {
        holders: Vec<ObjectKey>,
        why: Mismatch,
    },
}

/// What does not fit between two that would share.
pub(super) enum Mismatch {
    /// One of them does not share at all, or the keys differ.
    Key,
    /// externalTrafficPolicy Local with different selectors, or Local beside Cluster.
    Backend,
    /// The same port.
    Port(PortKey),
}

impl<'p> Book<'p> {
    pub(super) fn new(pools: &'p [Pool], refused: &'p [RefusedPool]) -> Self {
        let mut index = Vec::new();
        let mut by_name = HashMap::new();
        let mut books = Vec::with_capacity(pools.len());
        for (number, pool) in pools.iter().enumerate() {
            by_name.insert(pool.name.as_str(), number);
            for (at, range) in pool.ranges.iter().enumerate() {
                index.push((range.first(), number, at));
            }
            books.push(PoolBook::new(pool));
        }
        index.sort_unstable();
        Self {
            pools: books,
            refused,
            kept: Entries::default(),
            index,
            by_name,
        }
    }

    /// The pool of that name.
    pub(super) fn pool_named(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The pool and range that contain an address (`avoidBuggyIPs` aside).
    pub(super) fn locate(&self, address: IpAddr) -> Option<(usize, usize)> {
        let after = self
            .index
            .partition_point(|(first, _, _)| *first <= address);
        let &(_, pool, range) = self.index.get(after.checked_sub(1)?)?;
        let book = self.pools.get(pool)?;
        let found = book.ranges.get(range)?.range.contains(address);
        found.then_some((pool, range))
    }

    /// Whether `service` may keep an address of no pool beside those who keep it already.
    pub(super) fn check_kept(
        &self,
        held: IpAddr,
        service: &ObjectKey,
        claim: &Claim,
    ) -> Result<(), Refusal> {
        self.kept.check(held, service, claim)
    }

    /// Notes that the Service keeps an address of no pool.
    pub(super) fn keep(&mut self, held: IpAddr, service: &ObjectKey, claim: &Claim) {
        self.kept.add(held, service, claim);
    }

    pub(super) fn usage(&self) -> Vec<PoolUsage> {
        self.pools.iter().map(PoolBook::usage).collect()
    }
}

impl<'p> PoolBook<'p> {
    fn new(pool: &'p Pool) -> Self {
        let ranges = pool
            .ranges
            .iter()
            .map(|range| RangeBook {
                range: *range,
                free: BTreeMap::from([(number(range.first()), number(range.last()))]),
            })
            .collect();
        Self {
            pool,
            ranges,
            entries: Entries::default(),
            shared: BTreeMap::new(),
            in_use: [0; 2],
            services: 0,
        }
    }

    /// Whether the pool has a range of the family at all.
    pub(super) fn has_family(&self, family: Family) -> bool {
        self.pool
            .ranges
            .iter()
            .any(|range| Family::of(range.first()) == family)
    }

    /// The lowest address, in the order of the ranges, that is free or may be shared.
    pub(super) fn lowest(&mut self, family: Family, claim: &Claim) -> Option<IpAddr> {
        let sharable = claim
            .shares()
            .then(|| (claim.sharing.clone(), claim.backend.clone()))
            .and_then(|key| self.shared.get(&key));
        let v6 = family == Family::V6;
        for (at, book) in self.ranges.iter_mut().enumerate() {
            if Family::of(book.range.first()) != family {
                continue;
            }
            let free = book.lowest_free(self.pool.avoid_buggy_ips && !v6);
            let shared = sharable.and_then(|set| {
                set.range((at, 0)..=(at, u128::MAX))
                    .map(|&(_, value)| value)
                    .take_while(|value| free.is_none_or(|free| *value < free))
                    .find(|value| {
                        self.entries
                            .0
                            .get(&address(*value, v6))
                            .is_some_and(|entry| entry.port_clash(claim, None).is_none())
                    })
            });
            if let Some(value) = shared.or(free) {
                return Some(address(value, v6));
            }
        }
        None
    }

    /// Whether `service` may hold the address beside those who hold it already.
    pub(super) fn check(
        &self,
        wanted: IpAddr,
        service: &ObjectKey,
        claim: &Claim,
    ) -> Result<(), Refusal> {
        self.entries.check(wanted, service, claim)
    }

    /// Notes that the Service holds the address, which was found by [`lowest`](Self::lowest) or
    /// allowed by [`check`](Self::check).
    pub(super) fn take(&mut self, range: usize, taken: IpAddr, service: &ObjectKey, claim: &Claim) {
        if self.entries.add(taken, service, claim) {
            self.in_use[usize::from(taken.is_ipv6())] += 1;
        }
        if let Some(book) = self.ranges.get_mut(range) {
            book.take(number(taken));
        }
        if claim.shares() {
            self.shared
                .entry((claim.sharing.clone(), claim.backend.clone()))
                .or_default()
                .insert((range, number(taken)));
        }
    }

    /// Counts a Service as served from this pool.
    pub(super) fn count_service(&mut self) {
        self.services += 1;
    }

    pub(super) fn usage(&self) -> PoolUsage {
        PoolUsage::new(self.pool, self.in_use, self.services)
    }
}

impl Entries {
    /// Whether `service` may hold the address beside those who hold it already.
    fn check(&self, wanted: IpAddr, service: &ObjectKey, claim: &Claim) -> Result<(), Refusal> {
        let Some(entry) = self.0.get(&wanted) else {
            return Ok(());
        };
        let others = || entry.users.iter().filter(|(key, _)| key != service);
        if others().next().is_none() {
            return Ok(());
        }
        let why = if !claim.shares() || claim.sharing != entry.sharing {
            Mismatch::Key
        } else if claim.backend != entry.backend {
            Mismatch::Backend
        } else if let Some(port) = entry.port_clash(claim, Some(service)) {
            Mismatch::Port(port)
        } else {
            return Ok(());
        };
        Err(Refusal::InUse {
            holders: others().map(|(key, _)| key.clone()).collect(),
            why,
        })
    }

    /// Notes a holder; whether it is the first one of the address.
    fn add(&mut self, taken: IpAddr, service: &ObjectKey, claim: &Claim) -> bool {
        let entry = self.0.entry(taken).or_insert_with(|| Entry {
            sharing: claim.sharing.clone(),
            backend: claim.backend.clone(),
            users: Vec::new(),
        });
        entry.users.push((service.clone(), claim.ports.clone()));
        entry.users.len() == 1
    }
}

impl RangeBook {
    /// The lowest free address; those that `avoidBuggyIPs` forbids are dropped on the way, so that
    /// no later call sees them again.
    fn lowest_free(&mut self, avoid_buggy: bool) -> Option<u128> {
        loop {
            let (&first, _) = self.free.first_key_value()?;
            if avoid_buggy && is_buggy(address(first, false)) {
                self.take(first);
            } else {
                return Some(first);
            }
        }
    }

    /// Removes one address from the free intervals; nothing happens if it is not free.
    fn take(&mut self, value: u128) {
        let Some((&first, &last)) = self.free.range(..=value).next_back() else {
            return;
        };
        if value > last {
            return;
        }
        self.free.remove(&first);
        if first < value {
            self.free.insert(first, value - 1);
        }
        if value < last {
            self.free.insert(value + 1, last);
        }
    }
}

impl Entry {
    fn port_clash(&self, claim: &Claim, except: Option<&ObjectKey>) -> Option<PortKey> {
        self.users
            .iter()
            .filter(|(key, _)| Some(key) != except)
            .find_map(|(_, ports)| ports.intersection(&claim.ports).next().copied())
    }
}

/// Whether `avoidBuggyIPs` forbids the address: IPv4 ending in .0 or .255.
pub(super) fn is_buggy(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => matches!(v4.octets()[3], 0 | 255),
        IpAddr::V6(_) => false,
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn address(number: u128, v6: bool) -> IpAddr {
    if v6 {
        IpAddr::V6(Ipv6Addr::from(number))
    } else {
        // Numbers of IPv4 ranges come from IPv4 addresses, so they fit.
        IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)))
    }
}
