//! From allocations to what this node announces: advertisements, election, reasons for silence.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use gatehouse_config::ObjectKey;
use gatehouse_config::model::Model;

use crate::allocate::Allocation;

/// An address that this node answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The address.
    pub address: IpAddr,
    /// The Services that hold it; several when it is shared.
    pub services: BTreeSet<ObjectKey>,
    /// Where it may be announced.
    pub interfaces: Interfaces,
}

/// Interfaces that the L2Advertisements allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interfaces {
    /// All that are not excluded.
    All,
    /// Those with exactly these names.
    Named(BTreeSet<String>),
}

/// An address of a Service that this node does not announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The Service.
    pub service: ObjectKey,
    /// Its address.
    pub address: IpAddr,
    /// The node that announces it, where it is another one.
    pub owner: Option<String>,
    /// Why not here, and the nearest fix.
    pub reason: String,
}

/// What this node announces and what it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Pass it to [`Speaker::update`](crate::Speaker::update); sorted by address.
    pub announcements: Vec<Announcement>,
    /// One for each address of a Service that is not announced here.
    pub silent: Vec<Silence>,
    /// For people, where a rule was bent (a single node that is labelled as excluded).
    pub notes: Vec<String>,
}

/// Decides for `node` what it announces. Pure; the order of inputs does not matter.
pub fn plan(model: &Model, allocations: &BTreeMap<ObjectKey, Allocation>, node: &str) -> Plan {
    let _ = (model, allocations, node);
    Plan::default()
}
