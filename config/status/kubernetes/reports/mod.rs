//! What nodes tell of themselves and of objects: which node announces a Service
//! (ServiceL2Status), whether the configuration can be used (ConfigurationState, MetalLB's both),
//! and what is wrong with Istio's objects (their own statuses).
//!
//! ```text
//! Reports (what there is to tell) ─┐
//!                                  ├─► acts (pure): what differs ──► run: one request after the
//! what is seen of it ──────────────┘                                  other, few at once, and
//!                                                                     notes: events of Services
//! ```
//!
//! None of this decides anything: it comes after addresses, and where the cluster has not got the
//! kinds, or forbids them, everything else goes on.

mod acts;
mod istio;
mod l2;
mod notes;
mod owner;
mod request;
mod run;
mod seen;
mod state;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::resources::ObjectKey;
use crate::source::Kind;

pub use istio::Message;
pub(super) use run::Reporter;

/// The labels of both of MetalLB's kinds.
const NODE: &str = "metallb.io/node";
const SERVICE_NAME: &str = "metallb.io/service-name";
const SERVICE_NAMESPACE: &str = "metallb.io/service-namespace";
const COMPONENT: &str = "metallb.io/component-type";
const NODE_NAME: &str = "metallb.io/node-name";

/// What there is to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports {
    /// The Services that this node announces.
    pub announced: BTreeMap<ObjectKey, Announced>,
    /// What is wrong with MetalLB's objects as this node reads them; nothing: all is well.
    pub speaker: Vec<String>,
    /// The same, of those that addresses are dealt by. Told by the node that deals.
    pub controller: Vec<String>,
    /// What is wrong with Istio's objects; none: not known, and what was told stays. Told by the node
    /// that deals.
    pub objects: Option<BTreeMap<(Kind, ObjectKey), Vec<Message>>>,
}

/// How a Service is announced by this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announced {
    /// Requests for its address are answered; on these interfaces, or on all where there are none.
    Yes {
        /// As the L2Advertisements name them.
        interfaces: Vec<String>,
    },
    /// It will be, or not: the network is being asked. What was told stays.
    Perhaps,
    /// No interface can announce it.
    NoInterface {
        /// The address.
        address: IpAddr,
        /// Why; none: none of the interfaces that the L2Advertisements name is there.
        why: Option<String>,
    },
}
