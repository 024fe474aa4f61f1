//! What must never happen, and what must hold at rest.

use std::collections::BTreeSet;
use std::net::IpAddr;

use gatehouse_config::ObjectKey;
use gatehouse_config::model::{Pool, Service, TrafficPolicy, TransportProtocol};
use gatehouse_lb_speaker::{Allocation, Allocator};

use crate::world::World;

impl World {
    pub fn check_dealt(&self, key: &ObjectKey, address: IpAddr) {
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

    pub fn check_reason(
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

    /// Everybody is connected and nothing happens any more: then all is in order, and a restart
    /// changes nothing.
    pub fn rest(&mut self) {
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
            // Without any pool nobody judges: what users wrote into statuses stays as it is.
            let judged = !api.pools.is_empty();
            let held = stored.status.iter().filter(|_| judged);
            for address in held.flat_map(|held| &held.addresses) {
                self.check_dealt(key, *address);
                let inside = |pool: &Pool| pool.ranges.iter().any(|range| range.contains(*address));
                if !api.pools.values().any(inside) {
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
