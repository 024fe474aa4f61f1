//! The API server: what it keeps, and the one rule by which it takes writes.

use std::collections::BTreeMap;

use gatehouse_config::ObjectKey;
use gatehouse_config::model::{Pool, Service};
use gatehouse_lb_speaker::Allocation;

use crate::world::World;

/// A Service as the API server keeps it.
#[derive(Clone)]
pub struct Stored {
    pub service: Service,
    pub version: u64,
    pub status: Option<Allocation>,
}

/// The API server.
#[derive(Clone, Default)]
pub struct Api {
    pub services: BTreeMap<ObjectKey, Stored>,
    pub pools: BTreeMap<String, Pool>,
    pub lease: Lease,
    pub version: u64,
}

#[derive(Clone, Default)]
pub struct Lease {
    pub holder: Option<usize>,
    pub version: u64,
}

pub struct Write {
    pub key: ObjectKey,
    pub version: u64,
    pub status: Option<Allocation>,
    pub arrives: u64,
}

impl World {
    /// A write gets to the API server: its new version, or a conflict.
    pub fn arrive(&mut self, write: &Write) -> Option<u64> {
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
}
