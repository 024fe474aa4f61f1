//! What machines do: lead, decide, write, crash, and are cut off.

use std::collections::VecDeque;
use std::net::IpAddr;

use gatehouse_config::model::{Pool, Service};
use gatehouse_lb_speaker::Allocator;

use crate::api::Write;
use crate::world::World;

/// How long the Lease lasts.
const LEASE: u64 = 15;
/// How long a request may take.
const REQUEST: u64 = 4;

/// A process that may hold the Lease.
pub struct Node {
    pub allocator: Allocator,
    pub leads: bool,
    /// The Lease holds until then, if it leads.
    pub until: u64,
    /// The Lease of another, and when it was seen first.
    pub seen: (u64, u64),
    pub cut: bool,
    pub writes: VecDeque<Write>,
}

impl Node {
    pub fn new(now: u64) -> Self {
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

impl World {
    pub fn trouble(&mut self) {
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
    pub fn drop_requests(&mut self, node: usize) {
        let mut writes = std::mem::take(&mut self.nodes[node].writes);
        if self.chance.below(2) == 0 {
            self.strays.extend(writes.pop_front());
        }
    }

    pub fn lead(&mut self, node: usize) {
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

    pub fn services(&self) -> Vec<Service> {
        let mut services: Vec<Service> = self
            .api
            .services
            .values()
            .map(|stored| stored.service.clone())
            .collect();
        services.sort_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
        services
    }

    pub fn converge(&mut self, node: usize) {
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
    pub fn send(&mut self, node: usize) {
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
}
