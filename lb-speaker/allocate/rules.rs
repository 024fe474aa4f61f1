//! MetalLB's rules: when a held address stays, and which one a newcomer gets.
//!
//! Numbers in comments are the steps of MetalLB's controller: kept address valid (7), pool
//! annotation (8), requested addresses (9), second family (10), allocation (11).

use std::collections::BTreeSet;
use std::net::IpAddr;

use gatehouse_config::ObjectKey;
use gatehouse_config::model::{AddressFamilies, Pool, Service, TrafficPolicy, TransportProtocol};

use super::book::{Book, is_buggy};
use super::{Allocation, reason};

/// A port at an address.
pub(super) type PortKey = (Transport, u16);

/// What a port can be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Transport {
    Tcp,
    Udp,
    /// Not carried here; kube-proxy may do so.
    Sctp,
}

/// What matters when two Services would share an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claim {
    /// `metallb.io/allow-shared-ip`.
    pub(super) sharing: String,
    /// The selector with externalTrafficPolicy Local, otherwise empty.
    pub(super) backend: String,
    pub(super) ports: BTreeSet<PortKey>,
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    V4,
    V6,
}

impl Claim {
    pub(super) fn of(service: &Service) -> Self {
        let carried = service.ports.iter().map(|port| match port.protocol {
            TransportProtocol::Tcp => (Transport::Tcp, port.port),
            TransportProtocol::Udp => (Transport::Udp, port.port),
        });
        let sctp = service.request.sctp_ports.iter();
        let sctp = sctp.map(|number| (Transport::Sctp, *number));
        Self {
            sharing: service.request.sharing_key.clone(),
            backend: match service.traffic_policy {
                TrafficPolicy::Cluster => String::new(),
                TrafficPolicy::Local => service.selector.clone(),
            },
            ports: carried.chain(sctp).collect(),
        }
    }

    pub(super) fn shares(&self) -> bool {
        !self.sharing.is_empty()
    }
}

impl Family {
    pub(super) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// Confirms what a Service holds and notes it in the book; returns the pool that covers it now.
///
/// # Errors
/// Why it has to give it up.
pub(super) fn confirm(
    book: &mut Book<'_>,
    service: &Service,
    claim: &Claim,
    held: &Allocation,
) -> Result<String, String> {
    if !families_fit(service.request.families, &held.addresses) {
        return Err(reason::families_changed(service, held));
    }
    if may_be_refused(book, held) && !asks_elsewhere(book, service, held) {
        return keep(book, service, claim, held);
    }
    let pool = check_all(book, service, claim, &held.addresses)
        .map_err(|why| reason::no_longer_allowed(held, &why))?;
    let name = book.pools[pool].pool.name.clone();
    let request = &service.request;
    if let Some(wanted) = request.pool.as_ref().filter(|wanted| **wanted != name) {
        return Err(reason::other_pool_wanted(held, wanted));
    }
    if request.invalid.is_none()
        && !request.addresses.is_empty()
        && !same_set(&request.addresses, &held.addresses)
    {
        return Err(reason::other_address_wanted(held, &request.addresses));
    }
    take_all(book, pool, service, claim, &held.addresses);
    Ok(name)
}

/// Whether an address that is held may belong to a pool that is refused: it is in none of the others.
pub(super) fn may_be_refused(book: &Book<'_>, held: &Allocation) -> bool {
    let outside = |address: &IpAddr| book.locate(*address).is_none();
    !book.refused.is_empty() && held.addresses.iter().any(outside)
}

/// Whether the Service asks for something else, of pools that are in force.
fn asks_elsewhere(book: &Book<'_>, service: &Service, held: &Allocation) -> bool {
    let request = &service.request;
    let asked = &request.addresses;
    let other_addresses = !asked.is_empty()
        && !same_set(asked, &held.addresses)
        && asked.iter().all(|address| book.locate(*address).is_some());
    let mut wanted = request.pool.iter();
    let other_pool = wanted.any(|wanted| *wanted != held.pool && book.pool_named(wanted).is_some());
    request.invalid.is_none() && (other_addresses || other_pool)
}

/// Leaves a Service what it holds while nobody can tell whether it may: a refused pool may have it.
fn keep(
    book: &mut Book<'_>,
    service: &Service,
    claim: &Claim,
    held: &Allocation,
) -> Result<String, String> {
    for &address in &held.addresses {
        let fits = match book.locate(address) {
            Some((pool, _)) => book.pools[pool].check(address, &service.key, claim),
            None => book.check_kept(address, &service.key, claim),
        };
        fits.map_err(|refusal| {
            reason::no_longer_allowed(held, &reason::in_use(address, &refusal))
        })?;
    }
    for &address in &held.addresses {
        match book.locate(address) {
            Some((pool, range)) => book.pools[pool].take(range, address, &service.key, claim),
            None => book.keep(address, &service.key, claim),
        }
    }
    Ok(held.pool.clone())
}

/// Finds addresses for a Service that holds none, and notes them in the book.
///
/// # Errors
/// Why there are none, with the nearest fix.
pub(super) fn allocate(
    book: &mut Book<'_>,
    service: &Service,
    claim: &Claim,
) -> Result<Allocation, String> {
    let request = &service.request;
    if let Some(invalid) = &request.invalid {
        return Err(reason::invalid(invalid));
    }
    if book.pools.is_empty() {
        return Err(reason::no_pools(true, book.refused));
    }
    let (pool, addresses) = if request.addresses.is_empty() {
        let candidates = match &request.pool {
            // An annotation ignores autoAssign and knows no other pool.
            Some(name) => {
                let pool = book
                    .pool_named(name)
                    .ok_or_else(|| reason::unknown_pool(name, book))?;
                if !compatible(book.pools[pool].pool, service) {
                    return Err(reason::incompatible(book.pools[pool].pool, service));
                }
                vec![vec![pool]]
            }
            None => automatic(book, service),
        };
        candidates
            .iter()
            .find_map(|pools| pick(book, pools, service, claim))
            .ok_or_else(|| reason::nothing_free(book, service, &candidates))?
    } else {
        if !request_families_fit(request.families, &request.addresses) {
            return Err(reason::request_families(service));
        }
        let pool = check_all(book, service, claim, &request.addresses)?;
        let name = &book.pools[pool].pool.name;
        if let Some(wanted) = request.pool.as_ref().filter(|wanted| *wanted != name) {
            return Err(reason::request_not_in_pool(
                &request.addresses,
                name,
                wanted,
            ));
        }
        (pool, request.addresses.clone())
    };
    take_all(book, pool, service, claim, &addresses);
    Ok(Allocation {
        addresses,
        pool: book.pools[pool].pool.name.clone(),
    })
}

/// Step 10: the missing family of a PreferDualStack Service, from the pool that it is in.
pub(super) fn second_family(
    book: &mut Book<'_>,
    service: &Service,
    claim: &Claim,
    held: &Allocation,
) -> Option<IpAddr> {
    let request = &service.request;
    let prefers = matches!(request.families, AddressFamilies::PreferDual { .. });
    let [only] = held.addresses.as_slice() else {
        return None;
    };
    // With a requested address the set that is held has to stay the set that is requested.
    if !prefers || request.invalid.is_some() || !request.addresses.is_empty() {
        return None;
    }
    if may_be_refused(book, held) {
        return None;
    }
    let pool = book.pool_named(&held.pool)?;
    let address = book.pools[pool].lowest(Family::of(*only).other(), claim)?;
    let (_, range) = book.locate(address)?;
    book.pools[pool].take(range, address, &service.key, claim);
    Some(address)
}

/// The groups of pools to try in turn without a request: those made for such Services, by
/// priority, then the open ones. Of equal priority those that name the namespace come first, which
/// is how it turns out with MetalLB; what is left to chance there, the name decides here.
fn automatic(book: &Book<'_>, service: &Service) -> Vec<Vec<usize>> {
    let mut pinned: Vec<(i64, bool, usize)> = Vec::new();
    let mut open = Vec::new();
    for (index, book) in book.pools.iter().enumerate() {
        let pool = book.pool;
        if !pool.auto_assign {
            continue;
        }
        match &pool.service_allocation {
            Some(allocation) if compatible(pool, service) => {
                let priority = allocation.priority;
                let priority = if priority > 0 { priority } else { i64::MAX };
                pinned.push((priority, allocation.namespaces.is_none(), index));
            }
            Some(_) => {}
            None => open.push(index),
        }
    }
    // Pools come sorted by name.
    pinned.sort_unstable();
    vec![
        pinned.into_iter().map(|(_, _, index)| index).collect(),
        open,
    ]
}

/// The first pool of a group that can serve the Service, and the addresses.
fn pick(
    book: &mut Book<'_>,
    pools: &[usize],
    service: &Service,
    claim: &Claim,
) -> Option<(usize, Vec<IpAddr>)> {
    let mut single: [Option<(usize, IpAddr)>; 2] = [None, None];
    for &index in pools {
        let pool = book.pools.get_mut(index)?;
        let mut lowest = |family| pool.lowest(family, claim);
        match service.request.families {
            AddressFamilies::V4 => {
                if let Some(address) = lowest(Family::V4) {
                    return Some((index, vec![address]));
                }
            }
            AddressFamilies::V6 => {
                if let Some(address) = lowest(Family::V6) {
                    return Some((index, vec![address]));
                }
            }
            AddressFamilies::RequireDual | AddressFamilies::PreferDual { .. } => {
                let (v4, v6) = (lowest(Family::V4), lowest(Family::V6));
                if let (Some(v4), Some(v6)) = (v4, v6) {
                    return Some((index, vec![v4, v6]));
                }
                single[0] = single[0].or(v4.map(|address| (index, address)));
                single[1] = single[1].or(v6.map(|address| (index, address)));
            }
        }
    }
    let AddressFamilies::PreferDual { primary_v6 } = service.request.families else {
        return None;
    };
    let [v4, v6] = single;
    let (first, second) = if primary_v6 { (v6, v4) } else { (v4, v6) };
    first
        .or(second)
        .map(|(pool, address)| (pool, vec![address]))
}

/// Whether a pool is open to a Service (`serviceAllocation`).
pub(super) fn compatible(pool: &Pool, service: &Service) -> bool {
    let Some(allocation) = &pool.service_allocation else {
        return true;
    };
    let namespace = allocation
        .namespaces
        .as_ref()
        .is_none_or(|namespaces| namespaces.contains(&service.key.namespace));
    let selectors = &allocation.service_selectors;
    namespace
        && (selectors.is_empty()
            || selectors
                .iter()
                .any(|selector| selector.matches(&service.labels)))
}

/// Whether one pool covers all addresses, is open to the Service, and sharing fits; the pool.
fn check_all(
    book: &Book<'_>,
    service: &Service,
    claim: &Claim,
    addresses: &[IpAddr],
) -> Result<usize, String> {
    let mut pool = None;
    for &address in addresses {
        let (found, _) = book
            .locate(address)
            .ok_or_else(|| reason::outside(address, book))?;
        if book.pools[found].pool.avoid_buggy_ips && is_buggy(address) {
            return Err(reason::buggy(address, book.pools[found].pool));
        }
        if *pool.get_or_insert(found) != found {
            return Err(reason::two_pools(addresses));
        }
    }
    let pool = pool.ok_or_else(|| reason::two_pools(addresses))?;
    let book = &book.pools[pool];
    if !compatible(book.pool, service) {
        return Err(reason::incompatible(book.pool, service));
    }
    for &address in addresses {
        book.check(address, &service.key, claim)
            .map_err(|refusal| reason::in_use(address, &refusal))?;
    }
    Ok(pool)
}

fn take_all(
    book: &mut Book<'_>,
    pool: usize,
    service: &Service,
    claim: &Claim,
    addresses: &[IpAddr],
) {
    for &address in addresses {
        if let Some((_, range)) = book.locate(address) {
            book.pools[pool].take(range, address, &service.key, claim);
        }
    }
    book.pools[pool].count_service();
}

/// Notes what a Service holds of which nothing else is known.
pub(super) fn reserve(book: &mut Book<'_>, key: &ObjectKey, held: &Allocation) {
    let unknown = Claim::default();
    for &address in &held.addresses {
        if let Some((pool, range)) = book.locate(address) {
            book.pools[pool].take(range, address, key, &unknown);
        }
    }
}

/// Whether held addresses are what the families ask for; PreferDualStack is content with one.
fn families_fit(wanted: AddressFamilies, held: &[IpAddr]) -> bool {
    let v4 = held.iter().filter(|address| address.is_ipv4()).count();
    let v6 = held.len() - v4;
    match wanted {
        AddressFamilies::V4 => (v4, v6) == (1, 0),
        AddressFamilies::V6 => (v4, v6) == (0, 1),
        AddressFamilies::RequireDual => (v4, v6) == (1, 1),
        AddressFamilies::PreferDual { .. } => matches!((v4, v6), (1, 0) | (0, 1) | (1, 1)),
    }
}

/// Whether a request fits the families of the Service. Here MetalLB is stricter: it takes one address
/// of a PreferDualStack Service for what that holds, and not for what it may ask for. Who prefers two
/// families and asks for one address has said which one he wants, and gets it; it stays the only one.
fn request_families_fit(wanted: AddressFamilies, requested: &[IpAddr]) -> bool {
    families_fit(wanted, requested)
}

fn same_set(one: &[IpAddr], other: &[IpAddr]) -> bool {
    one.len() == other.len() && one.iter().all(|address| other.contains(address))
}
