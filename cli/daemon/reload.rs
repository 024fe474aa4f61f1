//! The control loop's state: what is in force, and how a change gets there.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use gatehouse_config::codes;
use gatehouse_config::finding::{Finding, Level};
use gatehouse_config::model::Model;
use gatehouse_config::resources::Resources;
use gatehouse_config::source::{Directory, Dns, Files, LastGood, LastGoodFiles};
use gatehouse_config::status::directory::{Allocations, Recorded, StateFile};
use gatehouse_config::translate::{self, Input, Translator};
use gatehouse_gateway::admin::View;
use gatehouse_gateway::admin::view::{Asked, Rows};
use gatehouse_gateway::compile::{Placement, place};
use gatehouse_gateway::observe::{AccessLog, GatewayState};
use gatehouse_gateway::{Counters, Gateway};
use gatehouse_lb_speaker::{
    AddressState, Allocation, Allocator, Announcement, Outcome, Plan, Speaker, SpeakerState,
    allocate, plan,
};

use crate::daemon::capabilities::Capabilities;
use crate::daemon::rows;
use crate::daemon::scrape::{Known, Metrics};
use crate::daemon::settings::Settings;

/// Between looks at the time, where a certificate expires one day.
const LOOK: Duration = Duration::from_secs(3600);

/// Everything that the control thread holds.
pub struct Control {
    settings: Settings,
    directory: Directory,
    last_good: LastGood,
    files: Files,
    last_good_files: LastGoodFiles,
    translator: Translator,
    allocator: Allocator,
    state: State,
    gateway: Gateway,
    counters: Counters,
    speaker: Option<Arc<Speaker>>,
    access_log: Option<AccessLog>,
    dns: Dns,
    capabilities: Capabilities,
    in_force: InForce,
    shown: Option<Shown>,
    /// Findings of parts that report once: the admin servers, the state file.
    standing: Vec<Finding>,
    watching: Option<Finding>,
    logged: BTreeSet<String>,
}

/// The running parts that the control thread steers.
pub struct Parts {
    /// The data plane.
    pub gateway: Gateway,
    /// Who announces; none in the demo.
    pub speaker: Option<Arc<Speaker>>,
    /// Where lines go; none: nowhere.
    pub access_log: Option<AccessLog>,
    /// Who looks names up.
    pub dns: Dns,
    /// What the process may do.
    pub capabilities: Capabilities,
}

/// Where allocations are kept.
enum State {
    /// In this file.
    Kept(StateFile),
    /// Nowhere: the file may not be made. They last as long as the process.
    Forgotten,
    /// The file is there and cannot be read: any address may be held, so that none is dealt.
    Unreadable,
}

/// What is in force.
#[derive(Default)]
struct InForce {
    resources: Resources,
    model: Arc<Model>,
    outcome: Outcome,
    plan: Plan,
    placement: Arc<Placement>,
    findings: Vec<Finding>,
    listening: Vec<Finding>,
    loaded_at: Option<i64>,
}

struct Shown {
    view: Arc<ArcSwap<View>>,
    metrics: Arc<Metrics>,
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
            access_log,
            dns,
            capabilities,
        } = parts;
        let directory = Directory::open(&settings.config)?;
        let mut control = Self {
            directory,
            last_good: LastGood::default(),
            files: Files::new(),
            last_good_files: LastGoodFiles::default(),
            translator: Translator::default(),
            allocator: Allocator::new(),
            state: State::Forgotten,
            counters: gateway.counters(),
            gateway,
            speaker,
            access_log,
            dns,
            capabilities,
            in_force: InForce::default(),
            shown: None,
            standing: Vec::new(),
            watching: None,
            logged: BTreeSet::new(),
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

    fn open_state(&mut self) {
        let file = match StateFile::open(&self.settings.state) {
            Ok(file) => file,
            Err(error) => {
                self.standing.push(state_finding(
                    Level::Warning,
                    format!("addresses are not kept over a restart: {error}"),
                ));
                return;
            }
        };
        self.state = State::Kept(file);
        let State::Kept(file) = &mut self.state else {
            return;
        };
        match file.load() {
            Ok((held, findings)) => {
                self.standing.extend(findings);
                self.allocator
                    .readopt(held.into_iter().map(|(key, recorded)| {
                        let Recorded {
                            addresses, pool, ..
                        } = recorded;
                        (key, Allocation { addresses, pool })
                    }));
            }
            Err(error) => {
                self.state = State::Unreadable;
                self.standing.push(state_finding(
                    Level::Error,
                    format!("no address is dealt, since any may be held already: {error}"),
                ));
            }
        }
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

    /// Reads the directory and puts what changed in force. `always`: even if nothing changed.
    pub fn reload(&mut self, always: bool) {
        let started = std::time::Instant::now();
        let loaded = self.directory.load();
        if !self.files.load() && !loaded.changed && !always {
            return;
        }
        let mut resources = loaded.resources;
        let mut findings = loaded.findings;
        let translation = self.translate(&mut resources, &mut findings);
        self.last_good.accept(&resources);
        self.directory.locate(&resources, &mut findings);

        let mut model = translation.model;
        // The command line wins over the MeshConfig.
        if self.settings.server_header.is_some() {
            model.proxy.headers.server = None;
        }
        self.dns.want(model.names.clone());
        if let Some(logs) = self.settings.access_logs() {
            model.proxy.access_logs = logs;
        }
        let (outcome, state_findings) = self.allocate(&model);
        findings.extend(state_findings);
        let allocations = outcome
            .services
            .iter()
            .filter_map(|(key, decision)| Some((key.clone(), decision.allocation()?.clone())))
            .collect();
        let plan = plan(&model, &allocations, &self.settings.node);
        // What nobody may reach any more is withdrawn before its sockets close; what is new is
        // announced once its sockets are open, so that nobody finds an address that refuses.
        if let Some(speaker) = &self.speaker {
            speaker.update(kept(&self.in_force.plan.announcements, &plan.announcements));
        }
        let placement = place(
            &model,
            &rows::held(&outcome),
            &self.settings.listen,
            self.capabilities.can_announce(),
        );
        let mut placed = placement.findings.clone();
        self.directory.locate(&resources, &mut placed);
        findings.extend(placed);
        let listening = self.gateway.apply(&model, &placement);
        if let Some(speaker) = &self.speaker {
            speaker.update(plan.announcements.clone());
        }
        self.in_force = InForce {
            resources,
            model: Arc::new(model),
            outcome,
            plan,
            placement: Arc::new(placement),
            findings,
            listening,
            loaded_at: unix_now(),
        };
        self.log();
        let took = started.elapsed();
        let generation = self.gateway.snapshot().generation;
        tracing::info!(
            generation,
            objects = self.in_force.resources.len(),
            routes = self.gateway.snapshot().route_count(),
            listeners = self.gateway.listeners().count(),
            took_ms = took.as_millis() as u64,
            "configuration in force"
        );
        self.publish(&[]);
    }

    /// Translates; objects that are refused fall back to their last good version.
    fn translate(
        &mut self,
        resources: &mut Resources,
        findings: &mut Vec<Finding>,
    ) -> translate::Translation {
        let mut settings = self.translate_settings();
        let newest = resources.clone();
        let mut first = true;
        loop {
            let translation = self.translator.translate(resources, &settings);
            if self.files.want(&translation.model.files) {
                settings.files = self.files.contents();
                continue;
            }
            // Findings of the newest versions are what the user has to read; those of a version
            // that stays in force were read before.
            if first {
                let mut fresh = translation.findings.clone();
                self.directory.locate(&newest, &mut fresh);
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
                again |= match input {
                    Input::Object(object) => self.last_good.prefer(resources, object),
                    Input::File(path) => {
                        let files = Arc::make_mut(&mut settings.files);
                        self.last_good_files.prefer(files, path)
                    }
                };
            }
            if !again {
                self.files.want_only(&translation.model.files);
                self.last_good_files.accept(&settings.files);
                return translation;
            }
        }
    }

    fn translate_settings(&mut self) -> translate::Settings {
        translate::Settings {
            labels: self.settings.labels.clone(),
            namespace: self.settings.namespace.clone(),
            root_namespace: self.settings.namespace.clone(),
            node: self.settings.node.clone(),
            locality: self.settings.locality.clone(),
            ignore_security_policies: self.settings.ignore_security_policies,
            holding_pools: self
                .allocator
                .holders()
                .map(|(_, held)| held.pool.clone())
                .collect(),
            names: self.dns.names(),
            files: self.files.contents(),
            ..translate::Settings::default()
        }
    }

    fn allocate(&mut self, model: &Model) -> (Outcome, Vec<Finding>) {
        let pools = match self.state {
            State::Unreadable => None,
            State::Kept(_) | State::Forgotten => Some(model.pools.as_slice()),
        };
        let outcome = self.allocator.converge(&model.services, pools);
        for change in &outcome.changes {
            tracing::info!(
                service = %change.service,
                before = ?change.before,
                after = ?change.after,
                why = %change.why,
                "address {:?}",
                change.kind()
            );
        }
        let State::Kept(file) = &mut self.state else {
            return (outcome, Vec::new());
        };
        let held: Allocations = self
            .allocator
            .holders()
            .map(|(key, held)| {
                let Allocation { addresses, pool } = held.clone();
                (
                    key.clone(),
                    Recorded {
                        addresses,
                        pool,
                        given: 0,
                    },
                )
            })
            .collect();
        // Written before anything is announced: what others have seen must survive a crash.
        match file.save(&held) {
            Ok(_) => (outcome, Vec::new()),
            Err(error) => {
                let message = format!("addresses dealt now may change with a restart: {error}");
                (outcome, vec![state_finding(Level::Error, message)])
            }
        }
    }

    /// Tries listeners again that could not be opened, or were lost.
    pub fn retry_listeners(&mut self) {
        self.in_force.listening = self.gateway.retry();
        self.log();
    }

    /// Says that the process comes to its end, so that nobody sends it more.
    pub fn say_draining(&self) {
        if let Some(shown) = &self.shown {
            let mut view = View::clone(&shown.view.load());
            view.not_ready = Some("draining: the process was told to stop".to_owned());
            shown.view.store(Arc::new(view));
        }
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

    /// Shows what is in force now.
    pub async fn show(&mut self) {
        let health = self.counters.health().await;
        self.log();
        self.publish(&health);
    }

    fn publish(&mut self, health: &[Vec<gatehouse_gateway::worker::EndpointHealth>]) {
        let speaker = self.speaker_state();
        let findings = self.findings(&speaker);
        let Some(shown) = &self.shown else { return };
        let in_force = &self.in_force;
        let snapshot = Arc::clone(self.gateway.snapshot());
        let not_announced = self
            .standing
            .iter()
            .find(|finding| finding.code == codes::NOT_PERMITTED);
        let mut pools = String::new();
        allocate::write_prometheus(&in_force.outcome.pools, &mut pools);
        let count = |level| {
            findings
                .iter()
                .filter(|finding| finding.level == level)
                .count() as u64
        };
        let known = Known {
            gateway: GatewayState {
                generation: snapshot.generation,
                last_reload_success: count(Level::Error) == 0,
                findings: [
                    ("error", count(Level::Error)),
                    ("warning", count(Level::Warning)),
                    ("info", count(Level::Info)),
                ],
                workers: self.gateway.workers() as u64,
                rules: in_force.model.proxy.metrics.clone(),
                access_log_dropped: self.access_log.as_ref().map_or(0, AccessLog::dropped),
                label_sets_refused: self.gateway.label_sets_refused(),
            },
            labels: self.gateway.labels(),
            snapshot: Arc::clone(&snapshot),
            pools,
        };
        shown.metrics.publish(known);
        shown.view.store(Arc::new(View {
            generation: snapshot.generation,
            loaded_at: in_force.loaded_at,
            not_ready: None,
            services: rows::services(&in_force.resources, &in_force.outcome),
            addresses: rows::addresses(
                &in_force.outcome,
                &in_force.plan,
                &speaker,
                &self.settings.node,
                not_announced.map(|finding| finding.message.as_str()),
            ),
            listeners: rows::listeners(&in_force.model, &snapshot, self.gateway.listeners()),
            routes: Rows::new({
                let (model, placement) = (&in_force.model, &in_force.placement);
                let (model, placement) = (Arc::clone(model), Arc::clone(placement));
                move || rows::routes(&model, &placement)
            }),
            endpoints: rows::endpoints(&snapshot, health),
            findings,
            asked: Asked {
                available: rows::available(health),
                snapshot,
            },
        }));
    }

    fn speaker_state(&self) -> Arc<SpeakerState> {
        self.speaker
            .as_ref()
            .map(|speaker| speaker.states().borrow().clone())
            .unwrap_or_default()
    }

    /// All findings, worst first.
    fn findings(&self, speaker: &SpeakerState) -> Vec<Finding> {
        let mut all = self.standing.clone();
        all.extend(self.watching.clone());
        all.extend(self.in_force.findings.iter().cloned());
        all.extend(self.in_force.listening.iter().cloned());
        all.extend(speaker.messages.iter().map(|message| Finding {
            code: codes::ANNOUNCING,
            level: Level::Warning,
            object: None,
            field: String::new(),
            position: None,
            message: message.clone(),
            hint: String::new(),
        }));
        all.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        all
    }

    /// Logs findings that were not there before.
    fn log(&mut self) {
        let speaker = self.speaker_state();
        let mut now = BTreeSet::new();
        for finding in self.findings(&speaker) {
            let text = finding.to_string();
            if !self.logged.contains(&text) && !now.contains(&text) {
                match finding.level {
                    Level::Error => tracing::error!("{text}"),
                    Level::Warning => tracing::warn!("{text}"),
                    Level::Info => tracing::info!("{text}"),
                }
            }
            now.insert(text);
        }
        for gone in self.logged.difference(&now) {
            tracing::info!("no longer: {gone}");
        }
        self.logged = now;
    }

    /// Opens the access log's file anew, after a rotation.
    pub fn reopen_access_log(&self) {
        if let Some(log) = &self.access_log {
            log.reopen();
        }
    }

    /// What has to be brought to an end.
    pub fn into_parts(self) -> (Gateway, Option<AccessLog>) {
        (self.gateway, self.access_log)
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

fn state_finding(level: Level, message: String) -> Finding {
    Finding {
        code: codes::STATE,
        level,
        object: None,
        field: String::new(),
        position: None,
        message,
        hint: String::new(),
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
    use gatehouse_lb_speaker::Interfaces;

    use super::*;

    fn announcement(last: u8) -> Announcement {
        Announcement {
            address: IpAddr::from([192, 0, 2, last]),
            services: BTreeSet::new(),
            interfaces: Interfaces::All,
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
