//! What Services hold where that stands in a cluster: their statuses are the truth, whoever deals.

use std::collections::BTreeMap;
use std::net::IpAddr;

use gatehouse_config::ObjectKey;
use gatehouse_config::model::{Model, Pool, Service};

use super::{Allocation, Decision, Outcome};

/// The outcome as the cluster has it. `held` is what the statuses say, of every Service that the
/// cluster has, with the pool that its annotation names; `decided` is what the allocator of this node decided, if it is the one that deals,
/// and holds for all other Services. `waiting` is why a Service without an address has none, where
/// nobody here decided that.
pub fn observed(
    model: &Model,
    held: &BTreeMap<ObjectKey, Allocation>,
    decided: Option<&Outcome>,
    waiting: &str,
) -> Outcome {
    let decide = |service: &Service| {
        let here = decided.and_then(|outcome| outcome.services.get(&service.key));
        let Some(held) = held.get(&service.key) else {
            return here.cloned();
        };
        let addresses = &held.addresses;
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
                pool: pool_of(held, model),
            },
            note,
        })
    };
    Outcome {
        services: model
            .services
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

/// The one pool that has all of these addresses. If there is none while a pool is refused, the one
/// that the annotation names: its holders keep what they hold, so that they are to be reached as
/// before. Otherwise it is empty, and nobody announces them.
fn pool_of(held: &Allocation, model: &Model) -> String {
    let has = |pool: &Pool, address: &IpAddr| {
        let mut ranges = pool.ranges.iter();
        ranges.any(|range| range.contains(*address))
    };
    let mut pools = model.pools.iter();
    let found = pools.find(|pool| held.addresses.iter().all(|address| has(pool, address)));
    match found {
        Some(pool) => pool.name.clone(),
        None if model.refused_pools.is_empty() => String::new(),
        None => held.pool.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use gatehouse_config::model::{AddressRange, AddressRequest, RefusedPool, TrafficPolicy};

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
            keeps_ports: false,
            endpoint_nodes: BTreeSet::new(),
            ports: Vec::new(),
            cluster_ip: None,
            sources: None,
            created: None,
        }
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn seen(addresses: Vec<IpAddr>, pool: &str) -> Allocation {
        Allocation {
            addresses,
            pool: pool.to_owned(),
        }
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
        .map(|(name, addresses)| (ObjectKey::new("default", name), seen(addresses, "gone")))
        .into();
        let mut model = Model {
            services: Arc::new(services.into()),
            pools: vec![pool],
            ..Model::default()
        };
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
        let outcome = observed(&model, &held, Some(&decided), "waits");
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

        model.pools.clear();
        let elsewhere = observed(&model, &held, None, "waits");
        assert_eq!(
            elsewhere.services[&ObjectKey::new("default", "new")],
            pending("waits")
        );
    }

    #[test]
    fn what_came_from_a_refused_pool_has_the_name_of_it() {
        let model = Model {
            services: Arc::new(vec![service("held"), service("foreign")]),
            refused_pools: vec![RefusedPool {
                name: "lan".to_owned(),
                labels: Default::default(),
            }],
            ..Model::default()
        };
        let held = [("held", "lan"), ("foreign", "")]
            .map(|(name, pool)| {
                (
                    ObjectKey::new("default", name),
                    seen(vec![address(1)], pool),
                )
            })
            .into();
        let outcome = observed(&model, &held, None, "waits");
        let pool = |name| {
            let key = ObjectKey::new("default", name);
            outcome.allocation(&key).unwrap().pool.as_str()
        };
        assert_eq!(pool("held"), "lan");
        assert_eq!(pool("foreign"), "", "nobody dealt it");
    }
}
