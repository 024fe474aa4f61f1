//! Replays what the real MetalLB controller did, step by step, on our allocator.
//!
//! Every step has to end in the same addresses and pools, but for the listed ones, each of which
//! is a defect of MetalLB's that is not copied, or chance. After such a step the recorded state is
//! taken over, so that the rest of the history still counts.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use gatehouse_config::ObjectKey;
use gatehouse_config::model::{
    AddressFamilies, AddressRange, AddressRequest, LabelRequirement, LabelSelector, Pool, Port,
    Service, ServiceAllocation, TrafficPolicy, TransportProtocol,
};
use gatehouse_lb_speaker::{Allocation, Allocator};
use serde_json::Value;

/// History, step (from 1), why ours differs.
const DEVIATIONS: &[(&str, usize, &str)] = &[
    (
        "007",
        40,
        "two wait for the pool that appears; MetalLB serves them by chance, we the older first",
    ),
    (
        "009",
        33,
        "three wait for the pool that appears; MetalLB serves them by chance, we the oldest first",
    ),
];

type Holds = BTreeMap<String, (Vec<IpAddr>, String)>;

#[test]
fn histories_of_the_real_controller() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/metallb");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "jsonl")
        })
        .collect();
    files.sort();
    assert_eq!(files.len(), 16);
    let mut unexpected = String::new();
    let mut seen = Vec::new();
    let mut steps = 0;
    for file in &files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut world = World::default();
        for (number, line) in std::fs::read_to_string(file).unwrap().lines().enumerate() {
            let step: Value = serde_json::from_str(line).unwrap();
            world.take(&step);
            let want = holds(&step["holds"]);
            let got = world.converge();
            steps += 1;
            if got == want {
                continue;
            }
            world.take_over(&want);
            let place = (name.clone(), number + 1);
            if !DEVIATIONS
                .iter()
                .any(|(file, step, _)| (*file, *step) == (place.0.as_str(), place.1))
            {
                let change = step.get("apply").or(step.get("delete")).unwrap();
                unexpected += &format!("{} step {}: {change}\n", place.0, place.1);
                for key in want.keys().chain(got.keys()).collect::<BTreeSet<_>>() {
                    if want.get(key) != got.get(key) {
                        unexpected += &format!(
                            "  {key}: MetalLB {:?}, gatehouse {:?}\n",
                            want.get(key),
                            got.get(key)
                        );
                    }
                }
            }
            seen.push(place);
        }
    }
    assert!(unexpected.is_empty(), "{unexpected}");
    for (file, step, _) in DEVIATIONS {
        assert!(
            seen.iter()
                .any(|place| (place.0.as_str(), place.1) == (file, *step)),
            "{file} step {step} no longer differs: strike it from the list"
        );
    }
    println!("{steps} steps, {} of them differ as listed", seen.len());
}

/// What the API server holds, as far as it matters.
#[derive(Default)]
struct World {
    /// In the order of their creation.
    services: Vec<(ObjectKey, Value)>,
    pools: BTreeMap<String, Value>,
    allocator: Allocator,
}

impl World {
    fn take(&mut self, step: &Value) {
        if let Some(object) = step.get("apply") {
            let name = text(&object["metadata"]["name"]);
            if object["kind"] == "IPAddressPool" {
                self.pools.insert(name, object.clone());
                return;
            }
            let key = ObjectKey::new(text(&object["metadata"]["namespace"]), name);
            match self.services.iter_mut().find(|(known, _)| *known == key) {
                Some((_, old)) => *old = object.clone(),
                None => self.services.push((key, object.clone())),
            }
        } else {
            let name = text(&step["delete"][2]);
            if step["delete"][0] == "ipaddresspool" {
                self.pools.remove(&name);
            } else {
                let key = ObjectKey::new(text(&step["delete"][1]), name);
                self.services.retain(|(known, _)| *known != key);
            }
        }
    }

    fn converge(&mut self) -> Holds {
        let services: Vec<Service> = self
            .services
            .iter()
            .filter(|(_, object)| object["spec"]["type"] == "LoadBalancer")
            .map(|(key, object)| service(key, object))
            .collect();
        let pools: Vec<Pool> = self.pools.values().map(pool).collect();
        let outcome = self.allocator.converge(&services, Some(&pools));
        assert_eq!(outcome.services.len(), services.len());
        self.services
            .iter()
            .map(|(key, _)| {
                let held = outcome.allocation(key).cloned().unwrap_or_default();
                (key.to_string(), (held.addresses, held.pool))
            })
            .collect()
    }

    fn take_over(&mut self, holds: &Holds) {
        self.allocator = Allocator::new();
        self.allocator
            .readopt(holds.iter().map(|(key, (addresses, pool))| {
                let (namespace, name) = key.split_once('/').unwrap();
                (
                    ObjectKey::new(namespace, name),
                    Allocation {
                        addresses: addresses.clone(),
                        pool: pool.clone(),
                    },
                )
            }));
    }
}

fn holds(value: &Value) -> Holds {
    value
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, held)| {
            let addresses = held[0].as_array().unwrap();
            let addresses = addresses.iter().map(|a| text(a).parse().unwrap()).collect();
            (key.clone(), (addresses, text(&held[1])))
        })
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn labels(value: &Value) -> BTreeMap<String, String> {
    let labels = value.as_object().into_iter().flatten();
    labels
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn service(key: &ObjectKey, object: &Value) -> Service {
    let spec = &object["spec"];
    let annotation = |name: &str| {
        object["metadata"]["annotations"][format!("metallb.io/{name}")]
            .as_str()
            .map(ToOwned::to_owned)
    };
    let v6_first = spec["ipFamilies"][0] == "IPv6";
    let mut request = AddressRequest {
        families: match spec["ipFamilyPolicy"].as_str().unwrap() {
            "PreferDualStack" => AddressFamilies::PreferDual {
                primary_v6: v6_first,
            },
            "RequireDualStack" => AddressFamilies::RequireDual,
            _ if v6_first => AddressFamilies::V6,
            _ => AddressFamilies::V4,
        },
        pool: annotation("address-pool"),
        sharing_key: annotation("allow-shared-ip").unwrap_or_default(),
        ..AddressRequest::default()
    };
    for wanted in annotation("loadBalancerIPs")
        .iter()
        .flat_map(|ips| ips.split(','))
    {
        match wanted.trim().parse::<IpAddr>() {
            Ok(address) => request.addresses.push(address),
            Err(error) => request.invalid = Some(error.to_string()),
        }
    }
    Service {
        key: key.clone(),
        labels: labels(&object["metadata"]["labels"]),
        namespace_labels: BTreeMap::new(),
        request,
        traffic_policy: if spec["externalTrafficPolicy"] == "Local" {
            TrafficPolicy::Local
        } else {
            TrafficPolicy::Cluster
        },
        selector: labels(&spec["selector"])
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()
            .join(","),
        is_gateway: false,
        ports: list(&spec["ports"])
            .map(|port| Port {
                name: String::new(),
                protocol: if port["protocol"] == "UDP" {
                    TransportProtocol::Udp
                } else {
                    TransportProtocol::Tcp
                },
                port: u16::try_from(port["port"].as_u64().unwrap()).unwrap(),
                target_port: None,
                node_port: None,
                endpoints: Vec::new(),
            })
            .collect(),
        cluster_ip: None,
        created: None,
    }
}

fn pool(object: &Value) -> Pool {
    let spec = &object["spec"];
    Pool {
        name: text(&object["metadata"]["name"]),
        labels: BTreeMap::new(),
        ranges: list(&spec["addresses"])
            .map(|a| range(a.as_str().unwrap()))
            .collect(),
        auto_assign: spec["autoAssign"] != false,
        avoid_buggy_ips: spec["avoidBuggyIPs"] == true,
        service_allocation: spec
            .get("serviceAllocation")
            .map(|allocation| ServiceAllocation {
                priority: allocation["priority"].as_i64().unwrap_or(0),
                namespaces: allocation
                    .get("namespaces")
                    .map(|names| list(names).map(text).collect()),
                service_selectors: list(&allocation["serviceSelectors"])
                    .map(|selector| LabelSelector {
                        requirements: labels(&selector["matchLabels"])
                            .into_iter()
                            .map(|(key, value)| LabelRequirement::In(key, BTreeSet::from([value])))
                            .collect(),
                    })
                    .collect(),
            }),
    }
}

fn range(text: &str) -> AddressRange {
    if let Some((first, last)) = text.split_once('-') {
        return AddressRange::new(first.trim().parse().unwrap(), last.trim().parse().unwrap())
            .unwrap();
    }
    let (network, bits) = text.split_once('/').unwrap();
    let bits: u32 = bits.parse().unwrap();
    match network.parse().unwrap() {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shr(bits).unwrap_or(0);
            let first = u32::from(v4) & !mask;
            AddressRange::new(
                Ipv4Addr::from(first).into(),
                Ipv4Addr::from(first | mask).into(),
            )
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shr(bits).unwrap_or(0);
            let first = u128::from(v6) & !mask;
            AddressRange::new(
                Ipv6Addr::from(first).into(),
                Ipv6Addr::from(first | mask).into(),
            )
        }
    }
    .unwrap()
}
