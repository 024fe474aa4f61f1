//! What Services hold where that stands in a cluster: their statuses are the truth, whoever deals.

use std::collections::BTreeMap;
use std::net::IpAddr;

use gatehouse_config::ObjectKey;
use gatehouse_config::model::{Pool, Service};

use super::{Allocation, Decision, Outcome};

/// The outcome as the cluster has it. `held` is what the statuses say, of every Service that the
/// cluster has; `decided` is what the allocator of this node decided, if it is the one that deals,
/// and holds for all other Services. `waiting` is why a Service without an address has none, where
/// nobody here decided that.
pub fn observed(
    services: &[Service],
    pools: &[Pool],
    held: &BTreeMap<ObjectKey, Vec<IpAddr>>,
    decided: Option<&Outcome>,
    waiting: &str,
) -> Outcome {
    let decide = |service: &Service| {
        let here = decided.and_then(|outcome| outcome.services.get(&service.key));
        let Some(addresses) = held.get(&service.key) else {
            return here.cloned();
        };
        if addresses.is_empty() {
            return match here {
                Some(Decision::Pending { reason }) => Some(Decision::Pending {
                    reason: reason.clone(),
                }),
                // Nobody sees it before it stands in the status.
                Some(Decision::Allocated { .. }) => Some(Decision::Pending {
                    reason: "its address is being written to its status".to_owned(),
                }),
                None => None,
            };
        }
        let note = match here {
            Some(Decision::Allocated { allocation, note })
                if allocation.addresses == *addresses =>
            {
                note.clone()
            }
            _ => None,
        };
        Some(Decision::Allocated {
            allocation: Allocation {
                addresses: addresses.clone(),
                pool: pool_of(addresses, pools),
            },
            note,
        })
    };
    Outcome {
        services: services
            .iter()
            .map(|service| {
                let decision = decide(service).unwrap_or_else(|| Decision::Pending {
                    reason: waiting.to_owned(),
                });
                (service.key.clone(), decision)
            })
            .collect(),
        changes: Vec::new(),
        pools: decided
            .map(|outcome| outcome.pools.clone())
            .unwrap_or_default(),
    }
}

/// The one pool that has all of these addresses; empty if there is none: then nobody announces them.
fn pool_of(addresses: &[IpAddr], pools: &[Pool]) -> String {
    let has_all = |pool: &&Pool| {
        addresses
            .iter()
            .all(|address| pool.ranges.iter().any(|range| range.contains(*address)))
    };
    pools
        .iter()
        .find(has_all)
        .map_or(String::new(), |pool| pool.name.clone())
}

#[cfg(test)]
mod tests {
    use gatehouse_config::model::{AddressRange, AddressRequest, TrafficPolicy};

    use std::collections::BTreeSet;

    use super::*;

    fn service(name: &str) -> Service {
        Service {
            key: ObjectKey::new("default", name),
            labels: Default::default(),
            namespace_labels: Default::default(),
            request: AddressRequest::default(),
            traffic_policy: TrafficPolicy::Cluster,
            selector: String::new(),
            is_gateway: false,
            endpoint_nodes: BTreeSet::new(),
            ports: Vec::new(),
            cluster_ip: None,
            created: None,
        }
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn statuses_are_the_truth_and_the_allocator_says_why_not() {
        let pool = Pool {
            name: "lan".to_owned(),
            labels: Default::default(),
            ranges: vec![AddressRange::new(address(1), address(9)).unwrap()],
            auto_assign: true,
            avoid_buggy_ips: false,
            service_allocation: None,
        };
        let services = ["held", "moving", "new", "foreign", "full", "file"].map(service);
        let held: BTreeMap<_, _> = [
            ("held", vec![address(1)]),
            ("moving", vec![address(2)]),
            ("new", vec![]),
            ("foreign", vec![address(77)]),
            ("full", vec![]),
        ]
        .map(|(name, held)| (ObjectKey::new("default", name), held))
        .into();
        let allocated = |last: u8, note: &str| Decision::Allocated {
            allocation: Allocation {
                addresses: vec![address(last)],
                pool: if last < 10 { "lan" } else { "" }.to_owned(),
            },
            note: (!note.is_empty()).then(|| note.to_owned()),
        };
        let pending = |reason: &str| Decision::Pending {
            reason: reason.to_owned(),
        };
        let decided = Outcome {
            services: [
                ("held", allocated(1, "noted")),
                ("moving", allocated(3, "noted")),
                ("new", allocated(4, "")),
                ("foreign", allocated(5, "")),
                ("full", pending("no free address")),
                ("file", allocated(6, "")),
            ]
            .map(|(name, decision)| (ObjectKey::new("default", name), decision))
            .into(),
            ..Outcome::default()
        };
        let outcome = observed(&services, &[pool], &held, Some(&decided), "waits");
        let decision = |name: &str| &outcome.services[&ObjectKey::new("default", name)];
        assert_eq!(decision("held"), &allocated(1, "noted"));
        assert_eq!(decision("moving"), &allocated(2, ""));
        assert!(
            decision("new").allocation().is_none(),
            "it is not written yet"
        );
        assert_eq!(decision("foreign"), &allocated(77, ""));
        assert_eq!(decision("full"), &pending("no free address"));
        assert_eq!(decision("file"), &allocated(6, ""));

        let elsewhere = observed(&services, &[], &held, None, "waits");
        assert_eq!(
            elsewhere.services[&ObjectKey::new("default", "new")],
            pending("waits")
        );
    }
}
