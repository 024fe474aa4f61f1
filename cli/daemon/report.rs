//! What the cluster is told of this node and of objects, beside addresses.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_config::ObjectKey;
use gatehouse_config::finding::{Finding, Level};
use gatehouse_config::resources::{Origin, Resources};
use gatehouse_config::source::Kind;
use gatehouse_config::source::kubernetes::is_reported;
use gatehouse_config::status::kubernetes::{Announced, Message, Reports};
use gatehouse_lb_speaker::{AddressState, Announcement, Interfaces, Plan, SpeakerState};

use crate::daemon::control::Control;

impl Control {
    /// Tells the cluster what is announced here and what is wrong with objects; neither before all of
    /// it was seen once that it depends on. A kind that cannot be listed holds up what it is about.
    pub(super) fn report(&self) {
        let Some(cluster) = &self.cluster else { return };
        if !cluster.knows_addresses() {
            return;
        }
        let in_force = &self.in_force;
        let of = |kinds: &[Kind]| errors(&in_force.findings, kinds);
        cluster.writer.report(Reports {
            announced: announced(&in_force.plan, &self.speaker_state()),
            speaker: of(&[Kind::IPAddressPool, Kind::L2Advertisement]),
            controller: of(&[Kind::IPAddressPool]),
            objects: cluster
                .is_complete()
                .then(|| messages(&in_force.findings, &in_force.resources)),
        });
    }
}

/// How each Service of the plan is announced at the moment.
fn announced(plan: &Plan, speaker: &SpeakerState) -> BTreeMap<ObjectKey, Announced> {
    let mut all: BTreeMap<ObjectKey, Announced> = BTreeMap::new();
    for announcement in &plan.announcements {
        let how = how(announcement, speaker);
        for service in &announcement.services {
            let before = all.get(service);
            // One address of two that is announced is enough.
            if matches!(before, Some(Announced::Yes { .. })) {
                continue;
            }
            match (&how, before) {
                (None, _) => {}
                (Some(Announced::NoInterface { .. }), Some(_)) => {}
                (Some(how), _) => {
                    all.insert(service.clone(), how.clone());
                }
            }
        }
    }
    all
}

/// None: it is not announced, for a reason that a finding tells.
fn how(announcement: &Announcement, speaker: &SpeakerState) -> Option<Announced> {
    match speaker.addresses.get(&announcement.address) {
        None | Some(AddressState::Probing) => Some(Announced::Perhaps),
        Some(AddressState::Announced { .. }) => Some(Announced::Yes {
            interfaces: match &announcement.interfaces {
                Interfaces::All => Vec::new(),
                Interfaces::Named(names) => names.iter().cloned().collect(),
            },
        }),
        Some(AddressState::NoInterface { why }) => Some(Announced::NoInterface {
            address: announcement.address,
            why: match &announcement.interfaces {
                Interfaces::Named(names) if !is_any_here(names, speaker) => None,
                Interfaces::All | Interfaces::Named(_) => Some(why.clone()),
            },
        }),
        Some(
            AddressState::Conflict { .. }
            | AddressState::HeldByHost { .. }
            | AddressState::NotPermitted { .. },
        ) => None,
    }
}

/// Whether this host has an interface of one of these names.
fn is_any_here(names: &BTreeSet<String>, speaker: &SpeakerState) -> bool {
    let mut here = speaker.interfaces.iter();
    here.any(|interface| names.contains(&interface.name))
}

/// The errors about objects of these kinds, each in a line.
pub(super) fn errors(findings: &[Finding], kinds: &[Kind]) -> Vec<String> {
    let errors = findings.iter().filter(|finding| {
        let object = finding.object.as_ref();
        finding.level == Level::Error
            && object.is_some_and(|object| kinds.iter().any(|kind| kind.name() == object.kind))
    });
    let mut lines: Vec<String> = errors
        .map(|finding| {
            let object = finding.object.as_ref();
            let object = object.map(ToString::to_string).unwrap_or_default();
            format!("{object} {}", Message::from(finding).text)
        })
        .collect();
    // As MetalLB, which parses in the order of names; and two runs say the same.
    lines.sort();
    lines.dedup();
    lines
}

/// What is to stand in the statuses of the cluster's objects.
fn messages(
    findings: &[Finding],
    resources: &Resources,
) -> BTreeMap<(Kind, ObjectKey), Vec<Message>> {
    let mut all: BTreeMap<(Kind, ObjectKey), Vec<Message>> = BTreeMap::new();
    for finding in findings {
        let Some(object) = &finding.object else {
            continue;
        };
        let Some(kind) = Kind::from_name(&object.kind).filter(|kind| is_reported(*kind)) else {
            continue;
        };
        let is_here = resources.object(kind, &object.key);
        let is_file = is_here.is_some_and(|here| matches!(here.origin(), Origin::File { .. }));
        if is_file {
            continue;
        }
        let place = (kind, object.key.clone());
        all.entry(place).or_default().push(finding.into());
    }
    for messages in all.values_mut() {
        messages.sort_by(|a, b| (b.level, a.code, &a.text).cmp(&(a.level, b.code, &b.text)));
        messages.dedup();
    }
    all
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use gatehouse_lb_speaker::{Former, InterfaceState};

    use super::*;

    #[test]
    fn interfaces_that_are_there_but_down_do_exist() {
        let address = IpAddr::from([192, 168, 8, 151]);
        let mut announcement = Announcement {
            address,
            services: BTreeSet::new(),
            interfaces: Interfaces::Named(["eth7".to_owned()].into()),
            former: Former::Nobody,
            first: BTreeSet::new(),
        };
        let mut speaker = SpeakerState::default();
        let why = "eth7: it has no carrier".to_owned();
        let state = AddressState::NoInterface { why: why.clone() };
        speaker.addresses.insert(address, state);
        speaker.interfaces.push(InterfaceState {
            name: "eth0".to_owned(),
            mac: String::new(),
            unused: None,
        });
        let said = |announcement: &Announcement, speaker: &SpeakerState| match how(
            announcement,
            speaker,
        ) {
            Some(Announced::NoInterface { why, .. }) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(said(&announcement, &speaker), None);
        speaker.interfaces[0].name = "eth7".to_owned();
        assert_eq!(said(&announcement, &speaker), Some(why.clone()));
        speaker.interfaces.clear();
        announcement.interfaces = Interfaces::All;
        assert_eq!(said(&announcement, &speaker), Some(why));
    }
}
