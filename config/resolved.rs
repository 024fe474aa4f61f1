//! What DNS said: an input of the translation, beside the objects.
//!
//! Translation asks for no name itself. It says which names it wants
//! ([`Model::names`](crate::model::Model::names)); whoever looks them up puts the answers here and
//! translates again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

/// Answers by name, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvedNames(BTreeMap<String, ResolvedName>);

/// What is known of a name that was looked up at least once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvedName {
    /// Its addresses, sorted and bounded; those of the last good answer.
    pub addresses: Vec<IpAddr>,
    /// The address that the last answer begins with, where one at a time is wanted.
    pub first: Option<IpAddr>,
    /// Why the addresses are not the newest; none: they are.
    pub failure: Option<ResolveFailure>,
}

/// Lookups that fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveFailure {
    /// When the first one of them failed.
    pub since: SystemTime,
    /// What was said, as part of a sentence: `the name does not exist (NXDOMAIN)`.
    pub error: String,
}

/// How a name's addresses are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameUse {
    /// All of them side by side (`resolution: DNS`).
    All,
    /// The first one too, alone (`DNS_ROUND_ROBIN`).
    AlsoFirst,
}

impl ResolvedNames {
    /// What is known of a name; none before its first answer.
    pub fn get(&self, name: &str) -> Option<&ResolvedName> {
        self.0.get(name)
    }

    /// Takes note of a name.
    pub fn insert(&mut self, name: String, known: ResolvedName) {
        self.0.insert(name, known);
    }
}

/// A name that a request asks for (`resolution: DYNAMIC_DNS`), to be looked up at once.
#[derive(Debug)]
pub struct Question {
    /// In lower case.
    pub name: String,
    /// Whom to tell; nobody listens any more where the client has left.
    pub answer: oneshot::Sender<Result<Found, String>>,
}

/// What a name came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// At least one, in the order of the answer.
    pub addresses: Vec<IpAddr>,
    /// How long it holds.
    pub ttl: Duration,
}
