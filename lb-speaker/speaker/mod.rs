//! The thread that answers for addresses: desired state in, frames and state out.
//!
//! It has a current-thread runtime of its own, so that nothing else on the host's cores delays an
//! ARP answer, and stays in the network namespace of the thread that started it.

mod counters;
mod lan;
mod state;
mod works;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use tokio::sync::watch;

use crate::announce::Mac;
use crate::link::selection::Excluded;
use crate::plan::Announcement;
use counters::Counters;
pub use state::{AddressState, AnnouncedOn, InterfaceState, SpeakerState};
use works::Works;

/// How the speaker works.
#[derive(Clone, Debug)]
pub struct SpeakerSettings {
    /// This node's name, for metrics.
    pub node: String,
    /// Where it notes what it changed on the host, so that a start after a kill can clean up;
    /// none: nothing is noted.
    pub state_dir: Option<PathBuf>,
    /// How often each address is announced again without need (switches forget silent addresses
    /// after 300 s); zero: never.
    pub gratuitous_interval: Duration,
    /// Interfaces that are never used.
    pub excluded_interfaces: Excluded,
}

impl SpeakerSettings {
    /// The defaults: no notes, announced again every 60 s, MetalLB's list of excluded interfaces.
    pub fn new(node: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            state_dir: None,
            gratuitous_interval: Duration::from_secs(60),
            excluded_interfaces: Excluded::default(),
        }
    }
}

/// Which stations on the LAN are nodes of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stations {
    /// Other nodes by their MAC addresses.
    pub nodes: BTreeMap<Mac, String>,
    /// There are, or may be, nodes whose MAC addresses are not known, since they were never heard.
    pub others: bool,
    /// Nodes that are heard now.
    pub heard: BTreeSet<String>,
}

/// What the thread is told.
#[derive(Clone, Debug, Default)]
struct Desired {
    announcements: Arc<Vec<Announcement>>,
    stations: Arc<Stations>,
    /// Greater each time that all is to be announced again.
    again: u64,
    /// Others answer from now on.
    yielding: bool,
}

/// The running speaker. Dropping it withdraws everything, as [`shutdown`](Self::shutdown) does.
#[derive(Debug)]
pub struct Speaker {
    node: String,
    /// None once it is shutting down: that is the thread's sign to end.
    desired: Option<watch::Sender<Desired>>,
    states: watch::Receiver<Arc<SpeakerState>>,
    counters: Arc<Counters>,
    /// Locked only to wait for the end; lets the handle be shared with whoever shows metrics.
    ended: Mutex<mpsc::Receiver<()>>,
}

/// How long dropping waits for the withdrawal.
const DROP_DEADLINE: Duration = Duration::from_secs(2);

impl Speaker {
    /// Starts the thread. Lack of privilege is no failure but a state
    /// ([`AddressState::NotPermitted`]).
    ///
    /// # Errors
    /// The thread or its runtime could not be made.
    pub fn start(settings: SpeakerSettings) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (desired, wanted) = watch::channel(Desired::default());
        let (states_in, states) = watch::channel(Arc::new(SpeakerState::default()));
        let (end, ended) = mpsc::sync_channel(1);
        let counters = Arc::new(Counters::default());
        let node = settings.node.clone();
        let counting = Arc::clone(&counters);
        std::thread::Builder::new()
            .name("speaker".to_owned())
            .spawn(move || {
                let local = tokio::task::LocalSet::new();
                let works = Works::new(settings, wanted, states_in, counting);
                local.block_on(&runtime, works.run());
                drop(local);
                drop(runtime);
                // Nobody may be waiting any more.
                let _ = end.send(());
            })?;
        Ok(Self {
            node,
            desired: Some(desired),
            states,
            counters,
            ended: Mutex::new(ended),
        })
    }

    /// Sets what is to be announced, whole; cheap when nothing changed. Never blocks.
    pub fn update(&self, announcements: Vec<Announcement>) {
        if let Some(desired) = &self.desired {
            desired.send_if_modified(|current| {
                let changed = *current.announcements != announcements;
                if changed {
                    current.announcements = Arc::new(announcements);
                }
                changed
            });
        }
    }

    /// Tells which stations are nodes of ours, whose claims are not those of strangers.
    pub fn know(&self, stations: Stations) {
        if let Some(desired) = &self.desired {
            desired.send_if_modified(|current| {
                let changed = *current.stations != stations;
                if changed {
                    current.stations = Arc::new(stations);
                }
                changed
            });
        }
    }

    /// Announces again what is announced: other nodes may have spoken for it meanwhile.
    pub fn announce_again(&self) {
        if let Some(desired) = &self.desired {
            desired.send_modify(|current| current.again += 1);
        }
    }

    /// Stops to answer for any address, for good, since other nodes take over. The host keeps the
    /// addresses until [`shutdown`](Self::shutdown), so that connections that are here may end.
    pub fn yield_all(&self) {
        if let Some(desired) = &self.desired {
            desired.send_modify(|current| current.yielding = true);
        }
    }

    /// What it does at the moment, and each change of it.
    pub fn states(&self) -> watch::Receiver<Arc<SpeakerState>> {
        self.states.clone()
    }

    /// Appends MetalLB's layer 2 metrics, and ours, in Prometheus text form.
    pub fn write_prometheus(&self, out: &mut String) {
        self.counters.write_prometheus(out);
        let Some(desired) = &self.desired else { return };
        let state = Arc::clone(&self.states.borrow());
        let desired = Arc::clone(&desired.borrow().announcements);
        let _ = writeln!(
            out,
            "# HELP metallb_speaker_announced Services whose address this node announces.\n\
             # TYPE metallb_speaker_announced gauge"
        );
        for announcement in desired.iter() {
            let announced = matches!(
                state.addresses.get(&announcement.address),
                Some(AddressState::Announced { .. })
            );
            if !announced {
                continue;
            }
            for service in &announcement.services {
                let _ = writeln!(
                    out,
                    "metallb_speaker_announced{{service=\"{service}\",protocol=\"layer2\",\
                     node=\"{}\",ip=\"{}\"}} 1",
                    escape(&self.node),
                    announcement.address
                );
            }
        }
    }

    /// Withdraws every address, removes `gatehouse0`, puts sysctls back and ends the thread.
    /// Blocks until that is done or `deadline` has passed; true if it was done.
    pub fn shutdown(mut self, deadline: Duration) -> bool {
        self.end(deadline)
    }

    fn end(&mut self, deadline: Duration) -> bool {
        if self.desired.take().is_none() {
            return true;
        }
        !matches!(
            self.ended
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner)
                .recv_timeout(deadline),
            Err(mpsc::RecvTimeoutError::Timeout)
        )
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.end(DROP_DEADLINE);
    }
}

/// A label value of the Prometheus text form.
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
