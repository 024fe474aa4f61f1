//! Random histories of a cluster, seeded and replayable: Services and pools come, change and go,
//! somebody edits statuses, two allocators crash, hang and are cut off, and take the Lease from one
//! another. No address is dealt twice, and no holder moves without a reason.
//!
//! What keeps two allocators apart is modelled as it has to be done:
//!
//! * only the holder of the Lease writes; it is taken and renewed by resourceVersion, and taken from
//!   another only after that one did not renew it for its whole duration by the taker's own clock;
//! * the holder writes only if its request ends (arrives, or is given up) before its Lease does;
//! * who takes the Lease begins anew from the statuses;
//! * a status is written by the resourceVersion of the Service, one after the other, and what is
//!   taken from one Service is written before it is given to another.
//!
//! `GATEHOUSE_SEED=n` replays one history; `GATEHOUSE_LONG_TESTS=1` runs 10,000.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use gatehouse_config::ObjectKey;
use gatehouse_config::model::{
    AddressFamilies, AddressRange, AddressRequest, Pool, Port, Service, ServiceAllocation,
    TrafficPolicy, TransportProtocol,
};
use gatehouse_lb_speaker::{Allocation, Allocator};

const LEASE: u64 = 15;
const REQUEST: u64 = 4;
const STEPS: usize = 60;

struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        // splitmix64: neighbouring seeds have nothing in common.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// A Service as the API server keeps it.
#[derive(Clone)]
struct Stored {
    service: Service,
    version: u64,
    status: Option<Allocation>,
}

/// The API server.
#[derive(Clone, Default)]
struct Api {
    services: BTreeMap<ObjectKey, Stored>,
    pools: BTreeMap<String, Pool>,
    lease: Lease,
    version: u64,
}

#[derive(Clone, Default)]
struct Lease {
    holder: Option<usize>,
    version: u64,
}

struct Write {
    key: ObjectKey,
    version: u64,
    status: Option<Allocation>,
    arrives: u64,
}

/// A process that may hold the Lease.
struct Node {
    allocator: Allocator,
    leads: bool,
    /// The Lease holds until then, if it leads.
    until: u64,
    /// The Lease of another, and when it was seen first.
    seen: (u64, u64),
    cut: bool,
    writes: VecDeque<Write>,
}

impl Node {
    fn new(now: u64) -> Self {
        Self {
            allocator: Allocator::new(),
            leads: false,
            until: 0,
            seen: (u64::MAX, now),
            cut: false,
            writes: VecDeque::new(),
        }
    }
}

struct World {
    api: Api,
    nodes: Vec<Node>,
    /// Requests of nodes that crashed or were cut off, still on their way.
    strays: Vec<Write>,
    now: u64,
    chance: Chance,
    seed: u64,
    made: u64,
    /// Services that something happened to which may move them, by what.
    reasons: BTreeMap<ObjectKey, &'static str>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            api: Api::default(),
            nodes: vec![Node::new(0), Node::new(0)],
            strays: Vec::new(),
            now: 0,
            chance: Chance(seed),
            seed,
            made: 0,
            reasons: BTreeMap::new(),
        }
    }

    fn fail(&self, what: &str) -> ! {
        panic!("GATEHOUSE_SEED={}: {what}, at {}", self.seed, self.now);
    }

    // What users do.

    fn user(&mut self) {
        match self.chance.below(12) {
            0..=3 => self.apply_service(),
            4 => self.delete_service(),
            5..=6 => self.apply_pool(),
            7 => self.delete_pool(),
            8 => self.edit_status(),
            _ => {}
        }
    }

    fn apply_service(&mut self) {
        let key = ObjectKey::new(
            *self.chance.one(&["default", "team-a"]),
            format!("s{}", self.chance.below(8)),
        );
        self.made += 1;
        let created = match self.api.services.get(&key) {
            Some(stored) => stored.service.created,
            None => Some(self.made as i64),
        };
        let families = *self.chance.one(&[
            AddressFamilies::V4,
            AddressFamilies::V4,
            AddressFamilies::V6,
            AddressFamilies::RequireDual,
            AddressFamilies::PreferDual { primary_v6: false },
        ]);
        let addresses: Vec<IpAddr> = match self.chance.below(8) {
            0 => vec![
                format!("10.0.{}.{}", self.chance.below(3), self.chance.below(5))
                    .parse()
                    .unwrap(),
            ],
            _ => Vec::new(),
        };
        let pool = (self.chance.below(8) == 0).then(|| format!("p{}", self.chance.below(3)));
        let protocols = [TransportProtocol::Tcp, TransportProtocol::Udp];
        let service = Service {
            labels: BTreeMap::new(),
            namespace_labels: BTreeMap::new(),
            request: AddressRequest {
                families,
                addresses,
                pool,
                sharing_key: (*self.chance.one(&["", "", "k1", "k2"])).to_owned(),
                invalid: (self.chance.below(20) == 0).then(|| "no address".to_owned()),
            },
            traffic_policy: *self.chance.one(&[
                TrafficPolicy::Cluster,
                TrafficPolicy::Cluster,
                TrafficPolicy::Local,
            ]),
            selector: (*self.chance.one(&["app=x", "app=y"])).to_owned(),
            is_gateway: false,
            ports: vec![Port {
                name: String::new(),
                protocol: *self.chance.one(&protocols),
                port: *self.chance.one(&[53, 80, 443]),
                target_port: None,
                node_port: None,
                endpoints: Vec::new(),
            }],
            endpoint_nodes: BTreeSet::new(),
            cluster_ip: None,
            created,
            key: key.clone(),
        };
        self.touch(&key, "it was edited");
        self.api.version += 1;
        let version = self.api.version;
        let status = self
            .api
            .services
            .remove(&key)
            .and_then(|stored| stored.status);
        let stored = Stored {
            service,
            version,
            status,
        };
        self.api.services.insert(key, stored);
    }

    fn some_service(&mut self) -> Option<ObjectKey> {
        let keys: Vec<ObjectKey> = self.api.services.keys().cloned().collect();
        (!keys.is_empty()).then(|| self.chance.one(&keys).clone())
    }

    fn delete_service(&mut self) {
        if let Some(key) = self.some_service() {
            self.touch(&key, "it was deleted");
            self.api.services.remove(&key);
        }
    }

    /// A reason to move for a Service and for all who share with it.
    fn touch(&mut self, key: &ObjectKey, why: &'static str) {
        let held = self
            .api
            .services
            .get(key)
            .and_then(|stored| stored.status.clone());
        self.reasons.insert(key.clone(), why);
        let held = held.map(|held| held.addresses).unwrap_or_default();
        for (other, stored) in &self.api.services {
            let status = stored.status.iter().flat_map(|status| &status.addresses);
            if status.clone().any(|address| held.contains(address)) {
                self.reasons
                    .entry(other.clone())
                    .or_insert("who shares with it changed");
            }
        }
    }

    fn apply_pool(&mut self) {
        let number = self.chance.below(3);
        let range = |first: String, last: String| {
            AddressRange::new(first.parse().unwrap(), last.parse().unwrap()).unwrap()
        };
        let size = 1 + self.chance.below(4);
        let mut ranges = vec![range(
            format!("10.0.{number}.0"),
            format!("10.0.{number}.{size}"),
        )];
        if self.chance.below(2) == 0 {
            ranges.push(range(
                format!("fd00:{number}::"),
                format!("fd00:{number}::{size}"),
            ));
        }
        let namespaces = (self.chance.below(2) == 0).then(|| ["team-a".to_owned()].into());
        let pool = Pool {
            name: format!("p{number}"),
            labels: BTreeMap::new(),
            ranges,
            auto_assign: self.chance.below(6) != 0,
            avoid_buggy_ips: self.chance.below(6) == 0,
            service_allocation: (self.chance.below(4) == 0).then(|| ServiceAllocation {
                priority: self.chance.below(3) as i64,
                namespaces,
                service_selectors: Vec::new(),
            }),
        };
        self.pools_changed();
        self.api.pools.insert(pool.name.clone(), pool);
    }

    fn delete_pool(&mut self) {
        let name = format!("p{}", self.chance.below(3));
        // A cluster without any pool is one whose pools are not loaded yet, for who starts then.
        if self.api.pools.len() > 1 && self.api.pools.remove(&name).is_some() {
            self.pools_changed();
        }
    }

    fn pools_changed(&mut self) {
        for key in self.api.services.keys() {
            self.reasons.entry(key.clone()).or_insert("pools changed");
        }
    }

    fn edit_status(&mut self) {
        let Some(key) = self.some_service() else {
            return;
        };
        self.touch(&key, "somebody edited its status");
        let edited = match self.chance.below(3) {
            0 => None,
            _ => Some(Allocation {
                addresses: vec![
                    format!("10.0.{}.{}", self.chance.below(3), self.chance.below(6))
                        .parse()
                        .unwrap(),
                ],
                pool: "p0".to_owned(),
            }),
        };
        self.api.version += 1;
        let version = self.api.version;
        let stored = self.api.services.get_mut(&key).unwrap();
        stored.status = edited;
        stored.version = version;
        // Who held that address may have to share it, or not.
        self.touch(&key, "somebody edited its status");
    }

    // What machines do.

    fn trouble(&mut self) {
        let node = self.chance.below(2) as usize;
        match self.chance.below(8) {
            0 => {
                self.drop_requests(node);
                self.nodes[node] = Node::new(self.now);
            }
            1 => {
                self.drop_requests(node);
                self.nodes[node].cut = true;
            }
            2..=4 => self.nodes[node].cut = false,
            _ => {}
        }
    }

    /// The first request may be on its way; others were never sent.
    fn drop_requests(&mut self, node: usize) {
        let mut writes = std::mem::take(&mut self.nodes[node].writes);
        if self.chance.below(2) == 0 {
            self.strays.extend(writes.pop_front());
        }
    }

    fn lead(&mut self, node: usize) {
        let now = self.now;
        let this = &mut self.nodes[node];
        let lease = &mut self.api.lease;
        if lease.holder == Some(node) && this.leads {
            lease.version += 1;
            this.until = now + LEASE;
            return;
        }
        // Also its own of before a crash: nobody knows what is still on its way.
        this.leads = false;
        if this.seen.0 != lease.version {
            this.seen = (lease.version, now);
        }
        if lease.holder.is_some() && now <= this.seen.1 + LEASE {
            return;
        }
        lease.version += 1;
        lease.holder = Some(node);
        this.leads = true;
        this.until = now + LEASE;
        this.writes.clear();
        this.allocator = Allocator::new();
        let statuses = self.api.services.iter();
        this.allocator.readopt(
            statuses.filter_map(|(key, stored)| Some((key.clone(), stored.status.clone()?))),
        );
    }

    fn services(&self) -> Vec<Service> {
        let mut services: Vec<Service> = self
            .api
            .services
            .values()
            .map(|stored| stored.service.clone())
            .collect();
        services.sort_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
        services
    }

    fn converge(&mut self, node: usize) {
        let services = self.services();
        let pools: Vec<Pool> = self.api.pools.values().cloned().collect();
        let this = &mut self.nodes[node];
        if !this.writes.is_empty() {
            return;
        }
        let outcome = this.allocator.converge(&services, Some(&pools));
        for change in &outcome.changes {
            if !change.before.is_empty() && change.why.is_empty() {
                self.fail(&format!("{change:?} has no reason"));
            }
        }
        let mut writes: Vec<Write> = Vec::new();
        for (key, stored) in &self.api.services {
            let status = outcome.allocation(key).cloned();
            if status != stored.status {
                writes.push(Write {
                    key: key.clone(),
                    version: stored.version,
                    status,
                    arrives: 0,
                });
            }
        }
        // What is taken away goes first: an address that moves from one Service to another is
        // never in two statuses. One that changes its own gives up first, too.
        let mut gives: Vec<Write> = Vec::new();
        let mut takes: Vec<Write> = Vec::new();
        for write in writes {
            let before = self.api.services[&write.key].status.as_ref();
            let loses = before.is_some_and(|before| {
                let after = write.status.iter().flat_map(|status| &status.addresses);
                let after: Vec<&IpAddr> = after.collect();
                before
                    .addresses
                    .iter()
                    .any(|address| !after.contains(&address))
            });
            if loses && write.status.is_some() {
                takes.push(Write {
                    key: write.key.clone(),
                    version: write.version,
                    status: None,
                    arrives: 0,
                });
            }
            if loses && write.status.is_none() {
                takes.push(write);
            } else {
                gives.push(write);
            }
        }
        takes.extend(gives);
        self.nodes[node].writes = takes.into();
    }

    /// Sends the next requests of a node that leads and is connected.
    fn send(&mut self, node: usize) {
        loop {
            let now = self.now;
            let took = self.chance.below(REQUEST + 2);
            let this = &mut self.nodes[node];
            let Some(write) = this.writes.front_mut() else {
                return;
            };
            if write.arrives == 0 {
                if now + REQUEST >= this.until {
                    return;
                }
                write.arrives = now + took;
                if took > REQUEST {
                    // Given up: it is not known whether it arrived, so that all is looked at anew.
                    let mut lost = this.writes.pop_front().unwrap();
                    this.writes.clear();
                    lost.arrives = now + REQUEST;
                    self.strays.push(lost);
                    return;
                }
            }
            if write.arrives > now {
                return;
            }
            let mut write = this.writes.pop_front().unwrap();
            match self.arrive(&write) {
                Some(version) => {
                    // The same Service again: with the version that was answered.
                    let this = &mut self.nodes[node];
                    for next in &mut this.writes {
                        if next.key == write.key {
                            next.version = version;
                        }
                    }
                    write.arrives = 0;
                }
                None => {
                    self.nodes[node].writes.clear();
                    return;
                }
            }
        }
    }

    /// A write gets to the API server: its new version, or a conflict.
    fn arrive(&mut self, write: &Write) -> Option<u64> {
        let stored = self.api.services.get(&write.key)?;
        if stored.version != write.version {
            return None;
        }
        let before = stored.status.clone();
        if let Some(status) = &write.status {
            for address in &status.addresses {
                self.check_dealt(&write.key, *address);
            }
        }
        self.check_reason(&write.key, before.as_ref(), write.status.as_ref());
        self.api.version += 1;
        let version = self.api.version;
        let stored = self.api.services.get_mut(&write.key).unwrap();
        stored.status.clone_from(&write.status);
        stored.version = version;
        Some(version)
    }

    fn check_dealt(&self, key: &ObjectKey, address: IpAddr) {
        let mine = &self.api.services[key].service;
        for (other, stored) in &self.api.services {
            let holds = stored
                .status
                .iter()
                .any(|held| held.addresses.contains(&address));
            if other == key || !holds || self.reasons.contains_key(other) {
                continue;
            }
            if !may_share(mine, &stored.service) {
                self.fail(&format!("{address} is given to {key} and held by {other}"));
            }
        }
    }

    fn check_reason(
        &self,
        key: &ObjectKey,
        before: Option<&Allocation>,
        after: Option<&Allocation>,
    ) {
        let Some(before) = before else { return };
        let after = after
            .map(|after| after.addresses.clone())
            .unwrap_or_default();
        let lost = before
            .addresses
            .iter()
            .any(|address| !after.contains(address));
        if lost && !self.reasons.contains_key(key) {
            self.fail(&format!(
                "{key} moves from {before:?} to {after:?} without a reason"
            ));
        }
    }

    fn step(&mut self) {
        self.now += self.chance.below(4);
        self.user();
        self.trouble();
        for node in 0..self.nodes.len() {
            self.work(node);
        }
        self.deliver_strays(false);
    }

    fn work(&mut self, node: usize) {
        if self.nodes[node].cut {
            return;
        }
        self.lead(node);
        if self.nodes[node].leads {
            self.converge(node);
            self.send(node);
        }
    }

    fn deliver_strays(&mut self, all: bool) {
        let now = self.now;
        let strays = std::mem::take(&mut self.strays);
        for stray in strays {
            if stray.arrives > now && !all {
                self.strays.push(stray);
            } else if self.chance.below(2) == 0 {
                self.arrive(&stray);
            }
        }
    }

    /// Everybody is connected and nothing happens any more: then all is in order, and a restart
    /// changes nothing.
    fn rest(&mut self) {
        for node in &mut self.nodes {
            node.cut = false;
        }
        for _ in 0..80 {
            self.now += 1;
            for node in 0..self.nodes.len() {
                self.work(node);
            }
            self.deliver_strays(false);
        }
        let leaders: Vec<usize> = (0..2).filter(|node| self.nodes[*node].leads).collect();
        if leaders.len() != 1 || !self.nodes[leaders[0]].writes.is_empty() {
            self.fail(&format!("{leaders:?} lead, and do not come to rest"));
        }
        self.reasons.clear();
        let api = self.api.clone();
        for (key, stored) in &api.services {
            for address in stored.status.iter().flat_map(|held| &held.addresses) {
                self.check_dealt(key, *address);
                let inside = |pool: &Pool| pool.ranges.iter().any(|range| range.contains(*address));
                if !api.pools.is_empty() && !api.pools.values().any(inside) {
                    self.fail(&format!("{key} holds {address} of no pool"));
                }
            }
        }
        let mut fresh = Allocator::new();
        let statuses = api.services.iter();
        fresh.readopt(
            statuses.filter_map(|(key, stored)| Some((key.clone(), stored.status.clone()?))),
        );
        let pools: Vec<Pool> = api.pools.values().cloned().collect();
        let outcome = fresh.converge(&self.services(), Some(&pools));
        if !outcome.changes.is_empty() {
            self.fail(&format!("a restart changes {:?}", outcome.changes));
        }
    }
}

fn may_share(one: &Service, other: &Service) -> bool {
    let backend = |service: &Service| match service.traffic_policy {
        TrafficPolicy::Cluster => String::new(),
        TrafficPolicy::Local => service.selector.clone(),
    };
    let ports = |service: &Service| -> BTreeSet<(TransportProtocol, u16)> {
        service
            .ports
            .iter()
            .map(|port| (port.protocol, port.port))
            .collect()
    };
    let key = &one.request.sharing_key;
    !key.is_empty()
        && *key == other.request.sharing_key
        && backend(one) == backend(other)
        && ports(one).is_disjoint(&ports(other))
}

fn history(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..3 {
        for _ in 0..STEPS / 3 {
            world.step();
        }
        world.rest();
    }
}

#[test]
fn no_address_is_dealt_twice_and_nobody_moves_without_a_reason() {
    if let Ok(seed) = std::env::var("GATEHOUSE_SEED") {
        return history(seed.parse().unwrap());
    }
    let long = std::env::var_os("GATEHOUSE_LONG_TESTS").is_some_and(|value| value == "1");
    for seed in 0..if long { 10_000 } else { 150 } {
        history(seed);
    }
}
