//! What is in force, and how a change gets there.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use gatehouse_config::finding::Finding;
use gatehouse_config::model::Model;
use gatehouse_config::resources::Resources;
use gatehouse_config::source::Kind;
use gatehouse_gateway::compile::Placement;
use gatehouse_lb_speaker::{Announcement, Outcome, Plan};

use super::Control;
use crate::daemon::cluster::InCluster;
use crate::daemon::report::errors;
use crate::daemon::rows;
use crate::daemon::settings::Role;
use crate::sys;

/// Without a reload for so long, memory is given back: changes that follow each other need it again.
const QUIET: Duration = Duration::from_secs(4);

/// What is in force.
#[derive(Default)]
pub(in crate::daemon) struct InForce {
    pub(in crate::daemon) resources: Arc<Resources>,
    pub(in crate::daemon) model: Arc<Model>,
    pub(in crate::daemon) outcome: Arc<Outcome>,
    pub(in crate::daemon) plan: Arc<Plan>,
    pub(in crate::daemon) placement: Arc<Placement>,
    /// What reading and translating found.
    pub(in crate::daemon) read: Vec<Finding>,
    /// The same, and what became of addresses.
    pub(in crate::daemon) findings: Vec<Finding>,
    pub(in crate::daemon) listening: Vec<Finding>,
    pub(in crate::daemon) loaded_at: Option<i64>,
}

impl Control {
    /// Reads what changed and puts it in force. `always`: even if nothing changed.
    pub fn reload(&mut self, always: bool) {
        let started = Instant::now();
        let term = self.term();
        let loaded = self.sources.load();
        let files_changed = self.files.load();
        let always = always || self.waiting.is_some();
        if !files_changed && !loaded.changed && !always {
            return;
        }
        self.metallb.saw(loaded.changes);
        let pools_before = self.holding_pools();
        if let Some(cluster) = &mut self.cluster {
            cluster.see(&loaded, term);
        }
        self.seen = Arc::clone(&loaded.services);
        self.waiting = self.learn_labels(&loaded);
        if self.waiting.is_some() {
            return self.show();
        }
        let is_new = always || files_changed || loaded.objects_changed;
        if !is_new && self.holding_pools() == pools_before {
            self.readdress(started);
            return;
        }
        let mut resources = loaded.resources;
        if self.settings.role == Role::Speaker {
            leave_addresses_only(&mut resources);
        }
        let mut findings = loaded.findings;
        let translation = self.translate(&mut resources, &mut findings);
        self.last_good.accept(&resources);
        self.sources.locate(&resources, &mut findings);

        let mut model = translation.model;
        if model.services == self.in_force.model.services {
            model.services = Arc::clone(&self.in_force.model.services);
        }
        // The command line wins over the MeshConfig.
        if self.settings.server_header.is_some() {
            model.proxy.headers.server = None;
        }
        self.dns.want(model.names.clone());
        if let Some(logs) = self.settings.access_logs() {
            model.proxy.access_logs = logs;
        }
        self.enforce(
            Arc::new(resources),
            Arc::new(model),
            findings,
            started,
            true,
        );
    }

    /// The objects are as they were, and others may hold addresses now: another node deals, or what
    /// was dealt stands in the statuses.
    pub fn dealing_changed(&mut self) {
        let started = Instant::now();
        // Who deals takes over what the statuses say at this moment.
        let term = self.term();
        let loaded = self.sources.load();
        self.metallb.saw(loaded.changes);
        let pools_before = self.holding_pools();
        if let Some(cluster) = &mut self.cluster {
            cluster.see(&loaded, term);
        }
        let is_same = !loaded.objects_changed && self.holding_pools() == pools_before;
        if !is_same || self.files.load() || self.waiting.is_some() {
            self.reload(true);
            return;
        }
        self.seen = Arc::clone(&loaded.services);
        self.readdress(started);
    }

    fn term(&self) -> u64 {
        self.cluster.as_ref().map_or(0, InCluster::current_term)
    }

    fn readdress(&mut self, started: Instant) {
        let resources = Arc::clone(&self.in_force.resources);
        let read = std::mem::take(&mut self.in_force.read);
        let model = Arc::clone(&self.in_force.model);
        self.enforce(resources, model, read, started, false);
    }

    /// Deals addresses for a model, and puts it in force. `is_new`: it is another one than before;
    /// else what follows from it is as it was, where addresses are.
    fn enforce(
        &mut self,
        resources: Arc<Resources>,
        model: Arc<Model>,
        read: Vec<Finding>,
        started: Instant,
        is_new: bool,
    ) {
        let (outcome, state_findings) = self.allocate(&model, &resources);
        let held = rows::held(&outcome);
        let moved = held != rows::held(&self.in_force.outcome);
        let plan = self.plan(&model, &outcome);
        // What nobody may reach any more is withdrawn before its sockets close; what is new is
        // announced once its sockets are open, so that nobody finds an address that refuses.
        if let Some(speaker) = &self.speaker {
            speaker.update(kept(&self.in_force.plan.announcements, &plan.announcements));
        }
        let (placement, listening) = if is_new || moved {
            let placement = self.place(&model, &resources, &outcome);
            let listening = match self.settings.role {
                Role::Speaker => Vec::new(),
                Role::All | Role::Gateway => self.gateway.apply(&model, &placement),
            };
            (Arc::new(placement), listening)
        } else {
            let listening = std::mem::take(&mut self.in_force.listening);
            (Arc::clone(&self.in_force.placement), listening)
        };
        let mut placed = placement.findings.clone();
        self.sources.locate(&resources, &mut placed);
        let findings = read.iter().cloned().chain(state_findings).chain(placed);
        let findings: Vec<Finding> = findings.collect();
        self.count(&findings, is_new);
        if let Some(speaker) = &self.speaker {
            speaker.update(plan.announcements.clone());
        }
        self.in_force = InForce {
            resources,
            model,
            outcome: kept_if_same(&self.in_force.outcome, outcome),
            plan: kept_if_same(&self.in_force.plan, plan),
            placement,
            read,
            findings,
            listening,
            loaded_at: match is_new || moved {
                true => unix_now(),
                false => self.in_force.loaded_at,
            },
        };
        self.model_changed();
        self.show();
        self.report();
        let took = started.elapsed();
        let generation = self.gateway.snapshot().generation;
        if is_new {
            tracing::info!(
                generation,
                objects = self.in_force.resources.len(),
                routes = self.gateway.snapshot().route_count(),
                listeners = self.gateway.listeners().count(),
                took_ms = took.as_millis() as u64,
                "configuration in force"
            );
        }
        self.spare_memory = Some(Instant::now());
    }

    /// Counts what came of the cluster's objects.
    fn count(&mut self, findings: &[Finding], is_new: bool) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        self.metallb.failed(cluster.take_failures());
        if is_new {
            let kinds = [Kind::IPAddressPool, Kind::L2Advertisement];
            let errors = errors(findings, &kinds).len();
            self.metallb.configured(cluster.is_complete(), errors);
        }
    }

    /// Gives back what reloads needed for a moment, once there were none for a while. Whether it was
    /// time for that.
    pub fn give_memory_back(&mut self) -> bool {
        let is_time = self
            .spare_memory
            .is_some_and(|since| since.elapsed() >= QUIET);
        if is_time {
            self.spare_memory = None;
            sys::give_memory_back();
            sys::give_code_back();
        }
        is_time
    }
}

/// What is as it was stays: the other one was made last and lies together, so that its memory can be
/// given back.
fn kept_if_same<T: PartialEq>(before: &Arc<T>, now: T) -> Arc<T> {
    match **before == now {
        true => Arc::clone(before),
        false => Arc::new(now),
    }
}

/// Those of `next` whose addresses are announced already.
fn kept(now: &[Announcement], next: &[Announcement]) -> Vec<Announcement> {
    let announced: BTreeSet<IpAddr> = now.iter().map(|now| now.address).collect();
    next.iter()
        .filter(|next| announced.contains(&next.address))
        .cloned()
        .collect()
}

/// Takes out what concerns a gateway, which is not here.
fn leave_addresses_only(resources: &mut Resources) {
    let served = Kind::ALL.iter().filter(|kind| {
        !matches!(
            kind,
            Kind::Service
                | Kind::EndpointSlice
                | Kind::Endpoints
                | Kind::Namespace
                | Kind::Node
                | Kind::Pod
                | Kind::IPAddressPool
                | Kind::L2Advertisement
        )
    });
    for kind in served {
        for key in resources.keys(*kind) {
            resources.remove(*kind, &key);
        }
    }
}

fn unix_now() -> Option<i64> {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?;
    i64::try_from(since.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use gatehouse_lb_speaker::{Former, Interfaces};

    use super::*;

    fn announcement(last: u8) -> Announcement {
        Announcement {
            address: IpAddr::from([192, 0, 2, last]),
            services: BTreeSet::new(),
            interfaces: Interfaces::All,
            former: Former::Nobody,
            first: BTreeSet::new(),
        }
    }

    #[test]
    fn what_is_new_waits_and_what_is_gone_does_not_stay() {
        let [one, two, three] = [1, 2, 3].map(announcement);
        let now = [one, two.clone()];
        assert_eq!(kept(&now, &[two.clone(), three.clone()]), [two]);
        assert_eq!(kept(&[], &[three]), []);
    }
}
