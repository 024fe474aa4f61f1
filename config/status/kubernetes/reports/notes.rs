//! Events of Services that this node announces, or cannot: each once.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tokio::sync::mpsc;

use super::super::events::{Note, Role};
use super::{Announced, Reports};
use crate::resources::ObjectKey;

/// Writes them.
pub(super) struct Notes {
    sender: mpsc::Sender<Note>,
    node: String,
    /// Services that an event was written about: announced, or on no interface.
    assigned: BTreeSet<ObjectKey>,
    failed: BTreeSet<ObjectKey>,
}

impl Notes {
    pub(super) fn new(sender: mpsc::Sender<Note>, node: &str) -> Self {
        Self {
            sender,
            node: node.to_owned(),
            assigned: BTreeSet::new(),
            failed: BTreeSet::new(),
        }
    }

    /// Events of Services that are announced from now on, or cannot be. Where there are statuses,
    /// they tell what was announced already.
    pub(super) fn tell(&mut self, reports: &Reports, without_statuses: bool) {
        self.assigned
            .retain(|service| reports.announced.contains_key(service));
        self.failed
            .retain(|service| reports.announced.contains_key(service));
        for (service, how) in &reports.announced {
            match how {
                Announced::Yes { .. } => {
                    self.failed.remove(service);
                    if without_statuses && self.assigned.insert(service.clone()) {
                        self.say_assigned(service);
                    }
                }
                Announced::NoInterface { address, why } if self.failed.insert(service.clone()) => {
                    self.note(Note {
                        service: service.clone(),
                        is_warning: true,
                        by: Role::Speaker,
                        reason: "announceFailed",
                        message: announce_failed(*address, &self.node, why.as_deref()),
                    });
                }
                Announced::NoInterface { .. } | Announced::Perhaps => {}
            }
        }
    }

    /// This node announces it from now on.
    pub(super) fn say_assigned(&self, service: &ObjectKey) {
        self.note(Note {
            service: service.clone(),
            is_warning: false,
            by: Role::Speaker,
            reason: "nodeAssigned",
            message: format!(
                "announcing from node \"{}\" with protocol \"layer2\"",
                self.node
            ),
        });
    }

    fn note(&self, note: Note) {
        if let Err(error) = self.sender.try_send(note) {
            tracing::warn!(%error, "an event is left out");
        }
    }
}

/// MetalLB's words where they are true.
fn announce_failed(address: IpAddr, node: &str, why: Option<&str>) -> String {
    match why {
        None => format!(
            "the interfaces specified by LB IP \"{address}\" doesn't exist in assigned node \
             \"{node}\" with protocol \"layer2\""
        ),
        Some(why) => format!(
            "LB IP \"{address}\" cannot be announced from assigned node \"{node}\" with protocol \
             \"layer2\": {why}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_what_it_is() {
        let address = IpAddr::from([192, 168, 8, 151]);
        assert_eq!(
            announce_failed(address, "n1", None),
            "the interfaces specified by LB IP \"192.168.8.151\" doesn't exist in assigned node \
             \"n1\" with protocol \"layer2\""
        );
        let down = announce_failed(address, "n1", Some("eth0: it has no carrier"));
        assert!(!down.contains("exist") && down.ends_with("eth0: it has no carrier"));
    }
}
