//! The control thread's state: what it holds, and what it is made of.
//!
//! ```text
//! reload: what changed ──► translation ──► addresses ──► listeners ──► in force
//! ```

mod inputs;
mod labels;
mod listeners;
mod reload;
mod translation;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use gatehouse_config::Labels;
use gatehouse_config::codes;
use gatehouse_config::finding::{Finding, Level};
use gatehouse_config::resources::ObjectKey;
use gatehouse_config::source::kubernetes::{Cluster, SeenService};
use gatehouse_config::source::{Dns, Files, LastGood, LastGoodFiles, Sources};
use gatehouse_config::status::kubernetes::StatusWriter;
use gatehouse_config::translate::Translator;
use gatehouse_gateway::Gateway;
use gatehouse_gateway::admin::View;
use gatehouse_gateway::observe::AccessLog;
use gatehouse_lb_speaker::{Allocator, Members, Speaker};

use crate::daemon::allocation::State;
use crate::daemon::capabilities::Capabilities;
use crate::daemon::cluster::InCluster;
use crate::daemon::metallb::ClientMetrics;
use crate::daemon::peers::{Found, OwnNode};
use crate::daemon::scrape::Metrics;
use crate::daemon::settings::Settings;
use crate::daemon::show::Shown;
use reload::InForce;

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
    pub(super) speaker: Option<Arc<Speaker>>,
    /// Heartbeats between nodes; none where this is the only one.
    pub(super) members: Option<Arc<Members>>,
    /// What the cluster tells of other nodes.
    pub(super) found: Option<Found>,
    /// What of this node decides whether it may own addresses.
    pub(super) own_node: OwnNode,
    /// How many times a node came, as far as was acted on it.
    pub(super) arrivals: u64,
    pub(super) access_log: Option<AccessLog>,
    pub(super) dns: Dns,
    pub(super) capabilities: Capabilities,
    /// The labels in force; none: not known yet.
    pub(super) labels: Option<Labels>,
    /// The Pod that this process is said to run in is not there.
    pub(super) no_pod: Option<Finding>,
    /// Why nothing is put in force yet.
    pub(super) waiting: Option<Finding>,
    /// How the cluster's objects are taken in, as MetalLB counts it.
    pub(super) metallb: ClientMetrics,
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
            gateway,
            speaker,
            members,
            found,
            own_node: OwnNode::default(),
            arrivals: 0,
            access_log,
            dns,
            capabilities,
            labels: None,
            no_pod: None,
            waiting: None,
            metallb: ClientMetrics::default(),
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
