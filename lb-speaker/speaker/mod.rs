//! The thread that answers for addresses: desired state in, frames and state out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::sync::watch;

use crate::plan::Announcement;

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
    /// Patterns of interfaces that are never used: a name, or a beginning followed by `*`.
    pub excluded_interfaces: Vec<String>,
}

/// What the speaker does at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SpeakerState {
    /// Each address of the last update.
    pub addresses: BTreeMap<IpAddr, AddressState>,
    /// Every interface of the host, and whether it is used.
    pub interfaces: Vec<InterfaceState>,
    /// What people should know: missing capabilities, fallbacks, conflicts.
    pub messages: Vec<String>,
}

/// An interface of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InterfaceState {
    /// Its name.
    pub name: String,
    /// Its MAC address, `02:00:…`; empty where it has none.
    pub mac: String,
    /// Why it is not used; none: it is used.
    pub unused: Option<String>,
}

/// An interface that an address is announced on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnnouncedOn {
    /// Its name.
    pub interface: String,
    /// The MAC address that ARP answers carry.
    pub mac: String,
}

/// What becomes of one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AddressState {
    /// It is being asked whether somebody else uses it (RFC 5227 §2.1); 200 ms.
    Probing,
    /// Requests for it are answered.
    Announced {
        /// Where, at least one.
        on: Vec<AnnouncedOn>,
    },
    /// Somebody else on the LAN uses it: it is not announced; asked again every 30 s.
    Conflict {
        /// Who answered.
        mac: String,
        /// Where.
        interface: String,
        /// Since when.
        since: SystemTime,
    },
    /// No interface that may and can announce it.
    NoInterface {
        /// Why, and the nearest fix.
        why: String,
    },
    /// The process may not.
    NotPermitted {
        /// Which capability is missing, and how to give it.
        why: String,
    },
}

/// The running speaker. Dropping it withdraws everything, as [`shutdown`](Self::shutdown) does.
#[derive(Debug)]
pub struct Speaker {
    states: watch::Receiver<Arc<SpeakerState>>,
}

impl Speaker {
    /// Starts the thread. Never fails for lack of privilege: that is a state.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn start(settings: SpeakerSettings) -> std::io::Result<Self> {
        let _ = settings;
        let (_, states) = watch::channel(Arc::new(SpeakerState::default()));
        Ok(Self { states })
    }

    /// Sets what is to be announced, whole; cheap when nothing changed.
    pub fn update(&self, announcements: Vec<Announcement>) {
        let _ = announcements;
    }

    /// What it does at the moment, and each change of it.
    pub fn states(&self) -> watch::Receiver<Arc<SpeakerState>> {
        self.states.clone()
    }

    /// Appends MetalLB's layer 2 metrics, and ours, in Prometheus text form.
    pub fn write_prometheus(&self, out: &mut String) {
        let _ = out;
    }

    /// Withdraws every address, removes `gatehouse0`, puts sysctls back and ends the thread.
    /// Blocks until that is done or `deadline` has passed; true if it was done.
    pub fn shutdown(self, deadline: Duration) -> bool {
        let _ = deadline;
        true
    }
}
