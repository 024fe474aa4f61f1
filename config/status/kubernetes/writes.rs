//! What must be written so that the cluster says what was decided. No I/O.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::net::IpAddr;

use serde_json::{Value as Json, json};

use super::ALLOCATED_FROM;
use crate::resources::ObjectKey;
use crate::source::kubernetes::{Ingress, PoolCounters, SeenPool, SeenService};

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The term in which it was decided: it is not written in another one.
    pub term: u64,
    /// Every Service that gets its address here; those that hold none have no addresses.
    pub services: BTreeMap<ObjectKey, WantedService>,
    /// How full pools are.
    pub pools: BTreeMap<ObjectKey, PoolCounters>,
}

/// What a Service holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedService {
    /// Its addresses, in their order.
    pub addresses: Vec<IpAddr>,
    /// Its address is served by the gateway itself: kube-proxy must leave it alone.
    pub is_gateway: bool,
    /// The pool that they are from; empty with none.
    pub pool: String,
    /// Annotations that it uses by their old names, which is told whenever it is written.
    pub deprecated: Vec<String>,
}

/// The merge patch of a Service's status, against the version that was seen; none where the
/// cluster says what is wanted. `wanted` is none for a Service that is not dealt with here.
pub fn service_patch(seen: &SeenService, wanted: Option<&WantedService>) -> Option<Json> {
    let nothing = WantedService::default();
    let wanted = match wanted {
        Some(wanted) => wanted,
        // It was ours once (of type LoadBalancer, with an address) and is no more.
        None if !seen.is_load_balancer && seen.pool.is_some() => &nothing,
        None => return None,
    };
    let ip_mode = if wanted.is_gateway { "Proxy" } else { "VIP" };
    let ingress: Vec<Ingress> = wanted
        .addresses
        .iter()
        .map(|address| Ingress {
            ip: address.to_string(),
            hostname: String::new(),
            ip_mode: ip_mode.to_owned(),
        })
        .collect();
    let pool = (!wanted.pool.is_empty()).then(|| wanted.pool.clone());
    if same(&seen.ingress, &ingress) && seen.pool == pool {
        return None;
    }
    let ingress: Vec<Json> = ingress
        .iter()
        .map(|entry| json!({"ip": entry.ip, "ipMode": entry.ip_mode}))
        .collect();
    Some(json!({
        "metadata": {
            "resourceVersion": seen.resource_version,
            "annotations": {ALLOCATED_FROM: pool},
        },
        "status": {"loadBalancer": {"ingress": (!ingress.is_empty()).then_some(ingress)}},
    }))
}

/// An address may be written in several ways, and a server without ipMode (before 1.30) forgets it.
fn same(seen: &[Ingress], wanted: &[Ingress]) -> bool {
    seen.len() == wanted.len()
        && seen.iter().zip(wanted).all(|(seen, wanted)| {
            seen.hostname.is_empty()
                && seen.ip.parse::<IpAddr>() == wanted.ip.parse::<IpAddr>()
                && (seen.ip_mode == wanted.ip_mode
                    || (seen.ip_mode.is_empty() && wanted.ip_mode == "VIP"))
        })
}

/// The same for a pool's counters.
pub fn pool_patch(seen: &SeenPool, wanted: PoolCounters) -> Option<Json> {
    let PoolCounters {
        assigned_ipv4,
        assigned_ipv6,
        available_ipv4,
        available_ipv6,
    } = wanted;
    (seen.counters != Some(wanted)).then(|| {
        json!({
            "metadata": {"resourceVersion": seen.resource_version},
            "status": {
                "assignedIPv4": assigned_ipv4,
                "assignedIPv6": assigned_ipv6,
                "availableIPv4": available_ipv4,
                "availableIPv6": available_ipv6,
            },
        })
    })
}

/// What a patch wants of an object with this id, whichever version it is written against.
pub(super) fn content(patch: &Json, uid: &str) -> u64 {
    let annotations = patch.pointer("/metadata/annotations");
    digest((
        uid,
        annotations.map(Json::to_string),
        patch["status"].to_string(),
    ))
}

/// What a Service says, as far as it is written here.
pub(super) fn service_digest(seen: &SeenService) -> u64 {
    digest((&seen.ingress, &seen.pool))
}

/// The same of a pool.
pub(super) fn pool_digest(seen: &SeenPool) -> u64 {
    digest(seen.counters)
}

fn digest(what: impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// The fields of a patch that the answer to it does not have as they were written.
pub(super) fn left_out(patch: &Json, answer: &Json) -> Vec<String> {
    let mut fields = Vec::new();
    for (pointer, path) in [
        ("/metadata/annotations", "metadata.annotations"),
        ("/status", "status"),
    ] {
        if let Some(wanted) = patch.pointer(pointer) {
            compare(path, wanted, answer.pointer(pointer), &mut fields);
        }
    }
    fields.sort();
    fields.dedup();
    fields
}

fn compare(path: &str, wanted: &Json, is: Option<&Json>, fields: &mut Vec<String>) {
    match wanted {
        Json::Object(members) => {
            for (name, wanted) in members {
                let is = is.and_then(|is| is.get(name));
                compare(&format!("{path}.{name}"), wanted, is, fields);
            }
        }
        Json::Array(entries) => {
            for (index, wanted) in entries.iter().enumerate() {
                let is = is.and_then(|is| is.get(index));
                compare(&format!("{path}[]"), wanted, is, fields);
            }
        }
        Json::Null
            if is.is_none_or(|is| is.is_null() || is.as_array().is_some_and(Vec::is_empty)) => {}
        wanted if is == Some(wanted) => {}
        _ => fields.push(path.to_owned()),
    }
}

/// What is told when these addresses are written in the place of those, as MetalLB does.
pub(super) fn assigned(before: &[IpAddr], after: &[IpAddr]) -> Option<String> {
    let text = |addresses: &[&IpAddr]| {
        let texts: Vec<_> = addresses.iter().map(|one| format!("\"{one}\"")).collect();
        texts.join(" ")
    };
    if after.is_empty() || before == after {
        return None;
    }
    if !before.is_empty() && before.iter().all(|held| after.contains(held)) {
        let more: Vec<_> = after.iter().filter(|one| !before.contains(one)).collect();
        return (!more.is_empty()).then(|| format!("Assigned additional IP {}", text(&more)));
    }
    let all: Vec<_> = after.iter().collect();
    Some(format!("Assigned IP [{}]", text(&all)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(entries: &[(&str, &str)], pool: Option<&str>) -> SeenService {
        SeenService {
            resource_version: "7".to_owned(),
            uid: "u".to_owned(),
            is_load_balancer: true,
            ingress: entries
                .iter()
                .map(|(ip, mode)| Ingress {
                    ip: (*ip).to_owned(),
                    hostname: String::new(),
                    ip_mode: (*mode).to_owned(),
                })
                .collect(),
            pool: pool.map(str::to_owned),
        }
    }

    fn wanted(addresses: &[&str], pool: &str) -> WantedService {
        WantedService {
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            is_gateway: false,
            pool: pool.to_owned(),
            deprecated: Vec::new(),
        }
    }

    #[test]
    fn an_address_is_written_with_its_pool_against_the_version_seen() {
        let patch = service_patch(&seen(&[], None), Some(&wanted(&["192.0.2.1"], "lan")));
        assert_eq!(
            patch.unwrap(),
            json!({
                "metadata": {"resourceVersion": "7", "annotations": {"metallb.io/ip-allocated-from-pool": "lan"}},
                "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "VIP"}]}},
            })
        );
        let gateway = WantedService {
            is_gateway: true,
            ..wanted(&["192.0.2.1"], "lan")
        };
        let patch = service_patch(&seen(&[("192.0.2.1", "VIP")], Some("lan")), Some(&gateway));
        let mode = patch.unwrap();
        assert_eq!(
            mode.pointer("/status/loadBalancer/ingress/0/ipMode"),
            Some(&json!("Proxy"))
        );
    }

    #[test]
    fn what_is_there_is_not_written_again() {
        let both = wanted(&["192.0.2.1", "2001:db8::1"], "lan");
        let there = seen(&[("192.0.2.1", "VIP"), ("2001:DB8:0::1", "")], Some("lan"));
        assert_eq!(service_patch(&there, Some(&both)), None);
        assert_eq!(
            service_patch(&seen(&[], None), Some(&wanted(&[], ""))),
            None
        );
        // A Service of another class, with another's address.
        assert_eq!(
            service_patch(&seen(&[("192.0.2.9", "VIP")], None), None),
            None
        );
    }

    #[test]
    fn what_others_wrote_is_put_right() {
        let one = wanted(&["192.0.2.1"], "lan");
        for wrong in [
            seen(&[("192.0.2.2", "VIP")], Some("lan")),
            seen(&[("192.0.2.1", "VIP"), ("192.0.2.2", "VIP")], Some("lan")),
            seen(&[("192.0.2.1", "Proxy")], Some("lan")),
            seen(&[("192.0.2.1", "VIP")], Some("other")),
            seen(&[("nonsense", "VIP")], Some("lan")),
            seen(&[], Some("lan")),
        ] {
            assert!(service_patch(&wrong, Some(&one)).is_some(), "{wrong:?}");
        }
        let mut named = seen(&[("192.0.2.1", "VIP")], Some("lan"));
        named.ingress[0].hostname = "lb.example".to_owned();
        assert!(service_patch(&named, Some(&one)).is_some());
    }

    #[test]
    fn who_holds_nothing_any_more_says_so() {
        let nulls = json!({
            "metadata": {"resourceVersion": "7", "annotations": {"metallb.io/ip-allocated-from-pool": null}},
            "status": {"loadBalancer": {"ingress": null}},
        });
        let held = seen(&[("192.0.2.1", "VIP")], Some("lan"));
        assert_eq!(
            service_patch(&held, Some(&wanted(&[], ""))),
            Some(nulls.clone())
        );
        let changed = SeenService {
            is_load_balancer: false,
            ..held
        };
        assert_eq!(service_patch(&changed, None), Some(nulls));
    }

    #[test]
    fn what_a_server_leaves_out_is_found_by_name() {
        let gateway = WantedService {
            is_gateway: true,
            ..wanted(&["192.0.2.1"], "lan")
        };
        let patch = service_patch(&seen(&[], None), Some(&gateway)).unwrap();
        let answer = |ingress: Json, pool: &str| {
            json!({
                "metadata": {"resourceVersion": "8", "annotations": {ALLOCATED_FROM: pool, "mine": "x"}},
                "status": {"loadBalancer": {"ingress": ingress}, "conditions": []},
            })
        };
        let whole = answer(json!([{"ip": "192.0.2.1", "ipMode": "Proxy"}]), "lan");
        assert!(left_out(&patch, &whole).is_empty());
        let old = answer(json!([{"ip": "192.0.2.1"}]), "lan");
        assert_eq!(
            left_out(&patch, &old),
            ["status.loadBalancer.ingress[].ipMode"]
        );
        let other = answer(json!([{"ip": "192.0.2.1", "ipMode": "Proxy"}]), "other");
        let pool = format!("metadata.annotations.{ALLOCATED_FROM}");
        assert_eq!(left_out(&patch, &other), [pool]);
        // What is to be gone is gone in several ways.
        let held = seen(&[("192.0.2.1", "VIP")], Some("lan"));
        let nothing = service_patch(&held, Some(&wanted(&[], ""))).unwrap();
        assert!(left_out(&nothing, &json!({"status": {"loadBalancer": {}}})).is_empty());
        assert_eq!(left_out(&nothing, &old).len(), 2);
        let counters = pool_patch(&SeenPool::default(), PoolCounters::default()).unwrap();
        assert_eq!(left_out(&counters, &json!({"status": {}})).len(), 4);
    }

    #[test]
    fn the_same_is_wanted_whichever_version_it_is_written_against() {
        let one = wanted(&["192.0.2.1"], "lan");
        let patch = |version: &str, wanted: &WantedService| {
            let seen = SeenService {
                resource_version: version.to_owned(),
                ..seen(&[], None)
            };
            content(&service_patch(&seen, Some(wanted)).unwrap(), "u")
        };
        assert_eq!(patch("1", &one), patch("2", &one));
        for other in [wanted(&["192.0.2.2"], "lan"), wanted(&["192.0.2.1"], "x")] {
            assert_ne!(patch("1", &one), patch("1", &other));
        }
    }

    #[test]
    fn a_second_family_is_told_as_one_more() {
        let [a, b] = ["192.0.2.1", "2001:db8::1"].map(|text| text.parse::<IpAddr>().unwrap());
        let one = Some("Assigned IP [\"192.0.2.1\"]".to_owned());
        assert_eq!(assigned(&[], &[a]), one);
        assert_eq!(assigned(&[b], &[a]), one);
        let both = "Assigned IP [\"192.0.2.1\" \"2001:db8::1\"]";
        assert_eq!(assigned(&[], &[a, b]).as_deref(), Some(both));
        let more = "Assigned additional IP \"2001:db8::1\"";
        assert_eq!(assigned(&[a], &[a, b]).as_deref(), Some(more));
        // One of two is given up; nothing changes but the order.
        assert_eq!(assigned(&[a, b], &[a]), one);
        for after in [&[b, a][..], &[a, b], &[]] {
            assert_eq!(assigned(&[a, b], after), None);
        }
    }

    #[test]
    fn counters_are_written_when_they_differ() {
        let counters = PoolCounters {
            assigned_ipv4: 2,
            available_ipv4: 46,
            ..PoolCounters::default()
        };
        let mut seen = SeenPool::default();
        assert!(pool_patch(&seen, counters).is_some());
        seen.counters = Some(counters);
        assert_eq!(pool_patch(&seen, counters), None);
        assert!(pool_patch(&seen, PoolCounters::default()).is_some());
    }
}
