//! The control loop's state: what is in force, and how a change gets there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use gatehouse_config::codes;
use gatehouse_config::finding::{Finding, Level};
use gatehouse_config::model::Model;
use gatehouse_config::resources::{ObjectKey, Resources};
use gatehouse_config::source::kubernetes::{Cluster, SeenService};
use gatehouse_config::source::{Dns, Files, Kind, LastGood, LastGoodFiles, Sources};
use gatehouse_config::status::kubernetes::StatusWriter;
use gatehouse_config::translate::{self, Translator};
use gatehouse_gateway::admin::View;
use gatehouse_gateway::compile::{Host, Placement, place, place_behind_services};
use gatehouse_gateway::observe::AccessLog;
use gatehouse_gateway::{Counters, Gateway};
use gatehouse_lb_speaker::{
    AddressState, Allocator, Announcement, Members, Outcome, Plan, Speaker,
};

use crate::daemon::allocation::State;
use crate::daemon::capabilities::Capabilities;
use crate::daemon::cluster::InCluster;
use crate::daemon::outdated::Outdated;
use crate::daemon::peers::Found;
use crate::daemon::rows;
use crate::daemon::scrape::Metrics;
use crate::daemon::settings::{Role, Settings};
use crate::daemon::show::Shown;
use crate::sys;

/// Between looks at the time, where a certificate expires one day.
const LOOK: Duration = Duration::from_secs(3600);

/// Without a reload for so long, memory is given back: changes that follow each other need it again.
const QUIET: Duration = Duration::from_secs(4);

/// Everything that the control thread holds.
pub struct Control {
    pub(super) settings: Settings,
    pub(super) sources: Sources,
    pub(super) last_good: LastGood,
    pub(super) files: Files,
    pub(super) last_good_files: LastGoodFiles,
    pub(super) translator: Translator,
    pub(super) allocator: Allocator,
    pub(super) state: State,
    pub(super) cluster: Option<InCluster>,
    /// What the statuses of the cluster's Services say.
    pub(super) seen: Arc<BTreeMap<ObjectKey, SeenService>>,
    pub(super) gateway: Gateway,
    pub(super) counters: Counters,
    pub(super) speaker: Option<Arc<Speaker>>,
    /// Heartbeats between nodes; none where this is the only one.
    pub(super) members: Option<Arc<Members>>,
    /// What the cluster tells of other nodes.
    pub(super) found: Option<Found>,
    /// How many times a node came, as far as was acted on it.
    pub(super) arrivals: u64,
    pub(super) access_log: Option<AccessLog>,
    pub(super) dns: Dns,
    pub(super) capabilities: Capabilities,
    pub(super) in_force: InForce,
    pub(super) shown: Option<Shown>,
    /// Findings of parts that report once: the admin servers, the state file.
    pub(super) standing: Vec<Finding>,
    pub(super) watching: Option<Finding>,
    pub(super) logged: BTreeSet<String>,
    /// When something was translated last, if memory was not given back since.
    pub(super) spare_memory: Option<Instant>,
}

/// The running parts that the control thread steers.
pub struct Parts {
    /// The data plane.
    pub gateway: Gateway,
    /// Who announces; none in the demo.
    pub speaker: Option<Arc<Speaker>>,
    /// Who watches other nodes.
    pub members: Option<Arc<Members>>,
    /// What the cluster tells of other nodes.
    pub found: Option<Found>,
    /// Where lines go; none: nowhere.
    pub access_log: Option<AccessLog>,
    /// Who looks names up.
    pub dns: Dns,
    /// What the process may do.
    pub capabilities: Capabilities,
    /// The cluster that objects come from, and that addresses are written to.
    pub cluster: Option<(Cluster, Option<StatusWriter>)>,
}

/// What has to be brought to an end.
pub struct Ends {
    /// Requests under way may finish.
    pub gateway: Gateway,
    /// Its last lines are to be written.
    pub access_log: Option<AccessLog>,
    /// Gives the allocator's Lease back.
    pub writer: Option<StatusWriter>,
    /// Gives this node's own Lease back.
    pub found: Option<Found>,
}

/// What is in force.
#[derive(Default)]
pub(super) struct InForce {
    pub(super) resources: Arc<Resources>,
    pub(super) model: Arc<Model>,
    pub(super) outcome: Arc<Outcome>,
    pub(super) plan: Arc<Plan>,
    pub(super) placement: Arc<Placement>,
    /// What reading and translating found.
    pub(super) read: Vec<Finding>,
    /// The same, and what became of addresses.
    pub(super) findings: Vec<Finding>,
    pub(super) listening: Vec<Finding>,
    pub(super) loaded_at: Option<i64>,
}

impl Control {
    /// Opens directory and state; nothing is read yet.
    ///
    /// # Errors
    ///
    /// There is no such directory.
    pub fn open(settings: Settings, parts: Parts) -> io::Result<Self> {
        let Parts {
            gateway,
            speaker,
            members,
            found,
            access_log,
            dns,
            capabilities,
            cluster,
        } = parts;
        let (cluster, writer) = cluster.unzip();
        let sources = Sources::open(settings.config.as_deref(), cluster)?;
        let mut control = Self {
            sources,
            cluster: writer.flatten().map(InCluster::new),
            seen: Arc::default(),
            last_good: LastGood::default(),
            files: Files::new(),
            last_good_files: LastGoodFiles::default(),
            translator: Translator::default(),
            allocator: Allocator::new(),
            state: State::Forgotten,
            counters: gateway.counters(),
            gateway,
            speaker,
            members,
            found,
            arrivals: 0,
            access_log,
            dns,
            capabilities,
            in_force: InForce::default(),
            shown: None,
            standing: Vec::new(),
            watching: None,
            logged: BTreeSet::new(),
            spare_memory: None,
            settings,
        };
        control.open_state();
        control.check_capabilities();
        Ok(control)
    }

    /// Where results are shown.
    pub fn publish_to(
        &mut self,
        view: Arc<ArcSwap<View>>,
        metrics: Arc<Metrics>,
        findings: Vec<Finding>,
    ) {
        self.standing.extend(findings);
        self.shown = Some(Shown { view, metrics });
    }

    /// Takes note of what the watch has to say.
    pub fn notice(&mut self, finding: Option<Finding>) {
        self.watching = finding;
    }

    fn check_capabilities(&mut self) {
        if self.speaker.is_some() && !self.capabilities.can_announce() {
            self.standing.push(Finding {
                code: codes::NOT_PERMITTED,
                level: Level::Warning,
                object: None,
                field: String::new(),
                position: None,
                message: format!(
                    "no address is announced: the process has no {}. The gateway still serves, at \
                     the host's own addresses.",
                    self.capabilities.missing()
                ),
                hint: "Run it from the systemd unit, or as root, or give the binary the \
                       capabilities with `setcap cap_net_raw,cap_net_admin,cap_net_bind_service+ep`."
                    .to_owned(),
            });
        }
    }

    /// Waits until there is news of what the objects in force refer to: names, files, or that a
    /// certificate expires.
    pub async fn inputs_changed(&mut self) {
        let at = self.in_force.model.look_again;
        let due = async {
            let Some(at) = at else {
                return std::future::pending().await;
            };
            while let Ok(pause) = at.duration_since(SystemTime::now()) {
                // A clock that is set forward is noticed within the hour.
                tokio::time::sleep(pause.min(LOOK)).await;
            }
        };
        tokio::select! {
            () = self.dns.changed() => {}
            () = self.files.changed() => {}
            () = due => {}
        }
    }

    /// Reads what changed and puts it in force. `always`: even if nothing changed.
    pub fn reload(&mut self, always: bool) {
        let started = Instant::now();
        let loaded = self.sources.load();
        let files_changed = self.files.load();
        if !files_changed && !loaded.changed && !always {
            return;
        }
        let pools_before = self.holding_pools();
        if let Some(cluster) = &mut self.cluster {
            cluster.see(&loaded);
        }
        self.seen = Arc::clone(&loaded.services);
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
        let loaded = self.sources.load();
        if loaded.objects_changed || self.files.load() {
            self.reload(true);
            return;
        }
        if let Some(cluster) = &mut self.cluster {
            cluster.see(&loaded);
        }
        self.seen = Arc::clone(&loaded.services);
        self.readdress(started);
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
            let placement = self.place(&model, &outcome);
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
        let findings = findings.collect();
        if let Some(speaker) = &self.speaker {
            speaker.update(plan.announcements.clone());
        }
        self.in_force = InForce {
            resources,
            model,
            outcome: Arc::new(outcome),
            plan: Arc::new(plan),
            placement,
            read,
            findings,
            listening,
            loaded_at: match is_new || moved {
                true => unix_now(),
                false => self.in_force.loaded_at,
            },
        };
        self.log();
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
        self.publish(&[]);
        self.spare_memory = Some(Instant::now());
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
        }
        is_time
    }

    /// Where is listened.
    fn place(&self, model: &Model, outcome: &Outcome) -> Placement {
        match self.settings.role {
            Role::Speaker => Placement::default(),
            Role::Gateway => {
                place_behind_services(model, &self.settings.listen, self.settings.kube)
            }
            Role::All => {
                let endpoints = match self.settings.kube {
                    true => own_endpoints(model),
                    false => Vec::new(),
                };
                let host = Host {
                    listen: &self.settings.listen,
                    holds_addresses: self.capabilities.can_announce(),
                    endpoints: &endpoints,
                };
                place(model, &rows::held(outcome), host)
            }
        }
    }

    /// The labels that Gateways and Services select this gateway by: those of its Pod, as they are
    /// now; what was named on the command line counts more, what Istio's own has counts less.
    fn labels(&self, resources: &Resources) -> BTreeMap<String, String> {
        let pod = self.settings.pod.as_ref();
        let pod = pod.and_then(|pod| resources.pods.get(pod));
        let Some(pod) = pod else {
            return self.settings.labels.clone();
        };
        let (mut labels, over) = match self.settings.labels_are_given {
            true => (pod.meta.labels.clone(), &self.settings.labels),
            false => (self.settings.labels.clone(), &pod.meta.labels),
        };
        let over = over.iter();
        labels.extend(over.map(|(key, value)| (key.clone(), value.clone())));
        labels
    }

    /// Translates; objects that are refused fall back to their last good version.
    fn translate(
        &mut self,
        resources: &mut Resources,
        findings: &mut Vec<Finding>,
    ) -> translate::Translation {
        let mut settings = self.translate_settings(resources);
        let newest = resources.clone();
        let mut outdated = Outdated::new(newest.clone(), self.files.contents());
        let mut first = true;
        loop {
            let translation = self.translator.translate(resources, &settings);
            if self.files.want(&translation.model.files) {
                settings.files = self.files.contents();
                outdated.read_again(self.files.contents());
                continue;
            }
            // Findings of the newest versions are what the user has to read; those of a version
            // that stays in force were read before.
            if first {
                let mut fresh = translation.findings.clone();
                self.sources.locate(&newest, &mut fresh);
                findings.extend(fresh);
                first = false;
            }
            let mut again = !translation.refused.is_empty();
            for object in &translation.refused {
                self.last_good.fall_back(resources, object);
            }
            for path in &translation.refused_files {
                let files = Arc::make_mut(&mut settings.files);
                again |= self.last_good_files.prefer(files, path);
            }
            for input in &translation.outdated {
                let objects = (&self.last_good, &mut *resources);
                let files = Arc::make_mut(&mut settings.files);
                again |= outdated.replace(input, objects, (&self.last_good_files, files));
            }
            if !again {
                self.files.want_only(&translation.model.files);
                self.last_good_files.accept(&settings.files);
                return translation;
            }
        }
    }

    fn translate_settings(&mut self, resources: &Resources) -> translate::Settings {
        translate::Settings {
            labels: self.labels(resources),
            namespace: self.settings.namespace.clone(),
            root_namespace: self.settings.namespace.clone(),
            node: self.settings.node.clone(),
            locality: self.settings.locality.clone(),
            ignore_security_policies: self.settings.ignore_security_policies,
            holding_pools: self.holding_pools(),
            names: self.dns.names(),
            files: self.files.contents(),
            ..translate::Settings::default()
        }
    }

    /// The pools that somebody holds an address of.
    fn holding_pools(&self) -> BTreeSet<String> {
        let here = self.allocator.holders().map(|(_, held)| &held.pool);
        let there = self.cluster.iter().flat_map(InCluster::pools);
        here.chain(there).cloned().collect()
    }

    /// Tries listeners again that could not be opened, or were lost.
    pub fn retry_listeners(&mut self) {
        self.in_force.listening = self.gateway.retry();
        self.log();
    }

    /// Waits until no address is being probed any more.
    pub async fn wait_for_addresses(&self, patience: Duration) {
        let Some(speaker) = &self.speaker else { return };
        let wanted: Vec<_> = self
            .in_force
            .plan
            .announcements
            .iter()
            .map(|wanted| wanted.address)
            .collect();
        let mut states = speaker.states();
        let settled = states.wait_for(|state| {
            wanted.iter().all(|address| {
                state
                    .addresses
                    .get(address)
                    .is_some_and(|state| !matches!(state, AddressState::Probing))
            })
        });
        tokio::select! {
            _ = settled => {}
            () = tokio::time::sleep(patience) => {
                tracing::warn!("some addresses are not announced yet");
            }
        }
    }

    /// Opens the access log's file anew, after a rotation.
    pub fn reopen_access_log(&self) {
        if let Some(log) = &self.access_log {
            log.reopen();
        }
    }

    /// What has to be brought to an end.
    pub fn into_parts(self) -> Ends {
        Ends {
            gateway: self.gateway,
            access_log: self.access_log,
            writer: self.cluster.map(|cluster| cluster.writer),
            found: self.found,
        }
    }
}

/// The endpoints of the gateway's Services that are this host.
fn own_endpoints(model: &Model) -> Vec<IpAddr> {
    let gateways = model.services.iter().filter(|service| service.is_gateway);
    let endpoints = gateways
        .flat_map(|service| &service.ports)
        .flat_map(|port| &port.endpoints);
    let all: BTreeSet<IpAddr> = endpoints
        .filter_map(|endpoint| Some(endpoint.address.inet()?.ip()))
        .collect();
    // Whoever can be bound to is an address of ours.
    let is_ours = |ip: &IpAddr| UdpSocket::bind((*ip, 0)).is_ok();
    all.into_iter().filter(is_ours).collect()
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
