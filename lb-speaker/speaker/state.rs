//! What the speaker does at the moment, for the admin API, `get addresses` and metrics.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use serde::Serialize;

/// What the speaker does at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SpeakerState {
    /// Each address of the last update.
    pub addresses: BTreeMap<IpAddr, AddressState>,
    /// Every interface of the host, and whether it is used; sorted by name.
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
    /// The MAC address that answers carry.
    pub mac: String,
}

/// What becomes of one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AddressState {
    /// It is being asked whether somebody else uses it (RFC 5227 §2.1); takes 200 ms.
    Probing,
    /// Requests for it are answered.
    Announced {
        /// Where, at least one.
        on: Vec<AnnouncedOn>,
    },
    /// Somebody else on the LAN uses it: it is not announced; asked again from time to time.
    Conflict {
        /// Who answered.
        mac: String,
        /// Where.
        interface: String,
        /// The node of ours that it is; it is then asked again every 2 s.
        #[serde(skip_serializing_if = "Option::is_none")]
        node: Option<String>,
        /// Since when.
        since: SystemTime,
    },
    /// An interface of this host has it already, so the kernel answers for it: not announced.
    HeldByHost {
        /// Which.
        interface: String,
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
