//! IPAddressPools.
//!
//! MetalLB refuses the whole configuration when one pool is wrong; here the wrong one is left out
//! and all others stay.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::api::metallb::{IPAddressPool, ServiceAllocation as ApiAllocation};
use crate::model::{AddressRange, LabelSelector, Pool, RefusedPool, ServiceAllocation};
use crate::resources::{Object, Resources};
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::labels;
use crate::translate::load_balancer::namespaces;
use crate::translate::report::{ObjectReport, Report};

/// All valid pools, by name. Of two that overlap the one that addresses were dealt from stays, then
/// the one that is as it was when it was accepted, then the earlier by name.
pub(crate) fn pools(resources: &Resources, settings: &Settings, report: &mut Report) -> Vec<Pool> {
    let mut objects: Vec<_> = resources.ip_address_pools.values().collect();
    objects.sort_by_key(|object| {
        let key = &object.meta.key;
        let holds = settings.holding_pools.contains(&key.name);
        let accepted = settings.accepted_pools.get(key);
        // Wherever it stands in its file now.
        let is_as_accepted = accepted
            .is_some_and(|accepted| accepted.meta == object.meta && accepted.body == object.body);
        (!holds, !is_as_accepted, &key.name, &key.namespace)
    });
    let mut pools: Vec<Pool> = Vec::new();
    for object in objects {
        let mut report = report.on("IPAddressPool", &object.meta.key);
        let Some(pool) = parse(object, resources, &pools, &mut report) else {
            continue;
        };
        pools.push(pool);
    }
    pools.sort_by(|one, other| one.name.cmp(&other.name));
    pools
}

/// The pools that exist and are not among the valid ones, by name.
pub(crate) fn refused(
    resources: &Resources,
    settings: &Settings,
    valid: &[Pool],
) -> Vec<RefusedPool> {
    let mut refused = resources.refused_pools.named.clone();
    if resources.refused_pools.others {
        // A pool that addresses were dealt from may be in what was never read.
        for name in settings
            .holding_pools
            .iter()
            .filter(|name| !name.is_empty())
        {
            refused.entry(name.clone()).or_default();
        }
    }
    for object in resources.ip_address_pools.values() {
        refused.insert(object.meta.key.name.clone(), object.meta.labels.clone());
    }
    refused
        .into_iter()
        .filter(|(name, _)| !valid.iter().any(|pool| pool.name == *name))
        .map(|(name, labels)| RefusedPool { name, labels })
        .collect()
}

fn parse(
    object: &Object<IPAddressPool>,
    resources: &Resources,
    others: &[Pool],
    report: &mut ObjectReport<'_>,
) -> Option<Pool> {
    let Object { meta, body, .. } = object;
    let IPAddressPool {
        addresses,
        auto_assign,
        avoid_buggy_ips,
        service_allocation,
    } = body;
    let spec = FieldPath::root("spec");
    let name = &meta.key.name;
    if others.iter().any(|other| other.name == *name) {
        report.invalid(
            &FieldPath::root("metadata").field("name"),
            format!("another namespace has a pool `{name}` already; this one gives no addresses."),
            "Rename one: annotations and advertisements name pools without a namespace.",
        );
    }
    let path = spec.field("addresses");
    if addresses.is_empty() {
        report.invalid(
            &path,
            "the pool has no addresses.",
            "Add a CIDR or a range, such as 192.168.8.151-192.168.8.198.",
        );
    }
    let mut ranges: Vec<AddressRange> = Vec::with_capacity(addresses.len());
    for (i, text) in addresses.iter().enumerate() {
        let path = path.index(i);
        let range = match parse_range(text) {
            Ok(range) => range,
            Err((wrong, hint)) => {
                report.invalid(
                    &path,
                    format!("{wrong}; the pool gives no addresses, all other pools do."),
                    hint,
                );
                continue;
            }
        };
        if let Some(other) = ranges.iter().position(|other| other.overlaps(&range)) {
            report.invalid(
                &path,
                format!(
                    "`{text}` overlaps with `{}` of the same pool; the pool gives no addresses.",
                    addresses[other]
                ),
                "Write each address once.",
            );
        }
        let overlapping = others.iter().find_map(|pool| {
            Some((
                pool,
                pool.ranges.iter().find(|other| other.overlaps(&range))?,
            ))
        });
        if let Some((pool, other)) = overlapping {
            report.invalid(
                &path,
                format!(
                    "`{text}` overlaps with {}-{} of pool `{}`; pool `{name}` gives no addresses, `{}` does.",
                    other.first(),
                    other.last(),
                    pool.name,
                    pool.name
                ),
                "Write each address in one pool only.",
            );
        }
        ranges.push(range);
    }
    let allocation = service_allocation.as_ref().map(|allocation| {
        parse_allocation(
            allocation,
            resources,
            &spec.field("serviceAllocation"),
            report,
        )
    });
    report.is_valid().then(|| Pool {
        name: name.clone(),
        labels: meta.labels.clone(),
        ranges,
        auto_assign: auto_assign.unwrap_or(true),
        avoid_buggy_ips: *avoid_buggy_ips,
        service_allocation: allocation,
    })
}

fn parse_allocation(
    allocation: &ApiAllocation,
    resources: &Resources,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> ServiceAllocation {
    let ApiAllocation {
        priority,
        namespaces: names,
        namespace_selectors,
        service_selectors,
    } = allocation;
    let mut allowed = BTreeSet::new();
    let names_path = path.field("namespaces");
    for (i, name) in names.iter().enumerate() {
        if !allowed.insert(name.clone()) {
            report.invalid(
                &names_path.index(i),
                format!("the namespace `{name}` is written twice; the pool gives no addresses."),
                "",
            );
        }
    }
    let by_label = selectors(
        namespace_selectors,
        &path.field("namespaceSelectors"),
        report,
    );
    for (name, labels) in namespaces(resources) {
        if by_label.iter().any(|selector| selector.matches(labels)) {
            allowed.insert(name.to_owned());
        }
    }
    let restricted = !names.is_empty() || !namespace_selectors.is_empty();
    ServiceAllocation {
        priority: *priority,
        namespaces: restricted.then_some(allowed),
        service_selectors: selectors(service_selectors, &path.field("serviceSelectors"), report),
    }
}

/// Reads a list of selectors; a wrong or repeated one refuses the object.
pub(crate) fn selectors(
    list: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector],
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Vec<LabelSelector> {
    let mut parsed = Vec::with_capacity(list.len());
    for (i, selector) in list.iter().enumerate() {
        let path = path.index(i);
        match labels::selector(selector) {
            Err(wrong) => report.invalid(
                &path,
                format!("the selector is wrong: {wrong}; the object is not used."),
                "",
            ),
            Ok(selector) if parsed.contains(&selector) => {
                report.invalid(
                    &path,
                    "the selector is written twice; the object is not used.",
                    "",
                );
            }
            Ok(selector) => parsed.push(selector),
        }
    }
    parsed
}

/// Reads a CIDR or `first-last`; an error comes with its fix.
fn parse_range(text: &str) -> Result<AddressRange, (String, String)> {
    if let Some((first, last)) = text.split_once('-') {
        let parse = |part: &str| {
            let part = part.trim();
            let address = part.parse::<IpAddr>().map(|ip| ip.to_canonical());
            address.map_err(|_| {
                (
                    format!("`{part}` of the range `{text}` is not an IP address"),
                    String::new(),
                )
            })
        };
        let (first, last) = (parse(first)?, parse(last)?);
        return AddressRange::new(first, last).ok_or_else(|| {
            if first.is_ipv4() == last.is_ipv4() {
                (
                    format!("the range `{text}` ends before it begins"),
                    format!("Did you mean `{last}-{first}`?"),
                )
            } else {
                (
                    format!("the range `{text}` goes from one address family to the other"),
                    "Write two entries, one for each family.".to_owned(),
                )
            }
        });
    }
    let Some((address, bits)) = text.split_once('/') else {
        let hint = match text.trim().parse::<IpAddr>() {
            Ok(ip) if ip.is_ipv4() => format!("Did you mean `{ip}/32`?"),
            Ok(ip) => format!("Did you mean `{ip}/128`?"),
            Err(_) => "Write `192.168.8.0/24`, or `192.168.8.151-192.168.8.198`.".to_owned(),
        };
        return Err((format!("`{text}` is neither a CIDR nor a range"), hint));
    };
    let wrong = || {
        (
            format!("`{text}` is not a CIDR"),
            "Write `192.168.8.0/24`.".to_owned(),
        )
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let digits = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
    let bits: u32 = bits.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
    let range = match address {
        IpAddr::V4(address) if bits <= 32 => {
            let host = u32::MAX.checked_shr(bits).unwrap_or(0);
            let first = u32::from(address) & !host;
            AddressRange::new(
                Ipv4Addr::from(first).into(),
                Ipv4Addr::from(first | host).into(),
            )
        }
        IpAddr::V6(address) if bits <= 128 => {
            let host = u128::MAX.checked_shr(bits).unwrap_or(0);
            let first = u128::from(address) & !host;
            AddressRange::new(
                Ipv6Addr::from(first).into(),
                Ipv6Addr::from(first | host).into(),
            )
        }
        _ => None,
    };
    range.ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cidrs_and_ranges_are_read_as_metallb_reads_them() {
        for (text, first, last) in [
            (
                "192.168.8.151-192.168.8.198",
                "192.168.8.151",
                "192.168.8.198",
            ),
            ("10.0.0.1 - 10.0.0.2", "10.0.0.1", "10.0.0.2"),
            ("::ffff:10.0.0.1-10.0.0.2", "10.0.0.1", "10.0.0.2"),
            ("192.168.10.100/24", "192.168.10.0", "192.168.10.255"),
            ("10.0.0.7/32", "10.0.0.7", "10.0.0.7"),
            ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
            ("fd00::/120", "fd00::", "fd00::ff"),
            ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            let range = parse_range(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
            assert_eq!(range.first().to_string(), first, "{text}");
            assert_eq!(range.last().to_string(), last, "{text}");
        }
    }

    #[test]
    fn wrong_ranges_come_with_the_nearest_fix() {
        for (text, hint) in [
            (
                "192.168.8.200-192.168.8.100",
                "Did you mean `192.168.8.100-192.168.8.200`?",
            ),
            ("192.168.8.5", "Did you mean `192.168.8.5/32`?"),
            ("192.168.8.0/33", "Write `192.168.8.0/24`."),
            ("192.168.8.0/+4", "Write `192.168.8.0/24`."),
            (
                "192.168.1.1-2001:db8::1",
                "Write two entries, one for each family.",
            ),
            ("a-b", ""),
        ] {
            let error = parse_range(text).map_err(|(_, hint)| hint);
            assert_eq!(error.err().as_deref(), Some(hint), "{text}");
        }
    }
}
