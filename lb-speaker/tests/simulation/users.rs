//! What users do: Services and pools come, change and go, and somebody edits statuses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use gatehouse_config::ObjectKey;
use gatehouse_config::model::{
    AddressFamilies, AddressRange, AddressRequest, Pool, Port, Service, ServiceAllocation,
    TrafficPolicy, TransportProtocol,
};
use gatehouse_lb_speaker::Allocation;

use crate::api::Stored;
use crate::world::World;

impl World {
    pub fn user(&mut self) {
        match self.chance.below(12) {
            0..=3 => self.apply_service(),
            4 => self.delete_service(),
            5..=6 => self.apply_pool(),
            7 => self.delete_pool(),
            8 => self.edit_status(),
            _ => {}
        }
    }

    pub fn apply_service(&mut self) {
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
            labels: Default::default(),
            namespace_labels: Default::default(),
            request: AddressRequest {
                families,
                addresses,
                pool,
                sharing_key: (*self.chance.one(&["", "", "k1", "k2"])).to_owned(),
                sctp_ports: BTreeSet::new(),
                invalid: (self.chance.below(20) == 0).then(|| "no address".to_owned()),
            },
            traffic_policy: *self.chance.one(&[
                TrafficPolicy::Cluster,
                TrafficPolicy::Cluster,
                TrafficPolicy::Local,
            ]),
            selector: (*self.chance.one(&["app=x", "app=y"])).to_owned(),
            is_gateway: false,
            keeps_ports: false,
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
            sources: None,
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

    pub fn some_service(&mut self) -> Option<ObjectKey> {
        let keys: Vec<ObjectKey> = self.api.services.keys().cloned().collect();
        (!keys.is_empty()).then(|| self.chance.one(&keys).clone())
    }

    pub fn delete_service(&mut self) {
        if let Some(key) = self.some_service() {
            self.touch(&key, "it was deleted");
            self.api.services.remove(&key);
        }
    }

    /// A reason to move for a Service and for all who share with it.
    pub fn touch(&mut self, key: &ObjectKey, why: &'static str) {
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

    pub fn apply_pool(&mut self) {
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
            labels: Default::default(),
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

    pub fn delete_pool(&mut self) {
        let name = format!("p{}", self.chance.below(3));
        // A cluster without any pool is one whose pools are not loaded yet, for who starts then.
        if self.api.pools.len() > 1 && self.api.pools.remove(&name).is_some() {
            self.pools_changed();
        }
    }

    pub fn pools_changed(&mut self) {
        for key in self.api.services.keys() {
            self.reasons.entry(key.clone()).or_insert("pools changed");
        }
    }

    pub fn edit_status(&mut self) {
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
}
