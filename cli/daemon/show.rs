//! What is in force, shown: the admin API's view, metrics, findings and the log.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use gatehouse_config::codes;
use gatehouse_config::finding::{Finding, Level};
use gatehouse_gateway::admin::View;
use gatehouse_gateway::admin::view::Rows;
use gatehouse_gateway::observe::{AccessLog, GatewayState};
use gatehouse_lb_speaker::{SpeakerState, allocate};

use crate::daemon::cluster::InCluster;
use crate::daemon::control::Control;
use crate::daemon::rows;
use crate::daemon::scrape::{Known, Metrics};

/// Where results are shown.
pub(super) struct Shown {
    pub(super) view: Arc<ArcSwap<View>>,
    pub(super) metrics: Arc<Metrics>,
}

impl Control {
    /// Says that the process comes to its end, so that nobody sends it more.
    pub fn say_draining(&self) {
        if let Some(shown) = &self.shown {
            let mut view = View::clone(&shown.view.load());
            view.not_ready = Some("draining: the process was told to stop".to_owned());
            shown.view.store(Arc::new(view));
        }
    }

    /// Shows what is in force now.
    pub fn show(&mut self) {
        self.log();
        self.publish();
    }

    /// The same where findings are others than before: nothing else changes by itself.
    pub fn show_news(&mut self) {
        let Some(shown) = &self.shown else { return };
        if shown.view.load().findings != self.findings(&self.speaker_state()) {
            self.show();
        }
    }

    fn publish(&mut self) {
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
        if self.cluster.is_some() {
            self.metallb.write_prometheus(&mut pools);
        }
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
                access_log: self.access_log.as_ref().map(AccessLog::drops),
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
            not_ready: self.waiting.as_ref().map(|finding| finding.message.clone()),
            services: Rows::new({
                let (resources, outcome) = (&in_force.resources, &in_force.outcome);
                let (resources, outcome) = (Arc::clone(resources), Arc::clone(outcome));
                move || rows::services(&resources, &outcome)
            }),
            addresses: Rows::new({
                let (outcome, plan) = (&in_force.outcome, &in_force.plan);
                let (outcome, plan) = (Arc::clone(outcome), Arc::clone(plan));
                let node = self.settings.node.clone();
                let not_announced = not_announced.map(|finding| finding.message.clone());
                move || rows::addresses(&outcome, &plan, &speaker, &node, not_announced.as_deref())
            }),
            listeners: Rows::new({
                let (model, snapshot) = (Arc::clone(&in_force.model), Arc::clone(&snapshot));
                let open: Vec<_> = self.gateway.listeners().copied().collect();
                move || rows::listeners(&model, &snapshot, open.iter())
            }),
            routes: Rows::new({
                let (model, placement) = (&in_force.model, &in_force.placement);
                let (model, placement) = (Arc::clone(model), Arc::clone(placement));
                move || rows::routes(&model, &placement)
            }),
            findings,
            snapshot,
        }));
    }

    pub(super) fn speaker_state(&self) -> Arc<SpeakerState> {
        self.speaker
            .as_ref()
            .map(|speaker| speaker.states().borrow().clone())
            .unwrap_or_default()
    }

    /// All findings, worst first.
    fn findings(&self, speaker: &SpeakerState) -> Vec<Finding> {
        let mut all = self.standing.clone();
        all.extend(self.watching.clone());
        all.extend(self.waiting.clone());
        all.extend(self.no_pod.clone());
        all.extend(self.cluster.iter().flat_map(InCluster::findings));
        if let Some(found) = &self.found {
            all.extend(found.findings(self.members.as_deref()));
        }
        all.extend(self.deleted_node());
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
}
