//! Why a Service waits or moves, in words for people: what is wrong, and the nearest fix.

use std::fmt::Write as _;
use std::net::IpAddr;

use gatehouse_config::model::{AddressFamilies, AddressRange, Pool, RefusedPool, Service};

use super::Allocation;
use super::book::{Book, Mismatch, PoolBook, Refusal};
use super::rules::{Family, Transport};

pub(super) const GONE: &str =
    "the Service was deleted or is no longer of type LoadBalancer; its address is free again";
pub(super) const EXTENDED: &str =
    "the pool now has an address of the second family for this PreferDualStack Service";

pub(super) fn no_pools(known: bool, refused: &[RefusedPool]) -> String {
    if !refused.is_empty() {
        format!("no IPAddressPool is in force: {}", are_refused(refused))
    } else if known {
        "no IPAddressPool is configured: add one whose spec.addresses holds unused addresses of \
         the LAN, such as 192.168.8.151-192.168.8.198"
            .to_owned()
    } else {
        "the IPAddressPools are not read yet; addresses are given once they are".to_owned()
    }
}

pub(super) fn kept_without_pools(held: &Allocation, known: bool) -> String {
    let so_far = if known {
        "there is no IPAddressPool at all"
    } else {
        "the IPAddressPools are not read yet"
    };
    format!(
        "{} is kept from before although {so_far}; {}, or change the Service's type to give the \
         address up",
        list(&held.addresses),
        match held.pool.as_str() {
            "" => "add a pool that has it".to_owned(),
            pool => format!("it came from pool {pool}: restore that pool"),
        }
    )
}

pub(super) fn kept_beside_refused(held: &Allocation, book: &Book<'_>) -> String {
    let from = match held.pool.as_str() {
        "" => String::new(),
        pool => format!(", which came from pool {pool},"),
    };
    format!(
        "{}{from} is kept from before although no IPAddressPool in force has it: {}",
        list(&held.addresses),
        are_refused(book.refused)
    )
}

/// Says which pools are refused, and where to look.
fn are_refused(refused: &[RefusedPool]) -> String {
    let mut names: Vec<&str> = refused.iter().map(|pool| pool.name.as_str()).collect();
    let (which, it) = match names.len() {
        1 => ("pool", "is refused; mend it"),
        _ => ("pools", "are refused; mend them"),
    };
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    let mut text = format!("{which} {}", names.join(", "));
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    let _ = write!(
        text,
        " {it} (the log, the dashboard and `gatehouse check` say what is wrong)"
    );
    text
}

/// Where there are refused pools, nobody knows what they have.
fn in_force(book: &Book<'_>) -> &'static str {
    match book.refused {
        [] => "",
        _ => " in force",
    }
}

/// The end of a text that says what there is, where refused pools may have what is asked for.
fn besides(book: &Book<'_>) -> String {
    match book.refused {
        [] => String::new(),
        refused => format!("; besides, {}", are_refused(refused)),
    }
}

pub(super) fn invalid(invalid: &str) -> String {
    format!("the request for an address is wrong: {invalid}")
}

pub(super) fn invalid_but_kept(invalid: &str, held: &Allocation) -> String {
    format!(
        "the request for an address is wrong: {invalid}; the Service keeps {} until it is mended",
        list(&held.addresses)
    )
}

pub(super) fn second_family_missing(service: &Service, held: &Allocation) -> Option<String> {
    let [only] = held.addresses.as_slice() else {
        return None;
    };
    let prefers = matches!(service.request.families, AddressFamilies::PreferDual { .. });
    let missing = Family::of(*only).other().name();
    (prefers && service.request.addresses.is_empty()).then(|| {
        format!(
            "ipFamilyPolicy is PreferDualStack, but pool {} has no free {missing} address; add \
             {missing} addresses to that pool for a second one",
            held.pool
        )
    })
}

pub(super) fn families_changed(service: &Service, held: &Allocation) -> String {
    format!(
        "the Service wants {} now and held {}",
        wanted(service.request.families),
        list(&held.addresses)
    )
}

pub(super) fn no_longer_allowed(held: &Allocation, why: &str) -> String {
    format!("{} is not allowed any more: {why}", list(&held.addresses))
}

pub(super) fn other_pool_wanted(held: &Allocation, wanted: &str) -> String {
    format!(
        "metallb.io/address-pool names pool {wanted}, and {} is of pool {}",
        list(&held.addresses),
        held.pool
    )
}

pub(super) fn other_address_wanted(held: &Allocation, wanted: &[IpAddr]) -> String {
    format!(
        "{} is requested, and {} was held",
        list(wanted),
        list(&held.addresses)
    )
}

pub(super) fn unknown_pool(name: &str, book: &Book<'_>) -> String {
    if let Some(refused) = book.refused.iter().find(|pool| pool.name == name) {
        return format!(
            "metallb.io/address-pool names a pool of which no version is in force: {}",
            are_refused(std::slice::from_ref(refused))
        );
    }
    let names: Vec<&str> = book
        .pools
        .iter()
        .map(|book| book.pool.name.as_str())
        .collect();
    let nearest = names
        .iter()
        .map(|known| (distance(name, known), *known))
        .min()
        .filter(|(distance, known)| *distance <= 1 + known.len().min(name.len()) / 3);
    match nearest {
        Some((_, known)) => format!(
            "metallb.io/address-pool names pool {name}, which does not exist; did you mean {known}?"
        ),
        None => format!(
            "metallb.io/address-pool names pool {name}, which does not exist; there is {}",
            names.join(", ")
        ),
    }
}

pub(super) fn incompatible(pool: &Pool, service: &Service) -> String {
    let mut text = format!("pool {} is not open to this Service: ", pool.name);
    let Some(allocation) = &pool.service_allocation else {
        return text;
    };
    match &allocation.namespaces {
        Some(namespaces) if !namespaces.contains(&service.key.namespace) => {
            let names: Vec<&str> = namespaces.iter().map(String::as_str).collect();
            let _ = write!(
                text,
                "its serviceAllocation allows {}, not namespace {}",
                if names.is_empty() {
                    "no namespace that exists".to_owned()
                } else {
                    format!("namespace {}", names.join(", "))
                },
                service.key.namespace
            );
        }
        _ => text.push_str("none of its serviceAllocation.serviceSelectors matches its labels"),
    }
    text.push_str("; change serviceAllocation, or use another pool");
    text
}

pub(super) fn request_families(service: &Service) -> String {
    format!(
        "{} is requested, but the Service wants {}; request one address of each family that it \
         wants, or change ipFamilies and ipFamilyPolicy",
        list(&service.request.addresses),
        wanted(service.request.families)
    )
}

pub(super) fn request_not_in_pool(requested: &[IpAddr], pool: &str, wanted: &str) -> String {
    format!(
        "{} is requested and belongs to pool {pool}, but metallb.io/address-pool names pool \
         {wanted}; remove one of the two",
        list(requested)
    )
}

pub(super) fn outside(address: IpAddr, book: &Book<'_>) -> String {
    let family = Family::of(address);
    let ranges: Vec<String> = book
        .pools
        .iter()
        .filter(|book| book.has_family(family))
        .map(|book| describe(book.pool, family))
        .take(SHOWN)
        .collect();
    if ranges.is_empty() {
        format!(
            "{address} is in no IPAddressPool{}, and no pool has {} addresses; add it to one{}",
            in_force(book),
            family.name(),
            besides(book)
        )
    } else {
        format!(
            "{address} is in no IPAddressPool{} (there is {}); add it to one, or ask for an address \
             of these{}",
            in_force(book),
            ranges.join("; "),
            besides(book)
        )
    }
}

pub(super) fn buggy(address: IpAddr, pool: &Pool) -> String {
    format!(
        "{address} ends in .0 or .255, and pool {} has avoidBuggyIPs set; use another address or \
         unset it",
        pool.name
    )
}

pub(super) fn two_pools(addresses: &[IpAddr]) -> String {
    format!(
        "{} are of different pools; both addresses of a Service have to come from one pool",
        list(addresses)
    )
}

pub(super) fn in_use(address: IpAddr, refusal: &Refusal) -> String {
    let Refusal::InUse { holders, why } = refusal;
    let mut names: Vec<String> = holders.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    let mut holders = names.join(", ");
    if more > 0 {
        let _ = write!(holders, " and {more} more");
    }
    match why {
        Mismatch::Key => format!(
            "{address} is held by Service {holders}; to share it, give all of them the same \
             metallb.io/allow-shared-ip, otherwise ask for another address"
        ),
        Mismatch::Backend => format!(
            "{address} is held by Service {holders}, and with externalTrafficPolicy Local only \
             Services of the same selector can share; set externalTrafficPolicy to Cluster on all \
             of them, or make the selectors equal"
        ),
        Mismatch::Port((protocol, port)) => format!(
            "{address} is shared with Service {holders}, which has port {}/{port} already; use \
             another port or another address",
            match protocol {
                Transport::Tcp => "TCP",
                Transport::Udp => "UDP",
                Transport::Sctp => "SCTP",
            }
        ),
    }
}

pub(super) fn nothing_free(book: &Book<'_>, service: &Service, tried: &[Vec<usize>]) -> String {
    let families = service.request.families;
    let mut why: Vec<String> = Vec::new();
    for &index in tried.iter().flatten() {
        if let Some(book) = book.pools.get(index) {
            why.push(shortage(book, families));
        }
    }
    let named = service.request.pool.is_some();
    if !named {
        for book in &book.pools {
            if !book.pool.auto_assign {
                why.push(format!(
                    "pool {} is given on request only (autoAssign: false)",
                    book.pool.name
                ));
            } else if !super::rules::compatible(book.pool, service) {
                why.push(format!(
                    "pool {} is not open to this Service (serviceAllocation)",
                    book.pool.name
                ));
            }
        }
    }
    let more = why.len().saturating_sub(SHOWN);
    why.truncate(SHOWN);
    let mut text = format!("no free {} address: {}", wanted(families), why.join("; "));
    if more > 0 {
        let _ = write!(text, "; and {more} more pools");
    }
    text.push_str("; add addresses to a pool's spec.addresses, or delete a Service that holds one");
    if !named {
        text.push_str(&besides(book));
    }
    text
}

/// How many names or pools are listed in one text.
const SHOWN: usize = 5;

fn shortage(book: &PoolBook<'_>, families: AddressFamilies) -> String {
    let usage = book.usage();
    let count = |family: Family| {
        let (used, total) = match family {
            Family::V4 => (usage.ipv4_in_use, usage.ipv4_total),
            Family::V6 => (usage.ipv6_in_use, usage.ipv6_total),
        };
        if total == 0 {
            format!("has no {} addresses", family.name())
        } else {
            format!("has {used} of {total} {} addresses in use", family.name())
        }
    };
    let text = match families {
        AddressFamilies::V4 => count(Family::V4),
        AddressFamilies::V6 => count(Family::V6),
        AddressFamilies::RequireDual | AddressFamilies::PreferDual { .. } => {
            format!("{} and {}", count(Family::V4), count(Family::V6))
        }
    };
    format!("pool {} {text}", usage.pool)
}

fn wanted(families: AddressFamilies) -> &'static str {
    match families {
        AddressFamilies::V4 => "IPv4",
        AddressFamilies::V6 => "IPv6",
        AddressFamilies::RequireDual => "IPv4 and IPv6",
        AddressFamilies::PreferDual { .. } => "IPv4 or IPv6",
    }
}

fn describe(pool: &Pool, family: Family) -> String {
    let ranges: Vec<String> = pool
        .ranges
        .iter()
        .filter(|range| Family::of(range.first()) == family)
        .take(SHOWN)
        .map(range_text)
        .collect();
    format!("{}: {}", pool.name, ranges.join(", "))
}

fn range_text(range: &AddressRange) -> String {
    if range.first() == range.last() {
        range.first().to_string()
    } else {
        format!("{}-{}", range.first(), range.last())
    }
}

fn list(addresses: &[IpAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    texts.join(" and ")
}

/// Levenshtein distance of two short names.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, b) in other.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or(usize::MAX);
            let cost = diagonal + usize::from(a != *b);
            diagonal = above;
            left = cost.min(left + 1).min(above.saturating_add(1));
            if let Some(cell) = row.get_mut(j + 1) {
                *cell = left;
            }
        }
    }
    row.last().copied().unwrap_or_else(|| one.chars().count())
}
