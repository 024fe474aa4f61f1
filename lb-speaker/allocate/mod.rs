//! Which Service holds which address.
//!
//! MetalLB's rules (its controller's behaviour, not its bugs), as one pure step from "what is
//! held, what is asked for, which pools there are" to "what is held now, and why the rest waits".
//! Invariants: an address is never dealt twice unless both sides agreed to share it, and a holder
//! is never moved while what it holds is still allowed.

mod book;
mod observed;
mod reason;
mod rules;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::BTreeMap;
use std::net::IpAddr;

use gatehouse_config::ObjectKey;
use gatehouse_config::model::{Model, Pool, RefusedPool, Service};
use gatehouse_config::resources::UnreadServices;
use serde::{Deserialize, Serialize};

use book::Book;
pub use observed::observed;
use rules::Claim;
pub use usage::{PoolUsage, write_prometheus};

/// The addresses that a Service holds; what a state file keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// One address, or one of each family; the first one decides the election.
    pub addresses: Vec<IpAddr>,
    /// The pool they come from (`metallb.io/ip-allocated-from-pool`).
    pub pool: String,
}

/// What became of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It holds addresses.
    Allocated {
        /// Which, and from which pool.
        allocation: Allocation,
        /// What is not as asked for (a wrong request that is ignored, a second family that is not
        /// to be had), with the nearest fix.
        note: Option<String>,
    },
    /// It waits.
    Pending {
        /// Why, and the nearest fix.
        reason: String,
    },
}

impl Decision {
    /// The allocation, if there is one.
    pub fn allocation(&self) -> Option<&Allocation> {
        match self {
            Self::Allocated { allocation, .. } => Some(allocation),
            Self::Pending { .. } => None,
        }
    }
}

/// Something that changed, for events and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The Service.
    pub service: ObjectKey,
    /// What it held before; empty if nothing.
    pub before: Vec<IpAddr>,
    /// What it holds now; empty if nothing.
    pub after: Vec<IpAddr>,
    /// Why what it held was taken away, or what made it wait; empty for a plain first allocation.
    pub why: String,
}

impl Change {
    /// What kind of change it is.
    pub fn kind(&self) -> ChangeKind {
        match (self.before.is_empty(), self.after.is_empty()) {
            (true, _) => ChangeKind::Given,
            (false, true) => ChangeKind::Freed,
            (false, false) if self.before.iter().all(|a| self.after.contains(a)) => {
                ChangeKind::Extended
            }
            (false, false) => ChangeKind::Moved,
        }
    }
}

/// Kinds of [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// A first address.
    Given,
    /// The second family was added; what was held stays.
    Extended,
    /// Another address in place of the old one.
    Moved,
    /// The address is free again.
    Freed,
}

/// The result of one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// One entry for each Service that was passed in.
    pub services: BTreeMap<ObjectKey, Decision>,
    /// What changed against the step before.
    pub changes: Vec<Change>,
    /// How full each pool is, in the order of the pools; empty while they are unknown.
    pub pools: Vec<PoolUsage>,
}

impl Outcome {
    /// The allocation of a Service.
    pub fn allocation(&self, service: &ObjectKey) -> Option<&Allocation> {
        self.services.get(service)?.allocation()
    }
}

/// What exists beside the Services and pools that are in force.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// Pools of which no version is in force.
    pub pools: &'a [RefusedPool],
    /// Services of which no version is in force; none: there is no such Service.
    pub services: Option<&'a UnreadServices>,
}

impl<'a> Beside<'a> {
    /// What a model tells of it.
    pub fn of(model: &'a Model) -> Self {
        Self {
            pools: &model.refused_pools,
            services: Some(&model.unread_services),
        }
    }
}

/// Gives addresses to Services; remembers who holds what.
#[derive(Clone, Debug, Default)]
pub struct Allocator {
    held: BTreeMap<ObjectKey, Held>,
    /// A set with at least one pool was seen: from then on an empty one means "all removed".
    pools_seen: bool,
}

#[derive(Clone, Debug)]
struct Held {
    allocation: Allocation,
    /// What the Service asked for when this was last confirmed; none after a restart.
    claim: Option<Claim>,
}

impl Allocator {
    /// An allocator that holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over what was held before a restart (state file, Service status). Call it before the
    /// first [`converge`](Self::converge): holders are confirmed there before anyone new is served.
    /// An entry without addresses is ignored; a later entry for the same Service wins.
    pub fn readopt(&mut self, holders: impl IntoIterator<Item = (ObjectKey, Allocation)>) {
        for (key, allocation) in holders {
            if !allocation.addresses.is_empty() {
                self.held.insert(
                    key,
                    Held {
                        allocation,
                        claim: None,
                    },
                );
            }
        }
    }

    /// Who holds what now: write it down before announcing it.
    pub fn holders(&self) -> impl Iterator<Item = (&ObjectKey, &Allocation)> {
        self.held.iter().map(|(key, held)| (key, &held.allocation))
    }

    /// One step. `services` are those of type LoadBalancer in the order in which they are served
    /// (oldest first, then namespace, name), each once; `pools` do not overlap. Both are what
    /// [`Model`] holds.
    ///
    /// `pools` is none while the set is unknown (not read yet, or nothing readable at start): then
    /// holders keep what they hold, unchecked, and nobody gets anything. An empty set means the
    /// same until one pool was seen, and after that that all pools were removed. A holder that is
    /// not among `services` was deleted, or wants no address any more: it is freed at once.
    pub fn converge(&mut self, services: &[Service], pools: Option<&[Pool]>) -> Outcome {
        self.converge_beside(services, pools, &Beside::default())
    }

    /// As [`converge`](Self::converge), where pools and Services exist `beside`, of which no version is
    /// in force. While there is such a pool, a holder whose address is in none of the `pools` keeps
    /// it: it may be of the refused one. It is judged again when that is mended, or deleted. What such
    /// a Service holds is kept for it, and nobody else gets it.
    pub fn converge_beside(
        &mut self,
        services: &[Service],
        pools: Option<&[Pool]>,
        beside: &Beside<'_>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let unread = self.forget_gone(services, beside, &mut outcome);
        match pools {
            Some(pools) if self.pools_seen || !pools.is_empty() || !beside.pools.is_empty() => {
                self.pools_seen = true;
                let book = Book::new(pools, beside.pools);
                self.settle(services, &unread, book, &mut outcome);
            }
            known => self.keep_all(services, known.is_some(), &mut outcome),
        }
        outcome
    }

    /// Frees what belongs to Services that are gone; returns those that may be there unread.
    fn forget_gone(
        &mut self,
        services: &[Service],
        beside: &Beside<'_>,
        outcome: &mut Outcome,
    ) -> Vec<ObjectKey> {
        let present: std::collections::HashSet<&ObjectKey> =
            services.iter().map(|service| &service.key).collect();
        let mut unread = Vec::new();
        self.held.retain(|key, held| {
            if present.contains(key) {
                return true;
            }
            let stays = beside.services.is_some_and(|unread| unread.may_exist(key));
            if stays {
                unread.push(key.clone());
            } else {
                outcome.changes.push(Change {
                    service: key.clone(),
                    before: held.allocation.addresses.clone(),
                    after: Vec::new(),
                    why: reason::GONE.to_owned(),
                });
            }
            stays
        });
        unread
    }

    /// The pools are unknown: nobody loses anything, nobody gets anything.
    fn keep_all(&self, services: &[Service], known: bool, outcome: &mut Outcome) {
        for service in services {
            let decision = match self.held.get(&service.key) {
                Some(held) => Decision::Allocated {
                    allocation: held.allocation.clone(),
                    note: Some(reason::kept_without_pools(&held.allocation, known)),
                },
                None => Decision::Pending {
                    reason: reason::no_pools(known, &[]),
                },
            };
            outcome.services.insert(service.key.clone(), decision);
        }
    }

    /// `unread`: of these nothing is known but what they hold, so that they share with nobody new.
    fn settle(
        &mut self,
        services: &[Service],
        unread: &[ObjectKey],
        mut book: Book<'_>,
        outcome: &mut Outcome,
    ) {
        let claims: Vec<Claim> = services.iter().map(Claim::of).collect();
        let lost = self.confirm_holders(services, &claims, &mut book);
        for key in unread {
            if let Some(held) = self.held.get(key) {
                rules::reserve(&mut book, key, &held.allocation);
            }
        }

        let mut waiting = Vec::new();
        for (index, service) in services.iter().enumerate() {
            if !self.held.contains_key(&service.key) {
                waiting.push(index);
            }
        }
        // Who just lost an address is served before those who never had one, and who lost two
        // before who lost one, as MetalLB does.
        let had = |index: &usize| lost.get(index).map_or(0, |(addresses, _)| addresses.len());
        waiting.sort_by_key(|index| std::cmp::Reverse(had(index)));

        for &index in &waiting {
            let (Some(service), Some(claim)) = (services.get(index), claims.get(index)) else {
                continue;
            };
            let before = lost.get(&index);
            let decision = match rules::allocate(&mut book, service, claim) {
                Ok(allocation) => {
                    self.held.insert(
                        service.key.clone(),
                        Held {
                            allocation: allocation.clone(),
                            claim: Some(claim.clone()),
                        },
                    );
                    Decision::Allocated {
                        note: reason::second_family_missing(service, &allocation),
                        allocation,
                    }
                }
                Err(reason) => Decision::Pending { reason },
            };
            let after = decision
                .allocation()
                .map(|allocation| allocation.addresses.clone())
                .unwrap_or_default();
            let old = before
                .map(|(addresses, _)| addresses.clone())
                .unwrap_or_default();
            if old != after {
                outcome.changes.push(Change {
                    service: service.key.clone(),
                    before: old,
                    after,
                    why: before.map(|(_, why)| why.clone()).unwrap_or_default(),
                });
            }
            outcome.services.insert(service.key.clone(), decision);
        }

        self.extend_single_stack(services, &claims, &mut book, outcome);
        outcome.pools = book.usage();
    }

    /// Confirms what is held and still allowed; returns what was lost, by index of the Service.
    ///
    /// Services whose claim is as before go first: of two that share an address, the one that
    /// changed loses it.
    fn confirm_holders(
        &mut self,
        services: &[Service],
        claims: &[Claim],
        book: &mut Book<'_>,
    ) -> BTreeMap<usize, (Vec<IpAddr>, String)> {
        let mut holders: Vec<(bool, usize)> = Vec::new();
        for (index, (service, claim)) in services.iter().zip(claims).enumerate() {
            if let Some(held) = self.held.get(&service.key) {
                let changed = held.claim.as_ref().is_some_and(|old| old != claim);
                holders.push((changed, index));
            }
        }
        holders.sort_unstable();
        let mut lost = BTreeMap::new();
        for (_, index) in holders {
            let (Some(service), Some(claim)) = (services.get(index), claims.get(index)) else {
                continue;
            };
            let Some(held) = self.held.get_mut(&service.key) else {
                continue;
            };
            match rules::confirm(book, service, claim, &held.allocation) {
                Ok(pool) => {
                    // A pool that was renamed or split but still covers the address.
                    held.allocation.pool = pool;
                    held.claim = Some(claim.clone());
                }
                Err(why) => {
                    if let Some(held) = self.held.remove(&service.key) {
                        lost.insert(index, (held.allocation.addresses, why));
                    }
                }
            }
        }
        lost
    }

    /// Reports holders, after giving PreferDualStack Services of one address a second one from the
    /// same pool where there is one.
    fn extend_single_stack(
        &mut self,
        services: &[Service],
        claims: &[Claim],
        book: &mut Book<'_>,
        outcome: &mut Outcome,
    ) {
        for (service, claim) in services.iter().zip(claims) {
            if outcome.services.contains_key(&service.key) {
                continue;
            }
            let Some(held) = self.held.get_mut(&service.key) else {
                continue;
            };
            if let Some(address) = rules::second_family(book, service, claim, &held.allocation) {
                let before = held.allocation.addresses.clone();
                held.allocation.addresses.push(address);
                outcome.changes.push(Change {
                    service: service.key.clone(),
                    before,
                    after: held.allocation.addresses.clone(),
                    why: reason::EXTENDED.to_owned(),
                });
            }
            let note = service
                .request
                .invalid
                .as_ref()
                .map(|invalid| reason::invalid_but_kept(invalid, &held.allocation))
                .or_else(|| {
                    rules::may_be_refused(book, &held.allocation)
                        .then(|| reason::kept_beside_refused(&held.allocation, book))
                })
                .or_else(|| reason::second_family_missing(service, &held.allocation));
            outcome.services.insert(
                service.key.clone(),
                Decision::Allocated {
                    allocation: held.allocation.clone(),
                    note,
                },
            );
        }
    }
}
