//! Histories of MetalLB's controller on a real API server, replayed on the allocator: the same
//! holders, step by step, but where MetalLB is wrong ([`DEVIATIONS`]).
//!
//! A history is a file of steps: `apply` or `delete`, and who `holds` what once nothing changes any
//! more: addresses and `metallb.io/ip-allocated-from-pool`.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use gatehouse_config::source::Kind;
use gatehouse_config::source::decode::decode_text;
use gatehouse_config::source::yaml::Limits;
use gatehouse_config::translate::{Settings, translate};
use gatehouse_config::{ObjectKey, Resources};
use gatehouse_lb_speaker::Allocator;
use serde_json::{Value, json};

/// Addresses (in no order) and pool, by Service.
type Holds = BTreeMap<String, (BTreeSet<IpAddr>, String)>;

/// Where gatehouse does otherwise: history, the step from which and the last step until which, the
/// Services that hold something else, and why.
const DEVIATIONS: &[(&str, usize, usize, &[&str], &str)] = &[
    (
        "007",
        40,
        40,
        &["team-a/s7", "team-b/s5"],
        "two wait when the pool comes: whom MetalLB serves first is chance, here it is the older",
    ),
    (
        "009",
        33,
        34,
        &["team-a/s4", "team-a/s7", "team-b/s5"],
        "three wait when the pool comes: whom MetalLB serves first is chance, here it is the oldest",
    ),
];

struct Replay {
    resources: Resources,
    allocator: Allocator,
    created: BTreeMap<String, usize>,
    step: usize,
}

impl Replay {
    fn new() -> Self {
        Self {
            resources: Resources::default(),
            allocator: Allocator::new(),
            created: BTreeMap::new(),
            step: 0,
        }
    }

    fn take(&mut self, step: &Value) {
        self.step += 1;
        if let Some(object) = step.get("apply") {
            let text = self.as_the_api_server_keeps_it(object).to_string();
            let path: Arc<str> = "history".into();
            let mut file = decode_text(&path, &text, &Limits::default());
            assert!(file.findings.is_empty(), "{:?}", file.findings);
            assert_eq!(file.objects.len(), 1, "{text}");
            self.resources.insert(file.objects.remove(0));
        } else {
            let [kind, namespace, name] = [0, 1, 2].map(|at| step["delete"][at].as_str().unwrap());
            let kind = match kind {
                "service" => Kind::Service,
                "ipaddresspool" => Kind::IPAddressPool,
                other => panic!("{other}"),
            };
            assert!(
                self.resources
                    .remove(kind, &ObjectKey::new(namespace, name))
            );
            self.created.remove(&format!("{namespace}/{name}"));
        }
    }

    /// With what the API server adds: age, and cluster addresses by family policy.
    fn as_the_api_server_keeps_it(&mut self, object: &Value) -> Value {
        let mut object = object.clone();
        if object["kind"] != "Service" {
            return object;
        }
        let meta = &mut object["metadata"];
        let key = format!(
            "{}/{}",
            meta["namespace"].as_str().unwrap(),
            meta["name"].as_str().unwrap()
        );
        let created = *self.created.entry(key).or_insert(self.step);
        meta["creationTimestamp"] = json!(format!("2026-07-01T00:00:{created:02}Z"));
        let spec = &mut object["spec"];
        let first_v6 = spec["ipFamilies"][0] == "IPv6";
        let [v4, v6] = ["10.96.0.9", "fd00:96::9"];
        let (first, second) = if first_v6 { (v6, v4) } else { (v4, v6) };
        let single = spec["ipFamilyPolicy"] == "SingleStack";
        spec["clusterIP"] = json!(first);
        spec["clusterIPs"] = if single {
            json!([first])
        } else {
            json!([first, second])
        };
        object
    }

    fn converge(&mut self) -> (Holds, BTreeMap<String, String>) {
        let translation = translate(&self.resources, &Settings::default());
        assert!(translation.refused.is_empty(), "{:?}", translation.findings);
        let model = translation.model;
        let outcome = self.allocator.converge(&model.services, Some(&model.pools));
        let mut why = BTreeMap::new();
        let mut holds = Holds::new();
        for key in self.resources.services.keys() {
            let allocation = outcome.allocation(key);
            holds.insert(
                key.to_string(),
                allocation.map_or_else(Default::default, |held| {
                    (held.addresses.iter().copied().collect(), held.pool.clone())
                }),
            );
            if let Some(decision) = outcome.services.get(key) {
                why.insert(key.to_string(), format!("{decision:?}"));
            }
        }
        // Nothing more to do: the same step again changes nothing.
        let again = self.allocator.converge(&model.services, Some(&model.pools));
        assert!(again.changes.is_empty(), "{:?}", again.changes);
        (holds, why)
    }
}

fn recorded(step: &Value) -> Holds {
    let holds = step["holds"].as_object().unwrap();
    holds
        .iter()
        .map(|(service, held)| {
            let addresses = held[0].as_array().unwrap().iter();
            let addresses = addresses.map(|ip| ip.as_str().unwrap().parse().unwrap());
            let pool = held[1].as_str().unwrap().to_owned();
            (service.clone(), (addresses.collect(), pool))
        })
        .collect()
}

#[test]
fn the_same_holders_as_metallb() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/metallb");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 16);
    let mut wrong = Vec::new();
    let mut steps = 0;
    let mut met = BTreeSet::new();
    for file in files {
        let history = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut replay = Replay::new();
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let step: Value = serde_json::from_str(line).unwrap();
            replay.take(&step);
            steps += 1;
            let (holds, why) = replay.converge();
            let recorded = recorded(&step);
            assert_eq!(
                holds.keys().collect::<Vec<_>>(),
                recorded.keys().collect::<Vec<_>>(),
                "{history} {}",
                replay.step
            );
            for (service, held) in &holds {
                if *held == recorded[service] {
                    continue;
                }
                let listed = DEVIATIONS.iter().position(|(file, from, to, services, _)| {
                    *file == history
                        && (*from..=*to).contains(&replay.step)
                        && services.contains(&service.as_str())
                });
                match listed {
                    Some(listed) => {
                        met.insert(listed);
                    }
                    None => wrong.push(format!(
                        "{history} step {}: {service} holds {held:?}, with MetalLB {:?}\n    {}",
                        replay.step, recorded[service], why[service]
                    )),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(
        met.len(),
        DEVIATIONS.len(),
        "a deviation is listed that is none"
    );
    assert_eq!(steps, 518);
}
