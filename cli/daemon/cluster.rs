//! Addresses where a cluster keeps them: who deals, what is told to the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use gatehouse_config::ObjectKey;
use gatehouse_config::codes;
use gatehouse_config::finding::{Finding, Level};
use gatehouse_config::model::Model;
use gatehouse_config::resources::{Origin, Resources};
use gatehouse_config::source::Gathered;
use gatehouse_config::source::kubernetes::{PoolCounters, SeenService};
use gatehouse_config::status::kubernetes::{
    Note, Rival, Role, StatusWriter, Wanted, WantedService,
};
use gatehouse_config::translate::deprecated_annotations;
use gatehouse_lb_speaker::allocate::observed;
use gatehouse_lb_speaker::{Allocation, Allocator, Change, Decision, Outcome};

use crate::daemon::telling::Telling;

/// The cluster's part in who holds which address.
pub struct InCluster {
    pub(super) writer: StatusWriter,
    /// This node's term when the statuses were looked at that are known.
    term: u64,
    /// The term for which they were taken over; none while this node does not deal.
    adopted: Option<u64>,
    /// What was last told of Services.
    telling: Telling,
    /// How many Services were told to wait, or of a wrong request, since that was counted.
    failures: u64,
    services: Arc<BTreeMap<ObjectKey, SeenService>>,
    may_allocate: bool,
    /// Everything was seen once that addresses are announced by; that objects are judged by.
    knows_addresses: bool,
    is_complete: bool,
}

impl InCluster {
    /// Nothing was decided yet.
    pub fn new(writer: StatusWriter) -> Self {
        Self {
            writer,
            term: 0,
            adopted: None,
            telling: Telling::default(),
            failures: 0,
            services: Arc::default(),
            may_allocate: false,
            knows_addresses: false,
            is_complete: false,
        }
    }

    /// Counts how often this node began to deal. Ask before the cluster's objects are looked at.
    pub(super) fn current_term(&self) -> u64 {
        self.writer.leadership().term
    }

    /// Takes note of what statuses say, which were looked at in this term or later.
    pub(super) fn see(&mut self, gathered: &Gathered, term: u64) {
        self.term = term;
        self.services = Arc::clone(&gathered.services);
        self.may_allocate = gathered.may_allocate;
        self.knows_addresses = gathered.knows_addresses;
        self.is_complete = gathered.is_complete;
    }

    /// Whether all was seen once that addresses are announced by.
    pub(super) fn knows_addresses(&self) -> bool {
        self.knows_addresses
    }

    /// Whether all was seen once that objects are judged by.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// How many Services were told to wait since the last call.
    pub(super) fn take_failures(&mut self) -> u64 {
        std::mem::take(&mut self.failures)
    }

    /// The pools that the statuses name.
    pub(super) fn pools(&self) -> impl Iterator<Item = &String> {
        self.services.values().filter_map(|seen| seen.pool.as_ref())
    }

    /// Whether this node deals now, and the statuses are known from within its term.
    pub(super) fn deals(&self) -> bool {
        self.may_allocate && self.writer.leadership().is_mine_in(self.term)
    }

    /// Before this node deals for the first time in a term: takes over what the statuses say, so that holders
    /// are confirmed before anyone new is served.
    pub(super) fn adopt(
        &mut self,
        model: &Model,
        resources: &Resources,
        allocator: &mut Allocator,
    ) {
        if self.adopted.replace(self.term) == Some(self.term) {
            return;
        }
        let here = allocator
            .holders()
            .map(|(key, held)| (key.clone(), held.clone()));
        // Of the cluster's Services nothing counts that was remembered from an earlier time.
        let here: Vec<_> = here.filter(|(key, _)| !is_api(resources, key)).collect();
        *allocator = Allocator::new();
        allocator.readopt(here);
        allocator.readopt(holders(model, resources, &self.services));
    }

    /// This node does not deal: the cluster says what is.
    pub(super) fn stand_by(&mut self) {
        self.adopted = None;
        self.telling.clear();
        self.writer.write(None);
    }

    /// Tells the cluster what was decided.
    pub(super) fn tell(&mut self, model: &Model, resources: &Resources, outcome: &Outcome) {
        let mut wanted = Wanted {
            term: self.term,
            ..Wanted::default()
        };
        for service in model.services.iter() {
            if !is_api(resources, &service.key) {
                continue;
            }
            let decision = outcome.services.get(&service.key);
            let allocation = decision.and_then(Decision::allocation);
            wanted.services.insert(
                service.key.clone(),
                WantedService {
                    addresses: allocation
                        .map(|held| held.addresses.clone())
                        .unwrap_or_default(),
                    is_gateway: service.is_gateway,
                    pool: allocation.map(|held| held.pool.clone()).unwrap_or_default(),
                    deprecated: resources
                        .services
                        .get(&service.key)
                        .map(|service| deprecated_annotations(&service.meta).collect())
                        .unwrap_or_default(),
                },
            );
            let pools_known = !outcome.pools.is_empty();
            if let Some(note) = self.telling.tell(service, decision, pools_known) {
                self.failures += u64::from(note.is_warning);
                self.writer.note(note);
            }
        }
        self.telling.retain(|key| wanted.services.contains_key(key));
        for usage in &outcome.pools {
            let key = resources
                .ip_address_pools
                .iter()
                .find(|(key, _)| key.name == usage.pool);
            let Some((key, _)) = key.filter(|(_, pool)| matches!(pool.origin, Origin::Api { .. }))
            else {
                continue;
            };
            let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            wanted.pools.insert(
                key.clone(),
                PoolCounters {
                    assigned_ipv4: count(usage.ipv4_in_use),
                    assigned_ipv6: count(usage.ipv6_in_use),
                    available_ipv4: count(usage.ipv4_total.saturating_sub(usage.ipv4_in_use)),
                    available_ipv6: count(usage.ipv6_total.saturating_sub(usage.ipv6_in_use)),
                },
            );
        }
        for change in &outcome.changes {
            self.tell_of_loss(change);
        }
        self.writer.write(Some(Arc::new(wanted)));
    }

    fn tell_of_loss(&self, change: &Change) {
        if change.before.is_empty() || change.before.iter().all(|held| change.after.contains(held))
        {
            return;
        }
        // A Service that is gone has nobody to tell; the writer of events finds that.
        self.writer.note(Note {
            service: change.service.clone(),
            is_warning: false,
            by: Role::Allocator,
            reason: "ClearAssignment",
            message: format!(
                "current IP for \"{}\" is given up: {}",
                change.service, change.why
            ),
        });
    }

    /// What is in force: what the statuses say, whoever decided it.
    pub(super) fn observed(
        &self,
        model: &Model,
        resources: &Resources,
        decided: Option<&Outcome>,
    ) -> Outcome {
        let seen = self
            .services
            .iter()
            .filter(|(key, _)| is_api(resources, key));
        let held: BTreeMap<ObjectKey, Allocation> =
            seen.map(|(key, seen)| (key.clone(), said(seen))).collect();
        observed(model, &held, decided, &self.waiting())
    }

    /// Why a Service has no address yet, where another node deals, or none.
    fn waiting(&self) -> String {
        let leadership = self.writer.leadership();
        if leadership.is_mine() {
            return "not everything is known of the cluster that addresses are dealt by (Services, \
                    IPAddressPools, Namespaces)"
                .to_owned();
        }
        match (leadership.trouble, leadership.holder.as_str()) {
            (Some(trouble), _) => format!("this node cannot see who deals addresses: {trouble}"),
            (None, "") => "no node deals addresses yet".to_owned(),
            (None, holder) => format!(
                "node {holder} deals addresses, and has not given it one; `kubectl describe \
                 service` tells why"
            ),
        }
    }

    /// What keeps decisions from the cluster.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let lease = self.writer.leadership().trouble.map(|trouble| {
            format!(
                "the Lease of the node that deals addresses cannot be had or seen: {trouble}. \
                 Addresses stay as they are"
            )
        });
        let troubles = lease.into_iter().chain(self.writer.trouble());
        let rival = self.writer.rival().as_ref().map(two_allocators);
        let troubles = troubles.map(|message| Finding {
            code: codes::STATE,
            level: Level::Error,
            object: None,
            field: String::new(),
            position: None,
            message,
            hint: "It is tried again. See deploy/rbac.yaml for what it needs to be allowed."
                .to_owned(),
        });
        troubles
            .chain(rival)
            .chain(self.writer.obstacles())
            .collect()
    }
}

fn two_allocators(rival: &Rival) -> Finding {
    let Rival { namespace, holder } = rival;
    Finding {
        code: codes::STATE,
        level: Level::Error,
        object: None,
        field: String::new(),
        position: None,
        message: format!(
            "{holder} deals addresses as well, by the Lease `gatehouse-allocator` in the namespace \
             {namespace}: two that know nothing of each other may give one address to two Services, \
             and undo what the other writes."
        ),
        hint: format!(
            "Start one of them with --kube-namespace of the other (here --kube-namespace={namespace}), or \
             stop it."
        ),
    }
}

/// What the statuses say of the cluster's Services that are dealt with here. Those of others (of
/// another class, or of no type LoadBalancer) are nobody's here to free.
fn holders(
    model: &Model,
    resources: &Resources,
    seen: &BTreeMap<ObjectKey, SeenService>,
) -> Vec<(ObjectKey, Allocation)> {
    let services = model.services.iter().map(|service| &service.key);
    services
        .filter(|key| is_api(resources, key))
        .filter_map(|key| Some((key.clone(), said(seen.get(key)?))))
        .collect()
}

/// What a status says: addresses, and the pool that they came from.
pub(super) fn said(seen: &SeenService) -> Allocation {
    Allocation {
        addresses: seen.addresses(),
        pool: seen.pool.clone().unwrap_or_default(),
    }
}

/// Whether the version of a Service that is in force is the cluster's.
pub(super) fn is_api(resources: &Resources, key: &ObjectKey) -> bool {
    let service = resources.services.get(key);
    service.is_some_and(|service| matches!(service.origin, Origin::Api { .. }))
}

#[cfg(test)]
mod tests {
    use gatehouse_config::source::Kind;
    use gatehouse_config::source::decode::decode_json;
    use gatehouse_config::source::kubernetes::Ingress;
    use gatehouse_config::translate::{Settings, translate};
    use serde_json::json;

    use super::*;

    #[test]
    fn statuses_of_other_controllers_are_not_adopted() {
        let mut resources = Resources::default();
        let mut seen = BTreeMap::new();
        let specs = [
            ("ours", json!({"type": "LoadBalancer"})),
            (
                "theirs",
                json!({"type": "LoadBalancer", "loadBalancerClass": "example.com/other"}),
            ),
            ("none", json!({"type": "ClusterIP"})),
        ];
        for (name, spec) in specs {
            let service = json!({
                "metadata": {"name": name, "namespace": "default"},
                "spec": spec,
            });
            for object in decode_json(Kind::Service, "1", &service).objects {
                resources.insert(object);
            }
            let ingress = Ingress {
                ip: "192.0.2.1".to_owned(),
                ..Ingress::default()
            };
            let status = SeenService {
                ingress: vec![ingress],
                ..SeenService::default()
            };
            seen.insert(ObjectKey::new("default", name), status);
        }
        assert_eq!(resources.services.len(), 3);
        let model = translate(&resources, &Settings::default()).model;
        let held = holders(&model, &resources, &seen);
        let keys: Vec<_> = held.iter().map(|(key, _)| key.to_string()).collect();
        assert_eq!(keys, ["default/ours"]);
        // So that nothing of the others is freed, which would be told as an event.
        let mut allocator = Allocator::new();
        allocator.readopt(held);
        let outcome = allocator.converge(&model.services, Some(&[]));
        assert_eq!(outcome.changes, []);
    }
}
