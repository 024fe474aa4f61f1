//! What stands in the statuses that an allocator writes, whoever wrote it.

use std::net::IpAddr;

use serde_json::Value as Json;

use crate::source::decode::Kind;
use crate::status::kubernetes::{ALLOCATED_FROM, VERDICT};

/// A Service, as far as its addresses go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenService {
    /// The version that this was seen in; a write is made against it.
    pub resource_version: String,
    /// The object's own id, which events refer to.
    pub uid: String,
    /// Whether it is of type LoadBalancer.
    pub is_load_balancer: bool,
    /// `status.loadBalancer.ingress`.
    pub ingress: Vec<Ingress>,
    /// `metallb.io/ip-allocated-from-pool`.
    pub pool: Option<String>,
}

/// An entry of `status.loadBalancer.ingress`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ingress {
    /// The address, as it is written.
    pub ip: String,
    /// What stands in its place or beside it, which only other controllers write.
    pub hostname: String,
    /// `VIP` or `Proxy`; empty where it is not written.
    pub ip_mode: String,
}

impl SeenService {
    /// The addresses that can be read.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let entries = self.ingress.iter();
        entries.filter_map(|entry| entry.ip.parse().ok()).collect()
    }
}

/// A pool's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenPool {
    /// The version that this was seen in.
    pub resource_version: String,
    /// `status`; none where it was never written.
    pub counters: Option<PoolCounters>,
}

/// `status` of an IPAddressPool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the API's names
pub struct PoolCounters {
    pub assigned_ipv4: i64,
    pub assigned_ipv6: i64,
    pub available_ipv4: i64,
    pub available_ipv6: i64,
}

/// What analysis wrote of one of Istio's objects, whoever did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenReport {
    /// The version that this was seen in.
    pub resource_version: String,
    /// `metadata.generation`: another one whenever the spec changed.
    pub generation: i64,
    /// `status.validationMessages`.
    pub messages: Vec<Json>,
    /// `status.conditions`, those of others among them.
    pub conditions: Vec<Json>,
}

impl SeenReport {
    /// The condition that is ours, if this object was reported on.
    pub fn verdict(&self) -> Option<&Json> {
        self.conditions
            .iter()
            .find(|condition| is_verdict(condition))
    }
}

/// Whether a condition is one of ours.
pub fn is_verdict(condition: &Json) -> bool {
    condition.get("type").and_then(Json::as_str) == Some(VERDICT)
}

/// Whether findings about objects of this kind go to their statuses.
pub fn is_reported(kind: Kind) -> bool {
    kind.group().ends_with(".istio.io")
}

pub(super) fn seen_report(version: &str, json: &Json) -> SeenReport {
    let list = |field| {
        let list = json.get("status").and_then(|status| status.get(field));
        list.and_then(Json::as_array).cloned().unwrap_or_default()
    };
    let generation = json.pointer("/metadata/generation").and_then(Json::as_i64);
    SeenReport {
        resource_version: version.to_owned(),
        generation: generation.unwrap_or_default(),
        messages: list("validationMessages"),
        conditions: list("conditions"),
    }
}

pub(crate) fn seen_service(version: &str, json: &Json) -> SeenService {
    let text = |json: &Json, field: &str| {
        let text = json.get(field).and_then(Json::as_str);
        text.unwrap_or_default().to_owned()
    };
    let entries = json.pointer("/status/loadBalancer/ingress");
    let entries = entries.and_then(Json::as_array).into_iter().flatten();
    let annotations = json.pointer("/metadata/annotations");
    let pool = annotations.and_then(|all| all.get(ALLOCATED_FROM));
    SeenService {
        resource_version: version.to_owned(),
        uid: json
            .get("metadata")
            .map_or(String::new(), |meta| text(meta, "uid")),
        is_load_balancer: json.pointer("/spec/type").and_then(Json::as_str) == Some("LoadBalancer"),
        ingress: entries
            .map(|entry| Ingress {
                ip: text(entry, "ip"),
                hostname: text(entry, "hostname"),
                ip_mode: text(entry, "ipMode"),
            })
            .collect(),
        pool: pool.and_then(Json::as_str).map(str::to_owned),
    }
}

pub(crate) fn seen_pool(version: &str, json: &Json) -> SeenPool {
    let status = json.get("status").and_then(Json::as_object);
    let count = |field| {
        let count = status.and_then(|status| status.get(field));
        count.and_then(Json::as_i64).unwrap_or_default()
    };
    SeenPool {
        resource_version: version.to_owned(),
        counters: status
            .filter(|status| !status.is_empty())
            .map(|_| PoolCounters {
                assigned_ipv4: count("assignedIPv4"),
                assigned_ipv6: count("assignedIPv6"),
                available_ipv4: count("availableIPv4"),
                available_ipv6: count("availableIPv6"),
            }),
    }
}
